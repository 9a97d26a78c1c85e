"""How much large data may be on its way at once.

Between two programs lie buffers of megabytes, in kernels, proxies and routers. What fills them
is a queue that every small message has to wait in: 3 MB at 20 MB/s are 150 ms. So a sender of
chunks asks behind them how far the other side has come, with a `Ping`, and has no more on its
way than keeps the line busy. Pure, like all of `protocol/`: `now` is an argument.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .transfers import CHUNK_SIZE

__all__ = ["Pace"]

_LEAST: Final = 2 * CHUNK_SIZE
"""Bytes on their way that are always allowed: one chunk arrives while the next is on its way."""

_FIRST: Final = 4 * CHUNK_SIZE
"""As many while nothing is known of the line."""

_MOST: Final = 64 * 1024 * 1024

_MOST_AT_ONCE: Final = 4
"""Chunks that are given to the kernel in one piece: 5 to 10 % quicker over a loopback than one by
one; more of them are not measurably quicker."""

_QUEUE: Final = 0.01
"""Seconds that a message may wait behind chunks, beyond the time that the way takes."""


class Pace:
    """What one connection has on its way, of the chunks that this side sends."""

    def __init__(self) -> None:
        self._window = _FIRST
        self._sent = 0
        self._arrived = 0
        # Seconds of the quickest answer: of the way alone, nothing queued.
        self._quickest = float("inf")
        # Questions without an answer: token, bytes sent before it, when. Tokens count from 1: 0
        # is that of who asks whether anybody is there.
        self._asked: deque[tuple[int, int, float]] = deque()
        # The first question since the window was last made smaller.
        self._heeded = 0
        self._token = 0
        self._asked_at = 0

    @property
    def is_full(self) -> bool:
        """Whether the next chunk has to wait for an answer."""
        return self._sent - self._arrived + CHUNK_SIZE > self._window and bool(self._asked)

    @property
    def at_once(self) -> int:
        """How many chunks may leave in one piece: what a small message may have to wait behind.

        No more than the line carries in a quarter of the time that one may wait.
        """
        quick = self._window * (_QUEUE / 4) / (self._quickest + _QUEUE)
        room = self._window - (self._sent - self._arrived)
        return max(1, min(_MOST_AT_ONCE, int(min(quick, room) / CHUNK_SIZE)))

    def begins(self, size: int, now: float) -> int | None:
        """A buffer of `size` bytes comes next; the token of a `Ping` to send before it.

        Args:
            size: Bytes of what is left of it.
            now: Monotonic seconds.
        """
        return self._ask(now) if size > self._window else None

    def sent(self, size: int, now: float) -> int | None:
        """Chunks are on their way; the token of the `Ping` to send behind them, if one is due.

        Args:
            size: Bytes of them.
            now: Monotonic seconds.
        """
        self._sent += size
        return self._ask(now) if self._sent - self._asked_at >= self._window // 4 else None

    def _ask(self, now: float) -> int:
        self._token += 1
        self._asked.append((self._token, self._sent, now))
        self._asked_at = self._sent
        return self._token

    def answered(self, token: int, now: float) -> None:
        """A `Pong` has come: all that was sent before its `Ping` has arrived."""
        while self._asked and self._asked[0][0] <= token:
            asked, sent, when = self._asked.popleft()
            if asked != token:
                continue
            arrived, self._arrived = self._arrived, max(self._arrived, sent)
            seconds = max(now - when, 1e-6)
            self._quickest = min(self._quickest, seconds)
            # A slow line is busy with one chunk for longer.
            queue = max(_QUEUE, 1.25 * CHUNK_SIZE / self._window * seconds)
            if seconds <= self._quickest + queue:
                # Nothing waits: there may be room for more.
                self._window = min(self._window + self._arrived - arrived, _MOST)
            elif asked >= self._heeded:
                # Once for all that was on its way together.
                self._heeded = self._token + 1
                share = (self._quickest + _QUEUE) / seconds
                self._window = max(_LEAST, int(self._window * share))
