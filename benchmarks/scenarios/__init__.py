"""The scenarios: measurements that are more than one operation over and over.

A scenario is a module with a `Scenario`, whose function starts what it needs, records figures,
and ends it. Only wsremote takes part: their bars are absolute, or compare it with itself. If the
module has a function `client`, `Child("client", "scenarios.<module>", ...)` runs it in a process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Record", "Scenario", "Sizes", "known_scenarios"]

Record = Callable[[str, float], None]
"""Takes the name of a figure and its value in one round."""


@dataclass(frozen=True)
class Sizes:
    """How much a scenario does.

    Attributes:
        rounds: How often it is measured.
        sessions: That are idle.
        bulk: Megabytes that travel while small calls are made.
        handles: The most that are held.
        names: Servers that a name server knows.
        cores: Numbers of the two cores on which one client and one server run, each on its
            own; calls one after the other run both on the first.
    """

    rounds: int
    sessions: int = 10_000
    bulk: int = 1000
    handles: int = 100_000
    names: int = 10_000
    cores: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Scenario:
    """One of them.

    Attributes:
        name: How it is selected.
        title: What it shows, with sizes in it to be formatted.
        figures: The names of what it records, and their units.
        measure: Does it.
    """

    name: str
    title: str
    figures: dict[str, str]
    measure: Callable[[Sizes, Record], None]

    def titled(self, sizes: Sizes) -> str:
        """The title for a run of these sizes."""
        return self.title.format(**dataclasses.asdict(sizes))


def known_scenarios() -> dict[str, Scenario]:
    """All, by name."""
    from scenarios import (
        beside_bulk,
        eight_sessions,
        first_results,
        idle_sessions,
        live_handles,
        memory,
        names,
        sympy_start,
    )

    modules = (
        first_results,
        memory,
        beside_bulk,
        eight_sessions,
        live_handles,
        idle_sessions,
        names,
        sympy_start,
    )
    return {module.SCENARIO.name: module.SCENARIO for module in modules}
