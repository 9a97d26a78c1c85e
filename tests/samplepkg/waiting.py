"""Async functions, generators, contexts; what is bound to an event loop; callbacks awaited."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

log: list[str] = []
variable: ContextVar[str] = ContextVar("variable", default="nothing")


class Broken(Exception):
    """Raised by served coroutines."""


async def add(a: int, b: int = 1) -> int:
    """Add two numbers, after a moment."""
    await asyncio.sleep(0)
    return a + b


async def fail(text: str) -> None:
    """Raise."""
    await asyncio.sleep(0)
    raise Broken(text)


async def numbers(stop: int) -> AsyncIterator[int]:
    """An asynchronous generator, that says when it is closed."""
    try:
        for number in range(stop):
            await asyncio.sleep(0)
            yield number
    finally:
        log.append("closed")


async def echo() -> AsyncIterator[Any]:
    """Gives what it is sent."""
    received: Any = "ready"
    while True:
        try:
            received = yield received
        except KeyError as error:
            received = repr(error)


class Room:
    """An asynchronous context manager."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __aenter__(self) -> Room:
        await asyncio.sleep(0)
        self.events.append("in")
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool:
        await asyncio.sleep(0)
        self.events.append("out" if error is None else f"out: {error}")
        return kind is KeyError

    async def double(self, number: int) -> int:
        """A method."""
        return 2 * number

    @classmethod
    async def of(cls, event: str) -> Room:
        """A class method."""
        made = cls()
        made.events.append(event)
        return made

    @staticmethod
    async def name() -> str:
        """A static method."""
        return "room"

    async def __call__(self, number: int) -> int:
        return 3 * number


@contextlib.asynccontextmanager
async def borrowed(name: str) -> AsyncIterator[str]:
    """A context of a generator."""
    log.append(f"borrow {name}")
    try:
        yield name
    finally:
        log.append(f"return {name}")


class Countdown:
    """An asynchronous iterator."""

    def __init__(self, start: int) -> None:
        self.number = start

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> int:
        if self.number == 0:
            raise StopAsyncIteration
        self.number -= 1
        return self.number


class Ticket:
    """Can be awaited, more than once."""

    def __await__(self) -> Any:
        return add(40, 2).__await__()


async def slow(door: str) -> str:
    """Sleep until cancelled, and say so."""
    try:
        log.append(f"{door} waits")
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        log.append(f"{door} cancelled")
        raise
    return door


async def stubborn() -> str:
    """Does not let itself be cancelled."""
    try:
        log.append("stubborn waits")
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "not cancelled"


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that hides that a function is async."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


hidden = wrapped(add)


def queue() -> asyncio.Queue[Any]:
    """A queue."""
    return asyncio.Queue(1)


def event() -> asyncio.Event:
    """An event."""
    return asyncio.Event()


def lock() -> asyncio.Lock:
    """A lock."""
    return asyncio.Lock()


async def spawn(number: int) -> asyncio.Task[int]:
    """A task that somebody may await."""
    return asyncio.get_running_loop().create_task(add(number))


def spawn_now(number: int) -> asyncio.Task[int]:
    """The same in a plain function, which needs the running loop."""
    return asyncio.get_running_loop().create_task(add(number))


async def future() -> asyncio.Future[Any]:
    """A future that nobody has set."""
    return asyncio.get_running_loop().create_future()


async def thread() -> int:
    """The thread that runs coroutines."""
    return threading.get_ident()


def plain_thread() -> int:
    """The thread that runs plain calls."""
    return threading.get_ident()


async def meet(barrier: asyncio.Barrier, name: str) -> str:
    """Print, meet the others, print again."""
    print(f"{name} comes")
    await barrier.wait()
    print(f"{name} goes")
    return name


def barrier(parties: int) -> asyncio.Barrier:
    """Where tasks meet."""
    return asyncio.Barrier(parties)


async def warn(text: str) -> None:
    """Warn."""
    await asyncio.sleep(0)
    warnings.warn(text, stacklevel=1)


async def set_variable(value: str) -> None:
    """Set the context variable."""
    variable.set(value)


async def get_variable() -> str:
    """Read it."""
    return variable.get()


async def set_and_meet(value: str, barrier: asyncio.Barrier) -> str:
    """Set it while others do."""
    variable.set(value)
    await barrier.wait()
    return variable.get()


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a plain function."""
    await asyncio.sleep(0)
    return function(*args)


async def await_call(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await an async function."""
    await asyncio.sleep(0)
    return await function(*args)


async def gather(function: Callable[..., Coroutine[Any, Any, Any]], count: int) -> list[Any]:
    """Await it several times at once, as tasks."""
    return await asyncio.gather(*(asyncio.create_task(function(n)) for n in range(count)))


async def give_up(function: Callable[..., Awaitable[Any]]) -> str:
    """Cancel it."""
    try:
        await asyncio.wait_for(function(), 0.05)
    except TimeoutError:
        return "timed out"
    return "in time"


async def drain(source: Any) -> list[Any]:
    """Iterate asynchronously."""
    return [item async for item in source]


async def enter(context: Any, error: BaseException | None = None) -> Any:
    """Enter an asynchronous context, and leave it, perhaps with an error."""
    async with context as value:
        if error is not None:
            raise error
    return value


async def leave_behind(function: Callable[..., Any]) -> None:
    """A task of the background, which calls when this call has ended."""

    async def later() -> None:
        for _ in range(10):
            await asyncio.sleep(0.005)
        await function("later")

    log_task(asyncio.create_task(later()))


def log_task(task: asyncio.Task[Any]) -> None:
    """Keep a task alive."""
    _tasks.append(task)


_tasks: list[asyncio.Task[Any]] = []


async def logged(text: str) -> None:
    """Wait until something was logged."""
    while text not in log:  # noqa: ASYNC110  # what logs knows of no event
        await asyncio.sleep(0.005)


def take_log() -> list[str]:
    """What was logged."""
    taken, log[:] = log[:], []
    return taken


def run_loop() -> str:
    """Runs an event loop of its own, as plain functions do at home."""
    return asyncio.run(asyncio.sleep(0, "ran"))
