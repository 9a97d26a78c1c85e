"""Opening connections, against real sockets; every failure with its text."""

from __future__ import annotations

import contextlib
import errno
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme
from redis_server import free_port
from websockets.http11 import Request
from websockets.protocol import State

from wsremote.errors import AuthenticationFailed, ConnectionFailed
from wsremote.transport.opening import open_connection, open_listener, tune
from wsremote.transport.pipe import PlainPipe, TlsPipe
from wsremote.transport.requests import RequestRules, answer, new_server_protocol

Talk = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority for this run."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What a client trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server for 127.0.0.1 shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextlib.contextmanager
def listening(talk: Talk) -> Iterator[int]:
    """A server on a free port that treats one client with `talk`, in a thread. Gives the port."""
    with contextlib.ExitStack() as stack:
        (listener,) = open_listener("127.0.0.1", 0, 5)
        listener.setblocking(True)
        stack.enter_context(listener)

        def run() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as sock:
                talk(sock)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):  # wakes an accept that nobody came to
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()


def saying(data: bytes) -> Talk:
    """Read the request, answer `data`, close."""

    def talk(sock: socket.socket) -> None:
        sock.recv(10_000)
        sock.sendall(data)

    return talk


def silent(sock: socket.socket) -> None:
    """Say nothing until the client leaves."""
    while sock.recv(10_000):
        continue


def failure(port: int, *, scheme: str = "ws", timeout: float = 10.0, **options: object) -> str:
    """What connecting raises, with the port written as PORT."""
    with pytest.raises(ConnectionFailed) as caught:
        open_connection(f"{scheme}://127.0.0.1:{port}", timeout=timeout, **options)  # type: ignore[arg-type]
    return str(caught.value).replace(str(port), "PORT")


def accept_websocket(sock: socket.socket, *, tls: ssl.SSLContext | None, behind: bytes) -> None:
    """Be a wsremote server for one opening, with `behind` sent right after it."""
    pipe = PlainPipe(sock) if tls is None else TlsPipe(sock, tls, server_side=True)
    if isinstance(pipe, TlsPipe):
        pipe.handshake(10)
    protocol = new_server_protocol(1000)
    protocol.receive_data(pipe.receive(10_000, 0))
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    assert "Origin" not in request.headers
    assert "Sec-WebSocket-Extensions" not in request.headers
    protocol.send_response(answer(protocol, request, RequestRules()))
    pipe.send(b"".join(protocol.data_to_send()) + behind, 0)
    while pipe.receive(10_000, 0):
        continue
    pipe.close()


# ---- it works ------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_websocket_opens(scheme: str, server_tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    """The pipe, an open protocol object and the bytes behind the handshake come back."""
    frame = b"\x82\x05hello"
    tls = server_tls if scheme == "wss" else None
    with listening(lambda sock: accept_websocket(sock, tls=tls, behind=frame)) as port:
        pipe, protocol, rest = open_connection(f"{scheme}://127.0.0.1:{port}", ssl_context=trust)
        assert protocol.state is State.OPEN
        assert protocol.events_received() == []
        while len(rest) < len(frame):
            rest += pipe.receive(100, 0)
        assert rest == frame
        assert pipe.socket.gettimeout() is None
        assert pipe.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert pipe.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert pipe.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        pipe.close()


def test_all_addresses_of_a_name_are_tried() -> None:
    """A server that listens on IPv4 only is found as localhost, which may be IPv6 first."""
    with listening(lambda sock: accept_websocket(sock, tls=None, behind=b"")) as port:
        pipe, _, _ = open_connection(f"ws://localhost:{port}")
        assert pipe.socket.getpeername()[1] == port
        pipe.close()


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables change nothing: the server is on the local network or tunnelled."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with listening(lambda sock: accept_websocket(sock, tls=None, behind=b"")) as port:
        pipe, _, _ = open_connection(f"http://127.0.0.1:{port}")
        pipe.close()


