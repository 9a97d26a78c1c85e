"""A line of a given rate: a TCP proxy that holds almost nothing back.

Its sockets' buffers are small, so that what waits on the line waits in the sender, as before a
slow modem; a proxy with the kernel's usual buffers would be a queue of megabytes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit

__all__ = ["SlowLine"]

PIECE = 8 * 1024
"""Bytes that pass at once: 0.4 ms at 20 MB/s."""
BUFFER = 16 * 1024
"""Asked of the kernel for each socket; it gives about twice that."""


class SlowLine:
    """Listens at a port of its own and connects each client with the server.

    Args:
        url: Of the server.
        rate: Bytes a second, in each direction.

    Attributes:
        url: What clients connect to.
    """

    def __init__(self, url: str, rate: float) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._rate = rate
        self._listener = socket.socket()
        self._shrink(self._listener)  # before listen(): the window is agreed in the handshake
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"{parts.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    @staticmethod
    def _shrink(sock: socket.socket) -> None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket()
            self._shrink(server)
            server.connect(self._target)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=[source, sink], daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        due = 0.0
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                sink.sendall(data)
                # What was not used in the last 2 ms is lost: sleeping is not exact.
                due = max(due, time.perf_counter() - 0.002) + len(data) / self._rate
                if (early := due - time.perf_counter()) > 0:
                    time.sleep(early)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
