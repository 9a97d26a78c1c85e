"""Buffers that the receiver does not take: too large, by themselves or beside the others."""

from __future__ import annotations

from typing import Final

from wsremote.errors import LimitExceeded
from wsremote.protocol.messages import Chunk
from wsremote.protocol.transfers import REFUSED, Transfers, refusal

__all__ = ["MOST", "Refusing", "is_refusal"]

MOST: Final = 2000
"""Bytes that one side takes of buffers, with chunks of 64 bytes."""


def is_refusal(chunk: Chunk) -> bool:
    """Whether it is about a buffer of the receiver's own."""
    return chunk.total == REFUSED


class Refusing(Transfers):
    """Buffers that arrive, and what is said of those that are not taken."""

    @property
    def refused(self) -> int:
        """How many are remembered."""
        return len(self._refused)

    def take(self, chunk: Chunk) -> Chunk | None:
        """Put a chunk in its place; gives what to say to its sender, if it is refused."""
        try:
            self.receive(chunk)
        except LimitExceeded:
            return refusal(chunk.transfer)
        return None

    def begin_again(self) -> None:
        """Another connection carries the session: a refusal is one of a connection.

        Its sender begins again, and is refused again. A withdrawal that was lost leaves nothing.
        """
        self._refused.clear()
