"""The sending half of a session, over connections that end at any message."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wsremote.channel.channel import Channel, NotTaken, transfers_of
from wsremote.codec import wire
from wsremote.errors import ConnectionLost, RemoteProtocolError
from wsremote.protocol.messages import Cancel, Chunk, Exec, Message, Op, Ping, Pong, Result
from wsremote.protocol.pace import Pace
from wsremote.protocol.transfers import CHUNK_SIZE, Transfers, refusal, withdrawal

PATIENCE = 20.0


class Line:
    """A connection that ends after so many messages.

    Args:
        messages: How many it takes.
    """

    def __init__(self, messages: int = 10**9) -> None:
        self.left = messages
        self.sent: list[Message] = []
        self.messages_sent = 0
        # Told of each message.
        self.on_sent: Callable[[bytes], None] = lambda data: None
        # Takes the answers to pings.
        self.answer: Callable[[Pong], None] | None = None
        # Set when it has taken its last message.
        self.ended = threading.Event()

    def send(self, data: bytes) -> None:
        """Take a message, if it still does."""
        if not self.left:
            self.ended.set()
            raise ConnectionLost(1006, "of the test")
        self.left -= 1
        self.messages_sent += 1
        self.sent += wire.read(data)
        self.on_sent(data)
        if isinstance(self.sent[-1], Ping) and self.answer is not None:
            ping = self.sent.pop()
            self.left += 1
            self.answer(Pong(ping.token, 0))

    gathers = True
    closed = None

    def send_large(self, *messages: tuple[bytes, memoryview]) -> None:
        """Take messages of two parts."""
        for head, data in messages:
            self.send(head + data)

    def wait_for_silence(self) -> None:
        """Nothing waits."""

    def stir(self) -> None:
        """Nothing waits."""

    def be_read(self) -> None:
        """What it has is given at once."""

    def own_backlog(self) -> None:
        """Nothing waits."""

    @property
    def calls(self) -> list[int]:
        """The calls of the messages that it has taken."""
        return [message.call for message in self.sent if not isinstance(message, Chunk)]  # type: ignore[union-attr]


class Sender(Channel):
    """A channel that sends cancels and calls."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, Transfers(0))  # type: ignore[arg-type]
        line.answer = self._on_pong
        self.asked_again = 0

    def cancel(self, call: int) -> None:
        """Send a message without buffers."""
        with self._sending:
            self._send_fields(Cancel, call)

    def call(self, call: int, *buffers: bytes | bytearray) -> None:
        """Send a message behind its buffers."""
        transfers = self._send_buffers(buffers)
        self._send_needed(Exec, transfers, call, 1, None, int(Op.CALL), "a:b", None, b"", transfers)

    def attach(self, line: Line, received: int, transfers: Any = ()) -> None:
        """Go on over another connection."""
        line.answer = self._on_pong
        self._attach(line, received, [list(each) for each in transfers])  # type: ignore[arg-type]
        self._replay(line)  # type: ignore[arg-type]

    def _ask_again(self) -> None:
        self.asked_again += 1


def test_messages_that_were_not_received_leave_with_the_next_connection() -> None:
    """And no others: each number once, in order, whatever the first one has taken."""
    for taken in range(6):
        first, second = Line(taken), Line()
        sender = Sender(first)
        for call in range(5):
            sender.cancel(call)
        assert first.calls == [0, 1, 2, 3, 4][:taken]
        sender.attach(second, received=taken)
        sender.cancel(5)
        assert second.calls == [0, 1, 2, 3, 4, 5][taken:]
        assert [message[0] for message in second.sent] == list(range(taken + 1, 7))


def test_what_was_written_and_lost_on_the_way_is_sent_again() -> None:
    """The other side says what it has, not the line."""
    first, second = Line(), Line()
    sender = Sender(first)
    for call in range(5):
        sender.cancel(call)
    sender.attach(second, received=2)
    assert second.calls == [2, 3, 4]
    assert sender.asked_again == 1


def test_a_connection_that_is_lost_again_at_once() -> None:
    """As often as it takes."""
    sender = Sender(Line(0))
    for call in range(3):
        sender.cancel(call)
    received = []
    for _ in range(3):
        line = Line(1)
        sender.attach(line, received=len(received))
        received += line.calls
    assert received == [0, 1, 2]


