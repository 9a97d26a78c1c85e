"""Records for tests, and stores whose time passes as the test says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nameserver.memory_store import MemoryStore
from nameserver.pinned import pinned_record
from nameserver.records import Entry, Load, Record
from nameserver.store import Store

__all__ = [
    "IDLE",
    "Clock",
    "MemoryStage",
    "Stage",
    "entry",
    "eventually",
    "number_of",
    "pin",
    "record",
]

IDLE = Load(sessions=0, running=0, cpu=0.0, memory=0)

_PATIENCE = 10.0


def number_of(server: int) -> str:
    """The id of a server that a test knows by a number."""
    return f"{server:032x}".replace("0" * 8, "f" * 8, 1)


def record(name: str = "risk", server: int = 1, **fields: Any) -> Record:
    """What a server says of itself; each server has a URL of its own."""
    known: dict[str, Any] = {
        "name": name,
        "id": number_of(server),
        "urls": (f"ws://host-{server}:9090",),
        "version": "1.0",
        "wsremote": "0.1",
        "python": "3.11.7",
        "packages": {"json": ""},
        "tree": "d1ge57",
        "tags": (),
        "zone": "",
        "capacity": 10,
    }
    return Record(**{**known, **fields})


def pin(name: str = "risk", url: str = "ws://pinned:9090", **fields: Any) -> Record:
    """A pinned entry's record."""
    return pinned_record({"name": name, "url": url, **fields})


def entry(name: str = "risk", server: int = 1, /, **fields: Any) -> Entry:
    """An entry with a record of its own, if none is given; registered long ago, without load."""
    own = {key: fields.pop(key) for key in list(fields) if key in Record.__slots__}
    known: dict[str, Any] = {
        "record": record(name, server, **own),
        "state": "ready",
        "fence": server,
        "owner": "me",
        "registered_at": 0.0,
        "renewed_at": 0.0,
        "expires_at": 15.0,
        "load": None,
        "revision": server,
    }
    return Entry(**{**known, **fields})


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Stage(Protocol):
    """A started store, in whose time the test moves.

    Attributes:
        store: It.
        ttl: Seconds that its leases last.
    """

    store: Store
    ttl: float

    def pass_time(self, ttls: float) -> None:
        """Let time pass, in units of a lease's length; what has ended then is swept."""

    def restart(self) -> None:
        """Close the store, and open another on what is left of it."""

    def close(self) -> None:
        """End."""


class MemoryStage:
    """The embedded store with a clock of the test.

    Args:
        folder: For its database.
        settings: Of the store.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "names.sqlite"
        self.ttl = 15.0
        self.clock = Clock()
        self._settings = settings
        self.store = self._open()

    def _open(self) -> MemoryStore:
        store = MemoryStore(self.path, now=self.clock, wall=self.clock, **self._settings)
        store.start()
        return store

    def pass_time(self, ttls: float) -> None:
        """Let time pass, with a sweep now and then as in life."""
        end = self.clock.now + ttls * self.ttl
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 1.0)
            self.store.sweep()

    def restart(self) -> None:
        """A new store on the same file."""
        self.store.close()
        self.store = self._open()

    def close(self) -> None:
        """End."""
        self.store.close()


def eventually(store: Store, holds: Callable[[], object]) -> None:
    """Wait until something holds of a store's view, which may follow the store with a delay."""
    for _ in itertools.repeat(None, int(_PATIENCE / 0.05)):
        revision = store.view.revision
        if holds():
            return
        store.view.wait(revision, 0.05)
    raise AssertionError(f"not so after {_PATIENCE} s; there are {store.view.entries()}")
