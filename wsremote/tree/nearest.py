"""Which name was meant by one that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

__all__ = ["nearest"]


def nearest(
    name: str, known: Iterable[str], is_shown: Callable[[str], bool] = lambda _: True
) -> str:
    """The nearest of some known names that may be shown, if one is near; else the empty string."""
    # Comparing is slow and a miss may be a mere probe (`hasattr`): only what looks similar.
    alike = [
        other
        for other in known
        if other != name
        and abs(len(other) - len(name)) <= 2
        and (other[:1] == name[:1] or other[-1:] == name[-1:])
    ]
    return next(filter(is_shown, difflib.get_close_matches(name, alike, 3, 0.65)), "")
