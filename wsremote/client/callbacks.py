"""What the server may do with an object of the client, and how it is done.

It reaches only what the client has lent: objects that were arguments, and what came of
those. A function it may call, and read what describes it; of an object it may use the methods,
the operators and the data that the object has. What leads into this process (frames,
code, globals, modules) it may hold and compare, and nothing else.
"""

from __future__ import annotations

import functools
import inspect
import re
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, Final

from ..codec.contents import kind_of
from ..codec.markers import Ref
from ..errors import NotExposed, RemoteProtocolError
from ..protocol.asking import CONTENT
from ..protocol.messages import Op
from ..protocol.operators import SPECIALS
from ..protocol.reserved import is_reserved
from ..protocol.specials import FLOW, FORWARDED
from ..shallow.names import INTERNAL
from ..tree.introspection import flow_of, instance_dict, is_class, namespace_of

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["perform"]

_FUNCTIONS: Final = (
    *(FunctionType, BuiltinFunctionType, MethodType, MethodWrapperType),
    *(WrapperDescriptorType, MethodDescriptorType, ClassMethodDescriptorType),
    type(functools.lru_cache(lambda: None)),
)
_INERT: Final = (ModuleType, FrameType, CodeType, TracebackType)
_COMPARED: Final = frozenset(["__eq__", "__ne__", "__hash__", "__repr__", "__str__", "__bool__"])

# Frames and code, by the names that lead to them from generators, coroutines and tracebacks.
_CLOSED: Final = re.compile(
    r"(gi|cr|ag)_(frame|code|yieldfrom|await|origin)|tb_.*|f_(back|builtins|code|globals|locals)"
    r"|co_.*|func_(code|globals|closure)"
)

# What describes a function, or what `functools.wraps` and its like have put on it.
_DESCRIBING: Final = frozenset(
    [
        *("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__", "__annotations__"),
        *("__defaults__", "__kwdefaults__", "__dict__", "__text_signature__", "__type_params__"),
        *("__isabstractmethod__", "__signature__"),
    ]
)
_SETTABLE: Final = frozenset(
    [
        *("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__", "__annotations__"),
        *("__signature__", "__isabstractmethod__", "__notes__"),
        *("__cause__", "__context__", "__suppress_context__", "__traceback__"),
    ]
)
# Names with two underscores that are data of an object or a class.
_DATA: Final = _DESCRIBING | frozenset(
    [
        *("__notes__", "__cause__", "__context__", "__suppress_context__", "__members__"),
        *("__match_args__", "__slots__", "__version__", "__orig_class__", "__origin__"),
        *("__args__", "__parameters__", "__self__", "__func__", "__dataclass_fields__"),
        "__weakref__",
    ]
)
# Special methods that are no operators, called by the name of their class: `Base.__init__(x)`.
_METHODS: Final = FORWARDED | frozenset(
    [
        *("__init__", "__new__", "__init_subclass__", "__set_name__", "__get__", "__set__"),
        *("__delete__", "__getattr__", "__setattr__", "__delattr__", "__reduce__"),
        *("__reduce_ex__", "__getstate__", "__setstate__", "__class_getitem__", "__missing__"),
        *("__instancecheck__", "__subclasscheck__", "__prepare__", "__array__"),
        *("__array_ufunc__", "__array_function__", "__array_wrap__"),
    ]
)

# What decorators of classes give them.
_SET_ON_CLASSES: Final = _METHODS | frozenset(
    [
        *("__match_args__", "__dataclass_fields__", "__dataclass_params__", "__version__"),
        *("__type_params__", "__orig_bases__", "__parameters__", "__abstractmethods__"),
        *("__getnewargs__", "__getnewargs_ex__", "__no_type_check__", "__final__"),
    ]
)

_IN_BODIES: Final = (_DATA | _SET_ON_CLASSES) - {"__dict__", "__weakref__"}


