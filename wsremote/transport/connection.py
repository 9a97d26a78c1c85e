"""A WebSocket connection over a socket, read and written by whichever thread needs it.

There is no thread here and no event loop. Who holds `reading` may read; anyone may
send. `Poller` watches the connections that nobody reads.

Whole binary frames, which is what a wsremote peer sends, are read and written by
hand (RFC 6455 section 5.2): header and mask, 2.5 µs for both ends of a call where
the library's parser takes 9. Everything else, such as fragments, control frames,
closing and every violation, goes through the library's Sans-I/O protocol object,
which only ever gets whole frames and so is always between two of them.

An interrupt can land between any two bytecodes. Received bytes therefore enter
`_arrived` within the C call that takes them from the kernel, parsing changes
nothing until its result is stored, and a message leaves `inbox` only when its
reader has handled it: an interrupted read is simply done again, and what comes
twice is known by its number. An exception inside the library's parser or inside
a write cannot be repaired that way and aborts the connection.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import struct
import termios
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, Protocol, Side, State

from ..errors import ConnectionLost
from .bulk import HEAD, LANDS_FROM, Bulk
from .pipe import PlainPipe

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from .base import Closed, Owner
    from .pipe import Pipe
    from .poller import Poller

__all__ = ["SocketConnection"]

logger = logging.getLogger("wsremote.transport")
_library_logger = logging.getLogger("wsremote.transport.websockets")

_FINAL_BINARY: Final = 0x80 | Opcode.BINARY
_MASKED: Final = 0x80
_SMALL: Final = 16 * 1024
"""Bytes asked of the kernel when no large frame is under way: Python allocates them first."""
_TINY: Final = 479
"""Bytes asked of the kernel while small messages come. With its header such a `bytes` has 512, the
most that Python's own allocator gives: 0.6 µs of a small call, both sides together."""
_LARGE: Final = 1024 * 1024
_WAIT: Final = (0,)
_DO_NOT_WAIT: Final = (socket.MSG_DONTWAIT,)
_SMALL_HEADERS: Final = {
    bit: [bytes([_FINAL_BINARY, size | bit]) for size in range(126)] for bit in (0, _MASKED)
}
"""Headers of the frames that need but two bytes, by mask bit and size of the message."""

_BACKLOG_LIMIT: Final = 4 * 1024 * 1024
"""Bytes waiting for a slow reader before senders wait with them."""
_KEYS_AT_ONCE: Final = 1024


