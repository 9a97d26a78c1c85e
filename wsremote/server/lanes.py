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
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..protocol.messages import Batch, Exec
from .async_lane import AsyncLane
from .batches import BatchStrand
from .crew import READ, Reading
from .output import current_sink
from .small_calls import serve_small_calls
from .strands import LINGER, here

if TYPE_CHECKING:
    from .batches import Binding
    from .session import Session

__all__ = ["Lane"]

logger = logging.getLogger("wsremote.server")

IDLE: Final = 30.0
"""Seconds without a call after which the thread ends if nothing can be bound to it."""

_COLD: Final = 0.25
"""Seconds without a call after which the next is likely to be alone, too."""


class Lane(BatchStrand):
    """The calls of one client thread, on a thread of their own.

    Args:
        session: The session it belongs to.
        number: The client's number of the lane.
    """

    def __init__(self, session: Session, number: int) -> None:
        super().__init__(session, number)
        # Calls for this lane; None ends it. Another when the thread was given to another lane, for
        # which that finds the lane here, or None if it is to end. Only `Crew` puts anything here.
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        # Taken from there already, and not looked at. Of the thread, as well.
        self.taken: deque[Exec | Batch | Reading | None] = deque()
        # Whether a thread runs it, or waits for its inbox. Changed by `Crew`.
        self.has_thread = False
        self._context.run(current_sink.set, self.output)
        # While it runs an event loop.
        self.loop: AsyncLane | None = None
        self._crew = session._server.crew
        # Whether the thread waits at the connection for the next call. On a server with many
        # threads it does only if that is to come soon: else it wakes once more, in vain.
        self._lingers = not self._crew.is_crowded
        # When it fell asleep last (monotonic seconds); 0 if that is known to the next call.
        self._rests_since = 0.0

    @property
    def name(self) -> str:
        """Of its thread."""
        return f"wsremote-lane-{self.session.id[:8]}-{self.number}"

    def read(self) -> None:
        """Have it read the connection: there is a small call for it. From any thread."""
        try:
            self.put(READ)
        except RuntimeError as error:
            logger.warning("! session %s: %s", self.session.id, error)
            self.session.end_session(f"the server has no thread for a call: {error}", 1011)

    def put(self, message: Exec | Batch | Reading) -> None:
        """Give it a call. From any thread.

        Raises:
            RuntimeError: The system has no more threads.
        """
        if since := self._rests_since:
            self._rests_since = 0.0
            self._lingers = not self._crew.is_crowded or monotonic() - since < _COLD
        self._crew.put(self, message)
        if (loop := self.loop) is not None:
            loop.wake()

    def end(self) -> None:
        """It is over, when it has done what it has to do. From any thread."""
        if not self.has_thread:
            self.output.close()
        self._crew.end(self)
        if (loop := self.loop) is not None:
            loop.wake()

    @property
    def is_awake(self) -> bool:
        """Whether it will read the connection itself, when it has done what it is at."""
        if (loop := self.loop) is not None:
            # A call that holds up the loop may be a long one: who has read meanwhile, reads on.
            return loop.reads and not self.is_executing
        return self._lingers and (self.is_executing or not self.inbox.empty())

    # ---- its thread, one after the other ---------------------------------------------

    def occupy(self, binding: Binding) -> Lane | None:
        """Be the lane of the calling thread while it has that. Gives who has the thread next.

        Args:
            binding: Of the thread.
        """
        inbox, taken = self.inbox, self.taken
        self.thread = threading.get_ident()
        here.lane = self
        while self._context.run(self._serve):
            # Outside of the lane's context: it may go on on another thread, or run tasks, of
            # which each has a copy.
            if self.taken:
                if not self._run_loop():
                    break
            elif not self._sleep(inbox, taken, binding):
                return self._successor(inbox, taken)
        self.output.close()
        self.session.lane_ended()
        return None

    def _serve(self) -> bool:
        """Run calls. False at the end of the lane; True if none is there, or one for a loop."""
        while True:
            try:
                if not self._has_next():
                    return True
                message = self.taken.popleft()
                if message is None:
                    return False
                if isinstance(message, Reading):
                    continue
                if message.lane < 0:
                    self.taken.appendleft(message)
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
                self._log_foreign()

    def _has_next(self) -> bool:
        """Run small calls. Whether there is something next then, which is in `taken`."""
        if not self.taken and self.inbox.empty():
            while serve_small_calls(self.session, self, LINGER if self._lingers else 0.0):
                self.session.do_chores(self)
            if (self._lingers or self.session.connection.inbox) and self.inbox.empty():
                message = self._read_until(self.inbox, self)
                if message is not None:
                    self.taken.append(message)
        if not self.taken and not self.inbox.empty():
            self.taken.extend(map(self.inbox.get, (False,)))
        return bool(self.taken)

    def _run_loop(self) -> bool:
        """Run an event loop. False if that has failed, and the lane is over."""
        self.loop = AsyncLane(self, self._context, self.session.loop())
        try:
            self.loop.run()
        except Exception:
            logger.exception("! lane %d of session %s", self.number, self.session.id)
            self.session.end_session("an event loop of its calls failed; see the log", 1011)
            return False
        except BaseException:
            self._log_foreign()
        finally:
            self.loop = None
        return True

    def _sleep(self, inbox: SimpleQueue[Any], taken: deque[Any], binding: Binding) -> bool:
        """Wait for the inbox, while the poller or another lane reads. False if the thread goes."""
        try:
            is_free = not binding and not len(self.session.lending.handles)
            self._rests_since = monotonic()
            if is_free:
                self._crew.rest(self)
            # One C call: what served code raises in this thread meanwhile loses no message.
            taken.extend(map(inbox.get, (True,), (IDLE,)))
        except Empty:
            # Handles may have come or gone meanwhile.
            is_free = not binding and not len(self.session.lending.handles)
            if is_free and self._crew.leave(self, inbox):
                return False
            self._crew.stay(self)
        except BaseException:
            self._crew.stay(self)
            self._log_foreign()
        return self.inbox is inbox

    def _successor(self, inbox: SimpleQueue[Any], taken: deque[Any]) -> Lane | None:
        """Who has the thread next, which is no longer this lane's."""
        if self.inbox is inbox:
            return None
        if not taken:
            taken.append(inbox.get())
        successor: Lane | None = taken.popleft()
        return successor

    def _log_foreign(self) -> None:
        """Served code can send SystemExit to any thread of this process, or raise it in a task."""
        here.calls.clear()
        logger.exception("! lane %d of session %s", self.number, self.session.id)

    # ---- calls -----------------------------------------------------------------------

    def execute(self, message: Exec | Batch) -> None:
        """Run calls, one after the other."""
        if isinstance(message, Batch):
            self.run(deque(message.calls), message.parent)
        else:
            self._execute(message)

    def next_inside(self) -> Exec | Batch | None:
        """The next call, if there is one and it is made from an event loop."""
        self._fill()
        if self.taken:
            first = self.taken[0]
            if isinstance(first, Exec | Batch) and first.lane < 0:
                del self.taken[0]
                return first
        return None

    def is_called_outside(self) -> bool:
        """Whether there is something next that is not made from an event loop."""
        self._fill()
        if not self.taken:
            return False
        first = self.taken[0]
        return not isinstance(first, Exec | Batch) or first.lane >= 0

    def _fill(self) -> None:
        """Take what there is."""
        with contextlib.suppress(Empty):
            while True:
                self.taken.extend(map(self.inbox.get, (False,)))
