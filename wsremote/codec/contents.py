"""What mutable containers hold: to compare it later, to write what has changed, to bring it up.

Everything here goes past what a subclass has overridden, as C code does: the methods of
the builtin itself are called. Elements are compared by identity, so no `__eq__` of theirs
runs and nothing is missed.

A *content* is a plain copy: a list, dict, set, bytearray, deque or array. A *change* says in
a tuple how one content becomes the next; None says that only the whole content does.
"""

from __future__ import annotations

import array
import collections
import operator
import sys
from abc import ABC, abstractmethod
from itertools import compress, count
from typing import Any, Final

__all__ = ["ARRAY_LIMIT", "BY_PATH", "MUTABLE", "NDARRAYS", "Kind", "kind_of", "mirrored_kind"]

ARRAY_LIMIT: Final = 256 * 1024
"""Bytes of an ndarray of the server that the client has a mirror of, and no read-only copy."""


_is = operator.is_
_is_not = operator.is_not


class Kind(ABC):
    """How the containers of one builtin, and of classes derived from it, are looked at.

    Attributes:
        builtin: The builtin.
        is_bytes: Whether it is compared as bytes, which is quick.
        needs_content: Whether there are no empty ones of any use.
    """

    is_bytes = False
    needs_content = False

    def __init__(self, builtin: type) -> None:
        self.builtin: Any = builtin

    @property
    def name(self) -> str:
        """What to call such a container."""
        name: str = self.builtin.__name__
        return name

    def size(self, container: Any) -> int:
        """How many elements there are, or bytes."""
        size: int = self.builtin.__len__(container)
        return size

    def blank(self, cls: type, content: Any) -> Any:
        """An instance of a class derived from the builtin, to be filled with this content."""
        return self.builtin.__new__(cls)

    @abstractmethod
    def copy(self, container: Any) -> Any:
        """The content of a container."""

    @abstractmethod
    def is_same(self, content: Any, container: Any) -> bool:
        """Whether a container still holds the very objects of a content of it."""

    @abstractmethod
    def fill(self, container: Any, content: Any) -> None:
        """Let a container hold this content, and nothing else."""

    def change(self, before: Any, now: Any) -> tuple[Any, ...] | None:
        """What makes `now` of `before`; None if the whole content is as good."""
        return None

    def changed(self, before: Any, change: tuple[Any, ...]) -> Any:
        """What a change makes of a content; that is left as it is."""
        raise ValueError(f"there are no changes of a {self.builtin.__name__}")

    def fits(self, content: object) -> bool:
        """Whether a value can be the content of such a container."""
        return type(content) is self.builtin

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        """Calls of methods that make `now` of a container that holds `before`."""
        return [("__setitem__", (slice(None), now))]


class _Lists(Kind):
    def copy(self, container: Any) -> Any:
        return list.copy(container)

    def is_same(self, content: Any, container: Any) -> bool:
        return len(content) == list.__len__(container) and all(
            map(_is, content, list.__iter__(container))
        )

    def fill(self, container: Any, content: Any) -> None:
        list.__setitem__(container, slice(None), content)

    def change(self, before: Any, now: Any) -> tuple[Any, ...] | None:
        """`(start, stop, items)`: one slice, between what is the same at both ends."""
        start = next(compress(count(), map(_is_not, before, now)), min(len(before), len(now)))
        most = min(len(before), len(now)) - start
        same = next(compress(count(), map(_is_not, reversed(before), reversed(now))), most)
        tail = min(same, most)
        return start, len(before) - tail, now[start : len(now) - tail]

    def changed(self, before: Any, change: tuple[Any, ...]) -> Any:
        start, stop, items = change
        made = before.copy()
        made[start:stop] = items
        return made

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        change = self.change(before, now)
        assert change is not None
        start, stop, items = change
        return [("__setitem__", (slice(start, stop), items))]


