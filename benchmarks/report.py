"""From measurements to tables: medians, ratios of the same round, bars."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bars import bars_of
from peers import PEERS
from scenarios import known_scenarios
from workloads import known_workloads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measurements import Measurements

__all__ = ["as_json", "as_markdown", "bars_as_markdown"]

GROUPS = {
    "call": "Sequential calls of f(1, 2)",
    "method": "Sequential calls of a method, counter.add(1, 2)",
    "attribute": "Sequential reads of an attribute, counter.value",
    "streams": "Many calls of f(i, 2), all results taken; each",
    "generator": "A generator of small ints; each",
    "arrays": "A float64 array of 100 MB",
    "mirrors": "Containers that the server owns",
}
"""The tables of the workloads, by group."""


def bars_as_markdown(found: Measurements) -> str:
    """The table of bars, and the machine it was taken on."""
    return "\n".join(_bar_lines(found)) + "\n"


def as_markdown(found: Measurements) -> str:
    """That table, and all others."""
    return "\n".join([*_bar_lines(found), *_lines(found)]) + "\n"


def _bar_lines(found: Measurements) -> Iterator[str]:
    yield f"{_machine()}; {found.sizes.rounds} rounds, medians."
    yield ""
    yield from _table(
        ("what", "wsremote", "peer", "ratio", "bar", ""),
        [
            (bar.what, bar.ours, bar.theirs, bar.ratio_text, bar.limit_text, bar.verdict)
            for bar in bars_of(found)
            if found.is_whole or bar.value is not None
        ],
    )
    if found.failures:
        yield from ("", "Not measured:", "")
        yield from (f"- {name}: {reason}" for name, reason in found.failures.items())


def _lines(found: Measurements) -> Iterator[str]:
    for group, title in GROUPS.items():
        rows = list(_group_rows(found, group))
        if rows:
            yield from ("", f"## {title}", "")
            yield from _table(("peer", "median", "rounds", "x bare socket", "x RPyC"), rows)
    for name, scenario in known_scenarios().items():
        if found.figures.get(name):
            yield from ("", f"## {scenario.titled(found.sizes)}", "")
            yield from _table(
                ("", "median", "from", "to"),
                [
                    (figure, *(_with_unit(value, scenario.figures[figure]) for value in spread))
                    for figure, values in found.figures[name].items()
                    for spread in [(statistics.median(values), min(values), max(values))]
                ],
            )


def _group_rows(found: Measurements, group: str) -> Iterator[tuple[str, ...]]:
    workloads = [each for each in known_workloads().values() if each.group == group]
    for workload in workloads:
        for peer in PEERS:
            median = found.time(workload.name, peer.key)
            if median is None:
                continue
            # What has no namesake among the peers is compared with what they do in its place.
            others = "batch" if group == "streams" else workload.name
            others = group if group in ("call", "generator") else others
            ratios = (
                found.ratio(workload.name, peer.key, to=to, to_workload=others)
                for to in ("bare", "rpyc")
            )
            title = _with_versions(peer.title, peer.distributions)
            times = found.times[workload.name][peer.key]
            yield (
                f"{title}, {workload.title}" if len(workloads) > 1 else title,
                _microseconds(median),
                f"{_microseconds(min(times))} to {_microseconds(max(times))}",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    for row in (head, rule, *rows):
        yield "| " + " | ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) + " |"


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}".strip() if abs(value) >= 1000 else f"{value:.3g} {unit}".strip()


def _microseconds(value: float) -> str:
    if value < 1000:
        return f"{value:.1f} µs" if value >= 10 else f"{value:.2f} µs"
    return f"{value / 1000:.0f} ms"


def _with_versions(title: str, distributions: Sequence[str]) -> str:
    versions = []
    for name in distributions:
        try:
            versions.append(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{title} {versions[0]}" if versions else title


def _machine() -> str:
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line for line in lines if line.startswith("model name")).partition(":")[2]
    except (OSError, StopIteration):
        model = platform.machine()
    return (
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores of"
        f" {' '.join(model.split())}"
    )


def as_json(found: Measurements) -> dict[str, Any]:
    """Everything, for a program: no rounding, no medians only."""
    return {
        "machine": _machine(),
        "sizes": dataclasses.asdict(found.sizes),
        "microseconds": found.times,
        "figures": found.figures,
        "bars": [bar.as_json() for bar in bars_of(found)],
        "failures": found.failures,
    }
