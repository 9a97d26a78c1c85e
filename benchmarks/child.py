"""What runs in the processes that a benchmark starts.

`serve PEER` serves until it is killed. `drive PEER ADDRESS` is a peer's client: it reads one
JSON request a line, `{"workload": name, "count": n}`, and answers each with one line.
`client SCENARIO ARGUMENT...` is a client of a scenario, which says itself what it is asked.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from workloads import known_workloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads import Workload

TIMEOUT = 50.0
"""Seconds that the event loop may take for one measurement."""


class WrongResult(Exception):
    """An operation gave something else than it must."""


FEW = 100
"""Operations in a measurement that are long: the first measurement warms up for all."""


def measure(
    operation: Callable[[], Any], workload: Workload, count: int, *, is_first: bool
) -> float:
    """The median of `count` operations, in microseconds, after one or more that do not count.

    Every result of a long operation is looked at, of short ones the first.

    Raises:
        WrongResult: One is wrong.
    """
    clock = time.perf_counter_ns
    if is_first or count >= FEW:
        check(workload, operation())
    for _ in range(max(1, count // 10)):
        operation()
    taken = []
    for _ in range(count):
        start = clock()
        result = operation()
        taken.append(clock() - start)
        if count < FEW:
            check(workload, result)
        result = None
    return statistics.median(taken) / 1000


async def measure_awaited(
    operation: Callable[[], Any], workload: Workload, count: int, *, is_first: bool
) -> float:
    """The same of an operation that is awaited.

    Raises:
        WrongResult: One is wrong.
    """
    clock = time.perf_counter_ns
    if is_first or count >= FEW:
        check(workload, await operation())
    for _ in range(max(1, count // 10)):
        await operation()
    taken = []
    for _ in range(count):
        start = clock()
        result = await operation()
        taken.append(clock() - start)
        if count < FEW:
            check(workload, result)
    return statistics.median(taken) / 1000


def check(workload: Workload, result: object) -> None:
    """See that a result is the right one."""
    if not workload.is_right(result):
        raise WrongResult(f"{workload.name} gave {result!r:.200}")


def drive(module: str, address: str, answer: Callable[..., None]) -> None:
    """A peer's client: measure what is asked for, until there is no more."""
    peer = importlib.import_module(module)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    operations = peer.connect(address)
    failures: dict[str, str] = {}
    if hasattr(peer, "connect_async"):
        # What cannot be connected so, is named, and measured otherwise.
        connecting = asyncio.run_coroutine_threadsafe(peer.connect_async(address), loop)
        try:
            operations |= connecting.result(TIMEOUT)
        except Exception as error:
            failures["async"] = one_line(error)
    workloads, seen = known_workloads(), set()
    answer(workloads=sorted(operations), failures=failures)
    for line in sys.stdin:
        request = json.loads(line)
        workload, count = workloads[request["workload"]], request["count"]
        operation, is_first = operations[workload.name], workload.name not in seen
        seen.add(workload.name)
        try:
            if inspect.iscoroutinefunction(operation):
                measuring = measure_awaited(operation, workload, count, is_first=is_first)
                taken = asyncio.run_coroutine_threadsafe(measuring, loop).result(TIMEOUT)
            else:
                taken = measure(operation, workload, count, is_first=is_first)
        except Exception as error:
            answer(error=one_line(error))
        else:
            answer(microseconds=taken / workload.items)


def run_client(module: str, arguments: list[str], answer: Callable[..., None]) -> None:
    """A scenario's client: do what is asked for, until there is no more."""
    client = importlib.import_module(module).client(*arguments)
    answer()
    for line in sys.stdin:
        try:
            given = client(**json.loads(line))
        except Exception as error:
            answer(error=one_line(error))
        else:
            answer(**given)


def one_line(error: BaseException) -> str:
    """What went wrong, for a list."""
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:300]


def main(role: str, module: str, *arguments: str) -> None:
    """Serve until killed, or do what is asked until stdin ends."""
    # What a peer prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers)

    if role == "serve":
        importlib.import_module(module).serve(lambda address: answer(address=address))
    elif role == "drive":
        drive(module, arguments[0], answer)
    else:
        run_client(module, list(arguments), answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
    # Some peers leave threads behind that would keep the process.
    os._exit(0)
