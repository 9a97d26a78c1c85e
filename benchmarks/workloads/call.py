"""Sequential calls of a function."""

from __future__ import annotations

from workloads import Workload

CALL = Workload("call", "f(1, 2)", 500, lambda result: result == 3, "call", passes=5)
AWAITED = Workload("await", "await f(1, 2)", 500, lambda result: result == 3, "call", passes=5)
