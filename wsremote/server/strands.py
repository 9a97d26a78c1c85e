"""A strand: calls of one session that run on one thread of the server, one inside the other.

A lane is a strand with a queue of calls and a thread for them. Any other thread of the
server that calls an object of the client has a strand too: what the client calls before
it answers belongs to that, and runs here, in the thread that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
from collections import deque
from contextvars import ContextVar
from queue import SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..codec.warned import encode_warning
from ..errors import ConnectionLost, SessionClosed
from ..protocol.messages import Batch, Cancel, Exec, Fault, Result
from .output import OutputBuffer, current_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lanes import Lane
    from .session import Session

__all__ = ["LINGER", "Inbox", "OwnStrand", "Strand", "TaskInbox", "Wait", "here", "task_strand"]

logger = logging.getLogger("wsremote.server")

LINGER: Final = 0.05
"""Seconds a thread waits at the connection for its next message before it leaves that to the
poller."""


class Inbox(Protocol):
    """What comes for one who waits for the client: a `SimpleQueue`, or one of a task."""

    def put(self, message: Exec | Result | Fault | Cancel | None, /) -> None:
        """Add a message. None: the session is over. Cancel: look around."""

    def get(self) -> Exec | Result | Fault | Cancel | None:
        """Take the next."""

    def empty(self) -> bool:
        """Whether there is none."""


class TaskInbox:
    """An `Inbox` for a task, which does not block its loop.

    Args:
        loop: The task's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[Exec | Result | Fault | Cancel | None] = deque()
        self._arrived = asyncio.Event()

    def put(self, message: Exec | Result | Fault | Cancel | None, /) -> None:
        """Add a message, from any thread."""
        self._messages.append(message)
        with contextlib.suppress(RuntimeError):  # the loop was closed, and the task with it
            self._loop.call_soon_threadsafe(self._arrived.set)

    def get(self) -> Exec | Result | Fault | Cancel | None:
        """Take the next, which is there."""
        return self._messages.popleft()

    def empty(self) -> bool:
        """Whether there is none."""
        return not self._messages

    async def next(self) -> Exec | Result | Fault | Cancel | None:
        """Wait for the next, and take it."""
        while not self._messages:
            self._arrived.clear()
            if not self._messages:
                await self._arrived.wait()
        return self._messages.popleft()


class Wait:
    """A callback that has no answer yet.

    Args:
        inbox: Where what comes for it is put.

    Attributes:
        inbox: What has come for it: calls that are nested in it, at last the answer.
        answer: The answer, as soon as it is taken from there.
        told: How often what runs there has been told that it is cancelled.
    """

    __slots__ = ("answer", "inbox", "told")

    def __init__(self, inbox: Inbox | None = None) -> None:
        self.inbox: Inbox = SimpleQueue() if inbox is None else inbox
        self.answer: Result | Fault | None = None
        self.told = 0


class _Here(threading.local):
    """What the calling thread is in the middle of, for all sessions of this process.

    Attributes:
        lane: Whose thread it is, if it is a lane's.
        calls: The calls that run here, each with its strand, the innermost last. The outermost
            call of a lane is missing where that has executed it by itself.
    """

    def __init__(self) -> None:
        self.lane: Strand | None = None
        self.calls: list[tuple[Strand, int]] = []

    def innermost(self) -> tuple[Strand, int] | None:
        """The innermost call that runs here, of any session."""
        if self.calls:
            return self.calls[-1]
        lane = self.lane
        task = task_strand.get()
        if task is not None and task.thread == get_ident():
            lane = task
        return None if lane is None or lane.current_call is None else (lane, lane.current_call)

    def strand_of(self, session: object) -> Strand | None:
        """The strand on which a call of this session runs here."""
        for strand, _ in reversed(self.calls):
            if strand.session is session:
                return strand
        task = task_strand.get()
        if task is not None and task.session is session and task.thread == get_ident():
            return task
        lane = self.lane
        if lane is not None and lane.session is session and lane.is_executing:
            return lane
        return None


here: Final = _Here()

task_strand: Final[ContextVar[Strand | None]] = ContextVar("wsremote.task_strand", default=None)
"""The strand of the call whose task runs here, or that has started the task that does."""


