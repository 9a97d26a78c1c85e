"""Opens a session with the first of several servers that can be reached and prove the token."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..client.async_session import in_thread, open_async
from ..client.session import Session
from ..errors import (
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    NameNotFound,
    SessionClosed,
)
from ..printable import printable
from .identity import mismatch
from .lookup import CANDIDATES, Found, is_gone, look_up

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from ..client.async_session import AsyncSession
    from ..client.bounds import Bounds
    from .information import ServerInfo
    from .names import Wanted
    from .nameservers import NameServers

__all__ = ["Attempts", "Named"]

logger = logging.getLogger("wsremote.naming")

_FAILURES: Final = (ConnectionFailed, ConnectionLost, SessionClosed, OSError)
"""What lets the next server be tried."""
_LONGEST: Final = 500
"""Characters of what is said of one of them."""
_LONGEST_ERROR: Final = 4000
"""The same of all of them: a URL alone may have 2000."""
_MOST_REASONS: Final = 8
"""Of so many at most it is said why they cannot be used."""
_MORE_CANDIDATES: Final = 16
"""Servers that are asked for when none of the first can be used; name servers give no more."""

_ASKING: Final = 10.0
"""Seconds to ask whether a server has left: half of it for all name servers."""


class Attempts:
    """Which of the servers of a name is tried next, and what came of those before.

    Args:
        name: Of them.
        found: The servers, in the order in which they are tried; of each, all its URLs.
        timeout: Seconds for all of them.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        found: Found,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._end = clock() + timeout
        self._clock = clock
        # By the URL; and what was wrong with it, in the same order.
        self._places: dict[str, ServerInfo] = {}
        self._failures: list[tuple[str, bool]] = []
        # A warning that is still to say which is the next.
        self._unsaid = ""
        self._doubt = found.doubt
        self.add(found.servers)

    def add(self, servers: Sequence[ServerInfo]) -> bool:
        """Try these too, where they are others; whether they are."""
        known = len(self._places)
        for each in servers:
            for url in each.urls:
                self._places.setdefault(url, each)
        return len(self._places) > known

    def __iter__(self) -> Iterator[tuple[str, ServerInfo, float]]:
        """URLs that have not been tried, each with the record that has it and its seconds.

        A silent one must leave time for the others.
        """
        while (number := len(self._failures)) < len(self._places):
            url, server = list(self._places.items())[number]
            self._say(f"; trying {url}")
            left = max(0.05, self._end - self._clock())
            yield url, server, round(left / (len(self._places) - number), 2)

    @property
    def is_late(self) -> bool:
        """Whether the time for all of them has passed."""
        return self._clock() >= self._end

    def failed(self, error: Exception) -> None:
        """The last URL is of no use."""
        # A server that has proved nothing may have said it.
        urls, tried = list(self._places), len(self._failures) + 1
        text = printable(str(error), _LONGEST).removeprefix(f"{urls[tried - 1]}: ")
        self._failures.append((text, isinstance(error, AuthenticationFailed)))
        self._unsaid = f"! {self._name}: {urls[tried - 1]} cannot be used: {text}"

    def _say(self, following: str) -> None:
        """Warn of the last that was of no use: others may have been asked for since then."""
        if self._unsaid:
            logger.warning("%s%s", self._unsaid, following)
        self._unsaid = ""

    def error(self) -> ConnectionFailed:
        """That none of them is of use: each of the first with its reason."""
        self._say("")
        all_refuse = all(is_refusal for _, is_refusal in self._failures)
        kind = AuthenticationFailed if all_refuse else ConnectionFailed
        said = [
            text if url in text else f"{url}: {text}"
            for url, (text, _) in zip(self._places, self._failures, strict=True)
        ]
        count = len(self._places)
        if count > _MOST_REASONS:
            said[_MOST_REASONS:] = [f"and {count - _MOST_REASONS} more"]
        reasons = "; ".join(said)[:_LONGEST_ERROR]
        what = "the server" if count == 1 else f"none of the {count} servers"
        verb = "cannot be used" if count == 1 else "can be used"
        text = f"{what} of {self._name} {verb}: {reasons}"
        if self._doubt is not None:
            # Of those of an earlier answer. So there is probably none.
            return NameNotFound(f"{self._doubt} Where it was before, {text}", is_certain=False)
        return kind(text)


