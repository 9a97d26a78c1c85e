"""Opening connections: from a URL to an open WebSocket, and a server's listening sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import WebSocketURI

from ..errors import ConnectionFailed
from . import failures
from .pipe import PlainPipe, TlsPipe, wait_until_ready
from .url import ServerUrl, parse_url

if TYPE_CHECKING:
    from .pipe import Pipe

__all__ = ["open_connection", "open_listener", "tune"]

_USER_TIMEOUT: Final = 20_000
"""Milliseconds that sent data may stay unacknowledged before the kernel gives up."""
_UNSENT_LIMIT: Final = 128 * 1024
"""Bytes the kernel queues unsent: what is behind them, a small message too, waits for them."""
_HEAD_LIMIT: Final = 64 * 1024
"""Bytes of the header of an HTTP response; ours has 200."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (?P<code>[0-9]{3})")

# ---- client --------------------------------------------------------------------------


def open_connection(
    url: str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    max_size: int = 64 * 1024 * 1024,
) -> tuple[Pipe, ClientProtocol, bytes]:
    """Connect to a server and open a WebSocket. No proxy is used, whatever the environment says.

    Args:
        url: See `parse_url`.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for all of it. The look-up of the name is the system's and may
            take longer.
        max_size: Largest message accepted, bytes.

    Returns:
        The pipe, over a blocking socket; the library's protocol object, open; and the bytes
        that came behind the server's answer.

    Raises:
        ConnectionFailed: There is no connection. The text says why and what to try.
        AuthenticationFailed: A proxy before the server asks for HTTP credentials.
    """
    server = parse_url(url)
    deadline = _Deadline(timeout)
    sock = _connect(server, deadline)
    pipe: Pipe | None = None
    try:
        tune(sock)
        if server.secure:
            pipe = _start_tls(sock, server, ssl_context, deadline)
        else:
            pipe = PlainPipe(sock)
        protocol, rest = _open_websocket(pipe, server, deadline, max_size)
    except BaseException:
        (pipe or sock).close()
        raise
    return pipe, protocol, rest


def tune(sock: socket.socket) -> None:
    """Set what every connected TCP socket of ours has, at either end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_NODELAY": 1,
        "TCP_USER_TIMEOUT": _USER_TIMEOUT,
        "TCP_NOTSENT_LOWAT": _UNSENT_LIMIT,
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has them all
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Deadline:
    """One budget of time for all the steps of an opening."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left; above zero, so that each step gets a try."""
        return max(0.001, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end


def _connect(server: ServerUrl, deadline: _Deadline) -> socket.socket:
    """A TCP connection to the first address of the host that takes it."""
    try:
        addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise failures.unknown_host(server, error) from error
    refusals: list[OSError] = []
    for number, (family, kind, proto, _, address) in enumerate(addresses):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, proto)
            # A silent address must leave time for the next one.
            sock.settimeout(deadline.left / (len(addresses) - number))
            sock.connect(address)
            sock.settimeout(None)
            if sock.getsockname() == sock.getpeername():
                # On a free port of this machine the kernel may connect a socket to itself.
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            return sock
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            refusals.append(error)
    raise failures.not_reached(server, refusals, deadline.timeout) from refusals[-1]


def _start_tls(
    sock: socket.socket, server: ServerUrl, context: ssl.SSLContext | None, deadline: _Deadline
) -> TlsPipe:
    """The TLS handshake, with the server's certificate checked."""
    context = context or ssl.create_default_context()
    pipe = TlsPipe(sock, context, server_name=server.host)
    try:
        pipe.handshake(deadline.left)
    except TimeoutError as error:
        raise failures.tls_no_answer(server, deadline.timeout) from error
    except ssl.SSLCertVerificationError as error:
        raise failures.certificate_refused(server, error) from error
    except (ssl.SSLEOFError, ConnectionError) as error:
        raise failures.tls_cut_off(server) from error
    except ssl.SSLError as error:
        raise failures.no_tls(server, error) from error
    except OSError as error:
        raise failures.cut_off(server, error) from error
    return pipe


