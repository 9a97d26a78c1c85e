"""What a stranger says, made fit to be shown (floor 0, imports nothing of ours)."""

from __future__ import annotations

import builtins

__all__ = ["kind_of", "printable"]


def printable(text: str, limit: int = 500) -> str:
    """A text on one line, not too long, and harmless to a terminal.

    Args:
        text: Of whoever answers at a port, or has written into a registry.
        limit: The most characters of it.
    """
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)[:limit]


def kind_of(value: object) -> str:
    """What a value is, for a message that it should be something else: `a list`.

    The proxy of a peer's object has the name of that object's class.
    """
    cls = type(value)
    name = printable(cls.__name__, 100)
    article = "an" if name[:1] in "aeiou" else "a"
    is_proxy = getattr(builtins, cls.__name__, cls) is not cls
    return f"a proxy of {article} {name}" if is_proxy else f"{article} {name}"
