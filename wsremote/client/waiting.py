"""A thread of the client, and a call that it waits for."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import RemoteProtocolError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from ..protocol.messages import Message, Target

__all__ = ["Deferred", "Given", "Lane", "Lanes", "Over", "TimeUp", "Waiting"]


class Over:
    """In an inbox: nothing more will come, the session is over."""


class Given:
    """In an inbox: what was waited for is there, and is no message."""


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
        self.inbox: deque[Message | type[Over] | type[Given] | Waiting] = deque()
        self.asleep: threading.Lock | None = None
        self.sent = False

    def what_of(self, call: int) -> tuple[Target, str | None] | None:
        """What is called, by the number of the call; None if nobody needs to know of it."""
        return self.what

    def cancelling(self, times: int) -> None:
        """What runs there has been told that it is cancelled; of no account if none awaits it."""

    def give(self, call: int, values: list[Any]) -> int:
        """The answers to a call and those that follow it, scalars; gives how many it has taken."""
        raise RemoteProtocolError("a call that was made alone is answered with others")

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


class Deferred(Protocol):
    """Takes the calls that a thread makes in a block that does not wait for them."""

    def take(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """What to give to who makes a call."""


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
        deferred: What takes the calls of the thread; None if they are made at once.
        timeout: Seconds that each call of the thread may take; None for no such bound.
        deadline: Until when the arguments of such a call may take to leave, monotonic seconds.
        waiting: Left over from the last call, which has ended, for the next.
    """

    __slots__ = (
        "_left",
        "awaited",
        "blocked",
        "deadline",
        "deferred",
        "doing",
        "loop",
        "number",
        "parent",
        "stuck",
        "timeout",
        "waiting",
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
        self.deferred: Deferred | None = None
        self.waiting: Waiting | None = None

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
        # Of the thread, too. They are not left: in the loop that one runs there others may go on,
        # and what they hold.
        self._held_up: list[Lane] = []

    def renew(self) -> Lane:
        """Give the current thread another lane: its own is held up by a call.

        One that was held up before and is not any more, if there is one: so there are never more
        than calls that hold one up at the same time, and one.
        """
        before = self.mine
        if before.loop is not None:
            self._held_up.append(before)
        for lane in self._held_up:
            if lane.stuck is not None and lane.stuck.acquire(blocking=False):
                lane.stuck = None
                self._held_up.remove(lane)
                self.mine = lane
                break
        else:
            self.mine = Lane(next(self._numbers), self._left)
        self.mine.timeout, self.mine.deferred = before.timeout, before.deferred
        return self.mine
