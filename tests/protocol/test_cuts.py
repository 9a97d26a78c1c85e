"""Opening and resuming, cut at every byte of either direction.

Both sides are the pure parts: both openings, the roster, the numbers, over streams of which
only so many bytes arrive. Frames have their length in front, as those of a WebSocket have.
"""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.codec import wire
from wsremote.protocol.messages import (
    Cancel,
    Leave,
    Message,
    Open,
    Refused,
    Resume,
    Resumed,
    Welcome,
)
from wsremote.protocol.opening import ClientOpening, Opening, Resumption, ServerOpening
from wsremote.protocol.proof import Credential, resumed_proof
from wsremote.protocol.roster import Roster, StaleAttempt
from wsremote.protocol.sequence import Sequence

TOKEN = "of the test"
ENOUGH = 10_000


class Stream:
    """One direction of a connection: what comes behind its first bytes is lost."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.sent = 0
        self._arrived = b""

    def send(self, data: bytes) -> None:
        """Send one message."""
        frame = len(data).to_bytes(4) + data
        self.sent += len(frame)
        self._arrived += frame[: self.left]
        self.left = max(0, self.left - len(frame))

    def receive(self) -> list[Message]:
        """The messages that have arrived whole."""
        found: list[Message] = []
        while len(self._arrived) >= 4:
            size = int.from_bytes(self._arrived[:4])
            if len(self._arrived) < 4 + size:
                break
            found += wire.read(self._arrived[4 : 4 + size])
            self._arrived = self._arrived[4 + size :]
        return found


class Server:
    """Keeps sessions, and notes which of their messages it has handled."""

    def __init__(self) -> None:
        self.roster = Roster(max_sessions=8, max_sessions_per_token=8)
        self.sequences: dict[str, Sequence] = {}
        self.handled: list[int] = []
        self.stale = 0
        self._opening: ServerOpening | None = None
        self._session = ""
        self._connections = 0

    def accept(self) -> None:
        """A new connection takes the place of the last."""
        self._connections += 1
        nonce = self._connections.to_bytes(32)
        self._opening = ServerOpening(Credential.from_token(TOKEN), nonce=nonce, epoch=b"e" * 16)
        self._session = ""

    def step(self, come: Stream, go: Stream) -> None:
        """Handle what has come."""
        for message in come.receive():
            if self._session:
                self._handle(message)
                continue
            assert self._opening is not None
            answer = self._opening.receive(message)
            if isinstance(answer, Open | Resume):
                self._attach(answer, go)
            else:
                go.send(wire.write(answer))

    def _attach(self, message: Open | Resume, go: Stream) -> None:
        assert self._opening is not None
        key_id, said = self._opening.key_id, self._opening.said
        try:
            if isinstance(message, Open):
                seat = self.roster.opened(message, key_id)
                if seat is None:
                    session = f"session {len(self.sequences)}"
                    seat = self.roster.add(session, b"s" * 32, message, key_id)
                    sequence = self.sequences[session] = Sequence()
                    for seq in (1, 2, 3):
                        sequence.keep(seq, wire.write(Cancel(seq, 0, seq)))
                received = 0
                answer: Any = Welcome(seat.id, seat.secret, "", None, {}, {})
            else:
                found = self.roster.resume(message, said, key_id, 0.0)
                assert not isinstance(found, tuple), found
                seat, received = found, message.received
                reached = self.sequences[seat.id].received
                answer = Resumed(resumed_proof(seat.secret, said, reached, []), reached, [], 0)
        except StaleAttempt:
            self.stale += 1
            return
        self._session = seat.id
        sequence = self.sequences[seat.id]
        go.send(wire.write(answer))
        sequence.resume(received)
        for seq, data in sequence.unwritten():
            go.send(data)
            sequence.wrote(seq)

    def _handle(self, message: Any) -> None:
        sequence = self.sequences[self._session]
        if sequence.is_next(message):
            self.handled.append(message.lane)
            sequence.received += 1


class Client:
    """Opens a session, and comes back to it; sends three messages, and expects three."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sequence = Sequence()
        self.session = ""
        self.handled: list[int] = []
        self.attach = 0

    def converse(self, there: int = ENOUGH, back: int = ENOUGH) -> tuple[int, int]:
        """One connection, of which so many bytes arrive. Gives how many were sent."""
        up, down = Stream(there), Stream(back)
        self.attach += 1
        nonce = self.attach.to_bytes(32)
        opening = ClientOpening(TOKEN, nonce=nonce, purpose=self._purpose())
        self.server.accept()
        up.send(wire.write(opening.start()))
        is_open = False
        for _ in range(6):
            self.server.step(up, down)
            for message in down.receive():
                if is_open:
                    self._handle(message)
                    continue
                answer: Any = opening.receive(message)
                if isinstance(answer, Open | Resume):
                    up.send(wire.write(answer))
                    continue
                assert isinstance(answer, Welcome | Resumed)
                is_open = True
                self._go_on(answer, up)
        return up.sent, down.sent

    def _purpose(self) -> Opening | Resumption:
        if self.session:
            received = self.sequence.received
            return Resumption(self.session, b"s" * 32, self.attach, received, [], {})
        return Opening(b"n" * 16, self.attach, "", {}, {})

    def _go_on(self, answer: Welcome | Resumed, up: Stream) -> None:
        if isinstance(answer, Welcome):
            self.session = answer.session
            for seq in (1, 2, 3):
                self.sequence.keep(seq, wire.write(Leave(seq, self.sequence.received, seq)))
        else:
            self.sequence.resume(answer.received)
        for seq, data in self.sequence.unwritten():
            up.send(data)
            self.sequence.wrote(seq)

    def _handle(self, message: Any) -> None:
        if self.sequence.is_next(message):
            self.handled.append(message.call)
            self.sequence.received += 1