def _open_websocket(
    pipe: Pipe, server: ServerUrl, deadline: _Deadline, max_size: int
) -> tuple[ClientProtocol, bytes]:
    """The WebSocket handshake (RFC 6455 section 4.1); also the bytes that came behind it."""
    uri = WebSocketURI(server.secure, server.host, server.port, server.path, "")
    # No extensions, so no compression: slow on a LAN, and an open door for bombs.
    protocol = ClientProtocol(uri, max_size=max_size)
    protocol.send_request(protocol.connect())
    try:
        pipe.send(b"".join(protocol.data_to_send()), 0)
        head, rest = _receive_head(pipe, server, deadline)
        # Only the head: frames behind it are not for the library's parser.
        protocol.receive_data(head)
        if _is_unanswered(protocol):
            # A refusal with a body.
            protocol.receive_data(rest)
        while _is_unanswered(protocol):
            data = _receive(pipe, server, deadline)
            protocol.receive_data(data) if data else protocol.receive_eof()
    except ConnectionFailed:
        raise
    except OSError as error:
        raise failures.cut_off(server, error) from error
    if protocol.state is not State.OPEN:
        raise failures.rejected(server, protocol)
    protocol.events_received()
    return protocol, rest


def _is_unanswered(protocol: ClientProtocol) -> bool:
    return protocol.state is State.CONNECTING and protocol.handshake_exc is None


def _receive_head(pipe: Pipe, server: ServerUrl, deadline: _Deadline) -> tuple[bytes, bytes]:
    """The header of an HTTP response, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = _receive(pipe, server, deadline)
        if not piece:
            raise failures.ended(server, data)
        data += piece
        if not data.startswith(b"HTTP/1."[: len(data)]) or len(data) > _HEAD_LIMIT:
            raise failures.not_http(server, data)
    head, _, rest = data.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if status is not None and status["code"] != b"101":
        # The library reads no HTTP/1.0; a refusal in it is still worth showing.
        head = b"HTTP/1.1" + head[8:]
    return head + b"\r\n\r\n", rest


def _receive(pipe: Pipe, server: ServerUrl, deadline: _Deadline) -> bytes:
    """The next bytes, b"" at the end; no later than the deadline."""
    while True:
        ready = pipe.has_decrypted or wait_until_ready(pipe.fileno(), select.POLLIN, deadline.left)
        if not ready or deadline.is_over:
            raise failures.no_answer(server, deadline.timeout)
        with contextlib.suppress(BlockingIOError):  # half a TLS record
            return pipe.receive(16 * 1024, socket.MSG_DONTWAIT)


# ---- server --------------------------------------------------------------------------

_Addresses = Sequence[
    tuple[
        socket.AddressFamily,
        socket.SocketKind,
        int,
        str,
        tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
    ]
]
"""What `socket.getaddrinfo` gives."""


def open_listener(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen at every address of a host, on one port.

    Args:
        host: An IP address or a name; `localhost` means IPv4 and IPv6.
        port: TCP port; 0 takes a free one, the same for all addresses.
        backlog: Connections that may wait to be accepted.

    Returns:
        Listening, non-blocking sockets, at least one.

    Raises:
        OSError: There is none. `strerror` says why and which flag to change.
    """
    try:
        addresses = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise OSError(
            error.errno,
            f"There is no host {host!r} to listen at ({error.strerror}). Give an address of this"
            " machine with --host.",
        ) from error
    attempts = 1 if port else 10
    for attempt in range(attempts):
        try:
            return _listen(addresses, port, backlog)
        except OSError as error:
            # The free port of the first address may be taken at the second: once more.
            if error.errno == errno.EADDRINUSE and attempt + 1 < attempts:
                continue
            raise OSError(error.errno, _cannot_listen(host, port, error)) from error
    raise AssertionError("the last attempt returns or raises")


def _listen(addresses: _Addresses, port: int, backlog: int) -> list[socket.socket]:
    """One listener an address, all on the port that the first one gets."""
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, kind, proto, _, found in dict.fromkeys(addresses):
            try:
                address = (found[0], port, *found[2:])
                listener = _listen_at(family, kind, proto, address, backlog)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                # "localhost" has an IPv6 address also where the machine has none.
                absent = error
            else:
                listeners.append(listener)
                port = listener.getsockname()[1]
        if absent is not None and not listeners:
            raise absent
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listen_at(
    family: int, kind: int, proto: int, address: tuple[object, ...], backlog: int
) -> socket.socket:
    listener = socket.socket(family, kind, proto)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # IPv4 has listeners of its own, if it is wanted
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} at {host} is in use by another program, maybe an earlier server. Stop"
            " that, choose another port with --port, or take a free one with --port 0."
        )
    if error.errno == errno.EACCES:
        return (
            f"Port {port} at {host} needs rights that this user does not have. Choose one above"
            " 1023 with --port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"This machine has no address {host} to listen at. Give one of its own with --host,"
            " or 0.0.0.0 for all of them."
        )
    return f"Cannot listen on port {port} at {host}: {error.strerror}."
