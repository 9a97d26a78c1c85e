"""Runs: calls of a pipeline that follow each other and differ in their arguments alone.

What there is to do for a call is done for a run of them wherever that is possible, here and on
the server: a call of `for i in range(10_000): f(i)` costs the client 1.3 µs, where one that has to
be looked at by itself costs 2.5.
"""

from __future__ import annotations

from itertools import groupby
from operator import neg
from typing import TYPE_CHECKING, Any, Final

from ..protocol.messages import KEEP, QUIET

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Target
    from .promising import Promising

__all__ = ["UNKNOWN", "Run"]

UNKNOWN: Final[Any] = object()
"""In the place of a value that is not here."""


class Run:
    """One call or several, and what is known of their values.

    It lives as long as any of its promises, which find their values in it.

    Args:
        pipeline: In whose block they were made.
        first: Number of the first; the others follow.
        op: One of `Op`, perhaps with `AWAIT`.
        target: Of all of them.
        name: The same.
        arguments: Of each call, in order: a tuple of scalars, or of a single call a payload.
        mark: `KEEP`, or `QUIET` if there are no promises.

    Attributes:
        values: What they gave, in order, as far as it is here; None if nothing is.
        dropped: Takes the number of a call, negated, when its promise has died.
    """

    __slots__ = (
        *("__weakref__", "_died", "_errors", "_mark", "_unkept"),
        *("arguments", "dropped", "first", "name", "op", "pipeline", "target", "values"),
    )

    def __init__(
        self,
        pipeline: Promising,
        first: int,
        op: int,
        target: Target,
        name: str | None,
        arguments: list[Any],
        mark: int = KEEP,
    ) -> None:
        self.pipeline = pipeline
        self.first = first
        self.op = op
        self.target = target
        self.name = name
        self.arguments = arguments
        self.values: list[Any] | None = None
        # Calls, negated, whose promises have died before the run was known to have left; and those
        # of them of which the server is not to keep anything, as it left.
        self._died: list[int] = []
        self._unkept: frozenset[int] | None = None
        self.dropped: Callable[[int], object] = self._died.append
        self._mark = mark
        self._errors: dict[int, BaseException] | None = None

    def __len__(self) -> int:
        return len(self.arguments)

    @property
    def numbers(self) -> range:
        """The numbers of the calls."""
        return range(self.first, self.first + len(self.arguments))

    def entries(self) -> list[list[Any]]:
        """The calls as `Batch` lists them, as they leave now."""
        arguments = self.arguments
        if not self._died:
            # As nearly always: 0.2 µs, which is much for a single call.
            args: Any = arguments if len(arguments) > 1 else arguments[0]
            return [[self.first, self.op + self._mark, self.target, self.name, args]]
        self._unkept = frozenset(self._died)
        if len(self._unkept) == len(arguments):
            args = arguments if len(arguments) > 1 else arguments[0]
            return [[self.first, self.op + QUIET, self.target, self.name, args]]
        entries = []
        place = 0
        for is_unkept, calls in groupby(map(neg, self.numbers), self._unkept.__contains__):
            start, place = place, place + len(list(calls))
            args = arguments[start:place] if place - start > 1 else arguments[start]
            op = self.op + (QUIET if is_unkept else self._mark)
            entries.append([self.first + start, op, self.target, self.name, args])
        return entries

    def has_left(self, released: Callable[[int], object]) -> None:
        """It is on its way: who drops a promise from here on has to release what is kept for it.

        May be said again: another thread may be dropping a promise at this very moment.

        Args:
            released: Is told of what the server need not keep, as `dropped` is.
        """
        self.dropped = released
        while self._died:
            if self._unkept is None or self._died[-1] not in self._unkept:
                released(self._died[-1])
            del self._died[-1]

    @property
    def has_died(self) -> bool:
        """Whether promises have died of which nobody has been told."""
        return bool(self._died)

    def unknown(self, call: int = 0) -> list[tuple[int, int]]:
        """The calls but for one whose values are not here: from which to before which.

        What follows that one first: there may be too much for one answer.
        """
        values, end = self.values, self.first + len(self.arguments)
        if values is None and not self.first <= call < end:
            return [(self.first, end)]
        known: set[int] = set()
        if values is not None:
            known = {each for each in self.numbers if values[each - self.first] is not UNKNOWN}
        parts = [(self.first, end)]
        for each in sorted({*known, call}.intersection(self.numbers)):
            start, stop = parts.pop()
            parts += ((start, each), (each + 1, stop))
        return sorted(
            (part for part in parts if part[0] < part[1]), key=lambda each: each < (call,)
        )

    def learn(self, call: int, values: list[Any]) -> None:
        """Of the calls from this one on, these are the values; the list is the run's then."""
        if len(values) == len(self.arguments):
            self.values = values
            return
        if self.values is None:
            self.values = [UNKNOWN] * len(self.arguments)
        place = call - self.first
        self.values[place : place + len(values)] = values

    def fail(self, call: int, error: BaseException) -> None:
        """A call has no value, and why."""
        if self._errors is None:
            self._errors = {}
        self._errors[call] = error

    def error_of(self, call: int) -> BaseException | None:
        """Why a call has no value, if that is known."""
        found = None if self._errors is None else self._errors.get(call)
        return self.pipeline.error_of(call) if found is None else found