def check(client: Client) -> None:
    """One session, and everything was handled once, in order, on both sides."""
    server = client.server
    assert list(server.sequences) == [client.session] == ["session 0"]
    assert len(server.roster) == 1
    assert server.stale == 0
    assert server.handled == client.handled == [1, 2, 3]
    assert client.sequence.received == server.sequences["session 0"].received == 3


UP, DOWN = Client(Server()).converse()


def test_a_session_that_is_not_cut() -> None:
    """What the cuts are measured against."""
    client = Client(Server())
    client.converse()
    check(client)


def test_an_opening_is_cut_at_every_byte() -> None:
    """Whatever was lost of it, the next attempt has the one session there is."""
    for there in range(UP + 1):
        for back in {0, DOWN // 2, DOWN}:
            cut_once(there, back)
    for back in range(DOWN + 1):
        cut_once(UP, back)


def cut_once(there: int, back: int) -> None:
    """Cut the first connection; the second is not cut."""
    client = Client(Server())
    client.converse(there, back)
    client.converse()
    check(client)


def resumed(first: tuple[int, int]) -> Client:
    """A client whose session is open, and whose first connection was cut behind these bytes."""
    client = Client(Server())
    client.converse(*first)
    assert client.session
    return client


@pytest.mark.parametrize(
    "first", [(UP, DOWN), (UP - 15, DOWN), (UP, DOWN - 7), (UP - 7, DOWN - 15)]
)
def test_a_resume_is_cut_at_every_byte(first: tuple[int, int]) -> None:
    """Twice in a row: what was lost the first time, and again, comes with the third."""
    up, down = resumed(first).converse()
    for there in range(up + 1):
        for back in {0, down // 2, down}:
            cut_again(first, there, back)
    for back in range(down + 1):
        cut_again(first, up, back)


def cut_again(first: tuple[int, int], there: int, back: int) -> None:
    """Cut the first two connections; the third is not cut."""
    client = resumed(first)
    client.converse(there, back)
    client.converse()
    check(client)


def test_a_refusal_is_not_an_answer() -> None:
    """The streams of this file do not hide one: a wrong token is seen."""
    server, up, down = Server(), Stream(ENOUGH), Stream(ENOUGH)
    server.accept()
    opening = ClientOpening("wrong", nonce=b"c" * 32, purpose=Opening(b"", 1, "", {}, {}))
    up.send(wire.write(opening.start()))
    server.step(up, down)
    [challenge] = down.receive()
    up.send(wire.write(Open(b"x" * 32, b"", 1, "", {}, {})))
    server.step(up, down)
    [refused] = down.receive()
    assert isinstance(refused, Refused)
    assert not isinstance(challenge, Refused)
