"""Functions that catch, keep, wrap and raise exceptions of both sides."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any


class Picky(ValueError):
    """Cannot be made of its `args`, says how it is pickled, computes a property."""

    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(code)
        self.where = where
        self.seen: list[str] = []

    def __str__(self) -> str:
        return f"{self.args[0]} at {self.where}"

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")

    @property
    def summary(self) -> str:
        """Computed on the server."""
        return f"summary of {self.where}"

    def note(self, text: str) -> int:
        """A method, which runs on the original."""
        self.seen.append(text)
        return len(self.seen)


class Slotted(KeyError):
    """Keeps what it has in slots."""

    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Several(ExceptionGroup[Exception]):
    """A group with a class of its own, which its parts keep."""

    def derive(self, excs: Any) -> Several:
        return Several(self.message, excs)


kept: list[BaseException] = []


def fail(where: str = "here") -> None:
    raise Picky(7, where=where)


def fail_slotted() -> None:
    raise Slotted("drawer")


def fail_several() -> None:
    raise Several("many", [ValueError(1), Picky(2, where="in it"), KeyError("k")])


def open_missing(path: str) -> None:
    os.stat(path)


def raise_from(text: str) -> None:
    """A chain of three."""
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise Picky(1, where="middle") from error
    except Picky:
        raise RuntimeError(text)  # noqa: B904 - the context is wanted


def made(text: str) -> ValueError:
    """An exception as a result: raised once, with notes and a cause."""
    try:
        raise ValueError(text) from KeyError("cause")
    except ValueError as error:
        error.add_note("made on the server")
        kept.append(error)
        return error


def the_kept() -> list[BaseException]:
    return kept


def is_kept(error: BaseException) -> bool:
    """Whether an exception is one that is kept here."""
    return any(each is error for each in kept)


def forget() -> None:
    kept.clear()


class Holder:
    """Holds an exception in an attribute."""

    def __init__(self) -> None:
        try:
            fail("holder")
        except Picky as error:
            error.add_note("held")
            self.error = error


def raise_it(error: BaseException) -> None:
    raise error


def through(function: Callable[[], Any]) -> Any:
    """Let what a function raises pass."""
    return function()


def caught(function: Callable[[], Any]) -> BaseException | None:
    """What a function raises, as a result."""
    try:
        function()
    except BaseException as error:
        return error
    return None


def noting(function: Callable[[], Any], text: str) -> Any:
    """Add a note to what a function raises."""
    try:
        return function()
    except BaseException as error:
        error.add_note(text)
        raise


def wrapping(function: Callable[[], Any]) -> Any:
    """Wrap what a function raises."""
    try:
        return function()
    except Exception as error:
        raise RuntimeError("wrapped") from error


def handled(function: Callable[[], Any], kind: type[BaseException]) -> str:
    """How an `except` here sees what a function raises."""
    try:
        function()
    except kind as error:
        return f"{type(error).__name__} {error.args}"
    return "nothing"


def split(function: Callable[[], Any]) -> tuple[int, int]:
    """How `except*` here takes apart what a function raises."""
    values, others = 0, 0
    try:
        function()
    except* ValueError as group:
        values = len(group.exceptions)
    except* Exception as group:
        others = len(group.exceptions)
    return values, others


def consume(items: Iterator[Any]) -> list[Any]:
    return list(items)


def step(items: Iterator[Any]) -> Any:
    return next(items)


def counting(end: int) -> Any:
    """A generator that returns, and that notes how it was ended."""
    ended = "returned"
    try:
        yield from range(end)
    except GeneratorExit:
        ended = "closed"
        raise
    except KeyError as error:
        ended = f"thrown {error.args}"
        yield ended
    finally:
        log.append(ended)
    return "the end"


log: list[str] = []


async def cancelled() -> None:
    raise asyncio.CancelledError("stop")
