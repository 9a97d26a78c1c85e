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
from .small_calls import serve_small_calls

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
        # Whose output it is. Changed, where there may be some, and taken under the lock; which
        # is re-entrant, for a finalizer that prints.
        self._printing: int | None = None
        self._flushing = threading.RLock()
        # Calls begun, and how many there were at the session's last tick.
        self.activity = 0
        self.seen_activity = 0
        self._session = session
        # Calls that came while a callback was awaited and do not belong to it.
        self._later: deque[Exec | Result | Fault | Cancel | None] = deque()
        # The client's calls being executed here, the innermost last.
        self._running: list[int] = []
        # Those of them that wait for an answer of the client, the innermost last.
        self._waiting: list[int] = []
        # Those of them that have been interrupted: once is enough.
        self._interrupted: set[int] = set()
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
        while True:
            try:
                serve_small_calls(self._session, self, LINGER)
                message = self._next(None)
                if message is None:
                    break
                if isinstance(message, Exec):
                    self._execute(message)
                else:
                    self._session.drop_released()
            except Exception:
                # A lane that ended would leave its calls without an answer.
                logger.exception("! lane %d of session %s", self.number, self._session.id)
                self._session.end_session("a thread of its calls failed; the log says why", 1011)
                break
            except BaseException:
                # Served code can send SystemExit to any thread of this process.
                logger.exception("! lane %d of session %s", self.number, self._session.id)
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
            if self._session.released:
                self._session.drop_released()
            if message is not None:
                return message
            if lost or (connection.activity == before and self.inbox.empty()):
                poller.rest(connection)
                return self._sleep(answer_to)

    def _sleep(self, answer_to: int | None) -> Exec | Result | Fault | Cancel | None:
        """Wait for the inbox, while the poller or another lane reads."""
        while True:
            try:
                if answer_to is not None:
                    return self.inbox.get(timeout=IDLE)
                # One C call: what served code raises in this thread meanwhile loses no message.
                self._later.extend(map(self.inbox.get, (True,), (IDLE,)))
                return self._later.popleft()
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
            self._printing = call
            if session.begin(call, self):
                reply = session.perform(message)
            else:
                reply = session.cancelled(message, executed=False)
        except KeyboardInterrupt:
            reply = session.cancelled(message, executed=True)
        except BaseException as error:
            # Sent to this thread by served code: its own exceptions are answered already.
            reply = session.failed(message, error)
        while True:
            try:
                self._finish(call)
                break
            except KeyboardInterrupt:
                reply = session.cancelled(message, executed=True)
        try:
            self.finish_output()
            session.reply(reply)
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        if self._interrupted:
            self._interrupted.discard(call)
        session.end(call)

    def _finish(self, call: int) -> None:
        """No interrupt is sent for `call` after this, and none is under way."""
        with self._interrupting:
            if self._running and self._running[-1] == call:
                self._running.pop()
        _checkpoint()

    # ---- from other threads ----------------------------------------------------------

    def interrupt(self, call: int) -> None:
        """Raise KeyboardInterrupt in a call that is running here, once.

        A call inside C code sees it when that returns. One that waits for the client
        sees it at once, or when the call nested in it has ended.
        """
        with self._interrupting:
            if call in self._interrupted:
                return
            if call in self._waiting:
                self._interrupted.add(call)
                self.wake()
            elif self._running and self._running[-1] == call:
                self._interrupted.add(call)
                assert self._thread.ident is not None
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
                )
                self._session.wake_loop(self._thread.ident)

    def wake(self) -> None:
        """Have the thread look around, if it sleeps."""
        self.inbox.put(Cancel(0, 0, 0))

    def flush_output(self) -> None:
        """Send what the running call has printed so far; any thread."""
        # What a finalizer prints, which Python may run in the middle of a sending, waits.
        if self.output and not self._session.is_sending:
            # With no lock held: the poller, which makes the room, comes here as well.
            self._session.connection.wait_for_room()
            with self._flushing:
                self._send_output()

    def finish_output(self) -> None:
        """Send the rest of what a call has printed; what comes now is of the call around it.

        Under the lock, also if there is nothing: who else holds it has output of this call
        in hand, which must leave before the answer, and under this call's number.
        """
        if self.output:
            self._session.connection.wait_for_room()
        with self._flushing:
            self._send_output()
            self._printing = self.current_call

    def _send_output(self) -> None:
        """Send what waits as output of the call that prints. Requires `_flushing`."""
        if self._printing is not None and self.output:
            try:
                self._session.send_output(self._printing, self.output.take())
            except ConnectionLost as error:
                # Not the printing code's business: the call goes on.
                logger.debug("! output of call %d is lost: %s", self._printing, error)

    # ---- callbacks -------------------------------------------------------------------

    def wait_for(self, callback: int) -> Result | Fault:
        """Wait on this thread for the answer to a callback; run what it calls meanwhile.

        Raises:
            KeyboardInterrupt: The call that called back is cancelled.
            ConnectionLost: The session is over.
        """
        call = self._running[-1]
        with self._interrupting:
            self._waiting.append(call)
        try:
            answer = self._wait_for(callback, call)
        finally:
            with self._interrupting:
                self._waiting.pop()
        if answer is None or call in self._interrupted:
            raise KeyboardInterrupt
        return answer

    def _wait_for(self, callback: int, call: int) -> Result | Fault | None:
        """The answer to a callback; None if the call that waits for it is interrupted."""
        while call not in self._interrupted:
            message = self._next(callback)
            if message is None:
                self.inbox.put(None)
                raise ConnectionLost(1006, "the session ended during a callback")
            if isinstance(message, Cancel):
                self._session.drop_released()
            elif not isinstance(message, Exec):
                if message.call == callback:
                    return message
            elif message.parent == callback:
                # A call that the client made inside the callback.
                self.flush_output()
                self._execute(message)
            else:
                self._later.append(message)
        return None


def _checkpoint() -> None:
    """Entering a Python function is where CPython raises an interrupt that is under way."""
