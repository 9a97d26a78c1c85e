"""A loop over a generator of the server that gives small ints."""

from __future__ import annotations

from workloads import Workload

COUNT = 5000


def _generator(name: str, title: str) -> Workload:
    def is_right(items: object) -> bool:
        return items == list(range(COUNT))

    return Workload(name, title, 1, is_right, "generator", items=COUNT)


GENERATOR = _generator("generator", "for i in count(…)")
BY_WORD = _generator("generator by word", "for i in wsremote.ahead(count_seen(…))")
"""It may run ahead because the user says so."""
SEEN = _generator("generator seen", "for i in count_seen(…)")
"""A message for each."""
