"""A lane: the thread on which the calls of one client thread run, in order.

While a lane is busy with short calls it reads the connection itself: receives a call,
executes it and writes the answer with no other thread involved. When nothing
comes for a moment it leaves the connection to the poller and sleeps until the poller
has something for it.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from .output import current_sink
from .small_calls import serve_small_calls
from .strands import LINGER, Strand, here

if TYPE_CHECKING:
    from ..protocol.messages import Exec
    from .session import Session

__all__ = ["Lane"]

logger = logging.getLogger("wsremote.server")

IDLE: Final = 30.0
"""Seconds without a call after which the thread ends if nothing can be bound to it."""


class Lane(Strand):
    """The calls of one client thread, on a thread of their own.

    Args:
        session: The session it belongs to.
        number: The client's number of the lane.
    """

    def __init__(self, session: Session, number: int) -> None:
        super().__init__(session, number)
        # Calls for this lane; None ends it.
        self.inbox: SimpleQueue[Exec | None] = SimpleQueue()
        # Taken from there already, and not looked at.
        self._taken: deque[Exec | None] = deque()
        # The lane's own context: a ContextVar set by one call is there for the next.
        self._context = contextvars.Context()
        # What was in it, and in the thread's own data, before the first call.
        self._state_before = (0, 0)
        self._thread = threading.Thread(
            target=self._context.run,
            args=[self._run],
            name=f"wsremote-lane-{session.id[:8]}-{number}",
            daemon=True,
        )

    def start(self) -> None:
        """Start the thread; the first call is in the inbox."""
        self._thread.start()

    @property
    def has_state(self) -> bool:
        """Whether calls have left something on this thread, the calling one, for later ones."""
        return self._state() != self._state_before

    def _state(self) -> tuple[int, int]:
        """How many context variables and `threading.local`s have a value here."""
        data = ctypes.pythonapi.PyThreadState_GetDict
        data.restype = ctypes.c_void_p
        return len(self._context), len(ctypes.cast(data(), ctypes.py_object).value)

    # ---- the thread ------------------------------------------------------------------

    def _run(self) -> None:
        self.thread = threading.get_ident()
        here.lane = self
        current_sink.set(self.output)
        self._state_before = self._state()
        while True:
            try:
                serve_small_calls(self.session, self, LINGER)
                message = self._next()
                if message is None:
                    break
                self._execute(message)
            except Exception:
                # A lane that ended would leave its calls without an answer.
                logger.exception("! lane %d of session %s", self.number, self.session.id)
                self.session.end_session("a thread of its calls failed; the log says why", 1011)
                break
            except BaseException:
                # Served code can send SystemExit to any thread of this process.
                here.calls.clear()
                logger.exception("! lane %d of session %s", self.number, self.session.id)
        self.output.close()
        self.session.lane_ended()

    def _next(self) -> Exec | None:
        """The next call of this lane; None when the session is over or the lane is."""
        if self._taken:
            return self._taken.popleft()
        message = self._read_until(self.inbox, self)
        return self._sleep() if message is None else message

    def _sleep(self) -> Exec | None:
        """Wait for the inbox, while the poller or another lane reads."""
        while True:
            try:
                # One C call: what served code raises in this thread meanwhile loses no message.
                self._taken.extend(map(self.inbox.get, (True,), (IDLE,)))
                return self._taken.popleft()
            except Empty:
                if self.session.retire(self):
                    return None
