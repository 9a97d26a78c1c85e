"""Containers of a client whose classes are builtins or derive from one.

A stand-in is an instance of the builtin, so that it works wherever a list or dict works. What
is asked of it is asked of the client, whose object may change at any moment; C code that
looks into it past its methods sees what it held when it was last sent, iterated or written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any, Final

from ..codec.contents import BY_PATH, kind_of
from ..protocol.asking import CONTENT
from ..protocol.operators import SPECIALS
from ..shallow.metaclass import AskedMethod, ShallowClass
from ..tree.introspection import lookup

if TYPE_CHECKING:
    from ..codec.contents import Kind
    from .client_caller import ClientCaller

__all__ = ["ask_always"]

_METHODS: Final = (FunctionType, MethodDescriptorType, WrapperDescriptorType)
_LEFT_OUT: Final = frozenset(
    [
        *("__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class_getitem__"),
        *("__getattribute__", "__setattr__", "__delattr__", "__dir__", "__sizeof__", "__hash__"),
        *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__", "__call__"),
        *("__deepcopy__", "__missing__", "__alloc__", "__buffer__", "__release_buffer__"),
    ]
)
_ITERATING: Final = frozenset(["__iter__", "__reversed__", "keys", "values", "items"])
_SLOTS: Final = frozenset(["__setitem__", "__delitem__"])
_IN_PLACE: Final = frozenset([f"__i{name}__" for name in ("add", "sub", "mul", "or", "and", "xor")])
_WRITERS: Final = _SLOTS | frozenset(
    [
        *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "rotate"),
        *("appendleft", "extendleft", "popleft", "popitem", "setdefault", "update", "add"),
        *("discard", "difference_update", "intersection_update", "symmetric_difference_update"),
        *("move_to_end", "subtract", "byteswap", "frombytes", "fromlist", "fromunicode"),
    ]
)
# Those that C code of the builtin does to the stand-in as the client does to its own object.
_REPEATED: Final = _SLOTS | frozenset(
    ["append", "insert", "remove", "pop", "clear", "reverse", "appendleft", "popleft", "add",
     "discard", "setdefault"]
)  # fmt: skip
_PLAIN: Final = frozenset(
    kind.builtin for kind in BY_PATH.values() if not issubclass(kind.builtin, dict)
) | {dict}


def ask_always(cls: ShallowClass, caller: ClientCaller) -> None:
    """Let the stand-ins of a class ask the client for all that the builtin would answer.

    Args:
        cls: Derived from a mutable builtin.
        caller: The client.
    """
    kind = kind_of(cls)
    assert kind is not None
    own = {
        name
        for base in cls.__mro__
        if isinstance(base, ShallowClass) and base._wsremote_node.path not in BY_PATH
        for name in (*base._wsremote_node.members, *base._wsremote_node.specials)
    }
    for name in dir(kind.builtin):
        method = getattr(kind.builtin, name)
        if name in _LEFT_OUT or not isinstance(method, _METHODS):
            continue
        if name not in own:
            made = _asking(name, kind, caller)
        elif name in _WRITERS or name in _IN_PLACE:
            held = lookup(cls, name)
            write = held.made if type(held) is AskedMethod else getattr(cls, name)
            made = _brought_up(write, kind, caller)
        else:
            continue
        if made is not None:
            made.__name__, made.__qualname__ = name, f"{kind.builtin.__qualname__}.{name}"
            type.__setattr__(cls, name, made)


def refresh(stand_in: Any, kind: Kind, caller: ClientCaller) -> None:
    """Let a stand-in hold what the client's container holds."""
    content = caller.get(stand_in._wsremote_handle, CONTENT)
    if kind.fits(content):
        kind.fill(stand_in, content)


def _asking(name: str, kind: Kind, caller: ClientCaller) -> Callable[..., Any] | None:
    """What does `name` of the builtin with the client's container."""
    if name in _ITERATING:
        return _iterating(name, kind, caller)
    is_special = name.startswith("__")
    if is_special and name not in SPECIALS:
        return None

    def ask(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if is_special:
            return caller.special(self._wsremote_handle, name, args)
        return caller.call_method(self._wsremote_handle, name, args, kwargs or None)

    if name not in _WRITERS and name not in _IN_PLACE:
        return ask
    return _repeated(ask, name, kind, caller)


def _iterating(name: str, kind: Kind, caller: ClientCaller) -> Callable[..., Any]:
    """What goes over all items: they come at once."""
    native = getattr(kind.builtin, name)

    def iterate(self: Any, /) -> Any:
        refresh(self, kind, caller)
        return native(self)

    return iterate


def _repeated(
    ask: Callable[..., Any], name: str, kind: Kind, caller: ClientCaller
) -> Callable[..., Any]:
    """What writes: the stand-in itself follows."""
    if name not in _REPEATED or (kind.builtin not in _PLAIN and name not in _SLOTS):
        return _brought_up(ask, kind, caller)
    native = getattr(kind.builtin, name)

    def write(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        found = ask(self, *args, **kwargs)
        try:
            native(self, *args, **kwargs)
        except Exception:  # it held something else: `remove` did not find what was there
            refresh(self, kind, caller)
        return found

    return write


def _brought_up(write: Callable[..., Any], kind: Kind, caller: ClientCaller) -> Callable[..., Any]:
    """What writes in a way that only the client knows."""

    @functools.wraps(write)
    def written(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        found = write(self, *args, **kwargs)
        refresh(self, kind, caller)
        return found

    return written
