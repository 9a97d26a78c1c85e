"""From measurements to tables: medians, ratios of the same round, bars."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peers import PEERS
from workloads import known_workloads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Measurements", "as_json", "as_markdown"]


@dataclass
class Measurements:
    """What one run has found.

    Attributes:
        rounds: How often everything was measured.
        times: Microseconds of each round, by workload and peer.
        starts: Milliseconds of each start, "cold" and "warm".
        failures: What did not work, by peer or workload, and why.
    """

    rounds: int
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def time(self, workload: str, peer: str) -> float | None:
        """The median over the rounds, microseconds."""
        found = self.times.get(workload, {}).get(peer)
        return statistics.median(found) if found else None

    def ratio(self, workload: str, peer: str, *, to: str, to_workload: str = "") -> float | None:
        """The median of the ratios of each round: drift of the machine hits both alike."""
        mine = self.times.get(workload, {}).get(peer)
        theirs = self.times.get(to_workload or workload, {}).get(to)
        if not mine or not theirs:
            return None
        return statistics.median(a / b for a, b in zip(mine, theirs, strict=False))


@dataclass(frozen=True)
class Bar:
    """A target, and where we are."""

    title: str
    limit: float
    unit: str
    value: float | None

    @property
    def verdict(self) -> str:
        """pass, short, or not measured."""
        if self.value is None:
            return "not measured"
        return "pass" if self.value <= self.limit else "short"


def bars_of(found: Measurements) -> list[Bar]:
    """The bars of the design page that these measurements can tell of."""

    def start(kind: str) -> float | None:
        return statistics.median(found.starts[kind]) if found.starts.get(kind) else None

    def own(workload: str) -> float | None:
        return found.ratio(workload, "wsremote", to="wsremote", to_workload="call")

    rpyc, bare = (found.ratio("call", "wsremote", to=peer) for peer in ("rpyc", "bare"))
    return [
        Bar("f(1, 2) / RPyC", 0.65, "x", rpyc),
        Bar("f(1, 2) / bare socket + pickle", 1.7, "x", bare),
        Bar("method call / f(1, 2)", 1.2, "x", own("method")),
        Bar("attribute read / f(1, 2)", 1.2, "x", own("attribute")),
        Bar("sympy: connect to first result, cold", 500, " ms", start("cold")),
        Bar("sympy: connect to first result, warm", 20, " ms", start("warm")),
    ]


def as_markdown(found: Measurements) -> str:
    """The tables."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Measurements) -> Iterator[str]:
    yield f"{_machine()}; {found.rounds} rounds, medians."
    for name, workload in known_workloads().items():
        if found.times.get(name):
            yield from ("", f"## {workload.title}", "")
            yield from _peer_table(found, name)
    if found.starts:
        yield from ("", "## sympy served: from connect() to the first result", "")
        yield from _table(
            ("start", "median", "from", "to", "processes"),
            [
                (kind, *(f"{value:.1f} ms" for value in _spread(times)), str(len(times)))
                for kind, times in found.starts.items()
            ],
        )
    yield from ("", "## Bars", "")
    yield from _table(
        ("bar", "at most", "measured", ""),
        [
            (
                bar.title,
                f"{bar.limit:g}{bar.unit}",
                "" if bar.value is None else f"{bar.value:.3g}{bar.unit}",
                bar.verdict,
            )
            for bar in bars_of(found)
        ],
    )
    if found.failures:
        yield from ("", "## Not measured", "")
        yield from (f"- {name}: {reason}" for name, reason in found.failures.items())


def _peer_table(found: Measurements, workload: str) -> Iterator[str]:
    rows = []
    for peer in PEERS:
        median = found.time(workload, peer.key)
        if median is not None:
            ratios = (found.ratio(workload, peer.key, to=to) for to in ("bare", "rpyc"))
            low, high = min(found.times[workload][peer.key]), max(found.times[workload][peer.key])
            rows.append(
                (
                    _with_versions(peer.title, peer.distributions),
                    _microseconds(median),
                    f"{_microseconds(low)} to {_microseconds(high)}",
                    *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
                )
            )
    yield from _table(("peer", "median", "rounds", "x bare socket", "x RPyC"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    for row in (head, rule, *rows):
        yield "| " + " | ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) + " |"


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _microseconds(value: float) -> str:
    return f"{value:.1f} µs" if value < 1000 else f"{value / 1000:.0f} ms"


def _with_versions(title: str, distributions: Sequence[str]) -> str:
    versions = []
    for name in distributions:
        try:
            versions.append(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{title} {versions[0]}" if versions else title


def _machine() -> str:
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()},"
        f" {os.cpu_count()} cores"
    )


def as_json(found: Measurements) -> dict[str, Any]:
    """Everything, for a program: no rounding, no medians only."""
    return {
        "machine": _machine(),
        "rounds": found.rounds,
        "microseconds": found.times,
        "start_milliseconds": found.starts,
        "bars": [
            {"bar": bar.title, "limit": bar.limit, "value": bar.value, "verdict": bar.verdict}
            for bar in bars_of(found)
        ],
        "failures": found.failures,
    }
