"""What a call does to the containers it was given comes back.

At home a function that sorts its list or fills its dict changes the caller's own object. Over
the wire it gets a copy; so both sides list the containers of the arguments in the same
order, the server compares them before and after the call, and the client changes its own
in place. A container's identity is kept, inside other containers too.

Comparing is by identity of the elements, so it costs no calls of `__eq__` and misses nothing.
Who sends remembers what it sent, so that what both sides have changed meanwhile is found: it
cannot be had, and that is said. An argument of more than `WRITE_BACK_LIMIT` elements in all is
not written back, nor is an array, unless marked with `inout`.
"""

from __future__ import annotations

import array
import collections
import copy
import operator
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import ChangeConflict, DecodeError
from . import encoder, mappings
from .lowering import Terms
from .mappings import DICTS
from .markers import Inout
from .ownership import fresh_in
from .scalars import PLAIN_TYPES

if TYPE_CHECKING:
    from .values import Origins, ValueCodec

__all__ = [
    "WRITE_BACK_LIMIT",
    "Snapshot",
    "apply_changes",
    "containers_of",
]

WRITE_BACK_LIMIT: Final = 10_000
"""Elements of one argument, in all its containers and tuples, that are compared."""

_are_plain: Final = PLAIN_TYPES.issuperset
_LEAVES: Final = (set, bytearray, array.array)
_WRITTEN_BACK: Final = frozenset([list, collections.deque, *DICTS, *_LEAVES])
_ENTERED: Final = frozenset([*_WRITTEN_BACK, tuple, collections.ChainMap])
_NOT_WRITTEN: Final = (tuple, collections.ChainMap)


def containers_of(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    origins: Origins | None = None,
    too_large: Callable[[str], None] | None = None,
    mirrored: Collection[int] = (),
) -> list[Any]:
    """The containers of a call's arguments that are written back, in the same order on both sides.

    Args:
        args: Positional arguments; on the sending side with their `Inout` marks.
        kwargs: The same by name.
        origins: On the receiving side, what `decode_call` gives beside the values.
        too_large: Told the name of each argument that is above the limit.
        mirrored: On the sending side, ids of those that the receiver has mirrors of: they are
            not copied, nor is what is in them.
    """
    if not kwargs and _are_plain(map(type, args)):
        return []
    found: dict[int, Any] = {}
    marked = set() if origins is None else set(map(id, origins.inout))
    # Containers of the receiver, of which the sender has proxies: not copies.
    home = set(mirrored) if origins is None else set(map(id, origins.home))
    named: list[tuple[int | str, Any]] = [*enumerate(args, 1), *kwargs.items()]
    for name, value in named:
        if type(value) is Inout:
            _collect(value.value, found, sys.maxsize, home)
        elif id(value) in marked:
            _collect(value, found, sys.maxsize, home)
        elif not _collect(value, found, WRITE_BACK_LIMIT, home) and too_large is not None:
            too_large(f"argument {name!r}")
    return Sent(found.values()) if origins is None and found else list(found.values())


class Sent(list[Any]):
    """The containers of arguments on the sending side, and what they held when they were sent."""

    __slots__ = ("before",)

    def __init__(self, containers: Iterable[Any]) -> None:
        super().__init__(containers)
        self.before = [_copy(container) for container in self]


def _collect(argument: Any, found: dict[int, Any], limit: int, home: set[int]) -> bool:
    """Add the containers of one argument; False, and none added, if it is above the limit."""
    if limit == sys.maxsize and _is_array(argument):
        found.setdefault(id(argument), argument)
        return True
    mine: dict[int, Any] = {}
    # Tuples are entered each time they are met, containers once: a cycle has a container.
    pending = [argument]
    elements = 0
    while pending:
        value = pending.pop()
        kind = type(value)
        key = id(value)
        if kind not in _ENTERED or key in mine or key in found or key in home:
            continue
        if kind is collections.ChainMap:
            value = value.maps
        elements += len(value)
        if elements > limit:
            return False
        if kind not in _NOT_WRITTEN:
            mine[key] = value
        if kind not in _LEAVES:
            parts = value.values() if kind in DICTS else value
            if not _are_plain(map(type, parts)):
                pending.extend(reversed(parts))
    found.update(mine)
    return True


def _is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