class _Dicts(Kind):
    """Dicts and what derives from them."""

    def copy(self, container: Any) -> Any:
        return dict.copy(container)

    def is_same(self, content: Any, container: Any) -> bool:
        return (
            len(content) == dict.__len__(container)
            and all(map(_is, content.values(), dict.values(container)))
            and all(map(_is, content, dict.__iter__(container)))
        )

    def fits(self, content: object) -> bool:
        return type(content) is dict

    def fill(self, container: Any, content: Any) -> None:
        dict.clear(container)
        dict.update(container, content)

    def change(self, before: Any, now: Any) -> tuple[Any, ...] | None:
        """`(removed keys, {key: new value})`; None if the order of the keys has changed."""
        staying = set(map(id, now))
        removed = [key for key in before if id(key) not in staying]
        kept = [key for key in before if id(key) in staying] if removed else list(before)
        if len(kept) > len(now) or not all(map(_is, kept, now)):
            return None
        values = now.values()
        if removed:
            old = [value for key, value in before.items() if id(key) in staying]
        else:
            old = list(before.values())
        old += [_MISSING] * (len(now) - len(old))
        differs = list(map(_is_not, old, values))
        return removed, dict(zip(compress(now, differs), compress(values, differs), strict=True))

    def changed(self, before: Any, change: tuple[Any, ...]) -> Any:
        removed, new = change
        made = before.copy()
        for key in removed:
            made.pop(key, None)
        made.update(new)
        return made

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        change = self.change(before, now)
        if change is None:
            return [("clear", ()), ("update", (now,))]
        removed, new = change
        deleting = [("__delitem__", (key,)) for key in removed]
        return [*deleting, ("update", (new,))] if new else deleting


_MISSING: Final = object()


class _Ordered(_Dicts):
    """An OrderedDict has an order of its own, which its C code keeps beside the dict's."""

    def copy(self, container: Any) -> Any:
        return dict(collections.OrderedDict.items(container))

    def is_same(self, content: Any, container: Any) -> bool:
        ordered = collections.OrderedDict
        return (
            len(content) == dict.__len__(container)
            and all(map(_is, content, ordered.__iter__(container)))
            and all(map(_is, content.values(), ordered.values(container)))
        )

    def fill(self, container: Any, content: Any) -> None:
        # Its `update` would call what a subclass has for `__setitem__`.
        collections.OrderedDict.clear(container)
        for key, value in content.items():
            collections.OrderedDict.__setitem__(container, key, value)


class _Sets(Kind):
    def copy(self, container: Any) -> Any:
        # Not `set.copy`, which gives a set of the container's own class.
        return set().union(container)

    def is_same(self, content: Any, container: Any) -> bool:
        if len(content) != set.__len__(container):
            return False
        # Mostly in the same order: nothing has been put in or taken out.
        if all(map(_is, content, set.__iter__(container))):
            return True
        return set(map(id, content)) == set(map(id, set.__iter__(container)))

    def fill(self, container: Any, content: Any) -> None:
        set.clear(container)
        set.update(container, content)

    def change(self, before: Any, now: Any) -> tuple[Any, ...] | None:
        """`([removed], [added])`."""
        old, new = set(map(id, before)), set(map(id, now))
        removed = [each for each in before if id(each) not in new]
        return removed, [each for each in now if id(each) not in old]

    def changed(self, before: Any, change: tuple[Any, ...]) -> Any:
        removed, added = change
        made = before.copy()
        made.difference_update(removed)
        made.update(added)
        return made

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        change = self.change(before, now)
        assert change is not None
        removed, added = change
        return [("difference_update", (removed,)), ("update", (added,))]


class _Bytearrays(Kind):
    is_bytes = True

    def copy(self, container: Any) -> Any:
        return bytearray(memoryview(container))

    def is_same(self, content: Any, container: Any) -> bool:
        return bytearray.__eq__(container, content) is True

    def fill(self, container: Any, content: Any) -> None:
        bytearray.__setitem__(container, slice(None), content)


