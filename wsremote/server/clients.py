"""What served code may ask about the call that it runs in: who calls, and how to wait.

Served code that is nothing but a package needs none of this. The name server does: it asks
whose token a client has shown, and has hundreds of calls that wait for something to happen.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from queue import SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from .strands import here, task_strand
from .waking import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .strands import Strand

__all__ = ["Bell", "Client", "current_client"]


class Client(NamedTuple):
    """The client whose call runs.

    Attributes:
        key_id: Which of the server's tokens it has proved to know; says nothing about the token
            itself.
        session: Id of its session, 32 hexadecimal digits; may be logged.
        said: What it says of itself (host, pid, Python), which nobody has checked.
    """

    key_id: str
    session: str
    said: Mapping[str, Any]


def current_client() -> Client | None:
    """The client whose call runs on this thread, or in this task; None outside of calls.

    In a call that another session's object has made here, it is the client of the inner one.
    """
    strand = _strand()
    if strand is None:
        return None
    session = strand.session
    return Client(session.seat.key_id, session.id, session.client)


def _strand() -> Strand | None:
    """That of the innermost call of the calling thread."""
    if here.calls:
        return here.calls[-1][0]
    task = task_strand.get()
    if task is not None and task.thread == get_ident():
        return task
    return here.lane


class Bell:
    """Wakes who waits for something; an interrupt of the call that waits does so too.

    A thread that sleeps in a lock does not see an interrupt before it has the lock. Here it
    does, and nobody has to look now and then whether there is one. One waits at a time.
    """

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()
        # Wakes the task that waits.
        self._wake: Callable[[], object] | None = None

    def ring(self) -> None:
        """Let who waits go on, or who waits next. From any thread."""
        self._rings.put(None)
        if (wake := self._wake) is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the task with it
                wake()

    def wait(self) -> None:
        """Sleep until it rings.

        Raises:
            KeyboardInterrupt: The call is interrupted.
        """
        thread, strand = get_ident(), _strand()
        try:
            if strand is not None:
                # Hundreds of calls may wait here: their sessions have no ticks meanwhile.
                strand.rests = True
            waiting[thread] = self.ring
            # An interrupt that came before this was noted is raised here; a later one rings.
            _checkpoint()
            self._rings.get()
        finally:
            waiting.pop(thread, None)
            _go_on(strand)

    async def awaited(self) -> None:
        """The same for a task, beside which others run."""
        rung, strand = asyncio.Event(), _strand()
        self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, rung.set)
        try:
            if strand is not None:
                strand.rests = True
            if self._rings.empty():
                await rung.wait()
            while not self._rings.empty():
                self._rings.get()
        finally:
            self._wake = None
            _go_on(strand)


def _go_on(strand: Strand | None) -> None:
    """The call of a strand no longer waits: what it prints is sent, now and then."""
    if strand is not None:
        strand.rests = False
        # The poller puts down that nobody wants ticks, and then looks once more: it sees this, or
        # this sees that.
        session = strand.session
        if not session.connection.attended:
            session.poller.attend(session.connection)


def _checkpoint() -> None:
    """Entering a Python function is where CPython raises an interrupt that is under way."""
