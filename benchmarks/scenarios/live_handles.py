"""What a call costs while 1, a thousand and a hundred thousand objects of the server are held.

Three servers, each with a client that holds so many, measured in turn: a few hundred calls of one,
then of the next. What counts is the time of all of them, with what the collectors of garbage take.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from processes import Child, move

from scenarios import Scenario, Sizes
from scenarios.served import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Record

CALLS = 300
"""Of each kind, each time it is a client's turn."""
TURNS = 10
"""In a round."""
MIDDLE = 1000
AT_ONCE = 1000
"""Objects made by one call."""


def client(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Holds so many, and measures; figures are microseconds."""
    import wsremote

    served = wsremote.connect(url, token=token).modules.benchserved
    f, counters, counter = served.f, served.counters, served.Counter
    holding: list[Any] = []
    own = counter()

    def each(operation: Callable[[], object]) -> float:
        operation()
        start = time.perf_counter()
        for _ in range(CALLS):
            operation()
        return 1e6 * (time.perf_counter() - start) / CALLS

    def hold(count: int) -> dict[str, Any]:
        start = time.perf_counter()
        while len(holding) < count:
            holding.extend(counters(min(AT_ONCE, count - len(holding))))
        taken = time.perf_counter() - start
        assert holding[0].add(1, 2) == holding[-1].add(1, 2) == f(1, 2) == 3
        return {"make": 1e6 * taken / count}

    def measure() -> dict[str, Any]:
        # An object that is made is dropped at once: its handle is released with the next.
        return {
            "call": each(lambda: f(1, 2)),
            "method": each(lambda: own.add(1, 2)),
            "drop": each(counter),
        }

    def release() -> dict[str, Any]:
        count = len(holding)
        start = time.perf_counter()
        holding.clear()
        assert f(1, 2) == 3
        return {"release": 1e6 * (time.perf_counter() - start) / count}

    done: dict[str, Callable[..., dict[str, Any]]] = {
        "hold": hold,
        "measure": measure,
        "release": release,
    }
    return lambda what, **arguments: done[what](**arguments)


def measure(sizes: Sizes, record: Record) -> None:
    """Objects are made once; the calls are measured in turn."""
    options = ("--max-handles", str(2 * sizes.handles))
    with contextlib.ExitStack() as stack:
        asking: dict[str, Child] = {}
        for name, count in (("1", 1), ("middle", MIDDLE), ("most", sizes.handles)):
            server = stack.enter_context(serving("benchserved", *options))
            arguments = (__name__, server.url, server.token)
            asking[name] = stack.enter_context(Child("client", *arguments))
            for pid in (server.pid, asking[name].pid):
                move(pid, sizes.cores[:1])
            record(f"make, {name}", asking[name].ask(what="hold", count=count)["make"])
        for _ in range(sizes.rounds * TURNS):
            for name, each in asking.items():
                for operation, taken in each.ask(what="measure").items():
                    record(f"{operation}, {name}", taken)
        for name, each in asking.items():
            record(f"release, {name}", each.ask(what="release")["release"])


SCENARIO = Scenario(
    "handles",
    "Cost of an operation while 1, 1,000 (middle) and {handles:,} (most) objects are held",
    {
        f"{what}, {held}": "µs"
        for what in ("call", "method", "drop", "make", "release")
        for held in ("1", "middle", "most")
    },
    measure,
)
