"""Events on their way into the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nameserver import audit as module
from nameserver.audit import Audit
from nameserver.database import Database, Event


@pytest.fixture
def database() -> Iterator[Database]:
    """One in memory."""
    opened = Database(None)
    yield opened
    opened.close()


def event(number: int, name: str = "risk") -> Event:
    """Something that has happened."""
    return Event(float(number), "refused", name, "", "me", "it is not for this token")


def test_events_are_written_in_their_order(database: Database) -> None:
    """Each once."""
    audit = Audit(database)
    for number in range(3):
        audit.note(event(number))
    audit.write()
    audit.write()
    assert database.audit() == [event(0), event(1), event(2)]


def test_what_cannot_be_written_waits(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """In its order, and with one line in the log."""

    def fail(events: object) -> None:
        raise OSError("the disk is full")

    audit = Audit(database)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "note", fail)
        for number in range(3):
            audit.note(event(number))
            audit.write()
            assert audit.trouble == "the disk is full"
    assert caplog.messages == ["! the audit waits: the disk is full"]
    audit.note(event(3))
    audit.write()
    assert audit.trouble is None
    assert database.audit() == [event(number) for number in range(4)]


def test_what_waits_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody with a token tries names without end; how many were left out is said."""
    monkeypatch.setattr(module, "_MOST_WAITING", 10)
    audit = Audit(database)
    for number in range(25):
        audit.note(event(number))
    audit.write()
    assert database.audit() == [event(number) for number in range(10)]
    assert caplog.messages == ["! the audit has no room for 15 events"]
    audit.note(event(99))
    audit.write()
    assert database.audit()[-1] == event(99)
    assert len(caplog.messages) == 1


def test_any_text_can_be_written(database: Database) -> None:
    """A name that was refused is whatever somebody has sent."""
    audit = Audit(database)
    audit.note(event(1, "\ud800\x00'\n" * 1000))
    audit.write()
    (found,) = database.audit()
    assert found.name.startswith("\\ud800\x00'\n")
    assert len(found.name) < 3000
