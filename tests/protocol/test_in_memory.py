"""A session from hello to goodbye over the in-memory transport, by the pure parts alone.

Both sides are a few synchronous lines around the protocol objects: what is tested is that
these carry a session, and that a lost or repeated message is what they say it is.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from wsremote.codec import wire
from wsremote.errors import ConnectionLost, RemoteProtocolError, StaleHandle
from wsremote.protocol.handles import HandleTable
from wsremote.protocol.messages import (
    Challenge,
    Exec,
    Hello,
    Message,
    Op,
    Open,
    Release,
    Result,
    Welcome,
)
from wsremote.protocol.opening import ClientOpening, Opening, ServerOpening
from wsremote.protocol.proof import Credential
from wsremote.protocol.sequence import Sequence
from wsremote.transport.memory import MemoryConnection, MemoryPair, memory_pair

TOKEN = "of the test"


class Side:
    """What both sides have."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection
        self.sequence = Sequence()

    def send(self, cls: Any, *fields: Any) -> None:
        """Number a message, keep it and write it."""
        sequence = self.sequence
        seq = sequence.sent + 1
        sequence.keep(seq, wire.write(cls(seq, sequence.received, *fields)))
        self.write()

    def write(self) -> None:
        """Write what the connection of this moment was not given."""
        for seq, data in self.sequence.unwritten():
            self.connection.send(data)
            self.sequence.wrote(seq)

    def resume(self, connection: MemoryConnection, received: int) -> None:
        """Go on over another connection."""
        self.connection = connection
        self.sequence.resume(received)

    def admits(self, message: Any) -> bool:
        """Whether a numbered message is new; it then counts as handled."""
        is_new = self.sequence.is_next(message)
        self.sequence.received += is_new
        return is_new

    def receive(self) -> list[Message]:
        """Everything that has come."""
        inbox = self.connection.receive(0)
        messages: list[Message] = []
        while inbox:
            messages += wire.read(inbox.popleft())
        return messages


class Server(Side):
    """Counts for its client: CALL makes a counter, METHOD adds one to it."""

    def __init__(self, connection: MemoryConnection) -> None:
        super().__init__(connection)
        credential = Credential.from_token(TOKEN)
        self.opening = ServerOpening(credential, nonce=b"s" * 32, epoch=b"e" * 16)
        self.handles = HandleTable(contextlib.nullcontext())
        self.executed: list[int] = []

    def step(self) -> None:
        """Handle what has come."""
        for message in self.receive():
            if isinstance(message, Hello | Open):
                answer = self.opening.receive(message)
                if isinstance(answer, Open):
                    answer = Welcome("5e55", b"", "", {}, {}, {})  # type: ignore[assignment]
                self.connection.send(wire.write(answer))
            elif isinstance(message, Exec) and self.admits(message):
                self.executed.append(message.call)
                if message.op == Op.CALL:
                    value = self.handles.lend([0])
                else:
                    assert isinstance(message.target, int)
                    counter: Any = self.handles.lookup(message.target)
                    counter[0] += 1
                    value = counter[0]
                self.send(Result, message.call, b"%d" % value, None, None)
            elif isinstance(message, Release) and self.admits(message):
                for handle, count in message.handles:
                    self.handles.release(handle, count)


class Client(Side):
    """Calls, and takes the answer when the server has stepped."""

    def __init__(self, connection: MemoryConnection, server: Server) -> None:
        super().__init__(connection)
        self.server = server
        self.calls = 0
        purpose = Opening(b"o" * 16, 1, "", {}, {})
        opening = ClientOpening(TOKEN, nonce=b"c" * 32, purpose=purpose)
        connection.send(wire.write(opening.start()))
        server.step()
        [challenge] = self.receive()
        assert isinstance(challenge, Challenge)
        connection.send(wire.write(opening.receive(challenge)))
        server.step()
        [welcome] = self.receive()
        assert isinstance(opening.receive(welcome), Welcome)

    def execute(self, op: Op, target: str | int) -> int:
        """One call and its answer."""
        self.begin(op, target)
        self.server.step()
        return self.answer()

    def begin(self, op: Op, target: str | int) -> None:
        """Send a call."""
        self.calls += 1
        self.send(Exec, self.calls, 1, None, int(op), target, None, b"", None)

    def answer(self) -> int:
        """What came of it."""
        results = [each for each in self.receive() if isinstance(each, Result)]
        answers = [each for each in results if self.admits(each)]
        assert [answer.call for answer in answers] == [self.calls]
        return int(answers[0].payload)


@pytest.fixture
def pair() -> MemoryPair:
    """Two ends of a connection in memory."""
    return memory_pair()


@pytest.fixture
def client(pair: MemoryPair) -> Client:
    """An open session."""
    return Client(pair.client, Server(pair.server))


def test_a_call_and_a_handle(client: Client) -> None:
    """Make an object, use it, let it go; afterwards its handle is stale."""
    counter = client.execute(Op.CALL, "pkg:Counter")
    assert [client.execute(Op.METHOD, counter) for _ in range(3)] == [1, 2, 3]
    client.send(Release, [[counter, 1]])
    with pytest.raises(StaleHandle):
        client.execute(Op.METHOD, counter)
    assert len(client.server.handles) == 0


def test_a_repeated_message_is_executed_once(client: Client, pair: MemoryPair) -> None:
    """Every message comes twice, in both directions; every call runs once."""
    counter = client.execute(Op.CALL, "pkg:Counter")
    with pair.duplicate():
        assert [client.execute(Op.METHOD, counter) for _ in range(3)] == [1, 2, 3]
    assert client.server.executed == [1, 2, 3, 4]


def test_a_lost_message_is_noticed_with_the_next(client: Client, pair: MemoryPair) -> None:
    """The gap in the numbers gives it away."""
    with pair.drop():
        client.send(Exec, 7, 1, None, int(Op.CALL), "pkg:Counter", None, b"", None)
    client.send(Exec, 8, 1, None, int(Op.CALL), "pkg:Counter", None, b"", None)
    with pytest.raises(RemoteProtocolError, match="message 2 came after message 0"):
        client.server.step()
    assert client.server.executed == []


def test_a_cut_ends_both_sides(client: Client, pair: MemoryPair) -> None:
    """Neither waits for ever, and neither sends into nothing."""
    pair.cut()
    for side in (client, client.server):
        with pytest.raises(ConnectionLost):
            side.receive()
        with pytest.raises(ConnectionLost):
            side.send(Release, [[1, 1]])


@pytest.mark.parametrize("lost", ["call", "answer"])
def test_a_cut_call_is_executed_once(client: Client, pair: MemoryPair, lost: str) -> None:
    """Cut before the server has it, and cut before the client has its answer."""
    server = client.server
    counter = client.execute(Op.CALL, "pkg:Counter")
    with pair.drop():
        if lost == "call":
            client.begin(Op.METHOD, counter)
    if lost == "answer":
        client.begin(Op.METHOD, counter)
        with pair.drop():
            server.step()
    pair.cut()
    second = memory_pair()
    has, lacks = client.sequence.received, server.sequence.received
    client.resume(second.client, lacks)
    server.resume(second.server, has)
    client.write()
    server.write()
    server.step()
    assert client.answer() == 1
    assert server.executed == [1, 2]
    assert client.execute(Op.METHOD, counter) == 2
