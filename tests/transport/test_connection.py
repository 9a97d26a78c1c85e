"""WebSocket connections over real sockets, byte for byte."""

from __future__ import annotations

import queue
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from wsremote.errors import ConnectionLost
from wsremote.transport.connection import SocketConnection
from wsremote.transport.pipe import PlainPipe
from wsremote.transport.poller import Poller

LIMIT = 1024 * 1024
PATIENCE = 5.0


class Keeper:
    """An owner that keeps what the poller gives it."""

    def __init__(self, connection: SocketConnection, poller: Poller, *, hot: bool = False) -> None:
        self.connection = connection
        self.messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.lost: queue.SimpleQueue[ConnectionLost] = queue.SimpleQueue()
        self.hot = hot
        connection.owner = self
        poller.watch(connection)

    def on_messages(self) -> bool:
        inbox = self.connection.inbox
        while inbox:
            self.messages.put(inbox.popleft())
        return self.hot

    def on_tick(self, now: float) -> bool:
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        self.lost.put(error)


@pytest.fixture
def poller() -> Iterator[Poller]:
    """A running poller; its thread ends with the test."""
    before = threading.active_count()
    poller = Poller("test")
    poller.start()
    yield poller
    poller.stop()
    assert threading.active_count() == before


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with closing(one), closing(other):
        yield one, other


def connection_of(sock: socket.socket, side: Side, *, max_size: int = LIMIT) -> SocketConnection:
    """An open WebSocket over a socket."""
    return SocketConnection(PlainPipe(sock), Protocol(side), max_size=max_size, received=b"")


def take(connection: SocketConnection, count: int) -> list[bytes]:
    """Read until `count` messages have come."""
    messages: list[bytes] = []
    with connection.reading:
        while len(messages) < count:
            inbox = connection.receive(PATIENCE)
            while inbox:
                messages.append(inbox.popleft())
    return messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 471, 475, 476, 2000, 65535, 65536, 300_000])
