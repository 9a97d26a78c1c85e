"""Leases and pinned entries: who stands under which name, and until when.

Pure: `now` (seconds, never set back) and `wall` (seconds since the epoch, for display) are
arguments. What changes is returned as `Change`s, in the order of their revisions.

A lease is over when `expire` finds that its time has passed. A renewal that comes before keeps
it.

All leases last equally long, so the one renewed longest ago ends first: leases stand in the order
of their renewals, and neither a renewal nor a sweep ever looks at those that are not concerned.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from wsremote.errors import LeaseLost, LimitExceeded, NameNotFound

from .records import Change, Entry, Lease
from .store import EVERY, SUSPECT_FOR, TTL, back_within, is_mass_expiry, name_taken

if TYPE_CHECKING:
    from .records import Kind, Load, Record, State

__all__ = ["MOST_DRAINED", "MOST_LEASES", "Registry"]

MOST_LEASES: Final = 100_000
"""Leases at once, so that a token that leaked cannot fill the memory."""

MOST_DRAINED: Final = 10_000
"""Drained servers that are known when they register again."""

_MOST_ENDED: Final = 10_000
"""Ended leases of which the reason is known."""

_Key = tuple[str, str]
_Reason = Literal["expired", "replaced"]
_WHY: Final[dict[str, str]] = {
    "expired": "it was not renewed in time",
    "replaced": "another lease has taken its place",
    "unknown": "the name server does not know it",
}


@dataclass(slots=True)
class _Lease:
    """A lease that is not over.

    Attributes:
        record, owner, fence, registered_at, renewed_at, load: As in `Entry`.
        ends: Of the registry's clock.
        said: The state that the server says it has.
        drained: Whether `drain` has drained it.
        gone: When it is gone, of the registry's clock, if it is suspect; else None.
        published: The state that was published last.
        revision: Of that.
    """

    record: Record
    owner: str
    fence: int
    registered_at: float
    renewed_at: float
    ends: float
    said: State = "ready"
    drained: bool = False
    gone: float | None = None
    load: Load | None = None
    published: State = "ready"
    revision: int = 0

    @property
    def key(self) -> _Key:
        return self.record.name, self.record.id

    @property
    def state(self) -> State:
        if self.drained or self.said == "draining":
            return "draining"
        return "ready" if self.gone is None else "suspect"


@dataclass(slots=True)
class _Name:
    """A name with leases, which are all of one owner."""

    owner: str
    leases: dict[str, _Lease] = field(default_factory=dict)
    by_url: dict[str, _Lease] = field(default_factory=dict)


class Registry:
    """All leases and pinned entries of one name server. Not thread-safe.

    Args:
        revision: Above every revision of any registry before this one.
        ttl: Seconds that a lease lasts.
        every: Seconds after which a server shall renew.
        suspect_for: Seconds that a suspect entry is kept.
        drained: Names and ids of servers that `drain` has drained before, the oldest first.
    """

    def __init__(
        self,
        revision: int = 0,
        *,
        drained: Iterable[_Key] = (),
        ttl: float = TTL,
        every: float = EVERY,
        suspect_for: float = SUSPECT_FOR,
    ) -> None:
        self.revision = revision
        self.ttl = ttl
        self._every = every
        self._suspect_for = suspect_for
        self._names: dict[str, _Name] = {}
        # Those that are not suspect, renewed longest ago first; and the suspect ones, gone first.
        self._live: OrderedDict[_Key, _Lease] = OrderedDict()
        self._suspect: OrderedDict[_Key, _Lease] = OrderedDict()
        # When leases ended within the last ttl, by fence, the oldest first.
        self._lately: OrderedDict[int, float] = OrderedDict()
        # Why the latest leases have ended, for those who still renew them.
        self._ended: OrderedDict[_Key, _Reason] = OrderedDict()
        # What `drain` has drained last: it outlasts the leases, for an operator drains a server.
        self._drained: OrderedDict[_Key, None] = OrderedDict.fromkeys(drained)
        # No lease ends before.
        self._excused = -float("inf")
        # Pinned records by source, and what is published of them.
        self._sources: dict[str, dict[_Key, Record]] = {}
        self._pinned: dict[_Key, Entry] = {}

    def __len__(self) -> int:
        """Leases that are not over."""
        return len(self._live) + len(self._suspect)

    @property
    def suspects(self) -> int:
        """Leases that are suspect."""
        return len(self._suspect)

    def holder(self, name: str) -> str | None:
        """The owner of the leases under a name."""
        held = self._names.get(name)
        return None if held is None else held.owner

    def is_drained(self, name: str, id: str) -> bool:
        """Whether `drain` has drained a server."""
        lease = self._lease(name, id)
        return lease is not None and lease.drained

    def entries(self) -> list[Entry]:
        """All entries as they are now, in no order."""
        leases = [
            self._entry_of(lease, lease.revision)
            for name in self._names.values()
            for lease in name.leases.values()
        ]
        return [*leases, *self._pinned.values()]

    # ---- leases ----------------------------------------------------------------------

    def register(
        self, record: Record, owner: str, now: float, wall: float
    ) -> tuple[Lease, list[Change]]:
        """Give a server its lease; see `Store.register`. Look what has expired first.

        Raises:
            NameTaken: Another owner has a lease under this name.
            LimitExceeded: There are too many.
        """
        name = self._names.get(record.name)
        if name is not None and name.owner != owner:
            raise name_taken(record.name, registering=True)
        # What it takes the place of: its own earlier lease, and those with one of its URLs.
        old = None if name is None else name.leases.get(record.id)
        others: dict[int, _Lease] = {}
        if name is not None:
            same = (found for url in record.urls if (found := name.by_url.get(url)))
            others = {found.fence: found for found in same if found is not old}
        if len(self) - len(others) - (old is not None) >= MOST_LEASES:
            raise LimitExceeded(f"{MOST_LEASES} servers are registered, there may be no more.")
        changes: list[Change] = []
        for other in others.values():
            changes += self._end(other, "replaced")
        if old is not None:
            self._forget(old)
        lease = _Lease(record, owner, self.revision + 1, wall, wall, now + self.ttl)
        lease.drained = lease.key in self._drained
        self._keep(lease)
        changes.append(self._publish(lease, "registered" if old is None else "changed"))
        return Lease(lease.fence, self.ttl, self._every), changes

    def beat(
        self, name: str, id: str, fence: int, load: Load, state: State, now: float, wall: float
    ) -> bool:
        """Renew a lease if that publishes nothing; whether it was renewed.

        The way of nearly all renewals. It may be interrupted between any two steps: a lease
        that stands too far behind ends no later for that.

        Raises:
            LeaseLost: It is over.
        """
        key = (name, id)
        lease = self._live.get(key)
        if lease is None:
            if key in self._suspect:
                return False
            raise self._lost(key)
        if lease.fence != fence:
            raise self._lost(key, lease, fence)
        if lease.said != state:
            return False
        self._live.move_to_end(key)
        lease.load = load
        lease.renewed_at = wall
        lease.ends = now + self.ttl
        return True

    def renew(
        self, name: str, id: str, fence: int, load: Load, state: State, now: float, wall: float
    ) -> list[Change]:
        """Renew a lease; see `Store.renew`.

        Raises:
            LeaseLost: It is over.
        """
        if self.beat(name, id, fence, load, state, now, wall):
            return []
        lease = self._names[name].leases[id]
        if lease.fence != fence:
            raise self._lost(lease.key, lease, fence)
        lease.said, lease.load, lease.renewed_at = state, load, wall
        lease.gone, lease.ends = None, now + self.ttl
        self._suspect.pop(lease.key, None)
        self._live[lease.key] = lease
        self._live.move_to_end(lease.key)
        self._lately.pop(fence, None)
        return self._publish_state(lease)

    def deregister(self, name: str, id: str, fence: int) -> list[Change]:
        """End a lease, if it is not over."""
        lease = self._lease(name, id)
        if lease is None or lease.fence != fence:
            return []
        return self._end(lease, None)

    def drain(self, name: str, id: str, draining: bool) -> list[Change]:
        """Send no more sessions to a server, or again.

        Raises:
            NameNotFound: There is no such lease.
        """
        lease = self._lease(name, id)
        if lease is None:
            why = "is pinned: unpin it instead" if (name, id) in self._pinned else "is not there"
            raise NameNotFound(f"The server {id!r} of the name {name!r} {why}.")
        lease.drained = draining
        self._drained.pop(lease.key, None)
        if draining:
            self._drained[lease.key] = None
            if len(self._drained) > MOST_DRAINED:
                self._drained.popitem(last=False)
        return self._publish_state(lease)

    def expire(self, now: float) -> list[Change]:
        """End the leases whose time has passed, or make them suspect if most are silent."""
        while self._lately and next(iter(self._lately.values())) <= now - self.ttl:
            self._lately.popitem(last=False)
        changes: list[Change] = []
        if now < self._excused:
            return changes
        while self._suspect:
            lease = next(iter(self._suspect.values()))
            assert lease.gone is not None
            if lease.gone > now:
                break
            changes += self._end(lease, "expired")
        ended = self._silent_since(now - self.ttl)
        if not ended:
            return changes
        silent = len(self._silent_since(now - self.ttl / 2)) + len(self._lately)
        is_mass = is_mass_expiry(silent, len(self._live) + len(self._lately))
        for lease in ended:
            self._lately[lease.fence] = now
            if is_mass:
                del self._live[lease.key]
                self._suspect[lease.key] = lease
                lease.gone = now + self._suspect_for
                changes += self._publish_state(lease)
            else:
                changes += self._end(lease, "expired")
        return changes

    def excuse(self, now: float) -> None:
        """Nobody was heard for a while, by the fault of this process: all get time to renew."""
        self._excused = now + back_within(self.ttl)

    def _silent_since(self, moment: float) -> list[_Lease]:
        """Leases renewed at or before a moment, and not suspect."""
        found = []
        for lease in self._live.values():
            if lease.ends - self.ttl > moment:
                break
            found.append(lease)
        return found

    # ---- pinned entries --------------------------------------------------------------

    def set_pinned(self, source: str, records: Iterable[Record], wall: float) -> list[Change]:
        """These are the pinned entries of a source; of two sources' same ones the first counts."""
        self._sources[source] = {(record.name, record.id): record for record in records}
        wanted: dict[_Key, Record] = {}
        for pinned in self._sources.values():
            for key, record in pinned.items():
                wanted.setdefault(key, record)
        changes = []
        for key in [key for key in self._pinned if key not in wanted]:
            del self._pinned[key]
            changes.append(self._change("gone", key, None))
        for key, record in wanted.items():
            old = self._pinned.get(key)
            if old is None or old.record != record:
                revision = self.revision + 1
                entry = Entry(record, "pinned", revision, "", wall, wall, None, None, revision)
                self._pinned[key] = entry
                changes.append(self._change("changed" if old else "registered", key, entry))
        return changes

    # ---- bookkeeping -----------------------------------------------------------------

    def _lease(self, name: str, id: str) -> _Lease | None:
        held = self._names.get(name)
        return None if held is None else held.leases.get(id)

    def _keep(self, lease: _Lease) -> None:
        name = self._names.setdefault(lease.record.name, _Name(lease.owner))
        name.leases[lease.record.id] = lease
        name.by_url.update(dict.fromkeys(lease.record.urls, lease))
        self._live[lease.key] = lease
        self._ended.pop(lease.key, None)

    def _forget(self, lease: _Lease) -> None:
        key = lease.key
        name = self._names[lease.record.name]
        del name.leases[lease.record.id]
        for url in lease.record.urls:
            del name.by_url[url]
        if not name.leases:
            del self._names[lease.record.name]
        if self._live.pop(key, None) is None:
            del self._suspect[key]

    def _end(self, lease: _Lease, reason: _Reason | None) -> list[Change]:
        self._forget(lease)
        if reason is not None:
            self._ended[lease.key] = reason
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)
        return [self._change("gone", lease.key, None)]

    def _lost(self, key: _Key, lease: _Lease | None = None, fence: int = 0) -> LeaseLost:
        """Why a lease cannot be renewed; `lease` is the one that there is."""
        reason: str
        if lease is not None:
            # A fence from the future is of another registry.
            reason = "replaced" if fence < lease.fence else "unknown"
        else:
            reason = self._ended.get(key, "unknown")
        name, id = key
        text = f"The lease of server {id!r} of the name {name!r} is over: {_WHY[reason]}."
        return LeaseLost(text, reason)

    # ---- publishing ------------------------------------------------------------------

    def _entry_of(self, lease: _Lease, revision: int) -> Entry:
        return Entry(
            lease.record,
            lease.state,
            lease.fence,
            lease.owner,
            lease.registered_at,
            lease.renewed_at,
            lease.renewed_at + self.ttl,
            lease.load,
            revision,
        )

    def _publish_state(self, lease: _Lease) -> list[Change]:
        """Publish a lease if its state is another than it was."""
        return [] if lease.published == lease.state else [self._publish(lease, "changed")]

    def _publish(self, lease: _Lease, kind: Kind) -> Change:
        entry = self._entry_of(lease, self.revision + 1)
        lease.published, lease.revision = entry.state, entry.revision
        return self._change(kind, lease.key, entry)

    def _change(self, kind: Kind, key: _Key, entry: Entry | None) -> Change:
        self.revision += 1
        return Change(self.revision, kind, *key, entry)
