"""One client's session on the server: receives and routes messages, holds the lanes.

Messages come from whoever reads the connection, a lane or the poller, and are routed
under the right to read. A session is built in four files: `outbox` sends, `calling_back` calls
the client, `execution` executes its calls.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.handles import WEAK
from ..protocol.messages import (
    Ack,
    Bye,
    Cancel,
    Chunk,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Leave,
    Modules,
    Ping,
    Pong,
    Release,
    Result,
)
from .execution import Execution
from .lanes import Lane
from .strands import OwnStrand

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..protocol.messages import Message
    from ..transport.connection import SocketConnection
    from .server import Server
    from .strands import Strand

__all__ = ["Session"]

logger = logging.getLogger("wsremote.server")

_MOST_LANES: Final = 4096
"""Threads that a session may have here: one for each of the client's that makes calls."""


class Session(Execution):
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
        super().__init__(server, connection, session_id, installed)
        # What the client says of itself; for the log and the operator.
        self.client = client
        self._closing: str | None = None
        self._is_over = False
        self._lanes: dict[int, Lane] = {}
        # Threads of the server that are none of them and have called the client; and the
        # numbers of those that have ended, which the client is to be told.
        self._left: deque[int] = deque()
        self._own_strand = OwnStrand(self, itertools.count(-1, -1), self._left)
        self._handlers: dict[type[Message], Callable[[Any, Lane | None], Exec | None]] = {
            Exec: self._on_exec,
            Result: self._on_answer,
            Fault: self._on_answer,
            Release: self._on_release,
            Cancel: self._on_cancel,
            Leave: self._on_leave,
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
        if self.chores:
            self.chores.start()
        if self._callbacks:
            # What comes may be for another thread, and the lane be busy.
            return False
        return any(lane.is_awake for lane in self._lanes.values())

    def on_tick(self, now: float) -> bool:
        """Of `transport.base.Owner`. Sends what running calls have printed so far."""
        running = list(self._running.values())
        try:
            for lane in running:
                lane.flush_output()
            for lane in list(self._lanes.values()):
                lane.seen_activity = lane.activity
            self.send_released()
            while self._left:
                self.send(Leave, self._left.popleft())
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
        for call, strand in list(self._running.items()):
            strand.interrupt(call)
        with self._routing:
            self._is_over = True
            for lane in self._lanes.values():
                lane.put(None)
            for wait in self._callbacks.values():
                wait.inbox.put(None)
        self._server.session_ended(self)
        self.chores.stop()
        if len(self.lending.handles) or self.weakly.held or self.chores:
            # In a thread of its own: the finalizers of the objects are user code.
            name = f"wsremote-end-{self.id[:8]}"
            threading.Thread(target=self._let_go, name=name, daemon=True).start()

    @property
    def gone(self) -> str:
        """What to say to who calls a client whose session is over."""
        return (
            f"the session {self.id[:8]} of the client that has this object is over"
            f" ({self._closing or 'the connection was lost'}): it can no longer be used"
        )

    def _let_go(self) -> None:
        """Free what the client held."""
        self.lending.clear()
        self.chores.do()

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
        if message.transfers is not None:
            self._buffers[message.call] = self._transfers.claim(message.transfers)
        self._queued.add(message.call)
        if message.parent is not None and self._hand_over(message):
            return None
        return self._route(message, reader)

    def _route(self, message: Exec, reader: Lane | None) -> Exec | None:
        """Give a call to its lane; back to the caller if it is that lane and is free."""
        with self._routing:
            number = abs(message.lane)
            lane = self._lanes.get(number)
            if lane is None and len(self._lanes) < _MOST_LANES:
                lane = self._lanes[number] = Lane(self, number)
                lane.start()
            if lane is not None:
                if lane is reader and lane.inbox.empty():
                    return message
                lane.put(message)
                return None
        self._refuse(
            message,
            f"{_MOST_LANES} threads of this client have made calls and have not ended, as many as"
            " may be: make the calls of one thread, or of a pool",
        )
        return None

    def rerouted(self, message: Exec) -> None:
        """A call that was nested in a callback that nobody waits for: it is one of its lane."""
        if not self._is_over:
            self._route(message, None)

    def _on_leave(self, message: Leave, reader: Lane | None) -> None:
        """A thread of the client has ended: so does its lane, when it has done what waits."""
        if self._sequence.admit(message):
            with self._routing:
                lane = self._lanes.pop(message.lane, None)
                if lane is not None:
                    lane.put(None)

    def _on_release(self, message: Release, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            for pair in message.handles:
                if type(pair) is not list or [*map(type, pair)] != [int, int]:
                    raise RemoteProtocolError("a release lists pairs of a handle and a count")
            self.release_in_order(message.handles)

    def let_go_of(self, handles: list[list[int]]) -> None:
        """Release handles; what nobody holds any more goes on a thread of its own."""
        for pair in handles:
            if pair[1] == WEAK:
                self.weakly.gone(pair[0])
                self.chores.add(self.weakly.let_go)
                continue
            # In a list that is emptied: no variable of a receiver may be the last to name it.
            value = [self.lending.handles.peek(pair[0])]
            if self.lending.released(*pair):
                self.chores.add(value.clear)

    def _on_cancel(self, message: Cancel, reader: Lane | None) -> None:
        if not self._sequence.admit(message):
            return
        # A call goes from queued to running, never back: looked for in that order it is
        # found. One that is neither has its answer on the way.
        if message.call in self._queued:
            self._cancelled.add(message.call)
        strand = self._running.get(message.call)
        if strand is not None:
            strand.interrupt(message.call)

    def _on_class_info(self, message: ClassInfo, reader: Lane | None) -> None:
        if self._sequence.admit(message):
            self.lending.class_announced(*message[2:])

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

    # ---- lanes -----------------------------------------------------------------------

    def retire(self, lane: Lane) -> bool:
        """End an idle lane, on its thread, if nothing that it made can be bound to that.

        Calls are routed under the right to read: none can come in between.
        """
        if (
            len(self.lending.handles)
            or lane.has_state
            or not self.connection.reading.acquire(blocking=False)
        ):
            return False
        try:
            with self._routing:
                if lane.inbox.empty():
                    del self._lanes[lane.number]
                    return True
        finally:
            self.connection.reading.release()
        return False

    def do_chores(self, reader: Lane | None) -> None:
        """See to what a thread has received that belongs to no call.

        On a session's only lane, between two calls, it is done at once: the client's thread has
        let go of something, and at home the finalizer would run in that.
        """
        if reader is not None and len(self._lanes) == 1:
            self.chores.do()
        else:
            self.chores.start()

    def own_strand(self) -> Strand:
        """The strand of the calling thread, for what is part of no call of this session."""
        return self._own_strand.mine

    def leave_reading(self) -> None:
        """The calling thread reads no more: if others wait, the poller shall."""
        if self._callbacks:
            self.poller.rest(self.connection)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the calling thread, a lane's."""
        return self._server.dispatcher.loop()

    def lane_ended(self) -> None:
        """The calling thread, a lane's, ends."""
        self._server.dispatcher.close_lane()

    def wake_loop(self, thread: int) -> None:
        """An interrupt was sent to a lane's thread: wake the event loop it may wait in."""
        self._server.dispatcher.wake(thread)