@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_messages_of_every_header_size_arrive(
    side: Side, size: int, poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """7, 16 and 64 bit lengths, masked and not."""
    sender = connection_of(sockets[0], side)
    receiver = connection_of(sockets[1], Side.SERVER if side is Side.CLIENT else Side.CLIENT)
    Keeper(sender, poller)
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    sender.send(message)
    assert take(receiver, 1) == [message]


def test_a_message_that_is_longer_than_was_asked_for_takes_one_reception(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """After a small one little is asked for; what is behind it comes with the same reception."""
    sender = connection_of(sockets[0], Side.SERVER)
    receiver = connection_of(sockets[1], Side.CLIENT)
    Keeper(sender, poller)
    for message in (b"small", b"m" * 2000, b"small", b"m" * 475, b"small"):
        sender.send(message)
        with receiver.reading:
            inbox = receiver.receive(PATIENCE)
        assert list(inbox) == [message]
        inbox.clear()


@pytest.mark.parametrize("size", [475, 2000])
def test_what_comes_before_the_end_counts(
    size: int, poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """A message as long as what is asked for, or longer, and then nothing more."""
    sender = connection_of(sockets[0], Side.SERVER)
    receiver = connection_of(sockets[1], Side.CLIENT)
    Keeper(sender, poller)
    sender.send(b"m" * size)
    sockets[0].shutdown(socket.SHUT_WR)
    assert take(receiver, 1) == [b"m" * size]
    with pytest.raises(ConnectionLost, match="gone"):
        take(receiver, 1)


def test_frames_are_those_of_the_library(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """The library's own parser reads what is written by hand."""
    client = connection_of(sockets[0], Side.CLIENT)
    Keeper(client, poller)
    reader = Protocol(Side.SERVER)
    for message in (b"", b"small", b"m" * 126, b"l" * 70_000):
        client.send(message)
    frames: list[Frame] = []
    while len(frames) < 4:
        reader.receive_data(sockets[1].recv(65536))
        frames += [event for event in reader.events_received() if isinstance(event, Frame)]
    assert [bytes(frame.data) for frame in frames] == [b"", b"small", b"m" * 126, b"l" * 70_000]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cutting_of_the_stream_gives_the_same_messages(data: st.DataObject) -> None:
    """Frames, fragments and pings in between, received in arbitrary pieces."""
    messages = data.draw(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
    stream = b""
    for message in messages:
        if data.draw(st.booleans()):
            half = len(message) // 2
            parts = [
                Frame(Opcode.BINARY, message[:half], fin=False),
                Frame(Opcode.PING, b"between"),
                Frame(Opcode.CONT, message[half:]),
            ]
        else:
            parts = [Frame(Opcode.BINARY, message)]
        stream += b"".join(part.serialize(mask=True) for part in parts)
    one, other = socket.socketpair()
    poller = Poller("test")
    poller.start()
    with closing(one), closing(other):
        connection = connection_of(other, Side.SERVER)
        connection.poller = poller
        received: list[bytes] = []
        while stream:
            cut = data.draw(st.integers(1, len(stream)))
            one.sendall(stream[:cut])
            stream = stream[cut:]
            inbox = connection.receive(PATIENCE)
            while inbox:
                received.append(inbox.popleft())
        assert received == messages
    poller.stop()


def test_a_ping_is_answered(poller: Poller, sockets: tuple[socket.socket, socket.socket]) -> None:
    """RFC 6455 section 5.5.2, by the library; a message behind it is not lost."""
    server = connection_of(sockets[1], Side.SERVER)
    Keeper(server, poller)
    sockets[0].sendall(
        Frame(Opcode.PING, b"hi").serialize(mask=True)
        + Frame(Opcode.BINARY, b"message").serialize(mask=True)
    )
    assert isinstance(server.owner, Keeper)
    assert server.owner.messages.get(timeout=PATIENCE) == b"message"
    assert sockets[0].recv(100) == Frame(Opcode.PONG, b"hi").serialize(mask=False)


def test_a_small_bound_counts_for_small_messages(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """Those that two bytes of length suffice for as well: one as large as it, and one larger."""
    server = connection_of(sockets[1], Side.SERVER, max_size=200)
    keeper = Keeper(server, poller)
    sockets[0].sendall(Frame(Opcode.BINARY, bytes(200)).serialize(mask=True))
    # Each in a reception of its own.
    assert keeper.messages.get(timeout=PATIENCE) == bytes(200)
    sockets[0].sendall(Frame(Opcode.BINARY, bytes(201)).serialize(mask=True))
    assert keeper.lost.get(timeout=PATIENCE).code == 1009


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b"text").serialize(mask=True), 1003),
        (Frame(Opcode.BINARY, b"unmasked").serialize(mask=False), 1002),
        (b"\xc2\x80\0\0\0\0", 1002),
        (Frame(Opcode.CONT, b"of nothing").serialize(mask=True), 1002),
        (b"\x82\xff" + (LIMIT + 1).to_bytes(8) + b"mask", 1009),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 1009),
        (b"\x89\xfe\0\xc8" + bytes(204), 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
    ids=["text", "unmasked", "rsv", "cont", "too big", "huge", "long ping", "http"],
)
def test_violations_close_with_their_code(
    data: bytes, code: int, poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """The other side gets a close frame that says why, and this one is closed."""
    server = connection_of(sockets[1], Side.SERVER)
    keeper = Keeper(server, poller)
    sockets[0].sendall(data)
    answer = b""
    while piece := sockets[0].recv(100):
        answer += piece
    assert answer[:1] == b"\x88"
    assert int.from_bytes(answer[2:4]) == code
    assert keeper.lost.get(timeout=PATIENCE).code == code


def test_a_violation_in_pieces_is_one(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """A reserved bit, and a payload that looks like a message where it is cut."""
    server = connection_of(sockets[1], Side.SERVER)
    keeper = Keeper(server, poller)
    sockets[0].sendall(b"\xc2\xfe" + (300).to_bytes(2) + bytes(4) + bytes(10))
    while not server._arrived:
        pass
    sockets[0].sendall(b"\x82\x85\0\0\0\0HELLO" + bytes(279))
    assert keeper.lost.get(timeout=PATIENCE).code == 1002
    assert keeper.messages.empty()


@pytest.mark.parametrize("size", [5, 300])
def test_an_interrupt_as_a_message_is_received_does_not_double_it(
    size: int, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """It can land in any call. What was received is there once when it is looked for again."""

    class Interrupted(deque[Any]):
        """Each of its methods is hit once, when it has done its work."""

        hit: ClassVar[set[str]] = set()

        def append(self, item: Any) -> None:
            super().append(item)
            self._interrupt("append")

        def clear(self) -> None:
            super().clear()
            self._interrupt("clear")

        def _interrupt(self, name: str) -> None:
            if name not in self.hit:
                self.hit.add(name)
                raise KeyboardInterrupt

    client = connection_of(sockets[1], Side.CLIENT)
    client.inbox, client._arrived = Interrupted(), Interrupted()
    Interrupted.hit.clear()
    sockets[0].sendall(Frame(Opcode.BINARY, bytes(size)).serialize(mask=False))
    with client.reading:
        while True:
            try:
                received = client.receive(PATIENCE)
                break
            except KeyboardInterrupt:
                pass
        assert list(received) == [bytes(size)]
        assert list(client.receive(0)) == [bytes(size)]
        received.popleft()
        assert not client.receive(0)
    assert Interrupted.hit == {"clear"}


def test_a_cut_inside_a_frame_is_a_lost_connection(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """Half a frame is no message."""
    server = connection_of(sockets[1], Side.SERVER)
    keeper = Keeper(server, poller)
    frame = Frame(Opcode.BINARY, b"message").serialize(mask=True)
    sockets[0].sendall(frame + frame[:5])
    sockets[0].shutdown(socket.SHUT_WR)
    assert keeper.messages.get(timeout=PATIENCE) == b"message"
    assert keeper.lost.get(timeout=PATIENCE).code == 1006
    assert keeper.messages.empty()


def test_closing_is_polite_on_both_sides(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """What was sent before the close arrives; both sides learn code and reason."""
    client = connection_of(sockets[0], Side.CLIENT)
    server = connection_of(sockets[1], Side.SERVER)
    here, there = Keeper(client, poller), Keeper(server, poller)
    client.send(b"last words")
    client.close(4242, "enough")
    assert there.messages.get(timeout=PATIENCE) == b"last words"
    lost = there.lost.get(timeout=PATIENCE)
    assert (lost.code, lost.reason) == (4242, "enough")
    assert here.lost.get(timeout=PATIENCE).code == 4242
    with pytest.raises(ConnectionLost, match="enough"):
        client.send(b"more")


def test_what_the_socket_does_not_take_is_sent_by_the_poller(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """A sender waits only past the backlog limit, and order is kept."""
    client = connection_of(sockets[0], Side.CLIENT)
    server = connection_of(sockets[1], Side.SERVER)
    Keeper(client, poller)
    messages = [bytes([number]) * 500_000 for number in range(40)]
    sender = threading.Thread(target=lambda: [client.send(message) for message in messages])
    sender.start()
    assert take(server, len(messages)) == messages
    sender.join(PATIENCE)
    assert not sender.is_alive()


def test_senders_of_many_threads_do_not_mix(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """Each message arrives whole, and those of one thread in order."""
    client = connection_of(sockets[0], Side.CLIENT)
    server = connection_of(sockets[1], Side.SERVER)
    Keeper(client, poller)

    def send(name: int) -> None:
        for number in range(200):
            client.send(bytes([name, number]) * 100)

    threads = [threading.Thread(target=send, args=[name]) for name in range(4)]
    for thread in threads:
        thread.start()
    received = take(server, 800)
    for name in range(4):
        mine = [message for message in received if message[0] == name]
        assert mine == [bytes([name, number]) * 100 for number in range(200)]
    for thread in threads:
        thread.join()


def test_a_reader_and_the_poller_share_a_connection(
    poller: Poller, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """At rest the poller reads; heated, the calling thread; then the poller again."""
    client = connection_of(sockets[0], Side.CLIENT)
    server = connection_of(sockets[1], Side.SERVER)
    Keeper(client, poller)
    keeper = Keeper(server, poller)
    client.send(b"cold")
    assert keeper.messages.get(timeout=PATIENCE) == b"cold"
    with server.reading:
        poller.heat(server)
        client.send(b"hot")
        assert list(server.receive(PATIENCE)) == [b"hot"]
        server.inbox.clear()
    # Nobody reads now, and nobody said so: the poller finds out by itself.
    client.send(b"cold again")
    assert keeper.messages.get(timeout=PATIENCE) == b"cold again"


def test_what_opens_and_ends_does_not_hold_up_who_is_in_use(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    """Without this, one call waits until a thousand connections have opened, or ended."""
    poller, served = Poller("test"), []
    client = connection_of(sockets[0], Side.CLIENT)
    client.poller = poller
    keeper = Keeper(connection_of(sockets[1], Side.SERVER), poller)
    others = [socket.socketpair() for _ in range(100)]
    done = threading.Event()
    try:
        for number, (one, other) in enumerate(others):

            def answer(number: int = number, one: socket.socket = one) -> None:
                if not served:
                    # The kernel tells of it behind all of these.
                    client.send(b"call")
                served.append((number, keeper.messages.qsize()))
                poller.forget(one.fileno())
                if len(served) == len(others):
                    done.set()

            poller.watch_readable(one.fileno(), answer)
            other.send(b"x")
        poller.start()
        assert done.wait(PATIENCE)
    finally:
        for pair in others:
            for sock in pair:
                sock.close()
        poller.stop()
    assert len([number for number, calls in served if not calls]) < 50
    assert sorted(number for number, _ in served) == list(range(100))
