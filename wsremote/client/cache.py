"""The disk cache: what servers have said of their packages, so that they say it once.

One sqlite file for all servers and processes. It holds data only: documents of modules
and indexes of trees, each under the SHA-256 that names it and checked against it when it is
read, so that whoever writes into the file can at most make us ask the server again. A cache that
cannot be used costs one warning in the log and the transfer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..tree.nodes import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["Cache", "default_folder"]

logger = logging.getLogger("wsremote.client")

SIZE_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of content. Above it, what was used least lately goes."""

_FILE: Final = "trees-1.sqlite"
_DAY: Final = 24 * 3600
_AT_ONCE: Final = 500  # names in one query: older sqlite allows 999
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS content (
    digest TEXT PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS servers (url TEXT PRIMARY KEY, tree TEXT NOT NULL);
"""

T = TypeVar("T")


def default_folder() -> Path | None:
    """Where the cache is: WSREMOTE_CACHE, else the user's cache folder. None if it is `off`."""
    chosen = os.environ.get("WSREMOTE_CACHE", "")
    if chosen:
        return None if chosen == "off" else Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "wsremote"


class Cache:
    """Documents by digest, indexes by the tree's digest, the last tree of each server.

    Never raises: without a usable file it is empty and forgets everything.

    Args:
        folder: Where its file is or will be; None for no cache.
        size_limit: Bytes of content to keep.
    """

    def __init__(self, folder: Path | None, *, size_limit: int = SIZE_LIMIT) -> None:
        self._size_limit = size_limit
        self._folder = folder
        # Threads of a session share one connection.
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        # A connection must not be used in a forked process.
        self._process = 0

    @classmethod
    def default(cls) -> Cache:
        """The user's cache."""
        return cls(default_folder())

    def last_tree(self, url: str) -> str | None:
        """Digest of the tree that a server had when we last connected."""
        found = self._try(
            lambda db: db.execute("SELECT tree FROM servers WHERE url = ?", (url,)).fetchone()
        )
        return str(found[0]) if found and self.index(found[0]) is not None else None

    def index(self, digest: str) -> dict[str, Any] | None:
        """The index of a tree."""
        data = self.document(digest)
        return None if data is None else json.loads(data)

    def document(self, digest: str) -> bytes | None:
        """The content of a digest."""
        found = self._try(
            lambda db: db.execute("SELECT data FROM content WHERE digest = ?", (digest,)).fetchone()
        )
        if not found:
            return None
        data = bytes(found[0])
        if digest_of(data) == digest:
            return data
        logger.warning("! cache: %s holds something else under %s", self._folder, digest[:12])
        self._try(lambda db: db.execute("DELETE FROM content WHERE digest = ?", (digest,)))
        return None

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of some digests that are not here."""
        wanted = list(dict.fromkeys(digests))
        present: set[str] = self._try(lambda db: _present(db, wanted)) or set()
        return [digest for digest in wanted if digest not in present]

    def store(
        self, url: str, digest: str, index: Mapping[str, Any], documents: Mapping[str, bytes]
    ) -> None:
        """Keep what a server has said.

        Args:
            url: Of the server.
            digest: Of its tree.
            index: Of its tree.
            documents: What was fetched of it, by digest.
        """
        canonical = json.dumps(index, sort_keys=True, separators=(",", ":")).encode("ascii")
        if hashlib.sha256(canonical).hexdigest() != digest:
            return
        content = {**documents, digest: canonical}
        used = [digest, *(entry[1] for entry in index["modules"])]
        self._try(lambda db: self._write(db, url, digest, content, used))

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        with self._lock:
            if self._database is not None and self._process == os.getpid():
                self._database.close()
            self._database = None

    def _write(
        self,
        db: sqlite3.Connection,
        url: str,
        tree: str,
        content: Mapping[str, bytes],
        used: Collection[str],
    ) -> None:
        """One transaction, or none if everything is known already and was used today."""
        today = int(time.time()) // _DAY
        known = db.execute("SELECT tree FROM servers WHERE url = ?", (url,)).fetchone()
        fresh = db.execute(
            "SELECT 1 FROM content WHERE digest = ? AND used = ?", (tree, today)
        ).fetchone()
        if len(content) == 1 and known == (tree,) and fresh:
            return
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)",
                [(digest, today, len(data), data) for digest, data in content.items()],
            )
            db.executemany(
                "UPDATE content SET used = ? WHERE digest = ? AND used < ?",
                [(today, digest, today) for digest in used],
            )
            db.execute("INSERT OR REPLACE INTO servers VALUES (?, ?)", (url, tree))
            self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> None:
        """Drop what was used least lately, a quarter more than has to go."""
        (size,) = db.execute("SELECT COALESCE(SUM(size), 0) FROM content").fetchone()
        if size <= self._size_limit:
            return
        dropped = []
        for digest, length in db.execute("SELECT digest, size FROM content ORDER BY used, rowid"):
            if size <= self._size_limit * 3 // 4:
                break
            dropped.append((digest,))
            size -= length
        db.executemany("DELETE FROM content WHERE digest = ?", dropped)

    def _try(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `use` gives, or None if the cache cannot be used, now and from now on."""
        if self._folder is None:
            return None
        with self._lock:
            try:
                return use(self._opened(self._folder))
            except (sqlite3.Error, OSError) as error:
                logger.warning(
                    "! cache: %s cannot be used (%s); going on without. Set WSREMOTE_CACHE to "
                    "another folder, or to off",
                    self._folder,
                    error,
                )
                self._folder = None
                return None

    def _opened(self, folder: Path) -> sqlite3.Connection:
        """The connection of this process."""
        if self._database is not None and self._process == os.getpid():
            return self._database
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sys.platform != "win32":
            owner = folder.stat().st_uid
            if owner != os.getuid():
                raise PermissionError(f"the folder belongs to user {owner}")
        try:
            self._database = _connect(folder / _FILE)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # Not a database, or a torn one: it is only a cache.
            (folder / _FILE).unlink()
            self._database = _connect(folder / _FILE)
        self._process = os.getpid()
        return self._database


def _connect(path: Path) -> sqlite3.Connection:
    # Opened here first so that nobody else ever could read it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        # What a crash of the machine tears is found out by its digest, or makes a new file.
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _present(db: sqlite3.Connection, digests: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(digests), _AT_ONCE):
        some = digests[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        rows = db.execute(f"SELECT digest FROM content WHERE digest IN ({marks})", some)
        found.update(digest for (digest,) in rows)
    return found
