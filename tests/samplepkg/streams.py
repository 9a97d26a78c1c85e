"""Iterators of every kind, and what looks at how far they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

LOG: list[Any] = []
"""What generators have done."""

STATE: dict[str, int] = {"count": 0}
KEPT: list[Any] = []


def log() -> list[Any]:
    """What generators have done since this was asked last. Lets go of what was kept."""
    KEPT.clear()
    seen = list(LOG)
    LOG.clear()
    return seen


def set_count(count: int) -> None:
    """What `looking` gives from now on."""
    STATE["count"] = count


def ints(count: int) -> Iterator[int]:
    """Nobody can see when it runs."""
    for number in range(count):  # noqa: UP028
        yield number


def endless() -> Iterator[int]:
    """Fibonacci's numbers."""
    first, second = 0, 1
    while True:
        yield first
        first, second = second, first + second


def looking() -> Iterator[int]:
    """Reads what others change."""
    while True:
        yield STATE["count"]


def logging(count: int) -> Iterator[int]:
    """Notes each step, and its end."""
    try:
        for number in range(count):
            LOG.append(number)
            yield number
    finally:
        LOG.append("closed")


def printing(count: int) -> Iterator[int]:
    """Prints before each item."""
    for number in range(count):
        print("before", number)
        yield number


def over(items: Iterable[Any]) -> Iterator[Any]:
    """Through something of the caller's, or of this side."""
    for item in items:  # noqa: UP028
        yield item


def failing(count: int) -> Iterator[float]:
    """Ends with an exception."""
    for number in range(count, -1, -1):
        yield 1 / number


def returning(count: int) -> Iterator[int]:
    """Gives something with its end."""
    for number in range(count):  # noqa: UP028
        yield number
    return count  # type: ignore[return-value]


def answering() -> Iterator[Any]:
    """Uses what it is sent, and takes what is thrown."""
    got: Any = None
    while True:
        try:
            got = yield ("got", got)
        except KeyError as error:
            got = str(error)


def delegating(count: int) -> Iterator[int]:
    """Goes through another."""
    yield from range(count)
    yield from range(count)


def doubling() -> Iterator[str]:
    """Each item twice as long as the one before."""
    text = "x"
    while True:
        yield text
        text += text


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Fresh dicts, noted when they are made."""
    for number in range(count):
        LOG.append(number)
        yield {"number": number, "square": [number * number]}


class Countdown:
    """An iterator of a class of its own."""

    def __init__(self, start: int) -> None:
        self.left = start

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left


MAKERS: dict[str, Callable[[int], Iterator[Any]]] = {
    "range": lambda count: iter(range(count)),
    "list": lambda count: iter(list(range(count))),
    "tuple": lambda count: iter(tuple(range(count))),
    "text": lambda count: iter("abcdefghij" * count),
    "dict": lambda count: iter(dict.fromkeys(range(count), 1).items()),
    "set": lambda count: iter(set(range(count))),
    "backwards": lambda count: reversed(list(range(count))),
    "enumerate": lambda count: enumerate(iter("ab" * count)),
    "zip": lambda count: zip(range(count), "ab" * count, strict=False),
    "map": lambda count: map(str, range(count)),
    "islice": lambda count: itertools.islice(itertools.count(), count),
    "permutations": lambda count: itertools.permutations(range(4)),
    "expression": lambda count: (number * 2 for number in range(count)),
    "ints": ints,
    "delegating": delegating,
    "returning": returning,
    "failing": failing,
    "logging": logging,
    "lists": lambda count: iter([[number] for number in range(count)]),
    "countdown": Countdown,
}


def make(name: str, count: int) -> Iterator[Any]:
    """One of `MAKERS`."""
    return MAKERS[name](count)


def take(iterator: Iterator[Any], count: int) -> list[Any]:
    """The next items, read on this side."""
    return list(itertools.islice(iterator, count))


def keep(iterator: Any) -> None:
    """Hold it on this side."""
    KEPT.append(iterator)


def kept() -> Any:
    """What was kept last."""
    return KEPT.pop()


def next_kept() -> Any:
    """One item of what was kept last, taken on this side."""
    return next(KEPT[-1])


def same(value: Any) -> Any:
    """What it is given."""
    return value


def call_between(iterator: Iterator[Any], function: Callable[[], Any], count: int) -> list[Any]:
    """Items of an iterator, with a call before each."""
    return [(function(), next(iterator, None)) for _ in range(count)]
