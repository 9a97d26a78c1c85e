"""The numbers of a session."""

from __future__ import annotations

import pytest

from wsremote.errors import RemoteProtocolError
from wsremote.protocol.messages import Ack, Cancel
from wsremote.protocol.sequence import Sequence


def test_numbers_rise_without_gaps_when_messages_leave() -> None:
    """A message that could not be sent uses up no number."""
    sequence = Sequence()
    assert sequence.number() == (1, 0)
    assert sequence.number() == (1, 0)
    sequence.left()
    assert sequence.number() == (2, 0)


def test_a_message_is_admitted_once() -> None:
    """The second copy of a message is dropped, whatever came in between."""
    sequence = Sequence()
    first, second = Cancel(1, 0, 7), Cancel(2, 0, 7)
    assert sequence.admit(first)
    assert not sequence.is_next(first)
    assert not sequence.admit(first)
    assert sequence.is_next(second)
    assert sequence.admit(second)
    assert not sequence.admit(first)


def test_a_gap_is_a_violation() -> None:
    """A message that overtakes another means that one is lost."""
    sequence = Sequence()
    for method in (sequence.admit, sequence.is_next):
        with pytest.raises(RemoteProtocolError, match="message 2 came after message 0"):
            method(Cancel(2, 0, 7))


def test_an_acknowledgement_of_the_unsent_is_a_violation() -> None:
    """It would free what was never received."""
    sequence = Sequence()
    sequence.number()
    sequence.left()
    sequence.acknowledge(1)
    # The next one may be on its way already, with a release in front of it.
    sequence.acknowledge(3)
    with pytest.raises(RemoteProtocolError, match="message 4 is acknowledged, and 1 were sent"):
        sequence.acknowledge(4)
    # Or with more of them, which their sender says.
    sequence.leaving = 5
    sequence.acknowledge(5)
    with pytest.raises(RemoteProtocolError, match="message 6"):
        sequence.acknowledge(6)


def test_acknowledgements_ride_along_and_go_alone_when_due() -> None:
    """After 32 messages, or when idle; never when everything is acknowledged already."""
    sequence = Sequence()
    assert sequence.ack_due(idle=True) is None
    for seq in range(1, 32):
        sequence.admit(Cancel(seq, 0, 1))
        assert sequence.ack_due(idle=False) is None
    assert sequence.ack_due(idle=True) == Ack(31)
    assert sequence.ack_due(idle=True) is None
    for seq in range(32, 64):
        sequence.admit(Cancel(seq, 0, 1))
    assert sequence.ack_due(idle=False) == Ack(63)
    sequence.admit(Cancel(64, 0, 1))
    assert sequence.number() == (1, 64)
    sequence.left()
    assert sequence.ack_due(idle=True) is None
