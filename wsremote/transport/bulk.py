"""Large data on a connection: out of the memory where it is, into the memory where it belongs.

A message of two parts is sent, a short head and much data, without putting them together. Of a
large message that arrives, the owner of the connection is asked by its first bytes where the
others go, and they are received there: 100 MB take 60 ms on a loopback that way, and 350 ms if
each piece becomes a message first. What the owner does not claim, and all that comes over TLS
before it is decrypted, goes the ordinary way.

The rule for interrupts is that of `connection.py`: what the kernel gives or takes is noted within
the C call, and between looking at the note and storing what follows from it there is no call.
"""

from __future__ import annotations

import itertools
import select
import socket
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionLost
from .ending import Ending
from .pipe import wait_until_ready

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import Landing

__all__ = ["LANDS_FROM", "Bulk"]

LANDS_FROM: Final = 16 * 1024
"""Bytes of a message from which its owner is asked where it goes."""

HEAD: Final = 64
"""Bytes of it that the owner is shown."""

_LARGE: Final = 1024 * 1024
_PARTS: Final = 16
"""Pieces of the backlog that are given to the kernel with one system call."""

_PATIENCE: Final = 0.2
"""Seconds of one wait for the kernel; who waits looks again whether the connection lives."""

_NO_LIMIT: Final = (0,)
_WAIT: Final = (0,)
_DO_NOT_WAIT: Final = (socket.MSG_DONTWAIT,)
_NOTHING_ELSE: Final = ((),)


class Arriving:
    """A message whose bytes go to their final memory.

    Args:
        landing: Of the owner.
        key: Mask of the first byte that goes there, and of those behind; b"" for none.

    Attributes:
        at: Bytes that are there.
        landed: What the kernel has put there since that was looked at last.
    """

    __slots__ = ("at", "key", "landed", "landing", "size", "view")

    def __init__(self, landing: Landing, key: bytes) -> None:
        self.landing = landing
        self.view = landing.view
        self.size = len(landing.view)
        self.key = key
        self.at = 0
        self.landed: deque[int] = deque()


