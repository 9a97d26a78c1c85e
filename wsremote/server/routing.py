"""Which thread runs a call of the client: one that waits for a callback, a lane's, the pool's.

Calls are routed under the right to read, by whoever reads the connection.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Final

from ..errors import LimitExceeded, RemoteProtocolError
from ..protocol.batches import MOST_BATCHED, check_items, check_op, each_call
from ..protocol.messages import POOL, Batch
from .batches import BatchStrand, whole
from .execution import Execution
from .lanes import Lane
from .pool import Pool
from .strands import OwnStrand

if TYPE_CHECKING:
    from collections.abc import Set

    from ..protocol.messages import Exec, Leave
    from ..transport.connection import SocketConnection
    from .server import Server
    from .strands import Strand

__all__ = ["Routing"]

_MOST_LANES: Final = 4096
"""Threads that a session may have here: one for each of the client's that makes calls."""


class Routing(Execution):
    """The part of a session that gives the client's calls to threads.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
        installed: Root packages of the data type registry that the client can import.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        session_id: str,
        installed: dict[str, str],
    ) -> None:
        super().__init__(server, connection, session_id, installed)
        self._is_over = False
        self._lanes: dict[int, Lane] = {}
        # None before the first call for it.
        self._pool: Pool | None = None
        # Those that are executing batches.
        self.batching: set[BatchStrand] = set()
        # Numbers of threads of the server that are no lanes, below zero; and of those that have
        # ended, which the client is to be told.
        self.thread_numbers = itertools.count(-1, -1)
        self._left: list[int] = []

    @functools.cached_property
    def _own_strand(self) -> OwnStrand:
        return OwnStrand(self, self.thread_numbers, self._left)  # type: ignore[arg-type]

    def own_strand(self) -> Strand:
        """The strand of the calling thread, for what is part of no call of this session."""
        return self._own_strand.mine

    def batch_ended(self, calls: list[int]) -> None:
        """Calls of a batch have ended, and are answered if they are at all."""
        if self.journal is not None:
            for call in calls:
                self.journal.ended(self.id, call)
        self._queued.difference_update(calls)
        self._batched.difference_update(calls)
        if self._cancelled:
            self._cancelled.difference_update(calls)

    def thread_ended(self, number: int) -> None:
        """A thread that the client knows by a number below zero has ended."""
        self._left.append(number)

    def _others_active(self, lane: Lane | None) -> bool:
        return any(other is not lane and other.is_recent for other in self._lanes.values())

    def _on_exec(self, message: Exec, reader: Lane | None) -> Exec | Batch | None:
        try:
            check_op(message.op)
        except RemoteProtocolError as error:
            # Of this call alone, as if there were no such operation.
            self._refuse(message, error)
            return None
        limit = self._server.limits.max_calls
        if (
            len(self._running) + len(self._queued) - len(self._batched) >= limit
            and self._under_way(self._batched) >= limit
        ):
            self._refuse(message, LimitExceeded(self._too_many(limit)))
            return None
        return self._accept(message, reader)

    def _accept(self, message: Exec, reader: Lane | None) -> Exec | Batch | None:
        """Queue a call, or have it run by the thread that waits for it."""
        if message.transfers is not None:
            try:
                self._buffers[message.call] = self._transfers.claim(message.transfers)
            except LimitExceeded as error:
                self._refuse(message, LimitExceeded(f"{error}; the call was not executed"))
                return None
        self._queued.add(message.call)
        try:
            if message.parent is not None and self._hand_over(message):
                return None
        except RemoteProtocolError:
            self._queued.discard(message.call)
            self._batched.discard(message.call)
            self._buffers.pop(message.call, None)
            raise
        return self._route(message, reader)

    @staticmethod
    def _too_many(limit: int) -> str:
        return (
            f"{limit} calls of this session are queued or running, as many as may be: wait"
            f" for some of them, or start the server with a higher --max-calls ({limit} now)"
        )

    def _under_way(self, others: Set[int] = frozenset()) -> int:
        """How many calls the client may believe to be queued or running, but for `others`."""
        return len({*list(self._running), *list(self._queued)} - self.answering - others)

    def _on_batch(self, message: Batch, reader: Lane | None) -> Exec | Batch | None:
        calls, numbers, may_be_runs = check_items(message)
        if may_be_runs and (message.lane <= POOL or message.parent is not None):
            # Several threads take of those, or each is a task: one by one.
            calls = each_call(calls)
        # They need less, and those of a lane run one after the other.
        limit = MOST_BATCHED * self._server.limits.max_calls
        if (
            len(self._running) + len(self._queued) + len(numbers) > limit
            and self._under_way() + len(numbers) > limit
        ):
            for entry in each_call(calls):
                self._refuse(
                    whole(entry, message.lane, message.parent), LimitExceeded(self._too_many(limit))
                )
            return None
        self._batched.update(numbers)
        if message.parent is not None:
            for entry in calls:
                self._accept(whole(entry, message.lane, message.parent), None)
            return None
        self._queued.update(numbers)
        return self._route(message._replace(calls=calls), reader)

    def _route(self, message: Exec | Batch, reader: Lane | None) -> Exec | Batch | None:
        """Give calls to their lane; back to the caller if it is that lane and is free."""
        if message.lane == POOL:
            if self._pool is None:
                self._pool = Pool(self, self._server.limits.max_workers)  # type: ignore[arg-type]
            self._pool.put(message.calls if isinstance(message, Batch) else (message,))
            return None
        with self._routing:
            number = abs(message.lane)
            lane = self._lanes.get(number)
            if lane is not None:
                if lane is reader and lane.inbox.empty():
                    return message
                lane.put(message)
                return None
            if len(self._lanes) < _MOST_LANES:
                lane = self._lanes[number] = Lane(self, number)  # type: ignore[arg-type]
                lane.put(message)
                return None
        for each in _wholes(message):
            self._refuse(
                each,
                LimitExceeded(
                    f"{_MOST_LANES} threads of this client have made calls and have not ended, as"
                    " many as may be: make the calls of one thread, or of a pool"
                ),
            )
        return None

    def rerouted(self, message: Exec) -> None:
        """A call that was nested in a callback that nobody waits for: it is one of its lane."""
        if not self._is_over:
            self._route(message, None)

    def _on_leave(self, message: Leave, reader: Lane | None) -> None:
        """A thread of the client has ended: so does its lane, when it has done what waits."""
        with self._routing:
            lane = self._lanes.pop(message.lane, None)
            if lane is not None:
                lane.end()


def _wholes(message: Exec | Batch) -> list[Exec]:
    """The calls of a message, each as it would be alone."""
    if isinstance(message, Batch):
        return [whole(entry, message.lane, message.parent) for entry in each_call(message.calls)]
    return [message]