class Snapshot:
    """The containers of a call's arguments, before the call.

    Args:
        containers: What `containers_of` gives.
    """

    def __init__(self, containers: Sequence[Any]) -> None:
        self._containers = containers
        self._before = [_copy(container) for container in containers]

    def changes(self, codec: ValueCodec) -> bytes | None:
        """What has changed since, for `apply_changes`; None if nothing has.

        Raises:
            EncodeError: Something that cannot travel was put into a container.
        """
        changed = [
            index
            for index, (before, container) in enumerate(
                zip(self._before, self._containers, strict=True)
            )
            if not _is_same(before, container)
        ]
        if not changed:
            return None
        containers = self._containers
        known = {id(container): index for index, container in enumerate(containers)}
        fresh = None
        if codec.exchange.keeps_owned:
            fresh = fresh_in(*[containers[index] for index in changed], known=known)
        # Copies: the containers themselves would be written as references to them.
        document = [[index, _content(containers[index])] for index in changed]
        if fresh is not None:
            fresh.update(map(id, document), (id(content) for _, content in document))
            fresh.add(id(document))
        payload, _ = encoder.encode(document, Terms(codec.exchange, fresh, known, inline=True))
        return payload


def apply_changes(containers: Sequence[Any], changes: bytes, codec: ValueCodec) -> None:
    """Do to the caller's own containers what the call did to its copies.

    Args:
        containers: What `containers_of` gave for the call.
        changes: What the other side's `Snapshot.changes` gave.

    Raises:
        DecodeError: The changes are malformed, or do not fit the containers.
        ChangeConflict: Something else has changed some of them since they were sent: those
            are left as they are.
    """
    document = codec.decode(changes, containers=containers)
    if type(document) is not list:
        raise DecodeError("changes are a list")
    # All is checked before anything is changed.
    steps, kept = [], []
    for entry in document:
        if type(entry) is not list or len(entry) != 2:
            raise DecodeError("a change is an index and a content")
        index, content = entry
        if type(index) is not int or not 0 <= index < len(containers):
            raise DecodeError(f"there is no container {index!r}")
        container = containers[index]
        if not _fits(container, content):
            raise DecodeError(f"a {type(content).__name__} is no content of container {index}")
        if type(containers) is Sent and _is_changed(containers.before[index], container):
            kept.append(f"a {type(container).__name__}")
        else:
            steps.append((container, content))
    for container, content in steps:
        _replace(container, content)
    if kept:
        raise ChangeConflict(
            f"the call has changed {' and '.join(kept)} that it was given, and so has something on"
            " this side while it ran: what the call changed in it is lost. Give it a copy, or"
            " something that stays on one side"
        )


def _is_changed(before: Any, container: Any) -> bool:
    """Whether a container has changed, also if another thread is at it."""
    try:
        return not _is_same(before, container)
    except RuntimeError:
        return True


def _copy(container: Any) -> Any:
    """What tells later whether the container has changed. Keeps its elements alive."""
    kind = type(container)
    if kind in DICTS:
        return list(container), list(container.values())
    if kind is set:
        return set(map(id, container)), list(container)
    if kind is list or kind is collections.deque:
        return list(container)
    if kind is bytearray:
        return bytes(container)
    # An array. The bytes of one of objects are their addresses, and the copy keeps them alive.
    return copy.copy(container)


def _is_same(before: Any, container: Any) -> bool:
    """Whether a container holds the very objects that it held."""
    kind = type(container)
    if kind in DICTS:
        keys, values = before
        return (
            len(keys) == len(container)
            and all(map(operator.is_, keys, container))
            and all(map(operator.is_, values, container.values()))
        )
    if kind is set:
        return bool(before[0] == set(map(id, container)))
    if kind is list or kind is collections.deque:
        return len(before) == len(container) and all(map(operator.is_, before, container))
    if kind is bytearray:
        return bool(before == container)
    return bool(before.tobytes() == container.tobytes())


def _content(container: Any) -> Any:
    """A copy of a container, as it stands in the changes."""
    kind = type(container)
    if kind in DICTS:
        return dict(container)
    if kind is set:
        return container.copy()
    if kind is list or kind is collections.deque:
        return list(container)
    if kind is bytearray or kind is array.array:
        return bytes(container)
    return container


def _fits(container: Any, content: Any) -> bool:
    """Whether `_content` of such a container gives such a content."""
    kind = type(container)
    if kind in DICTS or kind is set:
        return type(content) is (set if kind is set else dict)
    if kind is list or kind is collections.deque:
        return type(content) is list
    if kind is bytearray:
        return type(content) is bytes
    if kind is array.array:
        return type(content) is bytes and len(content) % container.itemsize == 0
    return _is_array(content) and content.shape == container.shape


def _replace(container: Any, content: Any) -> None:
    """Give a container a new content."""
    kind = type(container)
    if kind in DICTS:
        mappings.replace(container, content)
    elif kind is set:
        container.clear()
        container.update(content)
    elif kind is list or kind is bytearray:
        container[:] = content
    elif kind is collections.deque:
        container.clear()
        container.extend(content)
    elif kind is array.array:
        del container[:]
        container.frombytes(content)
    else:
        container[...] = content
