"""A lane: the thread on which the calls of one client thread run, in order.

While a lane is busy with short calls it reads the connection itself: receives a call,
executes it and writes the answer with no other thread involved. When nothing
comes for a moment it leaves the connection to the poller and sleeps until the poller
has something for it.

A call that calls back into the client waits here too, and runs the calls that
the callback makes meanwhile: they belong to it.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionLost
from ..protocol.messages import Cancel, Exec, Fault, Result
from .output import OutputBuffer, current_sink

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Lane"]

logger = logging.getLogger("wsremote.server")

LINGER: Final = 0.05
"""Seconds a lane waits at the connection for the next call before it leaves it to the poller."""

IDLE: Final = 30.0
"""Seconds without a call after which the thread ends if the session holds no handles."""


class Lane:
    """The calls of one client thread, on a thread of their own.

    Args:
        session: The session it belongs to.
        number: The client's number of the lane.
    """

    def __init__(self, session: Session, number: int) -> None:
        self.number = number
        # Messages for this lane; None ends it.
        self.inbox: SimpleQueue[Exec | Result | Fault | Cancel | None] = SimpleQueue()
        # What the running call prints.
        self.output = OutputBuffer(self.flush_output)
        self._flushing = threading.RLock()
        # Calls begun, and how many there were at the session's last tick.
        self.activity = 0
        self.seen_activity = 0
        self._session = session
        # Calls that came while a callback was awaited and do not belong to it.
        self._later: deque[Exec] = deque()
        # The client's calls being executed here, the innermost last.
        self._running: list[int] = []
        # Whether the innermost of them waits for an answer of the client.
        self._waiting = False
        # Interrupts are sent under it, and only to a call that is running.
        self._interrupting = threading.Lock()
        self._ended = False
        # The lane's own context: a ContextVar set by one call is there for the next.
        self._thread = threading.Thread(
            target=contextvars.Context().run,
            args=[self._run],
            name=f"wsremote-lane-{session.id[:8]}-{number}",
            daemon=True,
        )

    def start(self) -> None:
        """Start the thread; the first call is in the inbox."""
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this lane's."""
        return threading.current_thread() is self._thread

    @property
    def is_recent(self) -> bool:
        """Whether a call has begun here since the session's last tick, or runs now."""
        return bool(self._running) or self.activity != self.seen_activity

    @property
    def is_executing(self) -> bool:
        """Whether a call is running here."""
        return bool(self._running)

    @property
    def current_call(self) -> int | None:
        """The client's call that runs here now, the innermost one."""
        return self._running[-1] if self._running else None

    # ---- the thread ------------------------------------------------------------------

    def _run(self) -> None:
        current_sink.set(self.output)
        while (message := self._next(None)) is not None:
            if isinstance(message, Exec):
                self._execute(message)
        self.output.close()
        self._session.lane_ended()

    def _next(self, answer_to: int | None) -> Exec | Result | Fault | Cancel | None:
        """The next message for this lane; None when the session is over or the lane idle.

        Args:
            answer_to: The callback being awaited, if one is: then calls that do not belong
                to it are put off.
        """
        connection, poller = self._session.connection, self._session.poller
        while True:
            if answer_to is None and self._later:
                return self._later.popleft()
            if not self.inbox.empty():
                return self.inbox.get()
            if not connection.reading.acquire(blocking=False):
                # Another thread reads, and puts what is for this lane into the inbox.
                return self._sleep(answer_to)
            before = connection.activity
            message = None
            lost = False
            try:
                message = self._session.read(self, LINGER)
            except ConnectionLost:
                lost = True
            finally:
                connection.reading.release()
            if message is not None:
                return message
            if lost or (connection.activity == before and self.inbox.empty()):
                poller.rest(connection)
                return self._sleep(answer_to)

    def _sleep(self, answer_to: int | None) -> Exec | Result | Fault | Cancel | None:
        """Wait for the inbox, while the poller or another lane reads."""
        while True:
            try:
                return self.inbox.get(timeout=IDLE)
            except Empty:
                if answer_to is None and self._session.retire(self):
                    return None

    def _execute(self, message: Exec) -> None:
        """Run one call and send what came of it.

        An interrupt for the call can be raised anywhere between `_running.append` and the
        end of `_finish`, and nowhere else.
        """
        session, call = self._session, message.call
        self.activity += 1
        try:
            self._running.append(call)
            if session.begin(call, self):
                reply = session.perform(message)
            else:
                reply = session.cancelled(message, executed=False)
        except KeyboardInterrupt:
            reply = session.cancelled(message, executed=True)
        while True:
            try:
                self._finish(call)
                break
            except KeyboardInterrupt:
                reply = session.cancelled(message, executed=True)
        try:
            self.flush_output(call)
            session.reply(reply)
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        session.end(call)

    def _finish(self, call: int) -> None:
        """No interrupt is sent for `call` after this, and none is under way."""
        with self._interrupting:
            if self._running and self._running[-1] == call:
                self._running.pop()
        _checkpoint()

    # ---- from other threads ----------------------------------------------------------

    def interrupt(self, call: int) -> None:
        """Raise KeyboardInterrupt in a call that is running here.

        A call inside C code sees it when that returns. One that waits for the client
        sees it at once.
        """
        with self._interrupting:
            if not self._running or self._running[-1] != call:
                return
            if self._waiting:
                self.inbox.put(Cancel(0, 0, call))
            else:
                assert self._thread.ident is not None
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
                )
                self._session.wake_loop(self._thread.ident)

    def flush_output(self, call: int | None = None) -> None:
        """Send what the running call has printed."""
        call = self.current_call if call is None else call
        if call is not None and self.output:
            # In the order taken; a finalizer that prints may come back here.
            with self._flushing:
                try:
                    self._session.send_output(call, self.output.take())
                except ConnectionLost as error:
                    # Not the printing code's business: the call goes on.
                    logger.debug("! output of call %d is lost: %s", call, error)

    # ---- callbacks -------------------------------------------------------------------

    def wait_for(self, callback: int) -> Result | Fault:
        """Wait on this thread for the answer to a callback; run what it calls meanwhile.

        Raises:
            KeyboardInterrupt: The call that called back is cancelled.
            ConnectionLost: The session is over.
        """
        with self._interrupting:
            self._waiting = True
        try:
            while True:
                message = self._next(callback)
                if message is None:
                    self.inbox.put(None)
                    raise ConnectionLost(1006, "the session ended during a callback")
                if isinstance(message, Cancel):
                    if message.call == self.current_call:
                        raise KeyboardInterrupt
                elif not isinstance(message, Exec):
                    if message.call == callback:
                        return message
                elif message.parent == callback:
                    self._execute_nested(message)
                else:
                    self._later.append(message)
        finally:
            with self._interrupting:
                self._waiting = False

    def _execute_nested(self, message: Exec) -> None:
        """A call that the client made inside the callback that this lane waits for."""
        with self._interrupting:
            self._waiting = False
        self.flush_output()
        self._execute(message)
        with self._interrupting:
            self._waiting = True


def _checkpoint() -> None:
    """Entering a Python function is where CPython raises an interrupt that is under way."""
