"""One client's session on the server: receives and routes messages, holds the lanes.

Messages come from whoever reads the connection, a lane or the poller, and are routed
under the right to read. A session is built in four files: `outbox` sends, `calling_back` calls
the client, `execution` executes its calls.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.handles import WEAK
from ..protocol.messages import (
    NUMBERED,
    SHUTDOWN,
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
    Replaced,
    Result,
)
from .execution import Execution
from .lanes import Lane
from .strands import OwnStrand

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..protocol.messages import Message, Resume
    from ..protocol.roster import Seat
    from ..transport.connection import SocketConnection
    from .server import Server
    from .strands import Strand

__all__ = ["Session"]

logger = logging.getLogger("wsremote.server")

_MOST_LANES: Final = 4096
"""Threads that a session may have here: one for each of the client's that makes calls."""


_MOST_STRIKES: Final = 3
"""Connections in a row on which a client may break the protocol, with nothing new received, before
its session ends."""


_SILENCE: Final = 60.0
"""Seconds of silence after which a client's connection counts as lost."""

_LOOK: Final = 1.0
"""Seconds between two looks whether calls may begin again."""


class _Nobody:
    """Owns a connection whose session goes on over another: what comes is thrown away.

    Args:
        connection: The old one.
    """

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection

    def on_messages(self) -> bool:
        """Of `transport.base.Owner`."""
        self._connection.inbox.clear()
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        """Of `transport.base.Owner`."""

    def on_tick(self, now: float) -> bool:
        """Of `transport.base.Owner`."""
        return False


