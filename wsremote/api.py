"""The verbs of the client: `connect`, `connect_async` and `servers`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from .client.async_session import in_thread, open_async
from .client.bounds import Bounds
from .client.connecting import Connecting, log_kept
from .client.session import Session
from .errors import AuthenticationFailed, ConnectionFailed
from .naming.lookup import all_servers
from .naming.names import is_url, wanted
from .naming.nameservers import NameServers
from .naming.reaching import Named

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence

    from .client.async_session import AsyncSession
    from .naming.information import ServerList

__all__ = ["connect", "connect_async", "servers"]

_Key = tuple[int, str | Named, str, Bounds]

# The live sessions of this process, for those who run the connect cell twice.
_sessions: weakref.WeakValueDictionary[_Key, Session] = weakref.WeakValueDictionary()
# Held while one is opened: by key, for one server that hangs is to keep nobody from another.
_opening: weakref.WeakValueDictionary[_Key, threading.Lock] = weakref.WeakValueDictionary()
_looking = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have been connecting."""
    global _looking
    _looking = threading.Lock()
    _opening.clear()


os.register_at_fork(after_in_child=_after_fork)


def connect(
    name_or_url: str | None = None,
    *,
    token: str | None = None,
    nameserver: str | Sequence[str] | None = None,
    nameserver_token: str | None = None,
    version: str | None = None,
    tags: Iterable[str] = (),
    zone: str | None = None,
    new: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    max_result: int | None = None,
    max_transfer_size: int | None = None,
) -> Session:
    """A session with the server at a URL, or with one of those that have a name.

    Called again with the same URL or name and token in one process, it gives the session that is
    open already: a notebook's connect cell may be run twice.

    Args:
        name_or_url: `ws://host:port` or `wss://host:port`; or a name, which the name server
            knows. By default the environment variable WSREMOTE_URL.
        token: The secret that the server printed; by default WSREMOTE_TOKEN.
        nameserver: URL of the name server, `ws://host:9999`; several, with commas between or as a
            sequence, are asked one after the other. By default WSREMOTE_NAMESERVER. Only for names.
        nameserver_token: That it lets in; by default WSREMOTE_NAMESERVER_TOKEN, else `token`.
        version: Of the service, as pip has it: `~=1.2`. Only for names, as what follows.
        tags: What the server must have been started with.
        zone: Where the server should be, if there is one there.
        new: Open another session even if one is open.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds to connect; of these at most half to ask the name servers.
        max_result: Bytes above which a result stays on the server: its repr is a preview, it is
            used as if it were here, and `session.fetch(x)` gives its value. By default none stays.
        max_transfer_size: Bytes of one result that this side takes at all; by default as many as
            the server sends (`--max-transfer-size`).

    Raises:
        NameNotFound: No server has the name, or none that has it is what was asked for.
        ConnectionFailed: There is no session; the text says why and what to do.
        ValueError: A bound is no sensible number of bytes, `version` or a tag is too long, or a URL
            was given together with what chooses among the servers of a name.
    """
    place, token = _where(
        name_or_url, token, nameserver, nameserver_token, version, tags, zone, "connect"
    )
    bounds = Bounds(max_result, max_transfer_size)
    bounds.check()
    key = (os.getpid(), place, token, bounds)
    with _looking:
        opening = _opening.setdefault(key, threading.Lock())
    with opening:
        session = None if new else _sessions.get(key)
        if (
            session is None
            or session.closed
            or (
                isinstance(place, Named)
                and not session.connected
                and place.is_over(session.url, ssl_context, timeout)
            )
        ):
            try:
                if isinstance(place, Named):
                    opened = place.open(
                        token, ssl_context=ssl_context, timeout=timeout, bounds=bounds
                    )
                else:
                    opened = Session(
                        place, token, ssl_context=ssl_context, timeout=timeout, bounds=bounds
                    )
            except ConnectionFailed as error:
                if session is None or session.closed:
                    raise
                # Its server may still be there, cut off from the name servers.
                log_kept(session.url, error)
                return session
            known = _sessions.get(key)
            if not new or known is None or known.closed:
                _sessions[key] = opened
            return opened
        return session


