"""Buffers in chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.errors import LimitExceeded, RemoteProtocolError
from wsremote.protocol.messages import Chunk
from wsremote.protocol.transfers import CHUNK_SIZE, Transfers, chunks_of, withdrawal


@given(st.integers(0, 3 * CHUNK_SIZE + 1))
def test_a_buffer_arrives_as_it_was(size: int) -> None:
    """Whatever its size, in chunks of at most CHUNK_SIZE, into one writable buffer."""
    data = bytes(size)
    transfers = Transfers(4 * CHUNK_SIZE)
    for chunk in chunks_of(9, data):
        assert len(chunk.data) <= CHUNK_SIZE
        transfers.receive(chunk)
    assert transfers.claim([9]) == [bytearray(data)]
    assert len(transfers) == 0


def test_buffers_interleave() -> None:
    """Chunks of two transfers may alternate."""
    transfers = Transfers(100)
    transfers.receive(Chunk(1, 4, 0, b"ab"))
    transfers.receive(Chunk(2, 2, 0, b"xy"))
    transfers.receive(Chunk(1, 4, 2, b"cd"))
    assert transfers.claim([2, 1]) == [bytearray(b"xy"), bytearray(b"abcd")]


def test_an_unfinished_buffer_cannot_be_claimed() -> None:
    """The message that lists it has come too early."""
    transfers = Transfers(100)
    transfers.receive(Chunk(1, 4, 0, b"ab"))
    with pytest.raises(RemoteProtocolError, match="transfer 1 is not complete"):
        transfers.claim([1])
    with pytest.raises(RemoteProtocolError, match="transfer 2 is not complete"):
        transfers.claim([2])


def test_a_chunk_that_came_before_is_dropped() -> None:
    """A repeated chunk changes nothing."""
    transfers = Transfers(100)
    transfers.receive(Chunk(1, 4, 0, b"ab"))
    transfers.receive(Chunk(1, 4, 0, b"zz"))
    transfers.receive(Chunk(1, 4, 2, b"cd"))
    assert transfers.claim([1]) == [bytearray(b"abcd")]


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(1, 4, 3, b"d"),
        Chunk(1, 4, 2, b"cde"),
        Chunk(1, 4, 1, b"bc"),
        Chunk(1, 5, 2, b"cd"),
        Chunk(2, 4, 1, b"b"),
        Chunk(2, -1, 0, b"x"),
        Chunk(2, -2, 0, b""),
    ],
)
def test_a_chunk_out_of_place_is_a_violation(chunk: Chunk) -> None:
    """A gap, an overrun, half of it again, another size, a late beginning, a negative size."""
    transfers = Transfers(100)
    transfers.receive(Chunk(1, 4, 0, b"ab"))
    with pytest.raises(RemoteProtocolError):
        transfers.receive(chunk)


def test_the_limit_counts_all_that_is_buffered() -> None:
    """It is refused by its declared size, before any memory is taken; claiming makes room."""
    transfers = Transfers(10)
    with pytest.raises(LimitExceeded, match="--max-transfer-size"):
        transfers.receive(Chunk(1, 2**60, 0, b""))
    transfers.receive(Chunk(2, 6, 0, b"abcdef"))
    with pytest.raises(LimitExceeded):
        transfers.receive(Chunk(3, 6, 0, b"abcdef"))
    transfers.claim([2])
    transfers.receive(Chunk(3, 6, 0, b"abcdef"))


@given(st.integers(0, 3 * CHUNK_SIZE + 1), st.integers(0, 4))
def test_a_buffer_goes_on_where_the_other_side_has_it(size: int, arrived: int) -> None:
    """Cut off after some chunks, it arrives whole, and nothing of it travels twice."""
    data, transfers, sent = bytes(size), Transfers(4 * CHUNK_SIZE), 0
    for chunk in list(chunks_of(9, data))[:arrived]:
        transfers.receive(chunk)
        sent += len(chunk.data)
    start = dict(transfers.progress()).get(9, 0)
    assert start == sent
    for chunk in chunks_of(9, data, start):
        transfers.receive(chunk)
        sent += len(chunk.data)
    assert transfers.claim([9]) == [bytearray(data)]
    assert sent == size


def test_progress_is_of_what_no_message_has_claimed() -> None:
    """What a message has taken is not asked for again: its number is received."""
    transfers = Transfers(100)
    transfers.receive(Chunk(1, 4, 0, b"ab"))
    transfers.receive(Chunk(2, 2, 0, b"xy"))
    assert transfers.progress() == [[1, 2], [2, 2]]
    transfers.claim([2])
    assert transfers.progress() == [[1, 2]]


def test_a_withdrawn_buffer_makes_room() -> None:
    """Its sender was interrupted, and no message will claim it: else it is kept for ever."""
    transfers = Transfers(10)
    transfers.receive(Chunk(1, 8, 0, b"ab"))
    transfers.receive(withdrawal(1))
    transfers.receive(withdrawal(1))
    assert len(transfers) == 0
    transfers.receive(Chunk(2, 10, 0, b"ab"))
