"""Batches of calls that wait to be sent: order, bounds, what is taken out again."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from wsremote.client.batching import AT_ONCE, Batcher
from wsremote.codec import wire
from wsremote.codec.values import ValueCodec
from wsremote.errors import ConnectionLost
from wsremote.protocol.messages import Batch


class Driver(SimpleNamespace):
    """As much of a driver as a batcher uses; keeps what it is given to send."""

    def __init__(self) -> None:
        super().__init__(
            closed_because=None,
            codec=ValueCodec(None),  # type: ignore[arg-type]  # for plain values only
            _released=deque(),
            _sending=threading.RLock(),
            _sequence=SimpleNamespace(sent=0, received=7, acknowledged=0, unacked=deque()),
            releases=0,
            writes=0,
        )

    def _send_releases(self) -> None:
        self.releases += 1
        self._released.clear()

    def _write(self) -> None:
        self.writes += 1

    def batches(self) -> list[Batch]:
        """What was kept to be sent, as its receiver reads it."""
        found: list[Any] = []
        for _, data in self._sequence.unacked:
            found += wire.read(data)
        return found


@pytest.fixture
def driver() -> Driver:
    """A driver of its own."""
    return Driver()


@pytest.fixture
def batcher(driver: Driver) -> Batcher:
    """That of lane 3, in callback 5."""
    return Batcher(driver, 3, 5)  # type: ignore[arg-type]


def call(number: int, *args: Any) -> list[Any]:
    """A call as a batch lists it."""
    return [number, 1, "pkg:f", None, args]


def run(number: int, *several: tuple[Any, ...]) -> list[Any]:
    """Several calls of one function, as a batch lists them."""
    return [number, 1, "pkg:f", None, list(several)]


def test_calls_leave_in_order_and_once(driver: Driver, batcher: Batcher) -> None:
    """With numbers that follow each other, for their lane; nothing is left behind."""
    for number in range(1, 301):
        batcher.add(call(number, number))
    assert batcher.waiting == 300
    assert batcher.send(10) == 10
    assert (batcher.sent, batcher.waiting) == (10, 290)
    while batcher.send(10_000):
        pass
    assert (batcher.sent, batcher.waiting, batcher.unsent()) == (300, 0, [])
    assert batcher.send(1) == 0
    found = driver.batches()
    assert [batch.seq for batch in found] == list(range(1, len(found) + 1))
    assert {(batch.ack, batch.lane, batch.parent) for batch in found} == {(7, 3, 5)}
    assert [each[0] for batch in found for each in batch.calls] == list(range(1, 301))
    assert max(len(batch.calls) for batch in found) == AT_ONCE
    assert driver.writes == len(found)


def test_runs_count_as_many_calls(driver: Driver, batcher: Batcher) -> None:
    """One is sent whole or not at all, unless it is the first."""
    batcher.add_many(run(1, (1,), (2,), (3,)))
    batcher.add_many(run(4, (4,), (5,)))
    batcher.add(call(6, 6))
    assert (batcher.waiting, batcher.unsent()) == (6, [1, 2, 3, 4, 5, 6])
    batcher.send(4)
    assert (batcher.waiting, batcher.sent) == (3, 3)
    batcher.send(3)
    assert (batcher.waiting, batcher.sent) == (0, 6)
    assert len(driver.batches()) == 2


def test_releases_leave_before_the_calls(driver: Driver, batcher: Batcher) -> None:
    """What was let go of is told first, and only if something is sent."""
    driver._released.append((1, 1))
    assert batcher.send(5) == 0
    assert driver.releases == 0
    batcher.add(call(1))
    batcher.send(5)
    assert driver.releases == 1


def test_a_call_is_dropped(driver: Driver, batcher: Batcher) -> None:
    """If it has not left; also the first, the last, one in the middle of a run."""
    batcher.add(call(1))
    batcher.add_many(run(2, (2,), (3,), (4,), (5,)))
    for number in range(6, 9):
        batcher.add(call(number))
    batcher.send(1)
    assert batcher.drop(1) == []
    assert batcher.drop(99) == []
    assert batcher.drop(3) == [3]
    assert batcher.drop(3) == []
    assert batcher.unsent() == [2, 4, 5, 6, 7, 8]
    assert batcher.drop(2) == [2] and batcher.drop(5) == [5]
    assert batcher.drop(8) == [8] and batcher.drop(6) == [6]
    assert (batcher.unsent(), batcher.waiting) == ([4, 7], 2)
    while batcher.send(100):
        pass
    calls = [each for batch in driver.batches() for each in batch.calls]
    assert [each[0] for each in calls] == [1, 4, 7]
    assert calls[1][4] == [[4]]
    batcher.add(call(9))
    assert batcher.drop() == [9]
    assert (batcher.drop(), batcher.waiting, batcher.send(5)) == ([], 0, 0)


def test_a_large_batch_is_cut(driver: Driver, batcher: Batcher) -> None:
    """By bytes; one call goes alone however large it is."""
    for number in range(1, 65):
        batcher.add(call(number, "x" * 16_000))
    batcher.add(call(65, "y" * 1_000_000))
    while batcher.send(AT_ONCE):
        pass
    found = driver.batches()
    assert len(found) > 4
    assert [each[0] for batch in found for each in batch.calls] == list(range(1, 66))
    assert len(found[-1].calls) == 1


def test_integers_of_any_size(driver: Driver, batcher: Batcher) -> None:
    """A call with one is written as a payload, also in a run; the others are as they were."""
    batcher.add(call(1, 2**70))
    batcher.add_many(run(2, (3,), (-(2**64),)))
    batcher.add(call(4, 5))
    batcher.send(100)
    (batch,) = driver.batches()
    assert [each[0] for each in batch.calls] == [1, 2, 3, 4]
    values = [driver.codec.decode_call(each[4], ())[0] for each in batch.calls]
    assert [tuple(value) for value in values] == [(2**70,), (3,), (-(2**64),), (5,)]


def test_nothing_leaves_a_session_that_is_over(driver: Driver, batcher: Batcher) -> None:
    """It is said, and the calls stay where they are."""
    batcher.add(call(1))
    driver.closed_because = "the test"
    with pytest.raises(ConnectionLost, match="the test"):
        batcher.send(5)
    assert (batcher.unsent(), batcher.sent) == ([1], 0)
    assert not driver._sequence.unacked
