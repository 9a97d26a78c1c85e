"""Answers on disk: whole or not at all, for one user only, and not trusted."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from wsremote.naming import remembered
from wsremote.naming.information import ServerInfo
from wsremote.naming.names import Wanted
from wsremote.naming.remembered import Remembered

NAMESERVERS = ("ws://a:1", "ws://b:1")
WANTED = Wanted("risk", "~=1.2", ("gpu",), "eu")
SERVERS = [ServerInfo("risk", "1", ("ws://s:1",)), ServerInfo("risk", "2", ("ws://s:2",))]


class Wall:
    """A clock that says what it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    """Seconds since the epoch."""
    return Wall()


@pytest.fixture
def memory(tmp_path: Path, wall: Wall) -> Remembered:
    """In an empty folder."""
    return Remembered(tmp_path, wall)


def the_file(folder: Path) -> Path:
    """The only one that there is."""
    (file,) = (folder / "names-1").iterdir()
    return file


def test_an_answer_is_remembered_with_its_age(memory: Remembered, wall: Wall) -> None:
    """In the order in which the servers are to be tried; the order of name servers is no matter."""
    assert memory.recall(NAMESERVERS, WANTED) is None
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    wall.now += 90
    assert memory.recall(NAMESERVERS[::-1], WANTED) == (SERVERS, 90.0)
    wall.now = 0.0  # set back
    answer = memory.recall(NAMESERVERS, WANTED)
    assert answer is not None and answer.age == 0.0


@pytest.mark.parametrize(
    "other", [Wanted("other"), Wanted("risk"), WANTED._replace(zone=""), WANTED._replace(tags=())]
)
def test_another_question_has_another_answer(memory: Remembered, other: Wanted) -> None:
    """Who asks for version 2 must not be given version 1."""
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    assert memory.recall(NAMESERVERS, other) is None
    assert memory.recall(NAMESERVERS[:1], WANTED) is None


def test_nobody_else_can_read_it(memory: Remembered, tmp_path: Path) -> None:
    """The folder and the file are the user's own."""
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    assert stat.S_IMODE(the_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "names-1").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"at": 1}',
        b'{"at": 1, "servers": []}',
        b'{"at": "x", "servers": [{"name": "risk", "id": "1", "urls": ["ws://s:1"]}]}',
        b'{"at": 1, "servers": [{"name": "other", "id": "1", "urls": ["ws://s:1"]}]}',
        b'{"at": 1, "servers": [{"name": "risk", "id": "1", "urls": ["file:///etc/passwd"]}]}',
        b" " * 300_000,
    ],
)
def test_a_file_that_makes_no_sense_is_not_used(
    memory: Remembered, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and the next answer takes its place."""
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    the_file(tmp_path).write_bytes(content)
    assert memory.recall(NAMESERVERS, WANTED) is None
    assert "is not used" in caplog.text
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    assert memory.recall(NAMESERVERS, WANTED) is not None


def test_what_cannot_be_written_leaves_what_was_there(
    memory: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all: a full disk is no reason to forget, and none to fail."""

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    memory.remember(NAMESERVERS, WANTED, SERVERS)
    monkeypatch.setattr(Path, "replace", full)
    memory.remember(NAMESERVERS, WANTED, SERVERS[:1])
    answer = memory.recall(NAMESERVERS, WANTED)
    assert answer is not None and answer.servers == SERVERS
    assert len(list((tmp_path / "names-1").iterdir())) == 1


def test_a_folder_of_another_user_is_not_used(
    memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes there could send us anywhere."""
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert memory.recall(NAMESERVERS, WANTED) is None
    memory.remember(NAMESERVERS, Wanted("other"), [ServerInfo("other", "1", ("ws://s:1",))])
    monkeypatch.undo()
    assert memory.recall(NAMESERVERS, Wanted("other")) is None


def test_there_is_a_bound(
    memory: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest answers go."""
    monkeypatch.setattr(remembered, "_MOST", 3)
    for number in range(5):
        server = ServerInfo(f"n{number}", "1", ("ws://s:1",))
        memory.remember(NAMESERVERS, Wanted(f"n{number}"), [server])
        for file in (tmp_path / "names-1").iterdir():
            at = json.loads(file.read_bytes())["servers"][0]["name"]
            os.utime(file, (int(at[1:]), int(at[1:])))
    found = [memory.recall(NAMESERVERS, Wanted(f"n{number}")) for number in range(5)]
    assert [each is not None for each in found] == [False, False, True, True, True]


def test_writers_at_the_same_time_leave_whole_files(memory: Remembered, tmp_path: Path) -> None:
    """Several programs of a user ask for the same name, and one reads meanwhile."""
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    missing: list[int] = []

    def work() -> None:
        for _ in range(30):
            memory.remember(NAMESERVERS, WANTED, SERVERS)
            if memory.recall(NAMESERVERS, WANTED) is None:
                missing.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing
    assert the_file(tmp_path).name.endswith(".json")


def test_no_cache_is_no_memory(tmp_path: Path) -> None:
    """WSREMOTE_CACHE=off."""
    memory = Remembered(None)
    memory.remember(NAMESERVERS, WANTED, SERVERS)
    assert memory.recall(NAMESERVERS, WANTED) is None
