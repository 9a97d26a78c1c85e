"""Eight sessions that call at once, each from a process of its own, against one alone."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from processes import Child

from scenarios import Scenario, Sizes
from scenarios.served import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Record

SESSIONS = 8
SECONDS = 1.0


def client(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Calls from one moment to another, of the machine's clock, and counts."""
    import wsremote

    f = wsremote.connect(url, token=token).modules.benchserved.f

    def do(start: float, stop: float) -> dict[str, Any]:
        assert f(1, 2) == 3
        clock = time.monotonic
        while clock() < start:
            time.sleep(0.001)
        count = 0
        while clock() < stop:
            f(1, 2)
            count += 1
        return {"rate": count / (stop - start)}

    return do


def measure(sizes: Sizes, record: Record) -> None:
    """One alone, then all at once, a round."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving())
        clients = [
            stack.enter_context(Child("client", __name__, server.url, server.token))
            for _ in range(SESSIONS)
        ]
        for _ in range(sizes.rounds):
            rates = []
            for calling in (clients[:1], clients):
                start = time.monotonic() + 0.1
                for each in calling:
                    each.request(start=start, stop=start + SECONDS)
                rates.append(sum(each.answer()["rate"] for each in calling))
            record("one", rates[0])
            record("eight", rates[1])


SCENARIO = Scenario(
    "eight", "Sessions calling at once", {"one": "calls/s", "eight": "calls/s"}, measure
)
