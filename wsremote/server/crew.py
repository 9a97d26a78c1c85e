"""The threads of a server's lanes, of all its sessions.

A lane has a thread of its own while it has something to do, and keeps it for a while after, for
the next call. Ten thousand lanes that rest cannot all do so. Beyond some, a lane that begins gets
the thread of the one that has rested longest, if nothing is bound to that: one wake-up of a thread,
which a lane that rests needs as well. So there are no more threads than that and calls that run at
once, and no call costs the start of one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from .batches import Binding
from .strands import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..protocol.messages import Batch, Exec
    from .lanes import Lane

__all__ = ["READ", "Crew", "Reading"]

logger = logging.getLogger("wsremote.server")

_AT_REST: Final = 64
"""Lanes at rest that keep their threads although others begin."""


class Reading:
    """To a lane: in its connection is something for it that nobody has taken out."""


READ: Final = Reading()


class Crew:
    """Gives lanes their threads, and knows of those of pools. Any thread may use it.

    Attributes:
        at_rest: Lanes that keep their threads although others begin.
    """

    def __init__(self) -> None:
        self.at_rest = _AT_REST
        # Lanes that rest with nothing bound to their threads, the longest first. The inbox of each
        # is empty.
        self._resting: dict[Lane, None] = {}
        self._threads = 0
        # Held for moments, and no other is taken under it. Whatever is put into the inbox of a lane
        # is put there under it.
        self._changing = threading.Lock()

    @property
    def is_crowded(self) -> bool:
        """Whether there are as many threads as lanes at rest may keep."""
        return self._threads >= self.at_rest

    def put(self, lane: Lane, message: Exec | Batch | Reading) -> None:
        """Give a lane something to do, and a thread if it has none.

        Raises:
            RuntimeError: The system has no more threads.
        """
        with self._changing:
            # Who begins looks at the connection in any case.
            if lane.has_thread or message is not READ:
                lane.inbox.put(message)
            if lane.has_thread:
                self._resting.pop(lane, None)
                return
            lane.has_thread = True
            if len(self._resting) >= self.at_rest:
                self._take_from_longest(lane)
                return
        thread = threading.Thread(target=self._work, args=[lane], name=lane.name, daemon=True)
        try:
            thread.start()
        except Exception:
            lane.has_thread = False
            raise
        except BaseException:
            # Served code has sent it to the calling thread, which was waiting for the other one to
            # begin: that runs, and may have done what there is to do.
            if thread not in threading.enumerate():
                lane.has_thread = False
                raise
            logger.exception("! lane %s", lane.name)

    def end(self, lane: Lane) -> None:
        """End a lane, when it has done what it has to do."""
        with self._changing:
            if lane.has_thread:
                self._resting.pop(lane, None)
                lane.inbox.put(None)

    def rest(self, lane: Lane) -> None:
        """A lane will wait for its inbox, on its thread, and can do without that."""
        with self._changing:
            if lane.inbox.empty():
                self._resting[lane] = None
                if len(self._resting) > 2 * self.at_rest:
                    # Of many that have run at once.
                    self._take_from_longest(None)

    def stay(self, lane: Lane) -> None:
        """A lane does not wait any more, if it still has its thread."""
        with self._changing:
            self._resting.pop(lane, None)

    def leave(self, lane: Lane, inbox: SimpleQueue[Any]) -> bool:
        """Take its thread from a lane that waits for an inbox. False if something is there."""
        with self._changing:
            if lane.inbox is not inbox or not inbox.empty():
                return False
            self._resting.pop(lane, None)
            lane.has_thread = False
            return True

    def _take_from_longest(self, lane: Lane | None) -> None:
        """Give a lane the thread of the one that has rested longest. Requires `_changing`."""
        longest = next(iter(self._resting))
        del self._resting[longest]
        longest.has_thread = False
        # The thread waits here; what comes for the lane that had it is not for the thread.
        inbox = longest.inbox
        longest.inbox, longest.taken = SimpleQueue(), deque()
        inbox.put(lane)

    @contextlib.contextmanager
    def thread(self) -> Iterator[None]:
        """The calling thread is one of them, in the block."""
        with self._changing:
            self._threads += 1
        try:
            yield
        finally:
            with self._changing:
                self._threads -= 1

    def _work(self, lane: Lane | None) -> None:
        """The life of a thread: one lane after the other."""
        thread = threading.current_thread()
        # One of ours, for which no call is responsible.
        here.lane = lane
        binding = Binding()
        with self.thread():
            while lane is not None:
                thread.name = lane.name
                lane = lane.occupy(binding)
