"""Containers that the server owns: reading and writing one, and what holding some costs a call.

Only for peers that show them as containers here. A list of ten numbers each.
"""

from __future__ import annotations

from workloads import Workload

READ = Workload("mirror read", "shelf.items[0]", 2000, lambda result: result == 0, "mirrors", False)
"""Of a list that is held: no message."""

WRITE = Workload(
    "mirror write", "items[1] = number", 2000, lambda result: result is None, "mirrors", False
)

HELD = [
    Workload(
        f"{count} held",
        f"f(1, 2), {count} held",
        2000,
        lambda result: result == 3,
        "mirrors",
        False,
    )
    for count in (1, 10, 100)
]
"""A call while so many lists of the server are held: each is compared on both sides."""
