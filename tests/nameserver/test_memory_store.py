"""The embedded store: what only it does. What all stores do is in test_stores.py."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

import pytest
from stores import IDLE, Clock, MemoryStage, number_of, pin, record

from nameserver import database
from nameserver import memory_store as module
from nameserver.memory_store import MemoryStore
from wsremote.errors import LeaseLost, LimitExceeded, NameTaken


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[MemoryStage]:
    """A store, a clock, a database."""
    made = MemoryStage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(stage: MemoryStage) -> MemoryStore:
    """The store, for tests in which no time passes."""
    return stage.store


# ---- the audit -------------------------------------------------------------------------


def test_the_audit_tells_who_did_what(stage: MemoryStage) -> None:
    """Also after a restart; what only a server's renewals say is not in it."""
    store = stage.store
    lease = store.register(record(), "key-of-me")
    store.renew("risk", number_of(1), lease.fence, IDLE, "draining")
    with pytest.raises(NameTaken):
        store.register(record(server=2), "key-of-you")
    store.note_refused("prices", "key-of-you", "it may register risk-*")
    store.register(record(server=3, urls=record().urls), "key-of-me")
    store.register(record("other", 4), "key-of-me")
    store.pin(pin("old"), "key-of-admin")
    store.unpin("old", "ws://pinned:9090", "key-of-admin")
    other = store.view.named("other")[0]
    store.deregister("other", number_of(4), other.fence)
    stage.pass_time(1.2)
    stage.restart()
    assert [each[1:5] for each in stage.store.audit()] == [
        ("registered", "risk", number_of(1), "key-of-me"),
        ("refused", "risk", number_of(2), "key-of-you"),
        ("refused", "prices", "", "key-of-you"),
        ("replaced", "risk", number_of(1), "key-of-me"),
        ("registered", "risk", number_of(3), "key-of-me"),
        ("registered", "other", number_of(4), "key-of-me"),
        ("pinned", "old", pin("old").id, "key-of-admin"),
        ("unpinned", "old", pin("old").id, "key-of-admin"),
        ("deregistered", "other", number_of(4), "key-of-me"),
        ("expired", "risk", number_of(3), "key-of-me"),
    ]
    first = stage.store.audit()[0]
    assert (first.at, first.detail) == (1000.0, "ws://host-1:9090")


def test_an_audit_that_cannot_be_written_is_no_reason_to_stop(
    stage: MemoryStage, caplog: pytest.LogCaptureFixture
) -> None:
    """The name server says that it is not well, and writes everything when it can."""
    store = stage.store
    with sqlite3.connect(stage.path) as other:
        other.execute("ALTER TABLE audit RENAME TO away")
    store.register(record(), "me")
    for _ in range(3):
        store.sweep()
    store.note_refused("prices", "you", "no")
    store.sweep()
    assert "no such table: audit" in (store.healthy() or "")
    assert len([text for text in caplog.messages if "the audit waits" in text]) == 1
    with other:
        other.execute("ALTER TABLE away RENAME TO audit")
    other.close()
    store.sweep()
    assert store.healthy() is None
    assert [each.event for each in store.audit()] == ["registered", "refused"]


def test_what_is_noted_last_is_written(stage: MemoryStage) -> None:
    """Closing waits for it."""
    stage.store.register(record(), "me")
    stage.restart()
    assert [each.event for each in stage.store.audit()] == ["registered"]


# ---- revisions -------------------------------------------------------------------------


def test_revisions_are_reserved_before_they_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with the same file never gives the same fence, however long this one runs."""
    for place in (module, database):
        monkeypatch.setattr(place, "RESERVED", 10)
    path = tmp_path / "names.sqlite"
    stores = [MemoryStore(path, wall=lambda: 1.0, now=Clock()) for _ in range(2)]
    fences = []
    for each in stores:
        each.start()
    for number in range(40):
        for each in stores:
            fences.append(each.register(record(f"name-{number}"), "me").fence)
            each.sweep()
    for each in stores:
        each.close()
    assert len(set(fences)) == 80
    assert fences[::2] == sorted(fences[::2])


def test_fences_rise_also_if_the_file_is_lost(stage: MemoryStage) -> None:
    """By the clock."""
    before = stage.store.register(record(), "me").fence
    stage.store.close()
    stage.path.unlink()
    stage.clock.now += 1.0
    stage.restart()
    assert stage.store.register(record(), "me").fence > before
    assert stage.store.view.changes_since(before) is None


# ---- files of pinned entries -----------------------------------------------------------


def test_files_are_read_and_read_again(tmp_path: Path) -> None:
    """Each is a source of its own."""
    lines, tables = tmp_path / "servers.txt", tmp_path / "servers.toml"
    lines.write_text("risk, a, 1\n")
    tables.write_text('[[server]]\nname = "prices"\nurl = "ws://b:1"\n')
    stage = MemoryStage(tmp_path, files=[lines, tables])
    assert stage.store.view.names() == ["prices", "risk"]
    lines.write_text("curves, a, 1\n")
    stage.store.sweep()
    assert stage.store.view.names() == ["curves", "prices"]
    stage.close()


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    """Before anything else is made."""
    with pytest.raises(FileNotFoundError, match=r"servers\.txt"):
        MemoryStore(tmp_path / "names.sqlite", [tmp_path / "servers.txt"])
    assert list(tmp_path.iterdir()) == []


def test_pins_are_bounded(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that leaked cannot fill the disk. What is pinned may be pinned anew."""
    monkeypatch.setattr(module, "MOST_PINS", 2)
    for name in ("a", "b"):
        store.pin(pin(name), "me")
    with pytest.raises(LimitExceeded, match="2 entries are pinned"):
        store.pin(pin("c"), "me")
    store.pin(pin("a", version="2"), "me")
    store.unpin("b", "ws://pinned:9090", "me")
    store.pin(pin("c"), "me")
    assert store.view.names() == ["a", "c"]


