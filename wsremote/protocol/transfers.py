"""Buffers on their way, in pieces, ahead of the messages that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import LimitExceeded, RemoteProtocolError
from .memory import allocate
from .messages import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .memory import Block

__all__ = [
    "CHUNK_SIZE",
    "REFUSED",
    "Landing",
    "Transfers",
    "checked",
    "chunks_of",
    "refusal",
    "spans_of",
    "withdrawal",
]

CHUNK_SIZE: Final = 256 * 1024
"""Bytes of a chunk: what a small message may have to wait behind."""

_WITHDRAWN: Final = -1
"""In place of the size of a buffer."""

REFUSED: Final = -2
"""The same, about a buffer of the other side's: not that of a withdrawal, since both sides count
their transfers from 1."""

_MOST_REFUSED: Final = 10_000
"""Refused buffers that are remembered at once."""


def spans_of(total: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where the chunks of a buffer begin and how long they are; an empty one has one, empty.

    Args:
        total: Bytes of the buffer.
        start: How many of them the other side has.
    """
    for offset in range(start, total, CHUNK_SIZE) or (() if start else (0,)):
        yield offset, min(CHUNK_SIZE, total - offset)


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
    for offset, size in spans_of(len(view), start):
        yield Chunk(transfer, len(view), offset, bytes(view[offset : offset + size]))


def withdrawal(transfer: int) -> Chunk:
    """No message will claim this buffer: what has come of it need not be kept."""
    return Chunk(transfer, _WITHDRAWN, 0, b"")


def checked(buffers: Sequence[Block] | LimitExceeded) -> Sequence[Block]:
    """The buffers of a message, for who decodes it.

    Raises:
        LimitExceeded: One of them was refused.
    """
    if isinstance(buffers, LimitExceeded):
        raise buffers
    return buffers


def refusal(transfer: int) -> Chunk:
    """This side does not take a buffer of the other's: what is sent of it is dropped."""
    return Chunk(transfer, REFUSED, 0, b"")


