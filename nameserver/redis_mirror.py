"""Keeps a name server's view like the registry in Redis.

Published changes are followed as they come; each names the revision before it. Loads are not
published: what was renewed is read every two seconds, and with it the revision, so that a
subscription that has died in silence is noticed by then. What was missed is not guessed: everything
is read again.

A Redis that has lost its data gets back what this name server knew, so that nobody's answer is
empty while the servers come back: each entry as suspect, with its old fence, until its renewal.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final

from . import redis_scripts as scripts
from .records import Change
from .redis_link import Refused
from .redis_reading import (
    Clock,
    as_json,
    key_of,
    read_change,
    read_entry,
    read_gone,
    read_key,
    read_load,
)
from .store import not_yet_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from .records import Entry
    from .redis_link import Link
    from .view import View

__all__ = ["Mirror"]

logger: Final = logging.getLogger("wsremote.nameserver")

_chances: Final = random.SystemRandom()

_LOADS: Final = 2.0
"""Seconds between two reads of the loads."""

_SLOWEST: Final = 5.0
"""Seconds that are waited at most before the next attempt to subscribe."""

_NEAR: Final = 0.01
"""Seconds that two clocks may differ by in what they say of the same renewal."""

_STEP: Final = 1.0
"""Seconds by which a lease may seem to end later than it can, before a clock was set back."""

_AT_ONCE: Final = 200
"""Entries that are read, or given back, before others have their turn."""

_MOST_COMPLAINTS: Final = 1000


class Mirror:
    """Feeds a view, in the loop of a link.

    Args:
        link: To Redis.
        view: What is fed; by nobody else but this loop.
        ttl: Seconds that a lease lasts.
        lost: Called when Redis has lost its data and got back what was known.
        now: The clock, seconds, never set back.

    Attributes:
        begun: Done when the view is Redis's for the first time, or that has failed once.
    """

    def __init__(
        self,
        link: Link,
        view: View,
        ttl: float,
        lost: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._view = view
        self._lost = lost
        self._now = now
        self.begun: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._clock = Clock(0.0, ttl)
        # When the registry in Redis began; another one has lost what was before.
        self._epoch = ""
        # What servers may have missed last, and when that was; None before Redis was ever read.
        self._event: tuple[str, float] | None = None
        # The revision that Redis had at the last look, and when all is to be read again.
        self._seen = 0
        self._missed = asyncio.Event()
        # Up to which end of leases the loads are known, milliseconds.
        self._renewed = 0
        # At which millisecond a lease ends that is renewed in the moment of the last look.
        self._latest = 0
        # What was complained of, so that the log has it once.
        self._complained: set[str] = set()

    def unsure(self) -> str | None:
        """Why servers that run may be missing in the view; None if they are not."""
        event = self._event
        if event is None:
            return f"this name server has not yet read {self._link.address}"
        what, at = event
        return not_yet_back(what, self._now() - at, self._clock.ttl)

    # ---- following -------------------------------------------------------------------

    async def follow(self) -> None:
        """Subscribe, read all, take each change; for ever."""
        failures = 0
        while True:
            try:
                async with self._link.redis.pubsub() as subscription:
                    with self._link.translated():
                        await self._subscribe(subscription)
                    await self.take_all()
                    self._link.worked("follow")
                    self._begin(None)
                    failures = 0
                    with self._link.translated():
                        await self._take_changes(subscription)
            except ConnectionError as error:
                # At the start, who starts it is told.
                if self.begun.done() or not isinstance(error, Refused):
                    self._link.failed("follow", error)
                self._begin(error)
                failures += 1
            except Exception:
                logger.exception("! following the name server's store failed")
                failures += 1
            # Full jitter: not all name servers come back in the same moment.
            await asyncio.sleep(_chances.uniform(0, min(_SLOWEST, 0.1 * 2 ** min(failures, 10))))

    def _begin(self, error: ConnectionError | None) -> None:
        if self.begun.done():
            return
        if error is None:
            self.begun.set_result(None)
        else:
            self.begun.set_exception(error)

    async def _subscribe(self, subscription: Any) -> None:
        """Return when Redis has begun to send: what it published before is in what is read."""
        await subscription.subscribe(self._link.channel)
        while True:
            message = await subscription.get_message(timeout=self._link.timeout)
            if message is None:
                raise TimeoutError
            if message["type"] == "subscribe":
                return

    async def _take_changes(self, subscription: Any) -> None:
        """Take what is published, until something is missing."""
        self._missed.clear()
        while not self._missed.is_set():
            message = await subscription.get_message(timeout=1.0)
            if message is not None and message["type"] == "message":
                self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            revision, previous, kind, key, entry, expiry, record = read_change(data)
        except ValueError as error:
            self._complain("a published change", error)
            return
        if revision <= self._view.revision:
            return
        if previous != self._view.revision:
            self._missed.set()
            return
        if not previous:
            self._epoch = str(revision)  # The first change of all; see `step` in the scripts.
        name, id = read_key(key)
        if kind == "gone":
            self._view.apply(read_gone(revision, key))
            return
        known = self._view.get(name, id)
        load = None if known is None or kind == "registered" else known.load
        try:
            found = read_entry(key, entry, expiry, record, load, known, self._clock)
        except ValueError as error:
            self._complain(key_of(name, id), error)
            self._view.apply(read_gone(revision, key))
        else:
            self._view.apply(Change(revision, kind, name, id, found))

    # ---- reading all -----------------------------------------------------------------

    async def take_all(self) -> None:
        """Make the view what Redis has.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        epoch, revision, *rest = await self._read(scripts.EVERYTHING)
        event = self._what_was_lost(epoch, revision)
        if epoch != self._epoch and len(self._view):
            logger.warning(
                "! the name server's store: %s has lost its data; %d entries that were known are"
                " given back as suspect until they are renewed",
                self._link.address,
                len(self._view),
            )
            await self._give_back()
            epoch, revision, *rest = await self._read(scripts.EVERYTHING)
            self._lost()
        self._epoch = epoch
        if revision != self._view.revision or not revision:
            entries = [entry async for entry in self._entries(*rest)]
            self._view.reset(revision, entries)
        self._seen = revision
        self._event = event

    def _what_was_lost(self, epoch: str, revision: int) -> tuple[str, float]:
        """What servers may have missed last, and when that was, from what Redis has now."""
        if self._event is None:
            # The epoch is the microsecond of the first change that Redis knows of.
            age = 0.0
            if epoch.isdecimal() and len(epoch) <= 16:
                age = time.time() - self._clock.local(int(epoch) / 1000)
            return f"the registry in {self._link.address} began", self._now() - max(0.0, age)
        if (self._epoch and epoch != self._epoch) or revision < self._view.revision:
            return self._lost_data()
        return self._event

    def _lost_data(self) -> tuple[str, float]:
        return f"{self._link.address} lost data", self._now()

    async def _read(self, script: str, *arguments: str | int) -> tuple[Any, ...]:
        """Epoch, revision, and what else a script gives; the clock is set."""
        epoch, revision, micros, *rest = await self._link.script(script, *arguments)
        try:
            self._clock = self._clock._replace(ahead=time.time() - int(micros) / 1e6)
            self._latest = int(micros) // 1000 + round(1000 * self._clock.ttl)
            return epoch.decode("ascii", "replace"), int(revision), *rest
        except ValueError:
            text = f"{self._link.address} has no revision under {scripts.KEYS[0]}"
            raise ConnectionError(f"the name server's store: {text}") from None

    async def _entries(
        self,
        entries: list[bytes],
        records: list[bytes],
        loads: list[bytes],
        *ends: list[bytes],
    ) -> Any:
        """What all hashes and sorted sets together say."""
        record_of, load_of = _paired(records), _paired(loads)
        end_of = {key: end for each in ends for key, end in _paired(each).items()}
        for number, (key, entry) in enumerate(_paired(entries).items()):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            try:
                name, id = read_key(key)
                known = self._view.get(name, id)
                load = read_load(load_of.get(key))
                end, record = end_of.get(key, b"none"), record_of.get(key, b"")
                yield read_entry(key, entry, end, record, load, known, self._clock)
            except ValueError as error:
                self._complain(repr(key[:140])[2:-1], error)

    async def _give_back(self) -> None:
        """Put what is known into a Redis that has lost it."""
        known = [entry for entry in self._view.entries() if entry.state != "pinned" or entry.owner]
        ttl = int(self._clock.ttl * 1000)
        for first in range(0, len(known), _AT_ONCE):
            fields: list[str | int] = []
            for entry in known[first : first + _AT_ONCE]:
                fields += self._fields(entry)
            await self._link.changing(scripts.RESTORE, ttl, *fields)

    def _fields(self, entry: Entry) -> list[str | int]:
        state = "suspect" if entry.state == "ready" else entry.state
        registered = int((entry.registered_at - self._clock.ahead) * 1000)
        record = as_json(entry.record.to_wire())
        key = key_of(*entry.key)
        return [key, entry.fence, state, entry.owner or "-", max(0, registered), record]

    # ---- loads -----------------------------------------------------------------------

    async def watch_loads(self) -> None:
        """Read what was renewed, and whether something was missed; for ever."""
        while True:
            await asyncio.sleep(_LOADS)
            try:
                await self.take_loads()
                self._link.worked("loads")
            except ConnectionError as error:
                self._link.failed("loads", error)
            except Exception:
                logger.exception("! reading loads from the name server's store failed")

    async def take_loads(self) -> None:
        """Read what was renewed since the last time."""
        expected, known_before = self._seen, self._view.revision
        epoch, self._seen, found, loads = await self._read(scripts.LOADS, self._renewed)
        has_gone_back = self._seen < known_before
        if has_gone_back:
            self._event = self._lost_data()
        # Two seconds ago Redis had it published, and it has not come.
        if has_gone_back or epoch != self._epoch or self._view.revision < expected:
            self._missed.set()
        # No lease that is renewed now ends later. What does is from before Redis's clock was set
        # back, or its primary became another: it says nothing, and what is known of it neither.
        latest = self._latest
        if self._renewed > latest:
            self._renewed = 0
        ends = _paired(found)
        for number, ((key, end), load) in enumerate(zip(ends.items(), loads, strict=False)):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            try:
                name, id = read_key(key)
                ends_at = int(end)
            except ValueError:
                continue
            known = self._view.get(name, id)
            if ends_at > latest or known is None or known.expires_at is None:
                continue
            self._renewed = max(self._renewed, ends_at)
            expires_at = self._clock.local(ends_at)
            is_impossible = known.expires_at > self._clock.local(latest) + _STEP
            # What was renewed here is known, and reading JSON is most of the work.
            if known.load is None or is_impossible or known.expires_at < expires_at - _NEAR:
                renewed_at = expires_at - self._clock.ttl
                self._view.renewed(name, id, read_load(load), renewed_at, expires_at)

    def _complain(self, what: str, why: ValueError) -> None:
        """The log has it once."""
        text = f"{what}: {why}"
        if text not in self._complained and len(self._complained) < _MOST_COMPLAINTS:
            self._complained.add(text)
            address = self._link.address
            logger.warning("! %s has something that is left out, %s", address, text[:500])


def _paired(values: list[bytes]) -> dict[bytes, bytes]:
    """Keys and values that follow each other."""
    return dict(zip(values[::2], values[1::2], strict=False))
