"""What a stranger says, made fit to be shown (floor 0, imports nothing)."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, limit: int = 500) -> str:
    """A text on one line, not too long, and harmless to a terminal.

    Args:
        text: Of whoever answers at a port, or has written into a registry.
        limit: The most characters of it.
    """
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)[:limit]
