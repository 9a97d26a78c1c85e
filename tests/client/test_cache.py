"""The disk cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from wsremote.client.cache import Cache, default_folder


def _tree(count: int = 2, size: int = 10) -> tuple[str, dict[str, Any], dict[str, bytes]]:
    documents = [f"{number}".encode() * size for number in range(count)]
    named = {hashlib.sha256(data).hexdigest(): data for data in documents}
    modules = [[f"m{number}", digest] for number, digest in enumerate(named)]
    index = {"packages": ["m0"], "modules": modules, "failures": {}}
    text = json.dumps(index, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest(), index, named


def test_what_is_stored_is_found_by_another_process(tmp_path: Path) -> None:
    """Documents, index and the last tree of the server."""
    digest, index, documents = _tree()
    cache = Cache(tmp_path / "c")
    assert cache.last_tree("ws://h:1") is None
    assert cache.missing(documents) == list(documents)
    cache.store("ws://h:1", digest, index, documents)
    cache.close()
    again = Cache(tmp_path / "c")
    assert again.last_tree("ws://h:1") == digest
    assert again.last_tree("ws://h:2") is None
    assert again.index(digest) == index
    assert again.missing([*documents, "x"]) == ["x"]
    assert [again.document(each) for each in documents] == list(documents.values())
    again.close()


def test_what_is_not_what_its_digest_says_is_not_taken(tmp_path: Path) -> None:
    """A poisoned document is dropped, so that it is fetched again."""
    digest, index, documents = _tree()
    cache = Cache(tmp_path)
    cache.store("ws://h:1", digest, index, documents)
    cache.store("ws://h:2", "0" * 64, index, documents)
    assert cache.last_tree("ws://h:2") is None
    victim = next(iter(documents))
    with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as database:
        database.execute("UPDATE content SET data = ? WHERE digest = ?", (b"evil", victim))
    database.close()
    assert cache.document(victim) is None
    assert cache.missing([victim]) == [victim]
    cache.close()


def test_the_cache_stays_below_its_limit(tmp_path: Path) -> None:
    """What was used least lately goes first."""
    cache = Cache(tmp_path, size_limit=6000)
    old = _tree(1, 3000)
    cache.store("ws://old", *old)
    new = _tree(3, 1000)
    cache.store("ws://new", *new)
    assert cache.last_tree("ws://new") == new[0]
    assert cache.missing(new[2]) == []
    assert cache.last_tree("ws://old") is None or cache.missing(old[2])
    cache.close()


@pytest.mark.parametrize("damage", ["torn", "folder", "file"])
def test_a_cache_that_cannot_be_used_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """Everything goes on, at most without it."""
    folder = tmp_path / "c"
    digest, index, documents = _tree()
    if damage == "file":
        folder.write_text("a file where the folder should be")
    elif damage == "folder":
        (folder / "trees-1.sqlite").mkdir(parents=True)
    else:
        folder.mkdir()
        (folder / "trees-1.sqlite").write_bytes(b"no database at all" * 100)
    cache = Cache(folder)
    with caplog.at_level(logging.WARNING):
        cache.store("ws://h:1", digest, index, documents)
        found = cache.last_tree("ws://h:1")
        assert cache.missing(documents) == ([] if damage == "torn" else list(documents))
    assert found == (digest if damage == "torn" else None)
    assert len(caplog.records) == (0 if damage == "torn" else 1)
    cache.close()


@pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX")
def test_nobody_else_reads_or_owns_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder and file are the user's; a folder of somebody else's is not used."""
    cache = Cache(tmp_path / "c")
    cache.store("ws://h:1", *_tree())
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "c").iterdir()).stat().st_mode & 0o777 == 0o600
    cache.close()
    theirs = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: theirs)
    assert Cache(tmp_path / "c").last_tree("ws://h:1") is None
    assert "belongs to user" in caplog.text


def test_threads_share_a_cache(tmp_path: Path) -> None:
    """Also while others write."""
    digest, index, documents = _tree(50)
    cache, wrong = Cache(tmp_path), []

    def use(number: int) -> None:
        cache.store(f"ws://h:{number}", digest, index, documents)
        wrong.extend(each for each in documents if cache.document(each) != documents[each])

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert Cache(tmp_path).last_tree("ws://h:3") == digest
    cache.close()


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """WSREMOTE_CACHE names it, or turns the cache off."""
    monkeypatch.setenv("WSREMOTE_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.setenv("WSREMOTE_CACHE", "off")
    assert default_folder() is None
    assert Cache.default().last_tree("ws://h:1") is None
    monkeypatch.delenv("WSREMOTE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert default_folder() == tmp_path / "wsremote"
