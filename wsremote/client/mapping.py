"""`map`: one function for many items, with no future for each of them.

Calls leave in chunks, and their values are put where they belong by whoever reads: 1 µs a call,
where a future costs 6.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final

from ..codec.scalars import PLAIN_TYPES
from ..protocol.messages import Exec, Fault, Output, Result, Warned
from .waiting import Given, Over, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .executor import Call
    from .futures import CallFuture
    from .submitting import Submitting

__all__ = ["Chunk", "mapped"]

_AHEAD: Final = 512
"""Calls that are made before the first of them is asked for, at most."""

_AT_FIRST: Final = 32
"""The same as long as no result is known: as many as a server runs beside each other."""

_MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of results that are held for who is slow to take them, about."""

_LARGEST: Final = 128
"""Calls of a chunk."""

_QUICKLY: Final = 0.001
"""Seconds in which a chunk's items are to come; the next is half as large if they do not."""

_SMALL: Final = 1024
"""Bytes or characters of an argument that leaves with others."""

_NOTHING: Final = object()
_SIZED: Final = frozenset((str, bytes))
_are_plain: Final = PLAIN_TYPES.issuperset


class Chunk(Waiting):
    """Several calls of a map, and what they give.

    Args:
        submitting: Of its session.
        first: Number of the first; the others follow.
        count: How many there are.
        what: What is called.
        needed: What the calls need until they have run.

    Attributes:
        first: Number of the first call.
        count: How many there are.
        values: What they gave, in order, as far as it has come.
        odd: Answers that are no scalars, by the call.
        attended: Whether a thread of the session may be about to show what a call has printed.
    """

    __slots__ = (
        *("_cancelled", "_needed", "_over", "_sleepers", "_submitting"),
        *("attended", "count", "first", "largest", "odd", "values"),
    )

    def __init__(
        self, submitting: Submitting, first: int, count: int, what: Any, needed: object
    ) -> None:
        super().__init__()
        self.what = what
        self.sent = True
        # Whoever has something for it is to say so.
        self.asleep = submitting.always
        # Whether something was printed, or called back.
        self.attended = False
        # Bytes of the largest result that is no small scalar.
        self.largest = 0
        self.first = first
        self.count = count
        self.values: list[Any] = [_NOTHING] * count
        self.odd: dict[int, Result | Fault] = {}
        self._needed = needed
        self._submitting = submitting
        self._sleepers: list[Waiting] = []
        self._over = False
        self._cancelled: set[int] = set()

    # ---- what comes, in whoever reads ------------------------------------------------

    def give(self, call: int, values: list[Any]) -> int:
        """The calls from this one on gave scalars. An interrupted reader may say so twice."""
        start = call - self.first
        count = min(len(values), self.count - start)
        self.values[start : start + count] = values[:count]
        self._submitting.ended(range(call, call + count))
        return count

    def wake(self) -> bool:
        """Something has come."""
        inbox = self.inbox
        while inbox:
            message: Any = inbox[0]
            if isinstance(message, Result) or isinstance(message, Fault):
                self.odd[message.call] = message
                self.largest = max(self.largest, self._submitting.size_of(message))
                self._submitting.ended((message.call,))
            elif message is Over:
                self._over = True
            else:
                self._submitting.attend(self)
                break
            inbox.popleft()
        for sleeper in list(self._sleepers):
            sleeper.inbox.append(Over if self._over else Given)
            sleeper.wake()
        return True

    def drain(self) -> None:
        """Show what has been printed, and have callbacks run; in the session's own thread."""
        inbox = self.inbox
        with self._submitting.showing:
            while inbox:
                try:
                    message: Any = inbox.popleft()
                except IndexError:
                    return
                if isinstance(message, Exec):
                    self._submitting.run_apart(message)
                elif isinstance(message, Output) or isinstance(message, Warned):
                    self._submitting.show(message)
                else:
                    inbox.appendleft(message)
                    self.wake()
                    return

    # ---- for who wants the values ----------------------------------------------------

    def value(self, index: int, deadline: float) -> Any:
        """What one of the calls gave; waits for it.

        Raises:
            TimeUp: It has not ended until then, in monotonic seconds.
            BaseException: What it raised.
        """
        call = self.first + index
        while (value := self.values[index]) is _NOTHING:
            if call in self.odd:
                return self._submitting.value_of(self.odd.pop(call), call, ())
            if call in self._cancelled:
                raise futures.CancelledError
            self._wait(
                lambda: (
                    self.values[index] is not _NOTHING
                    or call in self.odd
                    or call in self._cancelled
                ),
                deadline,
            )
        return value

    def unanswered(self) -> list[int]:
        """The calls without an answer."""
        return [
            call
            for call, value in enumerate(self.values, self.first)
            if value is _NOTHING and call not in self.odd and call not in self._cancelled
        ]

    def done(self) -> bool:
        """Whether each call has ended."""
        return self._over or not self.unanswered()

    def wait(self, deadline: float = math.inf) -> None:
        """Wait until each call has ended; as `CallFuture.wait`."""
        while not self.done():
            self._wait(self.done, deadline)

    def cancel(self) -> bool:
        """Have the calls that have not ended not run, or interrupted."""
        for call in self.unanswered():
            if self._submitting.withdraw(self, call):
                self._cancelled.add(call)
                self._submitting.ended((call,))
        for sleeper in list(self._sleepers):
            sleeper.inbox.append(Given)
            sleeper.wake()
        return True

    def __del__(self) -> None:
        # At any moment: what answers lend that nobody has read is released by somebody else.
        odd = getattr(self, "odd", None)
        if odd:
            self._submitting.dropped.extend(odd.values())

    def _wait(self, is_there: Callable[[], bool], deadline: float) -> None:
        """Wait until something has come."""
        sleeper = Waiting()
        sleeper.what = self.what
        self._sleepers.append(sleeper)
        try:
            if self._over:
                sleeper.inbox.append(Over)
            if not is_there():
                self._submitting.wait(sleeper, deadline)
        finally:
            self._sleepers.remove(sleeper)


