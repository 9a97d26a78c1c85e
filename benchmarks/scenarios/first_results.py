"""Whether results come while calls are still being made: how many were, when the first was there.

Of an endless input of `map`, and of a pipeline whose block asks the first promise for its value and
then goes on.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from processes import Child, move

from scenarios import Scenario, Sizes
from scenarios.served import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenarios import Record

TAKEN = 100
CALLS = 50_000
ASKED_AFTER = 1000


def client(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Counts what it has given when the first result comes."""
    import wsremote

    session = wsremote.connect(url, token=token)
    f = session.modules.benchserved.f
    given = 0

    def endless() -> Iterator[int]:
        nonlocal given
        for number in itertools.count():
            given += 1
            yield number

    def from_map() -> int:
        nonlocal given
        given = 0
        results = session.map(f, endless(), itertools.repeat(2))
        assert next(results) == 2
        first = given
        assert list(itertools.islice(results, TAKEN)) == list(range(3, 3 + TAKEN))
        results.close()
        return first

    def from_pipeline() -> int:
        with session.pipeline():
            promises = [f(number, 2) for number in range(ASKED_AFTER)]
            assert promises[0].result() == 2
            first = len(promises)
            promises += [f(number, 2) for number in range(ASKED_AFTER, CALLS)]
        assert promises[-1].result() == CALLS + 1
        return first

    return lambda way: {"count": (from_map if way == "map" else from_pipeline)()}


def measure(sizes: Sizes, record: Record) -> None:
    """Each once a round."""
    with serving() as server, Child("client", __name__, server.url, server.token) as asking:
        move(server.pid, sizes.cores[:1])
        move(asking.pid, sizes.cores[1:])
        for way in ("map", "pipeline"):
            for _ in range(min(sizes.rounds, 3)):
                record(way, asking.ask(way=way)["count"])


SCENARIO = Scenario(
    "first results",
    "Calls made when the first result is there",
    {"map": "calls", "pipeline": "calls"},
    measure,
)
