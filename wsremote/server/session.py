"""One client's session on the server: routes messages, numbers answers, holds the lanes.

Messages come from whoever reads the connection, a lane or the poller, and are routed
under the right to read. Answers leave from the lane that has them, under `_sending`.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec import wire
from ..codec.faults import decode_fault, encode_fault
from ..codec.values import Buffer, ValueCodec
from ..codec.writeback import WRITE_BACK_LIMIT, Snapshot, apply_changes, containers_of
from ..errors import (
    CallCancelled,
    ConnectionLost,
    LimitExceeded,
    NotExposed,
    RemoteProtocolError,
    StaleHandle,
)
from ..protocol.messages import (
    Ack,
    Bye,
    Cancel,
    Chunk,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Modules,
    Op,
    Output,
    Ping,
    Pong,
    Release,
    Result,
)
from ..protocol.sequence import Sequence
from ..protocol.transfers import Transfers, chunks_of
from .lanes import Lane
from .lending import Lending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Sequence as SequenceOf

    from ..protocol.messages import Message, Numbered
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .server import Server

__all__ = ["Reply", "Session"]

Reply = tuple[Any, ...]
"""The class of an answer, Result or Fault, and its fields after `seq` and `ack`."""

logger = logging.getLogger("wsremote.server")

_MOST_LANES: Final = 4096
"""Threads that a session may have here: one for each of the client's that has made a call."""

_ENVELOPE: Final = 4096
"""Bytes of a message around its payload, at most."""