def test_tune_takes_a_socket_of_any_kind() -> None:
    """Tuning is for both ends of a TCP connection."""
    with socket.socket() as sock:
        tune(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- nobody there --------------------------------------------------------------------


def test_connection_refused() -> None:
    """Nothing listens: the command that is missing is named."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # taken, and not listening
        assert failure(sock.getsockname()[1]) == (
            "Nothing listens at ws://127.0.0.1:PORT (connection refused). Is 'wsremote serve'"
            " running there, on that port?"
        )


def test_unknown_host() -> None:
    """The resolver's reason is told."""
    with pytest.raises(ConnectionFailed) as caught:
        open_connection("ws://no-such-host.invalid:9090")
    text = str(caught.value)
    assert text.startswith("There is no host 'no-such-host.invalid' for ws://no-such-host.invalid:")
    assert text.endswith(". Check the name, or use the machine's IP address.")


def test_a_full_or_silent_address_times_out() -> None:
    """A SYN that nobody answers: the machine and the firewall are named."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # With its queue full, Linux drops further SYNs.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        assert failure(listener.getsockname()[1], timeout=0.3) == (
            "ws://127.0.0.1:PORT did not answer within 0.3 s. Is the machine up, and does a"
            " firewall let port PORT through?"
        )


# ---- somebody else there -------------------------------------------------------------


def test_a_listener_that_says_nothing() -> None:
    """A server that takes the connection and is silent: the port is doubted."""
    with listening(silent) as port:
        assert failure(port, timeout=0.2) == (
            "ws://127.0.0.1:PORT took the connection and did not answer within 0.2 s. Is PORT the"
            " port that 'wsremote serve' printed?"
        )


def test_a_listener_that_trickles() -> None:
    """One byte at a time does not stretch the timeout."""

    def trickle(sock: socket.socket) -> None:
        sock.settimeout(0.0005)
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 40:
            sock.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                sock.recv(10_000)

    with listening(trickle) as port:
        assert "did not answer within 0.3 s" in failure(port, timeout=0.3)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"'SSH-2.0-OpenSSH_9.2\r\n'"),
        (b"\x00\x01\x1b[31m\xff" * 1000, r"'\x00\x01\x1b[31m\xff\x00\x01\x1b[31m\xff\x00\x01\x1b["),
        (b"H", None),
        (b"HTTP/9", "'HTTP/9'"),
        (b"HTTP/1.1 101 " + b"x" * 70_000, "'HTTP/1.1 101 xxx"),
    ],
)
def test_a_listener_that_speaks_something_else(data: bytes, shown: str | None) -> None:
    """Garbage is quoted, in ASCII and short, and nothing waits for more of it."""
    with listening(saying(data)) as port:
        text = failure(port)
    if shown is None:
        assert text == (
            "ws://127.0.0.1:PORT closed the connection in the middle of its answer. Is PORT the"
            " port that 'wsremote serve' printed?"
        )
    else:
        assert text.startswith(
            f"What listens at ws://127.0.0.1:PORT is no wsremote server: it answered {shown}"
        )
        assert text.endswith(" Is PORT the port that 'wsremote serve' printed?")
        assert len(text) < 300


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_an_http_server(version: str) -> None:
    """A web server is called one, with its status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = version

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert failure(server.server_port) == (
            "What listens at ws://127.0.0.1:PORT is a web server, no wsremote server (HTTP 404 Not"
            " Found). Is PORT the port that 'wsremote serve' printed?"
        )
        thread.join()


def test_the_servers_own_words_are_shown() -> None:
    """A refusal in plain text, such as that of a foreign Host, is quoted and made harmless."""
    refusal = (
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 53\r\n\r\nThis server is not called 'x'.\n\x1b[31mUse --allow-host.\n"
    )
    with listening(saying(refusal)) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT refused the WebSocket (HTTP 403 Forbidden). It says: This server"
            " is not called 'x'. ?[31mUse --allow-host."
        )


def test_http_credentials_are_asked_for() -> None:
    """401 on the WebSocket comes from a proxy: AuthenticationFailed says so."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    with listening(saying(refusal)) as port:
        with pytest.raises(AuthenticationFailed) as caught:
            open_connection(f"ws://127.0.0.1:{port}")
        assert str(caught.value) == (
            f"ws://127.0.0.1:{port} asks for HTTP credentials (HTTP 401 Unauthorized), which"
            " wsremote does not send: a proxy seems to be in front of it."
        )


def test_redirects_are_told_and_not_followed() -> None:
    """A redirect names its target."""
    redirect = (
        b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n"
    )
    with listening(saying(redirect)) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT redirects to https://login.example/ (HTTP 302 Found). Connect to"
            " the wsremote server itself."
        )


def test_a_false_websocket_answer() -> None:
    """101 with a wrong proof of the handshake is malformed."""
    false = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n"
    )
    with listening(saying(false)) as port:
        assert failure(port) == (
            "What listens at ws://127.0.0.1:PORT is no wsremote server: its answer to the WebSocket"
            " request is malformed (invalid Sec-WebSocket-Accept header: AAAA). Is PORT the port"
            " that 'wsremote serve' printed?"
        )


def test_an_answer_without_its_body() -> None:
    """A refusal that ends before its Content-Length is still no hang and no success."""
    short = b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf"
    with listening(saying(short)) as port:
        assert "is malformed" in failure(port)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso", b"HTTP/1.1 1"]
)
def test_closed_in_the_middle(data: bytes) -> None:
    """A connection that ends inside the answer says so."""
    with listening(saying(data)) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT closed the connection in the middle of its answer. Is PORT the"
            " port that 'wsremote serve' printed?"
        )


def test_reset() -> None:
    """A reset connection tells the system's reason."""

    def reset(sock: socket.socket) -> None:
        sock.recv(10_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with listening(reset) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT cut the connection before it was open (Connection reset by peer)."
            " Is PORT the port that 'wsremote serve' printed? If it is a server with TLS, connect"
            " to wss://127.0.0.1:PORT."
        )


# ---- TLS -----------------------------------------------------------------------------


def test_plain_to_a_tls_port_of_ours(server_tls: ssl.SSLContext) -> None:
    """ws:// to our own TLS port: the server's words give the right URL scheme."""

    def talk(sock: socket.socket) -> None:
        pipe = TlsPipe(sock, server_tls, server_side=True)
        with contextlib.suppress(ssl.SSLError):
            pipe.handshake(10)
        pipe.close()

    with listening(talk) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT refused the WebSocket (HTTP 400 Bad Request). It says: This port"
            " speaks TLS. Use wss:// (or https://) instead."
        )


