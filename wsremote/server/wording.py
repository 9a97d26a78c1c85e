"""How errors about names are worded: as Python words them, with the name that was meant.

No message holds a `repr()` of an object: that would run code, and tell too much.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final

from ..tree.introspection import is_class, is_module, module_dict

__all__ = ["label", "no_attribute", "suggestion"]

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
    near = suggestion(name, known, is_shown)
    meant = f". Did you mean: {near!r}?" if near else ""
    return AttributeError(f"{label(target)} has no attribute {name!r}{meant}", name=name)


def suggestion(
    name: str, known: Iterable[str], is_shown: Callable[[str], bool] = lambda _: True
) -> str:
    """The nearest of some known names that may be shown, if one is near; else the empty string."""
    # Comparing is slow and a miss may be a mere probe (`hasattr`): only what looks similar.
    alike = [
        other
        for other in known
        if abs(len(other) - len(name)) <= 2 and (other[:1] == name[:1] or other[-1:] == name[-1:])
    ]
    return next(filter(is_shown, difflib.get_close_matches(name, alike, 3, 0.75)), "")
