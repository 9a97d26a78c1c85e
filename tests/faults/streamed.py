"""Served by the tests of streams: marks what runs where it outlives the server, waits, counts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from steady import pass_door

marked: list[Any] = []


def mark(number: int) -> int:
    """Note that it ran; any number of threads at once."""
    marked.append(number)
    return number


def marks() -> list[Any]:
    """What was noted, in order."""
    return list(marked)


def forget() -> None:
    """Begin again."""
    marked.clear()


def write(path: str, number: int) -> int:
    """Note it in a file: that is there also when this process is killed."""
    with open(path, "ab", 0) as file:
        file.write(b"%d\n" % number)
    return number


def write_behind(path: str, number: int, name: str) -> int:
    """The same, and then wait at a door."""
    write(path, number)
    pass_door(name)
    return number


def fail(number: int) -> None:
    """Note it, and raise."""
    marked.append(number)
    raise KeyError(number)


def double(number: int) -> int:
    """Of what was kept."""
    return 2 * number


class Tape:
    """Remembers, in order."""

    alive = 0

    def __init__(self) -> None:
        self.items: list[int] = []
        Tape.alive += 1

    def __del__(self) -> None:
        Tape.alive -= 1

    def add(self, item: int) -> int:
        """One more; gives how many there are."""
        self.items.append(item)
        return len(self.items)

    def all(self) -> tuple[int, ...]:
        """What there is."""
        return tuple(self.items)


def tapes() -> int:
    """How many there are, after a while in which they may go."""
    for _ in range(1000):
        if not Tape.alive:
            break
        threading.Event().wait(0.01)
    return Tape.alive


def squares(stop: int) -> Iterator[int]:
    """A generator of numbers: nobody can see when it runs."""
    for number in range(stop):
        yield number * number


def seen(stop: int) -> Iterator[int]:
    """One of which everybody can see it."""
    for number in range(stop):
        marked.append(number)
        yield number


def forever() -> Iterator[int]:
    """One without an end."""
    return itertools.count()


def take(items: Iterable[Any], count: int) -> list[Any]:
    """So many items."""
    return list(itertools.islice(items, count))


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call back."""
    return function(*args)
