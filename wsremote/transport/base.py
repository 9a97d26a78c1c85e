"""What the floors above know of a connection, whatever carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections import deque

    from ..errors import ConnectionLost

__all__ = ["Closed", "Connection", "Landing", "Owner"]


class Closed(NamedTuple):
    """How a connection ended: WebSocket close code (RFC 6455 section 7.4) and reason."""

    code: int
    reason: str


class Connection(Protocol):
    """Moves whole messages, in order, until it is closed or lost."""

    @property
    def closed(self) -> Closed | None:
        """How it ended; None while it is open."""

    def send(self, message: bytes) -> None:
        """Send one message; any thread.

        Raises:
            ConnectionLost: The connection is gone.
        """

    def receive(self, timeout: float) -> deque[bytes]:
        """The messages that have arrived; waits at most `timeout` seconds for the first.

        Only for whoever holds the right to read, which takes each message out of the
        queue when it has handled it.

        Raises:
            ConnectionLost: The connection is gone and everything that arrived is taken.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection politely."""


class Landing(Protocol):
    """Where the last bytes of a large message go: its owner's final memory."""

    @property
    def view(self) -> memoryview:
        """Writable, as long as what goes there."""

    def landed(self) -> None:
        """All of it is there. Again does no harm."""


class Owner(Protocol):
    """Who works with a connection, told by the poller in the poller's thread."""

    def on_messages(self) -> bool | None:
        """Handle `connection.inbox`, with `reading` held. True: somebody reads on.

        None: nobody does, and nothing is to be sent in a while either; no tick is needed.
        """

    def on_lost(self, error: ConnectionLost) -> None:
        """Nothing more will come. The descriptor is closed when this returns."""

    def on_tick(self, now: float) -> bool:
        """Every 10 ms while the connection is hot. True: go on with it when it no longer is."""
