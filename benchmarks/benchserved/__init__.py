"""What every peer serves: a function, a class with state, arrays in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


def f(a: int, b: int) -> int:
    """The smallest call that does something."""
    return a + b


class Counter:
    """An object that stays on the server."""

    def __init__(self) -> None:
        self.value = 7

    def add(self, a: int, b: int) -> int:
        """The same work as `f`, as a method."""
        return a + b


class Shelf:
    """An object with a container."""

    def __init__(self) -> None:
        self.items = list(range(10))


def last(array: np.ndarray[Any, Any]) -> float:
    """Take an array; give its last number, as a sign that all of it came."""
    return float(array[-1])


def numbers(count: int) -> np.ndarray[Any, Any]:
    """A fresh array of `count` float64."""
    import numpy as np

    return np.arange(count, dtype=np.float64)


def counters(count: int) -> list[Counter]:
    """So many objects that stay on the server, in one call."""
    return [Counter() for _ in range(count)]


def count(stop: int) -> Iterator[int]:
    """A generator of small ints."""
    for number in range(stop):  # noqa: UP028  it stands for any loop
        yield number


def count_seen(stop: int) -> Iterator[int]:
    """One of which nobody can know that running ahead is not seen: it looks at a global."""
    for number in range(stop):
        if not is_closed:
            yield number


is_closed = False
