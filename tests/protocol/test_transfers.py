"""Buffers in chunks."""

from __future__ import annotations

import os

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
    transfers.receive(Chunk(4, 6, 0, b"abcdef"))


def test_the_rest_of_a_refused_buffer_is_dropped() -> None:
    """Its sender hears of it later; who sends it again, over another connection, hears it again."""
    transfers = Transfers(10)
    for _ in range(2):
        with pytest.raises(LimitExceeded):
            transfers.receive(Chunk(1, 20, 0, b"abcdef"))
        transfers.receive(Chunk(1, 20, 6, b"abcdef"))
    assert transfers.progress() == []
    with pytest.raises(LimitExceeded, match="20 bytes"):
        transfers.whole([1])
    assert isinstance(transfers.taken([1]), LimitExceeded)
    with pytest.raises(RemoteProtocolError):
        transfers.claim([1])


def test_one_refused_buffer_of_a_message_takes_the_others_along() -> None:
    """They make room, and the message is answered with an error."""
    transfers = Transfers(10)
    transfers.receive(Chunk(1, 8, 0, b"12345678"))
    with pytest.raises(LimitExceeded):
        transfers.receive(Chunk(2, 8, 0, b"12345678"))
    assert isinstance(transfers.taken([1, 2]), LimitExceeded)
    transfers.receive(Chunk(3, 10, 0, b"1234567890"))


def test_a_withdrawn_buffer_is_not_refused_any_more() -> None:
    """Nothing of it is remembered."""
    transfers = Transfers(10)
    with pytest.raises(LimitExceeded):
        transfers.receive(Chunk(1, 20, 0, b"abcdef"))
    transfers.receive(withdrawal(1))
    with pytest.raises(RemoteProtocolError, match="not complete"):
        transfers.claim([1])


def test_a_refusal_is_of_one_connection() -> None:
    """Its withdrawal may be lost with that: no mark is left over."""
    transfers = Transfers(10)
    with pytest.raises(LimitExceeded):
        transfers.receive(Chunk(1, 20, 0, b"abcdef"))
    transfers.forget_refusals()
    assert transfers._refused == {}
    with pytest.raises(LimitExceeded):
        transfers.receive(Chunk(1, 20, 0, b"abcdef"))
    assert isinstance(transfers.taken([1]), LimitExceeded)
    assert transfers._refused == {}


def test_who_goes_on_with_refused_buffers_breaks_the_protocol() -> None:
    """Else they would be remembered without end."""
    transfers = Transfers(10)
    with pytest.raises(RemoteProtocolError, match="were refused"):
        for number in range(20_000):
            with pytest.raises(LimitExceeded):
                transfers.receive(Chunk(number, 20, 0, b""))


def test_no_memory_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this buffer, by whichever way its chunk comes; smaller ones are taken."""

    def refuse(size: int) -> bytearray:
        if size > 5:
            raise MemoryError
        return bytearray(size)

    monkeypatch.setattr("wsremote.protocol.transfers.allocate", refuse)
    transfers = Transfers(100)
    assert transfers.landing(1, 20, 0, 6) is None
    with pytest.raises(LimitExceeded, match="no memory for a buffer of 20 bytes"):
        transfers.receive(Chunk(1, 20, 0, b"abcdef"))
    assert transfers.landing(1, 20, 6, 6) is None
    transfers.receive(Chunk(2, 5, 0, b"abcde"))
    assert transfers.claim([2]) == [b"abcde"]


def test_memory_that_was_announced_and_not_sent_is_not_touched() -> None:
    """Ten billion bytes of a peer that says so and sends six: only pages with bytes are taken."""
    transfers = Transfers(10**11)
    before = _resident()
    for number in range(4):
        landing = transfers.landing(number, 2_500_000_000, 0, 6)
        assert landing is not None
        landing.view[:] = b"abcdef"
        landing.landed()
    assert _resident() - before < 64 * 1024 * 1024
    assert transfers.progress() == [[number, 6] for number in range(4)]


def _resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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
