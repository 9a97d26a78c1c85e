"""Whether the client of a session is there: what carries it, its silence, its goodbye.

What `Session` and `Newcomer` have in common, which is all that a session needs whose client
has not called yet.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.messages import SHUTDOWN, Bye, Modules, Replaced

if TYPE_CHECKING:
    from ..protocol.messages import Fetch, Message, Resume
    from ..protocol.roster import Seat
    from ..transport.connection import SocketConnection
    from .server import Server

__all__ = ["Attendance"]

logger = logging.getLogger("wsremote.server")

_SILENCE: Final = 60.0
"""Seconds of silence after which a client's connection counts as lost."""


class _Nobody:
    """Owns a connection whose session goes on over another: what comes is thrown away.

    Args:
        connection: The old one.
    """

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection

    def on_messages(self) -> bool | None:
        """Of `transport.base.Owner`."""
        self._connection.inbox.clear()
        return None

    def on_lost(self, error: ConnectionLost) -> None:
        """Of `transport.base.Owner`."""

    def on_tick(self, now: float) -> bool:
        """Of `transport.base.Owner`."""
        return False


class Attendance(ABC):
    """A session as the server keeps it, and the poller. In the poller's thread, nearly all.

    Attributes:
        id: 32 hexadecimal digits; may be logged.
        seat: Its place in the roster.
        client: What the client says of itself; for the log and the operator.
        connection: The one of this moment, or the last one.
        is_attached: Whether a connection carries the session now.
        is_ending: Whether this side has ended it.
    """

    # Thousands of newcomers are nothing but this.
    __slots__ = (
        "_closing", "_heard", "_server", "_used", "client", "connection", "id", "is_attached",
        "is_ending", "seat",
    )  # fmt: skip

    id: str
    seat: Seat
    client: dict[str, Any]
    connection: SocketConnection
    is_attached: bool
    is_ending: bool

    _server: Server
    # Why the session ends; None while it does not.
    _closing: str | None
    # Receptions of the connection at the last look, and since when there are no more.
    _heard: tuple[int, float]
    # When the client was last seen to call.
    _used: float

    def on_lost(self, error: ConnectionLost) -> None:
        """Of `transport.base.Owner`. The session waits for its client, if that has not left."""
        self.is_attached = False
        if self._closing is None:
            logger.info("= session %s has no connection: %s", self.id, error)
            self._server.session_detached(self)
        else:
            self.finish()

    @property
    @abstractmethod
    def running_calls(self) -> int:
        """How many calls run now."""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether nothing is lost if it ends."""

    @abstractmethod
    def remains(self) -> tuple[int, list[int], list[int]]:
        """What its tombstone says of calls: received, executed and not known, begun."""

    @abstractmethod
    def last_words(self) -> tuple[int, list[int], list[int]]:
        """What `remains` of a session that ends: what has not begun never will."""

    @abstractmethod
    def finish(self) -> None:
        """The session is over. Again does no harm."""

    @abstractmethod
    def _was_used(self) -> bool:
        """Whether the client has called since this was asked last, or does now."""

    @abstractmethod
    def _send_unnumbered(self, message: Message) -> None:
        """Send a message of this connection only.

        Raises:
            ConnectionLost: It is lost.
        """

    def look(self, now: float) -> None:
        """Now and then: is the client there, and does it do anything?"""
        connection, limit = self.connection, self._server.limits.idle_timeout
        if self._was_used():
            self._used = now
        elif limit and now - self._used > limit:
            self.end_session(f"no call was made for {limit:.0f} s (--idle-timeout)")
            return
        if self._heard[0] != connection.activity or connection.has_backlog:
            # Who takes nothing of a backlog any more is given up by the kernel, after 20 s.
            self._heard = connection.activity, now
        elif self.is_attached and now - self._heard[1] > _SILENCE:
            # A client asks whether we are there long before: the line is dead, or it is.
            connection.abort("the client is silent")

    def end_session(self, reason: str, code: int = 1000) -> None:
        """Say why, and close; not to a client that has said goodbye itself. Any thread."""
        if self._closing is not None:
            return
        self._closing = reason
        self.is_ending = True
        if not self.is_attached:
            self._server.poller.submit(self.finish)
            return
        try:
            self._send_unnumbered(Bye(reason))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.connection.close(code, reason[:100])

    def _bury(self) -> None:
        """The client may come back, and ask what has become of a session that this side ends."""
        text = self._closing or ""
        self._server.bury(self, "shutdown" if text == SHUTDOWN else "ended", text)

    def _leave(self, old: SocketConnection, resume: Resume | None) -> None:
        """Another connection has come while this side believed in the old one."""
        old.owner = _Nobody(old)
        try:
            old.send(wire.write(Replaced({} if resume is None else resume.client)))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.is_attached = False
        old.abort("another connection carries the session")

    def _send_documents(self, message: Fetch) -> None:
        if not all(type(digest) is str for digest in message.digests):
            raise RemoteProtocolError("documents are asked for by their digests")
        self._send_unnumbered(Modules(self._server.documents(message.digests)))

    def _take_leave(self, message: Bye) -> None:
        """The client ends the session."""
        self._closing = message.reason or "closed by the client"
        # Even if both ended it at the same time: who has left does not come back to ask.
        self.is_ending = False
        self.connection.close(1000, "bye")
