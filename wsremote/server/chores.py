"""What a session has to do that belongs to no call: finalizers of what the client has released.

They are user code, which may wait for anything, also for a call or for another finalizer. So
none of them runs in a thread that waits for something else, or that others wait for.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Chores"]

IDLE: Final = 1.0
"""Seconds after which a thread that has nothing to do ends."""


class Chores:
    """The chores of a session, and threads for them, which start and end as they are needed.

    Args:
        name: Of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[Callable[[], object]] = deque()
        # One item for each thread that is to look for chores; False ends one.
        self._wakeups: SimpleQueue[bool] = SimpleQueue()
        # Threads that wait for one and have not been given one.
        self._idle = 0
        self._counting = threading.Lock()

    def __bool__(self) -> bool:
        """Whether any waits to be done."""
        return bool(self._waiting)

    def add(self, chore: Callable[[], object]) -> None:
        """Add one, which is to raise nothing. Nobody does it yet."""
        self._waiting.append(chore)

    def do(self) -> None:
        """Do all that wait, in the calling thread, with no lock held."""
        while self._waiting:
            try:
                chore = self._waiting.popleft()
            except IndexError:
                return  # another thread has done the last one
            chore()

    def start(self) -> None:
        """Have them done in a thread: one that is idle, else a new one."""
        with self._counting:
            idle = self._idle > 0
            self._idle -= idle
        if not idle:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._wakeups.put(True)

    def _run(self) -> None:
        while True:
            try:
                more = self._wakeups.get(timeout=IDLE)
            except Empty:
                with self._counting:
                    if self._idle == 0:
                        continue  # somebody counts on this thread
                    self._idle -= 1
                return
            if not more:
                return
            self.do()
            with self._counting:
                self._idle += 1

    def stop(self) -> None:
        """End the threads that are idle, at once."""
        with self._counting:
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._wakeups.put(False)
