"""What one side asks of the other's objects beside their attributes, by names of our own."""

from __future__ import annotations

from typing import Final

__all__ = ["CONTENT"]

CONTENT: Final = "__wsremote_content__"
"""Of a container that derives from a builtin: what it holds, as a plain copy."""
