"""One direction of a line of the fault proxy, and what can happen to its bytes."""

from __future__ import annotations

import contextlib
import enum
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from faults.frames import Frames

if TYPE_CHECKING:
    from faults.proxy import Line

_PIECE: Final = 256 * 1024
"""Bytes read at once; what a flow holds back before it reads no more."""

_SLICE: Final = 0.01
"""Seconds between two pieces of a slow flow."""

OnMessage = Callable[["Flow", int, int], None]
"""Is told of a WebSocket message before its bytes pass: where in the flow it begins and ends."""


class End(enum.Enum):
    """How the source of a flow has ended."""

    FIN = "closed"
    RST = "reset"


class Flow:
    """One direction of a line: the bytes of one side on their way to the other.

    Counts are of the bytes since the line was made, the HTTP upgrade among them.

    Args:
        line: Of which it is one direction.
        source: Where the bytes come from.
        sink: Where they go.

    Attributes:
        taken: Bytes that came.
        passed: Bytes that went on.
        messages: WebSocket messages that have begun to come, without those of control.
        on_message: Told of each of them.
        ended: How the source has ended; None while it has not.
    """

    def __init__(self, line: Line, source: socket.socket, sink: socket.socket) -> None:
        self.line = line
        self.taken = 0
        self.passed = 0
        self.on_message: OnMessage | None = None
        self.ended: End | None = None
        self._source = source
        self._sink = sink
        self._proxy = line.proxy
        self._frames = Frames()
        self._pending = bytearray()
        # Bytes of the source: where, how many are taken out, what is put there.
        self._edits: list[tuple[int, int, Callable[[bytes], bytes]]] = []
        self._holds = False
        self._drops = False
        self._stalls = False
        self._rate: float | None = None
        self._slice_due = 0.0
        self._cut_at: int | None = None
        self._cut_how: Callable[[], None] = line.cut
        self._is_blocked = False
        self._told_end = False

    @property
    def messages(self) -> int:
        """WebSocket messages that have begun to come, without those of control."""
        return self._frames.messages

    # ---- faults ----------------------------------------------------------------------

    def drop(self) -> None:
        """Take everything from now on and pass on nothing, not even the end."""
        with self._proxy.changing():
            self._drops = True
            self._pending.clear()

    def hold(self) -> None:
        """Take everything and keep it, the end too, until `release`."""
        with self._proxy.changing():
            self._holds = True

    def release(self) -> None:
        """Pass on what was held, even if the other direction is long gone."""
        with self._proxy.changing():
            self._holds = self._stalls = False
            self._rate = None
            self.push()

    def stall(self) -> None:
        """Take nothing more until `release`: the source notices when buffers are full."""
        with self._proxy.changing():
            self._stalls = True

    def slow(self, rate: float) -> None:
        """Pass on so many bytes a second, until `release`."""
        with self._proxy.changing():
            self._rate = rate

    def cut_after(self, count: int | None, how: Callable[[], None] | None = None) -> None:
        """End the line as soon as so many bytes have passed, and let no further one pass.

        Args:
            count: If so many have passed already, at once; None for never.
            how: A method of the line; `cut` by default.
        """
        with self._proxy.changing():
            self._cut_at, self._cut_how = count, how or self.line.cut
            self.push()

    def corrupt(self, at: int, mask: int = 0xFF) -> None:
        """Flip bits of the byte at an offset that has not come yet."""
        self.edit(at, 1, lambda piece: bytes(byte ^ mask for byte in piece))

    def omit(self, at: int, count: int) -> None:
        """Leave out bytes that have not come yet."""
        self.edit(at, count, lambda piece: b"")

    def inject(self, data: bytes, at: int | None = None) -> None:
        """Put bytes in front of the one at an offset, or behind all that came."""
        if at is not None:
            self.edit(at, 0, lambda piece: data)
            return
        with self._proxy.changing():
            self._pending += data
            self.push()

    def edit(self, at: int, count: int, replace: Callable[[bytes], bytes]) -> None:
        """Have something else pass in the place of some bytes that have not come yet."""
        with self._proxy.changing():
            assert at >= self.taken, f"byte {at} has passed: {self.taken} have come"
            self._edits.append((at, count, replace))
            self._edits.sort(key=lambda edit: edit[0])

    # ---- what has happened -----------------------------------------------------------

    def wait_passed(self, count: int) -> None:
        """Wait until so many bytes have passed."""
        self._proxy.wait(lambda: self.passed >= count, f"{count} bytes")

    def wait_taken(self, count: int) -> None:
        """Wait until so many bytes have come."""
        self._proxy.wait(lambda: self.taken >= count, f"{count} bytes")

    def wait_messages(self, count: int) -> None:
        """Wait until so many messages have begun to come."""
        self._proxy.wait(lambda: self.messages >= count, f"{count} messages")

    def __repr__(self) -> str:
        state = "cut" if self.line.is_cut else self.ended.value if self.ended else "open"
        return (
            f"<{state}: {self.messages} messages, {self.taken} bytes came, {self.passed} passed,"
            f" {len(self._pending)} wait>"
        )

    # ---- in the proxy's thread, or under its lock ------------------------------------

    @property
    def wants_to_read(self) -> bool:
        """Whether the source shall be read."""
        full = len(self._pending) >= _PIECE and not self._holds
        return self.ended is None and not self._stalls and not full

    @property
    def wants_to_write(self) -> bool:
        """Whether the sink has taken less than there was."""
        return self._is_blocked and bool(self._pending)

    @property
    def due(self) -> float | None:
        """When the next piece of a slow flow passes; None if none waits for its time."""
        waits = self._rate is not None and self._pending and not self._holds
        return self._slice_due if waits else None

    @property
    def is_done(self) -> bool:
        """Whether nothing can come of it any more."""
        return self.ended is not None and not self._pending

    def read(self) -> None:
        """Take what has come."""
        try:
            data = self._source.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self.ended, data = End.RST, b""
        if not data:
            self.ended = self.ended or End.FIN
        elif not self.line.is_cut:
            for begins, ends in self._frames.feed(data):
                if self.on_message is not None:
                    self.on_message(self, begins, ends)
            if not self._drops:
                self._pending += self._edited(data) if self._edits else data
            self.taken += len(data)
        self.push()

    def push(self) -> None:
        """Pass on what may pass now."""
        while self._pending and not self._holds and not self.line.is_cut:
            room = self._room()
            if room <= 0:
                break
            try:
                count = self._sink.send(memoryview(self._pending)[:room])
            except BlockingIOError:
                self._is_blocked = True
                break
            except OSError:
                # The sink tells by itself, when it is read.
                self._drops = True
                self._pending.clear()
                break
            self._is_blocked = False
            del self._pending[:count]
            self.passed += count
        if self.line.is_cut:
            self._pending.clear()
        elif self._cut_at is not None and self.passed >= self._cut_at:
            self._cut_how()
        elif self.ended is not None and not (self._pending or self._holds or self._drops):
            self._tell_end(self.ended)

    def _room(self) -> int:
        """How many bytes may pass now."""
        room = len(self._pending)
        if self._cut_at is not None:
            room = min(room, self._cut_at - self.passed)
        if self._rate is not None:
            now = time.monotonic()
            if now < self._slice_due:
                return 0
            room = min(room, max(1, int(self._rate * _SLICE)))
            self._slice_due = now + room / self._rate
        return room

    def _edited(self, data: bytes) -> bytes:
        """What comes now, as it shall pass."""
        start = self.taken
        made, at, end = bytearray(), start, start + len(data)
        while self._edits and self._edits[0][0] < end:
            where, count, replace = self._edits.pop(0)
            stop = min(where + count, end)
            made += data[at - start : where - start] + replace(data[where - start : stop - start])
            at = stop
            if where + count > end:
                self._edits.insert(0, (end, where + count - end, replace))
                break
        return bytes(made + data[at - start :])

    def _tell_end(self, end: End) -> None:
        """Do to the sink what was done to the source."""
        if self._told_end:
            return
        self._told_end = True
        if end is End.RST:
            self.line.reset()
            return
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
