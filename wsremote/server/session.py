"""One client's session on the server: routes messages, numbers answers, holds the lanes.

Messages come from whoever reads the connection, a lane or the poller, and are routed
under the right to read. Answers leave from the lane that has them, under `_sending`.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from ..codec import wire
from ..codec.faults import decode_fault, encode_fault
from ..codec.values import Buffer, ValueCodec
from ..codec.writeback import Snapshot, containers_of
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

    from ..protocol.messages import Message, Numbered
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .server import Server

__all__ = ["Reply", "Session"]

Reply = tuple[Any, ...]
"""The class of an answer, Result or Fault, and its fields after `seq` and `ack`."""

logger = logging.getLogger("wsremote.server")


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
        self._sequence = Sequence()
        self._transfers = Transfers(server.limits.max_transfer_size)
        # Orders numbering and writing.
        self._sending = threading.Lock()
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
                    mine = self._handlers[type(message)](message, None if first else lane)
                    first = first or mine
            except KeyError:
                self._violated(f"{type(message).__name__} is not expected in an open session")
            except (RemoteProtocolError, LimitExceeded) as error:
                self._violated(str(error))
            inbox.popleft()
        if first is not None and len(self._lanes) > 1 and self._others_active(lane):
            # The other lanes' calls must not wait until this one is done.
            self.poller.rest(self.connection)
        return first

    def on_messages(self) -> bool:
        """Of `transport.base.Owner`. True while a lane is awake: it will read on."""
        self.read(None, 0)
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
        for lane in list(self._running.values()):
            if (call := lane.current_call) is not None:
                lane.interrupt(call)
        for lane in list(self._lanes.values()):
            lane.inbox.put(None)
        self.lending.clear()
        self._server.session_ended(self)

    def _others_active(self, lane: Lane | None) -> bool:
        return any(other is not lane and other.is_recent for other in self._lanes.values())

    def _on_exec(self, message: Exec, reader: Lane | None) -> Exec | None:
        if not self._sequence.admit(message):
            return None
        if len(self._running) + len(self._queued) >= self._server.limits.max_calls:
            self._refuse(message)
            return None
        if message.parent is not None:
            lane = self._callbacks.get(message.parent)
            if lane is None:
                raise RemoteProtocolError(f"call {message.call} is nested in none of mine")
        else:
            lane = self._lanes.get(message.lane)
            if lane is None:
                lane = self._lanes[message.lane] = Lane(self, message.lane)
                lane.start()
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
            if isinstance(message, Result) and message.transfers is not None:
                self._answered_buffers[message.call] = self._transfers.claim(message.transfers)
            if lane is not None:
                lane.inbox.put(message)

    def _on_release(self, message: Release, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            for handle, count in message.handles:
                self.lending.released(handle, count)

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
        return not self._cancelled or call not in self._cancelled

    def end(self, call: int) -> None:
        """A call has been answered."""
        self._running.pop(call, None)
        if self._cancelled:
            self._cancelled.discard(call)

    def perform(self, message: Exec) -> Reply:
        """Decode, execute, encode: what to answer to a call.

        Raises:
            KeyboardInterrupt: The call was interrupted, or raised it itself.
        """
        codec, executed, snapshot = self.codec, False, None
        try:
            buffers = self._buffers.pop(message.call) if message.transfers is not None else ()
            args, kwargs, origins = codec.decode_call(message.payload, buffers)
            if containers := containers_of(args, kwargs, origins):
                snapshot = Snapshot(containers)
            executed = True
            # The only reference to the result that this side adds: the codec counts them.
            holder = [
                self._server.dispatcher.execute(
                    message.op, message.target, self.lending.lent, message.name, args, kwargs
                )
            ]
            # Scalars: 1 µs less than by the general way.
            payload = codec.plain_result(holder[0])
            if payload is not None and snapshot is None:
                return Result, message.call, payload, None, None
            changes = snapshot.changes(codec) if snapshot is not None else None
            del args, kwargs, origins
            encoded = codec.encode_result(holder, containers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever served code raises, SystemExit included, is the caller's to see.
            executed = executed and not isinstance(error, (NotExposed, StaleHandle))
            return self._fault(message.call, error, executed, snapshot)
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        return Result, message.call, encoded.payload, changes, transfers

    def _fault(
        self, call: int, error: BaseException, executed: bool, snapshot: Snapshot | None = None
    ) -> Reply:
        """What to answer to a call that raised."""
        changes = None
        if snapshot is not None and executed:
            try:
                changes = snapshot.changes(self.codec)
            except Exception as second:
                error.add_note(f"what the call changed in its arguments is lost: {second}")
        return Fault, call, executed, encode_fault(error, self.codec), changes

    def cancelled(self, message: Exec, *, executed: bool) -> Reply:
        """What to answer to a call that was cancelled."""
        done = "was interrupted" if executed else "was cancelled before it began"
        error = CallCancelled(f"the call of {message.name or message.target} {done}")
        return self._fault(message.call, error, executed)

    def _refuse(self, message: Exec) -> None:
        """One call too many: answered at once, not executed."""
        limit = self._server.limits.max_calls
        error = LimitExceeded(
            f"{limit} calls of this session are queued or running (--max-calls {limit});"
            " wait for some of them"
        )
        self.reply(self._fault(message.call, error, executed=False))

    # ---- sending, from any thread ----------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it.

        Raises:
            ConnectionLost: The session is over.
        """
        with self._sending:
            seq, ack = self._sequence.number()
            self.connection.send(wire.write_fields(kind, seq, ack, *fields))
            self._sequence.left()

    def reply(self, reply: Reply) -> None:
        """Send the answer to a call."""
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
        encoded = self.codec.encode_call(args, kwargs)
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
        if isinstance(answer, Fault):
            raise decode_fault(answer.payload, self.codec, "the client")
        return self.codec.decode(answer.payload, self._answered_buffers.pop(callback, ()))

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
