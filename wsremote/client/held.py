"""Calls of pipelines that wait for what those before them change in their arguments."""

from __future__ import annotations

import operator
from collections import ChainMap, deque
from typing import TYPE_CHECKING, Any, Final

from ..codec.mappings import DICTS
from ..codec.markers import Inout
from ..codec.scalars import PLAIN_TYPES

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = ["Held", "Watched", "parts_among"]

_ENTERED: Final = frozenset((list, tuple, set, frozenset, deque))


class Watched:
    """What calls that are held back are to be given, and what it holds.

    One for all of a pipeline: many calls are given the same container.
    """

    def __init__(self) -> None:
        # By id: a container, what it held when it was last looked at, how often something else than
        # calls has changed it, and for how many calls it is watched.
        self._known: dict[int, list[Any]] = {}

    def add(self, container: Any) -> int:
        """Watch a container. Gives how often something else than calls has changed it so far."""
        self.look([container])
        known = self._known.setdefault(id(container), [container, _content(container), 0, 0])
        known[3] += 1
        changes: int = known[2]
        return changes

    def drop(self, container: Any) -> int:
        """Watch it no longer for one call. Gives the same."""
        self.look([container])
        known = self._known[id(container)]
        known[3] -= 1
        if not known[3]:
            del self._known[id(container)]
        changes: int = known[2]
        return changes

    def look(self, containers: Iterable[Any]) -> None:
        """See whether something else than calls has changed some, before a call does."""
        for container in containers:
            if (known := self._known.get(id(container))) is not None:
                now = _content(container)
                if not _is_same(known[1], now):
                    known[1] = now
                    known[2] += 1

    def catch_up(self, containers: Iterable[Any]) -> None:
        """A call has changed some."""
        for container in containers:
            if (known := self._known.get(id(container))) is not None:
                known[1] = _content(container)


class Held:
    """A call whose arguments have parts that calls before it may still change.

    It is encoded when those have ended and their changes are here.

    Args:
        args: Its positional arguments.
        kwargs: Those by name.
        parts: The containers in its arguments.
        watched: Of its pipeline.
    """

    def __init__(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parts: Iterable[Any],
        watched: Watched,
    ) -> None:
        self.args = args
        self.kwargs = kwargs
        self._watched = watched
        self._parts = [(part, watched.add(part)) for part in parts]

    def is_changed(self) -> bool:
        """Whether something else than calls has changed its arguments. It is held no longer."""
        changes = [self._watched.drop(part) != before for part, before in self._parts]
        self._parts = []
        return any(changes)


def parts_among(
    changing: Container[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Any]:
    """What of a call's arguments, and in them, others may change.

    Not only what would be written back: what is too large for that, or an array, is given as well.

    Args:
        changing: Ids of what they may change.
        args: Positional arguments.
        kwargs: The same by name.
    """
    found, seen = [], set()
    pending = [*args, *kwargs.values()]
    while pending:
        value = pending.pop()
        kind, key = type(value), id(value)
        if kind in PLAIN_TYPES or key in seen:
            continue
        seen.add(key)
        if key in changing:
            found.append(value)
        if kind is Inout:
            pending.append(value.value)
        elif kind is ChainMap:
            pending += value.maps
        elif kind in DICTS:
            pending += (*value, *value.values())
        elif kind in _ENTERED:
            pending += value
    return found


def _content(container: Any) -> list[Any] | bytes:
    """What a container holds: its very objects, or its bytes."""
    if isinstance(container, dict):
        return [*container, *container.values()]
    if isinstance(container, list | deque):
        return list(container)
    if isinstance(container, set):
        return sorted(container, key=id)
    content: bytes = bytes(container) if type(container) is bytearray else container.tobytes()
    return content


def _is_same(before: list[Any] | bytes, now: list[Any] | bytes) -> bool:
    if type(before) is bytes:
        return before == now
    return len(before) == len(now) and all(map(operator.is_, before, now))
