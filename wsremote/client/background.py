"""A thread for what no waiting thread of the user can run."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ..errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background"]

logger = logging.getLogger("wsremote.client")


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
        self._tasks.put(task)
        with self._starting:
            if not self._started:
                self._started = True
                self._thread.start()

    def stop(self) -> None:
        """End the thread when it has done what was submitted."""
        self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except ConnectionLost as error:
                logger.debug("! the session ended during a callback: %s", error)
            except Exception:
                logger.exception("! in the callback thread")
            # While it waits for the next, this thread keeps nothing alive.
            del task
