"""The threads of a session for calls that any thread may run: those of `submit` and `map`.

Small calls are all run by one thread, which reads the connection, executes and answers with no
other thread involved, as a lane does. Only when the calls have not moved for a tick (10 ms) another
thread comes to help.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from .batches import BatchStrand, Binding
from .output import current_sink
from .strands import here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .session import Session

__all__ = ["Pool", "Worker"]

logger = logging.getLogger("wsremote.server")

IDLE: Final = 30.0
"""Seconds without a call after which a thread ends."""

BRIEF: Final = 1.0
"""The same on a server with many threads."""


class Pool:
    """Calls in no order, and the threads that run them.

    Args:
        session: Whose calls.
        most: Threads.
    """

    def __init__(self, session: Session, most: int) -> None:
        self.session = session
        self.calls: deque[Any] = deque()
        self._most = most
        # Those whose thread has started, and how many of these do not wait for the bell.
        self._workers: set[Worker] = set()
        self._awake = 0
        # Held for moments, by who puts calls and by a worker that falls asleep.
        self._counting = threading.Lock()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        # How many calls had begun at the last tick, and when the poller received last.
        self._begun = self._seen = 0

    def will_read(self) -> bool:
        """Whether a worker will soon read the connection itself: calls begin and end quickly."""
        seen, self._seen = self._seen, sum(worker.activity for worker in list(self._workers))
        return self._awake > 0 and seen != self._seen

    def put(self, calls: Iterable[Any]) -> None:
        """Add calls, as batches list them or whole; one worker is awake then."""
        self.calls.extend(calls)
        with self._counting:
            if not self._awake:
                self._add()

    def tick(self) -> bool:
        """Now and then: let another worker help if nothing has moved. Whether calls wait."""
        begun = sum(worker.activity for worker in list(self._workers))
        if self.calls and begun == self._begun:
            with self._counting:
                if self._awake < self._most:
                    self._add()
        self._begun = begun
        return bool(self.calls)

    def close(self) -> None:
        """The session is over: nothing begins any more."""
        self.calls.clear()
        for _ in list(self._workers):
            self._bell.put(False)

    def _add(self) -> None:
        """Wake a worker, or start one. Requires `_counting`."""
        self._awake += 1
        if self._awake <= len(self._workers):
            self._bell.put(True)
        else:
            worker = Worker(self, next(self.session.thread_numbers))
            self._workers.add(worker)
            worker.start()

    # ---- of its workers, each on its own thread --------------------------------------

    def empty(self) -> bool:
        """Whether no call waits: of an inbox, as `Strand._read_until` asks."""
        return not self.calls

    def sleep(self, worker: Worker) -> bool:
        """Wait for calls. False if the worker is to end."""
        with self._counting:
            if self.calls:
                return True
            self._awake -= 1
        crowded = self.session._server.crew.is_crowded
        while True:
            try:
                return self._bell.get(True, BRIEF if crowded else IDLE)
            except Empty:
                with self._counting:
                    # Else one is on its way, for one of those that wait.
                    if self._bell.empty() and not worker.is_bound:
                        self._workers.discard(worker)
                        return False

    def left(self, worker: Worker) -> None:
        """A worker has ended because of a failure."""
        with self._counting:
            if worker in self._workers:
                self._workers.discard(worker)
                self._awake -= 1


class Worker(BatchStrand):
    """One thread of a pool.

    Args:
        pool: Whose.
        number: What the client knows the thread by, below zero.
    """

    def __init__(self, pool: Pool, number: int) -> None:
        super().__init__(pool.session, number)
        self._pool = pool
        self._thread = threading.Thread(
            target=self._run,
            name=f"wsremote-worker-{pool.session.id[:8]}{number}",
            daemon=True,
        )

    @property
    def is_bound(self) -> bool:
        """Whether calls have left something on its thread, the calling one, or in its context."""
        return bool(self._binding) or len(self._context) > 1

    def start(self) -> None:
        """Start the thread, which counts as awake."""
        self._thread.start()

    def _run(self) -> None:
        with self.session._server.crew.thread():
            self._context.run(self._work)

    def _work(self) -> None:
        self.thread = threading.get_ident()
        here.lane = self
        current_sink.set(self.output)
        self._binding = Binding()
        pool, session = self._pool, self.session
        try:
            while True:
                try:
                    self.run(pool.calls, None)
                    message = self._read_until(pool, None)  # type: ignore[arg-type]
                    assert message is None
                    if not pool.calls and not pool.sleep(self):
                        return
                except Exception:
                    # A worker that ended would leave its calls without an answer.
                    logger.exception("! worker %d of session %s", self.number, session.id)
                    session.end_session("a thread of its calls failed; the log says why", 1011)
                    return
                except BaseException:
                    # Served code can send SystemExit to any thread of this process.
                    here.calls.clear()
                    logger.exception("! worker %d of session %s", self.number, session.id)
        finally:
            # It names what lies on this thread, which ends.
            del self._binding
            pool.left(self)
            self.output.close()
            session.lane_ended()
            session.thread_ended(self.number)
