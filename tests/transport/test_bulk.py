"""Large messages on a connection: their bytes go to where their owner says, whatever happens."""

from __future__ import annotations

import dis
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from wsremote.codec import wire
from wsremote.errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from wsremote.protocol.messages import Ack, Chunk
from wsremote.protocol.transfers import Landing, Transfers
from wsremote.transport import bulk, connection
from wsremote.transport.bulk import LANDS_FROM
from wsremote.transport.connection import SocketConnection
from wsremote.transport.pipe import PlainPipe

PATIENCE = 5.0
LIMIT = 1024 * 1024
SIZE = LANDS_FROM + 5_000


class Owner:
    """Takes messages as a session does, and large ones to where they belong."""

    def __init__(self, sock: socket.socket, side: Side, limit: int = 10 * LIMIT) -> None:
        self.transfers = Transfers(limit)
        self.connection = SocketConnection(
            PlainPipe(sock), Protocol(side), max_size=LIMIT, received=b""
        )
        self.connection.landing = self._landing
        self.connection.poller = Silent()  # type: ignore[assignment]
        self.landed = 0
        self.others: list[object] = []

    def _landing(self, head: bytes, size: int) -> Landing | None:
        found = wire.read_chunk_head(head, size)
        landing = None if found is None else self.transfers.landing(*found)
        self.landed += landing is not None
        return landing

    def read(self, timeout: float = 0) -> None:
        """Receive once, and handle what came."""
        inbox = self.connection.receive(timeout)
        while inbox:
            for message in wire.read(inbox[0]):
                if isinstance(message, Chunk):
                    self.transfers.receive(message)
                else:
                    self.others.append(message)
            inbox.popleft()


class Silent:
    """A poller that nobody needs."""

    is_current = False

    def rearm(self, connection: SocketConnection) -> None:
        """There is time enough."""


@contextmanager
def owner(side: Side) -> Iterator[tuple[socket.socket, Owner]]:
    """A socket to write to, and who reads at its other end."""
    one, other = socket.socketpair()
    with closing(one), closing(other):
        yield one, Owner(other, side)


def framed(message: bytes, side: Side) -> bytes:
    """One frame for who is on that side."""
    return bytes(Frame(Opcode.BINARY, message).serialize(mask=side is Side.SERVER))


def chunk(transfer: int, total: int, offset: int, data: bytes) -> bytes:
    """A chunk as it is sent."""
    return wire.chunk_head(transfer, total, offset, len(data)) + data


