"""How much a payload may carry, asked before any memory is taken for it."""

from __future__ import annotations

__all__ = ["Room", "TooLarge"]


class TooLarge(Exception):
    """A payload has more than it may.

    Args:
        size: Bytes of it, at least.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes are too many")
        self.size = size


class Room:
    """What one payload may have, in its buffers and in itself.

    Args:
        limit: Bytes.
    """

    __slots__ = ("_taken", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0

    def expect(self, size: int) -> None:
        """So many bytes will come, of which a copy may have to be made before.

        Raises:
            TooLarge: There is no room for them.
        """
        if self._taken + size > self.limit:
            raise TooLarge(self._taken + size)

    def take(self, size: int) -> None:
        """So many bytes have come. Raises as `expect`."""
        self.expect(size)
        self._taken += size
