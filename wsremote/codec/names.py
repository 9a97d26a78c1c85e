"""Functions and classes that travel by name: a frozen table, the same on both sides.

What a client may name here runs on the server with arguments that served code chooses,
so the table holds what computes and nothing else. Never in it: what runs text (`eval`,
`exec`, `compile`), opens or imports (`open`, `__import__`), reaches attributes by name
(`getattr`, `setattr`, `delattr`, `attrgetter`, `methodcaller`), shows the inside (`vars`,
`globals`, `locals`, `dir`, `id`), waits for a human (`input`, `breakpoint`), or makes
classes (`type`). Those are lent like any other callable.
"""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import math
import operator
import pathlib
import sys
import types
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Final

from .. import errors

__all__ = ["builtin_name", "builtin_named", "root_package"]

_FUNCTIONS: Final = (
    "abs", "all", "any", "ascii", "bin", "callable", "chr", "divmod", "format", "hash", "hex",
    "isinstance", "issubclass", "iter", "len", "max", "min", "next", "oct", "ord", "pow", "repr",
    "round", "sorted", "sum",
)  # fmt: skip

_CLASSES: Final = (
    "bool", "bytearray", "bytes", "classmethod", "complex", "dict", "enumerate", "filter",
    "float", "frozenset", "int", "list", "map", "memoryview", "object", "property", "range",
    "reversed", "set", "slice", "staticmethod", "str", "super", "tuple", "zip",
)  # fmt: skip

_OPERATORS_LEFT_OUT: Final = frozenset(["attrgetter", "call", "methodcaller"])

_LIBRARY: Final = (
    (types, "NoneType"), (types, "EllipsisType"), (types, "NotImplementedType"),
    (array, "array"), (collections, "deque"), (decimal, "Decimal"), (fractions, "Fraction"),
    (datetime, "date"), (datetime, "datetime"), (datetime, "time"), (datetime, "timedelta"),
    (datetime, "timezone"), (datetime, "tzinfo"), (uuid, "UUID"), (zoneinfo, "ZoneInfo"),
    (pathlib, "Path"), (pathlib, "PurePath"), (pathlib, "PurePosixPath"),
    (pathlib, "PureWindowsPath"),
)  # fmt: skip

# Classes that are passed as arguments (`dtype=np.float32`); resolved when first met, since
# their packages may be missing. The names come from here, never from the wire.
_OF_PACKAGES: Final = frozenset(
    [
        *(f"numpy:{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *("numpy:float16", "numpy:float32", "numpy:float64", "numpy:longdouble"),
        *("numpy:complex64", "numpy:complex128", "numpy:clongdouble"),
        *("numpy:bool", "numpy:bool_", "numpy:str_", "numpy:bytes_", "numpy:void", "numpy:object_"),
        *("numpy:longlong", "numpy:ulonglong", "numpy:datetime64", "numpy:timedelta64"),
        *("numpy:generic", "numpy:number", "numpy:integer", "numpy:floating", "numpy:ndarray"),
        *("pandas:DataFrame", "pandas:Series", "pandas:Index", "pandas:Timestamp"),
        *("pandas:Timedelta", "pandas:Categorical"),
    ]
)


def _entries() -> Iterator[tuple[str, object]]:
    """The table, built from what this Python has."""
    for name in (*_FUNCTIONS, *_CLASSES):
        yield f"builtins:{name}", getattr(builtins, name)
    for value in vars(builtins).values():
        if isinstance(value, type) and issubclass(value, BaseException):
            yield f"builtins:{value.__name__}", value
    for name in operator.__all__:
        if name not in _OPERATORS_LEFT_OUT:
            yield f"operator:{name}", getattr(operator, name)
    for name, value in vars(math).items():
        if callable(value) and not name.startswith("_"):
            yield f"math:{name}", value
    for module, name in _LIBRARY:
        yield f"{module.__name__}:{name}", getattr(module, name)
    for name in errors.__all__:
        yield f"wsremote.errors:{name}", getattr(errors, name)


_OBJECTS: Final[dict[str, object]] = dict(_entries())
# The objects of the table live for ever, so their ids are theirs alone.
_NAMES: Final[dict[int, str]] = {id(value): name for name, value in _OBJECTS.items()}


def builtin_name(value: object) -> str | None:
    """The name of `value` in the table; None if it is not in it."""
    name = _NAMES.get(id(value))
    if name is not None or not isinstance(value, type):
        return name
    root = root_package(value)
    name = f"{root}:{value.__name__}"
    if name in _OF_PACKAGES and getattr(sys.modules.get(root), value.__name__, None) is value:
        return name
    return None


def root_package(cls: type) -> str:
    """The top-level package that defines a class; "" if the class does not say."""
    module = cls.__module__
    return module.partition(".")[0] if isinstance(module, str) else ""


def builtin_named(name: str) -> object:
    """What stands in the table under `name`.

    Raises:
        LookupError: Nothing, or its package is not installed here.
    """
    if name in _OF_PACKAGES:
        root, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(root), attribute)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"{name} is not installed here") from error
    return _OBJECTS[name]
