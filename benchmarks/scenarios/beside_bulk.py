"""How long a small call takes while a large array travels in the same session.

On loopback, and over a line of 20 MB/s, where a chunk of 256 KiB takes 13 ms. On loopback it
travels once before: the first touch of memory that a virtual machine has not used yet is its
host's time.
"""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from processes import Child, move
from workloads.arrays import array_of

from scenarios import Scenario, Sizes
from scenarios.served import Served, serving
from scenarios.slow_line import SlowLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Record

RATE = 20e6
CHUNK_TIME = 256 * 1024 / RATE
"""Seconds of one chunk on the slow line."""
SLOW_BULK = 40
"""Megabytes on the slow line: 2 s."""
PAUSE = 0.002
"""Seconds between small calls: they are few, what is measured is how long each waits."""


def client(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Sends or fetches an array in one thread, and calls `f` in another."""
    import wsremote

    session = wsremote.connect(url, token=token)
    served = session.modules.benchserved
    f, last, numbers = served.f, served.last, served.numbers

    def calls(until: threading.Event) -> list[float]:
        taken = []
        while not until.is_set():
            start = time.perf_counter()
            assert f(1, 2) == 3
            taken.append(time.perf_counter() - start)
            time.sleep(PAUSE)
        return taken

    def travel(direction: str, count: int) -> float:
        last_one = last(array_of(count)) if direction == "up" else numbers(count)[-1]
        assert last_one == count - 1
        return float(last_one)

    def do(direction: str, megabytes: int, *, warm_up: bool) -> dict[str, Any]:
        count = megabytes * 125_000
        if direction == "up":
            array_of(count)
        if warm_up:
            travel(direction, count)
        begun, done = threading.Event(), threading.Event()
        taken: list[float] = []
        seconds = 0.0

        def small() -> None:
            calls_before = [f(1, 2) for _ in range(20)]  # the lane is there
            assert calls_before == [3] * 20
            begun.set()
            taken.extend(calls(done))

        thread = threading.Thread(target=small)
        thread.start()
        begun.wait()
        try:
            start = time.perf_counter()
            travel(direction, count)
            seconds = time.perf_counter() - start
        finally:
            done.set()
            thread.join()
        array_of.cache_clear()
        ordered = sorted(taken)
        return {
            "calls": len(taken),
            "median": statistics.median(taken),
            "tenth": ordered[-1 - len(ordered) // 10],
            "longest": ordered[-1],
            "seconds": seconds,
        }

    return do


def measure(sizes: Sizes, record: Record) -> None:
    """Both ways, a round, on loopback; on the slow line, where time is exact, once."""
    with serving() as server:
        line = SlowLine(server.url, RATE)
        slow = ("20 MB/s", line.url, min(SLOW_BULK, sizes.bulk))
        try:
            for number in range(min(sizes.rounds, 2)):
                for each in [("loopback", server.url, sizes.bulk), *[slow][number:]]:
                    _measure(server, *each, sizes, record)
        finally:
            line.close()


def _measure(
    server: Served, name: str, url: str, megabytes: int, sizes: Sizes, record: Record
) -> None:
    with Child("client", __name__, url, server.token) as asking:
        move(server.pid, sizes.cores[:1])
        move(asking.pid, sizes.cores[1:])
        for way in ("up", "down"):
            told = asking.ask(direction=way, megabytes=megabytes, warm_up=name == "loopback")
            record(f"{name}, {way}", told["median"] * 1000)
            record(f"{name}, {way}, tenth", told["tenth"] * 1000)
            record(f"{name}, {way}, rate", megabytes / told["seconds"])


SCENARIO = Scenario(
    "beside bulk",
    "f(1, 2) while {bulk} MB travel, over 20 MB/s: 40",
    {
        f"{line}, {way}{what}": unit
        for line in ("loopback", "20 MB/s")
        for way in ("up", "down")
        for what, unit in (("", "ms"), (", tenth", "ms"), (", rate", "MB/s"))
    },
    measure,
)