def test_plain_to_a_foreign_tls_port(server_tls: ssl.SSLContext) -> None:
    """ws:// to any other TLS port, which cuts, closes or sends an alert: wss:// is proposed."""
    advice = (
        "Is PORT the port that 'wsremote serve' printed? If it is a server with TLS, connect to"
        " wss://127.0.0.1:PORT."
    )

    def talk(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            server_tls.wrap_socket(sock, server_side=True).close()

    with listening(talk) as port:
        assert failure(port) == (
            "ws://127.0.0.1:PORT cut the connection before it was open (Connection reset by peer)."
            f" {advice}"
        )
    with listening(saying(b"")) as port:
        assert failure(port) == (
            f"ws://127.0.0.1:PORT closed the connection without an answer. {advice}"
        )
    with listening(saying(b"\x15\x03\x01\x00\x02\x02\x46")) as port:
        assert failure(port) == ("ws://127.0.0.1:PORT speaks TLS. Connect to wss://127.0.0.1:PORT.")


def test_tls_to_a_plain_port(trust: ssl.SSLContext) -> None:
    """wss:// to a server without TLS, whether it answers, leaves or waits: ws:// is proposed."""
    advice = "If the server was started without --ssl-certfile, connect to ws://127.0.0.1:PORT."
    with listening(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        text = failure(port, scheme="wss", ssl_context=trust)
        assert text.startswith("wss://127.0.0.1:PORT does not speak TLS (")
        assert text.endswith(f"). {advice}")
    with listening(saying(b"")) as port:
        assert failure(port, scheme="wss", ssl_context=trust) == (
            f"wss://127.0.0.1:PORT closed the connection during the TLS handshake. {advice}"
        )
    with listening(silent) as port:
        assert failure(port, scheme="wss", ssl_context=trust, timeout=0.2) == (
            "wss://127.0.0.1:PORT did not answer the TLS handshake within 0.2 s. " + advice
        )


def test_an_untrusted_certificate_names_the_option(server_tls: ssl.SSLContext) -> None:
    """A certificate nobody here has signed: the option that trusts it is in the text."""

    def talk(sock: socket.socket) -> None:
        pipe = TlsPipe(sock, server_tls, server_side=True)
        with contextlib.suppress(ssl.SSLError):
            pipe.handshake(10)
        pipe.close()

    with listening(talk) as port:
        assert failure(port, scheme="wss") == (
            "The certificate of wss://127.0.0.1:PORT is not accepted: unable to get local issuer"
            " certificate. If you trust it, say so: wsremote.connect(url,"
            " ssl_context=ssl.create_default_context(cafile='cert.pem')), or the environment"
            " variable SSL_CERT_FILE=cert.pem."
        )


def test_a_certificate_for_another_name(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """A trusted certificate for another host: the name is what is wrong."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("risk.example").configure_cert(context)

    def talk(sock: socket.socket) -> None:
        pipe = TlsPipe(sock, context, server_side=True)
        with contextlib.suppress(ssl.SSLError):
            pipe.handshake(10)
        pipe.close()

    with listening(talk) as port:
        assert failure(port, scheme="wss", ssl_context=trust) == (
            "The certificate of wss://127.0.0.1:PORT is not accepted: IP address mismatch,"
            " certificate is not valid for '127.0.0.1'. Connect by a name that it is for."
        )


def test_no_common_tls_version(server_tls: ssl.SSLContext, authority: trustme.CA) -> None:
    """An alert of the server is told."""
    old = ssl.create_default_context()
    authority.configure_trust(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    server_tls.minimum_version = ssl.TLSVersion.TLSv1_3

    def talk(sock: socket.socket) -> None:
        pipe = TlsPipe(sock, server_tls, server_side=True)
        with contextlib.suppress(ssl.SSLError):
            pipe.handshake(10)
        pipe.close()

    with listening(talk) as port:
        assert failure(port, scheme="wss", ssl_context=old) == (
            "wss://127.0.0.1:PORT refused the TLS handshake (tlsv1 alert protocol version). Its log"
            " may say more."
        )
    server_tls.minimum_version = ssl.TLSVersion.TLSv1_2


# ---- listening -----------------------------------------------------------------------


def test_localhost_listens_on_both_families_with_one_port() -> None:
    """On `localhost` a free port is the same for IPv4 and IPv6, and both take connections."""
    listeners = open_listener("localhost", 0, 5)
    ports = {listener.getsockname()[1] for listener in listeners}
    assert len(ports) == 1
    for listener in listeners:
        assert listener.gettimeout() == 0
        with socket.socket(listener.family) as sock:
            sock.connect(listener.getsockname())
        listener.close()
    assert socket.AF_INET in {listener.family for listener in listeners}


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has two addresses of this machine, as localhost has where there is IPv6."""
    kind = socket.SOCK_STREAM
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **_: [
            (socket.AF_INET, kind, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET, kind, 6, "", ("127.0.0.2", port)),
            (socket.AF_INET, kind, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET, kind, 6, "", ("192.0.2.1", port)),
        ],
    )


@pytest.mark.usefixtures("two_addresses")
def test_all_addresses_of_a_name_get_the_same_port() -> None:
    """A free port is free at all of them; one that is not ours is left out, a double is one."""
    listeners = open_listener("twofold", 0, 5)
    names = [listener.getsockname() for listener in listeners]
    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1]
    for listener in listeners:
        listener.close()


@pytest.mark.usefixtures("two_addresses")
def test_a_port_taken_at_the_second_address_leaves_nothing_open() -> None:
    """If one address fails, the listeners of the others are closed again."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} at twofold is in use"):
            open_listener("twofold", port, 5)
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_listens_on_ipv6_only() -> None:
    """`::1` is one listener, on IPv6."""
    try:
        listeners = open_listener("::1", 0, 5)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error.strerror}")
    assert [listener.family for listener in listeners] == [socket.AF_INET6]
    assert listeners[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    listeners[0].close()


def test_a_port_in_use_names_the_ways_out() -> None:
    """A taken port: stop the other, --port, --port 0. Nothing stays open."""
    (listener,) = open_listener("127.0.0.1", 0, 5)
    port = listener.getsockname()[1]
    with pytest.raises(OSError) as caught:
        open_listener("127.0.0.1", port, 5)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == (
        f"Port {port} at 127.0.0.1 is in use by another program, maybe an earlier server. Stop"
        " that, choose another port with --port, or take a free one with --port 0."
    )
    listener.close()
    for again in open_listener("127.0.0.1", port, 5):
        again.close()


def test_an_address_of_another_machine() -> None:
    """An address that is not ours: --host."""
    with pytest.raises(OSError) as caught:
        open_listener("192.0.2.1", 0, 5)
    assert caught.value.strerror == (
        "This machine has no address 192.0.2.1 to listen at. Give one of its own with --host, or"
        " 0.0.0.0 for all of them."
    )


def test_a_host_that_does_not_exist() -> None:
    """A name without address: --host."""
    with pytest.raises(OSError) as caught:
        open_listener("no-such-host.invalid", 0, 5)
    assert caught.value.strerror is not None
    assert caught.value.strerror.startswith("There is no host 'no-such-host.invalid' to listen at")
    assert caught.value.strerror.endswith("Give an address of this machine with --host.")


@pytest.mark.parametrize(
    ("head", "is_absent"),
    [
        (b"HTTP/1.1 502 Bad Gateway", True),
        (b"HTTP/1.1 503 Service Unavailable", True),
        (b"HTTP/1.1 504 Gateway Timeout", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5", False),
        (b"HTTP/1.1 404 Not Found", False),
    ],
)
def test_a_gateway_may_say_that_no_server_is_there(head: bytes, is_absent: bool) -> None:
    """As a refused connection does; a server that is full says when to try again."""
    with listening(saying(head + b"\r\nContent-Length: 0\r\n\r\n")) as port:
        with pytest.raises(ConnectionFailed) as caught:
            open_connection(f"ws://127.0.0.1:{port}")
    assert caught.value.is_absent is is_absent
    assert ("The proxy at " in str(caught.value)) is is_absent


def test_a_refused_connection_says_so_too() -> None:
    """Not one that is not answered."""
    with listening(saying(b"")) as port:
        with pytest.raises(ConnectionFailed) as caught:
            open_connection(f"ws://127.0.0.1:{port}")
    assert not caught.value.is_absent
    with pytest.raises(ConnectionFailed, match="Nothing listens") as caught:
        open_connection(f"ws://127.0.0.1:{free_port()}")
    assert caught.value.is_absent
