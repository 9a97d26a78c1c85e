"""Threads for what no waiting thread of the user can run."""

from __future__ import annotations

import logging
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionLost, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background", "CallbackThreads"]

logger = logging.getLogger("wsremote.client")

_MOST_THREADS: Final = 4096
"""Threads of the server that may call objects of the client on their own."""


class Background:
    """Runs tasks in order, in one daemon thread that the first of them starts.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._starting = threading.Lock()
        self._started = False

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task()` after those submitted before it."""
        with self._starting:
            if not self._started:
                # Perhaps it has started, and an interrupt has ended start() after that.
                if not self._thread.is_alive():
                    self._thread.start()
                self._started = True
        self._tasks.put(task)

    def stop(self) -> None:
        """End the thread when it has done what was submitted."""
        self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except ConnectionLost as error:
                logger.debug("! the session ended during a callback: %s", error)
            except KeyboardInterrupt:
                logger.debug("! a callback raised KeyboardInterrupt, which the server was told")
            except Exception:
                logger.exception("! in the callback thread")
            # While it waits for the next, this thread keeps nothing alive.
            del task


class _CallbackThread(Background):
    """Stands for one thread of the server."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # The last callback that was run: a receiver may submit one twice.
        self._last = 0

    def submit_once(self, call: int, task: Callable[[], None]) -> None:
        """Run a callback that was not submitted before."""
        self.submit(partial(self._run_once, call, task))

    def _run_once(self, call: int, task: Callable[[], None]) -> None:
        if call > self._last:
            self._last = call
            task()


class CallbackThreads:
    """For each thread of the server that calls on its own, a thread that runs what it calls.

    So callbacks wait for each other here as they would in the server's threads, and what
    they keep in `threading.local` is there for the next one of the same thread.

    Args:
        name: Of the threads; a number is added.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads: dict[int, _CallbackThread] = {}

    def submit(self, lane: int, call: int, task: Callable[[], None]) -> None:
        """Run `task()`, which is a callback, after those of the same thread of the server.

        Args:
            lane: The server's number of that thread.
            call: The server's number of the callback.
            task: What to run, once.

        Raises:
            LimitExceeded: There are too many such threads, or the system has no more.
        """
        thread = self._threads.get(lane)
        if thread is None:
            if len(self._threads) >= _MOST_THREADS:
                raise LimitExceeded(
                    f"{_MOST_THREADS} threads of the server call functions of this client, as many"
                    " as may: let a pool of threads call them"
                )
            thread = _CallbackThread(f"{self._name}-{abs(lane)}")
        try:
            thread.submit_once(call, task)
        except RuntimeError as error:
            raise LimitExceeded(f"no thread for a callback: {error}") from error
        self._threads[lane] = thread

    def end(self, lane: int) -> None:
        """A thread of the server has ended: so does ours, when it has done what was submitted."""
        thread = self._threads.pop(lane, None)
        if thread is not None:
            thread.stop()

    def stop(self) -> None:
        """End all of them."""
        for lane in list(self._threads):
            self.end(lane)
