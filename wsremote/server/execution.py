"""What a session does with a call, on the thread of its lane: decode, execute, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..codec.faults import encode_fault
from ..codec.writeback import Snapshot, containers_of
from ..errors import (
    CallCancelled,
    LimitExceeded,
    NotExposed,
    RemoteProtocolError,
    StaleHandle,
)
from ..protocol.messages import AWAIT, Fault, Op, Result
from .calling_back import CallingBack
from .coroutines import awaiting, without_asyncio
from .definitions import Definitions
from .dispatch import is_awaited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..codec.values import Buffer
    from ..protocol.messages import Exec, Target
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .outbox import Reply
    from .server import Server
    from .strands import Strand

__all__ = ["Execution"]

_REFRESH: Final = int(Op.REFRESH)
_AWAIT_INHERITED: Final = AWAIT + Op.INHERITED


class Execution(CallingBack):
    """The part of a session that executes the client's calls.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
        installed: Root packages of the data type registry that the client can import.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        session_id: str,
        installed: dict[str, str],
    ) -> None:
        super().__init__(server, connection, session_id, installed)
        self.poller: Poller = server.poller

        self._definitions = Definitions(self, server.policy, server.dispatcher)

        # The client's calls: those that wait for their lane, and those that run.
        self._queued: set[int] = set()
        self._running: dict[int, Strand] = {}
        self._cancelled: set[int] = set()
        # Buffers that came ahead of calls that have not begun.
        self._buffers: dict[int, list[bytearray]] = {}

    def begin(self, call: int, strand: Strand) -> bool:
        """A queued call runs now. False if it was cancelled while it waited."""
        self._running[call] = strand
        self._queued.discard(call)
        if self.journal is not None and not (self._cancelled and call in self._cancelled):
            self.journal.begun(self.id, call)
        if not self.connection.attended:
            # Read by its lane before the poller saw it: what it prints is to be sent meanwhile.
            self.poller.attend(self.connection)
        return not self._cancelled or call not in self._cancelled

    def end(self, call: int) -> None:
        """A call has been answered."""
        self._running.pop(call, None)
        self.answering.discard(call)
        if self._cancelled:
            self._cancelled.discard(call)
        if self._buffers:
            # Of a call that was cancelled before it began.
            self._buffers.pop(call, None)
        if self.unsent:
            # Of an answer that could not be sent.
            self.unsent.pop(call, None)

    def perform(self, message: Exec) -> Reply:
        """Decode, execute, encode: what to answer to a call.

        Raises:
            KeyboardInterrupt: The call was interrupted, or raised it itself.
        """
        codec, executed, snapshot = self.codec, False, None
        try:
            if self.weakly.held:
                self.weakly.let_go()
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            executed = True
            if message.op == _REFRESH:
                self._refresh(message.target, whole=kwargs.get("whole") is True)
                return self.answer(message, [None])
            # The only reference to the result that this side adds: the codec counts them.
            holder = [self._value_of(message, args, kwargs)]
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins
            return self.answer(message, holder, containers, changes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever served code raises, SystemExit included, is the caller's to see.
            return self._fault(message.call, error, executed, snapshot)

    async def perform_awaited(self, message: Exec) -> Reply:
        """The same for a call that is awaited, as a task of the lane's event loop."""
        message = message._replace(op=message.op - AWAIT)
        codec, executed, snapshot = self.codec, False, None
        try:
            if self.weakly.held:
                self.weakly.let_go()
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            executed = True
            value = self._value_of(message, args, kwargs)
            holder = [await awaiting(value) if is_awaited(value) else value]
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins, value
            return self.answer(message, holder, containers, changes)
        except BaseException as error:
            without_asyncio(error)
            return self._fault(message.call, error, executed, snapshot)

    def _refresh(self, target: Target, *, whole: bool) -> None:
        """Send what has changed in a container that the client mirrors."""
        if not isinstance(target, int):
            raise RemoteProtocolError("a mirror is refreshed by its handle")
        self.watching.refresh(target, whole=whole)

    def _value_of(self, message: Exec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call gives."""
        if message.op == _AWAIT_INHERITED:
            plain = message._replace(op=Op.INHERITED)
            return self._server.dispatcher.awaited(self._value_of(plain, args, kwargs))
        if Op.DEFINE <= message.op <= Op.INHERITED:
            return self._definitions.execute(message.op, message.target, message.name, args, kwargs)
        return self._server.dispatcher.execute(
            message.op, message.target, self.lending.lent, message.name, args, kwargs
        )

    def answer(
        self,
        message: Exec,
        holder: list[Any],
        containers: Sequence[object] = (),
        changes: bytes | None = None,
    ) -> Reply:
        """What to answer to a call that has returned; the buffers of it are sent here.

        Args:
            message: The call.
            holder: Its result, to which nothing else of ours refers: the codec counts.
            containers: Those of the arguments that are written back.
            changes: What the call has changed in them.
        """
        if self.watching.watched:
            # First: what is known to have left a container is no longer owned by it.
            self.watching.tell()
        if self.weakly.held:
            self.weakly.check()
        encoded = self.codec.encode_result(holder, containers)
        self.weakly.returned(holder, self.lending.borrowed)
        size = len(encoded.payload) + len(changes or b"")
        if size > self._largest:
            self._refuse_size(f"the result of {message.name or message.target}", size)
        if not self.is_attached:
            self._check_kept(message, size, encoded.buffers)
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        # The result, and containers that the call has put something into.
        self.unsent[message.call] = holder if changes is None else (holder, containers)
        return Result, message.call, encoded.payload, changes, transfers

    def _check_kept(self, message: Exec, size: int, buffers: Sequence[Buffer]) -> None:
        """See that a result can be kept for a client without a connection.

        Raises:
            LimitExceeded: It cannot. The call has been executed.
        """
        size += sum(memoryview(buffer).nbytes for buffer in buffers)
        limit = self._server.limits.max_unacknowledged
        if self._kept_size() + size > limit:
            raise LimitExceeded(
                f"the result of {message.name or message.target} is lost: the call was executed"
                f" while the client had no connection, and its {size} bytes were more than the"
                f" server keeps for one (--max-unacknowledged, {limit} now)"
            )

    def _fault(
        self, call: int, error: BaseException, executed: bool, snapshot: Snapshot | None = None
    ) -> Reply:
        """What to answer to a call that raised."""
        changes = None
        if self.watching.watched:
            self.watching.tell()
        if self.weakly.held:
            self.weakly.check()
        # Refusals come before any code of the target. Not isinstance, which asks the exception.
        executed = executed and not issubclass(type(error), (NotExposed, StaleHandle))
        if snapshot is not None and executed:
            try:
                changes = snapshot.changes(self.codec)
                if changes is not None and len(changes) > self._largest // 2:
                    self._refuse_size("the list of these changes", len(changes))
            except Exception as second:
                changes = None
                error.add_note(f"what the call changed in its arguments is lost: {second}")
        payload = encode_fault(error, self.codec, limit=self._largest - len(changes or b""))
        self.unsent[call] = (error, snapshot)
        return Fault, call, executed, payload, changes

    def cancelled(self, message: Exec, *, executed: bool) -> Reply:
        """What to answer to a call that was cancelled."""
        done = "was interrupted" if executed else "was cancelled before it began"
        error = CallCancelled(f"the call of {message.name or message.target} {done}")
        return self._fault(message.call, error, executed)

    def failed(self, message: Exec, error: BaseException) -> Reply:
        """What to answer to a call that was ended from outside."""
        return self._fault(message.call, error, executed=True)

    def _refuse(self, message: Exec, reason: str) -> None:
        """One call too many: answered at once, not executed."""
        self._transfers.claim(message.transfers)
        self.reply(self._fault(message.call, LimitExceeded(reason), executed=False))
        self.answering.discard(message.call)
