"""Where the messages of a WebSocket begin and end in the bytes of one direction."""

from __future__ import annotations

from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_CONTROL: Final = 0x08


class Frames:
    """Finds the frames that carry messages; those of control (close, ping, pong) do not count.

    Attributes:
        messages: How many have begun.
    """

    def __init__(self) -> None:
        self.messages = 0
        self._at = 0
        # Of the HTTP request or response, then of a frame's header.
        self._head = bytearray()
        self._is_upgraded = False
        # Bytes of the content of a frame that are still to come.
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Begin and end, in the bytes of all time, of the messages whose header ends in `data`."""
        found: list[tuple[int, int]] = []
        at = 0 if self._is_upgraded else self._upgrade(data)
        while at < len(data):
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
                continue
            self._head.append(data[at])
            at += 1
            size = _content_size(self._head)
            if size is None:
                continue
            if not self._head[0] & _CONTROL:
                self.messages += 1
                end = self._at + at
                found.append((end - len(self._head), end + size))
            self._head.clear()
            self._left = size
        self._at += len(data)
        return found

    def _upgrade(self, data: bytes) -> int:
        """Skip the HTTP head; gives where in `data` the frames begin."""
        before = len(self._head)
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            return len(data)
        self._is_upgraded = True
        self._head.clear()
        return end + len(_HEAD_END) - before


def _content_size(head: bytes | bytearray) -> int | None:
    """Bytes behind a frame's header, without the mask's; None if the header is not whole."""
    if len(head) < 2:
        return None
    size, mask = head[1] & 0x7F, 4 if head[1] & 0x80 else 0
    extra = {126: 2, 127: 8}.get(size, 0)
    if len(head) < 2 + extra + mask:
        return None
    return int.from_bytes(head[2 : 2 + extra]) if extra else size
