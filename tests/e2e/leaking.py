"""Served by the tests of leaks: does one of everything, and counts what the server holds."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
from counting import containers_in, descriptors, threads

from wsremote.server.server import Server

_doors: dict[str, threading.Event] = {}


def door(name: str) -> threading.Event:
    """Closed until somebody opens it."""
    return _doors.setdefault(name, threading.Event())


def pass_door(name: str) -> str:
    """Wait at a door, in small steps."""
    while not door(name).wait(0.005):
        pass
    return name


class Counter:
    """A number that its methods change."""

    def __init__(self) -> None:
        self.count = 0

    def step(self) -> int:
        """Add one."""
        self.count += 1
        return self.count


def counters() -> int:
    """How many there are."""
    gc.collect()
    return sum(type(each) is Counter for each in gc.get_objects())


class Frame:
    """Is open while a generator runs."""

    open = 0


def numbers(stop: int) -> Iterator[int]:
    """A generator that notes whether its frame is closed."""
    Frame.open += 1
    try:
        yield from range(stop)
    finally:
        Frame.open -= 1


async def async_numbers(stop: int) -> AsyncIterator[int]:
    """The same, asynchronous."""
    Frame.open += 1
    try:
        for number in range(stop):
            await asyncio.sleep(0)
            yield number
    finally:
        Frame.open -= 1


def add(one: Any, other: Any) -> Any:
    """A small call."""
    return one + other


def fail(text: str) -> None:
    """Raises, with the handle of the exception."""
    raise ValueError(text)


def number_or_counter(text: str) -> int | Counter:
    """A scalar, an object, or an error."""
    return int(text) or Counter()


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls back."""
    return function(*args)


def total(items: Any) -> int:
    """Read an iterable of the client."""
    return sum(items)


def first_of(items: Any) -> Any:
    """Read the beginning of one."""
    return next(iter(items))


def call_in_thread(function: Callable[[], Any]) -> Any:
    """Calls back from a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def extend(items: list[Any]) -> int:
    """Changes its argument."""
    items.append(len(items))
    return len(items)


def array(size: int) -> Any:
    """A buffer."""
    return np.ones(size)


def size_of(buffer: Any) -> int:
    """Takes a buffer."""
    return len(buffer)


owned = [1, 2, 3]


def get_owned() -> list[int]:
    """A container that stays here."""
    return owned


# ---- counting --------------------------------------------------------------------------


def server() -> Server:
    """The one that serves this."""
    (found,) = (each for each in gc.get_objects() if type(each) is Server)
    return found


def census() -> dict[str, int]:
    """What the server holds, without what is zero."""
    gc.collect()
    here = server()
    counts: Tally[str] = Tally(threads())
    for session in list(here._sessions.values()):
        counts.update(containers_in(session, "session"))
    counts["sessions"] = len(here._sessions)
    counts["seats"] = len(here._roster)
    counts["receptions"] = len(here._receptions)
    counts["connections"] = len(here.poller._connections)
    counts["descriptors"] = descriptors()
    counts["counters"] = sum(type(each) is Counter for each in gc.get_objects())
    counts["frames"] = Frame.open
    return {name: count for name, count in sorted(counts.items()) if count}


def rest() -> None:
    """Let others run: for who asks again."""
    time.sleep(0.01)
