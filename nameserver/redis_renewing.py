"""Renewals in Redis, many in one script: they are nearly all that a name server has to do.

A script costs this process 0.2 ms however little it does; ten renewals in one make 40 µs of
that for each. So one that comes soon after others waits for more, a few milliseconds at most.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from wsremote.errors import LeaseLost

from . import redis_scripts as scripts
from .redis_reading import key_of, load_text

if TYPE_CHECKING:
    from .records import Load, State
    from .redis_link import Link
    from .view import View

__all__ = ["Renewals"]

_MOST: Final = 256
"""In one script: Redis has 2 ms to do, and others wait so long."""

_APART: Final = 0.02
"""Seconds between the beginnings of two scripts."""

_PATIENCE: Final = 9.0
"""Seconds for a renewal: more than the link gives Redis, which then says what is wrong."""

_KEY: Final = re.compile(r"[^/\s]{1,100}/[0-9a-f]{32}")

_WHY: Final[dict[str, str]] = {
    "expired": "it was not renewed in time",
    "replaced": "another lease has taken its place",
    "unknown": "the name server does not know it",
}


class _Renewal:
    """One that waits for its answer.

    Attributes:
        key: Of the server.
        load: As it was said.
        text: For the script.
        answer: Of the script: why the lease is lost, or the revision of what was published.
        error: What went wrong instead.
        done: Held until there is one of them.
    """

    __slots__ = ("answer", "done", "error", "key", "load", "text")

    def __init__(self, key: str, fence: int, load: Load, state: State) -> None:
        self.key = key
        self.load = load
        self.text = f"{key}\n{fence}\n{state}\n{load_text(load)}\n"
        self.answer = ""
        self.error = ""
        # A lock, not a future: one of those costs 15 µs.
        self.done = threading.Lock()
        self.done.acquire()


class Renewals:
    """Collects renewals and sends them.

    Args:
        link: To Redis.
        view: Is told the loads.
        ttl: Seconds that a lease lasts.

    Attributes:
        has_failed: Whether some could not be sent since somebody has set this to False.
    """

    def __init__(self, link: Link, view: View, ttl: float) -> None:
        self._link = link
        self._view = view
        self._ttl = ttl
        self._waiting: deque[_Renewal] = deque()
        # Of the loop: what sends them, and when it has begun the last script.
        self._sending: asyncio.Task[None] | None = None
        self._begun = 0.0
        self.has_failed = False

    def renew(self, name: str, id: str, fence: int, load: Load, state: State) -> str:
        """Keep a lease; gives the revision of what was published, if anything was.

        Raises:
            LeaseLost: It is over.
            ConnectionError: Redis cannot be asked.
        """
        key = key_of(name, id)
        if not _KEY.fullmatch(key):
            raise _lost(name, id, "unknown")  # Nothing can have been registered as this.
        renewal = _Renewal(key, fence, load, state)
        # An interrupt after this leaves it to the next renewal to send it.
        self._waiting.append(renewal)
        self._link.post(self._begin)
        if not renewal.done.acquire(timeout=_PATIENCE):
            raise ConnectionError(self._link.no_answer(_PATIENCE))
        if renewal.error:
            raise ConnectionError(renewal.error)
        if renewal.answer in _WHY:
            raise _lost(name, id, renewal.answer)
        return renewal.answer

    def _begin(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._waiting:
            early = self._begun + _APART - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            self._begun = time.monotonic()
            some = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
            try:
                await self._send(some)
            except ConnectionError as error:
                self.has_failed = True
                for renewal in some:
                    renewal.error = str(error)
            except BaseException as error:
                # Cancelled, most likely: nobody comes after this one.
                some += self._waiting
                self._waiting.clear()
                for renewal in some:
                    renewal.error = str(error) or "the name server's store is not running"
                raise
            finally:
                for renewal in some:
                    renewal.done.release()

    async def _send(self, some: list[_Renewal]) -> None:
        text = "".join([renewal.text for renewal in some])
        ttl = round(1000 * self._ttl)
        answered: bytes = await self._link.changing(scripts.RENEW, ttl, text)
        answers = answered.decode("ascii", "replace").split("\n")
        now = time.time()
        for renewal, answer in zip(some, answers, strict=False):
            renewal.answer = answer
            if answer not in _WHY:
                name, _, id = renewal.key.partition("/")
                self._view.renewed(name, id, renewal.load, now, now + self._ttl)


def _lost(name: str, id: str, reason: str) -> LeaseLost:
    text = f"The lease of server {id!r} of the name {name!r} is over: {_WHY[reason]}."
    return LeaseLost(text, reason)