# ---- clocks ----------------------------------------------------------------------------


def test_a_lease_is_over_for_others_before_the_next_sweep(stage: MemoryStage) -> None:
    """Who registers does not wait for it."""
    stage.store.register(record(), "me")
    stage.pass_time(1 - 1 / stage.ttl)
    stage.clock.now += 1.0
    stage.store.register(record(server=2), "you")
    (entry,) = stage.store.view.entries()
    assert entry.owner == "you"


def test_a_wall_clock_that_jumps_ends_nothing(tmp_path: Path) -> None:
    """Leases go by another clock."""
    wall = Clock()
    store = MemoryStore(now=Clock(), wall=wall)
    store.start()
    lease = store.register(record(), "me")
    for now in (1e10, 0.0):
        wall.now = now
        store.sweep()
        store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    (entry,) = store.view.entries()
    assert (entry.state, entry.renewed_at) == ("ready", 0.0)
    store.close()


def test_most_falling_silent_is_said_once(
    stage: MemoryStage, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning, not for each server."""
    for server in range(1, 5):
        stage.store.register(record(server=server), "me")
        stage.clock.now += 1.0
    stage.pass_time(3.0)
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage()[:33] for each in warnings] == ["! most of 4 servers are silent at"]


def test_a_process_that_stood_still_ends_nothing(
    stage: MemoryStage, caplog: pytest.LogCaptureFixture
) -> None:
    """It was stopped: what its servers have sent is still to be read."""
    stage.store.register(record(), "me")
    stage.store.sweep()
    stage.clock.now += 20.0
    stage.store.sweep()
    assert len(stage.store.view) == 1
    assert "stood still for 20 s" in caplog.text
    stage.pass_time(0.9)
    assert len(stage.store.view) == 1
    stage.pass_time(0.2)
    assert len(stage.store.view) == 0


def test_who_registers_first_after_a_standstill_takes_no_name(stage: MemoryStage) -> None:
    """Calls that have waited meanwhile are answered before the next look at all leases."""
    stage.store.register(record(), "me")
    stage.clock.now += 20.0
    with pytest.raises(NameTaken):
        stage.store.register(record(server=2), "you")
    assert len(stage.store.view) == 1


def test_suspect_servers_get_the_same_time(tmp_path: Path) -> None:
    """Their quarter of an hour may end while the process stands still."""
    stage = MemoryStage(tmp_path, suspect_for=30.0)
    for server in range(1, 4):
        stage.store.register(record(server=server), "me")
    stage.pass_time(2.0)
    stage.clock.now += 60.0
    stage.store.sweep()
    assert {each.state for each in stage.store.view.entries()} == {"suspect"}
    assert len(stage.store.view) == 3
    stage.pass_time(1.1)
    assert len(stage.store.view) == 0
    stage.close()


def test_the_time_that_the_machine_sleeps_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop's lid: servers elsewhere were there, and could not be heard."""
    slept = {"now": 1000.0}
    monkeypatch.setattr("time.clock_gettime", lambda clock: slept["now"])
    store = MemoryStore()
    store.start()
    store.register(record(), "me")
    slept["now"] += 3600.0
    store.sweep()
    assert len(store.view) == 1
    assert "stood still until 0 s ago" in str(store.look("nobody"))
    store.close()


# ---- interrupts ------------------------------------------------------------------------


def test_callers_may_be_interrupted_anywhere(store: MemoryStore) -> None:
    """At any moment, hundreds of times: what is registered is what is seen, and all goes on."""
    landed: SimpleQueue[None] = SimpleQueue()
    stop = threading.Event()
    rounds = 0

    def serve() -> None:
        nonlocal rounds
        while not stop.is_set():
            # What was interrupted may have been done or not: a server would ask again.
            with contextlib.suppress(LeaseLost):
                fence = store.register(record(), "me").fence
                for state in ("ready", "ready", "draining", "ready", "ready"):
                    store.renew("risk", number_of(1), fence, IDLE, state)  # type: ignore[arg-type]
                store.view.wait(store.view.revision, 0.0)
                store.view.changes_since(fence)
                store.deregister("risk", number_of(1), fence)
                rounds += 1

    def run() -> None:
        while not stop.is_set():
            try:
                serve()
            except KeyboardInterrupt:
                landed.put(None)

    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(500):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
        landed.get(timeout=20)  # the next comes when this one has done its harm
    stop.set()
    thread.join()
    assert rounds
    registered = {entry.key: (entry.fence, entry.state) for entry in store._registry.entries()}
    assert {e.key: (e.fence, e.state) for e in store.view.entries()} == registered
    lease = store.register(record(server=2), "me")
    store.renew("risk", number_of(2), lease.fence, IDLE, "ready")
    store.sweep()
    assert store.healthy() is None


def interrupted(work: Callable[[], object], place: int) -> bool:
    """Do something, and interrupt it in one of the places where Python looks for interrupts.

    That is where a function begins, and after each call. Whether the place was reached.
    """
    left = place

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event != "c_call":
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

    # Its callbacks, of other libraries, would be interrupted as well.
    gc.disable()
    sys.setprofile(count)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False


@pytest.mark.parametrize(
    "work",
    [
        lambda store, fence: store.register(record(), "me"),
        lambda store, fence: store.register(record(server=2, urls=record().urls), "me"),
        lambda store, fence: store.renew("risk", number_of(1), fence, IDLE, "ready"),
        lambda store, fence: store.renew("risk", number_of(1), fence, IDLE, "draining"),
        lambda store, fence: store.deregister("risk", number_of(1), fence),
        lambda store, fence: store.drain("risk", number_of(1), True, "me"),
        lambda store, fence: store.pin(pin("other"), "me"),
        lambda store, fence: store.unpin("risk", "ws://pinned:9090", "me"),
        lambda store, fence: store.note_refused("risk", "me", "no"),
        lambda store, fence: store.view.wait(store.view.revision, 0.0),
        lambda store, fence: store.view.snapshot(),
    ],
)
def test_each_place_of_an_interrupt(work: Callable[[MemoryStore, int], object]) -> None:
    """What was asked for is done as a whole or not at all, and nobody is in the way of others."""
    store = MemoryStore(now=Clock())
    store.start()
    place = 0
    is_through = False
    while not is_through:
        store.pin(pin(), "me")
        store.unpin("other", "ws://pinned:9090", "me")
        fence = store.register(record(), "me").fence
        store.drain("risk", number_of(1), False, "me")
        is_through = not interrupted(lambda: work(store, fence), place)  # noqa: B023
        place += 1
        registered = {e.key: (e.fence, e.state) for e in store._registry.entries()}
        assert {e.key: (e.fence, e.state) for e in store.view.entries()} == registered
        assert store.healthy() is None
    assert place > 3
    store.close()


# ---- many ------------------------------------------------------------------------------


def test_ten_thousand_names(stage: MemoryStage) -> None:
    """Registered, renewed, and gone: each once."""
    store = stage.store
    leases = [store.register(record(f"name-{n}", n), "me") for n in range(10_000)]
    assert len(store.view) == 10_000
    stage.pass_time(14 / stage.ttl)
    for n, lease in enumerate(leases):
        if n % 4:
            store.renew(f"name-{n}", number_of(n), lease.fence, IDLE, "ready")
    revision = store.view.revision
    stage.clock.now += 2.0
    store.sweep()
    assert len(store.view) == 7500
    changes = store.view.changes_since(revision)
    assert changes is not None
    assert {(each.kind, each.name) for each in changes} == {
        ("gone", f"name-{n}") for n in range(0, 10_000, 4)
    }


# ---- the keeper ------------------------------------------------------------------------


def test_a_tick_that_fails_is_not_the_last(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The name server says that it is not well, until one succeeds."""
    failing: dict[str, Any] = {"error": RuntimeError("no more")}
    keeper = store._keeper

    def tick() -> None:
        if failing:
            raise failing["error"]

    monkeypatch.setattr(keeper, "_tick", tick)
    keeper.do(keeper._do_tick)
    assert store.healthy() == "RuntimeError: no more"
    failing.clear()
    keeper.do(keeper._do_tick)
    assert store.healthy() is None
    assert "every second has failed" in caplog.text


def test_what_a_job_raises_reaches_its_caller(store: MemoryStore) -> None:
    """And nobody else; the next is done."""
    with pytest.raises(ZeroDivisionError):
        store._keeper.do(lambda: 1 // 0)
    assert store._keeper.do(lambda: 5) == 5


def test_leases_end_by_themselves() -> None:
    """The keeper looks every second; nobody has to ask."""
    store = MemoryStore(ttl=0.2)
    store.start()
    store.register(record(), "me")
    revision = store.view.revision
    assert store.view.wait(revision, 20.0)
    assert len(store.view) == 0
    store.close()
