"""Values as text for display: small constants, defaults and annotations.

No `__repr__` of a user's class runs, except that of what an annotation holds. The text
is the same in every process: no addresses, no order of hashes.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

from .introspection import (
    instance_dict,
    is_class,
    is_function,
    module_of,
    name_of,
    native_attribute,
    qualname_of,
)

__all__ = ["annotation_text", "constant_text", "default_text"]

_MAX_LENGTH = 200
_MAX_ITEMS = 12
_MAX_DEPTH = 3
_MAX_ANNOTATION = 1000
# Longer integers are no constants one reads, and Python refuses to print them from 4300 digits.
_MAX_BITS = 640


def constant_text(value: object) -> str | None:
    """The text of a small constant; None for everything else.

    Constants are None, booleans, numbers, text and bytes up to 200 long, and short tuples
    of these, all of exactly these types; paths of files on this machine are none.
    """
    return _scalar_text(value) if type(value) is not tuple else _tuple_text(value, constant_text)


def default_text(value: object) -> str:
    """The text of a parameter's default: as source would have it, or `<TypeName>`."""
    return _default_text(value, 0)


def annotation_text(value: Any) -> str:
    """The text of an annotation: `int`, `pkg.mod.C`, `list[int] | None`."""
    if type(value) is str:
        return value
    if type(value) is typing.ForwardRef:
        return value.__forward_arg__
    if value is None or value is type(None):
        return "None"
    if is_class(value):
        module = module_of(value)
        return qualname_of(value) if module in _UNSAID else f"{module}.{qualname_of(value)}"
    try:
        text = repr(value)
    except Exception:  # it may hold anything of the user's
        return f"<{name_of(type(value))}>"
    if len(text) > _MAX_ANNOTATION or " at 0x" in text:
        return f"<{name_of(type(value))}>"
    return text.replace("typing.", "")


_UNSAID = frozenset([None, "builtins"])


def _int_text(value: int) -> str | None:
    return repr(value) if value.bit_length() <= _MAX_BITS else None


def _str_text(value: str) -> str | None:
    if len(value) > _MAX_LENGTH:
        return None
    # Where things are on the server's machine is not told by the tree.
    if len(value) > 1 and os.path.isabs(value) and "\0" not in value and os.path.exists(value):
        return None
    return repr(value)


def _bytes_text(value: bytes) -> str | None:
    return repr(value) if len(value) <= _MAX_LENGTH else None


_SCALARS: dict[type, Callable[[Any], str | None]] = {
    types.NoneType: repr,
    bool: repr,
    int: _int_text,
    float: repr,
    complex: repr,
    str: _str_text,
    bytes: _bytes_text,
    types.EllipsisType: lambda _: "...",
    types.NotImplementedType: repr,
}


def _scalar_text(value: object) -> str | None:
    show = _scalar(type(value))
    return None if show is None else show(value)


def _scalar(kind: type) -> Callable[[Any], str | None] | None:
    # A metaclass of the user's may define `__hash__`, which looking the class up would call.
    return _SCALARS.get(kind) if type(kind) is type else None


def _tuple_text(value: tuple[Any, ...], show: Callable[[Any], str | None]) -> str | None:
    """A tuple whose items are all shown by `show`."""
    if len(value) > _MAX_ITEMS:
        return None
    items = [None if type(item) is tuple and item else show(item) for item in value]
    shown = [item for item in items if item is not None]
    if len(shown) < len(items):
        return None
    text = f"({shown[0]},)" if len(shown) == 1 else f"({', '.join(shown)})"
    return text if len(text) <= _MAX_LENGTH else None


def _default_text(value: Any, depth: int) -> str:
    kind = type(value)
    show = _scalar(kind)
    if show is not None:
        return show(value) or f"<{name_of(kind)}>"
    if type(kind) is type and kind in _CONTAINERS:
        return _container_text(value, depth)
    if is_class(value):
        return qualname_of(value)
    if issubclass(kind, Enum):
        return _enum_text(value)
    if is_function(value):
        name = native_attribute(value, "__qualname__") or native_attribute(value, "__name__")
        # "<lambda>" and "f.<locals>.g" are shown as what they are, not as a name.
        return name if type(name) is str and "<" not in name else "<function>"
    if module_of(kind) == "dataclasses":
        return "<factory>"
    return f"<{name_of(kind)}>"


_CONTAINERS = frozenset([tuple, list, dict, set, frozenset])


def _container_text(value: Any, depth: int) -> str:
    kind = type(value)
    if len(value) > _MAX_ITEMS or depth == _MAX_DEPTH:
        return f"<{name_of(kind)}>"
    if kind is dict:
        pairs = value.items()
        items = [f"{_default_text(k, depth + 1)}: {_default_text(v, depth + 1)}" for k, v in pairs]
    else:
        items = [_default_text(item, depth + 1) for item in value]
    if kind is tuple:
        text = f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    elif kind is list:
        text = f"[{', '.join(items)}]"
    elif kind is dict:
        text = f"{{{', '.join(items)}}}"
    else:
        # Sorted, since the order of a set is another one in every process.
        text = f"{{{', '.join(sorted(items))}}}" if items else "set()"
        if kind is frozenset:
            text = f"frozenset({text if items else ''})"
    return text if len(text) <= _MAX_LENGTH else f"<{name_of(kind)}>"


def _enum_text(value: Enum) -> str:
    """`Colour.RED`, also where the class has a `__repr__` of its own."""
    name = (instance_dict(value) or {}).get("_name_")
    kind = type(value)
    return f"{qualname_of(kind)}.{name}" if type(name) is str else f"<{name_of(kind)}>"
