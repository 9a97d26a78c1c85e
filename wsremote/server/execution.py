"""What a session does with a call, on the thread of its lane: decode, execute, and answer."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, Final

from ..codec.ownership import own
from ..codec.packing import pack_scalars
from ..codec.scalars import UNSIZED_TYPES
from ..codec.values import Encoded
from ..codec.writeback import Snapshot, containers_of
from ..errors import RemoteProtocolError
from ..protocol.messages import AWAIT, KEEP, QUIET, Op, Result
from .answering import Answering
from .apart import Made
from .coroutines import awaiting, without_asyncio
from .definitions import Definitions
from .dispatch import is_awaited

if TYPE_CHECKING:
    from ..protocol.memory import Block
    from ..protocol.messages import Exec, Target
    from ..protocol.pulling import Pulled
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .outbox import Reply
    from .server import Server
    from .strands import Strand

__all__ = ["Execution"]

_REFRESH: Final = int(Op.REFRESH)
_ASK: Final = int(Op.ASK)
_NIL: Final = pack_scalars(None)
_PULL: Final = int(Op.PULL)
_AWAIT_INHERITED: Final = AWAIT + Op.INHERITED


class Execution(Answering):
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

        # The client's calls: those that wait for their lane, and those that run.
        self._queued: set[int] = set()
        # Those of batches, queued or running, which have a bound of their own.
        self._batched: set[int] = set()
        self._running: dict[int, Strand] = {}
        self._cancelled: set[int] = set()
        # Buffers that came ahead of calls that have not begun.
        self._buffers: dict[int, list[Block]] = {}

    @functools.cached_property
    def _definitions(self) -> Definitions:
        """The classes that the client defines; most define none."""
        return Definitions(self, self._server.policy, self._server.dispatcher)

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
        if self._travelling and (travelling := self._travelling.get(call)) is not None:
            travelling.answer = self._sequence.sent
        if self._batched:
            self._batched.discard(call)
        if self._cancelled:
            self._cancelled.discard(call)
        if self._buffers:
            # Of a call that was cancelled before it began.
            self._buffers.pop(call, None)
        if self.unsent:
            # Of an answer that could not be sent.
            self.unsent.pop(call, None)

    def perform(self, message: Exec) -> Reply | None:
        """Decode, execute, encode: what to answer to a call; None if it is not answered.

        Raises:
            KeyboardInterrupt: The call was interrupted, or raised it itself.
        """
        codec, executed, snapshot = self.codec, False, None
        try:
            if self.weakly.held:
                self.weakly.let_go()
            if self._needed:
                # As in `serve_small_calls`.
                self._forget_acknowledged()
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            if KEEP <= message.op < QUIET:
                self.kept.check_room()
            executed = True
            if message.op == _ASK and type(message.target) is int and message.target > 0:
                return self._answer_fetched(message)
            if message.op == _REFRESH:
                self._refresh(message.target, whole=kwargs.get("whole") is True)
                return self.answer(message, [None])
            if message.op == _ASK:
                return self._answer_asked(message, args)
            # The only reference to the result that this side adds: the codec counts them.
            holder = [self._value_of(message, args, kwargs)]
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins, buffers
            if message.op < KEEP:
                return self.answer(message, holder, containers, changes)
            return self._keep(message, holder, changes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever served code raises, SystemExit included, is the caller's to see.
            return self._failed(message, error, executed, snapshot)

    def _keep(self, message: Exec, holder: list[Any], changes: bytes | None) -> Reply | None:
        """A call of a pipeline has ended. Its answer, if it has changed its arguments."""
        if message.op < QUIET:
            self.kept.values[message.call] = holder.pop()
            if self.kept.unwanted:
                self.kept.ended_unwanted(message.call)
        return None if changes is None else (Result, message.call, _NIL, changes, None)

    def _answer_asked(self, message: Exec, args: tuple[Any, ...]) -> Reply:
        """`(value, others, failed)`: what was kept of a call, and of others if it is small.

        `others` lists calls and values in turn, of those that the first argument lists. `failed`
        is the call that has failed first, if there is no value because of that.
        """
        target, kept = message.target, self.kept
        if not isinstance(target, int) or target > 0:
            raise RemoteProtocolError("what was kept is asked for by its call, negated")
        if target == 0:
            return self.answer(message, [None])
        if -target in kept.failures:
            # The client has been told what that has raised.
            return self.answer(message, [(None, (), kept.failures[-target])])
        value, small = kept.lookup(-target), kept.small(args[0] if args else ())
        if type(value) in UNSIZED_TYPES and not self.watching.watched and not self.weakly.held:
            # As nearly always, and by a third of the time: all of it is scalars.
            with contextlib.suppress(OverflowError, UnicodeEncodeError):
                encoded = Encoded(pack_scalars([value, small, None]), ())
                return self._answer_made(message, Made(*encoded), [None])
        del value
        # Tuples and scalars: who refers to them does not matter. A bound of the client's is one
        # for the value: then no others come along.
        others = [tuple(each) if type(each) is list else each for each in small]
        # Without the table's own reference: what nothing else refers to is the client's alone.
        with kept.lent(-target) as holder:
            holder[0] = holder[0], tuple(others) if self.max_result is None else (), None
            try:
                made = self._made(message, holder)
            finally:
                holder[0] = holder[0][0]
        # Later calls may write to what is kept while it travels.
        try:
            made = made._replace(buffers=[own(buffer) for buffer in made.buffers])
        except MemoryError:
            self._take_back(made)
            raise
        return self._answer_made(message, made, [None])

    async def perform_awaited(self, message: Exec) -> Reply:
        """The same for a call that is awaited, as a task of the lane's event loop."""
        message = message._replace(op=message.op - AWAIT)
        codec, executed, snapshot = self.codec, False, None
        try:
            if self.weakly.held:
                self.weakly.let_go()
            if self._needed:
                # As in `serve_small_calls`.
                self._forget_acknowledged()
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            executed = True
            value = self._value_of(message, args, kwargs)
            holder = [await awaiting(value) if is_awaited(value) else value]
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins, buffers, value
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
        if message.op >= KEEP:
            message = message._replace(op=message.op % KEEP)
        if message.op == _PULL:
            return self._pulled(message.target, args)
        if message.op == _AWAIT_INHERITED:
            plain = message._replace(op=Op.INHERITED)
            return self._server.dispatcher.awaited(self._value_of(plain, args, kwargs))
        if Op.DEFINE <= message.op <= Op.INHERITED:
            return self._definitions.execute(message.op, message.target, message.name, args, kwargs)
        return self._server.dispatcher.execute(
            message.op, message.target, self.lending.lent, message.name, args, kwargs
        )

    def _pulled(self, handle: Target, args: tuple[Any, ...]) -> Pulled:
        """The next items of an iterator."""
        if isinstance(handle, int):
            self._server.policy.check_special(self.lending.lent(handle), "__next__")
        return self.lending.streams.pull(handle, args)
