"""What runs in the processes that `run.py` starts: one server or one client of one peer.

The client reads one JSON request a line, `{"workload": name, "count": n}`, and answers
each with one line.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from workloads import known_workloads

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(operation: Callable[[], Any], count: int) -> float:
    """The median of `count` operations, in microseconds, after some that do not count."""
    clock = time.perf_counter_ns
    for _ in range(count // 10):
        operation()
    taken = []
    for _ in range(count):
        start = clock()
        operation()
        taken.append(clock() - start)
    return statistics.median(taken) / 1000


def main(role: str, module: str, address: str = "") -> None:
    """Serve until killed, or measure until stdin ends."""
    # What a peer prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer = importlib.import_module(module)

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers)

    if role == "serve":
        peer.serve(lambda address: answer(address=address))
        return
    operations = peer.connect(address)
    workloads = known_workloads()
    answer(workloads=sorted(operations))
    for line in sys.stdin:
        request = json.loads(line)
        name = request["workload"]
        result = operations[name]()
        if workloads[name].is_right(result):
            answer(microseconds=measure(operations[name], request["count"]))
        else:
            answer(error=f"{name} gave {result!r:.200}")


if __name__ == "__main__":
    main(*sys.argv[1:])
    # Some peers leave threads behind that would keep the process.
    os._exit(0)
