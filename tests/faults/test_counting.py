"""A counter, called often over lines that break all the time, ends at exactly that number.

`FAULTS_COUNT=100000 python3 tests/run.py tests/faults/test_counting.py` counts that far.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy
from faults.schedules import EveryNth

COUNT: Final = int(os.environ.get("FAULTS_COUNT", "10000"))


@pytest.mark.timeout(60 + COUNT // 50)
def test_a_counter_ends_at_exactly_its_number(proxy: FaultProxy, pkg: Any) -> None:
    """With a fault in every seventh message: each step is executed once, in order."""
    counter = pkg.Counter()
    proxy.plan = schedule = EveryNth(7, seed=4, ways=("cut", "reset"))
    schedule(proxy.line)
    for number in range(1, COUNT + 1):
        assert counter.step() == number
    assert counter.count == COUNT
    assert schedule.faults >= 2 * COUNT // 7 - 1


def test_counters_of_many_threads_end_at_exactly_their_numbers(
    proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """Beside each other in one session, callbacks among them."""

    def work(number: int) -> None:
        counter = pkg.Counter()
        for step in range(1, 101):
            if step % 10 == number:
                assert pkg.call(counter.step) == step
            elif step % 10 == 9:
                assert pkg.call(lambda: counter.step()) == step
            else:
                assert counter.step() == step

    proxy.plan = schedule = EveryNth(13, seed=5)
    schedule(proxy.line)
    for each in [begin(work, number) for number in range(6)]:
        each.result(PATIENCE)
    assert schedule.faults > 20
