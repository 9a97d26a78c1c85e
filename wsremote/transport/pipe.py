"""The bytes below a WebSocket: a socket as it is, or with TLS in between.

TLS is `ssl.SSLObject` between two memory buffers. An `SSLSocket` would keep decrypted
bytes that no poll on the socket tells of, and its lock makes a thread that waits for
data stop the one that sends.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pipe", "PlainPipe", "TlsPipe", "wait_until_ready"]

_CIPHERTEXT_LIMIT: Final = 256 * 1024
_RECORD_LIMIT: Final = 16 * 1024
"""Most that one TLS record carries: more asked of a read is allocated in vain."""

_SPEAKS_TLS: Final = b"This port speaks TLS. Use wss:// (or https://) instead.\n"
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SPEAKS_TLS), _SPEAKS_TLS)
)


class Pipe(Protocol):
    """Bytes in both directions. One thread at a time may receive, any may send."""

    @property
    def socket(self) -> socket.socket:
        """The socket at the bottom. It is blocking; `MSG_DONTWAIT` makes a call not wait."""

    @property
    def receive(self) -> Callable[[int, int], bytes]:
        """`receive(limit, flags)`: like `socket.recv`, b"" at the end of the stream.

        Raises:
            BlockingIOError: There is nothing, and the flags or the socket's receive
                timeout forbid to wait on. For TLS: nothing complete.
        """

    @property
    def send(self) -> Callable[[bytes | memoryview, int], int]:
        """`send(data, flags)`: like `socket.send`. TLS takes all of it, see `pending`."""

    @property
    def fileno(self) -> Callable[[], int]:
        """`fileno()`: the descriptor to poll; -1 once closed."""

    @property
    def pending(self) -> int:
        """Bytes taken by `send` that the socket has not taken yet."""

    @property
    def has_decrypted(self) -> bool:
        """Whether `receive` has something that a poll of the descriptor would not show."""

    def handshake_step(self) -> bool:
        """Go on with the TLS handshake as far as it goes without waiting. True: done."""

    def flush(self, flags: int) -> None:
        """Give the socket more of what is pending."""

    def close(self) -> None:
        """End both directions and free the descriptor."""


class PlainPipe:
    """A socket as it is: its own bound methods, so that the hot path pays no extra call."""

    __slots__ = ("fileno", "receive", "send", "socket")

    pending: Final = 0
    has_decrypted: Final = False

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.receive: Callable[[int, int], bytes] = sock.recv
        self.send: Callable[[bytes | memoryview, int], int] = sock.send
        self.fileno: Callable[[], int] = sock.fileno

    def handshake_step(self) -> bool:
        """There is none: done."""
        return True

    def flush(self, flags: int) -> None:
        """Nothing is ever pending here."""

    def close(self) -> None:
        """End both directions and free the descriptor."""
        _close(self.socket)


class TlsPipe:
    """TLS over a blocking socket.

    Args:
        sock: Connected; the pipe owns it from now on.
        context: What to trust and what to show.
        server_side: Whether this side has the certificate.
        server_name: Client only: the host the certificate must be for.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_name: str | None = None,
    ) -> None:
        self.socket = sock
        self.fileno: Callable[[], int] = sock.fileno
        self.has_decrypted = False
        # Guards the TLS state and everything below. Never held while waiting.
        self._lock = threading.Lock()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        # Ciphertext taken out of `_outgoing` that the socket has not taken yet.
        self._unsent = memoryview(b"")
        # Decrypted beyond the limit of the last receive().
        self._decrypted = b""
        # Set when the other side has said that nothing more will come.
        self._ended = False
        # Set when an interrupt came between the kernel's bytes and the caller.
        self._broken = False

    @property
    def pending(self) -> int:
        """Bytes of ciphertext that the socket has not taken yet."""
        return len(self._unsent) + self._outgoing.pending

    # ---- handshake -------------------------------------------------------------------

    def handshake_step(self) -> bool:
        """Go on with the handshake as far as it goes without waiting.

        Returns:
            True when it is done. Until then: call again when the descriptor is readable,
            or writable if something is `pending`.

        Raises:
            ssl.SSLError: There is no common ground; what to say about it has been sent.
            OSError: The connection is gone.
        """
        with self._lock:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._write_socket()
                except ssl.SSLError as error:
                    self._part(error)
                    raise
                else:
                    self._write_socket()
                    self._decrypted = self._read(_RECORD_LIMIT) or b""
                    self.has_decrypted = bool(self._decrypted)
                    return True
                try:
                    self._feed(socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return False

    def handshake(self, timeout: float) -> None:
        """Do the whole handshake, waiting.

        Raises:
            TimeoutError: It was not done within `timeout` seconds.
            ssl.SSLError: There is no common ground.
            OSError: The connection is gone.
        """
        deadline = time.monotonic() + timeout
        while not self.handshake_step():
            events = select.POLLIN | (select.POLLOUT if self.pending else 0)
            if not wait_until_ready(self.fileno(), events, deadline - time.monotonic()):
                raise TimeoutError("the TLS handshake was not answered")

    def _part(self, error: ssl.SSLError) -> None:
        """Tell the other side why there is no connection: an alert, or text for plain HTTP."""
        with contextlib.suppress(OSError):  # it has left: nobody to tell
            self._write_socket()
            if error.reason == "HTTP_REQUEST":
                self.socket.send(_PLAIN_ANSWER, socket.MSG_DONTWAIT)

    # ---- receiving -------------------------------------------------------------------

    def receive(self, limit: int, flags: int = 0, /) -> bytes:
        """At most `limit` decrypted bytes; b"" at the end of the stream.

        Raises:
            BlockingIOError: Nothing complete has come, and the flags or the socket's
                receive timeout forbid to wait on.
            OSError: The connection is gone, or what came is no TLS.
        """
        while True:
            if self._broken:
                raise ConnectionResetError("an interrupt has cut off the TLS stream")
            if not self.has_decrypted:
                if self._ended:
                    return b""
                # Outside the lock: who waits here must not stop those who send.
                self._feed(flags)
            try:
                with self._lock:
                    data = self._take(limit)
            except OSError:
                raise
            except BaseException:
                self._broken = True
                raise
            if data is not None:
                return data

    def _feed(self, flags: int) -> None:
        """Take ciphertext from the socket."""
        # One C call: an interrupt comes before the kernel's bytes are taken or after they
        # are in the buffer, and leaves the stream whole.
        counts = map(self._incoming.write, map(self.socket.recv, (_CIPHERTEXT_LIMIT,), (flags,)))
        if deque(counts, 1) == deque((0,)):
            self._incoming.write_eof()

    def _take(self, limit: int) -> bytes | None:
        """Decrypted bytes, or None if no record is complete. Requires `_lock`."""
        pieces = [self._decrypted] if self._decrypted else []
        size = len(self._decrypted)
        piece: bytes | None = None
        while size < limit and (piece := self._read(min(limit - size, _RECORD_LIMIT))):
            pieces.append(piece)
            size += len(piece)
        data = b"".join(pieces)
        if size >= limit:
            # Ahead by one record: whether more is complete is known by no other means.
            self._decrypted = data[limit:] or self._read(_RECORD_LIMIT) or b""
            data = data[:limit]
        else:
            self._decrypted = b""
        self.has_decrypted = bool(self._decrypted)
        if self._outgoing.pending:  # an answer of TLS itself, to a key update for example
            with contextlib.suppress(OSError):  # what has arrived counts, also from one who left
                self._write_socket()
        return data or piece

    def _read(self, limit: int) -> bytes | None:
        """One decrypted piece; None if no record is complete, b"" at the end of the stream."""
        try:
            data = self._tls.read(limit)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # With or without TLS's own farewell: a WebSocket knows by its close frame
            # whether it was cut off.
            data = b""
        self._ended = not data
        return data

    # ---- sending ---------------------------------------------------------------------

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:
        """Take all of `data`, and give the socket what it accepts.

        With `MSG_DONTWAIT` the rest is `pending`, else this waits until nothing is.

        Returns:
            The length of `data`.

        Raises:
            OSError: The connection is gone.
        """
        with self._lock:
            left = memoryview(data)
            while left:
                try:
                    left = left[self._tls.write(left) :]
                except ssl.SSLWantReadError:
                    raise ConnectionAbortedError(
                        "the other side wants to renegotiate TLS, which is not supported"
                    ) from None
        self.flush(flags)
        return len(data)

    def flush(self, flags: int = 0) -> None:
        """Give the socket more of what is pending; without `MSG_DONTWAIT`, wait for all of it.

        Raises:
            OSError: The connection is gone.
        """
        while True:
            with self._lock:
                self._write_socket()
            if not self.pending or flags & socket.MSG_DONTWAIT:
                return
            # Outside the lock: the other side may read only when this one reads too.
            wait_until_ready(self.fileno(), select.POLLOUT, None)

    def _write_socket(self) -> None:
        """Give the socket as much ciphertext as it takes without waiting. Requires `_lock`."""
        while True:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read(_CIPHERTEXT_LIMIT))
                if not self._unsent:
                    return
            try:
                sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    def close(self) -> None:
        """Say farewell if that needs no waiting, end both directions, free the descriptor."""
        with self._lock, contextlib.suppress(OSError):  # the connection may be gone
            with contextlib.suppress(ssl.SSLWantReadError):  # the answer to it is not awaited
                self._tls.unwrap()
            self._write_socket()
        _close(self.socket)


def wait_until_ready(descriptor: int, events: int, timeout: float | None) -> bool:
    """Wait for poll events on one descriptor, whatever its number.

    Args:
        descriptor: Of an open socket.
        events: `select.POLLIN`, `select.POLLOUT`.
        timeout: Seconds; None waits for ever, 0 and less do not wait.

    Returns:
        Whether there was an event, an error of the socket included.
    """
    poll = select.poll()  # select() takes no descriptor above 1023
    poll.register(descriptor, events)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def _close(sock: socket.socket) -> None:
    """Wake those who wait in the socket, then close it."""
    with contextlib.suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
