"""The verbs of the client: `connect` and `connect_async`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from .client.bounds import Bounds
from .client.connecting import Connecting
from .client.session import Session
from .errors import AuthenticationFailed, ConnectionFailed

if TYPE_CHECKING:
    import ssl

__all__ = ["connect", "connect_async"]

# The live sessions of this process, for those who run the connect cell twice.
_sessions: weakref.WeakValueDictionary[tuple[int, str, str, Bounds], Session] = (
    weakref.WeakValueDictionary()
)
_connecting = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have been connecting."""
    global _connecting
    _connecting = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    new: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    max_result: int | None = None,
    max_transfer_size: int | None = None,
) -> Session:
    """A session with the server at `url`.

    Called again with the same URL and token in one process, it gives the session that is
    open already: a notebook's connect cell may be run twice.

    Args:
        url: `ws://host:port` or `wss://host:port`; by default the environment variable
            WSREMOTE_URL.
        token: The secret that the server printed; by default WSREMOTE_TOKEN.
        new: Open another session even if one is open.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds to connect.
        max_result: Bytes above which a result stays on the server: its repr is a preview, it is
            used as if it were here, and `session.fetch(x)` gives its value. By default none stays.
        max_transfer_size: Bytes of one result that this side takes at all; by default as many as
            the server sends (`--max-transfer-size`).

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
        ValueError: The URL is none, or a bound no sensible number of bytes.
    """
    url, token = _where(url, token, "connect")
    bounds = Bounds(max_result, max_transfer_size)
    bounds.check()
    key = (os.getpid(), url, token, bounds)
    with _connecting:
        session = _sessions.get(key)
        if new or session is None or session.closed:
            session = Session(url, token, ssl_context=ssl_context, timeout=timeout, bounds=bounds)
            if _sessions.setdefault(key, session).closed:
                _sessions[key] = session
        return session


def connect_async(
    url: str | None = None,
    *,
    token: str | None = None,
    new: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    max_result: int | None = None,
    max_transfer_size: int | None = None,
) -> Connecting:
    """A session with the server at `url`, in the running event loop: every call is awaited.

    `session = await wsremote.connect_async(url)`, once more in one loop with the same URL and
    token, gives the session that is open already. `async with wsremote.connect_async(url) as
    session` opens one of its own and closes it at the end of the block.

    Args:
        url: `ws://host:port` or `wss://host:port`; by default the environment variable
            WSREMOTE_URL.
        token: The secret that the server printed; by default WSREMOTE_TOKEN.
        new: Open another session even if one is open.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds to connect.
        max_result: Bytes above which a result stays on the server: its repr is a preview, it is
            used as if it were here, and `await session.fetch(x)` gives its value. By default none
            stays.
        max_transfer_size: Bytes of one result that this side takes at all; by default as many as
            the server sends (`--max-transfer-size`).

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
        ValueError: The URL is none, or a bound no sensible number of bytes.
    """
    bounds = Bounds(max_result, max_transfer_size)
    bounds.check()
    where = _where(url, token, "connect_async")
    return Connecting(*where, ssl_context, timeout, bounds, new=new)


def _where(url: str | None, token: str | None, verb: str) -> tuple[str, str]:
    """URL and token, of the environment where none are given."""
    url = url or os.environ.get("WSREMOTE_URL")
    if not url:
        raise ConnectionFailed(
            f'connect to what? Give the URL that the server printed: wsremote.{verb}("ws://…"),'
            " or set WSREMOTE_URL"
        )
    token = token or os.environ.get("WSREMOTE_TOKEN")
    if not token:
        raise AuthenticationFailed(
            f"{url} wants a token: give the one the server printed, wsremote.{verb}(url,"
            " token=…), or set WSREMOTE_TOKEN"
        )
    return url, token
