"""Large values between processes: their memory, and what is small beside them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from faults import steady as here
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy, Line

import wsremote

LARGE = 12_500_000
"""Numbers of 100 MB."""

ALLOWED = 16 * 1024
"""KiB beyond the array itself."""

CHUNK = 256 * 1024


@pytest.fixture
def quick(direct: Any) -> Any:
    """The served module without a proxy; what is made once has been made."""
    direct.last(np.ones(1_000_000))
    assert len(direct.ones(1_000_000)) == 1_000_000
    return direct


def test_an_argument_takes_no_memory_but_its_own(quick: Any) -> None:
    """Neither here, where it is, nor there, where it arrives."""
    array = np.ones(LARGE)
    size = array.nbytes // 1024
    mine, theirs = here.begin_to_measure(), quick.begin_to_measure()
    assert quick.last(array) == 1.0
    assert here.memory("VmHWM") - mine < ALLOWED
    assert quick.memory("VmHWM") - theirs < size + ALLOWED


def test_a_result_takes_no_memory_but_its_own(quick: Any) -> None:
    """On either side; the server has let go of it when its client has it."""
    size = LARGE * 8 // 1024
    mine, theirs = here.begin_to_measure(), quick.begin_to_measure()
    array = quick.ones(LARGE)
    assert array.flags.writeable
    assert here.memory("VmHWM") - mine < size + ALLOWED
    assert quick.memory("VmHWM") - theirs < size + ALLOWED
    for _ in range(200):
        if quick.memory("VmRSS") - theirs < ALLOWED:
            break
    else:
        pytest.fail("the server keeps a result that has arrived")


def test_bytes_are_copied_once_more(quick: Any) -> None:
    """`bytes` cannot be received into; no more than that."""
    size = LARGE * 8 // 1024
    mine, theirs = here.begin_to_measure(), quick.begin_to_measure()
    assert len(quick.block(LARGE * 8)) == LARGE * 8
    assert here.memory("VmHWM") - mine < 2 * size + ALLOWED
    assert quick.memory("VmHWM") - theirs < size + ALLOWED


@contextlib.contextmanager
def slowed(line: Line) -> Iterator[None]:
    """20 MB/s in both directions."""
    for flow in line.flows:
        flow.slow(20_000_000)
    yield
    line.release()


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_small_call_waits_behind_few_chunks(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, begin: Begin, way: str
) -> None:
    """Counted in bytes: what passes between its sending and its answer, while 20 MB travel."""
    line = proxy.line
    flow = line.up if way == "up" else line.down
    array = np.ones(2_500_000)
    pkg.add(1, 2)
    with slowed(line):
        before = flow.passed
        travelling = begin(pkg.last, array) if way == "up" else begin(pkg.ones, len(array))
        flow.wait_passed(before + 8 * CHUNK)
        waited = []
        while not travelling.done() and len(waited) < 15:
            begun = flow.passed
            assert pkg.add(1, len(waited)) == len(waited) + 1
            waited.append(flow.passed - begun)
        assert not travelling.done()
    travelling.result(PATIENCE)
    assert sorted(waited)[len(waited) // 2] < 4 * CHUNK


def test_cancel_and_pings_pass_what_is_large(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, begin: Begin
) -> None:
    """A call of another thread is given up while an array travels, and ends on the server."""
    line = proxy.line
    array = np.ones(5_000_000)
    with slowed(line):
        before = line.up.passed
        travelling = begin(pkg.last, array)
        line.up.wait_passed(before + 4 * CHUNK)
        begun = time.monotonic()

        def give_up() -> str:
            with remote.timeout(0.05), contextlib.suppress(wsremote.CallTimeout):
                pkg.pass_door("bulk")
            return "given up"

        assert begin(give_up).result(PATIENCE) == "given up"
        assert not travelling.done()
        assert time.monotonic() - begun < PATIENCE
    assert travelling.result(PATIENCE) == 1.0
    pkg.open_door("bulk")


def test_results_of_many_threads_arrive_beside_each_other(quick: Any, begin: Begin) -> None:
    """No receiver waits for a sender: both sides send large values at once, and all arrive."""
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        barrier.wait(PATIENCE)
        for _ in range(3):
            array = np.full(2_000_000, float(number))
            assert (quick.negative(array) == -array).all()

    for each in [begin(work, number) for number in range(6)]:
        each.result(PATIENCE)
