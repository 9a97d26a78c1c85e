"""The workloads: what is measured, and what its right result is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Workload", "known_workloads"]


@dataclass(frozen=True)
class Workload:
    """One operation, done over and over by every peer that can.

    Attributes:
        name: The key of the peers' operations.
        title: What the user writes.
        count: Operations in one measurement; the median of them counts.
        is_right: Whether a result is the right one.
        group: Whose table it stands in, and how it is selected together with its like.
        by_default: Whether it runs when no workload is asked for.
        items: What one operation does so many of: figures are for one of these.
        rounds: It is measured in so many of the rounds.
        passes: Peer after peer, so many times in a round: what takes a moment only is hit by all
            that goes on elsewhere.
        cores: 1 if client and server take turns anyway and share a core, which takes the
            scheduler's choice out of the figure; 2 if each has its own.
    """

    name: str
    title: str
    count: int
    is_right: Callable[[Any], bool]
    group: str
    by_default: bool = True
    items: int = 1
    rounds: int = 100
    passes: int = 1
    cores: int = 1


def known_workloads() -> dict[str, Workload]:
    """All that every peer is asked for, by name."""
    from workloads import arrays, attribute, call, generator, method, mirrors, streams

    found = [call.CALL, call.AWAITED, method.METHOD, attribute.ATTRIBUTE]
    found += [
        streams.BATCH,
        streams.MAP,
        streams.PIPELINE,
        streams.LAST,
        streams.SUBMIT,
        streams.GATHER,
    ]
    found += [generator.GENERATOR, generator.BY_WORD, generator.SEEN, arrays.UP, arrays.DOWN]
    found += [mirrors.READ, mirrors.WRITE, *mirrors.HELD]
    return {workload.name: workload for workload in found}
