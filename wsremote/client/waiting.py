"""A thread of the client, and a call that it waits for."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from ..protocol.messages import Message, Target

__all__ = ["Lane", "Lanes", "Over", "TimeUp", "Waiting"]


class Over:
    """In an inbox: nothing more will come, the session is over."""


class TimeUp(Exception):
    """An answer has not come in time."""


class Waiting:
    """One call that has no answer yet.

    Attributes:
        inbox: What has come for it, in order: output, callbacks, at last the answer.
        asleep: Locked while its thread sleeps; released by whoever has something for it.
        what: What is called, for who is told that it is lost.
        sent: Whether its message has a number. If not, it may have one all the same: who sets
            this may have been interrupted.
    """

    __slots__ = ("asleep", "inbox", "sent", "what")

    what: tuple[Target, str | None]

    def __init__(self) -> None:
        # A `Waiting` in it: that one of this thread has got something.
        self.inbox: deque[Message | type[Over] | Waiting] = deque()
        self.asleep: threading.Lock | None = None
        self.sent = False

    def fall_asleep(self) -> threading.Lock:
        """Get ready to sleep; what comes from now on wakes."""
        lock = threading.Lock()
        lock.acquire()
        self.asleep = lock
        return lock

    def wake(self) -> bool:
        """Wake its thread. False if it was awake."""
        lock, self.asleep = self.asleep, None
        if lock is None:
            return False
        try:
            lock.release()
        except RuntimeError:
            # Two threads had something for it at the same moment: it is awake.
            return False
        return True


class Lane:
    """What a client thread is to the server: its calls run there in order.

    Args:
        number: Of the lane, from 1.
        left: Takes the number when the thread has ended, or has another lane.

    Attributes:
        number: Of the lane.
        parent: The server's call that runs in this thread now, and that a new call of the
            thread is nested in; None if there is none.
        stuck: Locked until the call of the lane that was interrupted here last has ended there;
            None if none was.
        loop: The event loop that ran in this thread when it last made a call; None if none
            did, or none that has awaited anything.
        awaited: The calls that coroutines of the loop await.
        blocked: The plain call that the thread waits for while its loop runs; else None.
        doing: What the thread has called last.
        timeout: Seconds that each call of the thread may take; None for no such bound.
        deadline: Until when the arguments of such a call may take to leave, monotonic seconds.
    """

    __slots__ = (
        "_left",
        "awaited",
        "blocked",
        "deadline",
        "doing",
        "loop",
        "number",
        "parent",
        "stuck",
        "timeout",
    )

    def __init__(self, number: int, left: deque[int]) -> None:
        self.number = number
        self._left = left
        self.parent: int | None = None
        self.stuck: threading.Lock | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.awaited: dict[Waiting, None] = {}
        self.blocked: Waiting | None = None
        self.doing: tuple[Target, str | None] | None = None
        self.timeout: float | None = None
        self.deadline = math.inf

    def __del__(self) -> None:
        # At any moment, and in a thread that ends: nothing but this.
        self._left.append(self.number)


class Lanes(threading.local):
    """The lane of the current thread, in one session.

    Args:
        numbers: Of lanes, never used again.
        left: Takes the numbers of lanes whose thread has ended.
    """

    def __init__(self, numbers: Iterator[int], left: deque[int]) -> None:
        self._numbers = numbers
        self._left = left
        self.mine = Lane(next(numbers), left)

    def renew(self) -> Lane:
        """Give the current thread another lane: its own is held up by a call."""
        timeout = self.mine.timeout
        self.mine = Lane(next(self._numbers), self._left)
        self.mine.timeout = timeout
        return self.mine
