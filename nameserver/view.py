"""A name server's own picture of the registry, from which it answers.

It is fed with changes in the order of their revisions. Reading it asks nobody: while Redis is
down, lookups go on.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from .records import Change, Entry, Load

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST_CHANGES", "View"]

MOST_CHANGES: Final = 10_000
"""Changes that are kept for watchers that come back."""


class View:
    """Entries by name, and the latest changes. Thread-safe.

    Only one thread at a time may feed it. An exception that lands in a thread that reads
    it does no harm.

    Args:
        revision: Of the registry that it begins with, which is empty.
    """

    def __init__(self, revision: int = 0) -> None:
        self._lock = threading.Lock()
        self._revision = revision
        # By name and id. A name without entries is not in it.
        self._entries: dict[str, dict[str, Entry]] = {}
        # The latest changes, the oldest first; all of those after `_since`.
        self._changes: deque[Change] = deque()
        self._since = revision
        # Locks that the next change opens, each of one who waits. Not an Event: its methods hold a
        # lock in Python code, where an interrupt could leave it locked, and all would stand.
        self._gates: set[threading.Lock] = set()

    @property
    def revision(self) -> int:
        """Of the last change."""
        return self._revision

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._entries.values()))

    # ---- reading ---------------------------------------------------------------------

    def names(self) -> list[str]:
        """All names, in order."""
        with self._lock:
            return sorted(self._entries)

    def entries(self, prefix: str = "") -> list[Entry]:
        """All entries whose name begins with `prefix`, by name, the oldest of a name first."""
        return self.snapshot(prefix)[1]

    def snapshot(self, prefix: str = "") -> tuple[int, list[Entry]]:
        """The revision, and the entries that belong to it."""
        with self._lock:
            found = [
                entry
                for name, by_id in self._entries.items()
                if name.startswith(prefix)
                for entry in by_id.values()
            ]
            revision = self._revision
        found.sort(key=lambda entry: (entry.record.name, entry.fence))
        return revision, found

    def named(self, name: str) -> list[Entry]:
        """The entries of one name; none if nothing has it."""
        with self._lock:
            by_id = self._entries.get(name)
            return [] if by_id is None else list(by_id.values())

    def get(self, name: str, id: str) -> Entry | None:
        """One entry."""
        with self._lock:
            by_id = self._entries.get(name)
            return None if by_id is None else by_id.get(id)

    def changes_since(self, revision: int) -> list[Change] | None:
        """The changes after a revision; None if they are not known.

        Then it was too long ago, or of another registry: take all entries again.
        """
        with self._lock:
            if not self._since <= revision <= self._revision:
                return None
            found = []
            for change in reversed(self._changes):
                if change.revision <= revision:
                    break
                found.append(change)
        found.reverse()
        return found

    def wait(self, revision: int, seconds: float) -> bool:
        """Wait until there is a change after a revision; whether there is one."""
        gate = threading.Lock()
        gate.acquire()
        gates = self._gates
        gates.add(gate)
        # After that, since who feeds looks for gates after the revision was set. A gate that
        # is too late to be found belongs to a change that is seen here.
        if self._revision == revision:
            gate.acquire(timeout=seconds)
        gates.discard(gate)
        return self._revision != revision

    # ---- feeding ---------------------------------------------------------------------

    def apply(self, *changes: Change) -> None:
        """Take changes, in their order. Those that are older than the view are passed over."""
        with self._lock:
            for change in changes:
                if change.revision > self._revision:
                    self._apply(change)
        self._wake()

    def _apply(self, change: Change) -> None:
        if change.entry is not None:
            self._entries.setdefault(change.name, {})[change.id] = change.entry
        else:
            by_id = self._entries.get(change.name, {})
            by_id.pop(change.id, None)
            if not by_id:
                self._entries.pop(change.name, None)
        if len(self._changes) >= MOST_CHANGES:
            self._since = self._changes.popleft().revision
        self._changes.append(change)
        self._revision = change.revision

    def renewed(
        self, name: str, id: str, load: Load | None, renewed_at: float, expires_at: float
    ) -> None:
        """A lease was renewed, which is no change; nothing happens if there is no such entry.

        Args:
            name: Of the service.
            id: Of the server.
            load: What it said of itself.
            renewed_at: When, seconds since the epoch.
            expires_at: Until when, seconds since the epoch.
        """
        with self._lock:
            by_id = self._entries.get(name)
            old = None if by_id is None else by_id.get(id)
            if by_id is None or old is None:
                return
            by_id[id] = Entry(
                old.record,
                old.state,
                old.fence,
                old.owner,
                old.registered_at,
                renewed_at,
                expires_at,
                load,
                old.revision,
            )

    def reset(self, revision: int, entries: Iterable[Entry]) -> None:
        """Forget everything and take these: the changes in between are not known.

        Watchers wake, and find that they have to take all entries again.
        """
        anew: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            anew.setdefault(entry.record.name, {})[entry.record.id] = entry
        with self._lock:
            self._entries = anew
            self._changes.clear()
            self._revision = self._since = revision
        self._wake()

    def _wake(self) -> None:
        gates, self._gates = self._gates, set()
        for gate in list(gates):
            gate.release()
