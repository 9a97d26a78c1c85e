"""Threads that do everything at once, over lines to which everything happens.

`FAULTS_SEEDS=100:200 python3 tests/run.py tests/faults/test_chaos.py` runs other seeds.
"""

from __future__ import annotations

import os
import random
from typing import Any, Final

import numpy as np
import pytest
from faults.background import Begin
from faults.chaos import Chaos
from faults.proxy import PATIENCE, FaultProxy

from wsremote.client import link, resuming
from wsremote.protocol import liveness

SEEDS: Final = range(*map(int, os.environ.get("FAULTS_SEEDS", "1:4").split(":")))
FAST: Final = ("cut", "reset", "middle", "late", "garbage")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the times in which the client notices silence."""
    for name in ("KEEPALIVE", "SILENCE", "PROBE", "PATIENCE"):
        monkeypatch.setattr(liveness, name, getattr(liveness, name) / 50)
    monkeypatch.setattr(link, "LOOK", link.LOOK / 50)
    monkeypatch.setattr(resuming, "_ATTEMPT", 0.5)


class Work:
    """What one thread does; every answer is checked.

    Args:
        pkg: The served module.
        seed: What chooses.
    """

    def __init__(self, pkg: Any, seed: int) -> None:
        self.pkg = pkg
        self.chance = random.Random(seed)
        self.counter = pkg.Counter()
        self.steps = 0
        self.numbers = pkg.count()
        self.pulled = 0
        self.heard: list[int] = []
        self.box = pkg.Box()
        self.items = self.box.items

    def run(self, rounds: int) -> None:
        """Do so many things; the counter ends at exactly its number."""
        kinds = (self.step, self.step, self.pull, self.call_back, self.upload, self.download,
                 self.change, self.let_go)  # fmt: skip
        for number in range(rounds):
            self.chance.choice(kinds)(number)
        assert self.counter.count == self.steps

    def step(self, number: int) -> None:
        """Each step is executed once."""
        self.steps += 1
        assert self.counter.step() == self.steps

    def pull(self, number: int) -> None:
        """No item is lost, none comes twice."""
        assert next(self.numbers) == self.pulled
        self.pulled += 1

    def call_back(self, number: int) -> None:
        """The callback runs once, and what is nested in it, too."""

        def callback(value: int) -> int:
            self.heard.append(value)
            return int(self.pkg.add(value, 1))

        count = len(self.heard)
        assert self.pkg.call(callback, count) == count + 1
        assert self.heard == list(range(count + 1))

    def upload(self, number: int) -> None:
        """In pieces, whole."""
        array = np.full(self.chance.randrange(5_000, 150_000), float(number))
        assert self.pkg.total(array) == array.sum()

    def download(self, number: int) -> None:
        """In pieces, whole."""
        size = self.chance.randrange(5_000, 80_000)
        assert np.array_equal(self.pkg.numbers(size), np.arange(size, dtype=np.float64))

    def change(self, number: int) -> None:
        """A mirror shows it."""
        size = len(self.items) + 1
        assert self.box.put(number) == size
        assert (len(self.items), self.items[-1]) == (size, number)

    def let_go(self, number: int) -> None:
        """Of what was just made."""
        for _ in range(3):
            self.pkg.Counter()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kinds", "rounds"), [(FAST, 100), ((*FAST, "hole", "slow"), 25)])
def test_everything_is_done_once_and_answered_right(
    proxy: FaultProxy,
    pkg: Any,
    direct: Any,
    begin: Begin,
    seed: int,
    kinds: tuple[str, ...],
    rounds: int,
) -> None:
    """And nothing of it is left on the server."""
    works = [Work(pkg, 100 * seed + number) for number in range(4)]
    proxy.plan = chaos = Chaos(seed, kinds)
    chaos(proxy.line)
    running = [begin(work.run, rounds) for work in works]
    for each in running:
        each.result(PATIENCE)
    proxy.plan = None
    for line in proxy.lines:
        line.up.on_message = line.down.on_message = None
        line.release()
    assert sum(chaos.happened.values()) >= 5
    works.clear()
    proxy.cut()
    assert pkg.add(1, 2) == 3
    assert direct.wait_for_none_alive()
