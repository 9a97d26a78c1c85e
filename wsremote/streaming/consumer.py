"""The half of a stream that reads: a buffer of items, and what to ask for next.

It waits for nothing and sends nothing: who reads takes from the buffer, and where that is
empty asks for what `Reader.request()` says and gives the answer to `Reader.take()`. So a
thread that waits and a task that awaits can do so alike.

Interrupts and threads: an item leaves the buffer within one call of C, and an answer comes in
with one assignment. How many items were used is counted by nobody: it is the number behind the
last item of the buffer, less what is left in it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from ..errors import RemoteProtocolError
from ..protocol.pulling import AHEAD, ENDED, MOST_ITEMS, STEP

__all__ = ["NO_ITEMS", "Items", "Reader"]

_GROWTH: Final = 4
"""How many times as many items as have come are asked for next."""

_pop: Final = deque.pop
_popleft: Final = deque.popleft


class Items(deque[Any]):
    """Items of one answer that have not been used.

    Args:
        items: They.
        end: The number behind the last of them.

    Attributes:
        end: That number.
        dropped: Those that are given back, from the end.
    """

    __slots__ = ("dropped", "end")

    def __init__(self, items: Any = (), end: int = 0) -> None:
        super().__init__(items)
        self.end = end
        self.dropped: list[Any] = []

    def taking(self) -> Iterator[Any]:
        """Takes the first one out with each step, in C; IndexError if there is none.

        Not kept here: the two would refer to each other, and leave the items to the collector.
        """
        return map(_popleft, itertools.repeat(self))

    @property
    def used(self) -> int:
        """The number of the first item that was not used."""
        return self.end - len(self) - len(self.dropped)


NO_ITEMS: Final = Items()
"""Of who has not asked for any. Stays empty."""


class Reader:
    """Reads one iterator of the other side.

    Args:
        handle: Of the iterator.
        state: What is known of it: `STEP`, or None for nothing.

    Attributes:
        handle: Of the iterator.
        state: How it stood at the last answer; None before the first.
        items: What has come and was not used.
        lock: Held from a request to its answer, by who does that in threads; and while
            items are given back. Re-entrant: what runs meanwhile may read the same iterator.
        is_allowed: Whether the user has said `ahead`.
    """

    __slots__ = ("_has_asked", "_window", "handle", "is_allowed", "items", "lock", "state")

    def __init__(self, handle: int, state: int | None = None) -> None:
        self.handle = handle
        self.state = state
        self.items = NO_ITEMS
        self.lock = threading.RLock()
        self.is_allowed = False
        self._window = 1
        # Whether a pull has been sent whose items may be on their way.
        self._has_asked = False

    def allow(self) -> None:
        """By the user's word, the iterator may run ahead."""
        self.is_allowed = True
        if self.state == STEP:
            self.state = None

    def request(self) -> tuple[Any, ...]:
        """The arguments of the next pull."""
        self._has_asked = True
        if self.is_allowed:
            return self._window, self.items.used, True
        return self._window, self.items.used

    def take(self, answer: Any, before: Items | None = None) -> None:
        """Put the answer to a pull into the buffer, unless something has happened meanwhile.

        If another pull was answered, or items were given back, this one is of no use: what it
        has brought comes again.

        Args:
            answer: The value of the pull.
            before: `items`, when it was asked for; None if who asked has seen to that.

        Raises:
            RemoteProtocolError: It is none.
        """
        if type(answer) is not list or [*map(type, answer)] != [int, int, list]:
            raise RemoteProtocolError("the answer to a pull is none")
        state, start, items = answer
        if before is not None and self.items is not before:
            return
        used = self.items.used
        if not start <= used or state not in (AHEAD, ENDED):
            raise RemoteProtocolError(
                f"items of an iterator from {start} on came, where {used} were used: it was read"
                " ahead (wsremote.ahead) by an object that is gone, with what that had not used"
            )
        end = start + len(items)
        if end >= used:
            self.items = Items(items[used - start :] if start < used else items, end)
            self.state = state
            self._window = min(_GROWTH * max(1, len(items)), MOST_ITEMS)

    def stepping(self, answer: Any) -> bool:
        """Whether an answer says that the iterator must not run ahead. It has one item then."""
        if type(answer) is list and len(answer) == 3 and answer[0] == STEP and len(answer[2]) == 1:
            self.state = STEP
            return True
        return False

    @property
    def may_hold_items(self) -> bool:
        """Whether the iterator may be further than what was used of it."""
        if self.state == ENDED:
            return bool(self.items or self.items.dropped)
        return self._has_asked and self.state != STEP

    def give_back(self) -> int | None:
        """Take what was not used out of the buffer. Gives the number of its first item.

        None if the other side need not be told. Call `given_back()` when it has been.
        """
        items = self.items
        if not self.may_hold_items:
            return None
        # From the end, in one call of C: a thread that takes the first one at this moment has it.
        with contextlib.suppress(IndexError):
            items.dropped.extend(map(_pop, itertools.repeat(items)))
        return items.used

    def given_back(self) -> None:
        """The other side has been told: begin again behind what was used."""
        used = self.items.used
        self.items = Items((), used)
        self.state = None
        self._window = 1
        self._has_asked = False
