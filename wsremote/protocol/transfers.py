"""Buffers on their way, in pieces, ahead of the messages that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import LimitExceeded, RemoteProtocolError
from .messages import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CHUNK_SIZE", "Transfers", "chunks_of", "withdrawal"]

CHUNK_SIZE: Final = 256 * 1024
"""Bytes of a chunk: what a small message may have to wait behind."""

_WITHDRAWN: Final = -1
"""In place of the size of a buffer."""


def chunks_of(
    transfer: int, buffer: memoryview | bytes | bytearray, start: int = 0
) -> Iterator[Chunk]:
    """One buffer as the chunks that carry it; an empty buffer is one empty chunk.

    Args:
        transfer: Its number.
        buffer: Any number of bytes.
        start: How many of them the other side has.
    """
    view = memoryview(buffer).cast("B")
    total = len(view)
    for offset in range(start, total, CHUNK_SIZE) or (() if start else (0,)):
        yield Chunk(transfer, total, offset, bytes(view[offset : offset + CHUNK_SIZE]))


def withdrawal(transfer: int) -> Chunk:
    """No message will claim this buffer: what has come of it need not be kept."""
    return Chunk(transfer, _WITHDRAWN, 0, b"")


class Transfers:
    """Buffers that arrive in chunks, ahead of the messages that list them.

    Args:
        limit: Bytes of one buffer, and of all unfinished and unclaimed buffers together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffers: dict[int, tuple[bytearray, int]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._buffers)

    def receive(self, chunk: Chunk) -> None:
        """Put one chunk in its place.

        Raises:
            RemoteProtocolError: It overlaps, leaves a gap, or does not fit.
            LimitExceeded: The buffers are larger than this side takes.
        """
        transfer, total, offset, data = chunk
        if total == _WITHDRAWN and not data:
            self.forget((transfer,))
            return
        if transfer not in self._buffers:
            if total < 0 or offset != 0:
                raise RemoteProtocolError(f"transfer {transfer} does not begin at its beginning")
            if self._size + total > self._limit:
                raise LimitExceeded(
                    f"a buffer of {total} bytes is above the limit of {self._limit} bytes"
                    " (--max-transfer-size)"
                )
            self._buffers[transfer] = (bytearray(total), 0)
            self._size += total
        buffer, filled = self._buffers[transfer]
        if offset < filled and offset + len(data) <= filled:
            return  # it has come before
        if offset != filled or filled + len(data) > len(buffer) or total != len(buffer):
            raise RemoteProtocolError(f"chunk at {offset} of transfer {transfer} does not fit")
        buffer[offset : offset + len(data)] = data
        self._buffers[transfer] = (buffer, filled + len(data))

    def progress(self) -> list[list[int]]:
        """How many bytes of each buffer are here: `[transfer, bytes]`."""
        return [[transfer, filled] for transfer, (_, filled) in list(self._buffers.items())]

    def claim(self, transfers: Sequence[int] | None) -> list[bytearray]:
        """The whole buffers of a message that lists them; they are this message's alone.

        Raises:
            RemoteProtocolError: One is missing or unfinished.
        """
        claimed = self.whole(transfers or ())
        self.forget(transfers or ())
        return claimed

    def whole(self, transfers: Sequence[int]) -> list[bytearray]:
        """The same, and they stay here until `forget()`: for who may be interrupted.

        Raises:
            RemoteProtocolError: As `claim`, or one is listed twice.
        """
        found: dict[int, bytearray] = {}
        for transfer in transfers:
            if type(transfer) is not int:
                raise RemoteProtocolError("transfers are listed by their numbers")
            buffer, filled = self._buffers.get(transfer, (None, 0))
            if buffer is None or filled != len(buffer) or transfer in found:
                raise RemoteProtocolError(f"transfer {transfer} is not complete")
            found[transfer] = buffer
        return list(found.values())

    def forget(self, transfers: Sequence[int]) -> None:
        """Keep these buffers no longer; again does no harm."""
        for transfer in transfers:
            buffer, _ = self._buffers.pop(transfer, (b"", 0))
            self._size -= len(buffer)
