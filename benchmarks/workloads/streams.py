"""Many small calls whose results are all taken, in whatever way a peer has for that.

The calls of `batch` are what each peer has for it: Pyro5's batch proxy, RPyC's `async_`, plain
pipelining. Ours are `map`, `pipeline`, `submit` and concurrent tasks.
"""

from __future__ import annotations

from collections.abc import Iterator

from workloads import Workload

COUNT = 10_000
TASKS = 1000
"""Concurrent ones, as the bar has it."""
WINDOW = 1000
"""Unanswered calls of the peers that would block for ever if all were sent before any is read."""


def windows() -> Iterator[range]:
    """The calls, a window at a time."""
    for start in range(0, COUNT, WINDOW):
        yield range(start, start + WINDOW)


def is_right(results: list[int]) -> bool:
    """Whether these are f(0, 2), f(1, 2), ..."""
    return results == list(range(2, len(results) + 2)) and len(results) in (COUNT, TASKS)


def _stream(name: str, title: str, items: int = COUNT) -> Workload:
    return Workload(name, title, 5, is_right, "streams", items=items, cores=2)


BATCH = _stream("batch", "batch")
MAP = _stream("map", "session.map")
PIPELINE = _stream("pipeline", "session.pipeline")
LAST = Workload(
    "pipeline last",
    "session.pipeline, last result only",
    5,
    lambda last: last == COUNT + 1,
    "streams",
    items=COUNT,
    cores=2,
)
SUBMIT = _stream("submit", "session.submit")
GATHER = _stream("gather", "1000 tasks", TASKS)
