"""Containers that both sides change while a call runs, and functions that carry attributes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any


class Keeper:
    """Shows its list to functions, which may use the keeper meanwhile."""

    def __init__(self) -> None:
        self.items = [1]

    def push(self, item: object) -> None:
        """One more item."""
        self.items.append(item)

    def show(self, function: Callable[[list[Any]], Any]) -> Any:
        """Call it with the list itself."""
        return function(self.items)


def fill(items: list[Any], function: Callable[[], Any]) -> Any:
    """Change the list, then call, then raise or return what the function gives."""
    items.append("there")
    return function()


@functools.singledispatch
def kind(value: object) -> str:
    """What a value is."""
    return "object"


@kind.register
def _(value: int) -> str:
    return "int"


def kind_of(value: object) -> str:
    """What the server says that it is."""
    return kind(value)


@functools.lru_cache(maxsize=2)
def squares(number: int) -> int:
    """Remembered."""
    return number**2


@dataclasses.dataclass
class Seat:
    """A place, of somebody or nobody."""

    number: int
    guest: Keeper | None = None


class Table:
    """With a method that is remembered."""

    @functools.lru_cache(maxsize=8)  # noqa: B019 - there are two
    def row(self, number: int) -> int:
        """Of a number."""
        return number + 1
