"""Large values across cuts in the middle of their pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy, Line

SIZE = 1_000_000
"""Of numbers of eight bytes: 31 pieces."""

PLACES = pytest.mark.parametrize("place", [1, 4, 262_144, 1_000_000, 4_000_001, 7_999_999])


@PLACES
@pytest.mark.parametrize("way", ["cut", "reset"])
def test_an_array_is_cut_off_on_its_way_to_the_server(
    proxy: FaultProxy, pkg: Any, direct: Any, place: int, way: str
) -> None:
    """It arrives whole, the call is executed once, and what had arrived does not go again."""
    array = np.arange(SIZE, dtype=np.float64)
    before = direct.times("total")
    first = proxy.line
    start = first.up.taken
    first.up.cut_after(start + place, getattr(first, way))
    assert pkg.total(array) == array.sum()
    assert direct.times("total") == before + 1
    second = proxy.wait_for_line(1)
    # What the server had not read of the first line is lost with it: some megabytes at most.
    if way == "cut" and place > 7_000_000:
        assert second.up.taken < 6_000_000


@PLACES
@pytest.mark.parametrize("way", ["cut", "reset"])
def test_an_array_is_cut_off_on_its_way_to_the_client(
    proxy: FaultProxy, pkg: Any, direct: Any, place: int, way: str
) -> None:
    """It arrives whole, and is not computed again."""
    before = direct.times("numbers")
    first = proxy.line
    first.down.cut_after(first.down.taken + place, getattr(first, way))
    assert np.array_equal(pkg.numbers(SIZE), np.arange(SIZE, dtype=np.float64))
    assert direct.times("numbers") == before + 1


def test_arrays_both_ways_survive_many_cuts(proxy: FaultProxy, pkg: Any) -> None:
    """A cut after each further megabyte: every attempt gets further, and the values are right."""

    def plan(line: Line) -> None:
        line.up.cut_after(1_500_000)
        line.down.cut_after(1_700_000)

    proxy.plan = plan
    plan(proxy.line)
    array = np.arange(SIZE, dtype=np.float64)
    assert np.array_equal(pkg.negative(array), -array)
    assert len(proxy.lines) > 8
    proxy.plan = None


def test_small_calls_pass_while_an_array_starts_again(
    proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """The calls of another thread are answered right, before and behind the cut."""
    array = np.arange(SIZE, dtype=np.float64)
    proxy.line.up.slow(20_000_000)
    sending = begin(pkg.total, array)
    proxy.line.up.wait_passed(proxy.line.up.passed + 2_000_000)
    assert pkg.add(1, 2) == 3
    proxy.cut()
    assert pkg.add(2, 3) == 5
    assert sending.result(PATIENCE) == array.sum()


def test_arguments_are_what_they_were_when_the_call_was_made(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin
) -> None:
    """Many arrays of many threads, with cuts at random bytes: none is mixed with another."""

    def work(number: int) -> None:
        for step in range(5):
            array = np.full(60_000 + number, float(number * 10 + step))
            assert pkg.total(array) == array.sum()
            back = pkg.negative(array)
            assert len(back) == len(array)
            assert (back == -array).all()

    proxy.plan = lambda line: line.up.cut_after(700_000 + 50_001 * (line.number % 7))
    proxy.plan(proxy.line)
    running = [begin(work, number) for number in range(4)]
    for each in running:
        each.result(PATIENCE)
    assert len(proxy.lines) > 5
    proxy.plan = None


def test_bytes_for_a_callback_are_cut_off(proxy: FaultProxy, pkg: Any) -> None:
    """Both the argument and the answer of a callback travel in pieces."""
    first = proxy.line
    first.down.cut_after(first.down.taken + 300_000)
    proxy.plan = lambda line: line.up.cut_after(300_000) if line.number == 1 else None
    size = pkg.call(lambda block: bytes(block) + b"x", bytes(1_000_000))
    assert len(size) == 1_000_001


@pytest.mark.parametrize("place", [30_000_000, 39_000_000])
def test_a_thousand_arrays_are_cut_off(
    proxy: FaultProxy, pkg: Any, direct: Any, place: int
) -> None:
    """Both ways: a resume can tell of all the buffers that are there already."""
    count, size = 1_000, 5_000
    first = proxy.line
    first.down.cut_after(first.down.taken + place)
    before = direct.times("many")
    arrays = pkg.many(count, size)
    assert [array[0] for array in arrays] == list(range(count))
    assert direct.times("many") == before + 1
    second = proxy.line
    second.up.cut_after(second.up.taken + place)
    assert pkg.totals(arrays) == [number * size for number in range(count)]
    assert len(proxy.lines) == 3
