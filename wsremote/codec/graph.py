"""The graph form: values in which a container is met twice, holds itself, or nests deep.

Every list, dict and deque is written once, on its own, and referred to by its number.
The receiver makes all of them empty first and fills them last, so a reference is
the object itself, at any depth. What cannot be filled later (tuples, sets, arrays) is
defined where it is met first and referred to after that.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, Final

from ..errors import DecodeError
from . import tags
from .lowering import Lowering, Refusal, Terms, flat

__all__ = ["GraphLowering", "Shells"]

_NODES: Final = (list, dict, collections.deque)


class GraphLowering(Lowering):
    """One pass over a value, giving its graph form.

    Args:
        shared: Ids of what the tree pass met more than once; None if it broke off, and
            anything may be shared.
    """

    def __init__(self, terms: Terms, shared: set[int] | None) -> None:
        super().__init__(terms)
        self._met_again = shared
        # Number of each list, dict and deque by id, and those not yet written.
        self._shells: dict[int, int] = {}
        self._unwritten: collections.deque[Any] = collections.deque()
        # Number of each defined value by id; None while it is being written.
        self._defined: dict[int, int | None] = {}
        self._complete = 0

    def lower_graph(self, value: object) -> Any:
        """The graph form of `value`."""
        root = self.lower(value)
        self.is_plain = False
        shells: list[Any] = []
        contents = []
        while self._unwritten:
            node = self._unwritten.popleft()
            kind = type(node)
            shells.append(0 if kind is list else 1 if kind is dict else [node.maxlen])
            contents.append(self.items(flat(node) if kind is dict else node))
        return {None: [tags.GRAPH, {None: [tags.SHELLS, *shells]}, root, *contents]}

    def place(self, value: Any, content: Callable[[Lowering, Any], Any]) -> Any:
        """A reference to a shell, or a definition and references to it."""
        key = id(value)
        if type(value) in _NODES:
            number = self._shells.get(key)
            if number is None:
                number = self._shells[key] = len(self._shells)
                self._unwritten.append(value)
            return {None: [tags.SHELL, number]}
        if self._met_again is not None and key not in self._met_again:
            return content(self, value)
        if key in self._defined:
            defined = self._defined[key]
            if defined is None:
                kind = type(value).__name__
                raise Refusal(value, f"a {kind} that holds itself cannot travel")
            return {None: [tags.AGAIN, defined]}
        self._defined[key] = None
        lowered = content(self, value)
        # The receiver reads from the inside out, so a value is numbered after its parts.
        self._defined[key] = number = self._complete
        self._complete += 1
        return {None: [tags.DEFINE, lowered, number]}


class Shells:
    """The receiving side of a graph: containers that are filled last, and defined values."""

    def __init__(self) -> None:
        self._containers: list[Any] = []
        self._defined: list[object] = []

    def make(self, body: list[Any]) -> None:
        """Make the empty containers."""
        if self._containers:
            raise DecodeError("a payload holds one graph")
        for kind in body[1:]:
            if kind == 0:
                self._containers.append([])
            elif kind == 1:
                self._containers.append({})
            else:
                self._containers.append(collections.deque(maxlen=kind[0]))

    def shell(self, number: int) -> object:
        """The container of this number, filled or not."""
        return self._containers[_index(number)]

    def define(self, value: object, number: int) -> object:
        """Keep a value that may be met again."""
        if number != len(self._defined):
            raise DecodeError(f"value {number!r} is defined out of turn")
        self._defined.append(value)
        return value

    def again(self, number: int) -> object:
        """A value defined before."""
        return self._defined[_index(number)]

    def fill(self, contents: list[Any]) -> None:
        """Give the containers their content."""
        for container, content in zip(self._containers, contents, strict=True):
            if type(container) is dict:
                container.update(zip(content[::2], content[1::2], strict=True))
            else:
                container.extend(content)


def _index(number: object) -> int:
    """A number from the wire, as an index that does not count from the end."""
    if type(number) is not int or number < 0:
        raise DecodeError(f"{number!r} is no index")
    return number
