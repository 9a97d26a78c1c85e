"""What calls of pipelines gave: lookups, bounds, releases, also of calls that have not ended."""

from __future__ import annotations

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
    """Scalars alone, and no long text; the values stay."""
    kept.values.update({1: 1, 2: "x" * 5000, 3: [1], 4: None, 5: b"abc"})
    assert kept.small([5, 1, 2, 3, 4, 99]) == (5, b"abc", 1, 1, 4, None)
    assert len(kept) == 5


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


@pytest.mark.parametrize("count", [0, -1, 10**9])
def test_an_absurd_release_is_refused(kept: Kept, count: int) -> None:
    """It would take the server's time."""
    with pytest.raises(RemoteProtocolError, match="released"):
        kept.release(1, count)
