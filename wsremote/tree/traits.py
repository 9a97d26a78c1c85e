"""What a class is besides a class: a dataclass, an enumeration, an abstract class.

All of it is read from the class itself, past its metaclass.
"""

from __future__ import annotations

import dataclasses
import typing
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from enum import Enum
from types import GenericAlias
from typing import Any, Final

from .introspection import (
    annotations_of,
    class_path,
    flags_of,
    is_class,
    is_name,
    lookup,
    module_of,
    mro_of,
    namespace_of,
    native_attribute,
)
from .literals import annotation_text
from .nodes import FieldNode
from .own_names import is_class_of_functions

__all__ = ["fields_of", "fixed_of", "metaclasses_of", "traits_of"]

_ABSTRACT: Final = 1 << 20  # Py_TPFLAGS_IS_ABSTRACT, as in `inspect.isabstract`
_CHECKS: Final = ("__instancecheck__", "__subclasscheck__")
_OF_TYPE: Final = [vars(type)[name] for name in _CHECKS]
_OF_ABC: Final = [vars(ABCMeta)[name] for name in _CHECKS]
_NAMES: Final = ("__match_args__", "__slots__", "_fields")
_SWITCHES: Final = ("repr", "compare", "kw_only")


# Those of Python itself, which clients know.
_PLAIN: Final = frozenset(["builtins", "abc", "enum", "typing"])


def metaclasses_of(cls: type) -> Iterator[type]:
    """The metaclasses of a class that are not Python's own."""
    return (base for base in mro_of(type(cls)) if module_of(base) not in _PLAIN)


def traits_of(cls: type) -> Iterator[str]:
    """The traits of a `ClassNode`."""
    namespace = namespace_of(cls)
    if is_class_of_functions(cls):
        yield "function"
    if issubclass(cls, BaseException):
        yield "exception"
    if issubclass(cls, Enum):
        yield "enum"
    if "__dataclass_fields__" in namespace:
        yield "dataclass"
    if flags_of(cls) & _ABSTRACT:
        yield "abstract"
    if issubclass(cls, typing.Generic):
        yield "generic"
    if issubclass(cls, tuple) and type(lookup(cls, "_fields")) is tuple:
        yield "namedtuple"
    item = namespace.get("__class_getitem__")
    if type(item) is classmethod and item.__func__ is GenericAlias:
        yield "alias"
    checks = [lookup(type(cls), name) for name in _CHECKS]
    if checks[0] is not _OF_TYPE[0] and checks[0] is not _OF_ABC[0]:
        yield "judging"
    elif checks != _OF_TYPE:
        yield "virtual"


def fixed_of(cls: type) -> Mapping[str, tuple[str, ...]]:
    """The tuples of names that Python reads from a class."""
    namespace = namespace_of(cls)
    found: dict[str, tuple[str, ...]] = {}
    for key in _NAMES:
        value = namespace.get(key)
        names = (value,) if type(value) is str else value
        if isinstance(names, tuple | list) and all(type(name) is str for name in names):
            found[key] = tuple(names)
    if flags_of(cls) & _ABSTRACT:
        found["__abstractmethods__"] = tuple(sorted(namespace["__abstractmethods__"]))
    if issubclass(cls, typing.Generic):
        parameters = namespace.get("__parameters__", ())
        if parameters:
            found["__parameters__"] = tuple(map(_parameter, parameters))
    notes = [(name, note) for name, note in annotations_of(cls).items() if name[:1] != "_"]
    if notes:
        found["__annotations__"] = tuple(
            [f"{name}: {annotation_text(note)}" for name, note in notes if is_name(name)]
        )
    params = namespace.get("__dataclass_params__")
    if params is not None:
        switches = type(params).__slots__
        found["__dataclass_params__"] = tuple(
            name for name in switches if native_attribute(params, name) is True
        )
    return found


def _parameter(parameter: Any) -> str:
    """A type parameter as it stands in brackets: `T`, `*Ts`, `**P`."""
    stars = {"ParamSpec": "**", "TypeVarTuple": "*"}.get(type(parameter).__name__, "")
    return f"{stars}{getattr(parameter, '__name__', 'T')}"


def fields_of(cls: type) -> tuple[FieldNode, ...]:
    """The fields of a dataclass; of any other class none."""
    held = namespace_of(cls).get("__dataclass_fields__")
    if type(held) is not dict:
        return ()
    return tuple([_field(f) for f in held.values() if type(f) is dataclasses.Field])


def _field(found: Any) -> FieldNode:
    flags = ["init"] if found.init else []
    flags += [name for name in _SWITCHES if getattr(found, name) is True]
    if found.hash is not None:
        flags.append("hash" if found.hash else "no hash")
    if found.default is not dataclasses.MISSING:
        flags.append("default")
    kind = getattr(found._field_type, "name", "_FIELD")
    if kind != "_FIELD":
        flags.append("class" if kind == "_FIELD_CLASSVAR" else "initial")
    factory = found.default_factory
    path = None
    if factory is not dataclasses.MISSING:
        path = class_path(factory) if is_class(factory) else "builtins:object"
    type_ = found.type if type(found.type) is str else annotation_text(found.type)
    return FieldNode(found.name, type_, tuple(flags), path)
