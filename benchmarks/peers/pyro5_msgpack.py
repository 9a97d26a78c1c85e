"""Pyro5 with the faster of its serializers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers import pyro5

if TYPE_CHECKING:
    from peers import Operations

__all__ = ["connect", "serve"]

serve = pyro5.serve


def connect(address: str) -> Operations:
    """The client decides."""
    return pyro5.connect(address, "msgpack")
