"""A session whose client has not called yet: a seat, a connection, and nothing else.

Most sessions of a large server are of this kind: notebooks that are open, programs that have
connected and wait. One costs a sixth of a session that has its lanes, codec and handles. All
that its client may ask without those is answered here; with anything else the session proper
takes its place. Nobody but the poller reads its connection, so all of this is in one thread.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import RemoteProtocolError
from ..protocol.messages import Ack, Bye, Fetch, Ping, Pong
from .attendance import Attendance
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Message, Resume
    from ..protocol.roster import Seat
    from ..transport.connection import SocketConnection
    from .server import Server

__all__ = ["Newcomer"]

logger = logging.getLogger("wsremote.server")

_ANSWERED: Final = frozenset({Ack, Bye, Fetch, Ping, Pong})
"""What needs no more than is here."""


class Newcomer(Attendance):
    """What a client has on this server before its first call.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by this from now on.
        seat: Its place in the roster.
        installed: Root packages of the data type registry that the client can import.
        client: What the client says of itself.
    """

    __slots__ = ("_installed", "_is_over")

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        seat: Seat,
        installed: dict[str, str],
        client: dict[str, Any],
    ) -> None:
        self._server = server
        self.id = seat.id
        self.seat = seat
        self.client = client
        self._installed = installed
        self._closing: str | None = None
        self.is_ending = False
        self._is_over = False
        self._used = time.monotonic()
        self._carry(connection)

    def _carry(self, connection: SocketConnection) -> None:
        """A connection carries the session from now on."""
        self.connection = connection
        connection.max_size = self._server.limits.max_message_size
        connection.owner = self
        self.is_attached = True
        self._heard = connection.activity, time.monotonic()

    def _settle(self) -> Session:
        """The client has something to do: the session proper takes this one's place."""
        session = Session(self._server, self.connection, self.seat, self._installed, self.client)
        session.is_attached = self.is_attached
        if self.is_attached:
            self.connection.owner = session
        self._server.settled(session)
        return session

    # ---- of transport.base.Owner -----------------------------------------------------

    def on_messages(self) -> bool | None:
        """Answer what can be, and leave the rest to the session."""
        inbox = self.connection.inbox
        while inbox:
            try:
                is_answered = self._answer(inbox[0])
            except RemoteProtocolError:
                is_answered = False  # the session says what is wrong
            if not is_answered:
                return self._settle().on_messages()
            inbox.popleft()
        return None

    def on_tick(self, now: float) -> bool:
        """Nothing is under way here."""
        return False

    def _answer(self, data: bytes) -> bool:
        """Answer a WebSocket message, if that is possible here.

        Raises:
            RemoteProtocolError: It is not what the protocol says.
        """
        messages = wire.read(data)
        if not _ANSWERED.issuperset(map(type, messages)):
            return False
        if any(isinstance(message, Ack | Ping | Pong) and message.ack for message in messages):
            return False  # of what has never been sent
        for message in messages:
            if isinstance(message, Ping):
                self._send_unnumbered(Pong(message.token, 0))
            elif isinstance(message, Fetch):
                self._send_documents(message)
            elif isinstance(message, Bye):
                self._take_leave(message)
        return True

    def _send_unnumbered(self, message: Message) -> None:
        self.connection.send(wire.write(message))

    # ---- as Session does it ----------------------------------------------------------

    def attach(
        self,
        connection: SocketConnection,
        answer: Callable[[int, list[list[int]]], Message],
        resume: Resume | None,
    ) -> None:
        """Go on over another connection.

        Args:
            connection: Open and proved.
            answer: Gives what the client is told first, of what this side has: nothing.
            resume: What it has said; None if it repeats its opening, and has nothing.

        Raises:
            RemoteProtocolError: It does not have what it had.
        """
        if resume is not None and (resume.received or resume.transfers):
            self._settle().attach(connection, answer, resume)
            return
        if self.is_attached:
            self._leave(self.connection, resume)
        connection.send(wire.write(answer(0, [])))
        self._carry(connection)
        logger.info("= session %s goes on", self.id)

    @property
    def running_calls(self) -> int:
        """None."""
        return 0

    @property
    def is_empty(self) -> bool:
        """Yes."""
        return True

    def remains(self) -> tuple[int, list[int], list[int]]:
        """Nothing was received, executed or begun."""
        return 0, [], []

    last_words = remains

    def finish(self) -> None:
        """The session is over."""
        if self._is_over:
            return
        self._is_over = True
        if self.is_ending:
            self._bury()
        logger.info("= session %s ended: %s", self.id, self._closing)
        self._server.session_ended(self)

    def _was_used(self) -> bool:
        return False
