"""Sequential calls of a function."""

from __future__ import annotations

from workloads import Workload

CALL = Workload("call", "f(1, 2)", 2000, lambda result: result == 3)