def mapped(
    submitting: Submitting,
    bind: Callable[[tuple[Any, ...]], Call],
    items: Iterator[tuple[Any, ...]],
    deadline: float,
    chunksize: int,
) -> Iterator[Any]:
    """The results of a map; the first step gives none, and makes the first calls.

    Args:
        submitting: Of the session.
        bind: Gives the call of some arguments, which it does not make.
        items: The arguments of each call.
        deadline: Until when each result has to be there, monotonic seconds.
        chunksize: Calls that leave together at least.

    Raises:
        TimeUp: A result was not there in time.
    """
    made: deque[Chunk | CallFuture] = deque()
    filling = _Filling(submitting, bind, items, chunksize, made)
    try:
        filling.fill()
        yield None
        while made:
            first = made[0]
            if isinstance(first, Chunk):
                values = first.values
                for index in range(first.count):
                    value = values[index]
                    if value is _NOTHING:
                        value = first.value(index, deadline)
                    if first.attended:
                        # What a call has printed comes before its result.
                        first.attended = False
                        first.drain()
                    yield value
            else:
                if not first.done():
                    first.wait(deadline)
                yield first.result()
            filling.largest = max(filling.largest, first.largest)
            made.popleft()
            filling.fill()
        if filling.failure is not None:
            raise filling.failure
    finally:
        for each in made:
            each.cancel()


class _Filling:
    """Makes the calls of a map, some ahead of the results that are taken."""

    def __init__(
        self,
        submitting: Submitting,
        bind: Callable[[tuple[Any, ...]], Call],
        items: Iterator[tuple[Any, ...]],
        chunksize: int,
        made: deque[Chunk | CallFuture],
    ) -> None:
        # What the input, or the first call, has raised: behind the results of what came before.
        self.failure: Exception | None = None
        self._submitting = submitting
        self._bind = bind
        self._items = items
        self._made = made
        self._least = min(chunksize, submitting.window)
        self._most = max(min(_LARGEST, submitting.window), self._least)
        self._size = self._least
        self._call: Call | None = None
        self._has_ended = False
        self._ahead = _AT_FIRST // 2
        # Bytes of the largest result so far.
        self.largest = 0

    def fill(self) -> None:
        """Make more calls; not if the input is slow and results are there."""
        made = self._made
        # Twice as many each time, and as many as there is room for if all are as the largest.
        self.largest = max([self.largest, *(each.largest for each in made)])
        self._ahead = min(2 * self._ahead, _AHEAD, 1 + _MOST_BYTES // (1 + self.largest))
        ahead = max(self._ahead, 2 * self._least)
        while not self._has_ended and (room := ahead - sum(map(_count, made))) >= self._least:
            size = min(self._size, room)
            started = time.monotonic()
            taken: list[tuple[Any, ...]] = []
            try:
                # What it has taken before the input raises is there.
                taken.extend(itertools.islice(self._items, size))
                self._has_ended = len(taken) < size
            except Exception as error:
                self.failure, self._has_ended = error, True
            is_slow = time.monotonic() - started > _QUICKLY
            self._size = max(
                self._least, self._size // 2 if is_slow else min(2 * self._size, self._most)
            )
            self._make(taken)
            if is_slow and made and made[0].done():
                break
        self._submitting.flush()

    def _make(self, taken: list[tuple[Any, ...]]) -> None:
        """Make the calls of some items: as a chunk, if they are alike and scalars."""
        types = frozenset(map(type, itertools.chain.from_iterable(taken)))
        is_plain = _are_plain(types) and len(frozenset(map(len, taken))) == 1
        if is_plain and not types.isdisjoint(_SIZED):
            is_plain = all(
                len(each) < _SMALL
                for each in itertools.chain.from_iterable(taken)
                if type(each) in _SIZED
            )
        try:
            if is_plain:
                if self._call is None or len(self._call[3]) != len(taken[0]):
                    call = self._bind(taken[0])
                    is_plain = not call[4] and call[3] == taken[0]
                    self._call = call
                if is_plain:
                    op, target, name, *_ = self._call
                    self._made.append(self._submitting.submit_many(op, target, name, taken))
                    return
            for args in taken:
                self._made.append(self._submitting.submit(*self._bind(args)))
        except Exception as error:
            self.failure, self._has_ended = error, True


def _count(made: Chunk | CallFuture) -> int:
    return made.count if isinstance(made, Chunk) else 1
