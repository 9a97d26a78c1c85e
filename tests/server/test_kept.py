"""What calls of pipelines gave: lookups, bounds, releases, also of calls that have not ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from wsremote.errors import LimitExceeded, RemoteProtocolError, StaleHandle
from wsremote.server.kept import DependsOnFailed, Kept


@pytest.fixture
def kept() -> Kept:
    """Of a session that may keep five."""
    return Kept(5)


def test_a_value_is_there_until_it_is_released(kept: Kept) -> None:
    """None is a value as others are."""
    kept.values[1], kept.values[2] = None, "two"
    assert kept.lookup(1) is None
    assert kept.lookup(2) == "two"
    assert kept.release(1, 1) == [None]
    assert kept.release(1, 1) == []
    with pytest.raises(StaleHandle, match="call 1"):
        kept.lookup(1)
    assert kept.release(1, 10) == ["two"]
    assert len(kept) == 0


def test_a_failure_is_that_of_the_first_cause(kept: Kept) -> None:
    """Whoever depends on it is told which call that was."""
    kept.failures[4] = 2
    with pytest.raises(DependsOnFailed) as caught:
        kept.lookup(4)
    assert caught.value.first == 2
    assert kept.release(4, 1) == []
    assert len(kept) == 0


def test_the_bound_counts_failures_too(kept: Kept) -> None:
    """One more is refused, and the text names the flag."""
    for call in range(1, 5):
        kept.values[call] = call
    kept.check_room()
    kept.failures[5] = 5
    assert kept.is_full
    with pytest.raises(LimitExceeded, match="--max-handles"):
        kept.check_room()
    kept.release(5, 1)
    kept.check_room()


def test_small_values_go_with_others(kept: Kept) -> None:
    """Scalars alone, and no long text; those of calls that follow each other together."""
    kept.values.update({1: 1, 2: "x" * 5000, 3: [1], 4: None, 5: b"abc"})
    assert kept.small([4, 5, 1, 3]) == [4, [None, b"abc"], 1, [1]]
    assert kept.small([99, 7]) == kept.small([]) == []
    assert len(kept) == 5
    kept.values[2] = 2
    assert kept.small([1, 2, 4, 1]) == [1, [1, 2], 4, [None]]


def test_much_text_goes_in_parts() -> None:
    """Where it stops, it says from which call on: what is short enough may still come along."""
    kept = Kept(1000)
    kept.values.update(dict.fromkeys(range(1, 101), "x" * 4000))
    kept.values[50] = 50
    first, texts, end = kept.small([10, 91, 1, 9])
    assert first == 10 and 50 in texts and end == 10 + len(texts) < 101
    first, texts, then, others = kept.small([end, 101 - end, 1, 9])
    assert (first, first + len(texts), then, len(others)) == (end, 101, 1, 9)


@pytest.mark.parametrize(
    "calls", [[1], [0, 1], [1, 2, -3, 1], ["a", 1], [1, None], [1, 10**9], [1, True]]
)
def test_what_is_asked_for_is_runs_of_calls(kept: Kept, calls: list[Any]) -> None:
    """Else it would take the server's time, or be answered for other calls."""
    with pytest.raises(RemoteProtocolError, match="asked for"):
        kept.small(calls)


def test_a_release_may_come_before_the_end_of_the_call(kept: Kept) -> None:
    """Then nothing of it is kept when it ends; also if it fails."""
    queued, running = {1, 2, 3}, {4: "strand"}
    assert kept.release(1, 4, queued, running) == []
    kept.values[1] = "late"
    kept.ended_unwanted(1)
    kept.failures[2] = 2
    kept.ended_unwanted(2)
    kept.values[4] = "late"
    kept.ended_unwanted(4)
    assert len(kept) == 0
    kept.values[5] = "wanted"
    kept.ended_unwanted(5)
    assert kept.lookup(5) == "wanted"
    assert kept.unwanted == {3}
    kept.clear()
    assert not kept.unwanted and len(kept) == 0


def test_a_release_of_what_never_was_leaves_nothing(kept: Kept) -> None:
    """Calls that are neither kept nor under way."""
    assert kept.release(7, 3, {1}, {}) == []
    assert not kept.unwanted


def test_a_release_goes_up_or_down(kept: Kept) -> None:
    """As its promises were dropped; what was released is freed in that order, from the last on."""
    for call in range(1, 6):
        kept.values[call] = call
    assert kept.release(2, 2) == [3, 2]
    assert kept.release(5, -5) == [1, 4, 5]
    assert len(kept) == 0
    kept.values[1] = 1
    assert kept.release(3, -3, {2}) == [1]
    assert kept.unwanted == {2}


@pytest.mark.parametrize("count", [0, -(10**9), 10**9])
def test_an_absurd_release_is_refused(kept: Kept, count: int) -> None:
    """It would take the server's time."""
    with pytest.raises(RemoteProtocolError, match="released"):
        kept.release(1, count)


def test_who_misses_what_is_being_written_waits_for_it() -> None:
    """It is out of the table for that moment: it is not gone."""
    kept = Kept(10)
    kept.values[3] = value = ["kept"]
    found: list[object] = []
    looking = threading.Thread(target=lambda: found.append(kept.lookup(3)))
    with kept.lent(3) as holder:
        looking.start()
        assert holder == [["kept"]] and 3 not in kept.values
        looking.join(0.05)
        assert found == []
    looking.join(10)
    assert found == [value] and kept.values == {3: value}


def test_what_is_released_while_it_is_being_written_is_kept_no_longer() -> None:
    """And nothing else is."""
    kept = Kept(10)
    kept.values[3] = kept.values[4] = "kept"
    with kept.lent(3):
        assert kept.release(3, 1) == []
    assert kept.values == {4: "kept"}
    assert kept.unwanted == set() == kept.out
    with pytest.raises(StaleHandle), kept.lent(3):
        raise AssertionError
