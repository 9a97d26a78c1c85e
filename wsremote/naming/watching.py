"""Which servers come, change and go, as a name server tells it; from the next when one is gone."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import AuthenticationFailed, ConnectionFailed, WsRemoteError
from ..printable import kind_of
from .asking import NameServer
from .information import ServerInfo
from .lookup import doubt_of, servers_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterator

    from .nameservers import NameServers

__all__ = ["Change", "Watch"]

logger = logging.getLogger("wsremote.naming")

# The generator of the module `random` is the user's, who may have seeded it.
_chance: Final = random.SystemRandom().random

_OPENING: Final = 5.0
"""Seconds to reach a name server."""
_PATIENCE: Final = 20.0
"""Seconds without a change after which it is asked again: one that is gone is noticed so."""
_LONGEST_DELAY: Final = 5.0
"""Seconds between two rounds of attempts, at most."""

_Key = tuple[str, str]


class Change(NamedTuple):
    """One change of one server.

    Attributes:
        kind: `registered`, `changed` or `gone`.
        server: As it is now, or was before it went.
    """

    kind: str
    server: ServerInfo


class Watch:
    """What name servers tell of the servers whose names begin so.

    Args:
        prefix: "" for all names.
        nameservers: Where to ask.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        reach: Opens a session with a name server.
        pause: Waits so many seconds.

    Attributes:
        servers: Those of this moment, by name and id. What a name server lacks that has just been
            started stays in it, until that one has heard all servers.
        doubt: Why others that run may be missing, in words; "" if none are.
    """

    def __init__(
        self,
        prefix: str,
        nameservers: NameServers,
        *,
        ssl_context: ssl.SSLContext | None = None,
        reach: Callable[..., NameServer] = NameServer,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._prefix = prefix
        self._nameservers = nameservers
        self._ssl_context = ssl_context
        self._reach = reach
        self._pause = pause
        self.servers: dict[_Key, ServerInfo] = {}
        self.doubt = ""

    def __iter__(self) -> Generator[list[Change], None, None]:
        """First all that there are, as registered; then the changes as they come, without end.

        An interrupt ends it.

        Raises:
            ConnectionFailed: At the beginning no name server answers. Later ones are waited for.
        """
        failures: list[str] = []
        failed_rounds, has_begun = 0, False
        while True:
            for url in self._nameservers.in_turn():
                try:
                    for changes in self._watch(url):
                        if failed_rounds:
                            logger.warning("= changes are seen again, at %s", url)
                        failed_rounds, failures = 0, []
                        if changes or not has_begun:
                            has_begun = True
                            yield changes
                except (WsRemoteError, ValueError, OSError) as error:
                    if isinstance(error, AuthenticationFailed):
                        error = self._nameservers.explained(error)
                    failures.append(str(error))
                    if not has_begun and isinstance(error, AuthenticationFailed):
                        raise error from None
            if not has_begun:
                raise ConnectionFailed("; ".join(failures))
            if not failed_rounds:
                logger.warning("! no changes are seen for now: %s", "; ".join(failures))
            failed_rounds, failures = failed_rounds + 1, []
            self._pause(_chance() * min(_LONGEST_DELAY, 0.25 * 2.0 ** min(failed_rounds, 10)))

    def _watch(self, url: str) -> Iterator[list[Change]]:
        """The changes that one name server tells of, until it tells no more."""
        with self._reach(
            url, self._nameservers.token, ssl_context=self._ssl_context, timeout=_OPENING
        ) as server:
            # Of this session only: another name server counts for itself.
            since: int | None = None
            while True:
                # While there is a doubt all is asked for again: it may have ended in between.
                last = None if self.doubt else since
                for item in server.watch(last, self._prefix, patience=_PATIENCE):
                    since, changes = self._read(item, url)
                    self._nameservers.has_answered(url)
                    yield changes

    def _read(self, item: Any, url: str) -> tuple[int, list[Change]]:
        """One item of the stream: its revision, and what has changed by it."""
        try:
            # No proxy is looked into: that would be a call, which takes as long as it likes.
            if type(item) is not dict:
                raise ValueError(f"it is {kind_of(item)}, not a dict")
            revision, kind = item["revision"], item["kind"]
            if type(revision) is not int or type(kind) is not str:
                raise ValueError("its revision is no number, or its kind no text")
            if kind == "all":
                found = servers_of(item["servers"], url)
                self._take_doubt(doubt_of(item.get("doubt")))
                return revision, self._replace({(each.name, each.id): each for each in found})
            key = item["name"], item["id"]
            if not all(type(part) is str for part in key):
                raise ValueError("its name or id is no text")
            server = None if kind == "gone" else ServerInfo.from_wire(item["server"])
        except (ValueError, TypeError, LookupError) as error:
            raise ConnectionFailed(
                f"the name server {url} told of a change that cannot be read ({error}): is it the"
                " same version of wsremote?"
            ) from error
        return revision, self._put(key, server)

    def _replace(self, found: dict[_Key, ServerInfo]) -> list[Change]:
        """These are all that there are, or all that are known already if there is a doubt."""
        changes = []
        gone = () if self.doubt else self.servers.keys() - found.keys()
        for key in [*gone, *found]:
            changes += self._put(key, found.get(key))
        return changes

    def _take_doubt(self, doubt: str) -> None:
        """Say when one begins, and when it ends."""
        if doubt and not self.doubt:
            logger.warning("! the list of servers may not be whole: %s", doubt)
        elif self.doubt and not doubt:
            logger.warning("= the list of servers is whole")
        self.doubt = doubt

    def _put(self, key: _Key, server: ServerInfo | None) -> list[Change]:
        before = self.servers.pop(key, None)
        if server is None:
            return [] if before is None else [Change("gone", before)]
        self.servers[key] = server
        if before is None:
            return [Change("registered", server)]
        return [] if before.is_like(server) else [Change("changed", server)]
