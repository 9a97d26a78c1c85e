"""What one run has found."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios import Sizes

__all__ = ["Measurements"]


@dataclass
class Measurements:
    """Times of workloads and figures of scenarios, round by round.

    Attributes:
        sizes: How much was done.
        is_whole: Whether all was asked for: a bar without figures is shown then.
        times: Microseconds of each round, by workload and peer.
        figures: Of the scenarios, by their names and those of the figures.
        failures: What did not work, by peer, workload or scenario, and why.
    """

    sizes: Sizes
    is_whole: bool = True
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def time(self, workload: str, peer: str) -> float | None:
        """The median over the rounds, microseconds."""
        found = self.times.get(workload, {}).get(peer)
        return statistics.median(found) if found else None

    def ratio(self, workload: str, peer: str, *, to: str, to_workload: str = "") -> float | None:
        """The median of the ratios of each round: drift of the machine hits both alike."""
        mine = self.times.get(workload, {}).get(peer)
        theirs = self.times.get(to_workload or workload, {}).get(to)
        return _ratio(mine, theirs)

    def figure(self, scenario: str, name: str) -> float | None:
        """The median over the rounds, in its own unit."""
        found = self.figures.get(scenario, {}).get(name)
        return statistics.median(found) if found else None

    def figure_ratio(self, scenario: str, name: str, to: str) -> float | None:
        """The median of the ratios of two figures of each round."""
        found = self.figures.get(scenario, {})
        return _ratio(found.get(name), found.get(to))


def _ratio(mine: list[float] | None, theirs: list[float] | None) -> float | None:
    if not mine or not theirs:
        return None
    rounds = min(len(mine), len(theirs))
    pairs = zip(_by_round(mine, rounds), _by_round(theirs, rounds), strict=True)
    return statistics.median(a / b for a, b in pairs)


def _by_round(values: list[float], rounds: int) -> list[float]:
    """One value a round, the median of those of that round."""
    passes = len(values) // rounds
    return [statistics.median(values[n * passes : (n + 1) * passes]) for n in range(rounds)]
