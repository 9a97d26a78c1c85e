"""The workloads: what is measured, and what its right result is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Workload", "known_workloads"]


@dataclass(frozen=True)
class Workload:
    """One column of the tables.

    Attributes:
        name: The key of the peers' operations.
        title: What the user writes.
        count: Operations in one measurement; the median of them counts.
        is_right: Whether a result is the right one; looked at once, before measuring.
        by_default: Whether it runs when no workload is asked for.
    """

    name: str
    title: str
    count: int
    is_right: Callable[[Any], bool]
    by_default: bool = True


def known_workloads() -> dict[str, Workload]:
    """All that every peer is asked for, by name."""
    from workloads import arrays, attribute, call, method, mirrors

    found = [call.CALL, method.METHOD, attribute.ATTRIBUTE, arrays.UP, arrays.DOWN]
    found += [mirrors.READ, mirrors.WRITE, *mirrors.HELD]
    return {workload.name: workload for workload in found}
