"""The user's word that an iterator may run ahead of what is used of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import GeneratorType
from typing import Any, Final

from ..tree.introspection import mro_of, namespace_of
from .consumer import Reader
from .independence import IN_C

__all__ = ["READER", "Ahead", "ahead"]

READER: Final = "_wsremote_reader"
"""Where the proxy of an iterator has its `Reader`."""


class Ahead:
    """An iterator of this side that may run ahead of the other side's reader.

    Args:
        iterator: It.
    """

    __slots__ = ("iterator",)

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self.iterator

    def __next__(self) -> Any:
        return next(self.iterator)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # what is no class or function is not to look like one
        return getattr(self.iterator, name)


def ahead(iterable: Any) -> Any:
    """Let an iterator run ahead of what is used of it, also if somebody could see that.

    `for row in wsremote.ahead(pkg.rows()): ...` gets many rows with one message, and so does the
    server with `pkg.consume(wsremote.ahead(my_rows()))`. The iterator may be up to 1024 items
    further than the loop; what its code does meanwhile, it does early. Iterators of which
    nobody can see when they run (`range`, a generator of numbers) need no such word.

    Args:
        iterable: An iterator, or what gives one.
    """
    if _is_allowed(iterable):
        # First: in an event loop `iter()` of a remote iterator is refused.
        return iterable
    iterator = iter(iterable)
    if type(iterator) is Ahead or _is_allowed(iterator):
        return iterator
    if type(iterator) not in IN_C and type(iterator) is not GeneratorType:
        # The other side asks those of other classes for one item at a time.
        iterator = _items_of(iterator)
    return Ahead(iterator)


def _is_allowed(iterator: Any) -> bool:
    """Say it of an iterator of the other side. Whether it is one."""
    if not any(READER in namespace_of(cls) for cls in mro_of(type(iterator))):
        return False
    reader = getattr(iterator, READER)
    if type(reader) is Reader:
        reader.allow()
    return type(reader) is Reader


def _items_of(iterator: Iterator[Any]) -> Generator[Any]:
    """A generator of the items of an iterator."""
    yield from iterator
