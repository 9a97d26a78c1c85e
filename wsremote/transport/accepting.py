"""The server's half of the opening of a connection: TLS, then one HTTP request.

Driven by the poller without ever waiting. Ends with a `SocketConnection`, with a page
served, or with nothing.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Final

from websockets.http11 import Request
from websockets.protocol import State

from .connection import SocketConnection
from .opening import tune
from .pipe import PlainPipe, TlsPipe
from .requests import answer, answer_to_garbage, is_page, looks_like_tls, new_server_protocol

if TYPE_CHECKING:
    from .pipe import Pipe
    from .requests import RequestRules

__all__ = ["Acceptance"]

logger = logging.getLogger("wsremote.transport")

_REQUEST_SIZE: Final = 16 * 1024
_PAGE_TIMEOUT: Final = 30.0
"""Seconds that a reader of a page may take for each piece of it."""


class Acceptance:
    """One accepted socket until it is a WebSocket.

    Args:
        sock: Accepted, blocking.
        rules: Whom to answer.
        tls: What to show to clients; None for plain connections.
        max_size: Largest message of the new connection, bytes.
    """

    def __init__(
        self,
        sock: socket.socket,
        rules: RequestRules,
        *,
        tls: ssl.SSLContext | None,
        max_size: int,
    ) -> None:
        tune(sock)
        self.pipe: Pipe = PlainPipe(sock) if tls is None else TlsPipe(sock, tls, server_side=True)
        self._rules = rules
        self._max_size = max_size
        self._protocol = new_server_protocol(max_size)
        self._secured = tls is None
        # Whether a page has been sent, and its reader is to close.
        self._answered = False

    def step(self) -> SocketConnection | bool:
        """Take what has arrived.

        Returns:
            The connection, once it is open. Before: True to go on when more arrives, False
            when there will be none; then the socket is closed, or is being closed.
        """
        try:
            if not self._secured:
                if not self.pipe.handshake_step():
                    return True
                self._secured = True
                if not self.pipe.has_decrypted:
                    return True
            data = self.pipe.receive(_REQUEST_SIZE, socket.MSG_DONTWAIT)
            if data and self._answered:
                return True
            if not data or looks_like_tls(data):
                self.pipe.close()
                return False
            return self._take(data)
        except BlockingIOError:
            return True
        except OSError as error:  # ssl.SSLError among them
            logger.info("! a connection was not opened: %s", error)
            self.pipe.close()
            return False

    def _take(self, data: bytes) -> SocketConnection | bool:
        """Feed the request parser, and answer the request when it is whole."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                if is_page(event, self._rules):
                    # Making it may take a while, and its reader may be slow.
                    threading.Thread(
                        target=self._serve_page, args=[event], name="wsremote-page", daemon=True
                    ).start()
                    return False
                protocol.send_response(answer(protocol, event, self._rules))
        response = protocol.data_to_send()
        if protocol.state is State.OPEN:
            # A client waits for the response before it sends anything.
            if protocol.reader.buffer:
                raise ConnectionAbortedError("data came before the opening was answered")
            self.pipe.send(b"".join(response), socket.MSG_DONTWAIT)
            return SocketConnection(self.pipe, protocol, max_size=self._max_size, received=b"")
        if protocol.handshake_exc is not None and not any(response):
            response = [answer_to_garbage()]
        if response:
            return self._answer(b"".join(response))
        return True

    def _answer(self, response: bytes) -> bool:
        """Send a whole response, of which the other side knows the end: a small one."""
        self.pipe.send(response, socket.MSG_DONTWAIT)
        # Until the reader has it all: closing on unread data would cut it off.
        self.pipe.socket.shutdown(socket.SHUT_WR)
        self._answered = True
        return True

    def _serve_page(self, request: Request) -> None:
        """Make a page, send it and close; in a thread of its own."""
        sock, protocol = self.pipe.socket, self._protocol
        deadline = time.monotonic() + _PAGE_TIMEOUT
        try:
            protocol.send_response(answer(protocol, request, self._rules))
            response = b"".join(protocol.data_to_send())
            sock.settimeout(_PAGE_TIMEOUT)
            view = memoryview(response)
            while view:
                view = view[self.pipe.send(bytes(view[: 1024 * 1024]), 0) :]
            sock.shutdown(socket.SHUT_WR)
            # As above, but not for ever.
            while sock.recv(_REQUEST_SIZE) and time.monotonic() < deadline:
                continue
        except OSError as error:
            logger.info("! a page was not read to its end: %s", error)
        finally:
            self.pipe.close()