def test_the_other_side_cannot_have_what_was_never_sent_nor_lose_what_it_had() -> None:
    """Nothing is attached then."""
    sender = Sender(Line())
    for call in range(3):
        sender.cancel(call)
    sender._sequence.acknowledge(2)
    for received in (1, 4):
        with pytest.raises(RemoteProtocolError):
            sender.attach(Line(), received)
    with pytest.raises(RemoteProtocolError, match="lists transfers"):
        sender.attach(Line(), 3, [(1, "many")])
    last = Line()
    sender.attach(last, 2)
    assert last.calls == [2]


@pytest.mark.parametrize("taken", range(8))
def test_buffers_go_on_where_the_other_side_has_them(taken: int) -> None:
    """The thread that sends them waits; the message follows its last chunk, on one connection."""
    data = bytes(range(256)) * (5 * CHUNK_SIZE // 256)
    first, second = Line(taken), Line()
    sender, there = Sender(first), Transfers(10 * len(data))
    thread = threading.Thread(target=sender.call, args=[1, data])
    thread.start()
    if taken <= 5:
        assert first.ended.wait(PATIENCE)
    else:
        thread.join(PATIENCE)
    received = 0
    for message in first.sent:
        if isinstance(message, Chunk):
            there.receive(message)
        else:
            received = 1
            assert there.claim([1]) == [data]
    sender.attach(second, received, there.progress())
    thread.join(PATIENCE)
    assert not thread.is_alive()
    if received:
        assert second.sent == []
        return
    *chunks, call = second.sent
    assert isinstance(call, Exec)
    for chunk in chunks:
        assert isinstance(chunk, Chunk)
        there.receive(chunk)
    assert there.claim(call.transfers) == [data]
    assert sum(len(chunk.data) for chunk in chunks) == len(data) - min(taken, 5) * CHUNK_SIZE  # type: ignore[union-attr]


def test_a_refused_buffer_is_refused_again_over_the_next_connection() -> None:
    """Its message comes all the same, and nothing of the refusals of either side is left."""
    first, second = Line(), Line()
    sender = Sender(first)
    sender.call(1, b"one" * 20_000)
    sender._on_chunk(refusal(1))
    sender._transfers.limit = 10
    sender._on_chunk(Chunk(7, 20, 0, b"x"))
    assert first.sent[-1] == refusal(7)
    sender.attach(second, received=0)
    assert [type(message) for message in second.sent] == [Chunk, Exec]
    assert sender._not_taken == set()
    assert sender._transfers._refused == {}


def test_a_buffer_that_is_refused_on_its_way_is_withdrawn() -> None:
    """Its sender stops and hears of it; no message is sent, and no number used."""
    line = Line()
    sender = Sender(line)

    def refuse(data: bytes) -> None:
        if len(line.sent) == 2:
            sender._on_chunk(refusal(1))

    line.on_sent = refuse
    with pytest.raises(NotTaken):
        sender.call(1, bytes(5 * CHUNK_SIZE))
    assert line.sent[-1] == withdrawal(1)
    assert len(line.sent) < 5
    assert sender._kept_size() == 0
    sender.cancel(1)
    assert line.calls == [1]


def test_buffers_of_kept_messages_go_before_these() -> None:
    """The line was lost behind the message, and the other side has neither."""
    first, second = Line(), Line()
    sender = Sender(first)
    sender.call(1, b"one" * 20_000, b"two" * 20_000)
    sender.cancel(1)
    sender.attach(second, received=0)
    kinds = [type(message) for message in second.sent]
    assert kinds == [Chunk, Chunk, Exec, Cancel]


def test_buffers_of_a_message_that_is_made_meanwhile_are_sent_once() -> None:
    """By its own thread: who attaches may be the server's poller, which waits for nobody."""
    sender, second = Sender(Line()), Line()
    sender._attach(second, 0, [])  # type: ignore[arg-type]
    assert not sender.has_buffers
    sender.call(1, b"one" * 20_000)
    sender._replay(second)  # type: ignore[arg-type]
    assert [type(message) for message in second.sent] == [Chunk, Exec]


def test_a_call_is_withdrawn_while_its_buffers_are_sent_again() -> None:
    """No connection has carried its message: its caller may have it not sent at any moment."""
    first, second = Line(2), Line()
    sender = Sender(first)
    sender.call(1, b"one" * 20_000, b"two" * 20_000)
    withdrawn: list[bool] = []

    def withdraw(data: bytes) -> None:
        second.on_sent = lambda data: None
        withdrawn.append(sender._withdraw(1))

    second.on_sent = withdraw
    sender.attach(second, received=0)
    assert withdrawn == [True]
    assert second.sent[1:] == [withdrawal(1), withdrawal(2), Cancel(1, 0, 1)]
    assert sender._kept_size() < 100


def test_who_sends_when_another_connection_comes_waits_for_no_answer_of_the_old() -> None:
    """It may ask for both at any moment: it has the connection and its pace together."""
    has_asked = threading.Event()

    class Watched(Sender):
        @property
        def _pace(self) -> Pace:
            if threading.current_thread() is thread:
                has_asked.set()
            return self._of_connection

        @_pace.setter
        def _pace(self, pace: Pace) -> None:
            if hasattr(self, "_of_connection"):
                # Its connection is there already, or is not yet.
                thread.start()
                has_asked.wait(0.2)
            self._of_connection = pace

    silent, second = Line(), Line()
    sender = Watched(silent)
    thread = threading.Thread(target=lambda: sender.call(2, bytes(CHUNK_SIZE)), daemon=True)
    silent.answer = None
    sender.call(1, bytes(4 * CHUNK_SIZE))
    assert sender._pace.is_full
    sender.attach(second, received=1)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert second.calls == [2]


def test_buffers_are_kept_until_their_message_is_acknowledged() -> None:
    """And not longer: they are the caller's memory."""
    sender = Sender(Line())
    sender.call(1, bytes(100_000))
    assert sender._kept_size() > 100_000
    sender._forget_acknowledged()
    assert sender._kept_size() > 100_000
    sender._sequence.acknowledge(1)
    sender._forget_acknowledged()
    assert sender._kept_size() == 0
    assert not sender.has_buffers


def test_an_abandoned_buffer_is_sent_again_as_it_was() -> None:
    """Its owner may change it as soon as nobody waits for the call."""
    data = bytearray(b"before" * 10_000)
    second = Line()
    sender = Sender(Line())
    sender.call(1, data)
    sender._own_buffers()
    data[:6] = b"after!"
    sender.attach(second, received=0)
    chunk = second.sent[0]
    assert isinstance(chunk, Chunk)
    assert chunk.data[:6] == b"before"


def test_a_message_that_cannot_be_written_uses_up_no_number() -> None:
    """Else everything behind it would be a gap."""
    line = Line()
    sender = Sender(line)
    with pytest.raises(Exception, match="cannot write"), sender._sending:
        sender._send_fields(Cancel, object())
    sender.cancel(1)
    assert [message[0] for message in line.sent] == [1]


@pytest.mark.parametrize("interrupted", range(1, 4))
def test_an_interrupt_leaves_no_gap(interrupted: int) -> None:
    """Wherever it lands: before the message is kept, before it is written, behind that."""

    places = [1, 2, 3]

    def pass_by(place: int) -> None:
        if place in places:
            places.remove(place)
            if place == interrupted:
                raise KeyboardInterrupt

    class Interrupted(Line):
        def send(self, data: bytes) -> None:
            pass_by(2)
            super().send(data)
            pass_by(3)

    class Impatient(Sender):
        def _send_kept(self, seq: int, data: bytes) -> None:
            pass_by(1)
            super()._send_kept(seq, data)

    line = Interrupted()
    sender = Impatient(line)
    with pytest.raises(KeyboardInterrupt):
        sender.cancel(1)
    sender.cancel(2)
    assert [message[0] for message in line.sent] == list(range(1, len(line.sent) + 1))
    assert line.calls == ([2] if interrupted == 1 else [1, 2])


def test_a_session_that_is_over_takes_nothing_more() -> None:
    """Who waits for a connection is told."""
    sender = Sender(Line(0))
    failures: list[str] = []

    def call() -> None:
        with contextlib.suppress(ConnectionLost):
            sender.call(1, bytes(100))
        failures.append("it ended")

    thread = threading.Thread(target=call)
    thread.start()
    sender.closed_because = "of the test"
    sender._wake_all()
    thread.join(PATIENCE)
    assert failures == ["it ended"]
    with pytest.raises(ConnectionLost, match="of the test"):
        sender.cancel(2)


def test_which_messages_list_buffers() -> None:
    """Calls and results, in their last field."""
    assert transfers_of(Exec, (1, 1, None, 0, "a:b", None, b"", [3])) == [3]
    assert transfers_of(Result, (1, b"", None, None)) is None
    assert transfers_of(Cancel, (7,)) is None
