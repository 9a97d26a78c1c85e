"""Threads of calls that wait in a lock, and how an interrupt wakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["waiting", "wake"]

waiting: Final[dict[int, Callable[[], None]]] = {}
"""What wakes a thread that waits now, by `Thread.ident`. One that is gone may be left: calling it
does no harm. Only the thread itself adds and removes its own."""


def wake(thread: int) -> None:
    """An interrupt was sent to a thread: wake it, if it waits."""
    ring = waiting.get(thread)
    if ring is not None:
        ring()
