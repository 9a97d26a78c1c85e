"""From a name to the servers that have it: asked of the name servers, or remembered."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..errors import AuthenticationFailed, ConnectionFailed, NameNotFound, WsRemoteError
from ..printable import kind_of, printable
from .asking import NameServer
from .information import ServerInfo, ServerList
from .remembered import Remembered

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from .names import Wanted
    from .nameservers import NameServers
    from .remembered import Answer

__all__ = ["CANDIDATES", "Found", "all_servers", "doubt_of", "is_gone", "look_up", "servers_of"]

logger = logging.getLogger("wsremote.naming")

T = TypeVar("T")

CANDIDATES: Final = 3
"""Servers that are asked for: one to connect to, and others in case that cannot be reached."""
_MOST_LINES: Final = 3
"""Records of one answer of which it is said why they are left out."""
_LONGEST_DOUBT: Final = 500
"""Characters of a name server's doubt."""
_PATIENCE: Final = 3.0
"""Seconds for all name servers together where an earlier answer is remembered."""


class Found(NamedTuple):
    """What came of a look-up.

    Attributes:
        servers: To be tried, in this order; at least one.
        doubt: What the name servers say that is not certain, if the servers are those of an
            earlier answer.
    """

    servers: list[ServerInfo]
    doubt: NameNotFound | None = None


def look_up(
    wanted: Wanted,
    nameservers: NameServers,
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
    candidates: int = CANDIDATES,
    remembered: Remembered | None = None,
) -> Found:
    """The servers to try.

    Args:
        wanted: The name, and what else is asked of a server.
        nameservers: Where to ask, one after the other.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.
        candidates: How many servers, at most.
        remembered: Earlier answers; None for those on this user's disk.

    Raises:
        NameNotFound: There is no such server.
        AuthenticationFailed: The name servers do not take the token.
        ConnectionFailed: No name server answers, and none has before.
        ValueError: The version or a tag is too long.
    """
    remembered = remembered or Remembered.default()
    known = remembered.recall(nameservers.urls, wanted)
    patience = timeout if known is None else min(timeout, _PATIENCE)

    def resolve(server: NameServer, seconds: float) -> list[ServerInfo]:
        name, version, tags, zone = wanted
        answer = server.call(
            "resolve", name, version or None, tags, zone, candidates, timeout=seconds
        )
        # Cut to what was asked for: each is tried, and there may be thousands.
        found = [each for each in servers_of(answer, server.url, candidates) if each.name == name]
        if not found:
            raise ConnectionFailed(
                f"the name server {server.url} gave no record of {name} that can be used"
            )
        return found

    try:
        found = _ask_all(nameservers, resolve, ssl_context=ssl_context, timeout=patience)
    except AuthenticationFailed:
        raise
    except ConnectionFailed as error:
        if isinstance(error, NameNotFound) and (error.is_certain or known is None):
            raise
        if known is None:
            raise ConnectionFailed(
                f"no name server says where {wanted.name} is, and none has before: {error}"
            ) from error
        logger.warning("! %s", _from_memory(wanted.name, known, error))
        return Found(known.servers, error if isinstance(error, NameNotFound) else None)
    remembered.remember(nameservers.urls, wanted, found)
    return Found(found)


def all_servers(
    prefix: str,
    nameservers: NameServers,
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
) -> ServerList:
    """All servers whose names begin so, also those that take no clients; by their names.

    Args:
        prefix: "" for all.
        nameservers: Where to ask, one after the other.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.

    Raises:
        ConnectionFailed: No name server answers.
    """

    def ask(server: NameServer, seconds: float) -> ServerList:
        end = time.monotonic() + seconds
        # First: what is missing in the list then may be there a moment later.
        doubt = doubt_of(server.call("doubt", timeout=seconds))
        left = max(0.0, end - time.monotonic())
        found = servers_of(server.call("servers", prefix, timeout=left), server.url)
        found.sort(key=lambda each: (each.name, -each.age, each.urls))
        found.doubt = doubt
        return found

    return _ask_all(nameservers, ask, ssl_context=ssl_context, timeout=timeout)


def is_gone(
    name: str,
    url: str,
    nameservers: NameServers,
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
) -> bool:
    """Whether no server of a name is at a URL any more, and a name server is certain of that.

    Args:
        name: Of the service.
        url: Where a server of it was.
        nameservers: Where to ask, one after the other.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.
    """
    said: list[NameNotFound] = []

    def ask(server: NameServer, seconds: float) -> None:
        try:
            server.call("find", name, url, timeout=seconds)
        except NameNotFound as error:
            said.append(error)
            raise

    try:
        _ask_all(nameservers, ask, ssl_context=ssl_context, timeout=timeout)
    except (ConnectionFailed, ValueError):
        # One that knows is enough: the others may be down for as long as the server is.
        return any(error.is_certain for error in said)
    return False


