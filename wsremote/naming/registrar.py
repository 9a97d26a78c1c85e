"""Keeps a server registered under its name: a thread that renews the lease, whatever happens.

It speaks with one name server at a time. One that does not answer is given up for the next of
them; after all of them it waits a moment and begins again. Only another server in this one's
place ends it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import (
    AuthenticationFailed,
    ConnectionFailed,
    LeaseLost,
    NameRefused,
    NameTaken,
    WsRemoteError,
)
from ..printable import kind_of
from .asking import NameServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from .nameservers import NameServers

__all__ = ["Registrar"]

logger = logging.getLogger("wsremote.naming")

# The generator of the module `random` is the user's, who may have seeded it.
_chance: Final = random.SystemRandom().random

_OPENING: Final = 5.0
"""Seconds to reach a name server. With the next it is two thirds of a lease."""
_ANSWER: Final = 5.0
"""Seconds for each of its answers."""
_EVERY: Final = 5.0
"""Seconds between renewals where the name server says nothing that makes sense."""
_JITTER: Final = 0.2
"""Share by which renewals come earlier or later, so that thousands do not come at once."""
_LOOK: Final = 1.0
"""Seconds between two looks, on average, whether the name server is still there."""
_FIRST_DELAY: Final = 0.25
_LONGEST_DELAY: Final = 5.0
"""Seconds between two rounds of attempts, at most: a server is found again within a lease after
its name server is back."""
_REFUSED: Final = 30.0
"""Seconds after which a name is asked for again that is refused."""
_UNSURE: Final = 60.0
"""Seconds in which a registration whose answer was lost may still come to pass."""
_FAREWELL: Final = 1.0
"""Seconds for a name server to hear that a server stops."""
_STOPPING: Final = 1.0
"""Seconds that `stop()` waits for that at most, whatever goes on then with the name server."""
_ENDING: Final = 2.5
"""Seconds for the thread to end when it was refused."""
_GLANCE: Final = 0.1
"""Seconds between two looks whether the first registration is still waited for."""


class _NameServer(Protocol):
    """As much of `asking.NameServer` as is used."""

    @property
    def connected(self) -> bool: ...

    def call(self, function: str, *args: Any, timeout: float) -> Any: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class Registrar:
    """Keeps one server registered.

    Args:
        record: What the server says of itself: `naming.record.record_of` makes one.
        nameservers: Where to register.
        measure: Gives the load of the moment, as plain data.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        reach: Opens a session with a name server.
        clock: Monotonic seconds.
        chance: Gives numbers from 0 to 1.
    """

    def __init__(
        self,
        record: Mapping[str, Any],
        nameservers: NameServers,
        measure: Callable[[], Mapping[str, Any]],
        *,
        ssl_context: ssl.SSLContext | None = None,
        reach: Callable[..., _NameServer] = NameServer,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = _chance,
    ) -> None:
        self._record = dict(record)
        self._name, self._id = str(record["name"]), str(record["id"])
        self._nameservers = nameservers
        self._measure = measure
        self._ssl_context = ssl_context
        self._reach = reach
        self._clock = clock
        self._chance = chance
        self._state = "ready"
        # The session with a name server, and where that is.
        self._server: _NameServer | None = None
        self._url = ""
        # Of the lease; None while there is none. Who gave it, with how many seconds between
        # renewals.
        self._fence: int | None = None
        self._given_by = ""
        self._every = _EVERY
        # Until when a registration may be in force of which we know nothing.
        self._unsure_until = -1.0
        # Name servers that are still to be tried in this round, and how many rounds have failed.
        self._untried: list[str] = []
        self._rounds = 0
        # What was logged last of the trouble that there is; None if there is none.
        self._trouble: str | None = None
        self._is_over = False
        self._stopping = False
        # Whether nothing more is said to a name server, which took too long while we stop.
        self._is_abandoned = False
        # Whether the first round is over, and what it has ended with for good.
        self._begun = threading.Event()
        self._refusal: Exception | None = None
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_registered(self) -> bool:
        """Whether the last that was heard of a name server is that the name is ours."""
        return self._fence is not None and self._trouble is None

    def start(self, until: Callable[[], bool] = lambda: False) -> None:
        """Register, and keep registered in a thread of its own.

        That no name server can be reached is a warning: it goes on trying.

        Args:
            until: Asked while name servers take their time; true if that is not to be waited for.
                `stop()` ends what goes on then, and so does an exception in here.

        Raises:
            NameTaken: The name is another's.
            NameRefused: The token is not for this name.
            AuthenticationFailed: The name servers that can be reached do not take the token.
            ValueError: They do not take the record.
            RuntimeError: It has been started, and has not ended since.
        """
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError(f"{self._name} is registered already, or is still being given back")
        # It may have been stopped before.
        self._stopping = self._is_over = self._is_abandoned = False
        self._trouble, self._untried, self._rounds = None, [], 0
        self._refusal = None
        self._begun.clear()
        self._thread = threading.Thread(target=self._run, name="wsremote-registrar", daemon=True)
        self._thread.start()
        try:
            # Not without a limit: an interrupt may be another thread's, and wake nobody here.
            while not self._begun.wait(_GLANCE):
                if until():
                    return
        except BaseException:
            self._stopping = True
            self._changed.set()
            raise
        if self._refusal is not None:
            self._thread.join(_ENDING)
            self._thread = None
            raise self._refusal

    def drain(self, draining: bool = True) -> None:
        """Have no new clients sent here, or have them sent again; at once."""
        self._state = "draining" if draining else "ready"
        self._changed.set()

    def stop(self) -> None:
        """Give the name back, so that no new clients are sent here. Safe to call twice."""
        self._stopping = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join(_STOPPING)
            if self._thread.is_alive():
                self._abandon()

    def _abandon(self) -> None:
        """Leave a name server alone that does not answer; the lease ends by itself."""
        if self._fence is not None and not self._is_abandoned:
            logger.warning(
                "! %s could not be deregistered: the name server %s did not answer within %g s",
                self._name,
                self._url,
                _STOPPING,
            )
        self._is_abandoned = True
        server = self._server
        if server is not None:
            server.abandon()

    # ---- in its thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._begin()
        except Exception as error:
            self._refusal = error
        self._begun.set()
        if self._refusal is None:
            self._keep()
        self._leave()

    def _begin(self) -> None:
        """Ask each name server once.

        Raises:
            NameTaken: As `start`, and so the others.
        """
        refused: AuthenticationFailed | None = None
        for _ in self._nameservers.urls:
            if self._stopping:
                return
            try:
                self._attend()
            except (NameTaken, NameRefused, ValueError):
                raise
            except (WsRemoteError, OSError) as error:
                if isinstance(error, AuthenticationFailed):
                    refused = refused or self._nameservers.explained(error)
                if self._give_up():
                    if refused is not None:
                        raise refused from None
                    self._complain_of(error)
            else:
                return

    def _keep(self) -> None:
        delay = self._delay()
        while not self._is_over:
            self._pause(delay)
            if self._stopping:
                break
            try:
                delay = self.step()
            except Exception:  # a bug: the server must not lose its name for it
                logger.exception("! %s cannot be kept registered for now", self._name)
                self._hang_up()
                delay = _REFUSED

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than there is nothing to do."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0.0:
            # At different moments: all servers of a name server lose it at once.
            if self._changed.wait(min(left, _LOOK * (0.5 + self._chance()))):
                break
            if self._server is not None and not self._server.connected:
                break
        self._changed.clear()

    def step(self) -> float:
        """See to the registration once; gives the seconds until that is to be done again."""
        try:
            self._attend()
        except LeaseLost as error:
            self._fence = None
            # Another name server counts for itself, perhaps; and a registration whose answer was
            # lost has replaced our own.
            is_sure = self._given_by == self._url and self._clock() > self._unsure_until
            if error.reason == "replaced" and is_sure:
                self._is_over = True
                logger.error(
                    "! another server has been registered in the place of this one, as %s with the"
                    " same URL: this one is no longer found by its name. %s",
                    self._name,
                    error,
                )
            else:
                logger.info("= %s registers again: %s", self._name, error)
            return 0.0
        except (NameTaken, NameRefused, ValueError) as error:
            self._fence = None
            self._complain(logging.ERROR, f"{self._name} is not registered: {error}")
            return self._spread(_REFUSED)
        except (WsRemoteError, OSError) as error:
            if self._give_up():
                self._complain_of(error)
        return self._delay()

    def _attend(self) -> None:
        """Renew, or register.

        Raises:
            WsRemoteError: Neither could be done.
        """
        if self._server is None:
            self._untried = self._untried or self._nameservers.in_turn()
            self._url = self._untried[0]
            self._server = self._reached(self._url, _OPENING)
        if self._stopping:
            return
        if self._fence is None:
            self._register(self._server)
        # Also after a registration: it brings the load, and whether we drain.
        # As text: it costs the name server a third of what a dict does.
        load, state = json.dumps(dict(self._measure())), self._state
        # A hanging one is noticed while the lease still stands, however short that is.
        seconds = min(_ANSWER, max(1.0, self._every))
        self._server.call("renew", self._name, self._id, self._fence, load, state, timeout=seconds)
        self._nameservers.has_answered(self._url)
        self._untried, self._rounds = [], 0
        if self._trouble is not None:
            self._trouble = None
            logger.warning("= %s is registered now, at %s", self._name, self._url)

    def _register(self, server: _NameServer) -> None:
        unsure_before, self._unsure_until = self._unsure_until, self._clock() + _UNSURE
        lease = server.call("register", self._record, timeout=_ANSWER)
        try:
            # No proxy is looked into: that would be a call, which takes as long as it likes.
            if type(lease) is not dict:
                raise ValueError(f"it is {kind_of(lease)}, not a dict")
            fence, every = lease["fence"], lease["every"]
            if type(fence) is not int or type(every) not in (int, float) or not 0 < every < 3600:
                raise ValueError("a number is missing")
        except (TypeError, LookupError, ValueError) as error:
            raise ConnectionFailed(
                f"the name server {self._url} gave no lease that makes sense ({error}): is it the"
                " same version of wsremote?"
            ) from error
        self._fence, self._given_by, self._every = fence, self._url, float(every)
        self._unsure_until = unsure_before
        logger.info("= registered as %s at %s", self._name, self._url)

    def _give_up(self) -> bool:
        """This name server is of no use now: the others are tried, and then it again.

        Gives whether none is left in this round.
        """
        self._hang_up()
        if self._untried:
            self._untried = self._untried[1:]
        else:
            self._untried = [url for url in self._nameservers.urls if url != self._url]
            self._untried.append(self._url)
        if self._untried:
            return False
        self._rounds += 1
        return True

    def _complain_of(self, error: Exception) -> None:
        """No name server can be reached."""
        if self._is_abandoned:
            return
        # It may be found still: name servers that lose their Redis go on giving what they know.
        what = "is not registered" if self._fence is None else "cannot renew its registration"
        self._complain(
            logging.WARNING, f"{self._name} {what}, and tries again all the time: {error}"
        )

    def _complain(self, level: int, text: str) -> None:
        """Once for each trouble, not for each attempt."""
        kind = text.partition(":")[0]
        if self._trouble != kind:
            self._trouble = kind
            logger.log(level, "! %s", text)
        else:
            logger.debug("! %s", text)

    def _delay(self) -> float:
        """Seconds until something is to be done."""
        if self._server is not None:
            return self._spread(self._every)
        if self._untried:
            return 0.0
        # Full jitter: all servers of a name server that was restarted come at once otherwise.
        return self._chance() * min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._rounds, 10))

    def _spread(self, seconds: float) -> float:
        return seconds * (1.0 - _JITTER + 2.0 * _JITTER * self._chance())

    def _leave(self) -> None:
        """Give the lease back, over another connection if this one is lost."""
        try:
            if self._fence is not None and not self._is_abandoned:
                if self._server is not None and not self._server.connected:
                    self._hang_up()
                if self._server is None:
                    self._server = self._reached(self._url, _FAREWELL)
                name, server, fence = self._name, self._id, self._fence
                self._server.call("deregister", name, server, fence, timeout=_FAREWELL)
                logger.info("= %s is no longer registered", self._name)
        except (WsRemoteError, ValueError, OSError) as error:
            if not self._is_abandoned:
                logger.warning("! %s could not be deregistered: %s", self._name, error)
        self._fence = None
        self._hang_up()

    def _reached(self, url: str, timeout: float) -> _NameServer:
        token = self._nameservers.token
        return self._reach(url, token, ssl_context=self._ssl_context, timeout=timeout)

    def _hang_up(self) -> None:
        """End the session with the name server, which may be one that hangs."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
