"""What waits for the answer to a call of an async session, and where such a call runs.

An `Answer` is to the task that awaits it what a future is. Unlike one it lets its task go on
within the callback that has received the answer: one turn of the loop less, with its system
call, 6 µs of a call of 60.
"""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

    from ..protocol.messages import Fault, Result, Target, Warned
    from .async_driver import AsyncDriver

    What = tuple[Target, str | None]

__all__ = ["NOTHING", "Answer", "Place", "placed"]

NOTHING: Final = object()
"""The value of a call that has none yet."""

_ALWAYS: Final = threading.Lock()
"""Whoever has something for an answer is to say so."""


class Place(NamedTuple):
    """Where the calls of a task run on the server, if not in its session's lane.

    Attributes:
        session: Whose calls.
        parent: The callback of the server that they are nested in; None for none.
        is_pooled: Whether any thread of the session may run them.
    """

    session: object
    parent: int | None
    is_pooled: bool


placed: Final[ContextVar[Place | None]] = ContextVar("wsremote.placed", default=None)
"""The place of the calls that are made here."""


class Answer(Waiting):
    """One call that a task awaits: for the task, a future.

    Args:
        driver: Of its session.
        call: Its number.
        what: What is called, for who is told that it is lost.

    Attributes:
        call: Its number.
        target: What is called.
        name: The name of what is called, of an attribute or a method.
        value: What it gave, if it came in the short form; else `NOTHING`.
        message: The answer, if there was more to it.
        is_over: Whether none will come any more.
        warned: The warnings of the call, which its task raises.
        lane: The lane that it runs in, as `Exec` has it.
        is_late: Whether its time was up before the answer came.
        context: Of the task that awaits it.
        told: How often what runs there has been told that it is cancelled.
        is_cancelled: Whether its task is to be told that it is cancelled.
        is_plain: Whether nothing has come for it but that: nobody else has it then.
    """

    # Here, and not set for each: a call costs as much as what is done for it.
    value: Any = NOTHING
    message: Result | Fault | None = None
    is_over = False
    is_late = False
    lane = 0
    told = 0
    warned: tuple[Warned, ...] = ()
    context: Context | None = None
    asleep = _ALWAYS
    sent = False
    _wake_up: Callable[[Any], None] | None = None
    is_cancelled = False
    is_plain = True
    _inbox: deque[Any] | None = None
    _asyncio_future_blocking = False

    def __init__(self, driver: AsyncDriver, call: int = 0, what: What = ("", None)) -> None:
        self.target, self.name = what
        self.call = call
        self._driver = driver
        self._loop = driver.loop

    @property
    def what(self) -> What:  # type: ignore[override]
        """What is called, for who is told that it is lost."""
        return self.target, self.name

    @property
    def inbox(self) -> deque[Any]:
        """What has come for it, in order, in longer forms. Few calls need one."""
        found: deque[Any] | None = self._inbox
        if found is None:
            # One step: another thread may want it as well.
            found = self.__dict__.setdefault("_inbox", deque())
        return found

    @inbox.setter
    def inbox(self, inbox: deque[Any]) -> None:
        """The same, after `+=`."""

    @property
    def has_come(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.value is not NOTHING or self.message is not None or self.is_over

    def cancelling(self, times: int) -> None:
        """What runs there has been told that it is cancelled."""
        self.told = times

    def wake(self) -> bool:
        """Something has come; from any thread."""
        self._driver.woken(self)
        return True

    def go_on(self) -> None:
        """Let the task go on; in the loop's thread, in no task's step."""
        wake_up, self._wake_up = self._wake_up, None
        if wake_up is not None:
            assert self.context is not None
            self.context.run(wake_up, self)

    # ---- of a future, for the task ---------------------------------------------------

    def __await__(self) -> Generator[Any, Any, None]:
        if not self.has_come and not self.is_late:
            self._asyncio_future_blocking = True
            yield self

    # Asked by the task as it goes on, which makes nothing of what it gives. No Python function:
    # with `_loop` in place of `get_loop()` that is 0.5 µs of a call.
    result: Callable[[], object] = int

    def add_done_callback(
        self, wake_up: Callable[[Any], None], *, context: Context | None = None
    ) -> None:
        """What has the task go on."""
        self._wake_up, self.context = wake_up, context

    def remove_done_callback(self, wake_up: Callable[[Any], None]) -> int:
        """Nobody waits any more."""
        removed = 0 if self._wake_up is None else 1
        self._wake_up = None
        return removed

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled: it is told in a step of its own, soon."""
        if self._wake_up is None or self.is_cancelled:
            return False
        self.is_cancelled = True
        if not self.sent:
            # It does not leave any more.
            self._driver._calls.pop(self.call, None)
        args = () if msg is None else (msg,)
        # In place of what gives nothing.
        self.result = lambda: self._tell(args)
        self._loop.call_soon(self.go_on)
        return True

    def _tell(self, args: tuple[Any, ...]) -> None:
        """Tell the task that it is cancelled, once.

        Raises:
            CancelledError: Always.
        """
        self.is_cancelled = False
        del self.result
        raise CancelledError(*args)
