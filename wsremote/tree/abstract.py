"""Abstract classes of Python that say which classes count as theirs: `Mapping.register(C)`.

Of others (`Iterable`, `Hashable`) Python finds out by the methods that a class has, so
that a class with the same methods on the other side counts as well.
"""

from __future__ import annotations

import abc
import collections.abc
import io
import numbers
from abc import ABCMeta
from collections.abc import Callable, Iterator
from typing import Any, Final

from .introspection import class_path, mro_of

__all__ = ["register", "registered_with"]

_CLASSES: Final[dict[str, ABCMeta]] = {
    class_path(cls): cls
    for cls in (
        *(collections.abc.Mapping, collections.abc.MutableMapping, collections.abc.Sequence),
        *(collections.abc.MutableSequence, collections.abc.Set, collections.abc.MutableSet),
        *(collections.abc.KeysView, collections.abc.ItemsView, collections.abc.ValuesView),
        *(numbers.Number, numbers.Complex, numbers.Real, numbers.Rational, numbers.Integral),
        *(io.IOBase, io.RawIOBase, io.BufferedIOBase, io.TextIOBase),
    )
}


# The registry, as weak references: to ask `issubclass` would run the code of metaclasses.
_registry: Callable[[type], tuple[Any, ...]] = vars(abc)["_get_dump"]


def registered_with(cls: type) -> Iterator[str]:
    """Paths of the abstract classes that a class itself is registered with.

    Also by way of an abstract class of a package that is registered with one of Python's.
    """
    for path, abstract in _CLASSES.items():
        if _has(abstract, cls):
            yield path


def _has(abstract: type, cls: type) -> bool:
    """Whether a class is in the registry of an abstract class, or of one that is in there."""
    for reference in _registry(abstract)[0]:
        found = reference()
        if found is cls:
            return True
        if found is not None and ABCMeta in mro_of(type(found)) and _has(found, cls):
            return True
    return False


def register(cls: type, path: str) -> None:
    """Let a class count as derived from one that `registered_with` has named."""
    abstract = _CLASSES.get(path)
    if abstract is not None and not issubclass(cls, abstract):
        abstract.register(cls)