def test_a_head_and_its_data_are_a_chunk() -> None:
    """Who knows nothing of landings reads the same."""
    for numbers in ((1, 200_000, 0), (70_000, 2**40, 2**33), (2**32, 300, 128)):
        message = chunk(*numbers, b"x" * 300)
        assert wire.read(message) == (Chunk(*numbers, b"x" * 300),)
        assert wire.read_chunk_head(message[:64], len(message)) == (*numbers, 300)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x95",
        wire.chunk_head(1, 2, 3, 300)[:-1],
        wire.chunk_head(1, 2, 3, 299),
        wire.chunk_head(1, 2, 3, 301),
        wire.write(Ack(1)),
        b"\x95\x20\x01\x02\xa1x\xc6\0\0\1\x2c",
        b"\x95\x20\x01\x02\xc0\xc6\0\0\1\x2c",
        b"\x95\x20\x01\x02\xc3\xc6\0\0\1\x2c",
        b"\x95\x20\x01\x02\xcb" + bytes(8) + b"\xc6\0\0\1\x2c",
        b"\x95\x20" + b"\x91" * 62,
        b"\x95\x20\xdf\xff\xff\xff\xff",
        b"\x95\x20" + b"\xc1" * 40,
    ],
)
def test_what_is_no_head_is_read_the_ordinary_way(head: bytes) -> None:
    """It says something of its size that is not so, or is no chunk, or nonsense."""
    size = len(wire.chunk_head(1, 2, 3, 300)) + 300
    assert wire.read_chunk_head(head, size) is None


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_a_chunk_cut_at_every_byte_of_its_beginning_and_end(side: Side) -> None:
    """Small messages before, between and behind; masked and not."""
    data = os.urandom(2 * SIZE)
    stream = b"".join(
        framed(message, side)
        for message in (
            wire.write(Ack(1)),
            chunk(7, len(data), 0, data[:SIZE]),
            wire.write(Ack(2)),
            chunk(7, len(data), SIZE, data[SIZE:]),
            wire.write(Ack(3)),
        )
    )
    places = [*range(1, 120), *range(SIZE - 20, SIZE + 140), *range(len(stream) - 30, len(stream))]
    for place in places:
        with owner(side) as (sock, there):
            for piece in (stream[:place], stream[place:]):
                sock.sendall(piece)
                while True:
                    before = there.connection.activity
                    there.read()
                    if there.connection.activity == before:
                        break
            assert there.others == [Ack(1), Ack(2), Ack(3)], place
            assert there.transfers.claim([7]) == [data], place
            assert there.landed == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cutting_of_any_stream_gives_the_same(data: st.DataObject) -> None:
    """Chunks of two buffers, large and small, in turn, with pings and messages in between."""
    side = data.draw(st.sampled_from([Side.CLIENT, Side.SERVER]))
    sizes = data.draw(
        st.lists(st.sampled_from([0, 1, 300, SIZE, LIMIT // 2]), min_size=2, max_size=12)
    )
    whole = {1: b"", 2: b""}
    spans = []
    for number, size in enumerate(sizes):
        transfer = 1 + number % 2
        spans.append((transfer, len(whole[transfer]), size))
        whole[transfer] += bytes([number % 256]) * size
    stream, acks = b"", 0
    for transfer, offset, size in spans:
        piece = whole[transfer][offset : offset + size]
        stream += framed(chunk(transfer, len(whole[transfer]), offset, piece), side)
        if data.draw(st.booleans()):
            stream += Frame(Opcode.PING, b"between").serialize(mask=side is Side.SERVER)
        if data.draw(st.booleans()):
            acks += 1
            stream += framed(wire.write(Ack(acks)), side)
    with owner(side) as (sock, there):
        sender = threading.Thread(target=sock.sendall, args=[stream])
        cut = data.draw(st.integers(1, len(stream)))
        sock.sendall(stream[: min(cut, 100_000)])
        stream = stream[min(cut, 100_000) :]
        sender = threading.Thread(target=sock.sendall, args=[stream])
        there.read(PATIENCE)
        sender.start()

        def is_whole() -> bool:
            got = dict(there.transfers.progress())
            return got == {t: len(b) for t, b in whole.items()} and len(there.others) == acks

        while not is_whole():
            there.read(PATIENCE)
        sender.join(PATIENCE)
        assert list(map(bytes, there.transfers.claim([1, 2]))) == [whole[1], whole[2]]


@pytest.mark.parametrize(
    "message",
    [
        chunk(2, 100, 0, bytes(SIZE)),
        chunk(2, SIZE * 2, 1, bytes(SIZE)),
        chunk(1, 10 * SIZE, 9 * SIZE + 1, bytes(SIZE)),
        chunk(1, 10 * SIZE, SIZE // 2, bytes(SIZE)),
        chunk(1, 11 * SIZE, SIZE, bytes(SIZE)),
        chunk(2, 2**62, 0, bytes(SIZE)),
    ],
    ids=["overrun", "late", "behind the end", "half again", "other size", "too large"],
)
@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_a_chunk_that_lies_lands_nowhere(side: Side, message: bytes) -> None:
    """It is read as a message, and refused as one."""
    with owner(side) as (sock, there):
        sock.sendall(framed(chunk(1, 10 * SIZE, 0, bytes(SIZE)), side) + framed(message, side))
        with pytest.raises((RemoteProtocolError, LimitExceeded)):
            while True:
                there.read(PATIENCE)
        assert there.landed == 1


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_a_cut_in_the_middle_of_a_landing(side: Side) -> None:
    """The piece counts as not received, and nothing writes to the buffer any more."""
    with owner(side) as (sock, there):
        stream = framed(chunk(1, 2 * SIZE, 0, b"x" * SIZE), side)
        sock.sendall(stream[:-1000])
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionLost):
            while True:
                there.read(PATIENCE)
        assert there.transfers.progress() == [[1, 0]]


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
@pytest.mark.parametrize("pieces", [1, 2, 7, 20])
def test_many_that_leave_together_arrive_whole(side: Side, pieces: int) -> None:
    """Whatever the kernel takes of them at once; what is small goes in front of them or behind."""
    one, other = socket.socketpair()
    with closing(one), closing(other):
        sender = Owner(one, side).connection
        there = Owner(other, Side.CLIENT if side is Side.SERVER else Side.SERVER)
        data = os.urandom(LIMIT - 100)
        size = len(data) // pieces
        parts = [data[at : at + size] for at in range(0, pieces * size, size)]
        sender.send(wire.write(Ack(1)))
        sender.send_large(
            *(
                (wire.chunk_head(7, pieces * size, n * size, size), memoryview(part))
                for n, part in enumerate(parts)
            )
        )
        assert sender.messages_sent == 1 + pieces
        assert sender.has_backlog
        sender.send(wire.write(Ack(2)))
        while not sender.flush():
            there.read()
        pump(sender, there)
        assert sender._backlog_size == 0
        assert there.others == [Ack(1), Ack(2)]
        assert there.transfers.claim([7]) == [b"".join(parts)]


def test_a_part_of_the_backlog_is_copied_when_its_owner_may_write_to_it() -> None:
    """What has not left yet arrives as it was."""
    one, other = socket.socketpair()
    with closing(one), closing(other):
        sender = Owner(one, Side.SERVER).connection
        there = Owner(other, Side.CLIENT)
        data = bytearray(b"x" * (LIMIT // 2))
        for number in range(4):
            sender.send_large((wire.chunk_head(number, len(data), 0, len(data)), memoryview(data)))
        assert sender.has_backlog
        sender.own_backlog()
        data[:] = b"y" * len(data)
        pump(sender, there)
        blocks = there.transfers.claim(range(4))
    assert b"y" not in bytes(blocks[2]) + bytes(blocks[3])


def pump(sender: SocketConnection, there: Owner) -> None:
    """Until all has left and come."""
    while not sender.flush():
        there.read()
    idle = 0
    while idle < 3:
        before = there.connection.activity
        there.read()
        # What was interrupted is done again without a reception.
        idle = idle + 1 if there.connection.activity == before else 0


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_what_is_small_goes_first(side: Side) -> None:
    """A large message waits until nothing is queued, and helps that along."""
    one, other = socket.socketpair()
    with closing(one), closing(other):
        sender = Owner(one, side).connection
        there = Owner(other, Side.CLIENT if side is Side.SERVER else Side.SERVER)
        for number in range(6):
            sender.send(wire.write(Chunk(number + 1, LIMIT // 2, 0, bytes(LIMIT // 2))))
        assert sender.has_backlog
        sent = threading.Thread(target=sender.wait_for_silence)
        sent.start()
        while sent.is_alive():
            there.read(0.1)
        assert not sender.has_backlog


# ---- interrupts ----------------------------------------------------------------------

_CHECKED = {"CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "RESUME"}
"""What Python looks for interrupts behind."""


class Interrupting:
    """Raises KeyboardInterrupt at the n-th place where Python would, in the files of connections.

    Args:
        place: Which.
    """

    def __init__(self, place: int) -> None:
        self.left = place
        self._names: dict[CodeType, dict[int, str]] = {}

    def _local(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode" and self._is_behind_call(frame):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._local

    def _global(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in (bulk.__file__, connection.__file__):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._local

    def _is_behind_call(self, frame: FrameType) -> bool:
        code = frame.f_code
        if code not in self._names:
            names, before = {}, ""
            for instruction in dis.get_instructions(code):
                if instruction.opname == "CACHE":
                    continue
                names[instruction.offset] = before
                before = instruction.opname
            self._names[code] = names
        return self._names[code].get(frame.f_lasti, "") in _CHECKED

    def run(self, work: Callable[[], None]) -> bool:
        """Whether it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self._global)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_an_interrupt_of_the_reader_loses_nothing(side: Side) -> None:
    """Wherever it lands: the next reception goes on with what has come."""
    data = os.urandom(2 * SIZE)
    stream = b"".join(
        framed(message, side)
        for message in (
            wire.write(Ack(1)),
            chunk(7, len(data), 0, data[:SIZE]),
            chunk(7, len(data), SIZE, data[SIZE:]),
            wire.write(Ack(2)),
        )
    )
    place, interrupted = 0, True
    while interrupted:
        place += 1
        with owner(side) as (sock, there):
            sock.sendall(stream)
            interrupting = Interrupting(place)

            def read(there: Owner = there) -> None:
                while len(there.others) < 2:
                    there.read(PATIENCE)

            interrupted = interrupting.run(read)
            read()
            assert there.others == [Ack(1), Ack(2)], place
            assert there.transfers.claim([7]) == [data], place
    assert place > 50


@pytest.mark.parametrize("is_secured", [False, True])
def test_an_interrupt_behind_the_last_byte_of_the_backlog(is_secured: bool) -> None:
    """All has left, and is only not taken out of the backlog: nothing leaves twice."""
    one, other = socket.socketpair()
    with closing(one), closing(other):
        sender = Owner(one, Side.SERVER).connection
        there = Owner(other, Side.CLIENT)
        sender._is_secured = is_secured
        sender._backlog += (b"abc", b"de")
        sender._gone = 5
        assert sender.flush()
        assert not sender.has_backlog
        sender.send(wire.write(Ack(1)))
        there.read(PATIENCE)
        assert there.others == [Ack(1)]


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_an_interrupt_of_the_sender_leaves_the_stream_whole(side: Side) -> None:
    """Each message has left whole, or has not begun to."""
    data = os.urandom(LIMIT // 2)
    place, interrupted = 0, True
    while interrupted:
        place += 1
        one, other = socket.socketpair()
        with closing(one), closing(other):
            sender = Owner(one, side).connection
            there = Owner(other, Side.CLIENT if side is Side.SERVER else Side.SERVER)

            def send(sender: SocketConnection = sender, there: Owner = there) -> None:
                for some in ((1,), (2, 3)):
                    sender.send_large(
                        *(
                            (wire.chunk_head(number, len(data), 0, len(data)), memoryview(data))
                            for number in some
                        )
                    )
                while not sender.flush():
                    while there.connection.activity < 1_000_000:
                        before = there.connection.activity
                        there.read()
                        if there.connection.activity == before:
                            break

            # The reader's code is in the same files, and may be interrupted as well.
            interrupted = Interrupting(place).run(send)
            sender.send(wire.write(Ack(1)))
            pump(sender, there)
            assert there.others == [Ack(1)], place
            for transfer, filled in there.transfers.progress():
                assert filled == len(data), (place, transfer)
                assert there.transfers.claim([transfer]) == [data]
        if place > 400:
            break
