"""Served to the tests of the async face: whatever its calls, attributes and syntax can meet."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

NUMBER = 5
LARGE = list(range(20_000))
log: list[str] = []
doors: dict[str, threading.Event] = {}


class Broken(Exception):
    """Raised here."""


class Colour(Enum):
    """An enumeration."""

    RED = 1
    BLUE = 2


def door(name: str) -> threading.Event:
    """A door, which the test opens."""
    return doors.setdefault(name, threading.Event())


def open_door(name: str) -> None:
    """Let go on who waits there."""
    door(name).set()


def add(a: Any, b: Any = 1) -> Any:
    """A plain function."""
    return a + b


async def later(a: Any, b: Any = 1) -> Any:
    """An async one."""
    await asyncio.sleep(0)
    return a + b


def slow(array: Any) -> int:
    """Longer than the array takes to come."""
    threading.Event().wait(0.1)
    return len(array)


def wait_in_c(name: str) -> str:
    """Wait where no interrupt is heard: for a lock, in C code, until the door is open."""
    log.append(f"{name} begins")
    # A lock's own acquire() with no timeout is not interrupted by an exception sent to a thread.
    opened = door(name)
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=lambda: (opened.wait(), lock.release()), daemon=True).start()
    lock.acquire()
    log.append(f"{name} ends")
    return name


def wait_in_python(name: str) -> str:
    """Wait where an interrupt is heard at once."""
    log.append(f"{name} begins")
    try:
        while not door(name).wait(0.005):
            pass
    except KeyboardInterrupt:
        log.append(f"{name} interrupted")
        raise
    return name


async def wait_async(name: str) -> str:
    """Wait as a coroutine does."""
    log.append(f"{name} begins")
    try:
        await asyncio.get_running_loop().run_in_executor(None, door(name).wait)
    except asyncio.CancelledError:
        log.append(f"{name} cancelled")
        raise
    return name


async def wait_twice(name: str) -> str:
    """Clean up for as long as the door is closed."""
    try:
        return await wait_async(name)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, door(f"{name} cleaned").wait)


async def stubborn() -> str:
    """Make something else of a cancellation."""
    log.append("stubborn begins")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "not yet"
    raise AssertionError("it was never cancelled")


def logged(text: str) -> bool:
    """Whether something was logged."""
    return text in log


def clear_log() -> None:
    """Forget what was logged, and close all doors."""
    log.clear()
    doors.clear()


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call back."""
    return function(*args)


async def await_call(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Call back and await."""
    return await function(*args)


async def give_up(function: Callable[..., Awaitable[Any]]) -> str:
    """Call back, and not wait for long."""
    try:
        return await asyncio.wait_for(function(), 0.02)
    except TimeoutError:
        return "given up"


def consume(items: Any) -> list[Any]:
    """Read an iterator of the caller."""
    return list(items)


def call_in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call back from a thread that runs no call."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]


def fill(items: list[int]) -> int:
    """Change a container of the caller."""
    items.append(len(items))
    return len(items)


def fill_array(array: Any) -> None:
    """Change an array of the caller."""
    array[:] = 1


def fill_and_fail(items: list[int]) -> None:
    """Change it, and raise."""
    fill(items)
    raise Broken("filled")


def change_large() -> int:
    """Change what is too large to be compared after each call."""
    LARGE[0] += 1
    return LARGE[0]


def say(text: str) -> str:
    """Print."""
    print(text)
    return text


def say_and_wait(text: str, name: str) -> str:
    """Print, and wait."""
    print(text)
    sys.stdout.flush()
    door(name).wait()
    return text


def warn(text: str) -> None:
    """Warn of the caller."""
    warnings.warn(text, UserWarning, stacklevel=2)


def fail(text: str) -> None:
    """Raise."""
    raise Broken(text)


def failing_numbers(stop: int) -> Iterator[int]:
    """Numbers, and then an error."""
    yield from range(stop)
    raise Broken(str(stop))


class Shelf:
    """Iterable, with an error at the end."""

    def __iter__(self) -> Iterator[int]:
        """One number."""
        return failing_numbers(1)


def numbers(stop: int) -> Iterator[int]:
    """A generator that says when it is closed."""
    try:
        yield from range(stop)
    finally:
        log.append("closed")


def count(stop: int) -> Iterator[int]:
    """A generator of which nobody can see when it runs."""
    for number in range(stop):  # noqa: UP028
        yield number


@contextmanager
def managed(name: str) -> Iterator[str]:
    """A context."""
    log.append(f"{name} in")
    try:
        yield name
    except KeyError:
        log.append(f"{name} swallows")
    finally:
        log.append(f"{name} out")


def total(array: Any) -> float:
    """The sum of an array."""
    return float(array.sum())


def size_of(data: bytes) -> int:
    """How much has arrived."""
    return len(data)


class Thing:
    """Has what syntax asks for."""

    KIND = "thing"

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.items = [1, 2]

    def plus(self, other: int) -> int:
        """A method."""
        return self.number + other

    def __len__(self) -> int:
        return 5

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.number))

    def __getitem__(self, key: Any) -> Any:
        return key

    def __setitem__(self, key: Any, value: Any) -> None:
        self.number = value

    def __delitem__(self, key: Any) -> None:
        self.number = -1

    def __contains__(self, item: object) -> bool:
        return item == self.number

    def __add__(self, other: int) -> int:
        return self.number + other

    def __iadd__(self, other: int) -> Thing:
        self.number += other
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __str__(self) -> str:
        return f"thing {self.number}"

    def __repr__(self) -> str:
        return f"Thing({self.number})"

    def __int__(self) -> int:
        return self.number

    def __enter__(self) -> Thing:
        self.number = 100
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.number = 200
        return kind is KeyError


class Squares:
    """Iterated over by its indices."""

    def __getitem__(self, index: int) -> int:
        if index > 3:
            raise IndexError(index)
        return index * index
