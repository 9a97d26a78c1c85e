"""What a 100 MB array costs in memory beyond itself, on both sides and both ways.

The kernel keeps the highest resident size of a process (VmHWM) and can be told to begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from processes import Child, move
from workloads.arrays import COUNT, array_of

from scenarios import Scenario, Sizes
from scenarios.served import forget_peak, memory_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Record

MIB = 1024 * 1024
ARRAY = COUNT * 8


def client(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Sends or fetches one array a request."""
    import wsremote

    served = wsremote.connect(url, token=token).modules.benchserved

    def do(direction: str, count: int) -> dict[str, Any]:
        if direction == "make":  # what is sent is here before
            array_of(count)
        elif direction == "up":
            assert served.last(array_of(count)) == count - 1
        else:
            array = served.numbers(count)
            assert array[0] == 0
            assert array[-1] == count - 1
            assert array.flags.writeable
        return {}

    return do


def measure(sizes: Sizes, record: Record) -> None:
    """One array up and one down, a round."""
    with serving() as server, Child("client", __name__, server.url, server.token) as asking:
        move(server.pid, sizes.cores[:1])
        move(asking.pid, sizes.cores[1:])
        for direction in ("make", "up", "down"):
            # All code is loaded before.
            asking.ask(direction=direction, count=100_000)
        asking.ask(direction="make", count=COUNT)
        for _ in range(min(sizes.rounds, 3)):
            for direction in ("up", "down"):
                before = {}
                for pid in (server.pid, asking.pid):
                    forget_peak(pid)
                    before[pid] = memory_of(pid, "VmRSS")
                asking.ask(direction=direction, count=COUNT)
                for side, pid in (("server", server.pid), ("client", asking.pid)):
                    grown = memory_of(pid, "VmHWM") - before[pid]
                    # The client has what it sends already.
                    own = 0 if (side, direction) == ("client", "up") else ARRAY
                    # The kernel counts in batches of pages: some may be missing.
                    record(f"{direction}, {side}", max(0, grown - own) / MIB)


SCENARIO = Scenario(
    "memory",
    "100 MB array: the most memory beyond the array",
    {f"{way}, {side}": "MiB" for way in ("up", "down") for side in ("server", "client")},
    measure,
)
