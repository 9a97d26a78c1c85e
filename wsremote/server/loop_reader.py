"""The event loop of a lane reads the connection itself, as a lane without one does.

While calls keep coming the loop watches the connection beside what else it waits for, and no call
passes another thread. It has the right to read for moments only, so whoever needs that gets it: a
thread that waits for an answer of the client; and the poller, which looks after the connection when
nothing has come for a tick, because what the loop runs may hold it up.
"""

from __future__ import annotations

import contextlib
import logging
import os
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionLost
from .small_calls import may_be_small, serve_small_calls
from .strands import LINGER

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

    from ..transport.connection import SocketConnection
    from .lanes import Lane

__all__ = ["LoopReader"]

logger = logging.getLogger("wsremote.server")

_PAUSE: Final = 0.001
"""Seconds between two looks at a connection that another thread reads."""


class LoopReader:
    """Reads for a lane, in callbacks of its loop. Of the lane's thread alone, but for `reads`.

    Args:
        lane: Of the calling thread.
        context: Of the lane.
        loop: Of the lane.
        arrived: Set when something is there for the lane.

    Attributes:
        reads: Whether it does. Any thread may look.
    """

    def __init__(
        self,
        lane: Lane,
        context: Context,
        loop: asyncio.AbstractEventLoop,
        arrived: asyncio.Event,
    ) -> None:
        self._lane = lane
        self._session = lane.session
        self._context = context
        self._loop = loop
        self._arrived = arrived
        self.reads = False
        # What it reads; and a descriptor of its own for that, which nobody closes, and no other
        # socket gets, while the loop watches it.
        self._connection: SocketConnection | None = None
        self._descriptor = -1
        # Receptions at the last look whether there are any.
        self._seen = 0
        self._next_look: asyncio.TimerHandle | None = None
        # While another thread reads, and the loop does not watch.
        self._pause: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        """The lane will wait for the next call: read, unless that is better left to the poller."""
        lane, session = self._lane, self._session
        connection = session.connection
        if not lane._lingers or (len(session._lanes) > 1 and session._others_active(lane)):
            self.rest()
        elif self._connection is not connection:
            self.leave()
            self._begin(connection)
        elif self._pause is not None:
            self._watch()

    def _begin(self, connection: SocketConnection) -> None:
        """Read a connection, which the poller has watched so far."""
        if connection.closed is not None:
            return
        try:
            self._descriptor = os.dup(connection.fileno())
        except OSError as error:
            # It was freed at this very moment, or there are no more descriptors.
            logger.debug("! lane %d cannot read: %s", self._lane.number, error)
            return
        self._connection, self._seen, self.reads = connection, connection.activity, True
        self._next_look = self._loop.call_later(LINGER, self._look)
        self._watch()
        # What has been received and not handled, of which no descriptor tells.
        self._loop.call_soon(self._readable)
        poller = self._session.poller
        poller.heat(connection)
        poller.rearm(connection)

    def leave(self) -> None:
        """Read no more. Whoever reads next is another's business."""
        self._connection, self.reads = None, False
        for timer in (self._next_look, self._pause):
            if timer is not None:
                timer.cancel()
        self._next_look = self._pause = None
        if self._descriptor >= 0:
            with contextlib.suppress(RuntimeError):  # served code has closed the loop
                self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def rest(self) -> None:
        """Leave what it reads to the poller. Call it without the right to read."""
        connection = self._connection
        self._lane._rests_since = monotonic()
        self.leave()
        if connection is not None:
            self._session.poller.rest(connection)

    # ---- callbacks of the loop -------------------------------------------------------

    def _watch(self) -> None:
        """Have the loop tell of what comes."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _look(self) -> None:
        """Rest if nothing has come since the last look."""
        assert self._connection is not None
        activity = self._connection.activity
        if activity == self._seen:
            self.rest()
        else:
            self._seen = activity
            self._next_look = self._loop.call_later(LINGER, self._look)

    def _readable(self) -> None:
        """Something has come, or the connection is lost."""
        connection = self._connection
        if connection is None or self._pause is not None:
            return
        if not connection.reading.acquire(blocking=False):
            # Who reads puts what is for this lane into its inbox. Until the kernel has nothing more
            # to tell of, the loop must not run hot.
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE, self._watch)
            return
        lost = connection is not self._session.connection
        try:
            if not lost:
                connection.receive(0)
        except ConnectionLost:
            lost = True
        finally:
            connection.reading.release()
        if lost:
            self.rest()
        elif connection.inbox:
            self._arrived.set()

    # ---- in the task that serves the lane --------------------------------------------

    def take(self) -> bool:
        """Take what has been received: execute a small call, queue others. Whether it was one."""
        lane = self._lane
        if not self._session.connection.inbox:
            return False
        begun = lane.activity
        self._context.run(self._take, lane)
        return lane.activity != begun

    def _take(self, lane: Lane) -> None:
        """In the lane's context."""
        session = self._session
        connection = session.connection
        # A copy: others may take from it, too.
        received = list(connection.inbox)
        is_free = not lane.taken and lane.inbox.empty()
        if is_free and len(received) == 1 and may_be_small(received[0]):
            while serve_small_calls(session, lane, 0.0):
                session.do_chores(lane)
        if connection.inbox and connection.reading.acquire(blocking=False):
            message, lost = None, False
            try:
                message = session.read(connection, lane, 0)
            except ConnectionLost:
                lost = True
            finally:
                connection.reading.release()
            if message is not None:
                # What was queued before is there already; what came behind it is in the inbox.
                lane.taken.append(message)
            if session.chores:
                session.do_chores(lane)
            if lost:
                self.leave()
                session.poller.rest(connection)