class Strand:
    """The calls of a session that run on one thread.

    Args:
        session: The session.
        number: What the client knows the thread by: the lane's number, or a negative one.
    """

    rests = False
    """Whether its call sleeps until it is woken (`clients.Bell`), and so has nothing for a tick."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number
        # `Thread.ident` of the thread, as soon as it runs.
        self.thread: int | None = None
        # What the running call prints.
        self.output = OutputBuffer(self.flush_output, encode=self._encode_warning)
        # Whose output it is. Changed, where there may be some, and taken under the lock; which
        # is re-entrant, for a finalizer that prints.
        self._printing: int | None = None
        self._flushing = threading.RLock()
        self._is_flushing = False
        # Calls begun, and how many there were at the session's last tick.
        self.activity = 0
        self.seen_activity = 0
        # The client's calls being executed here, the innermost last.
        self._running: list[int] = []
        # Those of them that wait for an answer of a client, and where; the innermost last.
        self._waiting: list[tuple[int, Inbox]] = []
        # Those of them that have been interrupted, which once is enough for; and whether they
        # have still to be told so, because they waited.
        self._interrupted: dict[int, bool] = {}
        # Interrupts are sent under it, and only to a call that is running.
        self._interrupting = threading.Lock()
        self._is_interrupting = False

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

    # ---- on its thread ---------------------------------------------------------------

    def _read_until(
        self, inbox: Inbox | SimpleQueue[Any], reader: Lane | None
    ) -> Exec | Batch | None:
        """Read the connection until there is something in an inbox.

        It returns without if another thread reads, which puts it there, or the poller shall,
        because nothing comes. Gives the first call for `reader`.
        """
        session = self.session
        connection = session.connection
        while inbox.empty() and connection.reading.acquire(blocking=False):
            # Otherwise another thread reads, and puts what is for us into the inbox.
            before = connection.activity
            message = None
            lost = False
            try:
                message = session.read(connection, reader, LINGER)
            except ConnectionLost:
                lost = True
            finally:
                connection.reading.release()
            if session.chores:
                session.do_chores(reader)
            if message is not None:
                return message
            if lost or (connection.activity == before and inbox.empty()):
                session.poller.rest(connection)
                break
        return None

    def _execute(self, message: Exec) -> None:
        """Run one call and send what came of it.

        An interrupt for the call can be raised anywhere between `_running.append` and the
        end of `_finish`, and nowhere else.
        """
        session, call = self.session, message.call
        reply: tuple[Any, ...] | None
        self.activity += 1
        depth = len(here.calls)
        here.calls.append((self, call))
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
        del here.calls[depth:]
        try:
            self.finish_output()
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        if self._interrupted:
            self._interrupted.pop(call, None)
        session.settle(call, reply)

    def _finish(self, call: int) -> None:
        """No interrupt is sent for `call` after this, and none is under way."""
        with self._interrupting:
            if self._running and self._running[-1] == call:
                self._running.pop()
        _checkpoint()

    # ---- callbacks -------------------------------------------------------------------

    def wait_for(self, wait: Wait) -> Result | Fault:
        """Wait on this thread for the answer to a callback; run what it calls meanwhile.

        Raises:
            KeyboardInterrupt: The call that called back is cancelled.
            SessionClosed: The session is over.
        """
        caller = here.innermost()
        if caller is None:
            return self._wait_for(wait)
        # Perhaps of another session, whose client it was that called what calls this one's.
        strand, call = caller
        with strand._interrupting:
            strand._waiting.append((call, wait.inbox))
        try:
            answer = self._wait_for(wait, strand, call)
        finally:
            with strand._interrupting:
                strand._waiting.pop()
                told = strand._tell(call)
        if told:
            raise KeyboardInterrupt
        return answer

    def _wait_for(self, wait: Wait, caller: Strand | None = None, call: int = 0) -> Result | Fault:
        """Do what comes, until it is the answer."""
        while True:
            self._read_until(wait.inbox, None)
            message = wait.inbox.get()
            if message is None:
                raise SessionClosed(self.session.gone)
            if isinstance(message, Exec):
                self.execute_nested(message)
            elif not isinstance(message, Cancel):
                wait.answer = message
                # Nobody reads now, and others may wait.
                self.session.leave_reading()
                return message
            if caller is not None:
                with caller._interrupting:
                    told = caller._tell(call)
                if told:
                    raise KeyboardInterrupt

    def _tell(self, call: int) -> bool:
        """Whether a call is to be told that it was interrupted; then it now is."""
        if self._interrupted.get(call):
            self._interrupted[call] = False
            return True
        return False

    def execute_nested(self, message: Exec) -> None:
        """Run a call that the client has made inside of what this thread called."""
        self.flush_output()
        outer = current_sink.set(self.output)
        try:
            self._execute(message)
        finally:
            current_sink.reset(outer)

    # ---- from other threads ----------------------------------------------------------

    def interrupt(self, call: int) -> None:
        """Raise KeyboardInterrupt in a call that is running here, once.

        A call inside C code sees it when that returns. One that waits for a client
        sees it at once, or when the call nested in it has ended.
        """
        with self._interrupting:
            self._is_interrupting = True
            try:
                self._interrupt(call)
            finally:
                self._is_interrupting = False

    def _interrupt(self, call: int) -> None:
        """The same. Requires `_interrupting`."""
        if call in self._interrupted:
            return
        for waiting, inbox in self._waiting:
            if waiting == call:
                self._interrupted[call] = True
                inbox.put(Cancel(0, 0, 0))
                return
        if self._running and self._running[-1] == call:
            self._interrupted[call] = False
            assert self.thread is not None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread), ctypes.py_object(KeyboardInterrupt)
            )
            self.session.wake_loop(self.thread)

    def was_interrupted(self, call: int) -> None:
        """A KeyboardInterrupt has come to a call by another way: it needs no second one."""
        with self._interrupting:
            self._interrupted.setdefault(call, False)

    def flush(self) -> None:
        """Send what waits; any thread."""
        self.flush_output()

    def flush_output(self) -> None:
        """Send what the running call has printed so far; any thread."""
        # What a finalizer prints, which Python may run in the middle of a sending, waits.
        if self.output and not self.session.is_sending:
            # With no lock held: the poller, which makes the room, comes here as well.
            self.session.connection.wait_for_room()
            with self._flushing:
                outer, self._is_flushing = self._is_flushing, True
                try:
                    self._send_output()
                finally:
                    self._is_flushing = outer

    def finish_output(self) -> None:
        """Send the rest of what a call has printed; what comes now is of the call around it.

        Under the lock, also if there is nothing: who else holds it has output of this call
        in hand, which must leave before the answer, and under this call's number.
        """
        if self.output:
            self.session.connection.wait_for_room()
        with self._flushing:
            self._send_output()
            self._printing = self.current_call

    def _send_output(self) -> None:
        """Send what waits as output of the call that prints. Requires `_flushing`."""
        if self._printing is not None and self.output:
            try:
                self.session.send_output(self._printing, self.output.take())
            except ConnectionLost as error:
                # Not the printing code's business: the call goes on.
                logger.debug("! output of call %d is lost: %s", self._printing, error)

    def _encode_warning(self, warning: Warning, file: str, line: int) -> bytes | None:
        """The payload of a warning that a call raises; None in the middle of a sending."""
        if self.session.is_sending:
            return None  # in a finalizer; its class may have to be announced first
        return encode_warning(warning, file, line, self.session.codec)


class OwnStrand(threading.local):
    """The strand of the calling thread in one session, for what is part of no call of that.

    Args:
        session: The session.
        numbers: Of such threads, never used again.
        left: Takes the numbers of threads that have ended.
    """

    def __init__(self, session: Session, numbers: Iterator[int], left: list[int]) -> None:
        self._session = session
        self._numbers = numbers
        self._left = left
        self._thread: _Thread | None = None

    @property
    def mine(self) -> Strand:
        """The strand."""
        if self._thread is None:
            # Not before: the thread that makes this object has no need of one.
            strand = Strand(self._session, next(self._numbers))
            strand.thread = threading.get_ident()
            self._thread = _Thread(strand, self._left)
        return self._thread.strand


class _Thread:
    """Dies with the thread, whose local data names it, or with the session."""

    def __init__(self, strand: Strand, left: list[int]) -> None:
        self.strand = strand
        self._left = left

    def __del__(self) -> None:
        self.strand.output.close()
        self._left.append(self.strand.number)


def _checkpoint() -> None:
    """Entering a Python function is where CPython raises an interrupt that is under way."""