class _Deques(Kind):
    def copy(self, container: Any) -> Any:
        maxlen = collections.deque.maxlen.__get__(container)
        return collections.deque(collections.deque.__iter__(container), maxlen)

    def is_same(self, content: Any, container: Any) -> bool:
        return len(content) == collections.deque.__len__(container) and all(
            map(_is, content, collections.deque.__iter__(container))
        )

    def fill(self, container: Any, content: Any) -> None:
        collections.deque.__init__(container, content, content.maxlen)

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        return [("clear", ()), ("extend", (list(now),))]


class _Arrays(Kind):
    is_bytes = True
    needs_content = True

    def blank(self, cls: type, content: Any) -> Any:
        return array.array.__new__(cls, content.typecode)

    def copy(self, container: Any) -> Any:
        return array.array(container.typecode, array.array.__getitem__(container, slice(None)))

    def is_same(self, content: Any, container: Any) -> bool:
        # By its bytes: a NaN is the same as itself.
        return len(content) == array.array.__len__(container) and bytes(content) == bytes(
            memoryview(container)
        )

    def fill(self, container: Any, content: Any) -> None:
        array.array.__setitem__(container, slice(None), content)


class _Ndarrays(Kind):
    """numpy arrays: a mirror is an exact ndarray, since its memory is all that it is."""

    is_bytes = True
    needs_content = True

    def __init__(self) -> None:
        # numpy may be missing: the class is not known here.
        super().__init__(object)

    @property
    def name(self) -> str:
        return "numpy.ndarray"

    def size(self, container: Any) -> int:
        size: int = container.nbytes
        return size

    def blank(self, cls: type, content: Any) -> Any:
        made = content.copy(order="K")
        made.flags.writeable = content.flags.writeable
        return made

    def copy(self, container: Any) -> Any:
        return self.blank(object, container)

    def is_same(self, content: Any, container: Any) -> bool:
        # By its bytes: a NaN is the same as itself.
        return bool(
            content.shape == container.shape
            and content.dtype == container.dtype
            and content.tobytes() == container.tobytes()
        )

    def fits(self, content: object) -> bool:
        numpy = sys.modules.get("numpy")
        return numpy is not None and type(content) is numpy.ndarray

    def fill(self, container: Any, content: Any) -> None:
        if container is content:
            return
        container.flags.writeable = True
        if container.shape != content.shape:
            container.resize(content.shape, refcheck=False)
        container[...] = content
        container.flags.writeable = content.flags.writeable

    def writes(self, before: Any, now: Any) -> list[tuple[str, tuple[Any, ...]]]:
        return [("__setitem__", (Ellipsis, now))]


NDARRAYS: Final = _Ndarrays()

_KINDS: Final = (
    # A class before those that it derives from.
    _Ordered(collections.OrderedDict),
    _Dicts(collections.defaultdict),
    _Dicts(collections.Counter),
    _Dicts(dict),
    _Lists(list),
    _Sets(set),
    _Bytearrays(bytearray),
    _Deques(collections.deque),
    _Arrays(array.array),
)
MUTABLE: Final[dict[type, Kind]] = {kind.builtin: kind for kind in _KINDS}
"""The builtins whose content is kept in step, and how."""

BY_PATH: Final[dict[str, Kind]] = {
    f"{kind.builtin.__module__}:{kind.builtin.__qualname__}": kind for kind in _KINDS
}
"""The same by the names that their classes have on the wire."""

_BUILTINS: Final = tuple(MUTABLE)


def kind_of(cls: type) -> Kind | None:
    """How to look at instances of a class that is, or derives from, a mutable builtin; else None.

    Runs no code of the class or its metaclass.
    """
    if not issubclass(cls, _BUILTINS):
        return None
    return next(kind for kind in _KINDS if issubclass(cls, kind.builtin))


def mirrored_kind(cls: type) -> Kind | None:
    """The same, of all that is mirrored: ndarrays, too."""
    numpy = sys.modules.get("numpy")
    return NDARRAYS if numpy is not None and cls is numpy.ndarray else kind_of(cls)
