"""The byte pipe: a socket as it is, and TLS between memory buffers."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from wsremote.transport.pipe import PlainPipe, TlsPipe, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

DONTWAIT = socket.MSG_DONTWAIT


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority for this run."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What a server shows: a certificate for localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """What a client trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def pipes(
    request: pytest.FixtureRequest,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> Iterator[tuple[TlsPipe, TlsPipe]]:
    """Server and client over a socket pair, before their handshake."""
    version = ssl.TLSVersion.TLSv1_2 if request.param == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    client_context.maximum_version = version
    ends = socket.socketpair()
    server = TlsPipe(ends[0], server_context, server_side=True)
    client = TlsPipe(ends[1], client_context, server_name="localhost")
    yield server, client
    client_context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    for pipe in (server, client):
        pipe.close()


def shake_hands(server: TlsPipe, client: TlsPipe) -> None:
    """Step both ends in turn until both are done."""
    done = False
    for _ in range(10):
        done = server.handshake_step() & client.handshake_step()
        if done:
            break
    assert done


def receive_all(pipe: TlsPipe | PlainPipe, size: int) -> bytes:
    """Exactly `size` bytes, waiting for them."""
    pieces = []
    while size:
        piece = pipe.receive(min(size, 100_000), 0)
        assert piece, "the stream ended early"
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def test_plain_pipe_is_the_socket_itself() -> None:
    """A plain pipe's hot methods are the socket's own, with nothing in between."""
    left, right = socket.socketpair()
    pipe, other = PlainPipe(left), PlainPipe(right)
    assert pipe.receive == left.recv
    assert pipe.send == left.send
    assert pipe.handshake_step()
    assert pipe.send(b"hello", 0) == 5
    assert other.receive(100, 0) == b"hello"
    with pytest.raises(BlockingIOError):
        other.receive(100, DONTWAIT)
    pipe.close()
    assert pipe.fileno() == -1
    assert other.receive(100, 0) == b""
    other.close()


def test_close_wakes_a_thread_that_waits_in_the_pipe() -> None:
    """Closing a pipe ends a receive that waits in another thread."""
    left, right = socket.socketpair()
    pipe = PlainPipe(left)

    def read() -> None:
        # An OSError if the thread comes to it only after the close.
        with contextlib.suppress(OSError):
            assert pipe.receive(100, 0) == b""

    reader = threading.Thread(target=read)
    reader.start()
    pipe.close()
    reader.join(10)
    assert not reader.is_alive()
    right.close()


def test_handshake_goes_in_steps_that_never_wait(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """A step without data from the other side says "not yet" and does not wait."""
    server, client = pipes
    assert not server.handshake_step()
    assert not server.handshake_step()
    shake_hands(server, client)
    assert server.pending == client.pending == 0
    client.send(b"ping", 0)
    assert server.receive(100, 0) == b"ping"
    server.send(b"pong", 0)
    assert client.receive(100, 0) == b"pong"


def test_handshake_waits_no_longer_than_told(
    client_context: ssl.SSLContext,
) -> None:
    """A client that gets no answer to its TLS handshake gives up in time."""
    left, right = socket.socketpair()
    client = TlsPipe(left, client_context, server_name="localhost")
    with pytest.raises(TimeoutError, match="not answered"):
        client.handshake(0.01)
    client.close()
    right.close()


def test_nothing_and_half_a_record_are_both_nothing(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """Until a TLS record is complete, a receive that may not wait raises BlockingIOError."""
    server, client = pipes
    shake_hands(server, client)
    with pytest.raises(BlockingIOError):
        server.receive(100, DONTWAIT)
    # Take the ciphertext of one record off the wire and give it back in halves.
    probe, feeder = socket.socketpair()
    wire, server.socket = server.socket, probe
    client.send(b"x" * 1000, 0)
    record = wire.recv(10_000)
    feeder.send(record[:500])
    with pytest.raises(BlockingIOError):
        server.receive(5000, DONTWAIT)
    assert not server.has_decrypted
    feeder.send(record[500:])
    assert server.receive(5000, DONTWAIT) == b"x" * 1000
    server.socket = wire
    probe.close()
    feeder.close()


def test_has_decrypted_tells_what_poll_cannot(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """What a receive leaves decrypted is announced, and gone when it is announced no more."""
    server, client = pipes
    shake_hands(server, client)
    for _ in range(3):
        client.send(b"0123456789", 0)
    assert not server.has_decrypted
    assert server.receive(4, 0) == b"0123"
    assert not wait_until_ready(server.fileno(), select.POLLIN, 0)
    rest = b""
    while server.has_decrypted:
        rest += server.receive(4, DONTWAIT)
    assert rest == b"456789" + b"0123456789" * 2
    with pytest.raises(BlockingIOError):
        server.receive(4, DONTWAIT)


def test_megabytes_both_ways_at_once(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """5 MB each way, a reader and a writer thread on each end: all arrives, nothing hangs."""
    server, client = pipes
    shake_hands(server, client)
    size = 5_000_000
    sent = {server: bytes(range(256)) * (size // 256), client: bytes(range(255)) * (size // 255)}
    got: dict[TlsPipe, bytes] = {}

    def write(pipe: TlsPipe) -> None:
        data = memoryview(sent[pipe])
        while data:
            data = data[pipe.send(data[:70_000].tobytes(), 0) :]

    def read(pipe: TlsPipe, other: TlsPipe) -> None:
        got[pipe] = receive_all(pipe, len(sent[other]))

    threads = [threading.Thread(target=write, args=(pipe,)) for pipe in pipes]
    threads += [threading.Thread(target=read, args=pair) for pair in (pipes, pipes[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert got[server] == sent[client]
    assert got[client] == sent[server]


def test_partial_sends_leave_a_backlog_that_flush_works_off(
    pipes: tuple[TlsPipe, TlsPipe],
) -> None:
    """A full socket leaves ciphertext pending; each flush sends what the socket takes."""
    server, client = pipes
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    shake_hands(server, client)
    data = bytes(range(256)) * 4000
    assert client.send(data, DONTWAIT) == len(data)
    assert client.pending > len(data) // 2
    got = []
    flushes = 0
    while client.pending:
        before = client.pending
        with contextlib.suppress(BlockingIOError):
            got.append(server.receive(50_000, DONTWAIT))
        client.flush(DONTWAIT)
        flushes += client.pending < before
    size = sum(map(len, got))
    got.append(receive_all(server, len(data) - size))
    assert b"".join(got) == data
    assert flushes > 5


def test_a_second_send_goes_behind_what_is_pending(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """Order is kept when something is sent while an earlier send is still pending."""
    server, client = pipes
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    shake_hands(server, client)
    client.send(b"a" * 300_000, DONTWAIT)
    assert client.pending
    client.send(b"b", DONTWAIT)
    flusher = threading.Thread(target=client.flush, args=(0,))
    flusher.start()
    assert receive_all(server, 300_001) == b"a" * 300_000 + b"b"
    flusher.join(10)
    assert not flusher.is_alive()


def test_close_is_the_end_of_the_stream(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """A closed end reads as the end of the stream behind all that was sent before."""
    server, client = pipes
    shake_hands(server, client)
    client.send(b"last words", 0)
    client.close()
    assert client.fileno() == -1
    assert server.receive(100, 0) == b"last words"
    assert server.receive(100, 0) == b""
    assert server.receive(100, 0) == b""


def test_a_connection_cut_without_farewell_is_the_end_too(
    pipes: tuple[TlsPipe, TlsPipe],
) -> None:
    """A TCP end without TLS's close_notify reads as the end of the stream, not as an error."""
    server, client = pipes
    shake_hands(server, client)
    client.socket.shutdown(socket.SHUT_RDWR)
    assert server.receive(100, 0) == b""


def test_forged_bytes_end_the_connection(pipes: tuple[TlsPipe, TlsPipe]) -> None:
    """Bytes that are no TLS record raise an OSError and are never given out."""
    server, client = pipes
    shake_hands(server, client)
    client.socket.send(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
    with pytest.raises(ssl.SSLError):
        server.receive(100, 0)


def test_plain_http_at_a_tls_port_is_told_so(server_context: ssl.SSLContext) -> None:
    """Who speaks plain HTTP to a TLS port gets a readable answer."""
    left, right = socket.socketpair()
    server = TlsPipe(left, server_context, server_side=True)
    right.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        server.handshake_step()
    server.close()
    answer = right.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Use wss://" in answer
    right.close()


def test_an_untrusted_certificate_is_refused(server_context: ssl.SSLContext) -> None:
    """A client that does not trust the certificate raises, and the server hears of it."""
    left, right = socket.socketpair()
    server = TlsPipe(left, server_context, server_side=True)
    client = TlsPipe(right, ssl.create_default_context(), server_name="localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        for _ in range(10):
            client.handshake_step()
            server.handshake_step()
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        server.handshake_step()
    server.close()
    client.close()


INTERRUPTED = """
import signal, socket, ssl, sys
from wsremote.transport.pipe import TlsPipe
left, right = socket.socketpair()
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(sys.argv[1])
client_context = ssl.create_default_context()
client_context.load_verify_locations(sys.argv[2])
server = TlsPipe(left, server_context, server_side=True)
client = TlsPipe(right, client_context, server_name="localhost")
while not (server.handshake_step() & client.handshake_step()):
    pass
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    client.receive(100, 0)
except KeyboardInterrupt:
    print("interrupted")
server.send(b"still whole", 0)
print(client.receive(100, 0).decode())
client.close(), server.close()
"""


def test_an_interrupt_while_waiting_leaves_the_stream_whole(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Ctrl-C in a receive that waits raises, and the pipe goes on afterwards."""
    directory = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate = authority.issue_cert("localhost").private_key_and_cert_chain_pem
    certificate.write_to_path(str(directory / "server.pem"))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, directory / "server.pem", directory / "ca.pem"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("interrupted\nstill whole\n", "")
