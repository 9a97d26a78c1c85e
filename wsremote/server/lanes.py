"""A lane: the thread on which the calls of one client thread run, in order.

While a lane is busy with short calls it reads the connection itself: receives a call,
executes it and writes the answer with no other thread involved. When nothing
comes for a moment it leaves the connection to the poller and sleeps until the poller
has something for it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ..protocol.messages import Batch
from .async_lane import AsyncLane
from .batches import BatchStrand
from .output import current_sink
from .small_calls import serve_small_calls
from .strands import LINGER, here

if TYPE_CHECKING:
    from ..protocol.messages import Exec
    from .session import Session

__all__ = ["Lane"]

logger = logging.getLogger("wsremote.server")

IDLE: Final = 30.0
"""Seconds without a call after which the thread ends if nothing can be bound to it."""


class Lane(BatchStrand):
    """The calls of one client thread, on a thread of their own.

    Args:
        session: The session it belongs to.
        number: The client's number of the lane.
    """

    def __init__(self, session: Session, number: int) -> None:
        super().__init__(session, number)
        # Calls for this lane; None ends it.
        self.inbox: SimpleQueue[Exec | Batch | None] = SimpleQueue()
        # Taken from there already, and not looked at.
        self._taken: deque[Exec | Batch | None] = deque()
        # While it runs an event loop.
        self.loop: AsyncLane | None = None
        self._thread = threading.Thread(
            target=self._run,
            name=f"wsremote-lane-{session.id[:8]}-{number}",
            daemon=True,
        )

    def start(self) -> None:
        """Start the thread; the first call is in the inbox."""
        self._thread.start()

    def put(self, message: Exec | Batch | None) -> None:
        """Give it a call; None ends it. From any thread."""
        self.inbox.put(message)
        if (loop := self.loop) is not None:
            loop.wake()

    @property
    def is_awake(self) -> bool:
        """Whether it will read the connection itself, when it has done what it is at."""
        return self.loop is None and (self.is_executing or not self.inbox.empty())

    # ---- the thread ------------------------------------------------------------------

    def _run(self) -> None:
        self._context.run(self._begin)
        while self._context.run(self._serve):
            # Outside of the lane's context, of which each task gets a copy.
            self.loop = AsyncLane(self, self._context, self.session.loop())
            try:
                self.loop.run()
            except Exception:
                logger.exception("! lane %d of session %s", self.number, self.session.id)
                self.session.end_session("an event loop of its calls failed; see the log", 1011)
                break
            except BaseException:
                # Served code may raise SystemExit in a task that nobody awaits.
                here.calls.clear()
                logger.exception("! lane %d of session %s", self.number, self.session.id)
            finally:
                self.loop = None
        self._context.run(self._end)

    def _begin(self) -> None:
        self.thread = threading.get_ident()
        here.lane = self
        current_sink.set(self.output)
        self.note_state()

    def _serve(self) -> bool:
        """Run calls. True if one comes from an event loop, False at the end of the lane."""
        while True:
            try:
                serve_small_calls(self.session, self, LINGER)
                message = self._next()
                if message is None:
                    return False
                if message.lane < 0:
                    self._taken.appendleft(message)
                    return True
                if not self.session.is_attached:
                    self.session.before_call()
                self.execute(message)
            except Exception:
                # A lane that ended would leave its calls without an answer.
                logger.exception("! lane %d of session %s", self.number, self.session.id)
                self.session.end_session("a thread of its calls failed; the log says why", 1011)
                return False
            except BaseException:
                # Served code can send SystemExit to any thread of this process.
                here.calls.clear()
                logger.exception("! lane %d of session %s", self.number, self.session.id)

    def _end(self) -> None:
        self.output.close()
        self.session.lane_ended()

    def execute(self, message: Exec | Batch) -> None:
        """Run calls, one after the other."""
        if isinstance(message, Batch):
            self.run(deque(message.calls), message.parent)
        else:
            self._execute(message)

    def next_inside(self) -> Exec | Batch | None:
        """The next call, if there is one and it is made from an event loop."""
        self._fill()
        if self._taken and (first := self._taken[0]) is not None and first.lane < 0:
            return self._taken.popleft()
        return None

    def is_called_outside(self) -> bool:
        """Whether there is something next that is not made from an event loop."""
        self._fill()
        return bool(self._taken) and ((first := self._taken[0]) is None or first.lane >= 0)

    def _fill(self) -> None:
        """Take what there is."""
        with contextlib.suppress(Empty):
            while True:
                self._taken.extend(map(self.inbox.get, (False,)))

    def _next(self) -> Exec | Batch | None:
        """The next call of this lane; None when the session is over or the lane is."""
        if self._taken:
            return self._taken.popleft()
        message = self._read_until(self.inbox, self)
        return self._sleep() if message is None else message

    def _sleep(self) -> Exec | Batch | None:
        """Wait for the inbox, while the poller or another lane reads."""
        while True:
            try:
                # One C call: what served code raises in this thread meanwhile loses no message.
                self._taken.extend(map(self.inbox.get, (True,), (IDLE,)))
                return self._taken.popleft()
            except Empty:
                if self.session.retire(self):
                    return None
