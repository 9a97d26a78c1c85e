"""What the embedded store remembers over restarts."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import pin

from nameserver import database as module
from nameserver.database import RESERVED, Database, Event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder that is not there yet."""
    return tmp_path / "state" / "names.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """A new one."""
    opened = Database(path)
    yield opened
    opened.close()


def event(number: int, **fields: str) -> Event:
    """Something that has happened."""
    known = {"event": "registered", "name": "risk", "id": "1", "owner": "me", "detail": "ws://a:1"}
    return Event(float(number), **{**known, **fields})


# ---- the file --------------------------------------------------------------------------


def test_the_file_is_for_its_user_only(database: Database, path: Path) -> None:
    """Its folder too, whatever the umask; and the journal that SQLite puts beside it."""
    database.note([event(1)])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert all(found.stat().st_mode & 0o077 == 0 for found in path.parent.iterdir())


@pytest.mark.parametrize(
    "content", [b"certainly no database" * 100, b"SQLite format 3\0" + b"x" * 200]
)
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """The message names it and says what can be done."""
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"notes cannot be used: .*--database"):
        Database(path)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_left_alone(database: Database, path: Path) -> None:
    """It may hold what this one does not understand."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OSError, match="it is of a newer wsremote"):
        Database(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With the system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be used: (Not a directory|File exists)"):
        Database(tmp_path / "file" / "names.sqlite")


def test_without_a_file_nothing_is_remembered(tmp_path: Path) -> None:
    """Else all works."""
    for _ in range(2):
        database = Database(None)
        assert (database.pins(), database.audit()) == ([], [])
        database.pin(pin(), "me", 1.0)
        assert database.pins() == [pin()]
        database.close()
        database.close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_database_says_so(database: Database) -> None:
    """Nothing is written into nowhere."""
    database.close()
    with pytest.raises(OSError, match="closed"):
        database.note([event(1)])


# ---- revisions -------------------------------------------------------------------------


def test_reserved_revisions_never_come_again(path: Path) -> None:
    """However often it is opened, also by two at once, also if the clock is set back."""
    seen = [0]
    databases = [Database(path) for _ in range(3)]
    for clock in (5_000_000, 6_000_000, 1, 1, 2_000_000, 0, 20_000_000):
        for database in databases:
            first = database.reserve(clock)
            assert first >= clock
            assert first >= seen[-1]
            seen.append(first + RESERVED)
    for database in databases:
        database.close()
    again = Database(path)
    assert again.reserve(0) == seen[-1]
    again.close()


# ---- pins ------------------------------------------------------------------------------


def test_pins_are_kept(database: Database, path: Path) -> None:
    """In the order in which they were pinned; one that is pinned again is replaced."""
    full = pin("full", tags=["a"], zone="eu", version="1.2", capacity=3)
    for at, record in enumerate((pin("b"), full, pin("a"), pin("b", version="2"))):
        database.pin(record, "me", float(at))
    database.close()
    again = Database(path)
    assert again.pins() == [full, pin("a"), pin("b", version="2")]
    again.unpin("full", full.id)
    again.unpin("full", "no such id")
    assert [each.name for each in again.pins()] == ["a", "b"]
    again.close()


def test_a_pin_that_is_no_record_is_said(database: Database, path: Path) -> None:
    """Somebody has written into the file; what stands there is not shown to clients."""
    database.pin(pin(), "me", 1.0)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE pins SET record = ?", ('{"name": "<script>"}',))
    connection.close()
    with pytest.raises(OSError, match="is no name of a service"):
        database.pins()


# ---- the audit -------------------------------------------------------------------------


def test_what_is_drained_is_kept_and_bounded(database: Database, path: Path) -> None:
    """The latest of them; drained again counts anew."""
    for id in ("1", "2", "3", "1"):
        database.drain("risk", id, True, 2)
    database.close()
    again = Database(path)
    assert again.drained() == [("risk", "3"), ("risk", "1")]
    again.drain("risk", "3", False, 2)
    assert again.drained() == [("risk", "1")]
    again.close()


def test_the_latest_events_are_given(database: Database) -> None:
    """The oldest of them first."""
    database.note(event(number) for number in range(5))
    database.note([event(5, event="refused", detail="x'); DROP TABLE audit;--")])
    assert database.audit(2) == [
        event(4),
        event(5, event="refused", detail="x'); DROP TABLE audit;--"),
    ]
    assert len(database.audit()) == 6


def test_the_audit_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that registers again and again does not fill the disk."""
    monkeypatch.setattr(module, "MOST_EVENTS", 3)
    for number in range(5):
        database.note([event(number), event(number)])
    assert [each.at for each in database.audit()] == [3.0, 4.0, 4.0]


def test_events_are_written_all_or_none(database: Database) -> None:
    """What failed is tried again as a whole."""
    wrong = Event(1.0, "registered", "\ud800", "", "", "")
    with pytest.raises(OSError, match="surrogates"):
        database.note([event(1), wrong])
    assert database.audit() == []
    database.note([event(2)])
    assert len(database.audit()) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_cannot_be_written_is_said(path: Path) -> None:
    """At the start, not with the first registration."""
    Database(path).close()
    path.chmod(0o400)
    with pytest.raises(OSError, match="Permission denied"):
        Database(path)
