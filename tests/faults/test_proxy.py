"""The fault proxy itself: each fault is what it says, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from faults.flow import End
from faults.frames import Frames
from faults.proxy import PATIENCE, FaultProxy, Line
from faults.schedules import EveryNth


class Bench:
    """A proxy, and both ends of its lines in the hands of the test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.settimeout(PATIENCE)
        target = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.proxy = stack.enter_context(FaultProxy(target))

    def dial(self) -> socket.socket:
        """A client's end that may find nobody."""
        port = int(self.proxy.url.rpartition(":")[2])
        client = self._stack.enter_context(socket.socket())
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        return client

    def connect(self) -> tuple[socket.socket, socket.socket, Line]:
        """A client's end, the server's, and the line between them."""
        number = len(self.proxy.lines)
        client = self.dial()
        server, _ = self._listener.accept()
        self._stack.enter_context(server)
        server.settimeout(PATIENCE)
        return client, server, self.proxy.wait_for_line(number)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A proxy with both ends at hand."""
    with contextlib.ExitStack() as stack:
        yield Bench(stack)


def receive(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or all until the end."""
    received = b""
    while len(received) < size and (piece := sock.recv(size - len(received))):
        received += piece
    return received


def test_bytes_pass_both_ways_and_are_counted(bench: Bench) -> None:
    """Without a fault it is a wire."""
    client, server, line = bench.connect()
    client.sendall(b"question")
    assert receive(server, 8) == b"question"
    server.sendall(b"answer")
    assert receive(client, 6) == b"answer"
    line.up.wait_passed(8)
    line.down.wait_passed(6)
    assert (line.up.taken, line.down.taken) == (8, 6)


def test_much_passes_a_side_that_reads_late(bench: Bench) -> None:
    """The proxy takes no more than it can pass on, and loses nothing of it."""
    client, server, line = bench.connect()
    data = bytes(range(256)) * 40_000
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    line.up.wait_taken(400_000)
    assert receive(server, len(data)) == data
    sender.join()


@pytest.mark.parametrize("closing", ["client", "server"])
def test_the_end_of_one_side_reaches_the_other(bench: Bench, closing: str) -> None:
    """What was sent before comes first; the other direction stays."""
    client, server, line = bench.connect()
    one, other = (client, server) if closing == "client" else (server, client)
    one.sendall(b"last words")
    one.shutdown(socket.SHUT_WR)
    assert receive(other, 100) == b"last words"
    other.sendall(b"heard")
    assert receive(one, 5) == b"heard"
    other.shutdown(socket.SHUT_WR)
    line.wait_closed()


def test_a_reset_of_one_side_reaches_the_other(bench: Bench) -> None:
    """As a reset, not as an orderly end."""
    client, server, line = bench.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert line.up.ended is End.RST


def test_a_cut_ends_both_sides_in_order(bench: Bench) -> None:
    """Also with bytes on their way, which are lost; bytes that come afterwards reset nobody."""
    client, server, line = bench.connect()
    line.hold()
    client.sendall(b"lost")
    server.sendall(b"lost, too")
    line.up.wait_taken(4)
    line.cut()
    client.sendall(b"too late")
    assert receive(client, 100) == b""
    assert receive(server, 100) == b""
    assert bench.proxy.living == []


def test_a_reset_ends_both_sides_at_once(bench: Bench) -> None:
    """Both get an error."""
    client, server, line = bench.connect()
    line.reset()
    for side in (client, server):
        with pytest.raises(ConnectionResetError):
            side.recv(1)
    assert line.is_closed


@pytest.mark.parametrize("count", [0, 1, 999, 1000])
def test_a_cut_comes_behind_an_exact_byte(bench: Bench, count: int) -> None:
    """Of what arrives in one piece, no more than that passes."""
    bench.proxy.plan = lambda line: line.up.cut_after(count)
    client, server, line = bench.connect()
    with contextlib.suppress(OSError):
        client.sendall(bytes(2000))
    assert len(receive(server, 2000)) == count == line.up.passed
    assert receive(client, 1) == b""


def test_a_cut_may_be_a_reset(bench: Bench) -> None:
    """And what passed before it still arrives, or the reset has overtaken it."""
    client, server, line = bench.connect()
    line.down.cut_after(3, line.reset)
    server.sendall(b"abcdef")
    with pytest.raises(ConnectionResetError):
        while client.recv(1):
            pass
    assert line.down.passed == 3


def test_a_black_hole_takes_and_gives_nothing(bench: Bench) -> None:
    """One way only; even the end of the connection does not get through."""
    client, server, line = bench.connect()
    line.up.drop()
    client.sendall(b"into nothing")
    server.sendall(b"seen")
    assert receive(client, 4) == b"seen"
    client.shutdown(socket.SHUT_WR)
    line.up.wait_taken(12)
    bench.proxy.wait(lambda: line.up.ended is End.FIN)
    server.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        server.recv(1)
    assert line.up.passed == 0