class Bulk(Ending):
    """The part of a connection that moves large data. See `SocketConnection`."""

    __slots__ = (
        *("_arrived", "_arriving", "_backlog_size", "_gone", "activity", "landing"),
        "messages_sent",
    )

    inbox: deque[bytes]
    activity: int
    messages_sent: int
    _is_secured: bool
    _masks: bool
    _mask_bit: int
    _timeout: float
    _keys: list[bytes]
    _sent: deque[int]
    _backlog: deque[bytes | memoryview]
    _backlog_size: int
    _send: Callable[[bytes | memoryview, int], int]

    def __init__(self) -> None:
        # Says where a large message goes, by its first bytes and its size. Called by whoever reads.
        self.landing: Callable[[bytes, int], Landing | None] | None = None
        # The message that is on its way there.
        self._arriving: Arriving | None = None
        # Bytes of the backlog that have left, and are not yet taken out of it.
        self._gone = 0

    # ---- receiving -------------------------------------------------------------------

    def _begin_landing(self, data: bytes, at: int, size: int) -> tuple[Arriving, int] | None:
        """Ask where a message goes that has begun to arrive.

        Args:
            data: What has arrived.
            at: Where the message begins in it, behind the header of its frame.
            size: Of the message.

        Returns:
            None if it goes the ordinary way. Else where it goes, and how many of its bytes are
            not a part of that.
        """
        assert self.landing is not None
        key = data[at - 4 : at] if self._mask_bit else b""
        head = data[at : at + HEAD]
        landing = self.landing(apply_mask(head, key) if key else head, size)
        if landing is None:
            return None
        skipped = size - len(landing.view)
        return Arriving(landing, key[skipped % 4 :] + key[: skipped % 4]), skipped

    def _receive_landing(self, timeout: float) -> deque[bytes]:
        """Receive more of what goes to its final memory. As `receive`."""
        arriving, arrived = self._arriving, self._arrived
        assert arriving is not None
        landed = arriving.landed
        if not (arrived or landed) and arriving.at < arriving.size:
            flags = _WAIT if timeout else _DO_NOT_WAIT
            if timeout and timeout != self._timeout:
                self._set_timeout(timeout)
            try:
                if self._is_secured or arriving.key:
                    # Not beyond the end of it: what follows may be the next of its kind.
                    ask = min(arriving.size - arriving.at, _LARGE)
                    arrived.extend(map(self._receive, (ask,), flags))
                else:
                    rest = (arriving.view[arriving.at :],)
                    landed.extend(map(self._pipe.socket.recv_into, rest, _NO_LIMIT, flags))
            except BlockingIOError:
                return self.inbox
            except OSError as error:
                self._lost(error.strerror or type(error).__name__)
                raise ConnectionLost(*self._closed()) from error
            self.activity += 1
            if (arrived and not arrived[-1]) or (landed and not landed[-1]):
                self._end_of_stream()
                return self.inbox
        self._parse()
        if self._is_secured and self._pipe.has_decrypted:
            self._drain_decrypted()
        return self.inbox

    def _land(self) -> bool:
        """Put what has arrived where it goes. Whether all of the message is there."""
        arriving = self._arriving
        assert arriving is not None
        landed, none = arriving.landed, deque[int]()
        if landed:
            arriving.at, arriving.landed = arriving.at + landed[0], none
        while self._arrived and arriving.at < arriving.size:
            first, *others = self._arrived
            at, key, size = arriving.at, arriving.key, arriving.size
            piece = memoryview(first)[: size - at]
            count = len(piece)
            turned = key[at % 4 :] + key[: at % 4]
            arriving.view[at : at + count] = apply_mask(piece, turned) if key else piece
            rest = deque(others)
            if count < len(first):
                rest.appendleft(first[count:])
            # Done again, all of this does no harm until here.
            arriving.at, self._arrived = at + count, rest
        if arriving.at < arriving.size:
            return False
        arriving.landing.landed()
        self._arriving = None
        return True

    # ---- sending ---------------------------------------------------------------------

    def wait_for_silence(self) -> None:
        """Wait until nothing waits to be sent, and give the kernel what does.

        So what is large goes behind all that is small. Hold no lock that the poller may want.
        """
        while self.closed is None:
            try:
                ready = wait_until_ready(self._pipe.fileno(), select.POLLOUT, _PATIENCE)
            except ValueError:
                return  # it was closed at this very moment
            if ready and self.flush():
                return

    def be_read(self) -> None:
        """The caller waits for something that nobody may be reading: the poller shall."""
        self.poller.rest(self)  # type: ignore[arg-type]

    def stir(self) -> None:
        """Nobody sees any more to what the kernel has not taken: the poller shall."""
        if self.has_backlog:
            self.poller.rearm(self)  # type: ignore[arg-type]

    @property
    def gathers(self) -> bool:
        """Whether several large messages had better be sent at once.

        Not if they are masked, or encrypted, before: the memory of four masked chunks goes back to
        the system each time, and its first touch takes as long as all else (100 MB: 20,000 pages).
        """
        return not (self._masks or self._is_secured)

    def send_large(self, *messages: tuple[bytes, memoryview]) -> None:
        """Send messages of two parts each, the second of which nobody writes to until it has left.

        They leave with one system call if the connection `gathers`. Never waits. Call
        `wait_for_silence` before; what the kernel does not take at once is left to the next
        `wait_for_silence` or `stir`.

        Raises:
            ConnectionLost: The connection is gone.
        """
        if self._is_secured:
            for head, data in messages:
                self.send(head + data)
            return
        if self._masks:
            for head, data in messages:
                self._send_masked(head, data)
            return
        parts: list[bytes | memoryview] = []
        for head, data in messages:
            parts.append(self._header(len(head) + len(data)) + head)
            parts.append(data)
        with self._writing:
            self._write_parts(parts, len(messages))

    def _send_masked(self, head: bytes, data: memoryview) -> None:
        """Send one message of two parts."""
        try:
            key = self._keys.pop()
        except IndexError:
            key = self._draw_keys()
        turn = len(head) % 4
        first = self._header(len(head) + len(data)) + key + apply_mask(head, key)
        second = apply_mask(data, key[turn:] + key[:turn])
        with self._writing:
            self._write_parts([first, second], 1)

    def _write_parts(self, parts: list[bytes | memoryview], messages: int) -> None:
        """Write the parts of frames, or queue them behind what is queued. Requires `_writing`."""
        if self.closed is not None:
            raise ConnectionLost(*self.closed)
        sent, size = self._sent, sum(map(len, parts))
        try:
            if self._backlog:
                sent.append(0)
            else:
                # As in `_write`: noted within the C call.
                sent.extend(map(self._pipe.socket.sendmsg, (parts,), _NOTHING_ELSE, _DO_NOT_WAIT))
        except BlockingIOError:
            sent.append(0)
        except OSError as error:
            self._lost(error.strerror or type(error).__name__)
            raise ConnectionLost(*self._closed()) from error
        finally:
            # No call until all is noted, also when an interrupt comes out of the write.
            if sent:
                count = sent[-1]
                self.messages_sent += messages
                if count < size:
                    self._backlog += parts
                    self._gone += count
                    self._backlog_size += size - count
                sent.clear()

    def _flush_some(self) -> bool:
        """Write some of the backlog, which is not empty. Whether the kernel has taken all of that.

        Requires `_writing`.

        Raises:
            OSError: It takes nothing now, or the connection is gone.
        """
        self._forget_gone()
        if not self._backlog:
            return True  # an interrupt came when all had left, and before that was seen to
        sent, parts = self._sent, list(itertools.islice(self._backlog, _PARTS))
        size = sum(map(len, parts))
        try:
            if self._is_secured:
                size = len(parts[0])
                sent.extend(map(self._send, parts[:1], _DO_NOT_WAIT))
            else:
                sent.extend(map(self._pipe.socket.sendmsg, (parts,), _NOTHING_ELSE, _DO_NOT_WAIT))
        finally:
            # As in `_write`: noted within the C call, and no call until it is stored.
            if sent:
                count = sent[-1]
                self._gone += count
                self._backlog_size -= count
                sent.clear()
        self._forget_gone()
        return count == size

    def _forget_gone(self) -> None:
        """Take out of the backlog what has left. Requires `_writing`."""
        backlog = self._backlog
        while gone := self._gone:
            data, size = backlog[0], len(backlog[0])
            # No call between what is changed.
            if gone >= size:
                del backlog[0]
                self._gone = gone - size
            else:
                # A view: what is left of a large message must not be copied at every write.
                rest = memoryview(data)[gone:]
                backlog[0] = rest
                self._gone = 0

    def own_backlog(self) -> None:
        """Copy what waits to be sent: whose memory it is may be written to from now on."""
        with self._writing:
            for index, data in enumerate(self._backlog):
                self._backlog[index] = bytes(data)

    # ---- of SocketConnection ---------------------------------------------------------

    @abstractmethod
    def send(self, message: bytes) -> None: ...

    @abstractmethod
    def flush(self) -> bool: ...

    @abstractmethod
    def _set_timeout(self, timeout: float) -> None: ...

    @abstractmethod
    def _parse(self) -> None: ...

    @abstractmethod
    def _drain_decrypted(self) -> None: ...

    @abstractmethod
    def _end_of_stream(self) -> None: ...

    @abstractmethod
    def _header(self, size: int) -> bytes: ...

    @abstractmethod
    def _draw_keys(self) -> bytes: ...
