"""Has another connection carry a session whose connection is lost.

In a daemon thread for each loss, until the session goes on or is known to be gone. It waits
between its attempts as `protocol.liveness.Backoff` says, and not while somebody has just
begun to wait for the session.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ..codec import wire
from ..errors import (
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    RemoteProtocolError,
    VersionMismatch,
)
from ..protocol.liveness import Backoff
from ..protocol.messages import Bye, Gone, Resumed, Welcome
from ..protocol.opening import Resumption, Superseded
from .loss import expired, left, lost_by, refused
from .opening import accept_large, describe_client, open_connected

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .driver import Driver
    from .opening import Opened

__all__ = ["Resumer"]

logger = logging.getLogger("wsremote.client")

# The generator of the module `random` is the user's, who may have seeded it.
_chance: Final = random.SystemRandom().random

_ATTEMPT: Final = 10.0
"""Seconds for one attempt to connect."""

_MARGIN: Final = 120.0
"""Seconds for which a client asks longer than the server keeps its session: the server may have
noticed the loss later, and while it can be reached it knows what became of the calls."""

_FAREWELL: Final = 60.0
"""Seconds in which a server is told of a session that was closed while it was out of reach."""

_REFUSED_FOR: Final = 120.0
"""Seconds for which every answer must be a refusal before a session is given up: somebody else may
answer at the server's address for a while, and a wrong byte be on the way."""

_LEFT_FOR: Final = 20.0
"""Seconds for which a server must be away that those who know where servers are know no longer: a
lease and more, so that one that has just been cut off, or they themselves, can be back."""

_MOST_REFUSALS: Final = 3
"""Times in a row that the server itself must not know the session, for the same reason."""


class Resumer:
    """Reconnects one session.

    Args:
        token: The secret both sides know.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        secret: Of the welcome: proves whose session it is.
        opened: How the session was opened.
    """

    def __init__(
        self, token: str, ssl_context: ssl.SSLContext | None, *, secret: bytes, opened: Opened
    ) -> None:
        self._token = token
        self._ssl_context = ssl_context
        self._secret = secret
        self._epoch = opened.epoch
        # Counts the connection attempts of the session: a late one is known by it.
        self._attach = opened.attach
        # A queue: an interrupt inside the Python code of an Event would leave that locked.
        self._wanted: SimpleQueue[None] = SimpleQueue()
        self._in_turn = threading.Lock()
        # Whether those who know where servers are say that this one is no longer there.
        self.has_left: Callable[[], bool] | None = None
        # Since when they have said so; monotonic seconds.
        self._left_since = math.inf
        self._asked_at = -math.inf
        # Until when to tell the server that the session was closed here.
        self._until = 0.0

    def start(self, link: Driver) -> None:
        """A connection is lost. Called in the poller's thread."""
        name = f"wsremote-resume-{link.id[:8]}"
        threading.Thread(target=self._run, args=(link,), name=name, daemon=True).start()

    def hurry(self) -> None:
        """Somebody waits for the session: make the next attempt at once. Safe at any moment."""
        if self._wanted.empty():
            self._wanted.put(None)

    def say_goodbye(self) -> None:
        """The session was closed here without a connection: tell the server, if it can be soon."""
        self._until = time.monotonic() + _FAREWELL
        self.hurry()

    def _run(self, link: Driver) -> None:
        # One after the other: a loss may come while this thread still sees to the last one.
        with self._in_turn:
            try:
                self._resume(link)
            except Exception:
                logger.exception("! session %s cannot be resumed", link.id)
                link.give_up(refused(link, "it could not be resumed; the log says why"))

    def _resume(self, link: Driver) -> None:
        """Attempt to connect until the session goes on, or never will."""
        backoff, since, refusals = Backoff(), time.monotonic(), 0
        refused_since = self._left_since = math.inf
        while link.detached is not None:
            if link.closed and time.monotonic() > self._until:
                return
            if time.monotonic() - since > link.grace + _MARGIN:
                link.give_up(expired(link))
                return
            try:
                self._wanted.get(timeout=backoff.delay(time.monotonic() - since, _chance()))
                backoff.reset()
            except Empty:
                pass
            try:
                opened = self._connect(link)
            except Superseded:
                # Our attempts have rising numbers, one at a time: this was somebody else's.
                link.superseded()
                return
            except (AuthenticationFailed, VersionMismatch) as error:
                refused_since = min(refused_since, time.monotonic())
                if time.monotonic() - refused_since > _REFUSED_FOR:
                    link.give_up(refused(link, str(error)))
                    return
                logger.warning("! session %s: %s", link.id, error)
                continue
            except (ConnectionFailed, ConnectionLost, OSError) as error:
                refusals, refused_since = 0, math.inf
                logger.info("! session %s: %s", link.id, error)
                if self._is_dead(error):
                    link.give_up(left(link))
                    return
                continue
            gone = opened.answer if isinstance(opened.answer, Gone) else None
            restarted = opened.epoch != self._epoch
            if gone is not None and gone.why == "unknown" and not restarted:
                refusals += 1
                if refusals < _MOST_REFUSALS:
                    continue
            if gone is not None:
                link.give_up(lost_by(link, gone, restarted=restarted))
                return
            if isinstance(opened.answer, Welcome):
                opened.connection.abort("nobody asked for a new session")
                opened.connection.free()
                link.give_up(refused(link, "the server opened another session in its place"))
                return
            if self._go_on(link, opened):
                return

    def _is_dead(self, error: Exception) -> bool:
        """Whether the server has ended: nothing is there, and nobody has heard of it since.

        A server that is silent may be back, with its sessions.
        """
        now = time.monotonic()
        is_absent = isinstance(error, ConnectionFailed) and error.is_absent
        if self.has_left is None or not is_absent:
            self._left_since = math.inf
        elif now - self._asked_at >= _LEFT_FOR / 4:
            has_left, self._asked_at = self.has_left(), now
            self._left_since = min(self._left_since, now) if has_left else math.inf
        return now - self._left_since >= _LEFT_FOR

    def _connect(self, link: Driver) -> Opened:
        """One attempt."""
        self._attach += 1
        received, transfers = link.resumable()
        purpose = Resumption(
            link.id, self._secret, self._attach, received, transfers, describe_client()
        )
        return open_connected(
            link.url, self._token, purpose, ssl_context=self._ssl_context, timeout=_ATTEMPT
        )

    def _go_on(self, link: Driver, opened: Opened) -> bool:
        """Have the connection carry the session. False if that is lost already."""
        assert isinstance(opened.answer, Resumed)
        connection = opened.connection
        accept_large(connection, link.limits)
        try:
            if link.closed:
                connection.send(wire.write(Bye("it was closed meanwhile")))
            else:
                link.attach(connection, opened.answer)
                return True
        except RemoteProtocolError as error:
            link.give_up(refused(link, f"client and server do not agree on what was said: {error}"))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", link.id, error)
            connection.abort("lost again")
            connection.free()
            return False
        connection.abort("not needed")
        connection.free()
        return True
