"""What calls print while no connection carries it: the latest of it is kept."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["PrintedApart"]


class PrintedApart:
    """A ring of text, with a mark where some was dropped.

    Args:
        limit: Characters that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # None while there are none, as in nearly all sessions.
        self._pieces: deque[tuple[int, int, Any]] | None = None
        self._size = 0
        self._dropped = 0
        # Whether there is anything to tell. A plain attribute, which each small answer looks at.
        self.holds = False

    def __bool__(self) -> bool:
        return self.holds

    def add(self, call: int, stream: int, text: Any) -> None:
        """Keep what a call has printed or warned of; the oldest goes if there is too much."""
        if len(text) > self._limit and isinstance(text, str):
            self._dropped += len(text) - self._limit
            text = text[-self._limit :]
        self.holds = True
        pieces = self._pieces = deque() if self._pieces is None else self._pieces
        pieces.append((call, stream, text))
        self._size += len(text)
        while self._size > self._limit:
            _, _, oldest = pieces.popleft()
            self._size -= len(oldest)
            self._dropped += len(oldest)

    def take(self) -> list[tuple[int, int, Any]]:
        """Call, stream and text of what is kept, in order; it is kept no longer."""
        pieces, self._pieces, self._size = list(self._pieces or ()), None, 0
        if self._dropped and pieces:
            call = pieces[0][0]
            mark = f"[{self._dropped} characters were printed without a connection and dropped]\n"
            pieces.insert(0, (call, 2, mark))
        self._dropped, self.holds = 0, False
        return pieces
