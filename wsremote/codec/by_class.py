"""Enum members, namedtuples, frozen dataclasses: values if the receiver has their class.

So are signatures, compiled regular expressions and what annotations are made of
(`list[int]`, `Optional[C]`), which nobody changes either.

That is known of classes of the standard library only. The class is looked up among the
receiver's loaded modules, and nothing is imported by a name from the wire; a receiver
that has not loaded it uses the handle that comes with the value.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import DecodeError
from . import aliases, carried, tags

__all__ = ["build", "content", "lower"]

_KINDS = list(inspect._ParameterKind)


def lower(value: Any, items: Callable[[Iterable[object]], list[Any]]) -> list[Any] | None:
    """The fields of `value` up to its fallback; None if it is none of these."""
    kind = type(value)
    if sys.modules.get(kind.__module__) is None or "<" in kind.__qualname__:
        return None
    name = f"{kind.__module__}:{kind.__qualname__}"
    if issubclass(kind, enum.Enum):
        base = carried.content_base(kind)
        beside = None if base is None else items([carried.content_of(value, base)])[0]
        # A combination of flags has no member, only a value.
        if issubclass(kind, enum.Flag):
            return [tags.MEMBER, name, value._value_, beside]
        return [tags.MEMBER, name, value._name_, beside]
    elif _is_namedtuple(kind) and not getattr(value, "__dict__", None):
        return [tags.NAMEDTUPLE, name, items(tuple.__iter__(value))]
    elif kind is inspect.Signature:
        parameters = [
            [p.name, int(p.kind), items(_given(p.default)), items(_given(p.annotation))]
            for p in value.parameters.values()
        ]
        return [tags.DATACLASS, name, [parameters, items(_given(value.return_annotation))]]
    elif kind is re.Pattern:
        return [tags.DATACLASS, name, [items([value.pattern])[0], value.flags]]
    elif kind in aliases.KINDS and aliases.is_value(value):
        origin, args, *rest = aliases.parts(value)
        return [tags.DATACLASS, name, [items([origin, *args]), *rest]]
    elif _is_frozen_dataclass(kind):
        fields = [field.name for field in dataclasses.fields(kind)]
        values = items(object.__getattribute__(value, field) for field in fields)
        return [tags.DATACLASS, name, dict(zip(fields, values, strict=True))]
    return None


def build(body: list[Any]) -> object:
    """The value.

    Raises:
        LookupError: The class is not loaded here, or is no longer what it was there.
    """
    tag, name, data = body[:3]
    kind = _loaded_class(name)
    if tag == tags.MEMBER and issubclass(kind, enum.Enum):
        return kind(data) if issubclass(kind, enum.Flag) else kind.__members__[data]
    if tag == tags.NAMEDTUPLE and _is_namedtuple(kind):
        if len(data) != len(kind._fields):  # type: ignore[attr-defined]
            raise LookupError(f"{name} has other fields here")
        return tuple.__new__(kind, data)
    if tag == tags.DATACLASS and kind is inspect.Signature:
        return _signature(*data)
    if tag == tags.DATACLASS and kind is re.Pattern:
        return _pattern(*data)
    if tag == tags.DATACLASS and kind in aliases.KINDS:
        (origin, *args), *rest = data
        return aliases.build(kind, origin, tuple(args), *rest)
    if tag == tags.DATACLASS and _is_frozen_dataclass(kind):
        if set(data) != {field.name for field in dataclasses.fields(kind)}:
            raise LookupError(f"{name} has other fields here")
        made: object = object.__new__(kind)
        for field, value in data.items():
            object.__setattr__(made, field, value)
        return made
    raise LookupError(f"{name} is another kind of class here")


def content(body: list[Any]) -> object:
    """What an object that cannot be built here carries beside its handle; None for nothing."""
    if body[0] == tags.MEMBER:
        return body[3]
    return tuple(body[2]) if body[0] == tags.NAMEDTUPLE else None


def _given(value: object) -> list[object]:
    """A part of a signature, which may be missing."""
    return [] if value is inspect.Signature.empty else [value]


def _signature(parameters: list[Any], returns: list[Any]) -> inspect.Signature:
    """A signature from its parts."""
    empty = inspect.Signature.empty
    made = [
        inspect.Parameter(
            name, _KINDS[kind], default=(*default, empty)[0], annotation=(*note, empty)[0]
        )
        for name, kind, default, note in parameters
    ]
    return inspect.Signature(made, return_annotation=(*returns, empty)[0])


def _pattern(text: str | bytes, flags: int) -> re.Pattern[Any]:
    """A compiled regular expression."""
    try:
        return re.compile(text, flags & ~re.DEBUG)
    except (re.error, TypeError, ValueError) as error:
        raise LookupError(f"the pattern means nothing here: {error}") from error


def _loaded_class(name: str) -> type:
    """A class of a loaded module of the standard library."""
    if type(name) is not str:
        raise DecodeError(f"{name!r} is no class name")
    module, _, qualname = name.partition(":")
    if module.partition(".")[0] not in sys.stdlib_module_names or module not in sys.modules:
        raise LookupError(f"{module} is not loaded here")
    found: object = sys.modules[module]
    for part in qualname.split("."):
        found = vars(found).get(part)
        if found is None:
            raise LookupError(f"{module} has no class {qualname} here")
    if not isinstance(found, type):
        raise LookupError(f"{name} is no class here")
    return found


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def _is_frozen_dataclass(kind: type) -> bool:
    parameters = vars(kind).get("__dataclass_params__")
    return parameters is not None and parameters.frozen and kind.__bases__ == (object,)
