"""What calls functions of its caller: at once, later, from threads of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

mailbox: queue.Queue[Any] = queue.Queue()
kept: dict[str, Callable[..., Any]] = {}
doors: dict[str, threading.Event] = {}


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls it."""
    return function(*args)


def thread() -> int:
    """The thread it runs on."""
    return threading.get_ident()


def thread_names() -> list[str]:
    """Of all threads of the process."""
    return [thread.name for thread in threading.enumerate()]


def thread_and_call(function: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    """The thread it runs on, and what a function gives."""
    return threading.get_ident(), function(*args)


def keep(name: str, function: Callable[..., Any]) -> None:
    """For `call_kept`."""
    kept[name] = function


def forget(name: str) -> None:
    """No longer for `call_kept`."""
    del kept[name]


def call_kept(name: str, *args: Any) -> Any:
    """Calls what an earlier call, perhaps of another session, has left here."""
    return kept[name](*args)


def door(name: str) -> threading.Event:
    """Shared by all calls."""
    return doors.setdefault(name, threading.Event())


def open_door(name: str) -> None:
    """Lets `wait_at` through."""
    door(name).set()


def wait_at(name: str) -> str:
    """Waits, as Python code that can be interrupted."""
    while not door(name).wait(0.005):
        pass
    return name


def in_pool(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> list[Any]:
    """`[function(item) for item in items]` in a pool of threads."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def in_thread(function: Callable[..., Any], *args: Any) -> threading.Thread:
    """Starts a thread that calls it and puts what comes of it into the mailbox."""

    def run() -> None:
        try:
            mailbox.put(function(*args))
        except BaseException as error:
            mailbox.put(error)

    started = threading.Thread(target=run, daemon=True)
    started.start()
    return started


def in_thread_behind(name: str, function: Callable[..., Any], *args: Any) -> None:
    """As `in_thread`, when a door is open: after this call has returned, that is."""
    in_thread(lambda: (wait_at(name), function(*args))[1])


def receive() -> Any:
    """The next of the mailbox, as soon as there is one."""
    return mailbox.get()


def receive_loudly() -> Any:
    """As `receive`, and says that it waits."""
    print("waiting")
    return mailbox.get()


def send(value: Any) -> None:
    """Into the mailbox."""
    mailbox.put(value)


def clean_up(begun: Callable[[], Any], ended: Callable[[str], Any]) -> None:
    """Runs until it is interrupted, and says so."""
    try:
        begun()
        while not door("never").wait(0.005):
            pass
    finally:
        ended("cleaned up")


def swallow(function: Callable[[], Any]) -> str:
    """Calls it, and survives what it raises."""
    try:
        function()
    except BaseException as error:
        mailbox.put(type(error).__name__)
    mailbox.put("went on")
    return "swallowed"


async def from_coroutine(function: Callable[..., Any], *args: Any) -> Any:
    """Called inside of an event loop."""
    return function(*args)


class Worker:
    """A thread that does what it is given, in order."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function gives, called in the thread."""
        future: Future[Any] = Future()

        def task() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

        self._tasks.put(task)
        return future.result()

    def thread(self) -> int:
        """The thread."""
        assert self._thread.ident is not None
        return self._thread.ident

    def stop(self) -> None:
        """Ends the thread, and waits for that."""
        self._tasks.put(None)
        self._thread.join()


class Finalized:
    """Calls a function when it dies."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        weakref.finalize(self, function, *args)


class Bound:
    """Works only in the thread that made it, as a SQLite connection does."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def use(self) -> str:
        """Works there."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("used in another thread")
        return "used"


@contextlib.contextmanager
def around(enter: Callable[[], Any], leave: Callable[[], Any]) -> Any:
    """Calls one function before a block, one behind it."""
    enter()
    try:
        yield
    finally:
        leave()
