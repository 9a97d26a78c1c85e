"""Names with two underscores that instances of a class have, beside its special methods.

And the names of what can be called on a function.

Objects that wrap a function often pose as it: their class has a property `__name__`, or its
`__init__` sets `self.__doc__`. A client has to know, since it answers for such names itself
where it does not.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    WrapperDescriptorType,
)
from typing import Any, Final

from .introspection import (
    instance_dict,
    is_function,
    is_name,
    lookup,
    mro_of,
    namespace_of,
)

__all__ = [
    "OPERATORS",
    "is_class_of_functions",
    "is_own_data",
    "is_set_on_instances",
    "methods_of",
    "own_names",
]

# What functions have and those may set that pose as functions.
_POSING: Final = frozenset(
    [
        *("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__", "__signature__"),
        *("__annotations__", "__defaults__", "__kwdefaults__", "__self__", "__func__"),
        "__isabstractmethod__",
    ]
)
# Set by `functools.update_wrapper(self, function)`.
_WRAPPING: Final = ("__module__", "__name__", "__qualname__", "__doc__", "__wrapped__")
_MAKING: Final = ("__init__", "__new__", "__setstate__")
_READ_BY_CLIENTS: Final = _POSING | {"__array_priority__"}
_C_NAMES: Final = (GetSetDescriptorType, MemberDescriptorType)
_DATA_DESCRIPTORS: Final = (property, *_C_NAMES)

OPERATORS: Final = frozenset(
    name
    for kind in (FunctionType, int, list, dict)
    for name, value in vars(kind).items()
    if type(value) is WrapperDescriptorType and name not in vars(object)
) | {"__eq__", "__hash__", "__enter__", "__exit__", "__reversed__"}
"""Special methods that Python's syntax uses, whatever a class has under the name."""


def is_class_of_functions(cls: type) -> bool:
    """Whether the instances of a class are functions, C code's included."""
    if cls is FunctionType or cls is BuiltinFunctionType or cls is MethodType:
        return True
    if issubclass(cls, type) or type(lookup(cls, "__call__")) is not WrapperDescriptorType:
        return False
    # An `lru_cache` keeps its name in its `__dict__`.
    return type(lookup(cls, "__name__")) in _C_NAMES or lookup(cls, "cache_clear") is not None


def methods_of(function: Any) -> tuple[str, ...]:
    """Names of what can be called on a function: what a decorator set on it, or its class has."""
    kind = type(function)
    if kind is BuiltinFunctionType or kind is MethodType:
        return ()
    held = instance_dict(function)
    names = [name for name, value in held.items() if is_function(value)] if held else []
    if kind is not FunctionType:
        # An `lru_cache`, a ufunc.
        for base in mro_of(kind)[:-1]:
            names += [n for n, v in namespace_of(base).items() if type(v) is MethodDescriptorType]
    if not names:
        return ()
    public = [name for name in names if type(name) is str and name[:1] != "_" and is_name(name)]
    return tuple(dict.fromkeys(public))


def own_names(cls: type) -> Iterator[tuple[str, bool]]:
    """Names of the kind that the class's own code gives to its instances.

    Each with whether it is a descriptor of the package's own making, which may have an answer
    for the class too.
    """
    namespace = namespace_of(cls)
    for name, value in namespace.items():
        if name in _READ_BY_CLIENTS and is_own_data(value):
            kind = type(value)
            yield name, kind is not property and kind not in _C_NAMES
    for maker in _MAKING:
        function = namespace.get(maker)
        if type(function) is staticmethod:
            function = function.__func__
        if type(function) is FunctionType:
            yield from ((name, False) for name in _set_by(function))


def is_set_on_instances(cls: type, name: str) -> bool:
    """Whether the class's own code gives its instances something else under a member's name."""
    for value in namespace_of(cls).values():
        if type(value) is FunctionType and name in value.__code__.co_names:
            for instruction in dis.get_instructions(value.__code__):
                if instruction.opname == "STORE_ATTR" and instruction.argval == name:
                    return True
    return False


def is_own_data(value: Any) -> bool:
    """Whether what a class has under such a name are data of its instances."""
    return issubclass(type(value), _DATA_DESCRIPTORS) or type(value) in (int, float)


def _set_by(function: Any) -> Iterator[str]:
    """The names that a constructor sets on something, most likely on its first argument."""
    mentioned = frozenset(function.__code__.co_names)
    if "update_wrapper" in mentioned:
        yield from _WRAPPING
    if not mentioned.isdisjoint(_POSING):
        for instruction in dis.get_instructions(function.__code__):
            if instruction.opname == "STORE_ATTR" and instruction.argval in _POSING:
                yield instruction.argval
