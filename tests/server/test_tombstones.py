"""What a server remembers of ended sessions, from one process to the next."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from wsremote.protocol.roster import Tombstone
from wsremote.server import tombstones
from wsremote.server.tombstones import Journal, Unfinished, load_tombstones, store_tombstones

KEY = "0123456789abcdef"


def dead(at: float, **fields: object) -> Tombstone:
    """Of a session that has expired."""
    known = {"received": 9, "executed": [3], "started": [4, 5], **fields}
    return Tombstone(KEY, "expired", "it was away for too long", at, **known)  # type: ignore[arg-type]


def journal_of(path: Path, *unfinished: Unfinished) -> Journal:
    """A journal of a server with these live sessions."""
    return Journal(path, lambda: unfinished)


def test_tombstones_come_back_with_their_age(tmp_path: Path) -> None:
    """By the clock of another process, which began elsewhere."""
    first, second = dead(at=990.0), dead(at=1000.0, received=None, executed=None, started=None)
    store_tombstones(tmp_path / "new", KEY, [("a", first), ("b", second)], now=1000.0)
    (path,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = dict(load_tombstones(tmp_path / "new", KEY, now=50.0))
    assert (found["a"].why, found["a"].text) == ("expired", first.text)
    assert (found["a"].received, found["a"].executed, found["a"].started) == (9, [3], [4, 5])
    assert (found["b"].received, found["b"].executed, found["b"].started) == (None, None, None)
    assert found["b"].at == pytest.approx(50.0, abs=5)
    assert found["b"].at - found["a"].at == pytest.approx(10.0, abs=0.01)


def test_another_token_has_tombstones_of_its_own(tmp_path: Path) -> None:
    """Who has one learns nothing of the other's sessions."""
    store_tombstones(tmp_path, KEY, [("a", dead(at=0.0))], now=0.0)
    assert load_tombstones(tmp_path, "another", now=0.0) == []


def test_without_tombstones_no_file_is_made_and_an_old_one_is_emptied(tmp_path: Path) -> None:
    """A server that had no clients leaves nothing."""
    store_tombstones(tmp_path / "new", KEY, [], now=0.0)
    assert not (tmp_path / "new").exists()
    store_tombstones(tmp_path, KEY, [("a", dead(at=0.0))], now=0.0)
    store_tombstones(tmp_path, KEY, [], now=0.0)
    assert load_tombstones(tmp_path, KEY, now=0.0) == []


@pytest.mark.parametrize("text", ["", "[", "[[1]]", '{"a": 1}', "[null]"])
def test_a_file_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path, text: str) -> None:
    """It is said in the log, and nothing is remembered."""
    (tmp_path / f"tombstones-{KEY}.json").write_text(text)
    assert load_tombstones(tmp_path, KEY, now=0.0) == []


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_stop(tmp_path: Path) -> None:
    """A file stands where the folder should."""
    (tmp_path / "file").write_text("")
    store_tombstones(tmp_path / "file", KEY, [("a", dead(at=0.0))], now=0.0)


def test_a_journal_tells_what_had_happened(tmp_path: Path) -> None:
    """Of sessions that had not ended: calls that had run, and calls that were running."""
    path = tmp_path / "journal"
    journal = journal_of(path)
    assert journal.start(0.0) == []
    journal.opened("a", KEY)
    journal.opened("b", KEY)
    for call in (1, 2, 3):
        journal.begun("a", call)
    journal.ended("a", 1)
    journal.ended("a", 3)
    journal.closed("b")
    # The process is killed: another one begins with the same file, and has no sessions.
    ((session, found),) = journal_of(path).start(7.0)
    assert (session, found.key_id, found.why, found.at) == ("a", KEY, "killed", 7.0)
    assert (found.received, found.executed, found.started) == (None, [1, 3], [2])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == ""


def test_half_a_line_at_the_end_of_a_journal_does_no_harm(tmp_path: Path) -> None:
    """Nor do lines of something else."""
    path = tmp_path / "journal"
    path.write_text(f"o a {KEY}\nb a 1\nb z 4\nwhat is this\n\ne a x\ne a")
    ((_, found),) = journal_of(path).start(0.0)
    assert (found.executed, found.started) == ([], [1])


def test_a_journal_is_written_anew_before_it_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what live sessions may still ask for."""
    monkeypatch.setattr(tombstones, "_MOST_JOURNAL", 1000)
    path = tmp_path / "journal"
    journal = journal_of(path, ("a", KEY, [98], [99]))
    journal.start(0.0)
    for call in range(1000, 1200):
        journal.begun("a", call)
        journal.ended("a", call)
        assert path.stat().st_size < 1100
    ((_, found),) = journal_of(path).start(0.0)
    assert found.executed is not None
    assert found.executed[0] == 98
    assert found.started == [99]


def test_a_full_disk_ends_the_journal_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go on and are not noted; so nothing is claimed of any."""
    path = tmp_path / "journal"
    journal = journal_of(path)
    journal.start(0.0)
    journal.opened("a", KEY)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal.begun("a", 1)
    monkeypatch.setattr(os, "write", write)
    journal.ended("a", 1)
    assert journal_of(path).start(0.0) == []
    journal.stop()
    assert not path.exists()


def test_a_server_that_is_shut_down_leaves_no_journal(tmp_path: Path) -> None:
    """And notes nothing more."""
    path = tmp_path / "journal"
    journal = journal_of(path)
    journal.start(0.0)
    journal.stop()
    journal.opened("a", KEY)
    assert not path.exists()
