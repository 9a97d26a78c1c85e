"""Types with arguments: `list[int]`, `C[str]`, `Optional[C]`, `int | None`.

They are values where all that is in them are classes. Type variables and text in them belong to a
module, and are what they are by identity.
"""

from __future__ import annotations

import functools
import operator
import types
import typing
from typing import Any, Final

from ..errors import DecodeError
from ..tree.introspection import lookup

__all__ = ["KINDS", "build", "is_value", "parts"]

_OF_TYPING: Final = tuple(
    kind
    for name in ("_GenericAlias", "_UnionGenericAlias")
    if isinstance(kind := vars(typing).get(name), type)
)

KINDS: Final = frozenset([types.GenericAlias, types.UnionType, *_OF_TYPING])
"""The classes of such types."""


def is_value(alias: Any) -> bool:
    """Whether an alias is nothing but classes, at any depth."""
    origin = alias.__origin__ if type(alias) is not types.UnionType else types.UnionType
    is_plain = isinstance(origin, type) or origin is typing.Union
    return is_plain and all(
        argument is None
        or argument is ...
        or issubclass(type(argument), type)
        or (type(argument) in KINDS and is_value(argument))
        for argument in alias.__args__
    )


def parts(alias: Any) -> tuple[Any, ...]:
    """What an alias is of, its arguments, the name that it shows, and whether it can be called."""
    if type(alias) in _OF_TYPING:
        origin = None if alias.__origin__ is typing.Union else alias.__origin__
        return origin, alias.__args__, alias._name, alias._inst
    origin = None if type(alias) is types.UnionType else alias.__origin__
    return origin, alias.__args__, None, True


def build(kind: type, origin: Any, args: tuple[Any, ...], name: Any, inst: Any) -> Any:
    """An alias, made past `C.__class_getitem__`, which may ask the other side.

    Raises:
        LookupError: This Python makes them in another way.
        DecodeError: It makes no sense.
    """
    if name is not None and type(name) is not str:
        raise DecodeError(f"{name!r} is no name of a type")
    if kind is types.GenericAlias:
        return types.GenericAlias(origin, args)
    if kind is types.UnionType:
        own = vars(type)["__or__"]
        if not args or any(
            lookup(type(arg), "__or__") is not own for arg in args if arg is not None
        ):
            raise LookupError("the classes of this union have an operator of their own")
        return functools.reduce(operator.or_, args)
    make: Any = kind
    try:
        if kind.__name__ == "_UnionGenericAlias":
            return make(typing.Union, args, name=name)
        return make(origin, args, inst=inst is True, name=name)
    except TypeError as error:
        raise LookupError(f"{kind.__name__} is made in another way here: {error}") from error
