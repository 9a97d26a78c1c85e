"""What is said of the calls of a session that has ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.protocol.loss import UNSENT, Loss, classify
from wsremote.protocol.messages import Gone

NUMBERS = st.integers(1, 12)


def gone(
    received: int | None = None,
    executed: list[int] | None = None,
    started: list[int] | None = None,
) -> Gone:
    """A server's answer about a session that is no more."""
    return Gone("expired", "it expired", received, executed, started)


def test_what_was_never_written_has_not_run() -> None:
    """Calls made during an outage, and one whose buffers were on their way, whatever is known."""
    calls = {1: 4, 2: 5, 3: UNSENT, 4: None}
    assert classify(calls, 4, None) == Loss([2, 3], [], [1, 4])


def test_what_was_never_admitted_has_not_run() -> None:
    """Written to a connection that was cut: the server says how far it came."""
    assert classify({1: 4, 2: 5, 3: 6}, 6, gone(received=5)) == Loss([3], [], [1, 2])


def test_more_is_received_than_reached_by_mistake() -> None:
    """A server that claims to have what was never written does not make it executed."""
    assert classify({1: 7}, 6, gone(9, [1], [])) == Loss([1], [], [])


@pytest.mark.parametrize("seq", [None, 3])
def test_a_tombstone_sorts_what_was_admitted(seq: int | None) -> None:
    """Ended, begun, queued: also where the acknowledgement of the Exec was lost."""
    assert classify(dict.fromkeys((1, 2, 3), seq), 9, gone(9, [1], [2])) == Loss([3], [1], [2])


def test_a_server_that_knows_no_more_leaves_it_unknown() -> None:
    """After a restart nothing says what has run."""
    assert classify({1: None, 2: 3}, 9, gone()) == Loss([], [], [1, 2])
    assert classify({1: None}, 9, gone(9, [], None)) == Loss([], [], [1])


@given(
    admitted=st.integers(0, 12),
    written=NUMBERS,
    ends=st.lists(st.sampled_from(["queued", "started", "executed"]), min_size=12, max_size=12),
    acknowledged=st.integers(0, 12),
    tells=st.sampled_from(["all", "received", "nothing"]),
)
def test_it_never_says_the_wrong_thing(
    admitted: int, written: int, ends: list[str], acknowledged: int, tells: str
) -> None:
    """Twelve calls of which the server has admitted some: what is said of each is true."""
    admitted = min(admitted, written)
    calls = {call: None if call <= min(acknowledged, admitted) else call for call in range(1, 13)}
    ran = {call: ends[call - 1] for call in range(1, admitted + 1)}
    executed = [call for call, end in ran.items() if end == "executed"]
    started = [call for call, end in ran.items() if end == "started"]
    answer = {
        "all": gone(admitted, executed, started),
        "received": gone(admitted),
        "nothing": None,
    }[tells]
    loss = classify(calls, written, answer)
    assert sorted(loss.not_executed + loss.executed + loss.unknown) == list(calls)
    assert not {*loss.not_executed} & {*executed, *started}
    assert {*loss.executed} <= {*executed}
    if tells == "all":
        assert loss.executed == executed
        assert loss.unknown == started
