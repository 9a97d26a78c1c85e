"""Containers that the server still owns, as they were a moment ago.

They are of subclasses of the builtin, so that they work wherever a list or dict does, C code
included. A write would not reach the server, so it raises. Sent to the server, a copy
arrives as the server's own container; received again, it shows what that holds now.
"""

from __future__ import annotations

import array
import collections
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..errors import ReadOnlyCopy

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..shallow.caller import Home

__all__ = ["OwnedCopy", "copied", "copy_class", "refresh"]

_ADDING: Final = ("__iadd__", "__imul__", "append", "extend", "insert", "remove", "pop")
_SLOTS: Final = ("__setitem__", "__delitem__")
_WRITERS: Final[dict[type, tuple[str, ...]]] = {
    list: (*_SLOTS, *_ADDING, "clear", "sort", "reverse"),
    dict: (*_SLOTS, "__ior__", "clear", "pop", "popitem", "setdefault", "update"),
    set: (
        *("__ior__", "__iand__", "__ixor__", "__isub__", "add", "clear", "discard", "pop"),
        *("remove", "update", "difference_update", "intersection_update"),
        "symmetric_difference_update",
    ),
    bytearray: (*_SLOTS, *_ADDING, "clear", "reverse"),
    collections.deque: (
        *(*_SLOTS, *_ADDING, "clear", "reverse", "rotate"),
        *("appendleft", "extendleft", "popleft"),
    ),
    array.array: (*_SLOTS, *_ADDING, "byteswap", "frombytes", "fromfile", "fromlist", "reverse"),
}

# What C code makes of the class of its operand, where others make the builtin.
_MAKERS: Final[dict[type, tuple[str, ...]]] = {
    set: (
        *("__or__", "__and__", "__xor__", "__sub__", "__ror__", "__rand__", "__rxor__"),
        *("__rsub__", "copy", "union", "intersection", "difference", "symmetric_difference"),
    ),
    collections.deque: ("__add__", "__mul__", "__rmul__", "copy"),
    array.array: ("__deepcopy__",),
}


class OwnedCopy:
    """What all such copies are, besides the builtin."""

    __slots__ = ()
    # Both are set by the session that received the copy.
    _wsremote_handle: int
    _wsremote_home: Home


def copy_class(builtin: type) -> type | None:
    """The class of copies of a mutable builtin container; None for any other class."""
    return _CLASSES.get(builtin)


def copied(cls: type, content: Any) -> Any:
    """An object of a class of copies, or of the builtin itself, with this content."""
    return cls(*_parts(content))


def _parts(content: Any) -> tuple[Any, ...]:
    """The content as arguments of the builtin's constructor."""
    if isinstance(content, array.array):
        return content.typecode, content.tolist()
    if isinstance(content, collections.deque):
        return list(content), content.maxlen
    if isinstance(content, bytearray):
        return (bytes(content),)
    return (dict(content) if isinstance(content, dict) else list(content),)


def refresh(copy: Any, content: Any) -> None:
    """Let a copy show the content of another moment."""
    builtin = next(cls for cls in type(copy).__mro__ if cls in _WRITERS)
    if builtin is list or builtin is bytearray:
        builtin.__init__(copy, content)
    elif builtin is array.array:
        array.array.__delitem__(copy, slice(None))
        array.array.extend(copy, content)
    else:
        builtin.clear(copy)  # type: ignore[attr-defined]
        fill: Any = collections.deque.extend if builtin is collections.deque else None
        (fill or builtin.update)(copy, content)  # type: ignore[attr-defined]


def _refusing(builtin: type, name: str) -> Callable[..., NoReturn]:
    kind = builtin.__name__

    def refuse(self: OwnedCopy, /, *_: Any, **__: Any) -> NoReturn:
        raise ReadOnlyCopy(
            f"{name} would change a copy only: this {kind} belongs to an object of the server. "
            f"Change it there, through a function or an attribute of its owner, or take a copy "
            f"of your own: {kind}(...)"
        )

    refuse.__name__ = name
    refuse.__qualname__ = f"{kind}.{name}"
    return refuse


def _own(builtin: type, name: str) -> Callable[..., Any]:
    """A method that makes an object of its own class: here, of the builtin."""

    def make(self: Any, /, *args: Any) -> Any:
        return getattr(copied(builtin, self), name)(*args)

    make.__name__ = name
    return make


def _class_of(builtin: type) -> type:
    """The subclass of a builtin whose writers refuse, and which copies and pickles as it."""

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        return builtin, _parts(self)

    def __repr__(self: Any) -> str:
        return repr(copied(builtin, self))

    def __copy__(self: Any) -> Any:
        return copied(builtin, self)

    refusing = {n: _refusing(builtin, n) for n in _WRITERS[builtin] if hasattr(builtin, n)}
    making = {n: _own(builtin, n) for n in _MAKERS.get(builtin, ())}
    own = {f.__name__: f for f in (__reduce_ex__, __repr__, __copy__)}
    namespace = {"__module__": __name__, **refusing, **making, **own}
    return type(builtin.__name__, (OwnedCopy, builtin), namespace)


_CLASSES: Final[dict[type, type]] = {builtin: _class_of(builtin) for builtin in _WRITERS}