class SocketConnection(Bulk):
    """One open WebSocket.

    Args:
        pipe: The bytes below, plain or TLS. Its socket is blocking.
        protocol: The library's protocol object, after the opening handshake. It is let go of, with
            the headers that it has read: nothing is under way in it, and a new one is made for
            what needs one. Most connections never do, which saves each 8 KB.
        max_size: Largest message accepted, bytes.
        received: Bytes that came behind the opening handshake.
    """

    # A server has thousands of these that do nothing.
    __slots__ = (
        "__weakref__", "_ask", "_backlog", "_fragments",
        "_head", "_is_plain", "_is_secured", "_keys", "_mask_bit", "_masks", "_pipe",
        "_protocol", "_receive", "_send", "_sent", "_small_headers", "_timeout",
        "_wanted", "attended", "inbox", "is_urgent", "max_size",
        "owner", "poller", "reading", "resting",
    )  # fmt: skip

    def __init__(self, pipe: Pipe, protocol: Protocol, *, max_size: int, received: bytes) -> None:
        super().__init__()
        # The right to read. Held while a thread receives and handles what it received.
        # Re-entrant only because such a lock can tell an interrupted thread that it holds it.
        self.reading = threading.RLock()
        # Whole messages; the reader removes each when it has handled it.
        self.inbox: deque[bytes] = deque()
        # Counts receptions; the poller sees by it whether anybody reads.
        self.activity = 0
        # Counts messages that have left or are queued to leave.
        self.messages_sent = 0
        # Whether the poller watches for incoming data.
        self.resting = False
        # Whether the poller gives ticks to the owner.
        self.attended = False
        # Whether what comes here goes ahead of connections that open, rest or end.
        self.is_urgent = True
        # Largest message accepted. Raised once the other side has proved itself.
        self.max_size = max_size
        self.closed: Closed | None = None
        # Who is told what the poller receives. Set before a poller watches the connection.
        self.owner: Owner
        # Who watches it, and sends the backlog. Set by the poller itself.
        self.poller: Poller

        self._pipe = pipe
        self._receive = pipe.receive
        self._send = pipe.send
        # The library's, once there is something for it. Made and used under `_using_library`.
        self._protocol: Protocol | None = None
        self._masks = protocol.side is Side.CLIENT
        # Of the frames that come: the mask bit of their second byte, and the length of
        # the header of a small one.
        self._mask_bit = 0 if self._masks else _MASKED
        self._head = 2 if self._masks else 6
        # Whether whole messages may come: the connection is open, and no fragment is pending.
        self._is_plain = True
        self._is_secured = not isinstance(pipe, PlainPipe)
        self._small_headers = _SMALL_HEADERS[_MASKED if self._masks else 0]
        # Unpredictable, and each used once (RFC 6455 section 10.3).
        self._keys: list[bytes] = []
        self._arrived: deque[bytes] = deque([received] if received else ())
        self._wanted = 0
        # Bytes to ask of the kernel next time.
        self._ask = _TINY
        self._fragments: list[bytes] = []
        # Whether nothing can be sent any more: also not what is left of the backlog.
        self._is_lost = False
        self._timeout = -1.0
        # Any thread may close while another parses. Taken before `_writing`.
        self._using_library = threading.RLock()
        self._writing = threading.Lock()
        self._sent: deque[int] = deque()
        self._backlog: deque[bytes | memoryview] = deque()
        self._backlog_size = 0
        # Of `_writing`, made for the first that waits for room. Other threads look for it.
        self._drained: threading.Condition | None = None

    def fileno(self) -> int:
        """The socket's descriptor; -1 once it is closed."""
        return self._pipe.fileno()

    def _library(self) -> Protocol:
        """The library's protocol object. Requires `_using_library`."""
        if self._protocol is None:
            side = Side.CLIENT if self._masks else Side.SERVER
            protocol = Protocol(side, max_size=self.max_size, logger=_library_logger)
            # At level DEBUG the library logs every frame.
            protocol.debug = False
            self._protocol = protocol
        return self._protocol

    # ---- receiving -------------------------------------------------------------------

    def receive(self, timeout: float) -> deque[bytes]:
        """Wait for messages and give the queue of those not yet handled.

        Only for the holder of `reading`, which removes from the queue what it has
        handled.

        Args:
            timeout: Seconds to wait for the first byte; 0 does not wait.

        Raises:
            ConnectionLost: Nothing more will come.
        """
        inbox = self.inbox
        if inbox:
            return inbox
        if self.closed is not None:
            raise ConnectionLost(*self.closed)
        if self._arriving is not None:
            return self._receive_landing(timeout)
        if self._arrived:
            # Half a frame; or whole ones, whose reader was interrupted before it parsed them:
            # nothing more may come until they are handled.
            self._parse()
            if inbox:
                return inbox
        flags = _WAIT if timeout else _DO_NOT_WAIT
        if timeout and timeout != self._timeout:
            self._set_timeout(timeout)
        arrived = self._arrived
        try:
            # One C call: no bytecode, so no interrupt, between the kernel and the deque.
            arrived.extend(map(self._receive, (self._ask,), flags))
        except BlockingIOError:
            return inbox
        except OSError as error:
            self._lost(error.strerror or type(error).__name__)
            raise ConnectionLost(*self._closed()) from error
        self.activity += 1
        data = arrived[0]
        head, mask_bit = self._head, self._mask_bit
        size = len(data) - head
        # What nearly every reception is: one whole small frame, and nothing else.
        if (
            0 < size < 126
            and data[0] == _FINAL_BINARY
            and data[1] == size | mask_bit
            and self._is_plain
            and len(arrived) == 1
        ):
            # From `+=` on no call: an interrupt finds it here, or there.
            payload = apply_mask(data[6:], data[2:6]) if mask_bit else data[2:]
            inbox += (payload,)
            arrived.clear()
            self._ask = _TINY
        # The same with two bytes more of length, such as a result of a few fields: 3 µs less.
        elif (
            127 < size <= _SMALL
            and data[0] == _FINAL_BINARY
            and data[1] == 126 | mask_bit
            and data[2] << 8 | data[3] == size - 2
            and size <= self.max_size
            and self._is_plain
            and len(arrived) == 1
        ):
            payload = data[head + 2 :]
            if mask_bit:
                payload = apply_mask(payload, data[head - 2 : head + 2])
            inbox += (payload,)
            arrived.clear()
        elif not arrived[-1]:
            self._end_of_stream()
        else:
            if len(data) == _TINY:
                self._receive_rest()
            self._parse()
        if self._is_secured and self._pipe.has_decrypted:
            self._drain_decrypted()
        return inbox

    def _receive_rest(self) -> None:
        """Take what is behind the bytes that were asked for, if there is more."""
        try:
            self._arrived.extend(map(self._receive, (_SMALL,), _DO_NOT_WAIT))
        except BlockingIOError:
            pass  # it was just so long
        except OSError as error:
            # Said to who receives next: what has come before counts.
            self._lost(error.strerror or type(error).__name__)

    def _set_timeout(self, timeout: float) -> None:
        """Have the kernel end a waiting recv: one system call a reception, not two."""
        seconds, fraction = divmod(timeout, 1)
        value = struct.pack("ll", int(seconds), int(fraction * 1e6))
        self._pipe.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._timeout = timeout

    def _drain_decrypted(self) -> None:
        """Take what TLS has decrypted already: no poll on the socket would tell of it."""
        while self._pipe.has_decrypted and self.closed is None:
            self._arrived.append(self._receive(_LARGE, socket.MSG_DONTWAIT))
            self._parse()

    def _parse(self) -> None:
        """Turn what has arrived into messages, one frame after the other."""
        while (self._arriving is None or self._land()) and self._parse_plain():
            if self._protocol is not None and self._protocol.parser_exc is not None:
                # The library has refused a frame, and closed: what comes behind it means nothing.
                self._arrived = deque()
                return

    def _parse_plain(self) -> bool:
        """The whole binary messages, up to one other frame. Whether there is more behind it."""
        arrived = self._arrived
        if not arrived:
            return False
        if self._wanted and sum(map(len, arrived)) < self._wanted:
            return False
        data = arrived[0] if len(arrived) == 1 else b"".join(arrived)
        mask_bit = self._mask_bit
        start, end = 0, len(data)
        found: list[bytes] = []
        wanted = 0
        while end - start >= 2:
            first, second = data[start], data[start + 1]
            size = second & 0x7F
            at = start + 2
            if size == 126:
                size, at = int.from_bytes(data[at : at + 2]), at + 2
            elif size == 127:
                size, at = int.from_bytes(data[at : at + 8]), at + 8
            if second & _MASKED:
                at += 4
            stop = at + size
            # The library refuses these by their first bytes: it need not see the rest.
            refused = second & _MASKED != mask_bit or size > self.max_size
            if stop > end and (at > end or not refused):
                wanted = stop - start
                if (
                    size >= LANDS_FROM
                    and first == _FINAL_BINARY
                    and self.landing is not None
                    and self._is_plain
                ):
                    if at + HEAD > end:
                        wanted = at + HEAD - start
                    elif (begun := self._begin_landing(data, at, size)) is not None:
                        arriving, skipped = begun
                        rest = deque((data[at + skipped :],))
                        self.inbox += found
                        self._arrived = rest
                        self._arriving = arriving
                        self._wanted, self._ask = 0, _SMALL
                        return True
                break
            if first == _FINAL_BINARY and not refused and self._is_plain:
                payload = data[at:stop]
                found.append(apply_mask(payload, data[at - 4 : at]) if mask_bit else payload)
                start = stop
            else:
                # Order among messages: what was found before this frame goes first.
                rest = deque((data[stop:],)) if stop < end else deque()
                # No call in between: after an interrupt there, frames would be parsed twice.
                self.inbox += found
                self._arrived = rest
                self._wanted, self._ask = 0, _SMALL
                self._parse_with_library(data[start:stop])
                return stop < end and self.closed is None
        rest = deque((data[start:],)) if start < end else deque()
        ask = _SMALL if wanted <= _SMALL else min(wanted, _LARGE)
        self.inbox += found
        self._arrived = rest
        # A frame of so many bytes has begun to arrive; 0 if none has.
        self._wanted, self._ask = wanted, ask
        return False

    def _parse_with_library(self, data: bytes) -> None:
        """One whole frame that is not a whole binary message, or a violation."""
        try:
            with self._using_library:
                protocol = self._library()
                protocol.max_message_size = self.max_size
                protocol.receive_data(data)
                for event in protocol.events_received():
                    assert isinstance(event, Frame)
                    self._handle_frame(protocol, event)
                self._send_protocol_data()
                self._is_plain = protocol.state is State.OPEN and protocol.current_size is None
        except BaseException:
            self.abort("interrupted while reading")
            raise

    def _handle_frame(self, protocol: Protocol, frame: Frame) -> None:
        """A frame that the library has checked."""
        if frame.opcode is Opcode.TEXT:
            protocol.fail(CloseCode.UNSUPPORTED_DATA, "wsremote messages are binary")
        elif frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                self.inbox.append(b"".join(self._fragments))
                self._fragments.clear()

    def _end_of_stream(self) -> None:
        """The other side has closed its half of the stream."""
        self._arrived = deque()
        with self._using_library:
            if self._protocol is not None and self._protocol.state is not State.CLOSED:
                self._protocol.receive_eof()
            self._lost("the other side is gone without a closing frame: killed or cut off")
            if self._protocol is not None:
                self._send_protocol_data()
        if not self.inbox:
            raise ConnectionLost(*self._closed())

    # ---- sending ---------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """Send one message, whole; any thread.

        Never waits: what the kernel does not take at once is left to the poller. Whoever
        sends much calls `wait_for_room` before.

        Raises:
            ConnectionLost: The connection is gone.
        """
        size = len(message)
        frame = self._small_headers[size] if size < 126 else self._header(size)
        if self._masks:
            try:
                key = self._keys.pop()
            except IndexError:
                key = self._draw_keys()
            frame += key + apply_mask(message, key)
        else:
            frame += message
        with self._writing:
            if self.closed is not None or self._backlog or self._is_secured:
                self._write(frame)
                return
            size, sent = len(frame), -1
            try:
                # What the C call gives is stored with no call in between, and no end of a loop: an
                # interrupt finds the frame unsent or its length noted.
                for sent in map(self._send, (frame,), _DO_NOT_WAIT):  # noqa: B007
                    pass
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lost(error.strerror or type(error).__name__)
                raise ConnectionLost(*self._closed()) from error
            finally:
                # Also when an interrupt comes out of the call: the frame is on its way.
                # No call before it is counted: a call is where an interrupt can land.
                if sent == size:
                    self.messages_sent += 1
                elif sent >= 0:
                    self._note_sent(frame, sent)

    def _draw_keys(self) -> bytes:
        """Draw 1024 masking keys with one system call, and give one of them."""
        drawn = os.urandom(4 * _KEYS_AT_ONCE)
        self._keys.extend(drawn[at : at + 4] for at in range(4, len(drawn), 4))
        return drawn[:4]

    def _header(self, size: int) -> bytes:
        """The header of a frame with a message of 126 bytes and more."""
        bit = _MASKED if self._masks else 0
        if size < 65536:
            return struct.pack("!BBH", _FINAL_BINARY, 126 | bit, size)
        return struct.pack("!BBQ", _FINAL_BINARY, 127 | bit, size)

    def _write(self, data: bytes) -> None:
        """Write, or queue behind what is queued. Requires `_writing`."""
        if self.closed is not None:
            raise ConnectionLost(*self.closed)
        sent = self._sent
        size = len(data)
        if self._backlog or (self._is_secured and self._pipe.pending):
            self._note_sent(data, 0)
        else:
            try:
                # One C call: an interrupt finds the frame unsent or its length noted.
                sent.extend(map(self._send, (data,), _DO_NOT_WAIT))
            except BlockingIOError:
                sent.append(0)
            except OSError as error:
                self._lost(error.strerror or type(error).__name__)
                raise ConnectionLost(*self._closed()) from error
            finally:
                # Also when an interrupt comes out of the call: the frame is on its way.
                # No call before it is counted: a call is where an interrupt can land.
                if sent and sent[-1] == size and not self._is_secured:
                    self.messages_sent += 1
                    sent.clear()
                elif sent:
                    self._note_sent(data, sent.pop())

    def _note_sent(self, data: bytes, sent: int) -> None:
        """A message has left, or has begun to: what the kernel did not take follows."""
        self.messages_sent += 1
        if sent < len(data):
            # A view: what is left of a large message must not be copied at every write.
            self._backlog.append(memoryview(data)[sent:] if sent else data)
            self._backlog_size += len(data) - sent
        if self._backlog or self._pipe.pending:
            self.poller.rearm(self)

    def wait_for_room(self) -> None:
        """Wait while more than 4 MiB are left to the poller, which itself never waits.

        Hold no lock that the poller may want: it alone makes room.
        """
        if self._backlog_size > _BACKLOG_LIMIT and not self.poller.is_current:
            with self._writing:
                if self._drained is None:
                    self._drained = threading.Condition(self._writing)
                # Looked after again: who aborts the connection need not hold the lock and say so.
                while not self.has_room:
                    self._drained.wait(1.0)

    def _say_drained(self) -> None:
        """Wake those who wait for room. Requires `_writing`."""
        if self._drained is not None:
            self._drained.notify_all()

    @property
    def is_congested(self) -> bool:
        """Whether the other side should be heard again only when it has read more.

        Never on the client: two sides that both wait for the other to read wait for ever.
        """
        return self._backlog_size > 2 * _BACKLOG_LIMIT and not self._masks

    @property
    def has_room(self) -> bool:
        """Whether a sender need not wait."""
        return self._backlog_size <= _BACKLOG_LIMIT or self.closed is not None

    def flush(self) -> bool:
        """Write more of the backlog, without waiting. True if none is left."""
        with self._writing:
            try:
                self._pipe.flush(socket.MSG_DONTWAIT)
                while self._backlog and not self._is_lost:
                    if not self._flush_some():
                        break
            except BlockingIOError:
                return False
            except OSError as error:
                self._lost(error.strerror or type(error).__name__)
            finally:
                if self._backlog_size <= _BACKLOG_LIMIT:
                    self._say_drained()
            if self.has_backlog:
                return False
            if self.closed is not None:
                self._shut_down(socket.SHUT_WR)
            return True

    @property
    def has_backlog(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._backlog or self._pipe.pending)

    @property
    def left_to_send(self) -> int:
        """Bytes that the other side's machine has not confirmed: less by and by if it is there."""
        left = self._backlog_size + self._pipe.pending
        try:
            (queued,) = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        except (OSError, ValueError):
            return left  # it is closed
        return left + int(queued)

    def _send_protocol_data(self) -> None:
        """Write what the library has to say: pongs, closing frames. Requires `_using_library`."""
        for data in self._library().data_to_send():
            if data is SEND_EOF or data == SEND_EOF:
                self._lost("closed")
            elif self.closed is None:
                with self._writing:
                    self._write(data)
