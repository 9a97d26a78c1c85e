"""From a URL to an open session, or back to one: connection, proofs."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..codec import wire
from ..codec.installed import installed_packages
from ..errors import ConnectionFailed, ConnectionLost, RemoteProtocolError
from ..protocol.messages import Gone, Resumed, Welcome
from ..protocol.opening import ClientOpening, Opening, Resumption
from ..protocol.proof import NONCE_SIZE
from ..transport.connection import SocketConnection
from ..transport.opening import open_connection
from ..transport.poller import Poller
from ..version import __version__
from .bounds import Bounds

if TYPE_CHECKING:
    import ssl

__all__ = [
    "Opened",
    "accept_large",
    "describe_client",
    "open_connected",
    "open_session",
    "poller",
]

_MAX_SIZE = 256 * 1024 * 1024
"""Bytes of a message that a proved server may send."""

_ATTEMPTS: Final = 3
"""Times that an opening is repeated whose answer did not come."""


_NO_BOUNDS: Final = Bounds()


class Opened(NamedTuple):
    """What came of an opening.

    Attributes:
        connection: Open; nobody watches it yet.
        answer: What the server has answered. After Gone, the connection is closed.
        epoch: Of the server process.
        attach: The number of the attempt.
    """

    connection: SocketConnection
    answer: Welcome | Resumed | Gone
    epoch: bytes
    attach: int


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


def describe_client() -> dict[str, Any]:
    """What the client says of itself, for the operator of the server."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "wsremote": __version__,
    }


def open_session(
    url: str,
    token: str,
    tree: str,
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
    bounds: Bounds = _NO_BOUNDS,
    tasks: bool = False,
) -> Opened:
    """Connect, prove the token, have the server prove it, and get a session.

    An opening whose answer is lost is repeated: the server knows it by its nonce, and gives the
    session that it has made already.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        token: The secret both sides know.
        tree: Digest of the tree that this client has; "" for none.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.
        bounds: Of the results of the session.
        tasks: Whether tasks of an event loop will make the calls, which do not wait for each other.

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
    """
    deadline = time.monotonic() + timeout
    nonce, installed = secrets.token_bytes(16), installed_packages()
    client = {**describe_client(), **bounds.told(), "tasks": tasks}
    remaining = timeout
    for attach in range(1, _ATTEMPTS + 1):
        purpose = Opening(nonce, attach, tree, installed, client)
        try:
            return open_connected(url, token, purpose, ssl_context=ssl_context, timeout=remaining)
        except ConnectionLost as error:
            # It is shown to the user.
            remaining = round(deadline - time.monotonic(), 1)
            if attach == _ATTEMPTS or remaining <= 0:
                raise ConnectionFailed(
                    f"{url} closed the connection before the session was open: {error.reason}. Is"
                    " it a wsremote server? Its log may say more"
                ) from error
    raise AssertionError("the last attempt returns or raises")


def open_connected(
    url: str,
    token: str,
    purpose: Opening | Resumption,
    *,
    ssl_context: ssl.SSLContext | None,
    timeout: float,
) -> Opened:
    """One connection, and both proofs over it.

    Args:
        url: Where.
        token: The secret both sides know.
        purpose: A session to make, or one to go on with.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it.

    Raises:
        ConnectionFailed: The server cannot be reached, or refuses; the text says why.
        ConnectionLost: The connection was lost before there was an answer.
    """
    deadline = time.monotonic() + timeout
    pipe, protocol, rest = open_connection(
        url, ssl_context=ssl_context, timeout=timeout, max_size=_MAX_SIZE
    )
    connection = SocketConnection(pipe, protocol, max_size=_MAX_SIZE, received=rest)
    opening = ClientOpening(token, nonce=secrets.token_bytes(NONCE_SIZE), purpose=purpose)
    try:
        answer = _converse(connection, opening, url, deadline)
    except BaseException as error:
        connection.abort("not opened")
        connection.free()
        if isinstance(error, RemoteProtocolError):
            raise ConnectionFailed(
                f"{url} is a WebSocket, but what answers there is no wsremote server: {error}. Is"
                " this the URL that 'wsremote serve' printed?"
            ) from error
        raise
    if isinstance(answer, Gone):
        connection.abort("the session is gone")
        connection.free()
    elif isinstance(answer, Welcome):
        accept_large(connection, answer.limits)
    return Opened(connection, answer, opening.epoch, purpose.attach)


def accept_large(connection: SocketConnection, limits: dict[str, int]) -> None:
    """Take messages as large as the server takes: its own bound is the same."""
    largest = limits.get("max_message_size")
    if type(largest) is int:
        connection.max_size = max(_MAX_SIZE, largest)


def _converse(
    connection: SocketConnection, opening: ClientOpening, url: str, deadline: float
) -> Welcome | Resumed | Gone:
    """Say hello, answer the challenge, wait for what the server says of the session."""
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
                if isinstance(answer, Welcome | Resumed | Gone):
                    return answer
                connection.send(wire.write(answer))
