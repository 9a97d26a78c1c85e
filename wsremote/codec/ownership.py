"""Which containers of a result are fresh: the reference count tells.

A container that only the result refers to may travel as a copy, since nobody can see
the difference. One that anything else refers to (a module variable, an attribute of an
instance, a cache) is *owned*: a copy of it would show old state after the next call.

Counting starts at a one-element list, the *holder*, which must be the only thing that
still refers to the result: no local variable of a caller, no tuple of arguments. What has
more references than the result itself has to it is owned, and so is everything below.
In doubt the answer is "owned".
"""

from __future__ import annotations

import collections
import itertools
import sys
from collections.abc import Collection
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final
from weakref import getweakrefcount

from ..protocol.memory import Memory, copy_of
from . import scalars
from .mappings import DICTS
from .scalars import PLAIN_TYPES, UNSIZED_TYPES

if TYPE_CHECKING:
    from .packing import Buffer

__all__ = ["fresh_in", "is_plain_tree", "is_unshared", "own"]


def _count_in_loop(holder: list[Any]) -> int:
    """What `is_plain_tree` sees of an object that nothing else refers to."""
    for child in holder:
        return getrefcount(child)
    return 0


# What the same code sees of an object that one slot of a list refers to.
_ONE_SLOT: Final[int] = next(map(getrefcount, [[]]))
# The same, of an object that a loop has in hand.
_ONE_IN_LOOP: Final[int] = _count_in_loop([[]])
# The same for an attribute of an object.
_HOLDER: Final[slice[Any, Any, Any]] = slice([], None)
_ONE_ATTRIBUTE: Final[int] = getrefcount(_HOLDER.start)

# Immutable, and without parts that are not.
_ATOMS: Final = PLAIN_TYPES | (scalars.LOWER.keys() - {slice})
_SEQUENCES: Final[frozenset[type]] = frozenset([list, tuple])
_ONLY_ONE_SLOT: Final = {_ONE_SLOT}
_MOST_LEAVES: Final = 1000
"""Values and containers of a result that is looked at one by one."""
_LONGEST: Final = 1000
"""Characters or bytes of each."""
_NOTHING: Final[Collection[Any]] = ()


def is_unshared(holder: list[Any]) -> bool:
    """Whether the one slot of `holder` is the only reference to what is in it."""
    return next(map(getrefcount, holder)) == _ONE_SLOT


def is_plain_tree(holder: list[Any], most: int = _MOST_LEAVES) -> bool:
    """Whether `holder` has small lists and dicts of plain scalars, each referred to once.

    As JSON is, and many results are: such a one is fresh, and can be packed as it is, in half the
    time. A loop, since of few values it is quicker than what loops in C.

    Args:
        holder: A list of one element, as for all that counts references.
        most: Values and containers that it may have.
    """
    left = most
    branches: list[Any] = [holder]
    for branch in branches:
        children: Any = branch
        if type(branch) is dict:
            for key in branch:
                if type(key) is not str or len(key) > _LONGEST:
                    return False
            children = branch.values()
        left -= len(branch)
        if left < 0:
            return False
        for child in children:
            kind = type(child)
            if kind is str or kind is bytes:
                if len(child) > _LONGEST:
                    return False
            elif kind is list or kind is dict:
                # Before it is among the branches.
                if getrefcount(child) != _ONE_IN_LOOP:
                    return False
                branches.append(child)
            elif kind not in UNSIZED_TYPES:
                return False
    return True


def own(buffer: Buffer) -> Buffer:
    """The bytes of a buffer where nobody writes: itself if nothing can, else a copy.

    Raises:
        MemoryError: There is none for a copy.
    """
    if _is_immutable(buffer):
        return buffer
    return memoryview(copy_of(memoryview(buffer))).toreadonly()


def _is_immutable(buffer: Any) -> bool:
    """Whether nothing can change the bytes of a buffer; that it is read-only says little."""
    while type(buffer) is memoryview and buffer.readonly:
        buffer = buffer.obj
    if type(buffer) is Memory:
        return True  # made by `own`: nobody else knows it
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    while ndarray is not None and isinstance(buffer, ndarray):
        buffer = buffer.base
    arrow = getattr(sys.modules.get("pyarrow"), "Buffer", None)
    if arrow is not None and isinstance(buffer, arrow):
        return not buffer.is_mutable
    return type(buffer) is bytes


def fresh_in(*parents: Any, known: Collection[int] = ()) -> set[int]:
    """Ids of what nothing but the content of `parents` refers to, among all they contain.

    Args:
        parents: Containers whose content is the result, such as its holder. They
            themselves are not judged.
        known: Ids of containers that both sides have: they are not looked into.
    """
    fresh: set[int] = set()
    # Met with more references than one: the object, references in all, references met.
    doubtful: dict[int, tuple[Any, int, int]] = {}
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    pending = list(parents)
    while pending:
        children = _children(pending.pop())
        types = set(map(type, children))
        if types <= _ATOMS:
            continue
        # Before anything here refers to a child.
        counts = list(map(getrefcount, children))
        if types <= _SEQUENCES and _are_leaves(children):
            if set(counts) == _ONLY_ONE_SLOT:
                fresh.update(map(id, children))
                continue
            if list not in types:
                continue
        for child, count in zip(children, counts, strict=True):
            key = id(child)
            if type(child) in _ATOMS or key in known:
                continue
            if key in doubtful:
                _, total, met = doubtful[key]
                doubtful[key] = (child, total, met + 1)
                continue
            if type(child) is ndarray and not _has_own_memory(child):
                continue
            if count > _ONE_SLOT:
                doubtful[key] = (child, count - _ONE_SLOT + 1, 1)
            fresh.add(key)
            pending.append(child)
    _take_out_owned(fresh, [child for child, total, met in doubtful.values() if total > met], known)
    return fresh


def _take_out_owned(fresh: set[int], owned: list[Any], known: Collection[int]) -> None:
    """What is owned, and all below it."""
    seen = set(known)
    while owned:
        value = owned.pop()
        if id(value) not in seen:
            seen.add(id(value))
            fresh.discard(id(value))
            owned += [child for child in _children(value) if type(child) not in _ATOMS]


def _children(value: Any) -> Collection[Any]:
    """The parts of a container that can be owned. Members of sets and keys are hashable."""
    kind = type(value)
    if kind is list or kind is tuple or kind is collections.deque:
        return value  # type: ignore[no-any-return]
    if kind in DICTS:
        return value.values()  # type: ignore[no-any-return]
    return _NOTHING


def _are_leaves(containers: Collection[Any]) -> bool:
    """Whether lists and tuples hold nothing that can be owned."""
    return _ATOMS.issuperset(map(type, itertools.chain.from_iterable(containers)))


def _has_own_memory(array: Any) -> bool:
    """Whether nothing but this ndarray can reach its memory. Who has a weak reference can."""
    memory = array
    while type(memory) is type(array):
        if getweakrefcount(memory):
            return False
        if memory.base is None:
            return bool(memory.flags.owndata)
        if getrefcount(memory.base) > _ONE_ATTRIBUTE:
            return False
        memory = memory.base
    if isinstance(memory, memoryview):
        if getrefcount(memory.obj) > _ONE_ATTRIBUTE:
            return False
        memory = memory.obj
    # Else a mapped file, or memory of a library.
    return isinstance(memory, bytes | bytearray | Memory)
