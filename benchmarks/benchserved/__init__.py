"""What every peer serves: a function, a class with state, arrays in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
