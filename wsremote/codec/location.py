"""Where a value sits inside another, in words. Used for errors only, so it may be slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .markers import Inout

__all__ = ["locate", "locate_argument"]


def locate(root: object, part: object) -> str:
    """The way from `root` to the very object `part`: "item 3, key 'x'"; "" if it is `root`."""
    return ", ".join(_way(root, part) or ())


def locate_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], part: object) -> str:
    """The same for the arguments of a call: "argument 2, item 3". They count from 1."""
    named = [(f"argument {index}", value) for index, value in enumerate(args, 1)]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in named:
        way = _way(value.value if type(value) is Inout else value, part)
        if way is not None:
            return ", ".join([name, *way])
    return ""


def _way(root: object, part: object) -> list[str] | None:
    """Breadth first, so that the shortest way is found and depth does no harm."""
    seen = {id(root)}
    pending: deque[tuple[object, list[str]]] = deque([(root, [])])
    while pending:
        value, way = pending.popleft()
        if value is part:
            return way
        for name, child in _children(value):
            if id(child) not in seen:
                seen.add(id(child))
                pending.append((child, [*way, name]))
    return None


def _children(value: object) -> Iterator[tuple[str, object]]:
    """The parts of a container, with their names."""
    if isinstance(value, dict):
        for key, item in dict.items(value):
            yield f"key {_short(key)}", item
            yield f"the key {_short(key)} itself", key
    elif isinstance(value, list | tuple | deque):
        for index, item in enumerate(value):
            yield f"item {index}", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield "a member of the set", item
    elif type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
        if value.dtype.hasobject:  # type: ignore[attr-defined]
            for index, item in enumerate(value.flat):  # type: ignore[attr-defined]
                yield f"element {index}", item


def _short(key: object) -> str:
    """A key as text: scalars by value, others by type, since their repr runs any code."""
    text = repr(key) if type(key) in (str, int, float, bool, bytes) else type(key).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
