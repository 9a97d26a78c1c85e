"""How much large data is on its way at once, over lines of every kind."""

from __future__ import annotations

import heapq
import itertools

import pytest

from wsremote.protocol.pace import Pace
from wsremote.protocol.transfers import CHUNK_SIZE

PING = 30


class Line:
    """A way with one queue: so many bytes a second, and so many seconds of its own."""

    def __init__(self, rate: float, delay: float) -> None:
        self.rate = rate
        self.delay = delay
        self.now = 0.0
        self.free_at = 0.0
        self.answers: list[tuple[float, int, int]] = []
        self.order = itertools.count()
        # Seconds that a message sent right behind each chunk would have waited in the queue.
        self.queued: list[float] = []

    def carry(self, size: int) -> float:
        """When what is sent now has arrived."""
        self.free_at = max(self.free_at, self.now) + size / self.rate
        return self.free_at + self.delay / 2

    def ping(self, token: int | None) -> None:
        if token is not None:
            arrives = self.carry(PING)
            heapq.heappush(self.answers, (arrives + self.delay / 2, next(self.order), token))

    def send(self, pace: Pace, size: int) -> float:
        """Send a buffer; gives the seconds that it took."""
        start = self.now
        self.ping(pace.begins(size, self.now))
        left = size // CHUNK_SIZE
        while left:
            while self.answers and (self.answers[0][0] <= self.now or pace.is_full):
                when, _, token = heapq.heappop(self.answers)
                self.now = max(self.now, when)
                pace.answered(token, self.now)
            assert not pace.is_full, "nothing will end this wait"
            some = min(left, pace.at_once)
            left -= some
            arrives = self.carry(some * CHUNK_SIZE)
            self.queued += [arrives - self.delay / 2 - self.now] * some
            self.ping(pace.sent(some * CHUNK_SIZE, self.now))
        self.now = max(self.now, self.free_at)
        return self.now - start


@pytest.mark.parametrize("rate", [1e6, 5e6, 20e6, 100e6])
@pytest.mark.parametrize("delay", [0.0002, 0.01, 0.1])
def test_the_line_is_busy_and_its_queue_short(rate: float, delay: float) -> None:
    """A second transfer takes hardly longer than the line itself would; little is queued."""
    line, pace = Line(rate, delay), Pace()
    line.send(pace, 400 * CHUNK_SIZE)
    line.queued.clear()
    taken = line.send(pace, 400 * CHUNK_SIZE)
    assert taken < 1.4 * (400 * CHUNK_SIZE / rate) + 2 * delay
    line.queued.sort()
    # Three chunks, or the time of a moment.
    assert line.queued[200] < max(3 * CHUNK_SIZE / rate, 0.03 + delay)


def test_what_leaves_in_one_piece_is_little_of_what_the_line_carries() -> None:
    """One chunk at first and over a slow line; more over a quick one, and never without room."""
    slow, quick = Pace(), Pace()
    assert slow.at_once == quick.at_once == 1
    Line(20e6, 0.0002).send(slow, 400 * CHUNK_SIZE)
    Line(5e9, 0.0002).send(quick, 400 * CHUNK_SIZE)
    assert slow.at_once == 1
    assert quick.at_once == 4
    while not quick.is_full:
        assert quick.sent(quick.at_once * CHUNK_SIZE, 9.0) != 0
        assert 1 <= quick.at_once <= 4
    assert quick.at_once == 1


def test_a_small_buffer_asks_nothing() -> None:
    """It costs no message of its own; many of them do, now and then."""
    pace = Pace()
    assert pace.begins(50_000, 0.0) is None
    asked = [pace.sent(50_000, number / 10) for number in range(100)]
    assert 5 < sum(token is not None for token in asked) < 30


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    """Of a hostile peer, of an earlier question, twice."""
    pace = Pace()
    pace.answered(7, 1.0)
    tokens = [pace.sent(CHUNK_SIZE, 1.0) for _ in range(6)]
    assert pace.is_full
    pace.answered(0, 2.0)
    pace.answered(-1, 2.0)
    assert pace.is_full
    last = max(token for token in tokens if token)
    for _ in range(3):
        pace.answered(last, 2.0)
    assert not pace.is_full
    pace.answered(2**60, 3.0)
    assert not pace.is_full
