"""wsremote: the command line on one side, the public API on the other, nothing else."""

from __future__ import annotations

import asyncio
import functools
import itertools
import signal
import time
from typing import TYPE_CHECKING, Any

from scenarios.served import serving
from workloads import generator, streams
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready


def serve(ready: Ready) -> None:
    """Start the command and stay with it."""
    with serving() as server:
        ready(f"{server.url} {server.token}")
        signal.pause()


def connect(address: str) -> Operations:
    """One session."""
    import wsremote

    url, token = address.split()
    session = wsremote.connect(url, token=token)
    served = session.modules.benchserved
    f, last, numbers, counter = served.f, served.last, served.numbers, served.Counter()

    def pipeline() -> list[int]:
        with session.pipeline():
            promises = [f(i, 2) for i in range(streams.COUNT)]
        return [promise.result() for promise in promises]

    def pipeline_last() -> int:
        with session.pipeline():
            for i in range(streams.COUNT):
                promise = f(i, 2)
        return promise.result()

    def submit() -> list[int]:
        futures = [session.submit(f, i, 2) for i in range(streams.COUNT)]
        return [future.result() for future in futures]

    @functools.cache
    def holding(count: int) -> tuple[list[Any], Any]:
        """So many lists of a server, held, and `f`: of a session of their own."""
        other = wsremote.connect(url, token=token, new=True).modules.benchserved
        return [other.Shelf().items for _ in range(count)], other.f

    return {
        "mirror read": lambda: holding(1)[0][0][0],
        "mirror write": lambda: holding(1)[0][0].__setitem__(1, time.monotonic_ns()),
        "1 held": lambda: holding(1)[1](1, 2),
        "10 held": lambda: holding(10)[1](1, 2),
        "100 held": lambda: holding(100)[1](1, 2),
        "call": lambda: f(1, 2),
        "method": lambda: counter.add(1, 2),
        "attribute": lambda: counter.value,
        "map": lambda: list(session.map(f, range(streams.COUNT), itertools.repeat(2))),
        "pipeline": pipeline,
        "pipeline last": pipeline_last,
        "submit": submit,
        "generator": lambda: list(served.count(generator.COUNT)),
        "generator by word": lambda: list(wsremote.ahead(served.count_seen(generator.COUNT))),
        "generator seen": lambda: list(served.count_seen(generator.COUNT)),
        "array up": lambda: last(array_of(COUNT)),
        "array down": lambda: numbers(COUNT),
    }


_kept: list[Any] = []
"""A session of the async face ends when nobody has it."""


async def connect_async(address: str) -> Operations:
    """One more session, of the async face."""
    import wsremote

    url, token = address.split()
    session = await wsremote.connect_async(url, token=token, new=True)
    f = session.modules.benchserved.f

    async def call() -> int:
        return await f(1, 2)

    async def gather() -> list[int]:
        async def task(number: int) -> int:
            return await f(number, 2)

        return await asyncio.gather(*[task(number) for number in range(streams.TASKS)])

    _kept.append(session)
    return {"await": call, "gather": gather}