class Session:
    """What one client has on this server.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
        installed: Root packages of the data type registry that the client can import.
        client: What the client says of itself.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        session_id: str,
        installed: dict[str, str],
        client: dict[str, Any],
    ) -> None:
        self.id = session_id
        # What the client says of itself; for the log and the operator.
        self.client = client
        self.connection = connection
        self.poller: Poller = server.poller
        self.lending = Lending(
            self, server.inventory, server.policy, server.limits.max_handles, installed
        )
        self.codec = ValueCodec(self.lending)

        self._server = server
        # Bytes of a payload that leaves room for the other fields of its message.
        self._largest = server.limits.max_message_size - _ENVELOPE
        self._sequence = Sequence()
        self._transfers = Transfers(server.limits.max_transfer_size)
        # Orders numbering and writing. Re-entrant only because such a lock can tell a finalizer,
        # which Python may run at any moment, in whose middle it runs.
        self._sending = threading.RLock()
        # What the client has released. Their finalizers are user code, for a lane to run: each is
        # in a list, which that empties, so that no variable of a receiver is the last to name it.
        self.released: deque[list[object]] = deque()
        self._next_transfer = 1
        self._next_callback = 1
        self._lanes: dict[int, Lane] = {}
        # The client's calls: those that wait for their lane, and those that run.
        self._queued: set[int] = set()
        self._running: dict[int, Lane] = {}
        self._cancelled: set[int] = set()
        # Buffers that came ahead of calls that have not begun.
        self._buffers: dict[int, list[bytearray]] = {}
        # The server's calls of client objects, and who waits for each.
        self._callbacks: dict[int, Lane] = {}
        self._answered_buffers: dict[int, list[bytearray]] = {}
        self._closing: str | None = None
        self._handlers: dict[type[Message], Callable[[Any, Lane | None], Exec | None]] = {
            Exec: self._on_exec,
            Result: self._on_answer,
            Fault: self._on_answer,
            Release: self._on_release,
            Cancel: self._on_cancel,
            ClassInfo: self._on_class_info,
            Chunk: self._on_chunk,
            Fetch: self._on_fetch,
            Ack: self._on_ack,
            Ping: self._on_ping,
            Pong: self._on_pong,
            Bye: self._on_bye,
        }

    # ---- receiving, by the holder of connection.reading ------------------------------

    def read(self, lane: Lane | None, timeout: float) -> Exec | None:
        """Receive and route. Gives the first call for `lane`, to be run by the caller itself.

        Raises:
            ConnectionLost: Nothing more will come.
        """
        first = None
        inbox = self.connection.receive(timeout)
        while inbox:
            try:
                for message in wire.read(inbox[0]):
                    handler = self._handlers.get(type(message))
                    if handler is None:
                        raise RemoteProtocolError(
                            f"{type(message).__name__} is not expected in an open session"
                        )
                    mine = handler(message, None if first else lane)
                    first = first or mine
            except (RemoteProtocolError, LimitExceeded) as error:
                self._violated(str(error))
                inbox.clear()
                return first
            except ConnectionLost:
                raise
            except Exception:
                # A bug of ours must not take the thread along that all sessions rely on.
                logger.exception("! session %s: cannot handle a message", self.id)
                self.end_session("the server failed on a message; its log says why", code=1011)
                inbox.clear()
                return first
            inbox.popleft()
        if first is not None and len(self._lanes) > 1 and self._others_active(lane):
            # The other lanes' calls must not wait until this one is done.
            self.poller.rest(self.connection)
        return first

    def on_messages(self) -> bool:
        """Of `transport.base.Owner`. True while a lane is awake: it will read on."""
        self.read(None, 0)
        if self.released:
            lanes = list(self._lanes.values())
            next((lane for lane in lanes if not lane.is_executing), lanes[0]).wake()
        return any(lane.is_executing or not lane.inbox.empty() for lane in self._lanes.values())

    def on_tick(self, now: float) -> bool:
        """Of `transport.base.Owner`. Sends what running calls have printed so far."""
        running = list(self._running.values())
        try:
            for lane in running:
                lane.flush_output()
            for lane in list(self._lanes.values()):
                lane.seen_activity = lane.activity
            self._send_released()
            self._send_ack(idle=True)
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
            return False
        return bool(running)

    def on_lost(self, error: ConnectionLost) -> None:
        """Of `transport.base.Owner`. The session ends with its connection."""
        logger.info("= session %s ended: %s", self.id, self._closing or error)
        # What has not begun never will.
        self._cancelled.update(self._queued)
        for lane in list(self._running.values()):
            if (call := lane.current_call) is not None:
                lane.interrupt(call)
        for lane in list(self._lanes.values()):
            lane.inbox.put(None)
        self._server.session_ended(self)
        if len(self.lending.handles) or self.released:
            # In a thread of its own: the finalizers of the objects are user code.
            name = f"wsremote-end-{self.id[:8]}"
            threading.Thread(target=self._let_go, name=name, daemon=True).start()

    def _let_go(self) -> None:
        """Free what the client held."""
        self.lending.clear()
        self.drop_released()

    def drop_released(self) -> None:
        """Free what the client has released; with no lock held."""
        while self.released:
            try:
                value = self.released.popleft()
            except IndexError:
                return  # another lane has freed the last one
            value.clear()

    def _others_active(self, lane: Lane | None) -> bool:
        return any(other is not lane and other.is_recent for other in self._lanes.values())

    def _on_exec(self, message: Exec, reader: Lane | None) -> Exec | None:
        if not self._sequence.admit(message):
            return None
        if len(self._running) + len(self._queued) >= self._server.limits.max_calls:
            limit = self._server.limits.max_calls
            self._refuse(
                message,
                f"{limit} calls of this session are queued or running, as many as may be: wait"
                f" for some of them, or start the server with a higher --max-calls ({limit} now)",
            )
            return None
        if message.parent is not None:
            lane = self._callbacks.get(message.parent)
            if lane is None:
                raise RemoteProtocolError(f"call {message.call} is nested in none of mine")
        else:
            lane = self._lanes.get(message.lane)
            if lane is None:
                if len(self._lanes) >= _MOST_LANES:
                    self._refuse(
                        message,
                        f"{_MOST_LANES} threads of this client have made calls not long ago, as"
                        " many as may be: make the calls of one thread, or of a pool",
                    )
                    return None
                lane = Lane(self, message.lane)
                lane.start()
                self._lanes[message.lane] = lane
        if message.transfers is not None:
            self._buffers[message.call] = self._transfers.claim(message.transfers)
        self._queued.add(message.call)
        if lane is reader and message.parent is None and lane.inbox.empty():
            return message
        lane.inbox.put(message)
        return None

    def _on_answer(self, message: Result | Fault, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            lane = self._callbacks.pop(message.call, None)
            if lane is None:
                raise RemoteProtocolError(f"call {message.call} is answered, and waits for nothing")
            if isinstance(message, Result) and message.transfers is not None:
                self._answered_buffers[message.call] = self._transfers.claim(message.transfers)
            lane.inbox.put(message)

    def _on_release(self, message: Release, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            for pair in message.handles:
                if type(pair) is not list or [*map(type, pair)] != [int, int]:
                    raise RemoteProtocolError("a release lists pairs of a handle and a count")
                value = [self.lending.handles.peek(pair[0])]
                if self.lending.released(*pair):
                    self.released.append(value)

    def _on_cancel(self, message: Cancel, reader: Lane | None) -> None:
        if not self._sequence.admit(message):
            return
        # A call goes from queued to running, never back: looked for in that order it is
        # found. One that is neither has its answer on the way.
        if message.call in self._queued:
            self._cancelled.add(message.call)
        lane = self._running.get(message.call)
        if lane is not None:
            lane.interrupt(message.call)

    def _on_class_info(self, message: ClassInfo, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            self.lending.class_announced(message.number, message.path)

    def _on_chunk(self, message: Chunk, reader: Lane | None) -> None:
        self._transfers.receive(message)

    def _on_fetch(self, message: Fetch, reader: Lane | None) -> None:
        if not all(type(digest) is str for digest in message.digests):
            raise RemoteProtocolError("documents are asked for by their digests")
        documents = self._server.documents(message.digests)
        self.connection.send(wire.write(Modules(documents)))

    def _on_ack(self, message: Ack, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)
        self.connection.send(wire.write(Pong(message.token, self._sequence.received)))

    def _on_pong(self, message: Pong, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_bye(self, message: Bye, reader: Lane | None) -> None:
        self._closing = message.reason or "closed by the client"
        self.connection.close(1000, "bye")

    def _violated(self, text: str) -> None:
        """The other side has broken the protocol: the session is not to be trusted."""
        logger.warning("! session %s: protocol violation: %s", self.id, text)
        self.end_session(f"protocol violation: {text}", code=4400)

    def end_session(self, reason: str, code: int = 1000) -> None:
        """Say why, and close."""
        self._closing = reason
        try:
            self.connection.send(wire.write(Bye(reason)))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.connection.close(code, reason[:100])

    # ---- executing, by the lanes -----------------------------------------------------

    def begin(self, call: int, lane: Lane) -> bool:
        """A queued call runs now. False if it was cancelled while it waited."""
        self._running[call] = lane
        self._queued.discard(call)
        if not self.connection.attended:
            # Read by its lane before the poller saw it: what it prints is to be sent meanwhile.
            self.poller.attend(self.connection)
        return not self._cancelled or call not in self._cancelled

    def end(self, call: int) -> None:
        """A call has been answered."""
        self._running.pop(call, None)
        if self._cancelled:
            self._cancelled.discard(call)
        if self._buffers:
            # Of a call that was cancelled before it began.
            self._buffers.pop(call, None)

    def perform(self, message: Exec) -> Reply:
        """Decode, execute, encode: what to answer to a call.

        Raises:
            KeyboardInterrupt: The call was interrupted, or raised it itself.
        """
        codec, executed, snapshot = self.codec, False, None
        try:
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            executed = True
            # The only reference to the result that this side adds: the codec counts them.
            holder = [
                self._server.dispatcher.execute(
                    message.op, message.target, self.lending.lent, message.name, args, kwargs
                )
            ]
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins
            return self.answer(message, holder, containers, changes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever served code raises, SystemExit included, is the caller's to see.
            return self._fault(message.call, error, executed, snapshot)

    def answer(
        self,
        message: Exec,
        holder: list[Any],
        containers: SequenceOf[object] = (),
        changes: bytes | None = None,
    ) -> Reply:
        """What to answer to a call that has returned; the buffers of it are sent here.

        Args:
            message: The call.
            holder: Its result, to which nothing else of ours refers: the codec counts.
            containers: Those of the arguments that are written back.
            changes: What the call has changed in them.
        """
        encoded = self.codec.encode_result(holder, containers)
        size = len(encoded.payload) + len(changes or b"")
        if size > self._largest:
            self._refuse_size(f"the result of {message.name or message.target}", size)
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        return Result, message.call, encoded.payload, changes, transfers

    def _fault(
        self, call: int, error: BaseException, executed: bool, snapshot: Snapshot | None = None
    ) -> Reply:
        """What to answer to a call that raised."""
        changes = None
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
        return Fault, call, executed, payload, changes

    def _refuse_size(self, what: str, size: int) -> NoReturn:
        """Say that something is too large for one message.

        Raises:
            LimitExceeded: Always.
        """
        raise LimitExceeded(
            f"{what} has {size} bytes, and the server sends no message above"
            f" {self._server.limits.max_message_size} bytes: ask for less at once, keep it on the"
            " server, or start the server with a higher --max-message-size"
        )

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

    # ---- sending, from any thread ----------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it.

        Raises:
            ConnectionLost: The session is over.
        """
        connection, sequence = self.connection, self._sequence
        with self._sending:
            before = connection.messages_sent
            seq, ack = sequence.sent + 1, sequence.received
            try:
                connection.send(wire.write_fields(kind, seq, ack, *fields))
            finally:
                # Also if an interrupt came when the message was on its way already.
                if connection.messages_sent != before:
                    sequence.sent, sequence.acknowledged = seq, ack

    @property
    def is_sending(self) -> bool:
        """Whether the calling thread is in the middle of a sending."""
        return bool(self._sending._is_owned())  # type: ignore[attr-defined]

    def reply(self, reply: Reply) -> None:
        """Send the answer to a call, once the client has taken what was sent before."""
        self.connection.wait_for_room()
        self.send(*reply)

    def send_output(self, call: int, pieces: Iterable[tuple[int, str]]) -> None:
        """Send what a call has printed."""
        for stream, text in pieces:
            self.send(Output, call, stream, text)

    def announce_class(self, number: int, path: str, node: bytes | None) -> None:
        """Tell the client the number of a class, before the first handle of it."""
        self.send(ClassInfo, number, path, node)

    def _send_buffers(self, buffers: Iterable[Buffer]) -> list[int]:
        """Send buffers in chunks, ahead of the message that will list them."""
        transfers = []
        for buffer in buffers:
            with self._sending:
                transfer = self._next_transfer
                self._next_transfer += 1
            transfers.append(transfer)
            for chunk in chunks_of(transfer, buffer):
                self.connection.wait_for_room()
                self.connection.send(wire.write(chunk))
        return transfers

    def _send_released(self) -> None:
        """Tell the client which of its functions are gone here.

        Not while a call runs: its answer may still name one of them.
        """
        gone = self.lending.let_go
        count = len(gone)
        if count and not self._running:
            self.send(Release, [list(gone.popleft()) for _ in range(count)])

    def _send_ack(self, *, idle: bool) -> None:
        ack = self._sequence.ack_due(idle=idle)
        if ack is not None:
            self.connection.send(wire.write(ack))

    # ---- callbacks, on the lanes -----------------------------------------------------

    def call_client(self, handle: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an object of the client and wait for what it returns.

        Raises:
            BaseException: Whatever it raised.
        """
        lane = next((lane for lane in list(self._lanes.values()) if lane.is_current), None)
        if lane is None or lane.current_call is None:
            raise RuntimeError(
                "a function of the client can be called only on the thread of the call that it"
                " belongs to; this is another thread of the server, or the call has ended"
            )
        containers = containers_of(args, kwargs, too_large=_warn_too_large)
        if self.is_sending or self.connection.reading._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError(
                "a finalizer called a function of the client while its thread was sending to the"
                " client or receiving from it"
            )
        encoded = self.codec.encode_call(args, kwargs)
        if len(encoded.payload) > self._largest:
            self._refuse_size("what a function of the client is called with", len(encoded.payload))
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        with self._sending:
            callback = self._next_callback
            self._next_callback += 1
        self._callbacks[callback] = lane
        lane.flush_output()
        self.send(
            Exec, callback, lane.number, lane.current_call,
            Op.CALL, handle, None, encoded.payload, transfers,
        )  # fmt: skip
        answer = lane.wait_for(callback)
        if answer.changes is not None:
            apply_changes(containers, answer.changes, self.codec)
        if isinstance(answer, Fault):
            raise decode_fault(answer.payload, self.codec, "the client")
        buffers = self._answered_buffers.pop(callback, ())
        return self.codec.decode(answer.payload, buffers, containers)

    # ---- lanes -----------------------------------------------------------------------

    def retire(self, lane: Lane) -> bool:
        """End an idle lane, if nothing that it made can be bound to its thread.

        Calls are routed under the right to read: none can come in between.
        """
        if len(self.lending.handles) or not self.connection.reading.acquire(blocking=False):
            return False
        try:
            if lane.inbox.empty():
                del self._lanes[lane.number]
                return True
        finally:
            self.connection.reading.release()
        return False

    def lane_ended(self) -> None:
        """The calling thread, a lane's, ends."""
        self._server.dispatcher.close_lane()

    def wake_loop(self, thread: int) -> None:
        """An interrupt was sent to a lane's thread: wake the event loop it may wait in."""
        self._server.dispatcher.wake(thread)


def _warn_too_large(argument: str) -> None:
    """What a function of the client changes in a large container will not be seen here."""
    warnings.warn(
        f"{argument} of a function of the client is a container of more than {WRITE_BACK_LIMIT}"
        " elements: the function gets a copy, and what it changes in it stays there",
        stacklevel=4,
    )
