"""From an accepted socket to a session: the opening of the connection, the two proofs.

In the poller's thread, without waiting, under a deadline and with small limits: whoever is
here has proved nothing yet.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Final

from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.messages import Open, Refused, Resume
from ..protocol.opening import ServerOpening
from ..protocol.proof import NONCE_SIZE
from ..protocol.roster import StaleAttempt
from ..transport.accepting import Acceptance
from ..transport.connection import SocketConnection

if TYPE_CHECKING:
    import socket

    from .server import Server

__all__ = ["Reception"]

logger = logging.getLogger("wsremote.server")

_MAX_SIZE: Final = 4096
"""Bytes of a message from a client that has not proved itself."""


class Reception:
    """One new connection.

    Args:
        server: Who makes the session.
        sock: Accepted.
    """

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._acceptance = Acceptance(sock, server.rules, tls=server.tls, max_size=_MAX_SIZE)
        self._descriptor = sock.fileno()
        self._connection: SocketConnection | None = None
        self._opening = ServerOpening(
            server.credential,
            nonce=secrets.token_bytes(NONCE_SIZE),
            epoch=server.epoch,
            further=server.further,
        )
        self._done = False

    def start(self) -> None:
        """Go on whenever something arrives, and not for longer than the deadline."""
        poller = self._server.poller
        poller.watch_readable(self._descriptor, self._step)
        poller.remind(time.monotonic() + self._server.limits.handshake_timeout, self.end)

    def end(self) -> None:
        """Turn the client away, if it has not become a session."""
        if self._done:
            return
        logger.info("! a connection did not become a session in time")
        if self._connection is not None:
            self._connection.close(4408, "the opening took too long")
            self._finish()
        else:
            self._server.poller.forget(self._descriptor)
            self._finish()
            self._acceptance.pipe.close()

    def _finish(self) -> None:
        self._done = True
        self._server.received(self)

    def _step(self) -> None:
        """The socket has something for the opening of the connection."""
        outcome = self._acceptance.step()
        if outcome is True:
            return
        self._server.poller.forget(self._descriptor)
        if outcome is False:
            self._finish()
            return
        assert isinstance(outcome, SocketConnection)
        self._connection = outcome
        outcome.owner = self
        outcome.is_urgent = False
        self._server.poller.watch(outcome)

    # ---- of transport.base.Owner -----------------------------------------------------

    def on_messages(self) -> bool | None:
        """Hello, then Open; whatever comes behind Open belongs to the session."""
        connection = self._connection
        assert connection is not None
        while connection.inbox and not self._done:
            try:
                for message in wire.read(connection.inbox.popleft()):
                    self._answer(connection, self._opening.receive(message))
            except RemoteProtocolError as error:
                logger.warning("! a connection broke the protocol: %s", error)
                connection.close(4400, str(error)[:100])
                self._finish()
        if connection.owner is self and self._done:
            # Turned away: nobody reads what came behind.
            connection.inbox.clear()
        return connection.owner.on_messages() if connection.owner is not self else False

    def _answer(self, connection: SocketConnection, answer: object) -> None:
        opening, server = self._opening, self._server
        try:
            if isinstance(answer, Open):
                server.open_session(connection, answer, opening.key_id)
                self._finish()
                return
            if isinstance(answer, Resume):
                gone = server.resume_session(connection, answer, opening.said, opening.key_id)
                if gone is None:
                    self._finish()
                    return
                connection.send(wire.write(gone))
                connection.close(1000, "gone")
                self._finish()
                return
        except LimitExceeded as error:
            answer = Refused("limit", str(error))
        except StaleAttempt as error:
            answer = Refused("stale", str(error))
        connection.send(wire.write(answer))  # type: ignore[arg-type]
        if isinstance(answer, Refused):
            logger.warning("! a client was refused: %s", answer.text)
            connection.close(4401, answer.code)
            self._finish()

    def on_lost(self, error: ConnectionLost) -> None:
        """It has left."""
        if not self._done:
            self._finish()

    def on_tick(self, now: float) -> bool:
        """Nothing is under way here."""
        return False
