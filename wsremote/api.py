"""The verb of the client: `connect`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from .client.session import Session
from .errors import AuthenticationFailed, ConnectionFailed

if TYPE_CHECKING:
    import ssl

__all__ = ["connect"]

# The live sessions of this process, for those who run the connect cell twice.
_sessions: weakref.WeakValueDictionary[tuple[int, str, str], Session] = (
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

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
        ValueError: The URL is none.
    """
    url = url or os.environ.get("WSREMOTE_URL")
    if not url:
        raise ConnectionFailed(
            'connect to what? Give the URL that the server printed: wsremote.connect("ws://…"),'
            " or set WSREMOTE_URL"
        )
    token = token or os.environ.get("WSREMOTE_TOKEN")
    if not token:
        raise AuthenticationFailed(
            f"{url} wants a token: give the one the server printed, wsremote.connect(url,"
            " token=…), or set WSREMOTE_TOKEN"
        )
    key = (os.getpid(), url, token)
    with _connecting:
        session = _sessions.get(key)
        if new or session is None or session.closed:
            session = Session(url, token, ssl_context=ssl_context, timeout=timeout)
            if _sessions.setdefault(key, session).closed:
                _sessions[key] = session
        return session
