"""One client's session on the server: receives and routes messages, holds the lanes.

Messages come from whoever reads the connection, a lane or the poller, and are routed
under the right to read. A session is built in six files, each on the one before: `outbox` sends,
`calling_back` calls the client, `answering` answers its calls, `execution` executes them, `routing`
finds the lane of each; and this one, which receives.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.packing import unpack
from ..codec.scalars import PLAIN_TYPES
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.batches import check_results
from ..protocol.handles import WEAK
from ..protocol.messages import (
    NUMBERED,
    SMALL_EXEC,
    Ack,
    Batch,
    Bye,
    Cancel,
    Cancelling,
    Chunk,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Leave,
    Ping,
    Pong,
    Release,
    Result,
    Results,
    Unread,
)
from .at_once import answer_at_once
from .attendance import Attendance
from .routing import Routing
from .small_calls import may_be_small

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..protocol.messages import Message, Resume
    from ..protocol.roster import Seat
    from ..transport.connection import SocketConnection
    from .lanes import Lane
    from .server import Server

__all__ = ["Session"]

logger = logging.getLogger("wsremote.server")

_MOST_STRIKES: Final = 3
"""Connections in a row on which a client may break the protocol, with nothing new received, before
its session ends."""


_LOOK: Final = 1.0
"""Seconds between two looks whether calls may begin again."""


class Session(Routing, Attendance):
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
        self.client = client
        self.accept_bounds(client)
        self._closing: str | None = None
        self.is_ending = False
        # The last message received at the last tick.
        self._ticked_at = 0
        # Connections on which the client has broken the protocol.
        self._strikes, self._struck_at = 0, -1
        connection.is_urgent = True
        self._used = time.monotonic()
        self._heard = connection.activity, self._used
        # Numbered messages of the client that had come at the last look.
        self._seen = 0
        handlers: dict[type[Message], Callable[[Any, Lane | None], Exec | Batch | None]] = {
            Exec: self._on_exec,
            Batch: self._on_batch,
            Result: self._on_answer,
            Fault: self._on_answer,
            Release: self._on_release,
            Cancel: self._on_cancel,
            Cancelling: self._on_cancelling,
            Leave: self._on_leave,
            ClassInfo: self._on_class_info,
            Unread: self._on_unread,
            Chunk: self._on_chunk,
            Fetch: self._on_fetch,
            Ack: self._on_ack,
            Ping: self._on_ping,
            Pong: self._on_pong,
            Bye: self._on_bye,
        }
        self._handlers = {cls: (handler, cls in NUMBERED) for cls, handler in handlers.items()}

    # ---- receiving, by the holder of connection.reading ------------------------------

    def read(
        self, connection: SocketConnection, lane: Lane | None, timeout: float
    ) -> Exec | Batch | None:
        """Receive and route. Gives the first call for `lane`, to be run by the caller itself.

        Args:
            connection: Whose `reading` is held.
            lane: That of the calling thread, if it is one's.
            timeout: Seconds to wait for the first message.

        Raises:
            ConnectionLost: Nothing more will come over this connection, and nothing that came is
                for the caller.
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
                # An answer to what came behind could not be sent.
                if first is None:
                    raise
                # It has been received, and does not come again. The poller sees to the loss.
                self.poller.rest(connection)
                return first
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

    def on_messages(self) -> bool | None:
        """Of `transport.base.Owner`. True while a lane is awake: it will read on."""
        if (at_once := self._server.at_once) and answer_at_once(self, at_once):
            return None if self._is_quiet() else False
        if (lane := self._reader_of_small()) is not None:
            # When the poller reads nothing here any more, and needs the interpreter no longer: a
            # thread that is woken before waits for both.
            self.poller.submit(lane.read)
            return False
        try:
            self.read(self.connection, None, 0)
        finally:
            # Also what came before a loss.
            if self.chores:
                self.chores.start()
        if self._callbacks or self.sends_large:
            # What comes may be for another thread, and the lane be busy.
            return False
        if self._pool is not None and self._pool.will_read():
            return True
        if any(lane.is_awake for lane in self._lanes.values()):
            return True
        return None if self._is_quiet() else False

    def _reader_of_small(self) -> Lane | None:
        """The lane that is to handle what is in the inbox itself: one small call for it.

        Its short way is quicker than what the poller and a lane do between them; and what the
        client lets go of with a call is finalized before that, as at home.
        """
        inbox, lanes = self.connection.inbox, list(self._lanes.values())
        if len(inbox) != 1 or len(lanes) != 1:
            return None
        data, lane = inbox[0], lanes[0]
        if not may_be_small(data) or not (
            lane.loop is None and not lane.is_executing and lane.inbox.empty()
        ):
            return None
        return lane if _lane_of(data) == lane.number else None

    def _is_quiet(self) -> bool:
        """Whether nothing runs, and nothing will have to be sent."""
        return not (
            self._running
            or self._queued
            or self.batching
            or self.let_go
            or self._left
            or self._pool is not None
            or self._needed
            or self._sequence.acknowledged != self._sequence.received
        )

    def on_tick(self, now: float) -> bool:
        """Of `transport.base.Owner`. Sends what running calls have printed so far."""
        # Most ticks find nothing to do: no lock is taken for that.
        sequence, is_due = self._sequence, False
        running = [*self._running.values(), *self.batching]
        try:
            for strand in running:
                strand.flush()
            for lane in list(self._lanes.values()):
                lane.seen_activity = lane.activity
            if self.let_go:
                self.send_released()
            if self.keeps_acknowledged:
                # Not here: their memory may belong to objects with finalizers.
                self.chores.add(self._forget_acknowledged)
                self.chores.start()
            while self._left:
                self.send(Leave, self._left.pop(0))
            is_due = sequence.acknowledged != sequence.received
            if is_due and sequence.received == self._ticked_at:
                # For a tick, no answer has carried an acknowledgement.
                self._send_ack(idle=True)
                is_due = False
            self._ticked_at = sequence.received
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
            return False
        waits = self._pool is not None and self._pool.tick()
        return any(not strand.rests for strand in running) or waits or is_due

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
        connection.is_urgent = True
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

    def _replay(self, connection: SocketConnection) -> None:
        super()._replay(connection)
        with self._sending:
            if self._printed:
                self._send_printed()

    def finish(self) -> None:
        """The session is over."""
        if self.is_ending:
            # Before its calls are interrupted.
            self._bury()
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
        for strand in list(self.batching):
            for call in strand._running[-1:]:
                strand.interrupt(call)
        with self._routing:
            self._is_over = True
            for lane in self._lanes.values():
                lane.end()
            if self._pool is not None:
                self._pool.close()
            for wait in self._callbacks.values():
                wait.inbox.put(None)
        self._server.session_ended(self)
        self.chores.stop()
        if len(self.lending.handles) or len(self.kept) or self.weakly.held or self.chores:
            # In a thread of its own: the finalizers of the objects are user code.
            name = f"wsremote-end-{self.id[:8]}"
            threading.Thread(target=self._let_go, name=name, daemon=True).start()

    def _was_used(self) -> bool:
        seen, self._seen = self._seen, self._sequence.received
        return bool(self._running or self.batching) or seen != self._seen

    def before_call(self) -> None:
        """Let no call begin while there is no connection and too much waits for one."""
        limit = self._server.limits.max_unacknowledged

        def is_full() -> bool:
            return not self.is_attached and not self._is_over and self._kept_size() > limit

        while is_full():
            self._sleep_while(is_full, _LOOK)

    @property
    def running_calls(self) -> int:
        """How many calls run now."""
        batching = list(self.batching)
        return len(self._running) + sum(len(strand._running) for strand in batching)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost if it ends."""
        return not (
            len(self.lending.handles)
            or len(self.kept)
            or self._running
            or self.batching
            or self._queued
            or (self.apart is not None and self.apart.leaving)
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
        batching = list(self.batching)
        started = [*self._running, *(call for strand in batching for call in strand._running)]
        # What a strand has begun last has run perhaps, and its answer is being sent.
        for strand in batching:
            last = strand._printing, strand.answering
            started += [call for call in last if call is not None]
        ended = [*(call for strand in batching for call in strand.unsent()), *self.kept.ended]
        ended += [] if self.apart is None else list(self.apart.leaving)
        executed = [
            message.call
            for _, data in list(self._sequence.unacked)
            for message in wire.read(data)
            if isinstance(message, Result) or (isinstance(message, Fault) and message.executed)
        ]
        executed += [
            call
            for _, data in list(self._sequence.unacked)
            for message in wire.read(data)
            if isinstance(message, Results)
            for first, values in check_results(unpack(message.payload))
            for call in range(first, first + len(values))
        ]
        executed += ended
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
        self.kept.clear()
        self.lending.clear()
        self.chores.do()

    def _on_release(self, message: Release, reader: Lane | None) -> None:
        for pair in message.handles:
            if type(pair) is not list or [*map(type, pair)] != [int, int]:
                raise RemoteProtocolError("a release lists pairs of a handle and a count")
        self.release_in_order(message.handles)

    def let_go_of(self, handles: list[list[int]]) -> None:
        """Release handles; what nobody holds any more goes on a thread of its own."""
        for pair in handles:
            if pair[0] < 0:
                kept = self.kept.release(-pair[0], pair[1], self._queued, self._running)
                if not PLAIN_TYPES.issuperset(map(type, kept)):
                    self.chores.add(kept.clear)
                continue
            if pair[1] == WEAK:
                self.weakly.gone(pair[0])
                self.chores.add(self.weakly.let_go)
                continue
            # In a list that is emptied: no variable of a receiver may be the last to name it.
            value = [self.lending.handles.peek(pair[0])]
            if self.lending.released(*pair):
                value.append(self.lending.streams.forget(pair[0]))
                self.chores.add(value.clear)

    def _on_cancel(self, message: Cancel, reader: Lane | None) -> None:
        # A call goes from queued to running, never back: looked for in that order it is
        # found. One that is neither has its answer on the way.
        if message.call in self._queued:
            self._cancelled.add(message.call)
        strand = self._running.get(message.call)
        if strand is not None:
            strand.interrupt(message.call)
        for batching in list(self.batching):
            batching.interrupt(message.call)
        self.cancel_large(message.call)

    def _on_unread(self, message: Unread, reader: Lane | None) -> None:
        self.lending.streams.unread(message.handle, message.used)

    def _on_class_info(self, message: ClassInfo, reader: Lane | None) -> None:
        self.lending.class_announced(*message[2:])

    def _on_fetch(self, message: Fetch, reader: Lane | None) -> None:
        self._send_documents(message)

    def _on_ack(self, message: Ack, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping, reader: Lane | None) -> None:
        self._sequence.acknowledge(message.ack)
        self._send_unnumbered(Pong(message.token, self._sequence.received))

    def _on_bye(self, message: Bye, reader: Lane | None) -> None:
        self._take_leave(message)

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

    # ---- lanes -----------------------------------------------------------------------

    def do_chores(self, reader: Lane | None) -> None:
        """See to what a thread has received that belongs to no call.

        On a session's only lane, between two calls, it is done at once: the client's thread has
        let go of something, and at home the finalizer would run in that.
        """
        if reader is not None and len(self._lanes) == 1:
            self.chores.do()
        else:
            self.chores.start()

    def leave_reading(self) -> None:
        """The calling thread reads no more: if others wait, the poller shall."""
        if self._callbacks:
            self.poller.rest(self.connection)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the calling thread, a lane's."""
        return self._server.dispatcher.loop()

    def lane_ended(self) -> None:
        """The calling thread, a lane's, ends."""
        self._server.dispatcher.close_lane(goes_on=self.closed_because is None)

    def wake_loop(self, thread: int) -> None:
        """An interrupt was sent to a lane's thread: wake the event loop it may wait in."""
        self._server.dispatcher.wake(thread)


def _lane_of(data: bytes) -> object:
    """The lane that a message names which begins as that of a small call; None if it names none."""
    try:
        fields = wire.unpack(data)
        return fields[4] if fields[0] == SMALL_EXEC else fields[1][4]
    except (LookupError, TypeError, ValueError):
        # It is refused by who reads it.
        return None