def connect_async(
    name_or_url: str | None = None,
    *,
    token: str | None = None,
    nameserver: str | Sequence[str] | None = None,
    nameserver_token: str | None = None,
    version: str | None = None,
    tags: Iterable[str] = (),
    zone: str | None = None,
    new: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    max_result: int | None = None,
    max_transfer_size: int | None = None,
) -> Connecting:
    """The same in the running event loop: every call is awaited.

    `session = await wsremote.connect_async(url)`, once more in one loop with the same URL or name
    and token, gives the session that is open already. `async with wsremote.connect_async(url) as
    session` opens one of its own and closes it at the end of the block.

    Args:
        name_or_url: `ws://host:port` or `wss://host:port`; or a name, which the name server
            knows. By default the environment variable WSREMOTE_URL.
        token: The secret that the server printed; by default WSREMOTE_TOKEN.
        nameserver: URL of the name server, `ws://host:9999`; several, with commas between or as a
            sequence, are asked one after the other. By default WSREMOTE_NAMESERVER. Only for names.
        nameserver_token: That it lets in; by default WSREMOTE_NAMESERVER_TOKEN, else `token`.
        version: Of the service, as pip has it: `~=1.2`. Only for names, as what follows.
        tags: What the server must have been started with.
        zone: Where the server should be, if there is one there.
        new: Open another session even if one is open.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds to connect; of these at most half to ask the name servers.
        max_result: Bytes above which a result stays on the server: its repr is a preview, it is
            used as if it were here, and `await session.fetch(x)` gives its value. By default none
            stays.
        max_transfer_size: Bytes of one result that this side takes at all; by default as many as
            the server sends (`--max-transfer-size`).

    Raises:
        NameNotFound: No server has the name, or none that has it is what was asked for.
        ConnectionFailed: There is no session; the text says why and what to do.
        ValueError: A bound is no sensible number of bytes, `version` or a tag is too long, or a URL
            was given together with what chooses among the servers of a name.
    """
    bounds = Bounds(max_result, max_transfer_size)
    bounds.check()
    place, token = _where(
        name_or_url, token, nameserver, nameserver_token, version, tags, zone, "connect_async"
    )

    async def opened() -> AsyncSession:
        if isinstance(place, Named):
            return await place.open_async(
                token, ssl_context=ssl_context, seconds=timeout, bounds=bounds
            )
        return await open_async(place, token, ssl_context, timeout, bounds)

    async def is_over(session: AsyncSession) -> bool:
        if isinstance(place, str):
            return False
        return await in_thread(lambda: place.is_over(session.url, ssl_context, timeout))

    return Connecting((place, token, bounds), opened, is_over, new=new)


def servers(
    prefix: str = "",
    *,
    nameserver: str | Sequence[str] | None = None,
    nameserver_token: str | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
) -> ServerList:
    """The servers that a name server knows, by their names: also those that take no new clients.

    It waits for the answer. `wsremote ls` shows the same. The list has an attribute `doubt`: a text
    if servers that run may be missing, as the name server was just started or cannot read its
    store; "" if it knows all.

    Args:
        prefix: What the names begin with; all if it is empty.
        nameserver: URL of the name server, `ws://host:9999`; several, with commas between or as a
            sequence, are asked one after the other. By default WSREMOTE_NAMESERVER.
        nameserver_token: That it lets in; by default WSREMOTE_NAMESERVER_TOKEN, else `token`.
        token: By default WSREMOTE_TOKEN.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds.

    Raises:
        ConnectionFailed: There is no answer; the text says why and what to do.
    """
    if is_url(prefix):
        raise ConnectionFailed(
            f"{prefix!r} is a URL, and servers() takes what names begin with: give the name"
            " server as servers(nameserver='ws://…')"
        )
    asked = NameServers.given(
        nameserver, nameserver_token, token, purpose="a name server is needed to list servers"
    )
    return all_servers(prefix, asked, ssl_context=ssl_context, timeout=timeout)


def _where(
    name_or_url: str | None,
    token: str | None,
    nameserver: str | Sequence[str] | None,
    nameserver_token: str | None,
    version: str | None,
    tags: Iterable[str],
    zone: str | None,
    verb: str,
) -> tuple[str | Named, str]:
    """Where the server is, and its token; of the environment where none are given."""
    where = name_or_url or os.environ.get("WSREMOTE_URL")
    if not where:
        raise ConnectionFailed(
            f'connect to what? Give the URL that the server printed: wsremote.{verb}("ws://…"), or'
            " the name that it was given, or set WSREMOTE_URL"
        )
    place: str | Named = where
    if not is_url(where):
        asked = wanted(where, version, tags, zone)
        nameservers = NameServers.given(
            nameserver,
            nameserver_token,
            token,
            purpose=f"{where!r} is a name, and no name server is known. To find its server",
        )
        place = Named(asked, nameservers)
    elif version or zone or tuple(tags):
        raise ValueError(
            f"{where} is one server: version=, tags= and zone= choose among those of a name"
        )
    token = token or os.environ.get("WSREMOTE_TOKEN")
    if not token:
        raise AuthenticationFailed(
            f"{where} wants a token: give the one the server printed, wsremote.{verb}(…,"
            " token=…), or set WSREMOTE_TOKEN"
        )
    return place, token