def perform(
    op: int, target: Any, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Do one thing with an object that the server holds, and give what comes of it.

    Args:
        op: One of `Op`.
        target: The object.
        name: Of the attribute or special method; None for `Op.CALL`.
        args: Decoded. `Op.SET` takes the value from here.
        kwargs: Decoded.

    Raises:
        NotExposed: The server may not do that.
        RemoteProtocolError: It makes no sense.
        BaseException: Whatever the object raises.
    """
    if op == Op.CALL:
        return target(*args, **kwargs)
    if name is None:
        raise RemoteProtocolError(f"an exec message with op {op} needs a name")
    if op == Op.METHOD:
        _admit(target, name, _METHODS)
        return getattr(target, name)(*args, **kwargs)
    if op == Op.SPECIAL:
        return _special(target, name, args, kwargs)
    if op == Op.GET:
        return _get(target, name)
    if op == Op.SET and len(args) == 1:
        _admit_change(target, name)
        return setattr(target, name, args[0])
    if op == Op.DELETE:
        _admit_change(target, name)
        return delattr(target, name)
    raise RemoteProtocolError(f"a server cannot ask for op {op} with {len(args)} values")


def _special(target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a special method as `protocol.operators` says."""
    operation = SPECIALS.get(name)
    if operation is None or (issubclass(type(target), _INERT) and name not in _COMPARED):
        raise _refusal(target, name)
    return operation(target, *args, **kwargs)


def _get(target: Any, name: str) -> Any:
    """An attribute."""
    if name == "__signature__" and callable(target):
        return _signature(target)
    if name == CONTENT and (kind := kind_of(type(target))) is not None:
        return kind.copy(target)
    if name == FLOW:
        return flow_of(target)
    _admit(target, name, _DATA | _METHODS)
    if name == "__dict__":
        if is_class(target):
            return _body(target)
        held = instance_dict(target)
        if held is None:
            raise AttributeError(f"{type(target).__name__!r} object has no attribute '__dict__'")
        # Of a function those are read at once. Of an object the dict itself: what is written
        # into it is an attribute of the object.
        return dict(held) if issubclass(type(target), _FUNCTIONS) else Ref(held)
    return getattr(target, name)


def _body(cls: type) -> dict[str, Any]:
    """What a class has in its namespace, but for what leads into this process."""
    return {
        name: value
        for name, value in namespace_of(cls).items()
        if type(name) is str
        and not name.startswith(INTERNAL)
        and not issubclass(type(value), _INERT)
        and (not _is_special(name) or name in _IN_BODIES)
    }


def _signature(target: Any) -> Any:
    """What `inspect` finds; what stands there instead, if that is no signature."""
    try:
        return inspect.signature(target)
    except TypeError:
        return target.__signature__


def _admit(target: object, name: str, dunders: frozenset[str]) -> None:
    """Let the name of an attribute through.

    Raises:
        NotExposed: It leads into this process.
    """
    if issubclass(type(target), _INERT) or _CLOSED.fullmatch(name):
        raise _refusal(target, name)
    if _is_special(name):
        if issubclass(type(target), _FUNCTIONS):
            dunders &= _DESCRIBING | {"__call__", "__get__"}
        if name not in dunders:
            raise AttributeError(f"{_label(target)} gives the server no {name!r}", name=name)
    elif issubclass(type(target), _FUNCTIONS) and name not in _set_on(target):
        if name not in ("cache_info", "cache_clear", "cache_parameters"):
            raise AttributeError(f"{_label(target)} has no attribute {name!r}", name=name)


def _set_on(function: Any) -> Collection[str]:
    """The names of what has been set on a function; a bound method shows those of its function."""
    if type(function) is MethodType:
        function = function.__func__
    return instance_dict(function) or ()


def _admit_change(target: object, name: str) -> None:
    """Let the name of an attribute through that is to be set or deleted. Raises as `_admit`."""
    if issubclass(type(target), _INERT) or _CLOSED.fullmatch(name):
        raise _refusal(target, name)
    settable = _SETTABLE | _SET_ON_CLASSES if is_class(target) else _SETTABLE
    if _is_special(name) and name not in settable:
        raise _refusal(target, name)


def _is_special(name: str) -> bool:
    """Whether a name is one that Python itself gives a meaning."""
    return name.startswith("__") and name.endswith("__") and is_reserved(name)


def _label(target: object) -> str:
    """Names an object without running its code."""
    kind = type(target)
    if issubclass(type(target), _FUNCTIONS):
        return f"function {getattr(target, '__qualname__', '?')!r} of the client"
    return f"{kind.__module__}.{kind.__qualname__} object of the client"


def _refusal(target: object, name: str) -> NotExposed:
    return NotExposed(
        f"{_label(target)}: {name!r} is closed to the server, since it leads into the client's"
        " process; pass what is needed of it as an argument"
    )
