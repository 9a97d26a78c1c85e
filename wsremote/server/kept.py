"""What calls of pipelines gave: kept on the server, for later calls or until it is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final

from ..codec.scalars import PLAIN_TYPES, UNSIZED_TYPES
from ..errors import LimitExceeded, RemoteProtocolError, StaleHandle, WsRemoteError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

__all__ = ["DependsOnFailed", "Kept"]

_NOTHING: Final = object()

_REMEMBERED: Final = 4096
"""Calls that have ended without an answer; a client has no more of them on their way."""

_MOST_RELEASED: Final = 1_000_000
"""Results that one item of a release names."""

_SMALL: Final = 4096
"""Bytes or characters of a value that is sent along with another."""

_MOST_TEXT: Final = 256 * 1024
"""Bytes or characters of all that are sent along with one."""

_MOST_ASKED: Final = 100_000
"""Results that are asked for at once."""

_NUMBERS: Final = frozenset((int,))
_are_unsized: Final = UNSIZED_TYPES.issuperset


class DependsOnFailed(WsRemoteError):
    """A call needs what another should have given, and that, or one it depends on, has failed.

    Args:
        first: The call that failed first, whose error the client has been told.
    """

    def __init__(self, first: int) -> None:
        super().__init__(f"it depends on call {first} of a pipeline, which has failed")
        self.first = first


class Kept:
    """The values of one session's calls that were not sent, by the number of the call.

    Args:
        limit: Values kept at once.

    Attributes:
        values: What calls gave.
        limit: Values kept at once.
        ended: The last calls that have ended without an answer.
        failures: Of calls that have failed or depend on one that has: that one.
        unwanted: Calls that have not ended and whose values are released already.
        out: Calls of which the value is being encoded, and is not in `values`.
    """

    def __init__(self, limit: int) -> None:
        self.values: dict[int, object] = {}
        self.failures: dict[int, int] = {}
        self.unwanted: set[int] = set()
        # Calls that have ended and are not answered, the last ones: a client that has lost the
        # session asks which of its calls have run.
        self.ended: deque[int] = deque(maxlen=_REMEMBERED)
        self.limit = limit
        self.out: set[int] = set()
        # Held while one of the values is encoded.
        self._lending = threading.RLock()

    def __len__(self) -> int:
        return len(self.values) + len(self.failures)

    @property
    def is_full(self) -> bool:
        """Whether as many are kept as may be."""
        return len(self.values) + len(self.failures) >= self.limit

    def check_room(self) -> None:
        """See that one more value may be kept.

        Raises:
            LimitExceeded: As many are kept as may be.
        """
        if self.is_full:
            raise LimitExceeded(
                f"{self.limit} results of pipelines are kept on the server, as many as may be: let"
                " go of some promises, or start the server with a higher --max-handles"
            )

    @contextlib.contextmanager
    def lent(self, call: int) -> Iterator[list[Any]]:
        """What a call gave, in a list that has the only reference to it of ours, for a moment.

        Raises:
            StaleHandle: Nothing of it is kept.
        """
        with self._lending:
            self.lookup(call)
            # First: who misses it from here on waits.
            self.out.add(call)
            holder = [self.values.pop(call)]
            try:
                yield holder
            finally:
                self.values[call] = holder.pop()
                self.out.discard(call)
                self.ended_unwanted(call)

    def lookup(self, call: int) -> object:
        """What a call gave.

        Raises:
            DependsOnFailed: It has failed.
            StaleHandle: Nothing of it is kept.
        """
        found = self.values.get(call, _NOTHING)
        if found is not _NOTHING:
            return found
        if call in self.out:
            with self._lending:
                found = self.values.get(call, _NOTHING)
            if found is not _NOTHING:
                return found
        if call in self.failures:
            raise DependsOnFailed(self.failures[call])
        raise StaleHandle(
            f"this session has no result of call {call}: it was released, or the call is one of"
            " another session"
        )

    def small(self, calls: Sequence[int]) -> list[Any]:
        """Of what calls gave, the small scalars: a call, and values of it and those that follow.

        And in the end the first call that was not looked at, if there is too much to send at once.

        Args:
            calls: The first of some calls that follow each other, and how many they are, in turn.

        Raises:
            RemoteProtocolError: They are something else, or absurdly many.
        """
        numbers = list(calls)
        if not _NUMBERS.issuperset(map(type, numbers)) or len(numbers) % 2:
            raise RemoteProtocolError("what was kept is asked for by runs of calls")
        if min(numbers, default=1) < 1 or sum(numbers[1::2]) > _MOST_ASKED:
            raise RemoteProtocolError("these are no calls that can be asked for together")
        found: list[Any] = []
        value: Any
        room = _MOST_TEXT
        for first, count in zip(numbers[::2], numbers[1::2], strict=True):
            # All in C, as nearly always they are numbers.
            values = list(map(self.values.get, range(first, first + count), repeat(_NOTHING)))
            if _are_unsized(map(type, values)):
                found += (first, values)
                continue
            run: list[Any] = []
            for call, value in enumerate(values, first):
                kind = type(value)
                if kind not in UNSIZED_TYPES:
                    if kind not in PLAIN_TYPES or len(value) >= _SMALL:
                        run = []
                        continue
                    if (room := room - len(value)) < 0:
                        found.append(call)
                        return found
                if not run:
                    found += (call, run)
                run.append(value)
        return found

    def ended_unwanted(self, call: int) -> None:
        """A call has ended, on its thread: keep nothing of it if it was released before."""
        if call in self.unwanted:
            self.unwanted.discard(call)
            self.values.pop(call, None)
            self.failures.pop(call, None)

    def release(self, call: int, count: int, *pending: Container[int]) -> list[object]:
        """Keep no longer what a call gave, and those that follow it; gives that, to be freed.

        The last one first, as a list frees its own.

        Args:
            call: The first of them.
            count: How many they are. Below zero: as many, downwards.
            pending: Where calls are that have not ended.

        Raises:
            RemoteProtocolError: The count is zero, or absurd.
        """
        if not 0 < abs(count) <= _MOST_RELEASED:
            raise RemoteProtocolError(f"{count} results are released at once")
        calls = range(call, call + count, 1 if count > 0 else -1)
        values, failures, unwanted = self.values, self.failures, self.unwanted
        # All in C, as nearly always each has ended, and none has failed. Not by `in`: that may run
        # code of a value's class.
        released = list(map(values.pop, calls, repeat(_NOTHING)))
        released.reverse()
        if not any(map(is_, released, repeat(_NOTHING))):
            return released
        for place, each in enumerate(reversed(calls)):
            if released[place] is not _NOTHING:
                continue
            if each not in failures and any(each in of for of in (*pending, self.out)):
                # First: who has a value from here on looks there.
                unwanted.add(each)
                if each in values or each in failures:
                    unwanted.discard(each)
                    released[place] = values.pop(each, _NOTHING)
            failures.pop(each, None)
        return [value for value in released if value is not _NOTHING]

    def clear(self) -> None:
        """Keep nothing: the session is over."""
        self.values.clear()
        self.failures.clear()
        self.unwanted.clear()