class Session(Execution):
    """What one client has on this server.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        seat: Its place in the roster.
        installed: Root packages of the data type registry that the client can import.
        client: What the client says of itself.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        seat: Seat,
        installed: dict[str, str],
        client: dict[str, Any],
    ) -> None:
        super().__init__(server, connection, seat.id, installed)
        self.seat = seat
        # What the client says of itself; for the log and the operator.
        self.client = client
        self._closing: str | None = None
        # Whether this side has ended it.
        self.is_ending = False
        self._is_over = False
        # Connections on which the client has broken the protocol.
        self._strikes, self._struck_at = 0, -1
        # What was seen at the last look, and since when: receptions of the connection, and
        # numbered messages of the client.
        self._heard = (0, time.monotonic())
        self._used = (0, time.monotonic())
        self._lanes: dict[int, Lane] = {}
        # Threads of the server that are none of them and have called the client; and the
        # numbers of those that have ended, which the client is to be told.
        self._left: deque[int] = deque()
        self._own_strand = OwnStrand(self, itertools.count(-1, -1), self._left)
        handlers: dict[type[Message], Callable[[Any, Lane | None], Exec | None]] = {
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
        self._handlers = {cls: (handler, cls in NUMBERED) for cls, handler in handlers.items()}

    # ---- receiving, by the holder of connection.reading ------------------------------

    def read(self, connection: SocketConnection, lane: Lane | None, timeout: float) -> Exec | None:
        """Receive and route. Gives the first call for `lane`, to be run by the caller itself.

        Args:
            connection: Whose `reading` is held.
            lane: That of the calling thread, if it is one's.
            timeout: Seconds to wait for the first message.

        Raises:
            ConnectionLost: Nothing more will come over this connection.
        """
        first = None
        inbox = connection.receive(timeout)
        while inbox:
            try:
                for message in wire.read(inbox[0]):
                    handler, is_numbered = self._handlers.get(type(message), (None, False))
                    if handler is None:
                        raise RemoteProtocolError(
                            f"{type(message).__name__} is not expected in an open session"
                        )
                    if not is_numbered:
                        handler(message, None)
                    # A number counts as received when its message has been handled: one that
                    # breaks a rule by a wrong byte on the line comes again.
                    elif self._sequence.is_next(message):  # type: ignore[arg-type]
                        mine = handler(message, None if first else lane)
                        self._sequence.received += 1
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
            self.poller.rest(connection)
        return first

    def on_messages(self) -> bool:
        """Of `transport.base.Owner`. True while a lane is awake: it will read on."""
        self.read(self.connection, None, 0)
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
        """Of `transport.base.Owner`. The session waits for its client, if that has not left."""
        self.is_attached = False
        if self._closing is None:
            logger.info("= session %s has no connection: %s", self.id, error)
            self._server.session_detached(self)
        else:
            self.finish()

    def attach(
        self,
        connection: SocketConnection,
        answer: Callable[[int, list[list[int]]], Message],
        resume: Resume | None,
    ) -> None:
        """Go on over another connection. Called in the poller's thread.

        Args:
            connection: Open and proved.
            answer: Gives what the client is told first, of what this side has.
            resume: What it has said; None if it repeats its opening, and has nothing.

        Raises:
            RemoteProtocolError: It does not have what it had.
        """
        old = self.connection
        if self.is_attached:
            self._leave(old, resume)
        received, transfers = (0, []) if resume is None else (resume.received, resume.transfers)
        with old.reading, self._sending:
            # Nobody handles what came over it from here on; it comes again.
            old.inbox.clear()
            self._sequence.check_resume(received)
            connection.send(wire.write(answer(*self.resumable())))
            self._attach(connection, received, transfers)
        connection.max_size = self._server.limits.max_message_size
        connection.owner = self
        self.is_attached = True
        self._wake_all()
        self._heard = connection.activity, time.monotonic()
        logger.info("= session %s goes on", self.id)
        if self.has_buffers:
            # They may have to wait for room, which the poller, the calling thread, makes.
            name = f"wsremote-replay-{self.id[:8]}"
            threading.Thread(
                target=self._replay, args=(connection,), name=name, daemon=True
            ).start()
        else:
            self._replay(connection)

    def _leave(self, old: SocketConnection, resume: Resume | None) -> None:
        """Another connection has come while this side believed in the old one."""
        old.owner = _Nobody(old)
        try:
            old.send(wire.write(Replaced({} if resume is None else resume.client)))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.is_attached = False
        old.abort("another connection carries the session")

    def _replay(self, connection: SocketConnection) -> None:
        super()._replay(connection)
        with self._sending:
            if self._printed:
                self._send_printed()

    def finish(self) -> None:
        """The session is over."""
        if self.is_ending:
            # Before its calls are interrupted: the client may come back and ask.
            text = self._closing or ""
            self._server.bury(self, "shutdown" if text == SHUTDOWN else "ended", text)
        with self._sending:
            if self.closed_because is not None:
                return
            self.closed_because = self._closing or "the connection was lost"
            # No answer is of the plain kind any more: each finds out.
            self._sequence.written = -1
        self._wake_all()
        logger.info("= session %s ended: %s", self.id, self.closed_because)
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

    def look(self, now: float) -> None:
        """Now and then, in the poller's thread: is the client there, and does it do anything?"""
        connection, limit = self.connection, self._server.limits.idle_timeout
        if self._running or self._used[0] != self._sequence.received:
            self._used = self._sequence.received, now
        elif limit and now - self._used[1] > limit:
            self.end_session(f"no call was made for {limit:.0f} s (--idle-timeout)")
            return
        if self._heard[0] != connection.activity or connection.has_backlog:
            # Who takes nothing of a backlog any more is given up by the kernel, after 20 s.
            self._heard = connection.activity, now
        elif self.is_attached and now - self._heard[1] > _SILENCE:
            # A client asks whether we are there long before: the line is dead, or it is.
            connection.abort("the client is silent")

    def before_call(self) -> None:
        """Let no call begin while there is no connection and too much waits for one."""
        limit = self._server.limits.max_unacknowledged

        def is_full() -> bool:
            return not self.is_attached and not self._is_over and self._kept_size() > limit

        while is_full():
            self._sleep_while(is_full, _LOOK)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost if it ends."""
        return not (
            len(self.lending.handles)
            or self._running
            or self._queued
            # Answers that the client has not got.
            or self._sequence.unacked
            or self._printed
        )

    def last_words(self) -> tuple[int, list[int], list[int]]:
        """What `remains` of a session that ends: what has not begun never will."""
        # A call that begins notes that it runs before it looks here.
        self._cancelled.update(self._queued)
        return self.remains()

    def remains(self) -> tuple[int, list[int], list[int]]:
        """What its tombstone says of calls: received, executed and not known, begun."""
        # In this order: one that ends meanwhile is in both.
        started = list(self._running)
        executed = [
            message.call
            for _, data in list(self._sequence.unacked)
            for message in wire.read(data)
            if isinstance(message, Result) or (isinstance(message, Fault) and message.executed)
        ]
        return self._sequence.received, executed, started

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
        limit = self._server.limits.max_calls
        if len(self._running) + len(self._queued) >= limit and self._under_way() >= limit:
            self._refuse(
                message,
                f"{limit} calls of this session are queued or running, as many as may be: wait"
                f" for some of them, or start the server with a higher --max-calls ({limit} now)",
            )
            return None
        if message.transfers is not None:
            self._buffers[message.call] = self._transfers.claim(message.transfers)
        self._queued.add(message.call)
        try:
            if message.parent is not None and self._hand_over(message):
                return None
        except RemoteProtocolError:
            self._queued.discard(message.call)
            self._buffers.pop(message.call, None)
            raise
        return self._route(message, reader)

    def _under_way(self) -> int:
        """How many calls the client may believe to be queued or running."""
        return len({*list(self._running), *list(self._queued)} - self.answering)

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
        with self._routing:
            lane = self._lanes.pop(message.lane, None)
            if lane is not None:
                lane.put(None)

    def _on_release(self, message: Release, reader: Lane | None) -> None:
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
        # A call goes from queued to running, never back: looked for in that order it is
        # found. One that is neither has its answer on the way.
        if message.call in self._queued:
            self._cancelled.add(message.call)
        strand = self._running.get(message.call)
        if strand is not None:
            strand.interrupt(message.call)

    def _on_class_info(self, message: ClassInfo, reader: Lane | None) -> None:
        self.lending.class_announced(*message[2:])

    def _on_chunk(self, message: Chunk, reader: Lane | None) -> None:
        self._transfers.receive(message)

    def _on_fetch(self, message: Fetch, reader: Lane | None) -> None:
        if not all(type(digest) is str for digest in message.digests):
            raise RemoteProtocolError("documents are asked for by their digests")
        documents = self._server.documents(message.digests)
        self._send_unnumbered(Modules(documents))

    def _on_ack(self, message: Ack, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)
        self._send_unnumbered(Pong(message.token, self._sequence.received))

    def _on_pong(self, message: Pong, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_bye(self, message: Bye, reader: Lane | None) -> None:
        self._closing = message.reason or "closed by the client"
        self.connection.close(1000, "bye")

    def _violated(self, text: str) -> None:
        """The client has broken the protocol, or the line has: what came is not to be trusted."""
        logger.warning("! session %s: protocol violation: %s", self.id, text)
        # A line that is bad now and then is no broken peer: that one comes no further.
        received = self._sequence.received
        self._strikes = 1 if received > self._struck_at else self._strikes + 1
        self._struck_at = received
        if self._strikes >= _MOST_STRIKES:
            self.end_session(f"protocol violation: {text}", code=4400)
        else:
            # It comes back, and says again what has not arrived.
            self.connection.close(4400, text[:100])

    def end_session(self, reason: str, code: int = 1000) -> None:
        """Say why, and close; not to a client that has said goodbye itself."""
        if self._closing is not None:
            return
        self._closing = reason
        self.is_ending = True
        if not self.is_attached:
            self.poller.submit(self.finish)
            return
        try:
            self._send_unnumbered(Bye(reason))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.connection.close(code, reason[:100])

    # ---- lanes -----------------------------------------------------------------------

    def retire(self, lane: Lane) -> bool:
        """End an idle lane, on its thread, if nothing that it made can be bound to that.

        Calls are routed under the right to read: none can come in between.
        """
        reading = self.connection.reading
        if len(self.lending.handles) or lane.has_state or not reading.acquire(blocking=False):
            return False
        try:
            with self._routing:
                if lane.inbox.empty():
                    del self._lanes[lane.number]
                    return True
        finally:
            reading.release()
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
