"""What a pull asks for, and what it gives: several items of an iterator.

The items of an iterator are numbered from 0. `Op.PULL` has the arguments `(wanted, used)`,
or `(wanted, used, True)` if its user has said `ahead`: all items before `used` have been
used, so that nobody has to keep them; from there on up to `wanted` are asked for.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["AHEAD", "ENDED", "MOST_ITEMS", "STEP", "Pulled"]

STEP: Final = 0
"""The iterator must not run ahead: its items are asked for one by one, with `__next__`."""

AHEAD: Final = 1
"""It may: more than one item may be asked for."""

ENDED: Final = 2
"""After these items it ends, and gives nothing with its end."""

MOST_ITEMS: Final = 1024
"""Items that may be asked for at once."""


class Pulled(NamedTuple):
    """The value of a pull: on the wire a list of the first three.

    Attributes:
        state: How the iterator stands.
        start: The number of the first item.
        items: What came. Empty only at the end.
        is_plain: Whether they are known to be scalars that a plain payload holds. Not sent.
    """

    state: int
    start: int
    items: list[Any]
    is_plain: bool = False
