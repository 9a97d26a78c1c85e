"""The numbers of a session, alone and over connections that are lost."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wsremote.codec import wire
from wsremote.errors import LocalProtocolError, RemoteProtocolError
from wsremote.protocol.messages import Ack, Cancel
from wsremote.protocol.sequence import Sequence


def keep(sequence: Sequence, count: int = 1) -> None:
    """Number and keep some messages, each of its own WebSocket message."""
    for _ in range(count):
        seq = sequence.sent + 1
        sequence.keep(seq, wire.write(Cancel(seq, sequence.received, seq)))


def kept(sequence: Sequence) -> list[int]:
    """The numbers of the messages that may be sent again."""
    return [seq for seq, _ in sequence.unacked]


def admit(sequence: Sequence, message: Cancel) -> bool:
    """Whether a message is new; it is handled then."""
    is_new = sequence.is_next(message)
    sequence.received += is_new
    return is_new


def test_numbers_rise_without_gaps_and_messages_are_kept() -> None:
    """What has a number is kept, in the order of the numbers, until it is acknowledged."""
    sequence = Sequence()
    keep(sequence, 3)
    assert sequence.sent == 3
    assert kept(sequence) == [1, 2, 3]
    sequence.acknowledge(2)
    assert kept(sequence) == [3]
    assert sequence.acked == 2


def test_a_message_that_cannot_be_written_uses_up_no_number() -> None:
    """It is written before it is numbered, or the other side would wait for it for ever."""
    sequence = Sequence()
    with pytest.raises(LocalProtocolError):
        wire.write_fields(Cancel, sequence.sent + 1, sequence.received, object())
    keep(sequence)
    assert kept(sequence) == [1]


def test_several_messages_in_one_are_kept_until_the_last_has_arrived() -> None:
    """It is sent again whole; the other side drops what it has."""
    sequence = Sequence()
    sequence.keep(3, b"three of them")
    sequence.acknowledge(2)
    assert kept(sequence) == [3]
    sequence.acknowledge(3)
    assert kept(sequence) == []


def test_what_was_not_written_is_written_in_order() -> None:
    """A message that an interrupt has left unwritten leaves before the next."""
    sequence = Sequence()
    keep(sequence, 3)
    assert [seq for seq, _ in sequence.unwritten()] == [1, 2, 3]
    sequence.wrote(2)
    assert [seq for seq, _ in sequence.unwritten()] == [3]
    assert (sequence.written, sequence.reached) == (2, 2)


def test_a_resume_writes_again_what_has_not_arrived() -> None:
    """No more than that, and it acknowledges what arrived without saying so."""
    sequence = Sequence()
    keep(sequence, 4)
    sequence.wrote(3)
    sequence.acknowledge(1)
    sequence.resume(2)
    assert sequence.acked == 2
    assert [seq for seq, _ in sequence.unwritten()] == [3, 4]


def test_what_was_reached_stays_reached() -> None:
    """Message 3 was written once: it may have been executed, whoever says what of it later."""
    sequence = Sequence()
    keep(sequence, 4)
    sequence.wrote(3)
    sequence.resume(0)
    assert sequence.written == 0
    assert sequence.reached == 3


def test_who_writes_by_hand_need_not_note_what_was_reached() -> None:
    """As the hot paths do, which set `written`: a resume must not forget it."""
    sequence = Sequence()
    keep(sequence, 4)
    sequence.written = 4
    sequence.resume(1)
    assert sequence.reached == 4


def test_a_resume_tells_what_was_received() -> None:
    """So no acknowledgement is due behind it."""
    sequence = Sequence()
    admit(sequence, Cancel(1, 0, 7))
    sequence.resume(0)
    assert sequence.ack_due(idle=True) is None


def test_a_side_that_has_lost_what_it_had_cannot_resume() -> None:
    """What it acknowledged is kept no longer, and cannot be sent again."""
    sequence = Sequence()
    keep(sequence, 3)
    sequence.acknowledge(2)
    with pytest.raises(RemoteProtocolError, match="message 1 is the last received, and 2 was"):
        sequence.resume(1)


def test_a_side_that_has_what_was_never_sent_cannot_resume() -> None:
    """It is a stranger, or this side is an old copy of itself."""
    sequence = Sequence()
    keep(sequence)
    with pytest.raises(RemoteProtocolError, match="message 2 was received, and 1 were sent"):
        sequence.resume(2)


def test_to_ask_whether_it_can_resume_changes_nothing() -> None:
    """The session stays with the connection that it has, whatever a client claims."""
    sequence = Sequence()
    keep(sequence, 3)
    sequence.wrote(3)
    sequence.acknowledge(1)
    for received in (0, 4):
        with pytest.raises(RemoteProtocolError):
            sequence.check_resume(received)
    sequence.check_resume(1)
    sequence.check_resume(3)
    assert kept(sequence) == [2, 3]
    assert (sequence.written, sequence.acked) == (3, 1)


def test_a_message_is_admitted_once() -> None:
    """The second copy of a message is dropped, whatever came in between."""
    sequence = Sequence()
    first, second = Cancel(1, 0, 7), Cancel(2, 0, 7)
    assert admit(sequence, first)
    assert not sequence.is_next(first)
    assert not admit(sequence, first)
    assert sequence.is_next(second)
    assert admit(sequence, second)
    assert not admit(sequence, first)


def test_a_message_counts_when_it_is_handled() -> None:
    """Who was interrupted in between handles it again: to look changes nothing."""
    sequence = Sequence()
    assert sequence.is_next(Cancel(1, 0, 7))
    assert sequence.is_next(Cancel(1, 0, 7))
    assert sequence.received == 0


def test_a_gap_is_a_violation() -> None:
    """A message that overtakes another means that one is lost."""
    sequence = Sequence()
    with pytest.raises(RemoteProtocolError, match="message 2 came after message 0"):
        sequence.is_next(Cancel(2, 0, 7))


def test_messages_acknowledge() -> None:
    """Also a copy of one that has come before: its `ack` is as good."""
    sequence = Sequence()
    keep(sequence, 3)
    admit(sequence, Cancel(1, 2, 7))
    assert kept(sequence) == [3]
    sequence.is_next(Cancel(1, 3, 7))
    assert kept(sequence) == []
    admit(sequence, Cancel(2, 1, 7))
    assert sequence.acked == 3


def test_an_acknowledgement_of_the_unsent_is_a_violation() -> None:
    """It would free what was never received."""
    sequence = Sequence()
    keep(sequence)
    sequence.acknowledge(1)
    with pytest.raises(RemoteProtocolError, match="message 2 is acknowledged, and 1 were sent"):
        sequence.acknowledge(2)


def test_acknowledgements_ride_along_and_go_alone_when_due() -> None:
    """After 32 messages, or when idle; never when everything is acknowledged already."""
    sequence = Sequence()
    assert sequence.ack_due(idle=True) is None
    for seq in range(1, 32):
        admit(sequence, Cancel(seq, 0, 1))
        assert sequence.ack_due(idle=False) is None
    assert sequence.ack_due(idle=True) == Ack(31)
    assert sequence.ack_due(idle=True) is None
    for seq in range(32, 64):
        admit(sequence, Cancel(seq, 0, 1))
    assert sequence.ack_due(idle=False) == Ack(63)
    admit(sequence, Cancel(64, 0, 1))
    keep(sequence)
    assert sequence.ack_due(idle=True) is None


class Resuming(RuleBasedStateMachine):
    """Two sides whose connection is cut at any moment, with what is under way on it."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Sequence(), Sequence())
        # What each has handled; the messages under way to each; whether there is a connection.
        self.handled: tuple[list[int], list[int]] = ([], [])
        self.under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.connected = True

    @rule(side=st.integers(0, 1), count=st.integers(1, 3))
    def send(self, side: int, count: int) -> None:
        """Keep one WebSocket message of some messages, and write it if there is a connection."""
        sequence = self.sides[side]
        last, ack = sequence.sent + count, sequence.received
        batch = [Cancel(seq, ack, seq) for seq in range(sequence.sent + 1, last + 1)]
        sequence.keep(last, wire.write_many(batch))
        if self.connected:
            self._write(side)

    def _write(self, side: int) -> None:
        for seq, data in self.sides[side].unwritten():
            self.under_way[1 - side].append(data)
            self.sides[side].wrote(seq)

    @precondition(lambda self: any(self.under_way))
    @rule(side=st.integers(0, 1), interrupted=st.booleans())
    def deliver(self, side: int, interrupted: bool) -> None:
        """One message arrives; an interrupt may end its handling before the last of it."""
        if not self.under_way[side]:
            return
        sequence, data = self.sides[side], self.under_way[side][0]
        messages = [message for message in wire.read(data) if not isinstance(message, Ack)]
        acks = [message for message in wire.read(data) if isinstance(message, Ack)]
        for ack in acks:
            sequence.acknowledge(ack.ack)
        for message in messages[: len(messages) - interrupted]:
            if sequence.is_next(message):
                self.handled[side].append(message.call)
                sequence.received += 1
        if not interrupted:
            self.under_way[side].popleft()

    @precondition(lambda self: self.connected)
    @rule(side=st.integers(0, 1), idle=st.booleans())
    def acknowledge(self, side: int, idle: bool) -> None:
        """A tick passes."""
        ack = self.sides[side].ack_due(idle=idle)
        if ack is not None:
            self.under_way[1 - side].append(wire.write(ack))

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self) -> None:
        """What is under way is lost."""
        self.connected = False
        for queue in self.under_way:
            queue.clear()

    @precondition(lambda self: not self.connected)
    @rule()
    def resume(self) -> None:
        """Each says what it has, and writes what the other lacks."""
        one, other = self.sides
        has, lacks = one.received, other.received
        one.resume(lacks)
        other.resume(has)
        self.connected = True
        self._write(0)
        self._write(1)

    @invariant()
    def handled_once_and_in_order(self) -> None:
        """Each side has handled a beginning of what the other has sent."""
        for side in (0, 1):
            assert self.handled[side] == list(range(1, len(self.handled[side]) + 1))
            assert len(self.handled[side]) == self.sides[side].received

    @invariant()
    def numbers_are_in_order(self) -> None:
        """As the module's docstring says."""
        for sequence, other in (self.sides, self.sides[::-1]):
            assert sequence.acked <= other.received <= sequence.sent
            assert sequence.written <= sequence.reached <= sequence.sent
            assert sequence.acknowledged <= sequence.received
            assert kept(sequence) == sorted({*kept(sequence)})

    def teardown(self) -> None:
        """In the end everything arrives, and nothing is kept."""
        if not self.connected:
            self.resume()
        while any(self.under_way):
            for side in (0, 1):
                self.deliver(side, False)
        for side in (0, 1):
            self.acknowledge(side, True)
        while any(self.under_way):
            for side in (0, 1):
                self.deliver(side, False)
        for sequence, other in (self.sides, self.sides[::-1]):
            assert other.received == sequence.sent
            assert kept(sequence) == []


TestResuming = Resuming.TestCase
TestResuming.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
