"""One thread that does what must not be interrupted, and something every second.

Served code can be interrupted between any two bytecodes, and a registry that was half changed
would be silently wrong. What changes one is done here; who waits for it may be interrupted
at will.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

__all__ = ["Keeper"]

logger = logging.getLogger("wsremote.nameserver")

T = TypeVar("T")

_TICK: Final = 1.0
"""Seconds between two ticks."""


class _Job(Generic[T]):
    """Something to do, and where its caller waits."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()

    def run(self) -> None:
        try:
            self._done.put((self._work(), None))
        except BaseException as error:
            self._done.put((None, error))

    def wait(self) -> T:
        result, error = self._done.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


class Keeper:
    """The thread.

    Args:
        tick: Called every second.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        # Held to put a job, so that none is put behind the end.
        self._putting = threading.Lock()
        self._thread: threading.Thread | None = None
        # What the last tick has failed with.
        self._failure = ""

    def start(self) -> None:
        """Begin."""
        with self._putting:
            self._thread = threading.Thread(target=self._run, name="wsremote-keeper", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Do what is still to be done, and end; may be called twice."""
        with self._putting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join()

    def healthy(self) -> str | None:
        """None, or in one line what is wrong."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return "the name server's store is not running"
        return self._failure or None

    def do(self, work: Callable[[], T]) -> T:
        """Have something done on the thread, and wait for it.

        Raises:
            ConnectionError: It does not run.
        """
        job = _Job(work)
        with self._putting:
            if self._thread is None:
                raise ConnectionError("the name server's store is not running")
            self._jobs.put(job)
        return job.wait()

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                pass
            else:
                if job is None:
                    return
                job.run()
            if time.monotonic() >= due:
                self._do_tick()
                due = time.monotonic() + _TICK

    def _do_tick(self) -> None:
        try:
            self._tick()
            self._failure = ""
        except Exception as error:
            # The next may do better, and leases must end.
            logger.exception("! what the name server does every second has failed")
            self._failure = f"{type(error).__name__}: {error}"