def _ask_all(
    nameservers: NameServers,
    question: Callable[[NameServer, float], T],
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
) -> T:
    """What the first name server that answers says, the last good one being asked first.

    That a name is not found only counts if none of the others has it: one that was just started
    may not know it yet. And it is certain only if one knows all servers, and all were heard; but
    what it says of servers that it knows (they drain, say) is, whoever else is down.

    Args:
        nameservers: Where to ask.
        question: Asks one, within so many seconds.
        ssl_context: What to trust with `wss://`.
        timeout: Seconds for all of them.

    Raises:
        ConnectionFailed: None of them answers; the text has the reason of each.
        ValueError: The question makes no sense.
    """
    end = time.monotonic() + timeout
    failures: list[ConnectionFailed] = []
    in_turn = nameservers.in_turn()
    for number, url in enumerate(in_turn):
        # A silent one must leave time for the others.
        until = time.monotonic() + max(0.05, end - time.monotonic()) / (len(in_turn) - number)
        try:
            left = round(until - time.monotonic(), 2)
            with NameServer(
                url, nameservers.token, ssl_context=ssl_context, timeout=left
            ) as server:
                answer = question(server, until - time.monotonic())
        except WsRemoteError as error:
            logger.info("! %s", error)
            if isinstance(error, AuthenticationFailed):
                error = nameservers.explained(error)
            elif not isinstance(error, ConnectionFailed):
                # Of those that only servers are told when they register.
                text = f"the name server {url}: {type(error).__name__}: {error}"
                error = ConnectionFailed(text)
            failures.append(error)
        else:
            nameservers.has_answered(url)
            return answer
    raise _the_one(failures)


def _the_one(failures: Sequence[ConnectionFailed]) -> ConnectionFailed:
    """One error for those of all name servers."""
    said = [error for error in failures if isinstance(error, NameNotFound)]
    if said:
        others = [error for error in failures if not isinstance(error, NameNotFound)]
        sure = [error for error in said if error.is_certain]
        knows = [error for error in sure if error.is_known]
        return NameNotFound(
            _joined([*(knows or said)[:1], *others]),
            is_certain=bool(knows or (sure and not others)),
            is_known=any(error.is_known for error in said),
        )
    if all(isinstance(error, AuthenticationFailed) for error in failures):
        return AuthenticationFailed(_joined(failures[:1]))
    return ConnectionFailed(" ".join(f"{str(error).rstrip('.')};" for error in failures)[:-1])


def _joined(failures: Sequence[ConnectionFailed]) -> str:
    """Their texts, each once."""
    *texts, last = dict.fromkeys(map(str, failures))
    return "; ".join([*(text.rstrip(".") for text in texts), last])


def doubt_of(said: object) -> str:
    """Why a name server's list may lack servers, in words; "" if it says nothing of that."""
    return printable(said, _LONGEST_DOUBT) if type(said) is str else ""


def servers_of(answer: object, url: str, most: int | None = None) -> ServerList:
    """The records of an answer; what is none is left out, with a line in the log.

    Args:
        answer: Of a name server.
        url: Of that one.
        most: Records that were asked for; None for all that there are.

    Raises:
        ConnectionFailed: It is no list.
    """
    if type(answer) not in (list, tuple):
        raise ConnectionFailed(
            f"the name server {url} gave {kind_of(answer)} for a list of servers: is it the"
            " same version of wsremote?"
        )
    found = ServerList()
    for record in answer[:most]:  # type: ignore[index]
        try:
            found.append(ServerInfo.from_wire(record))
        except ValueError as error:
            found.left_out += 1
            if found.left_out <= _MOST_LINES:
                why = printable(str(error))
                logger.warning("! the name server %s gave a record that is left out: %s", url, why)
    if found.left_out > _MOST_LINES:
        more = found.left_out - _MOST_LINES
        logger.warning("! the name server %s gave %d more that are left out", url, more)
    return found


def _from_memory(name: str, known: Answer, error: ConnectionFailed) -> str:
    minutes = known.age / 60
    age = f"{minutes / 60:.0f} h" if minutes > 90 else f"{minutes:.0f} min"
    urls = ", ".join(url for server in known.servers for url in server.urls)
    return (
        f"no name server answers that knows, {name} is looked for where it was {age} ago, {urls}:"
        f" {error}"
    )
