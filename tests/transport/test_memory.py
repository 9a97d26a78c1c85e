"""The in-memory connection and its faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsremote.errors import ConnectionLost
from wsremote.transport.base import Closed, Connection, Owner
from wsremote.transport.memory import MemoryConnection, memory_pair


class Recorder:
    """An owner that writes down what it is told, and may answer."""

    def __init__(
        self, connection: MemoryConnection, answer: Callable[[bytes], bytes | None] | None = None
    ) -> None:
        self.connection = connection
        self.batches: list[list[bytes]] = []
        self.lost: list[tuple[int, str]] = []
        self.answer = answer
        connection.owner = self

    def on_messages(self) -> bool:
        batch = list(self.connection.inbox)
        self.batches.append(batch)
        self.connection.inbox.clear()
        for message in batch:
            if self.answer is not None and (answer := self.answer(message)) is not None:
                self.connection.send(answer)
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        self.lost.append((error.code, error.reason))

    def on_tick(self, now: float) -> bool:
        return False


def test_it_is_a_connection() -> None:
    """Both ends have what the floors above know of a connection."""
    client, server = memory_pair()
    connections: list[Connection] = [client, server]
    owner: Owner = Recorder(client)
    assert connections == [client, server]
    assert client.owner is owner


def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    """What is sent is there at once, in order; a reader takes it out of the queue."""
    client, server = memory_pair()
    for number in range(3):
        client.send(b"up %d" % number)
    server.send(bytearray(b"down"))
    assert list(server.receive(0)) == [b"up 0", b"up 1", b"up 2"]
    assert server.receive(0).popleft() == b"up 0"
    assert list(server.receive(5.0)) == [b"up 1", b"up 2"]
    assert list(client.receive()) == [b"down"]
    client.inbox.clear()
    assert not client.receive(1000.0)


def test_an_owner_is_told_and_may_answer() -> None:
    """Owners get each delivery as one batch; answers come after it, not inside it."""
    client, server = memory_pair()
    depth = 0
    deepest = 0

    def answer(message: bytes) -> bytes | None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        try:
            number = int(message)
            if number < 500:
                server.send(b"%d" % (number + 1))
            return None
        finally:
            depth -= 1

    Recorder(server, answer)
    left = Recorder(client, lambda message: message if int(message) < 500 else None)
    client.send(b"0")
    assert left.batches == [[b"%d" % number] for number in range(1, 501)]
    assert deepest == 1


def test_a_failing_owner_fails_the_sender_and_nothing_else() -> None:
    """An exception of an owner comes out of the send that delivered; the pair goes on."""
    client, server = memory_pair()
    recorder = Recorder(server, lambda message: bytes([1 // (len(message) - 1)]))
    with pytest.raises(ZeroDivisionError):
        client.send(b"x")
    client.send(b"yy")
    assert recorder.batches == [[b"x"], [b"yy"]]
    assert list(client.inbox) == [b"\x01"]


def test_close_comes_behind_what_was_sent() -> None:
    """The peer gets everything sent before the close, then the code and the reason."""
    client, server = memory_pair()
    client.send(b"last")
    client.close(4000, "enough")
    assert client.closed == server.closed == Closed(4000, "enough")
    assert server.receive(0).popleft() == b"last"
    for end in (client, server):
        with pytest.raises(ConnectionLost, match=r"enough \(4000\)"):
            end.receive(0)
        with pytest.raises(ConnectionLost) as caught:
            end.send(b"too late")
        assert (caught.value.code, caught.value.reason) == (4000, "enough")
    server.close(1000, "me too")
    assert server.closed == Closed(4000, "enough")


def test_owners_of_both_ends_hear_of_a_close_once() -> None:
    """Like with a socket, the one who closes is told as well; behind the last message."""
    client, server = pair = memory_pair()
    left, right = Recorder(client), Recorder(server)
    with pair.hold():
        client.send(b"last")
        client.close(1001, "going")
        assert left.lost == right.lost == []
    assert right.batches == [[b"last"]]
    assert left.lost == right.lost == [(1001, "going")]
    pair.cut()
    assert len(left.lost) == len(right.lost) == 1


def test_hold_keeps_everything_until_its_end() -> None:
    """Inside hold() nothing arrives; afterwards it comes as one batch, in order."""
    client, server = pair = memory_pair()
    recorder = Recorder(server)
    with pair.hold():
        client.send(b"1")
        with client.hold():
            client.send(b"2")
        client.send(b"3")
        server.send(b"down")
        assert recorder.batches == []
        assert not client.receive(0)
    assert recorder.batches == [[b"1", b"2", b"3"]]
    assert list(client.inbox) == [b"down"]


def test_a_fault_of_one_end_leaves_the_other_direction() -> None:
    """hold() of one end holds what that end sends only."""
    client, server = memory_pair()
    with client.hold():
        client.send(b"held")
        server.send(b"free")
        assert list(client.inbox) == [b"free"]
        assert not server.inbox
    assert list(server.inbox) == [b"held"]


def test_drop_loses_what_is_sent_meanwhile() -> None:
    """Inside drop() messages vanish; before and after they arrive; a close is no message."""
    client, server = pair = memory_pair()
    client.send(b"1")
    with pair.drop():
        client.send(b"2")
        server.send(b"2")
    client.send(b"3")
    with client.drop():
        client.close(1000, "bye")
    assert list(server.inbox) == [b"1", b"3"]
    assert not client.inbox
    assert server.closed == Closed(1000, "bye")


def test_duplicate_delivers_twice() -> None:
    """Inside duplicate() each message arrives twice in a row."""
    client, server = pair = memory_pair()
    with pair.duplicate():
        client.send(b"a")
        client.send(b"b")
    client.send(b"c")
    assert list(server.inbox) == [b"a", b"a", b"b", b"b", b"c"]


def test_cut_loses_what_is_in_flight_and_tells_both() -> None:
    """After cut() both ends are closed with 1006; what was held is lost, what arrived is not."""
    client, server = pair = memory_pair()
    server.send(b"arrived")
    left = Recorder(client)
    with pair.hold():
        client.send(b"lost")
        server.send(b"lost")
        pair.cut()
        assert client.closed == server.closed
    assert client.closed == Closed(1006, "the connection was cut")
    assert left.lost == [(1006, "the connection was cut")]
    assert list(client.inbox) == [b"arrived"]
    assert not server.inbox
    with pytest.raises(ConnectionLost):
        client.send(b"more")
    with pytest.raises(ConnectionLost):
        server.receive(0)


def test_a_close_from_inside_a_delivery() -> None:
    """An owner may close while it handles a message; what was behind it is lost."""
    client, server = pair = memory_pair()

    def close(message: bytes) -> None:
        server.close(4400, "no")

    recorder = Recorder(server, close)
    client.send(b"bad")
    assert client.closed == Closed(4400, "no")
    assert recorder.lost == [(4400, "no")]
    pair.cut()
    assert client.closed == Closed(4400, "no")


def test_both_ends_close_at_once() -> None:
    """Closes that cross: each end keeps its own, hears of the end once, and gets no more."""
    client, server = pair = memory_pair()
    left, right = Recorder(client), Recorder(server)
    with pair.hold():
        client.close(4001, "client")
        server.send(b"crossing")
        server.close(4002, "server")
    assert (client.closed, server.closed) == (Closed(4001, "client"), Closed(4002, "server"))
    assert (left.lost, right.lost) == ([(4001, "client")], [(4002, "server")])
    assert left.batches == []
