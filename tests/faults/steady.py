"""Served by the tests of faults: notes what it executes, waits at doors, calls back."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import numpy as np

from wsremote.server.server import Server

SIZE_OF_STATE = 1_000_000
executed: Tally[str] = Tally()
_doors: dict[str, threading.Event] = {}
_at: dict[str, threading.Event] = {}


def door(name: str) -> threading.Event:
    """Shared by all sessions; closed until somebody opens it."""
    return _doors.setdefault(name, threading.Event())


def open_door(name: str) -> None:
    """Lets through whoever waits."""
    door(name).set()


def at_door(name: str) -> threading.Event:
    """Set as soon as somebody is there."""
    return _at.setdefault(name, threading.Event())


def wait_for_somebody(name: str) -> bool:
    """Return when somebody is at a door."""
    return at_door(name).wait(20)


def wait_until_passed(name: str) -> bool:
    """Return when somebody has passed a door."""
    return at_door(f"{name} passed").wait(20)


def pass_door(name: str) -> str:
    """Wait at a door; noted before and behind."""
    executed[name] += 1
    at_door(name).set()
    while not door(name).wait(0.005):
        pass
    at_door(f"{name} passed").set()
    return name


def times(name: str) -> int:
    """How often something was executed."""
    return executed[name]


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


def note(name: str) -> int:
    """Note it; gives how often it was noted."""
    executed[name] += 1
    return executed[name]


class Counter:
    """Counts its steps."""

    alive = 0

    def __init__(self) -> None:
        self.count = 0
        Counter.alive += 1

    def __del__(self) -> None:
        Counter.alive -= 1

    def step(self) -> int:
        """One more."""
        self.count += 1
        return self.count

    def step_behind(self, name: str) -> int:
        """One more, behind a door."""
        pass_door(name)
        return self.step()


def alive() -> int:
    """How many counters there are."""
    return Counter.alive


def wait_for_none_alive() -> bool:
    """Return when there is no counter any more; not whether, after a while."""
    end = time.monotonic() + 10
    while Counter.alive and time.monotonic() < end:
        threading.Event().wait(0.01)
    return Counter.alive == 0


def server() -> Server:
    """The one that serves this."""
    (found,) = (each for each in gc.get_objects() if type(each) is Server)
    return found


def sessions() -> int:
    """How many sessions the server has, with the one that asks."""
    return len(server()._sessions)


def await_lonely() -> bool:
    """Return when the server knows that a client has no connection."""
    end = time.monotonic() + 10
    while all(each.is_attached for each in server()._sessions.values()):
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.01)
    return True


def await_answers() -> bool:
    """Return when an answer waits for a client that has no connection."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        away = [each for each in server()._sessions.values() if not each.is_attached]
        if any(each.remains()[1] for each in away):
            return True
        threading.Event().wait(0.01)
    return False


def wait_for_sessions(count: int) -> int:
    """Return when there are so many, or after a while."""
    end = time.monotonic() + 10
    while sessions() != count and time.monotonic() < end:
        threading.Event().wait(0.01)
    return sessions()


def talk(name: str, lines: int) -> str:
    """Print lines, half of them behind a door."""
    for number in range(lines):
        if number == lines // 2:
            pass_door(name)
        sys.stdout.write(f"{name} {number}\n")
    return name


def count(start: int = 0) -> Iterator[int]:
    """A generator without an end."""
    yield from itertools.count(start)


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call back."""
    return function(*args)


def call_behind(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call back when a door is open."""
    pass_door(name)
    return function(*args)


def call_often(function: Callable[[int], Any], count: int) -> list[Any]:
    """Call back so many times."""
    return [function(number) for number in range(count)]


_threads: list[threading.Thread] = []
results: dict[str, Any] = {}


def call_in_thread(name: str, function: Callable[..., Any], *args: Any) -> None:
    """Call back from a thread of the server, behind a door."""

    def run() -> None:
        pass_door(name)
        try:
            results[name] = function(*args)
        except BaseException as error:
            results[name] = type(error).__name__
        open_door(f"{name} done")

    _threads.append(threading.Thread(target=run, daemon=True))
    _threads[-1].start()


