"""Classes of mirrors: containers that hold what a container of the other side holds.

A mirror is an instance of a subclass of the builtin, so that it works wherever a list or
dict works, C code included. Reading is local. Writing happens on the other side, which
then says what has changed; no mirror is ever changed by its own methods.
"""

from __future__ import annotations

import array
import collections
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final

from ..codec.contents import MUTABLE, kind_of
from ..codec.hiding import hiding
from .spoken import is_async, refuse_change, spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller

__all__ = ["Mirror", "asking_class", "mirror_class", "mirror_namespace", "plain"]

_ADDING: Final = ("append", "extend", "insert", "remove", "pop")
_DICT: Final = ("clear", "pop", "popitem", "setdefault", "update")
_WRITERS: Final[dict[type, tuple[str, ...]]] = {
    list: (*_ADDING, "clear", "sort", "reverse"),
    dict: _DICT,
    collections.OrderedDict: (*_DICT, "move_to_end"),
    collections.defaultdict: _DICT,
    collections.Counter: (*_DICT, "subtract"),
    set: (
        *("add", "clear", "discard", "pop", "remove", "update", "difference_update"),
        *("intersection_update", "symmetric_difference_update"),
    ),
    bytearray: (*_ADDING, "clear", "reverse"),
    collections.deque: (
        *(*_ADDING, "clear", "reverse", "rotate"),
        *("appendleft", "extendleft", "popleft"),
    ),
    array.array: (*_ADDING, "byteswap", "frombytes", "fromlist", "fromunicode", "reverse"),
}
_SLOTS: Final = ("__setitem__", "__delitem__")
_IN_PLACE: Final = (*("__iadd__", "__isub__", "__imul__", "__ior__", "__iand__", "__ixor__"),)

# What C code makes of the class of its operand, where others make the builtin.
_MAKERS: Final[dict[type, tuple[str, ...]]] = {
    set: (
        *("__or__", "__and__", "__xor__", "__sub__", "__ror__", "__rand__", "__rxor__"),
        *("__rsub__", "copy", "union", "intersection", "difference", "symmetric_difference"),
    ),
    collections.deque: ("__add__", "__mul__", "__rmul__", "copy"),
    array.array: ("__deepcopy__",),
    collections.OrderedDict: ("copy", "__or__", "__ror__"),
    collections.defaultdict: ("copy", "__or__", "__ror__"),
    collections.Counter: ("copy", "__or__", "__and__", "__add__", "__sub__", "__pos__", "__neg__"),
}
# Those whose C code shows the class of the object, or what a mirror has not.
_SHOWN: Final = (set, collections.defaultdict)

