"""The embedded store: a registry in memory and a database beside it, for one name server.

What changes the registry is done by one thread, the keeper. Renewals, which are nearly all there
is to do, take the registry's lock and no other thread: 5 µs instead of 60.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsremote.errors import LimitExceeded, NameTaken

from .audit import Audit
from .database import RESERVED, Database, Event
from .keeper import Keeper
from .pinned import PinnedFile
from .registry import MOST_DRAINED, Registry
from .store import EVERY, STILL, SUSPECT_FOR, TTL, name_taken, not_yet_back
from .view import View

if TYPE_CHECKING:
    from .records import Change, Lease, Load, Record, State

__all__ = ["MOST_PINS", "MemoryStore"]

logger = logging.getLogger("wsremote.nameserver")

MOST_PINS: Final = 10_000
"""Entries that `pin` may pin, so that a token that leaked cannot fill the disk."""

_PINS: Final = "pin"
"""The source of what is pinned by a call."""


def _uptime() -> float:
    """Seconds, never set back, with those that the machine slept: servers elsewhere did not."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class MemoryStore:
    """A `Store` in the memory of this process.

    Args:
        database: File of what is remembered over restarts; None to remember nothing.
        files: Files of pinned entries, read again when they change.
        ttl: Seconds that a lease lasts.
        every: Seconds after which a server shall renew.
        suspect_for: Seconds that a suspect entry is kept.
        now: The clock of leases, seconds, never set back.
        wall: Seconds since the epoch, for display.

    Raises:
        OSError: The database or a file of pinned entries cannot be used.
        ValueError: A file of pinned entries is not one.
    """

    def __init__(
        self,
        database: Path | None = None,
        files: Iterable[Path] = (),
        *,
        ttl: float = TTL,
        every: float = EVERY,
        suspect_for: float = SUSPECT_FOR,
        now: Callable[[], float] = _uptime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._wall = wall
        self._ttl = ttl
        # What servers may have missed last, and when that was.
        self._missed = "this name server was started", now()
        # When it was looked last which leases have ended; and the seconds without a look after
        # which this process stood still. One that is only slow is no news.
        self._looked, self._patience = now(), max(STILL, every)
        self._files = [PinnedFile(path) for path in files]
        pinned = {str(file.path): file.load() for file in self._files}
        self._database = Database(database)
        self._audit = Audit(self._database)
        self._keeper = Keeper(self._tick)
        # For what reads or writes the registry.
        self._lock = threading.Lock()
        try:
            first = self._database.reserve(int(wall() * 1000))
            # What `pin` has pinned.
            self._pins = {(pin.name, pin.id): pin for pin in self._database.pins()}
            drained = self._database.drained()
        except BaseException:
            self._database.close()
            raise
        # Revisions up to here are this registry's alone.
        self._reserved = first + RESERVED
        self._registry = Registry(
            first, drained=drained, ttl=ttl, every=every, suspect_for=suspect_for
        )
        self._view = View(first)
        for source, records in ((_PINS, self._pins.values()), *pinned.items()):
            self._set_pinned(source, records)

    @property
    def view(self) -> View:
        """From which lookups are answered."""
        return self._view

    # ---- life ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: only from here on can something be registered."""
        self._looked = self._now()
        self._missed = "this name server was started", self._looked
        self._keeper.start()

    def close(self) -> None:
        """End; may be called twice."""
        self._keeper.close()
        self._audit.write()
        self._database.close()

    def healthy(self) -> str | None:
        """None, or in one line what is wrong."""
        return self._keeper.healthy() or self._audit.trouble

    def sweep(self) -> None:
        """Do at once what is done every second: end leases, read files, write the audit."""
        self._keeper.do(self._tick)

    # ---- servers ---------------------------------------------------------------------

    def register(self, record: Record, owner: str) -> Lease:
        """Give a server its lease; see `Store.register`."""
        return self._keeper.do(lambda: self._register(record, owner))

    def renew(self, name: str, id: str, fence: int, load: Load, state: State) -> None:
        """Keep a lease; see `Store.renew`."""
        now, wall = self._now(), self._wall()
        with self._lock:
            if self._beat(name, id, fence, load, state, now, wall):
                return
        # Its state is another one now, which is published.
        self._change(lambda: self._registry.renew(name, id, fence, load, state, now, wall))

    def beat(self, name: str, id: str, fence: int, load: Load, state: State) -> bool:
        """Renew a lease if that publishes nothing, and needs no waiting; whether it was renewed.

        Raises:
            LeaseLost: It is over.
        """
        # The keeper holds it for as long as it ends leases, which may be ten thousand.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._beat(name, id, fence, load, state, self._now(), self._wall())
        finally:
            self._lock.release()

    def _beat(
        self, name: str, id: str, fence: int, load: Load, state: State, now: float, wall: float
    ) -> bool:
        """The same. Requires the lock."""
        if not self._registry.beat(name, id, fence, load, state, now, wall):
            return False
        self._view.renewed(name, id, load, wall, wall + self._ttl)
        return True

    def deregister(self, name: str, id: str, fence: int) -> None:
        """End a lease; see `Store.deregister`."""
        self._change(lambda: self._registry.deregister(name, id, fence), gone="deregistered")

    def drain(self, name: str, id: str, draining: bool, owner: str) -> None:
        """Send no more sessions to a server, or again; see `Store.drain`."""
        self._keeper.do(lambda: self._drain(name, id, draining, owner))

    def look(self, name: str) -> str | None:
        """Nothing is to be done, the view is current; see `Store.look`."""
        return self.doubt()

    def doubt(self) -> str | None:
        """Why servers that run may be missing in the view; see `Store.doubt`."""
        event, at = self._missed
        return not_yet_back(event, self._now() - at, self._ttl)

    # ---- pinned entries --------------------------------------------------------------

    def pin(self, record: Record, owner: str) -> None:
        """Keep an entry that nobody renews; see `Store.pin`."""
        self._keeper.do(lambda: self._pin(record, owner))

    def unpin(self, name: str, url: str, owner: str) -> bool:
        """End what `pin` did; see `Store.unpin`."""
        return self._keeper.do(lambda: self._unpin(name, url, owner))

    def set_pinned(self, source: str, records: Iterable[Record]) -> None:
        """These are the pinned entries of a source; see `Store.set_pinned`."""
        pinned = list(records)
        self._keeper.do(lambda: self._set_pinned(source, pinned))

    # ---- the audit -------------------------------------------------------------------

    def note_refused(self, name: str, owner: str, why: str) -> None:
        """Put into the audit that a registration was refused."""
        self._note("refused", name, "", owner, why)

    def audit(self, most: int = 100) -> list[Event]:
        """The latest events of the audit, the oldest of them first."""
        self._keeper.do(self._audit.write)
        return self._database.audit(most)

    def _note(self, event: str, name: str, id: str, owner: str, detail: str) -> None:
        self._audit.note(Event(self._wall(), event, name, id, owner, detail))

    # ---- on the keeper ---------------------------------------------------------------

    def _change(self, change: Callable[[], list[Change]], *, gone: str = "") -> None:
        """Have the registry changed, and what has changed published."""
        self._keeper.do(lambda: self._apply(change, gone=gone))

    def _apply(self, change: Callable[[], list[Change]], *, gone: str = "") -> None:
        """The same, on the keeper.

        Args:
            change: Changes the registry.
            gone: The audit's word for what is gone then.
        """
        with self._lock:
            changes = change()
            ended = [
                entry
                for each in changes
                if each.kind == "gone" and (entry := self._view.get(each.name, each.id))
            ]
            self._view.apply(*changes)
        for entry in ended if gone else ():
            self._note(gone, *entry.key, entry.owner, " ".join(entry.record.urls))

    def _register(self, record: Record, owner: str) -> Lease:
        leases: list[Lease] = []

        def register() -> list[Change]:
            lease, changes = self._registry.register(record, owner, self._now(), self._wall())
            leases.append(lease)
            return changes

        # First: a name that nobody holds any more can be taken.
        self._expire()
        urls = " ".join(record.urls)
        try:
            self._apply(register, gone="replaced")
        except NameTaken:
            self._note("refused", record.name, record.id, owner, f"the name is taken; {urls}")
            raise
        self._note("registered", record.name, record.id, owner, urls)
        return leases[0]

    def _check_holder(self, what: str, name: str, id: str, owner: str) -> None:
        """See that no other owner has a live lease under a name.

        Raises:
            NameTaken: One has.
        """
        self._expire()
        if self._registry.holder(name) not in (None, owner):
            self._note("refused", name, id, owner, f"{what}: the name is taken")
            raise name_taken(name)

    def _drain(self, name: str, id: str, draining: bool, owner: str) -> None:
        self._check_holder("drain", name, id, owner)
        is_news = draining != self._registry.is_drained(name, id)
        self._apply(lambda: self._registry.drain(name, id, draining))
        if is_news:
            self._database.drain(name, id, draining, MOST_DRAINED)
            self._note("drained" if draining else "undrained", name, id, owner, "")

    def _pin(self, record: Record, owner: str) -> None:
        self._check_holder("pin", record.name, record.id, owner)
        if len(self._pins) >= MOST_PINS and (record.name, record.id) not in self._pins:
            raise LimitExceeded(f"{MOST_PINS} entries are pinned, there may be no more.")
        self._database.pin(record, owner, self._wall())
        self._pins[record.name, record.id] = record
        self._set_pinned(_PINS, self._pins.values())
        self._note("pinned", record.name, record.id, owner, " ".join(record.urls))

    def _unpin(self, name: str, url: str, owner: str) -> bool:
        self._check_holder("unpin", name, "", owner)
        found = [key for key, pin in self._pins.items() if key[0] == name and url in pin.urls]
        for key in found:
            self._database.unpin(*key)
            del self._pins[key]
            self._note("unpinned", *key, owner, url)
        self._set_pinned(_PINS, self._pins.values())
        return bool(found)

    def _set_pinned(self, source: str, records: Iterable[Record]) -> None:
        self._apply(lambda: self._registry.set_pinned(source, records, self._wall()))

    def _tick(self) -> None:
        self._expire()
        for file in self._files:
            records = file.changed()
            if records is not None:
                self._set_pinned(str(file.path), records)
        self._audit.write()
        if self._registry.revision > self._reserved - RESERVED // 2:
            # They must rise and may jump: what is left of the old ones is let be.
            first = self._database.reserve(int(self._wall() * 1000))
            self._registry.revision, self._reserved = first, first + RESERVED

    def _expire(self) -> None:
        # Here and not in the tick: after a standstill it may be a registration that looks first.
        now = self._now()
        still, self._looked = now - self._looked, now
        if still > self._patience:
            self._stood_still(still, now)
        were = self._registry.suspects
        self._apply(lambda: self._registry.expire(now), gone="expired")
        if self._registry.suspects and not were:
            logger.warning(
                "! most of %d servers are silent at once. Those whose leases end stay as suspect,"
                " and are given after all others. Is this machine's network down?",
                len(self._registry),
            )

    def _stood_still(self, seconds: float, now: float) -> None:
        # Renewals wait in sockets, or for another connection if the machine slept.
        logger.warning("! this process stood still for %.0f s: no lease ends now", seconds)
        self._missed = "this name server stood still until", now
        with self._lock:
            self._registry.excuse(now)
