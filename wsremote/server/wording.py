"""How errors about names are worded: as Python words them, with the name that was meant.

No message holds a `repr()` of an object: that would run code, and tell too much.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final

from ..tree.introspection import is_class, is_module, module_dict
from ..tree.nearest import nearest

__all__ = ["label", "no_attribute", "why_closed"]

_name_of: Final = type.__dict__["__name__"].__get__


def label(target: object) -> str:
    """An object as Python's own attribute errors name it: `'C' object`, `module 'pkg'`."""
    if is_module(target):
        return f"module {module_dict(target).get('__name__')!r}"
    if is_class(target):
        return f"type object {_name_of(target)!r}"
    return f"{_name_of(type(target))!r} object"


def no_attribute(
    target: object,
    name: str,
    known: Iterable[str] = (),
    is_shown: Callable[[str], bool] = lambda _: True,
) -> AttributeError:
    """The error for a name that does not exist, or is hidden.

    The text is what Python prints of an uncaught one, suggestion included. `obj` is not set: it
    would bring the object along, and let the client's Python print a second suggestion.

    Args:
        target: What was asked.
        name: For which name.
        known: Names that may have been meant.
        is_shown: Whether one of them may be mentioned.
    """
    near = nearest(name, known, is_shown)
    meant = f". Did you mean: {near!r}?" if near else ""
    return AttributeError(f"{label(target)} has no attribute {name!r}{meant}", name=name)


def why_closed(module: ModuleType) -> str:
    """Why a module that another one holds is not handed out, and what to do."""
    name = str(module_dict(module).get("__name__"))
    if name.partition(".")[0] in sys.stdlib_module_names:
        return (
            "is a module of Python's own that works on its machine: import it on the client, or"
            f" have the server serve {name} by name"
        )
    return f"is a module of another package, {name.partition('.')[0]!r}"
