"""Opens a session with the first of several servers that can be reached and prove the token."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..client.async_session import in_thread, open_async
from ..client.session import Session
from ..errors import AuthenticationFailed, ConnectionFailed, ConnectionLost, SessionClosed
from ..printable import printable
from .lookup import all_servers, look_up

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


class Attempts:
    """Which of the servers of a name is tried next, and what came of those before.

    Args:
        name: Of them.
        servers: In the order in which they are tried; of each, all its URLs.
        timeout: Seconds for all of them.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        servers: Sequence[ServerInfo],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._urls = list(dict.fromkeys(url for each in servers for url in each.urls))
        self._end = clock() + timeout
        self._clock = clock
        self._failures: list[tuple[str, bool]] = []

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """URLs, each with the seconds for it: a silent one must leave time for the others."""
        for number, url in enumerate(self._urls):
            left = max(0.05, self._end - self._clock())
            yield url, round(left / (len(self._urls) - number), 2)

    def failed(self, error: Exception) -> None:
        """The last URL is of no use."""
        # A server that has proved nothing may have said it.
        text = printable(str(error), 2000)
        self._failures.append((text, isinstance(error, AuthenticationFailed)))
        tried = len(self._failures)
        url = self._urls[tried - 1]
        following = f"; trying {self._urls[tried]}" if tried < len(self._urls) else ""
        logger.warning("! %s: %s cannot be used: %s%s", self._name, url, text, following)

    def error(self) -> ConnectionFailed:
        """That none of them is of use: each with its reason."""
        all_refuse = all(is_refusal for _, is_refusal in self._failures)
        kind = AuthenticationFailed if all_refuse else ConnectionFailed
        reasons = "; ".join(
            text if url in text else f"{url}: {text}"
            for url, (text, _) in zip(self._urls, self._failures, strict=True)
        )
        what = "the server" if len(self._urls) == 1 else f"none of the {len(self._urls)} servers"
        verb = "cannot be used" if len(self._urls) == 1 else "can be used"
        return kind(f"{what} of {self._name} {verb}: {reasons}")


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
        servers = self._look_up(ssl_context, timeout)
        # To see that a name server hangs may have taken longer than its half.
        left = max(end - time.monotonic(), timeout / 2)
        attempts = Attempts(self.wanted.name, servers, left)
        for url, seconds in attempts:
            try:
                return Session(url, token, ssl_context=ssl_context, timeout=seconds, bounds=bounds)
            except _FAILURES as error:
                attempts.failed(error)
        raise attempts.error()

    async def open_async(
        self, token: str, *, ssl_context: ssl.SSLContext | None, seconds: float, bounds: Bounds
    ) -> AsyncSession:
        """The same in the running event loop; the look-up is made in a thread."""
        end = time.monotonic() + seconds
        servers = await in_thread(lambda: self._look_up(ssl_context, seconds))
        left = max(end - time.monotonic(), seconds / 2)
        attempts = Attempts(self.wanted.name, servers, left)
        for url, share in attempts:
            try:
                return await open_async(url, token, ssl_context, share, bounds)
            except _FAILURES as error:
                attempts.failed(error)
        raise attempts.error()

    def _look_up(self, ssl_context: ssl.SSLContext | None, timeout: float) -> list[ServerInfo]:
        return look_up(self.wanted, self.nameservers, ssl_context=ssl_context, timeout=timeout / 2)

    def has_left(self, url: str, ssl_context: ssl.SSLContext | None, timeout: float) -> bool:
        """Whether the name servers say that no server of the name is at this URL any more.

        Asked for a session that has no connection: its server may be gone for ever, or come back.
        """
        name = self.wanted.name
        try:
            servers = all_servers(
                name, self.nameservers, ssl_context=ssl_context, timeout=timeout / 2
            )
        except ConnectionFailed:
            return False
        left = not any(each.name == name and url in each.urls for each in servers)
        if left:
            logger.warning(
                "! %s: the session at %s has no connection, and there is no server of that name any"
                " more: another session is opened",
                name,
                url,
            )
        return left
