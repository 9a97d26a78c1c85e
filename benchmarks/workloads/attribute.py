"""Sequential reads of an attribute of an object that lives on the server."""

from __future__ import annotations

from workloads import Workload

ATTRIBUTE = Workload(
    "attribute", "counter.value", 500, lambda result: result == 7, "attribute", passes=5
)
