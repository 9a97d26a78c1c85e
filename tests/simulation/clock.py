"""Virtual time, in integer nanoseconds, and tasks that wait for it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["MS", "SECOND", "Clock", "Program", "Task", "Wait"]

MS = 1_000_000
SECOND = 1_000_000_000

Wait = Callable[[Callable[[Any], None]], None]
"""What a program yields: it is called with a function that has the program go on."""
Program = Generator[Wait, Any, Any]


class Clock:
    """Runs what is due, in the order of its time, and of its request where times are equal.

    Attributes:
        now: Nanoseconds. Floats would swap messages that leave at about the same time.
    """

    def __init__(self) -> None:
        self.now = 0
        self._requests = 0
        self._due: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []

    @property
    def seconds(self) -> float:
        """The same for the cores, which count in seconds."""
        return self.now / SECOND

    def at(self, when: int, action: Callable[..., object], *args: Any) -> None:
        """Have something done at a time; not in the past."""
        self._requests += 1
        heapq.heappush(self._due, (max(when, self.now), self._requests, action, args))

    def after(self, delay: int, action: Callable[..., object], *args: Any) -> None:
        """Have something done in a while."""
        self.at(self.now + delay, action, *args)

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass. False if it was `until` before everything was done."""
        while self._due and not done():
            if self._due[0][0] > until:
                return False
            self.now, _, action, args = heapq.heappop(self._due)
            action(*args)
        return True


class Task:
    """A thread of control: a generator that waits where it yields.

    Args:
        program: What it does.
        done: Is told what it returned, and the exception that ended it if one did.
        expected: Exceptions that may end it.
    """

    def __init__(
        self,
        program: Program,
        done: Callable[[Any, Exception | None], None],
        expected: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> None:
        self.over = False
        self._program = program
        self._done = done
        self._expected = expected
        # Counts the steps, so that what it does not wait for any more does not wake it.
        self._turn = 0

    def resume(self, value: Any = None) -> None:
        """Go on with what it has waited for."""
        self._step(self._program.send, value)

    def throw(self, error: Exception) -> None:
        """Have what it waits for raise."""
        self._step(self._program.throw, error)

    def kill(self) -> None:
        """It never goes on; its thread is gone with its process."""
        self.over = True

    def _step(self, advance: Callable[[Any], Wait], value: Any) -> None:
        if self.over:
            return
        self._turn += 1
        turn = self._turn
        try:
            wait = advance(value)
        except StopIteration as stop:
            self.over = True
            self._done(stop.value, None)
        except self._expected as error:
            self.over = True
            self._done(None, error)
        else:
            wait(lambda value=None: self.resume(value) if turn == self._turn else None)
