"""A connection inside one process, for tests: whole messages, and faults on demand.

There is no thread and no clock. A message that is sent is delivered before `send`
returns, unless that is on the way of another delivery: then right after it.

    client, server = pair = memory_pair()
    with pair.hold():
        client.send(b"on its way")
        pair.cut()  # lost, and both ends hear of it
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConnectionLost
from .base import Closed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Owner

__all__ = ["MemoryConnection", "MemoryPair", "memory_pair"]

_CUT = Closed(1006, "the connection was cut")


class MemoryConnection:
    """One end. Made by `memory_pair()`; like every `transport.base.Connection`.

    The faults are of what this end sends; those of `MemoryPair` are of both directions.

    Attributes:
        inbox: Messages that have arrived; who reads takes out what it has handled.
        closed: How the connection ended, None while it is open.
        owner: Is told of messages and of the end; without one, `receive` gives them.
    """

    def __init__(self, deliveries: _Deliveries) -> None:
        self.inbox: deque[bytes] = deque()
        self.closed: Closed | None = None
        self.owner: Owner | None = None
        # The other end; itself until the pair is made.
        self._peer = self
        # What the peer has sent and this end has not got yet. Closed is the last of it.
        self._in_flight: deque[bytes | Closed] = deque()
        # How many `with` blocks of each fault are open.
        self._holding = self._dropping = self._duplicating = 0
        self._deliveries = deliveries

    def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            ConnectionLost: The connection is closed, here or there, or cut.
        """
        if self.closed is not None:
            raise ConnectionLost(*self.closed)
        if not self._dropping:
            copies = 2 if self._duplicating else 1
            self._peer._in_flight.extend([bytes(message)] * copies)
        self._deliveries.run()

    def receive(self, timeout: float = 0.0) -> deque[bytes]:
        """The queue of the messages that have arrived and are not taken out yet.

        Args:
            timeout: Passes at once: while the caller waits, nobody can send.

        Raises:
            ConnectionLost: It is over, and everything that arrived is taken.
        """
        if not self.inbox and self.closed is not None:
            raise ConnectionLost(*self.closed)
        return self.inbox

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection: the peer hears of it behind all that was sent before.

        What is in flight towards this end is lost. A second close changes nothing.
        """
        if self.closed is None:
            self.closed = Closed(code, reason)
            self._in_flight.clear()
            self._peer._in_flight.append(self.closed)
            self._deliveries.run()

    # ---- faults ----------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, nothing of what this end sends arrives; at the end all of it does, in order."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            self._deliveries.run()

    @contextlib.contextmanager
    def drop(self) -> Iterator[None]:
        """Inside, what this end sends is lost without a sign."""
        self._dropping += 1
        try:
            yield
        finally:
            self._dropping -= 1

    @contextlib.contextmanager
    def duplicate(self) -> Iterator[None]:
        """Inside, what this end sends arrives twice."""
        self._duplicating += 1
        try:
            yield
        finally:
            self._duplicating -= 1

    # ---- delivery --------------------------------------------------------------------

    def _deliver(self) -> bool:
        """Give this end what is in flight towards it. False if there is nothing to give."""
        if not self._in_flight or self._peer._holding:
            return False
        messages = [item for item in self._in_flight if not isinstance(item, Closed)]
        closing = self._in_flight[-1]
        self._in_flight.clear()
        if self.closed is None and messages:
            self.inbox.extend(messages)
            if self.owner is not None:
                self.owner.on_messages()
        if isinstance(closing, Closed):
            self._end(closing)
            self._tell()
            # As with a socket, who has closed hears of the end too.
            self._peer._tell()
        return True

    def _end(self, closed: Closed) -> None:
        """The connection is over for this end; what is still in flight towards it is lost."""
        if self.closed is None:
            self.closed = closed

    def _tell(self) -> None:
        """Tell the owner of the end, once."""
        owner, self.owner = self.owner, None
        if owner is not None and self.closed is not None:
            owner.on_lost(ConnectionLost(*self.closed))


class _Deliveries:
    """Delivers for both ends, one after the other, and never inside another delivery."""

    def __init__(self) -> None:
        self.ends: tuple[MemoryConnection, ...] = ()
        self._running = False

    def run(self) -> None:
        """Deliver until nothing is left that may arrive."""
        if self._running:
            return
        self._running = True
        try:
            while any(end._deliver() for end in self.ends):
                continue
        finally:
            self._running = False


class MemoryPair(NamedTuple):
    """Both ends of a connection, and the faults of both directions."""

    client: MemoryConnection
    server: MemoryConnection

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, nothing arrives; at the end everything does, in order."""
        with self.client.hold(), self.server.hold():
            yield

    @contextlib.contextmanager
    def drop(self) -> Iterator[None]:
        """Inside, what is sent is lost without a sign."""
        with self.client.drop(), self.server.drop():
            yield

    @contextlib.contextmanager
    def duplicate(self) -> Iterator[None]:
        """Inside, what is sent arrives twice."""
        with self.client.duplicate(), self.server.duplicate():
            yield

    def cut(self) -> None:
        """Cut the connection: both ends hear of it, what is in flight is lost."""
        for end in self:
            end._end(_CUT)
        for end in self:
            end._tell()


def memory_pair() -> MemoryPair:
    """Two ends of one connection, open."""
    deliveries = _Deliveries()
    client, server = MemoryConnection(deliveries), MemoryConnection(deliveries)
    client._peer, server._peer = server, client
    deliveries.ends = (client, server)
    return MemoryPair(client, server)
