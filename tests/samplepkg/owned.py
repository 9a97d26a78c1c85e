"""Containers that this package goes on using after it has handed them out."""

from __future__ import annotations

import array
import collections
import copy
import threading
from collections.abc import Callable
from typing import Any

CONFIG: dict[str, Any] = {"name": "shop", "limits": {"day": 100}, "tags": ["a", "b"]}
KINDS: dict[str, Any] = {}


def restore() -> None:
    """As at the start."""
    CONFIG.clear()
    CONFIG.update(name="shop", limits={"day": 100}, tags=["a", "b"])
    KINDS.clear()
    KINDS.update(
        list=[3, 1, 2],
        dict={"a": 1, "b": [1]},
        set={1, 2},
        bytearray=bytearray(b"abc"),
        deque=collections.deque([1, 2, 3], 5),
        array=array.array("d", [1.0, 2.0]),
        OrderedDict=collections.OrderedDict(a=1, b=2),
        defaultdict=collections.defaultdict(list, a=[1]),
        Counter=collections.Counter("aab"),
    )


restore()


class Shelf:
    """Holds containers inside containers."""

    def __init__(self) -> None:
        self.items: list[Any] = [1, 2, 3]
        self.graph: dict[Any, dict[Any, dict[str, Any]]] = {1: {2: {"w": 1}}, 2: {1: {"w": 1}}}
        self.bytes = bytearray(b"abc")

    def add(self, item: Any) -> None:
        """One more."""
        self.items.append(item)

    def add_and_fail(self, item: Any) -> None:
        """One more, and an error."""
        self.items.append(item)
        raise ValueError("after the fact")

    def add_and_call(self, item: Any, function: Callable[[], Any]) -> Any:
        """One more, and what the function says then."""
        self.items.append(item)
        return function()

    def put(self, key: Any, value: Any) -> None:
        """Into the dict of dicts."""
        self.graph[key] = value

    def size(self) -> int:
        """How many there are."""
        return len(self.items)

    def fill(self, size: int) -> None:
        """With so many numbers."""
        self.items[:] = range(size)

    def is_mine(self, value: object) -> bool:
        """Whether it is the very list."""
        return value is self.items

    def tangle(self) -> None:
        """A list that holds itself."""
        self.items.append(self.items)

    def add_later(self, item: Any) -> None:
        """From a thread of this side, which has ended on return."""
        thread = threading.Thread(target=self.add, args=[item])
        thread.start()
        thread.join()


def same(container: Any, expected: Any) -> bool:
    """Whether a container of this side holds what is expected, in that order."""
    mine = list(container.items()) if isinstance(container, dict) else list(container)
    theirs = list(expected.items()) if isinstance(expected, dict) else list(expected)
    return mine == theirs if not isinstance(container, set) else container == expected


def held(name: str) -> Any:
    """A copy of what one of `KINDS` holds, which is nobody else's."""
    return copy.deepcopy(KINDS[name])


class Table(dict):  # type: ignore[type-arg]
    """A dict with a method of its own."""

    def double(self) -> None:
        """Every value twice as large."""
        for key in self:
            self[key] *= 2


TABLE = Table(a=1)