_METHODS: Final = (types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
# What makes objects, or looks at the class only.
_NO_READERS: Final = (
    *("__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class_getitem__"),
    *("__getattribute__", "__setattr__", "__delattr__", "__dir__", "__format__", "__hash__"),
    *("__setstate__", "__sizeof__"),
)

# Arguments that are sent as they are: what iterates once, or by a message an item, is not.
_SENT: Final = (list, tuple, dict, set, frozenset, str, bytes, bytearray, array.array, range)


class Mirror:
    """What the mirrors of plain builtins are, besides the builtin."""

    __slots__ = ()
    _wsremote_handle: int
    # Of the class: the session it belongs to.
    _wsremote_caller: Caller


def plain(mirror: Any) -> Any:
    """An object of the exact builtin that holds what a mirror holds."""
    kind = kind_of(type(mirror))
    assert kind is not None
    content = kind.copy(mirror)
    if type(content) is kind.builtin:
        return content
    args = (mirror.default_factory,) if kind.builtin is collections.defaultdict else ()
    made = kind.builtin(*args)
    kind.fill(made, content)
    return made


def mirror_class(builtin: type, caller: Caller) -> type:
    """The class of the mirrors of a builtin in one session.

    Args:
        builtin: One of `codec.contents.MUTABLE`.
        caller: The session.
    """

    def __new__(cls: type, /, *args: Any, **kwargs: Any) -> Any:
        # `type(x)(...)` makes an object of the user's own.
        return builtin(*args, **kwargs)

    namespace = {
        "__slots__": ("_wsremote_handle", *_weak(builtin)),
        "__module__": builtin.__module__,
        "__doc__": builtin.__doc__,
        "__new__": __new__,
        "_wsremote_caller": caller,
        **mirror_namespace(builtin, caller),
    }
    return type(builtin.__name__, (Mirror, builtin), namespace)


def asking_class(cls: type, ask: Callable[[Any], None]) -> type:
    """The class of mirrors of `cls` whose readers ask first whether they still show the truth.

    For containers too large to be compared after each call. C code that reads such a mirror
    past its methods sees what was there when they were used last.

    Args:
        cls: What `mirror_class` gives. Objects of it can be made objects of the new class.
        ask: Called with the mirror before each read.
    """
    builtin = next(base for base in cls.__mro__ if base in MUTABLE)
    writers = {*_WRITERS[builtin], *_SLOTS, *_IN_PLACE, *_NO_READERS, "__missing__"}
    names = [name for name in dir(cls) if name not in writers and not name.startswith("_wsremote")]
    readers = {
        name: _reader(method, ask)
        for name in names
        if isinstance(method := inspect.getattr_static(cls, name), _METHODS)
        and getattr(object, name, None) is not method
    }
    return type(cls.__name__, (cls,), {"__slots__": (), "__module__": cls.__module__, **readers})


def _reader(method: Any, ask: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def read(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        ask(self)
        return method(self, *args, **kwargs)

    return read


def _weak(builtin: Any) -> tuple[str, ...]:
    """The slot that makes objects weakly referable, where the builtin's are not."""
    return () if builtin.__weakrefoffset__ else ("__weakref__",)


def mirror_namespace(builtin: type, caller: Caller) -> dict[str, Any]:
    """What a class of mirrors has in its namespace, besides what it has as a proxy.

    A served class that derives from a builtin has it in its shallow class, and its own
    methods before it.

    Args:
        builtin: One of `codec.contents.MUTABLE`.
        caller: The session.
    """
    made: dict[str, Any] = {
        **{name: _method(caller, builtin, name) for name in _WRITERS[builtin]},
        **{name: _operator(caller, builtin, name) for name in _SLOTS},
        **{name: _in_place(caller, builtin, name) for name in _IN_PLACE},
        **{name: _making(name) for name in _MAKERS.get(builtin, ())},
    }
    if builtin is list:
        made["sort"] = _sorting(caller)
    if issubclass(builtin, dict):
        made["setdefault"] = _setdefault(made["setdefault"], awaits=is_async(caller))
    if builtin is collections.defaultdict:
        made["__missing__"] = _missing(caller)
    if builtin in _SHOWN:
        made["__repr__"] = _showing()
    made["__reduce_ex__"] = _reducing()
    made["__copy__"] = _copying()
    made = {name: hiding(function) for name, function in made.items() if hasattr(builtin, name)}
    for name, function in made.items():
        function.__name__, function.__qualname__ = name, f"{builtin.__qualname__}.{name}"
    if is_async(caller):
        made = {name: spoken(caller, name, function) for name, function in made.items()}
    if builtin is collections.defaultdict:
        made["default_factory"] = _factory(caller)
    if builtin.__dictoffset__:
        made |= _attributes(caller)
    return made


def _method(caller: Caller, builtin: type, name: str) -> Callable[..., Any]:
    """A method that changes the container."""
    call_method = caller.call_method
    takes_items = name.endswith("update") or name in ("extend", "extendleft", "subtract")

    def write(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if takes_items:
            args = tuple([_items(arg, builtin) for arg in args])
        return call_method(self._wsremote_handle, name, args, kwargs or None)

    return write


def _items(values: Any, builtin: type) -> Any:
    """Items to take over, at once: an iterator would be asked for each by a message."""
    if isinstance(values, _SENT) or hasattr(type(values), "_wsremote_handle"):
        return values
    if issubclass(builtin, dict) and hasattr(values, "keys"):
        return {key: values[key] for key in values.keys()}  # as dict.update does
    return bytes(values) if builtin is bytearray else list(values)


def _operator(caller: Caller, builtin: type, name: str) -> Callable[..., Any]:
    """An operator that changes the container."""
    special = caller.special

    def write(self: Any, key: Any, /, *value: Any) -> Any:
        if value and isinstance(key, slice):
            value = (_items(value[0], builtin),)
        # To be awaited, in a session whose calls are.
        return special(self._wsremote_handle, name, (key, *value))

    return write


def _in_place(caller: Caller, builtin: type, name: str) -> Callable[..., Any]:
    """An operator in place, whose result is the container itself."""
    special = caller.special

    def write(self: Any, other: Any, /) -> Any:
        special(self._wsremote_handle, name, (_operand(other, builtin),))
        return self

    async def awaited(self: Any, other: Any, /) -> Any:
        await special(self._wsremote_handle, name, (_operand(other, builtin),))
        return self

    return awaited if is_async(caller) else write


def _operand(other: Any, builtin: type) -> Any:
    """The other side of an operator: what can be iterated over goes at once, as `_items`."""
    return _items(other, builtin) if hasattr(type(other), "__next__") else other


def _sorting(caller: Caller) -> Callable[..., Any]:
    """`list.sort`: with a key of the client here, since the server would ask it for each item."""

    def sort(self: Any, /, *, key: Any = None, reverse: bool = False) -> Any:
        if key is None:
            return caller.call_method(self._wsremote_handle, "sort", (), {"reverse": reverse})
        items = sorted(self, key=key, reverse=reverse)
        return caller.special(self._wsremote_handle, "__setitem__", (slice(None), items))

    return sort


def _setdefault(write: Callable[..., Any], *, awaits: bool) -> Callable[..., Any]:
    """`setdefault`: gives what the container holds then, not the argument that it was made of."""

    def setdefault(self: Any, key: Any, default: Any = None, /) -> Any:
        write(self, key, default)
        return self[key]

    async def awaited(self: Any, key: Any, default: Any = None, /) -> Any:
        await write(self, key, default)
        return self[key]

    return awaited if awaits else setdefault


def _missing(caller: Caller) -> Callable[..., Any]:
    """`__missing__` of a defaultdict, which writes."""

    def missing(self: Any, key: Any, /) -> Any:
        return caller.special(self._wsremote_handle, "__getitem__", (key,))

    return missing


def _factory(caller: Caller) -> property:
    """`default_factory`: the other side has it."""

    def read(self: Any) -> Any:
        return caller.get(self._wsremote_handle, "default_factory")

    def write(self: Any, value: Any) -> None:
        if is_async(caller):
            refuse_change("default_factory")
        caller.set(self._wsremote_handle, "default_factory", value)

    return property(read, write)


def _attributes(caller: Caller) -> dict[str, Any]:
    """Of those that take attributes: the other side has them."""

    def __getattr__(self: Any, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return caller.get(self._wsremote_handle, name)

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if is_async(caller):
            refuse_change(name)
        caller.set(self._wsremote_handle, name, value)

    def __delattr__(self: Any, name: str) -> None:
        if is_async(caller):
            refuse_change(name, "delattr")
        caller.delete(self._wsremote_handle, name)

    return {f.__name__: f for f in (__getattr__, __setattr__, __delattr__)}


def _making(name: str) -> Callable[..., Any]:
    """A method that makes an object of its own class: here, of the builtin."""

    def make(self: Any, /, *args: Any) -> Any:
        return getattr(plain(self), name)(*args)

    return make


def _showing() -> Callable[..., Any]:
    def show(self: Any) -> str:
        return repr(plain(self))

    return show


def _copying() -> Callable[..., Any]:
    def copy(self: Any) -> Any:
        return plain(self)

    return copy


def _reducing() -> Callable[..., Any]:
    """Pickled and deeply copied as the builtin, with what it holds now."""

    def reduce(self: Any, protocol: Any) -> Any:
        made = plain(self)
        # Filled afterwards, so that one that holds itself can be copied.
        if isinstance(made, list):
            return list, (), None, iter(made)
        if isinstance(made, collections.deque):
            return collections.deque, ((), made.maxlen), None, iter(made)
        if isinstance(made, dict):
            args = (made.default_factory,) if isinstance(made, collections.defaultdict) else ()
            return type(made), args, None, None, iter(made.items())
        return made.__reduce_ex__(protocol)

    return reduce
