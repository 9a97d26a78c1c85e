"""The store of several name servers: all of them keep their registrations in one Redis.

Everything that changes is a script there (`redis_scripts`), and comes back to all name servers as a
published change (`redis_mirror`). Lookups are answered from the view: Redis may be gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsremote.errors import LimitExceeded, NameNotFound

from . import redis_scripts as scripts
from .pinned import PinnedFile
from .records import Lease, Record
from .redis_link import Link, Refused
from .redis_mirror import Mirror
from .redis_reading import as_json, key_of, read_audit
from .redis_renewing import Renewals
from .registry import MOST_LEASES
from .store import EVERY, SUSPECT_FOR, TTL, back_within, name_taken, not_yet_back
from .view import View

if TYPE_CHECKING:
    from .database import Event
    from .records import Load, State

__all__ = ["RedisStore"]

logger: Final = logging.getLogger("wsremote.nameserver")

_SWEEP: Final = 1.0
"""Seconds between two looks at what has ended."""

_SWEEPER: Final = 3000
"""Milliseconds without a look after which another name server does it."""

_PINNED: Final = 60.0
"""Seconds that an entry of a file lasts after the last name server has read that file."""

_PATIENCE: Final = 1.0
"""Seconds that a change is waited for, so that who made it sees it here."""

_AUDIT: Final = next(key for key in scripts.KEYS if key.endswith(":audit"))


class RedisStore:
    """A `Store` in Redis.

    Args:
        url: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`; `rediss://` for TLS.
        files: Files of pinned entries, read again when they change.
        ttl: Seconds that a lease lasts; the same for all name servers of a Redis.
        every: Seconds after which a server shall renew.
        suspect_for: Seconds that a suspect entry is kept.
        now: The clock of what this name server knows of itself, seconds, never set back; that of
            leases is Redis's.

    Raises:
        ValueError: The URL is not one of Redis, or a file not one of pinned entries.
        OSError: A file of pinned entries cannot be read.
        ImportError: redis-py is not installed.
    """

    def __init__(
        self,
        url: str,
        files: Iterable[Path] = (),
        *,
        ttl: float = TTL,
        every: float = EVERY,
        suspect_for: float = SUSPECT_FOR,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._every = every
        self._suspect_for = suspect_for
        self.view = View()
        self._now = now
        self._started = now()
        # Whether no other name server ran then; None until that is known.
        self._was_alone: bool | None = None
        # When leases lasted as long as those of others last; the one before, perhaps, that has
        # just ended. And whether the log has it that they do not.
        self._agreed = now()
        self._has_said_lease = False
        self._link = Link(url, now)
        self._mirror = Mirror(self._link, self.view, ttl, self._pin_again, now)
        # By which this name server is known to the others as the sweeper.
        self._me = secrets.token_hex(8)
        self._renewals = Renewals(self._link, self.view, ttl)
        self._files = [PinnedFile(path) for path in files]
        # What is pinned by each file, or other source: records as JSON, by key.
        self._pinned = {str(file.path): _by_key(file.load()) for file in self._files}
        self._pin_now = asyncio.Event()
        self._pin_now.set()

    # ---- life ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. A Redis that is not there yet is waited for, in the background.

        Raises:
            PermissionError: Redis wants another password, or permits too little.
        """
        self._link.start()
        self._link.spawn(self._mirror.follow)
        try:
            self._link.wait(self._mirror.begun)
        except Refused as error:
            self.close()
            raise PermissionError(str(error)) from None
        except ConnectionError:
            pass  # The log has it.
        for work in (self._mirror.watch_loads, self._sweep_for_ever, self._pin_for_ever):
            self._link.spawn(work)

    def close(self) -> None:
        """End; may be called twice."""
        self._link.close()

    def healthy(self) -> str | None:
        """None, or in one line what is wrong."""
        return self._link.healthy()

    # ---- servers ---------------------------------------------------------------------

    def register(self, record: Record, owner: str) -> Lease:
        """Give a server its lease; see `Store.register`.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        key, text = key_of(record.name, record.id), as_json(record.to_wire())
        fields = (key, owner or "-", text, self._milliseconds(self._ttl), MOST_LEASES)
        answer, *numbers = self._link.run(self._link.changing(scripts.REGISTER, *fields))
        if answer == b"taken":
            raise name_taken(record.name, registering=True)
        if answer == b"full":
            raise LimitExceeded(f"{MOST_LEASES} servers are registered, there may be no more.")
        self._see(numbers[1])
        return Lease(int(numbers[0]), self._ttl, self._every)

    def renew(self, name: str, id: str, fence: int, load: Load, state: State) -> None:
        """Keep a lease; see `Store.renew`.

        Raises:
            LeaseLost: It is over.
            ConnectionError: Redis cannot be asked.
        """
        self._see(self._renewals.renew(name, id, fence, load, state))

    def deregister(self, name: str, id: str, fence: int) -> None:
        """End a lease; see `Store.deregister`.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        key = key_of(name, id)
        self._see(self._link.run(self._link.changing(scripts.DEREGISTER, key, fence)))

    def drain(self, name: str, id: str, draining: bool, owner: str) -> None:
        """Send no more sessions to a server, or again; see `Store.drain`.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        fields = (key_of(name, id), "1" if draining else "0", owner or "-")
        answer, revision = self._link.run(self._link.changing(scripts.DRAIN, *fields))
        if answer == b"taken":
            raise name_taken(name)
        if answer:
            why = "is pinned: unpin it instead" if answer == b"pinned" else "is not there"
            raise NameNotFound(f"The server {id!r} of the name {name!r} {why}.")
        self._see(revision)

    def look(self, name: str) -> str | None:
        """Make the view current for one name: another name server may have just registered it.

        If Redis is gone, the view is what there is; see `Store.look`.
        """
        trouble = self._link.healthy()
        if trouble is not None or self.view.named(name):
            return trouble or self._unsure()
        try:
            revision = self._link.run(self._link.field(scripts.KEYS[0], "revision"))
        except ConnectionError as error:
            return str(error)
        if not self._see(revision):
            return f"{self._link.address} has changes that have not come here yet"
        return self._unsure()

    def doubt(self) -> str | None:
        """Why servers that run may be missing in the view; see `Store.doubt`."""
        return self._link.healthy() or self._unsure()

    def _unsure(self) -> str | None:
        """Why servers that run may be missing although Redis can be read."""
        address, now = self._link.address, self._now()
        why = self._mirror.unsure() or not_yet_back(
            f"{address} failed until", now - self._link.well_since, self._ttl
        )
        if why is None and self._was_alone:
            # Servers had none to register with, and leases that nobody renewed have ended.
            return not_yet_back("this name server was started", now - self._started, self._ttl)
        return why

    # ---- pinned entries --------------------------------------------------------------

    def pin(self, record: Record, owner: str) -> None:
        """Keep an entry that nobody renews, as long as Redis keeps its data; see `Store.pin`.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        fields = (key_of(record.name, record.id), owner or "-", as_json(record.to_wire()))
        answer, revision = self._link.run(self._link.changing(scripts.PIN, "", *fields))
        if answer:
            raise name_taken(record.name)
        self._see(revision)

    def unpin(self, name: str, url: str, owner: str) -> bool:
        """End what `pin` did; see `Store.unpin`.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        self.look(name)
        keys = [
            key_of(*entry.key)
            for entry in self.view.named(name)
            if entry.state == "pinned" and url in entry.record.urls
        ]
        unpinning = self._link.changing(scripts.UNPIN, name, owner or "-", *keys)
        count, revision = self._link.run(unpinning)
        if count < 0:
            raise name_taken(name)
        if count:
            self._link.run(self._pin_all())  # A file may have it as well.
        self._see(revision)
        return bool(count)

    def set_pinned(self, source: str, records: Iterable[Record]) -> None:
        """These are the pinned entries of a source; see `Store.set_pinned`.

        They last while a name server runs that has been told so.

        Raises:
            ConnectionError: Redis cannot be asked now. They are pinned when it is back.
        """
        self._link.run(self._set_pinned(source, _by_key(records)))

    # ---- the audit -------------------------------------------------------------------

    def note_refused(self, name: str, owner: str, why: str) -> None:
        """Put into the audit that a registration was refused, if Redis can be asked."""
        with contextlib.suppress(ConnectionError):
            self._link.run(self._link.changing(scripts.NOTE, name, owner or "-", why))

    def audit(self, most: int = 100) -> list[Event]:
        """The latest events of the audit, of all name servers, the oldest of them first.

        Raises:
            ConnectionError: Redis cannot be asked.
        """
        return read_audit(self._link.run(self._link.latest(_AUDIT, most)))

    # ---- in the loop -----------------------------------------------------------------

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP, self._ttl / 5))
            try:
                await self._sweep()
                await self._read_files()
                self._link.worked("sweep")
            except ConnectionError as error:
                self._link.failed("sweep", error)
            except Exception:
                logger.exception("! the sweep of the name server's store failed")

    async def _read_files(self) -> None:
        for file in self._files:
            records = file.changed()
            if records is not None:
                await self._set_pinned(str(file.path), _by_key(records))

    async def _sweep(self) -> None:
        lasts, back = self._milliseconds(self._ttl), self._milliseconds(back_within(self._ttl))
        times = (lasts, self._milliseconds(self._suspect_for), _SWEEPER, back)
        has_failed, self._renewals.has_failed = self._renewals.has_failed, False
        try:
            is_sweeper, news, leases, lease = await self._link.changing(
                scripts.SWEEP, self._me, *times, int(has_failed)
            )
        except ConnectionError:
            # Whoever sweeps meanwhile: servers that know only this name server could not renew.
            self._renewals.has_failed = True
            raise
        if self._was_alone is None:
            self._was_alone = bool(is_sweeper)
        if lease == lasts:
            self._agreed = self._now()
        elif not self._has_said_lease and self._now() - self._agreed > _SWEEPER / 1000:
            self._has_said_lease = True
            logger.warning(
                "! leases last %g s here and %g s at another name server of %s: give all of them"
                " the same --lease",
                lasts / 1000,
                lease / 1000,
                self._link.address,
            )
        if news:
            logger.warning(
                "! %d of %d servers are silent at once. Those whose leases end stay as suspect, and"
                " are given after all others. Is the network of the name servers down?",
                news,
                leases,
            )

    def _pin_again(self) -> None:
        """Redis has lost what was pinned."""
        self._pin_now.set()

    async def _pin_for_ever(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._pin_now.wait(), _PINNED / 3)
            self._pin_now.clear()
            try:
                await self._pin_all()
                self._link.worked("pinned")
            except ConnectionError as error:
                self._link.failed("pinned", error)
                await asyncio.sleep(_SWEEP)
                self._pin_now.set()
            except Exception:
                logger.exception("! pinning in the name server's store failed")

    async def _set_pinned(self, source: str, pinned: dict[str, str]) -> None:
        old = self._pinned.get(source, {})
        self._pinned = {**self._pinned, source: pinned}
        left = {key for each in self._pinned.values() for key in each}
        ended = [key for key in old if key not in left]
        if ended:
            await self._link.changing(scripts.UNPIN, "", "-", *ended)
        await self._pin_all()

    async def _pin_all(self) -> None:
        records = {key: text for each in self._pinned.values() for key, text in each.items()}
        fields = [field for key, text in records.items() for field in (key, "-", text)]
        lasts = self._milliseconds(_PINNED)
        for first in range(0, len(fields), 600):
            await self._link.changing(scripts.PIN, lasts, *fields[first : first + 600])

    # ---- small things ----------------------------------------------------------------

    def _see(self, revision: bytes | str) -> bool:
        """Wait until a change is in the view: who has made it looks here next. Whether it is."""
        try:
            number, deadline = int(revision), time.monotonic() + _PATIENCE
        except ValueError:
            return True  # Nothing was published; or somebody has written there.
        while (known := self.view.revision) < number:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.view.wait(known, left)
        return True

    @staticmethod
    def _milliseconds(seconds: float) -> int:
        return max(1, round(1000 * seconds))


def _by_key(records: Iterable[Record]) -> dict[str, str]:
    return {key_of(each.name, each.id): as_json(each.to_wire()) for each in records}
