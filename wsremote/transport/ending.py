"""How a connection ends: with a closing frame, at once, or in a child that was forked."""

from __future__ import annotations

import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from websockets.frames import CloseCode
from websockets.protocol import State

from ..errors import ConnectionLost
from .base import Closed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from websockets.protocol import Protocol

    from .pipe import Pipe
    from .poller import Poller

__all__ = ["Ending"]

logger = logging.getLogger("wsremote.transport")

_LARGE: Final = 1024 * 1024
_GOODBYE: Final = 2.0
"""Seconds that the other side has to close its half of a connection that was closed here."""


class Ending(ABC):
    """The part of a connection that ends it. See `SocketConnection`."""

    __slots__ = ("_drained", "_is_lost", "_using_library", "_writing", "closed")

    # How it ended; None while it is open.
    closed: Closed | None
    poller: Poller
    _pipe: Pipe
    _protocol: Protocol | None
    _receive: Callable[[int, int], bytes]
    _arrived: deque[bytes]
    _is_lost: bool
    _using_library: threading.RLock
    _writing: threading.Lock
    _drained: threading.Condition | None

    @property
    @abstractmethod
    def has_backlog(self) -> bool:
        """Whether something waits for the kernel to take it."""

    @abstractmethod
    def _library(self) -> Protocol:
        """The library's protocol object."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write, or queue behind what is queued. Requires `_writing`."""

    @abstractmethod
    def _say_drained(self) -> None:
        """Wake who waits for room. Requires `_writing`."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a closing frame and end the connection; what was sent before it arrives."""
        # A control frame has 125 bytes (RFC 6455 section 5.5), two of them for the code.
        reason = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
        with self._using_library, self._writing:
            if self.closed is not None:
                return
            protocol = self._library()
            if protocol.state is State.OPEN:
                protocol.send_close(code, reason)
                try:
                    self._write(b"".join(protocol.data_to_send()))
                except ConnectionLost:
                    return
            self.closed = Closed(code, reason)
            self._say_drained()
            if not self.has_backlog:
                # The other side reads to the end and closes; a close() here would reset the
                # connection if it had sent something, and lose what it has not read yet.
                self._shut_down(socket.SHUT_WR)
        # A peer that does not close its half must not keep the descriptor.
        self.poller.remind(time.monotonic() + _GOODBYE, self._give_up)

    def _give_up(self) -> None:
        self.abort("closed")

    def discard(self) -> bool:
        """Throw away what comes behind our close. False when nothing more can come.

        Only for the holder of `reading`.
        """
        self._arrived.clear()
        try:
            return not self._is_lost and bool(self._receive(_LARGE, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def abort(self, reason: str) -> None:
        """End the connection now, with nothing said."""
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        """Note how the connection ended, once, and free the socket's two directions."""
        if self.closed is None:
            protocol = self._protocol
            close = None if protocol is None else protocol.close_rcvd or protocol.close_sent
            if close is not None:
                self.closed = Closed(int(close.code), close.reason)
            else:
                self.closed = Closed(int(CloseCode.ABNORMAL_CLOSURE), reason)
        self._is_lost = True
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        try:
            self._pipe.socket.shutdown(how)
        except OSError as error:
            logger.debug("! shutdown: %s", error)

    def _closed(self) -> Closed:
        assert self.closed is not None
        return self.closed

    def forked(self) -> None:
        """This is a forked child: the connection is the parent's, and nothing is sent here."""
        self.closed = Closed(int(CloseCode.ABNORMAL_CLOSURE), "this process was forked")
        self._is_lost = True
        self._using_library = threading.RLock()
        self._writing = threading.Lock()
        self._drained = None

    def free(self) -> None:
        """Close the socket. Only for the poller, or where none watches it."""
        # Nobody is inside a write, whose descriptor may soon be that of another connection.
        with self._writing:
            self._pipe.close()
            self._say_drained()
