"""Reading objects of users without running their code.

`getattr`, `isinstance` and `repr` may call properties, `__getattr__`, `__class__` and
`__repr__` of the package that is looked at. What is here goes through `type` and `object`
only, the way `inspect.getattr_static` does, and quicker.
"""

from __future__ import annotations

import functools
import keyword
import sys
import unicodedata
from collections.abc import Callable, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, TypeGuard

__all__ = [
    "annotations_of",
    "bases_of",
    "class_path",
    "flags_of",
    "flow_of",
    "instance_dict",
    "is_class",
    "is_function",
    "is_module",
    "is_name",
    "lookup",
    "module_dict",
    "module_of",
    "mro_of",
    "name_of",
    "namespace_of",
    "native_attribute",
    "qualname_of",
]

mro_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
bases_of: Callable[[type], tuple[type, ...]] = type.__dict__["__bases__"].__get__
namespace_of: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
qualname_of: Callable[[type], str] = type.__dict__["__qualname__"].__get__
module_dict: Callable[[ModuleType], dict[str, Any]] = vars(ModuleType)["__dict__"].__get__
flags_of: Callable[[type], int] = type.__dict__["__flags__"].__get__
_class_module: Callable[[type], object] = type.__dict__["__module__"].__get__

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_CALLED_BY_C_CODE: dict[int, bool] = {}
_NATIVE_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)
_COROUTINE, _GENERATOR, _ASYNC_GENERATOR = 0x80, 0x20, 0x200
_FLOWS = {_COROUTINE: "async", _GENERATOR: "generator", _ASYNC_GENERATOR: "async generator"}


@functools.lru_cache(maxsize=65536)
def is_name(text: str) -> bool:
    """Whether Python source can hold this as a name, in exactly this spelling."""
    return (
        text.isidentifier()
        and not keyword.iskeyword(text)
        and text != "__debug__"
        # The compiler normalizes identifiers: another spelling would be another name.
        and (text.isascii() or unicodedata.is_normalized("NFKC", text))
    )


def is_class(value: object) -> TypeGuard[type]:
    """`isinstance(value, type)`, not fooled by objects that claim another `__class__`."""
    return issubclass(type(value), type)


def is_module(value: object) -> TypeGuard[ModuleType]:
    """`isinstance(value, ModuleType)`, in the same way."""
    return issubclass(type(value), ModuleType)


def is_function(value: Any) -> bool:
    """Whether a value is a function: a plain one, or C code that behaves as one.

    The latter are built-in and Cython functions, `lru_cache` wrappers, ufuncs: they have a
    name and are called by C code. Instances of a class that writes `__call__` in Python, and
    nameless callables such as `functools.partial`, are objects.
    """
    kind = type(value)
    if kind is FunctionType or kind is BuiltinFunctionType or kind is MethodType:
        return True
    if not _called_by_c_code(kind):
        return False
    name = native_attribute(value, "__name__")
    return type(name) is str and (is_name(name) or name == "<lambda>")


def _called_by_c_code(kind: type) -> bool:
    """Whether instances are called through a C slot, and are no classes."""
    known = _CALLED_BY_C_CODE.get(id(kind))
    if known is None:
        slot = type(lookup(kind, "__call__")) is WrapperDescriptorType
        known = slot and not issubclass(kind, type)
        if not flags_of(kind) & _HEAP_TYPE:
            # Classes of C code live for ever, so that their id is theirs.
            _CALLED_BY_C_CODE[id(kind)] = known
    return known


def lookup(cls: type, name: str) -> Any:
    """What the class or its bases define under a name, unbound; None if they do not."""
    for base in mro_of(cls):
        namespace = namespace_of(base)
        if name in namespace:
            return namespace[name]
    return None


def instance_dict(value: object) -> dict[str, Any] | None:
    """The `__dict__` of an instance; None if it has none, or one of its own making."""
    if type(lookup(type(value), "__dict__")) is not GetSetDescriptorType:
        return None
    found = object.__getattribute__(value, "__dict__")
    return found if type(found) is dict else None


def native_attribute(value: object, name: str) -> Any:
    """An attribute that the instance holds or that C code gives; else None."""
    held = instance_dict(value)
    if held is not None and name in held:
        return held[name]
    descriptor = lookup(type(value), name)
    if type(descriptor) in _NATIVE_DESCRIPTORS:
        try:
            return descriptor.__get__(value, type(value))
        except Exception:  # C code may refuse in any way, most often AttributeError
            return None
    return None


def module_of(value: object) -> str | None:
    """Name of the module that defines a class or function, as far as it says so."""
    found: object
    if type(value) is FunctionType:
        found = value.__module__
    elif is_class(value):
        found = _class_module(value)
    elif type(value) is MethodType:
        return module_of(value.__func__)
    else:
        found = native_attribute(value, "__module__")
    return found if type(found) is str else None


def class_path(cls: type) -> str:
    """`module:qualname`, as the class itself says."""
    return f"{module_of(cls) or 'builtins'}:{qualname_of(cls)}"


def annotations_of(value: object) -> Mapping[str, Any]:
    """The annotations of a class's own or of a function, as text where Python delays them."""
    if sys.version_info >= (3, 14):
        import annotationlib

        try:
            return annotationlib.get_annotations(value, format=annotationlib.Format.STRING)
        except Exception:  # annotations are code of the user's
            return {}
    if type(value) is FunctionType:
        return value.__annotations__
    if is_class(value):
        found = namespace_of(value).get("__annotations__")
    else:
        found = native_attribute(value, "__annotations__")
    return found if type(found) is dict else {}


def flow_of(value: Any) -> str:
    """How calling a function goes on: the `flow` of a `FunctionNode`."""
    is_plain = type(value) is FunctionType
    code = value.__code__ if is_plain else native_attribute(value, "__code__")
    if type(code) is not CodeType:
        return ""
    flags = code.co_flags & (_COROUTINE | _GENERATOR | _ASYNC_GENERATOR)
    return _FLOWS.get(flags, "") if flags else ""