@dataclass(frozen=True, slots=True)
class Named:
    """A server that is to be found by its name.

    Attributes:
        wanted: The name, and what else is asked of it.
        nameservers: Where to ask.
    """

    wanted: Wanted
    nameservers: NameServers

    def __str__(self) -> str:
        return self.wanted.name

    def open(
        self, token: str, *, ssl_context: ssl.SSLContext | None, timeout: float, bounds: Bounds
    ) -> Session:
        """A session with one of its servers.

        Args:
            token: The secret of the servers.
            ssl_context: What to trust with `wss://`; None for the system's authorities.
            timeout: Seconds: half of it at most for the name servers, then for all the servers.
            bounds: Of the results.

        Raises:
            ConnectionFailed: There is no session; the text says why and what to do.
        """
        end = time.monotonic() + timeout
        found = self._look_up(ssl_context, timeout)
        # To see that a name server hangs may have taken longer than its half.
        attempts = self._attempts(found, max(end - time.monotonic(), timeout / 2))
        while True:
            for url, server, seconds in attempts:
                try:
                    session = Session(
                        url, token, ssl_context=ssl_context, timeout=seconds, bounds=bounds
                    )
                    try:
                        self._check(session, server)
                        self._attend_to(session, ssl_context)
                    except BaseException:
                        # An interrupt too: nobody would ever end a session that nobody has.
                        session.close()
                        raise
                except _FAILURES as error:
                    attempts.failed(error)
                else:
                    return session
            if not self._are_more(attempts, found, ssl_context, timeout):
                raise attempts.error()

    async def open_async(
        self, token: str, *, ssl_context: ssl.SSLContext | None, seconds: float, bounds: Bounds
    ) -> AsyncSession:
        """The same in the running event loop; the look-up is made in a thread."""
        end = time.monotonic() + seconds
        found = await in_thread(lambda: self._look_up(ssl_context, seconds))
        attempts = self._attempts(found, max(end - time.monotonic(), seconds / 2))
        while True:
            for url, server, share in attempts:
                try:
                    session = await open_async(url, token, ssl_context, share, bounds)
                    try:
                        self._check(session, server)
                        self._attend_to(session, ssl_context)
                    except BaseException:
                        await session.close()
                        raise
                except _FAILURES as error:
                    attempts.failed(error)
                else:
                    return session
            if not await in_thread(lambda: self._are_more(attempts, found, ssl_context, seconds)):
                raise attempts.error()

    def _look_up(
        self, ssl_context: ssl.SSLContext | None, timeout: float, candidates: int = CANDIDATES
    ) -> Found:
        return look_up(
            self.wanted,
            self.nameservers,
            ssl_context=ssl_context,
            timeout=timeout / 2,
            candidates=candidates,
        )

    def _attempts(self, found: Found, timeout: float) -> Attempts:
        return Attempts(self.wanted.name, found, timeout)

    def _check(self, session: Session | AsyncSession, server: ServerInfo) -> None:
        """See that a session is with the server that was looked for.

        Raises:
            ConnectionFailed: Another one is there that takes the token.
        """
        problem = mismatch(session._driver.server, server, self.wanted)
        if problem is None and "nameserver" in session.tree.packages:
            problem = f"a name server is there, and no server of {self.wanted.name}"
        if problem is not None:
            raise ConnectionFailed(f"{session.url}: {problem}")

    def _attend_to(
        self, session: Session | AsyncSession, ssl_context: ssl.SSLContext | None
    ) -> None:
        """Have a session whose server is dead end, and not wait for it until its time is over."""
        url = session.url
        session._driver.ask_when_lost(lambda: self.has_left(url, ssl_context, _ASKING))

    def _are_more(
        self,
        attempts: Attempts,
        found: Found,
        ssl_context: ssl.SSLContext | None,
        timeout: float,
    ) -> bool:
        """Whether there are other servers than those that were tried: all may have been full."""
        if len(found.servers) != CANDIDATES or attempts.is_late:
            return False
        try:
            return attempts.add(self._look_up(ssl_context, timeout, _MORE_CANDIDATES).servers)
        except ConnectionFailed as error:
            logger.info("! no other servers of %s: %s", self.wanted.name, error)
            return False

    def is_over(self, url: str, ssl_context: ssl.SSLContext | None, timeout: float) -> bool:
        """Whether a session that has no connection is of no more use: its server has left."""
        if not self.has_left(url, ssl_context, timeout):
            return False
        logger.warning(
            "! %s: the session at %s has no connection, and no server of that name is there any"
            " more: another one is looked for",
            self.wanted.name,
            url,
        )
        return True

    def has_left(self, url: str, ssl_context: ssl.SSLContext | None, timeout: float) -> bool:
        """Whether the name servers are certain that no server of the name is at this URL any more.

        Asked for a session that has no connection: its server may be gone for ever, or come back.
        """
        return is_gone(
            self.wanted.name,
            url,
            self.nameservers,
            ssl_context=ssl_context,
            timeout=timeout / 2,
        )
