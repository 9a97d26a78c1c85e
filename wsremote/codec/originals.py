"""Copies of exceptions know their original.

An exception travels with all that it has: what is raised must be a real exception, with its
arguments and its traceback, also when its session is over. The copy remembers the handle of the
original. Sent back it is the original, raised through its own side it is the very same object.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["ORIGINAL", "Original", "copy_of", "original_of", "own_dict", "remember_original"]

ORIGINAL: Final = "__wsremote_original__"
"""Attribute of a copy of an exception."""

own_dict: Final = BaseException.__dict__["__dict__"].__get__
"""The attributes of an exception, whatever its class says of them."""


class Original:
    """The exception of the other side that a copy was made of. Releases it when it is gone.

    Attributes:
        handle: The other side's name of it.
    """

    __slots__ = ("__weakref__", "_copy", "_exchange", "_identity", "_kept", "handle")

    def __init__(self, handle: int, kept: object = None) -> None:
        self.handle = handle
        # What holds the handle, if it is not this.
        self._kept = kept
        self._exchange: Exchange | None = None
        self._identity = 0
        self._copy: weakref.ref[BaseException] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, a copy is an exception like any other."""
        return type(None), ()


def remember_original(copy: BaseException, original: Original, exchange: Exchange) -> None:
    """Note what `copy` is a copy of."""
    original._exchange, original._identity = exchange, id(copy)
    # Those of classes that Python defines in C cannot be referred to weakly.
    original._copy = weakref.ref(copy) if type(copy).__weakrefoffset__ else None
    own_dict(copy)[ORIGINAL] = original


def original_of(value: BaseException, exchange: Exchange) -> int | None:
    """The handle of what `value` is a copy of; None if it is no copy from that session."""
    original = own_dict(value).get(ORIGINAL)
    # `copy.copy` takes the attribute along, and its result is another exception.
    if (
        type(original) is Original
        and original._exchange is exchange
        and original._identity == id(value)
    ):
        return original.handle
    return None


def copy_of(original: Original) -> BaseException | None:
    """The copy that was made before, if it is alive and that can be told."""
    return None if original._copy is None else original._copy()
