"""From a URL to an open session: connection, proofs, tree."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ..codec import wire
from ..codec.installed import installed_packages
from ..errors import ConnectionFailed, ConnectionLost, RemoteProtocolError
from ..protocol.messages import Welcome
from ..protocol.opening import ClientOpening
from ..protocol.proof import NONCE_SIZE
from ..transport.connection import SocketConnection
from ..transport.opening import open_connection
from ..transport.poller import Poller
from ..version import __version__

if TYPE_CHECKING:
    import ssl

__all__ = ["open_session", "poller"]

_MAX_SIZE = 256 * 1024 * 1024
"""Bytes of a message that a proved server may send."""

_pollers: dict[int, Poller] = {}
_starting = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have been starting its poller."""
    global _starting
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def poller() -> Poller:
    """The poller of this process; a forked child has its own."""
    with _starting:
        if os.getpid() not in _pollers:
            _pollers.clear()
            _pollers[os.getpid()] = Poller("wsremote-client")
            _pollers[os.getpid()].start()
        return _pollers[os.getpid()]


def _describe_client() -> dict[str, Any]:
    """What the client says of itself, for the operator of the server."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "wsremote": __version__,
    }


def open_session(
    url: str, token: str, tree: str, *, ssl_context: ssl.SSLContext | None, timeout: float
) -> tuple[SocketConnection, Welcome]:
    """Connect, prove the token, have the server prove it, and get a session.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        token: The secret both sides know.
        tree: Digest of the tree that this client has; "" for none.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
    """
    deadline = time.monotonic() + timeout
    pipe, protocol, rest = open_connection(
        url, ssl_context=ssl_context, timeout=timeout, max_size=_MAX_SIZE
    )
    connection = SocketConnection(pipe, protocol, max_size=_MAX_SIZE, received=rest)
    opening = ClientOpening(
        token,
        nonce=secrets.token_bytes(NONCE_SIZE),
        open_nonce=secrets.token_bytes(16),
        attach=1,
        tree=tree,
        installed=installed_packages(),
        client=_describe_client(),
    )
    try:
        welcome = _converse(connection, opening, url, deadline)
    except BaseException as error:
        connection.abort("not opened")
        connection.free()
        if isinstance(error, ConnectionLost):
            raise ConnectionFailed(
                f"{url} closed the connection before the session was open: {error.reason}. Is it"
                " a wsremote server? Its log may say more"
            ) from error
        if isinstance(error, RemoteProtocolError):
            raise ConnectionFailed(
                f"{url} is a WebSocket, but what answers there is no wsremote server: {error}. Is"
                " this the URL that 'wsremote serve' printed?"
            ) from error
        raise
    # What the server takes, it may send: its own bound is the same.
    largest = welcome.limits.get("max_message_size")
    if type(largest) is int:
        connection.max_size = max(_MAX_SIZE, largest)
    return connection, welcome


def _converse(
    connection: SocketConnection, opening: ClientOpening, url: str, deadline: float
) -> Welcome:
    """Say hello, answer the challenge, wait for the welcome."""
    connection.send(wire.write(opening.start()))
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise ConnectionFailed(
                f"{url} took the connection and did not open a session in time. Is it a wsremote"
                " server, and is it busy?"
            )
        inbox = connection.receive(min(remaining, 1.0))
        while inbox:
            for message in wire.read(inbox.popleft()):
                try:
                    answer = opening.receive(message)
                except ConnectionFailed as error:
                    raise type(error)(f"{url}: {error}") from None
                if isinstance(answer, Welcome):
                    return answer
                connection.send(wire.write(answer))