def test_what_is_held_comes_late_even_when_the_client_has_gone(bench: Bench) -> None:
    """Bytes of an abandoned connection reach the server behind those of its successor."""
    client, server, line = bench.connect()
    line.up.hold()
    client.sendall(b"late")
    line.up.wait_taken(4)
    client.close()
    bench.proxy.wait(lambda: line.up.ended is not None)
    client2, server2, _ = bench.connect()
    client2.sendall(b"early")
    assert receive(server2, 5) == b"early"
    assert not line.is_closed
    line.up.release()
    assert receive(server, 100) == b"late"


def test_a_stalled_flow_takes_nothing(bench: Bench) -> None:
    """Whoever sends finds the buffers full at last; nothing is lost."""
    client, server, line = bench.connect()
    line.up.stall()
    client.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += client.send(bytes(65536))
    assert line.up.taken == 0
    line.up.release()
    assert len(receive(server, sent)) == sent


def test_a_slow_flow_keeps_its_rate(bench: Bench) -> None:
    """2,000 bytes at 10,000 a second take a fifth of a second; then it is quick again."""
    client, server, line = bench.connect()
    line.up.slow(10_000)
    began = time.monotonic()
    client.sendall(bytes(2000))
    assert len(receive(server, 2000)) == 2000
    assert 0.15 < time.monotonic() - began < 5
    line.up.release()
    client.sendall(bytes(1_000_000))
    assert len(receive(server, 1_000_000)) == 1_000_000


def test_bytes_are_corrupted_left_out_and_put_in(bench: Bench) -> None:
    """Each at its place in the stream, also across the pieces in which it comes."""
    client, server, line = bench.connect()
    line.up.corrupt(1, 0x01)
    line.up.omit(3, 4)
    line.up.inject(b"<>", 8)
    client.sendall(b"abcde")
    line.up.wait_taken(5)
    client.sendall(b"fghij")
    assert receive(server, 8) == b"acch<>ij"
    line.up.inject(b"!")
    assert receive(server, 1) == b"!"


def test_a_refused_client_finds_nobody_and_later_everything_again(bench: Bench) -> None:
    """As with a server that is down: no connection; and it comes back at the same port."""
    with bench.proxy.outage():
        with pytest.raises(ConnectionRefusedError):
            bench.dial()
    client, server, _ = bench.connect()
    client.sendall(b"x")
    assert receive(server, 1) == b"x"


def test_one_side_alone_is_hung_up(bench: Bench) -> None:
    """The other side hears of it when what it sent is released, if ever."""
    client, server, line = bench.connect()
    line.up.hold()
    client.sendall(b"late")
    line.up.wait_taken(4)
    line.hang_up(on_client=True)
    assert receive(client, 1) == b""
    client.close()
    bench.proxy.wait(lambda: line.up.ended is not None)
    server.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        server.recv(1)
    server.settimeout(PATIENCE)
    line.up.release()
    assert receive(server, 100) == b"late"


def frame(size: int, *, masked: bool = False, first: int = 0x82) -> bytes:
    """A WebSocket frame."""
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + bytes(4 if masked else 0) + bytes(size)


@pytest.mark.parametrize("piece", [1, 3, 1000, 10**6])
def test_messages_are_found_in_any_pieces(piece: int) -> None:
    """Behind the HTTP head, of all three sizes, masked or not; those of control are skipped."""
    http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    parts = [
        frame(5),
        frame(2, first=0x89),
        frame(300, masked=True),
        frame(70_000, masked=True),
        frame(0),
    ]
    stream = http + b"".join(parts)
    frames, found = Frames(), []
    for at in range(0, len(stream), piece):
        found += frames.feed(stream[at : at + piece])
    begins = [len(http) + sum(map(len, parts[:number])) for number in range(len(parts))]
    wanted = [(at, at + len(part)) for at, part in zip(begins, parts, strict=True)]
    assert found == [wanted[0], *wanted[2:]]
    assert frames.messages == 4


def test_every_nth_message_ends_its_line(bench: Bench) -> None:
    """Those of the opening do not count, those of both directions do, on all lines together."""
    bench.proxy.plan = schedule = EveryNth(3, seed=1, ways=("cut",))
    for _ in range(4):
        client, server, _ = bench.connect()
        for side, other in ((client, server), (server, client)):
            opening = b"\r\n\r\n" + frame(9) + frame(9)
            side.sendall(opening)
            assert receive(other, len(opening)) == opening
        client.sendall(frame(20))
        assert len(receive(server, 22)) == 22
        server.sendall(frame(20))
        assert len(receive(client, 22)) == 22
        client.sendall(frame(40))
        assert len(receive(server, 100)) in (0, 21, 42)
    assert schedule.faults == 4


def test_a_line_is_made_only_if_there_is_a_server(bench: Bench) -> None:
    """Else the client is sent away, and the proxy goes on."""
    bench.proxy.target = ("127.0.0.1", 1)
    # It may be sent away before it has noticed that it was let in.
    with pytest.raises(ConnectionResetError):
        bench.dial().recv(1)
    assert bench.proxy.refused == 1