def result_of(name: str) -> Any:
    """What came of it."""
    assert door(f"{name} done").wait(20)
    return results[name]


def append_behind(name: str, items: list[Any]) -> int:
    """Change an argument behind a door."""
    items.append("before")
    pass_door(name)
    items.append("behind")
    return len(items)


class Box:
    """Owns containers."""

    def __init__(self) -> None:
        self.items = [1, 2, 3]
        self.table = {"one": 1}

    def put(self, value: Any) -> int:
        """Append."""
        self.items.append(value)
        return len(self.items)


def total(array: Any) -> float:
    """The sum of an array."""
    executed["total"] += 1
    return float(array.sum())


def numbers(size: int) -> Any:
    """An array of the numbers below."""
    executed["numbers"] += 1
    return np.arange(size, dtype=np.float64)


def negative(array: Any) -> Any:
    """An array for an array."""
    return -array


def block(size: int) -> bytes:
    """Bytes."""
    return bytes(size)


def many(count: int, size: int) -> list[Any]:
    """Arrays, each of which travels apart."""
    executed["many"] += 1
    return [np.full(size, number, dtype=np.float64) for number in range(count)]


def totals(arrays: list[Any]) -> list[float]:
    """The sums of arrays."""
    executed["totals"] += 1
    return [float(array.sum()) for array in arrays]


async def wait_and_add(a: int, b: int = 1) -> int:
    """Add, after a moment."""
    await asyncio.sleep(0)
    executed["wait_and_add"] += 1
    return a + b


async def pass_door_later(name: str) -> str:
    """Wait at a door, without a thread."""
    executed[name] += 1
    at_door(name).set()
    while not door(name).is_set():  # noqa: ASYNC110  # others open it from threads
        await asyncio.sleep(0.005)
    at_door(f"{name} passed").set()
    return name


async def count_later(stop: int) -> AsyncIterator[int]:
    """An asynchronous generator."""
    for number in range(stop):
        await asyncio.sleep(0)
        yield number


async def await_call(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await a function of the client."""
    return await function(*args)


def threads_of_calls() -> int:
    """How many threads wait to execute calls."""
    return sum(thread.name.startswith("wsremote-lane-") for thread in threading.enumerate())


def wait_for_threads_of_calls(most: int) -> bool:
    """Return when there are no more than so many; not whether, after a while."""
    end = time.monotonic() + 10
    while threads_of_calls() > most and time.monotonic() < end:
        threading.Event().wait(0.01)
    return threads_of_calls() <= most


def ints(count: int) -> Iterator[int]:
    """An iterator that runs ahead."""
    for number in range(count):  # noqa: UP028
        yield number


def take(iterator: Iterator[Any], count: int) -> list[Any]:
    """The next items of an iterator."""
    return list(itertools.islice(iterator, count))


def noting(count: int, name: str) -> Iterator[int]:
    """Notes that it has made an item, each of which can be made once."""
    for number in range(count):
        executed[name] += 1
        yield number


state = np.zeros(SIZE_OF_STATE)


def filled(value: float) -> None:
    """Change all of the state."""
    state[:] = value


def state_itself() -> np.ndarray[Any, Any]:
    """What this module goes on using."""
    return state


def state_as(kind: str) -> Any:
    """Something fresh whose memory is the state's, or a copy that only the caller has."""
    if kind == "view":
        return state[10:]
    if kind == "list":
        return [state[10:], state[:-10]]
    if kind == "read-only":
        shown = state[:]
        shown.flags.writeable = False
        return shown
    if kind == "frame":
        import pandas

        return pandas.DataFrame({"x": state}, copy=False)
    if kind == "bytearray":
        return held
    return state.copy()


held = bytearray(8 * SIZE_OF_STATE)


def hand_over(function: Callable[[Any], Any]) -> Any:
    """Call back with the state."""
    return function(state)


def begin_to_measure() -> int:
    """Forget how much memory this process has had; gives the KiB that it has."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")


def memory(what: str) -> int:
    """KiB of this process: `VmRSS` now, `VmHWM` the most."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what))


def last(array: Any) -> float:
    """Its last element."""
    return float(array[-1])


def ones(size: int) -> Any:
    """A fresh array, all of whose memory is touched once."""
    return np.ones(size)
