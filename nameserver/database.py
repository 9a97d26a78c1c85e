"""What the embedded store remembers over restarts, in one SQLite file for this user only.

Pinned entries, drained servers, an audit of who registered what, and how far the revisions have
come. Leases
are not in it: servers register again within one renewal, and a list of servers that
were there before a restart would be a list of dead ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from .records import Record

__all__ = ["MOST_EVENTS", "RESERVED", "Database", "Event"]

RESERVED: Final = 1_000_000
"""Revisions that are reserved with one write."""

MOST_EVENTS: Final = 100_000
"""Events of the audit that are kept, the latest."""

_PRIVATE: Final = 0o600
_PATIENCE: Final = 5.0
"""Seconds to wait for another process that writes into the file."""

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS revisions (
    one INTEGER PRIMARY KEY CHECK (one = 1), reserved INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pins (
    name TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, owner TEXT NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (name, id));
CREATE TABLE IF NOT EXISTS drained (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, id TEXT NOT NULL,
    UNIQUE (name, id));
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, event TEXT NOT NULL,
    name TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, detail TEXT NOT NULL);
"""


class Event(NamedTuple):
    """A line of the audit.

    Attributes:
        at: Seconds since the epoch.
        event: `registered`, `replaced`, `deregistered`, `expired`, `refused`, `pinned` or
            `unpinned`.
        name: Of the service.
        id: Of the server; empty if it is not known.
        owner: Key id of the token, never the token.
        detail: URLs, or why it was refused.
    """

    at: float
    event: str
    name: str
    id: str
    owner: str
    detail: str


class Database:
    """The file, opened. Thread-safe.

    Args:
        path: Made if it is not there, with its folder; None for one in memory, which
            remembers nothing.

    Raises:
        OSError: It cannot be used; the message says why and what to do.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._plainly():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # SQLite would make it readable for all; its journal has the rights of the file.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=_PATIENCE,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found > _VERSION:
            raise sqlite3.DatabaseError("it is of a newer wsremote")
        with self._transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            self._connection.close()

    # ---- revisions -------------------------------------------------------------------

    def reserve(self, least: int) -> int:
        """Reserve `RESERVED` revisions that nobody has ever had; gives the one before the first.

        A crash loses at most those that are left: it never makes one come twice. Nor do two
        processes with one file get the same.

        Args:
            least: They are above it. Milliseconds since the epoch, so that they rise also if the
                file was lost.
        """
        with self._lock, self._plainly(), self._transaction() as connection:
            found = connection.execute("SELECT reserved FROM revisions").fetchone()
            first = max(least, found[0] if found else 0)
            connection.execute(
                "INSERT OR REPLACE INTO revisions VALUES (1, ?)", (first + RESERVED,)
            )
        return first

    # ---- pinned entries --------------------------------------------------------------

    def pins(self) -> list[Record]:
        """The entries that were pinned by `pin`.

        Raises:
            OSError: The file cannot be read, or holds what is no record.
        """
        with self._lock, self._plainly():
            rows = self._connection.execute("SELECT record FROM pins ORDER BY at, id").fetchall()
            return [Record.from_wire(json.loads(record), pinned=True) for (record,) in rows]

    def pin(self, record: Record, owner: str, at: float) -> None:
        """Keep an entry; one of the same name and id is replaced."""
        row = (record.name, record.id, json.dumps(record.to_wire()), owner, at)
        with self._lock, self._plainly():
            self._connection.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?, ?)", row)

    def unpin(self, name: str, id: str) -> None:
        """Forget an entry."""
        with self._lock, self._plainly():
            self._connection.execute("DELETE FROM pins WHERE name = ? AND id = ?", (name, id))

    # ---- drained servers -------------------------------------------------------------

    def drained(self) -> list[tuple[str, str]]:
        """Names and ids of the servers that were drained, the oldest first."""
        with self._lock, self._plainly():
            return self._connection.execute(
                "SELECT name, id FROM drained ORDER BY number"
            ).fetchall()

    def drain(self, name: str, id: str, draining: bool, most: int) -> None:
        """Keep that a server was drained, or forget it; the oldest beyond `most` go."""
        with self._lock, self._plainly(), self._transaction() as connection:
            connection.execute("DELETE FROM drained WHERE name = ? AND id = ?", (name, id))
            if draining:
                connection.execute("INSERT INTO drained (name, id) VALUES (?, ?)", (name, id))
                connection.execute(
                    "DELETE FROM drained WHERE number <= (SELECT MAX(number) FROM drained) - ?",
                    (most,),
                )

    # ---- the audit -------------------------------------------------------------------

    def note(self, events: Iterable[Event]) -> None:
        """Append to the audit; the oldest beyond `MOST_EVENTS` go."""
        with self._lock, self._plainly(), self._transaction() as connection:
            connection.executemany(
                "INSERT INTO audit (at, event, name, id, owner, detail) VALUES (?, ?, ?, ?, ?, ?)",
                events,
            )
            connection.execute(
                "DELETE FROM audit WHERE number <= (SELECT MAX(number) FROM audit) - ?",
                (MOST_EVENTS,),
            )

    def audit(self, most: int = 100) -> list[Event]:
        """The latest events, the oldest of them first."""
        with self._lock, self._plainly():
            rows = self._connection.execute(
                "SELECT at, event, name, id, owner, detail FROM audit ORDER BY number DESC LIMIT ?",
                (most,),
            ).fetchall()
        return [Event(*row) for row in reversed(rows)]

    # ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody writes in between."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        """What is wrong with the file, in words for who runs the name server."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.strerror:
                why: object = error.strerror
            else:
                why = error
            raise OSError(
                f"the name server's database {self._path or 'in memory'} cannot be used: {why}."
                " Mend it, move it away, or choose another with --database."
            ) from error