class Transfers:
    """Buffers that arrive in chunks, ahead of the messages that list them.

    Args:
        limit: Bytes of one buffer, and of all unfinished and unclaimed buffers together.
        flag: What sets that.

    Attributes:
        limit: The first of these.
    """

    def __init__(self, limit: int, flag: str = "--max-transfer-size") -> None:
        self.limit = limit
        self._flag = flag
        # Why, of those that are not taken.
        self._refused: dict[int, str] = {}
        self._buffers: dict[int, tuple[Block, int]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._buffers)

    def receive(self, chunk: Chunk) -> None:
        """Put one chunk in its place.

        Raises:
            RemoteProtocolError: It overlaps, leaves a gap, or does not fit.
            LimitExceeded: The buffer is not taken: its sender is to be told. The text says why.
        """
        transfer, total, offset, data = chunk
        if total == _WITHDRAWN and not data:
            self.forget((transfer,))
            return
        if transfer in self._refused:
            if offset == 0:
                # Sent again over another connection.
                raise LimitExceeded(self._refused[transfer])
            return
        if transfer not in self._buffers:
            if total < 0 or offset != 0:
                raise RemoteProtocolError(f"transfer {transfer} does not begin at its beginning")
            made = self._allocate(transfer, total)
            # No call from here on: an interrupt finds it taken and counted, or neither.
            self._buffers[transfer] = (made, 0)
            self._size += total
        buffer, filled = self._buffers[transfer]
        if offset < filled and offset + len(data) <= filled:
            return  # it has come before
        if offset != filled or filled + len(data) > len(buffer) or total != len(buffer):
            raise RemoteProtocolError(f"chunk at {offset} of transfer {transfer} does not fit")
        buffer[offset : offset + len(data)] = data
        self._buffers[transfer] = (buffer, filled + len(data))

    def _allocate(self, transfer: int, total: int) -> Block:
        """Memory for a buffer.

        Raises:
            LimitExceeded: It is not taken.
        """
        if self._size + total > self.limit:
            reason = (
                f"a buffer of {total} bytes is above the limit of {self.limit} bytes, or is beside"
                f" what else is under way ({self._flag})"
            )
        else:
            try:
                return allocate(total)
            except MemoryError:
                reason = f"there is no memory for a buffer of {total} bytes"
        if len(self._refused) >= _MOST_REFUSED:
            raise RemoteProtocolError(f"{_MOST_REFUSED} buffers were refused, and are still wanted")
        self._refused[transfer] = reason
        raise LimitExceeded(reason)

    def landing(self, transfer: int, total: int, offset: int, size: int) -> Landing | None:
        """Where the next chunk of a buffer may be received at once; None if it is to be looked at.

        A buffer begins with it, or goes on: nothing is changed by a chunk that is not as it
        should be, nor by one that never comes to its end.
        """
        buffer, filled = self._buffers.get(transfer, (None, 0))
        if buffer is None:
            if offset or not 0 < size <= total or transfer in self._refused:
                return None
            try:
                buffer = self._allocate(transfer, total)
            except (LimitExceeded, RemoteProtocolError):
                return None  # said when the chunk is there, as a message
            self._buffers[transfer] = (buffer, 0)
            self._size += total
        elif offset != filled or total != len(buffer) or not 0 < size <= total - filled:
            return None
        return Landing(self, transfer, memoryview(buffer)[offset : offset + size], offset + size)

    def landed(self, transfer: int, filled: int) -> None:
        """A chunk is where `landing` has said, and its buffer is filled so far."""
        buffer, before = self._buffers.get(transfer, (None, 0))
        if buffer is not None:
            self._buffers[transfer] = (buffer, max(before, filled))

    def expected(self) -> tuple[int, int]:
        """Bytes that are here, and that were announced, of the buffers that no message has."""
        buffers = list(self._buffers.values())
        return sum(filled for _, filled in buffers), sum(len(buffer) for buffer, _ in buffers)

    def progress(self) -> list[list[int]]:
        """How many bytes of each buffer are here: `[transfer, bytes]`."""
        return [[transfer, filled] for transfer, (_, filled) in list(self._buffers.items())]

    def claim(self, transfers: Sequence[int] | None) -> list[Block]:
        """The whole buffers of a message that lists them; they are this message's alone.

        Raises:
            RemoteProtocolError: One is missing or unfinished.
            LimitExceeded: One of them was refused. The others stay until `forget()`.
        """
        claimed = self.whole(transfers or ())
        self.forget(transfers or ())
        return claimed

    def whole(self, transfers: Sequence[int]) -> list[Block]:
        """The same, and they stay here until `forget()`: for who may be interrupted.

        Raises:
            RemoteProtocolError: As `claim`, or one is listed twice.
            LimitExceeded: One of them was refused.
        """
        found: dict[int, Block] = {}
        for transfer in transfers:
            if type(transfer) is not int:
                raise RemoteProtocolError("transfers are listed by their numbers")
            if transfer in self._refused:
                raise LimitExceeded(self._refused[transfer])
            buffer, filled = self._buffers.get(transfer, (None, 0))
            if buffer is None or filled != len(buffer) or transfer in found:
                raise RemoteProtocolError(f"transfer {transfer} is not complete")
            found[transfer] = buffer
        return list(found.values())

    def taken(self, transfers: Sequence[int]) -> list[Block] | LimitExceeded:
        """As `claim`; the error in place of the buffers, for whom the message is for.

        Raises:
            RemoteProtocolError: One is missing or unfinished.
        """
        try:
            return self.whole(transfers)
        except LimitExceeded as error:
            return error
        finally:
            self.forget(transfers)

    def forget_refusals(self) -> None:
        """Another connection carries the session: what is still wanted begins again over it.

        Else the mark of one would stay whose withdrawal was lost with the old connection.
        """
        self._refused.clear()

    def forget(self, transfers: Sequence[int]) -> None:
        """Keep these buffers no longer; again does no harm."""
        for transfer in transfers:
            self._refused.pop(transfer, None)
            buffer, _ = self._buffers.pop(transfer, (b"", 0))
            self._size -= len(buffer)


class Landing:
    """Where a chunk goes while it arrives: a `transport.base.Landing`.

    Args:
        transfers: Whose chunk it is.
        transfer: The buffer's number.
        view: Its part of the buffer.
        end: Bytes of the buffer that are there when it is.
    """

    __slots__ = ("_end", "_transfer", "_transfers", "view")

    def __init__(self, transfers: Transfers, transfer: int, view: memoryview, end: int) -> None:
        self._transfers = transfers
        self._transfer = transfer
        self._end = end
        self.view = view

    def landed(self) -> None:
        """All of it is there."""
        self._transfers.landed(self._transfer, self._end)
