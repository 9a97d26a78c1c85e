"""The version of wsremote: here, and nowhere else (floor 0, imports nothing)."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
