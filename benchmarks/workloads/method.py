"""Sequential calls of a method of an object that lives on the server."""

from __future__ import annotations

from workloads import Workload

METHOD = Workload(
    "method", "counter.add(1, 2)", 500, lambda result: result == 3, "method", passes=5
)
