"""Several name servers over one Redis, and what they do when something is wrong with it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import NAMESERVER, ROOT
from redis_server import RedisStage, redis_running
from stores import IDLE, eventually, number_of, pin, record

from nameserver.records import Load
from nameserver.redis_link import CONNECTIONS
from nameserver.redis_reading import as_json
from nameserver.redis_store import RedisStore
from wsremote.errors import LeaseLost, NameTaken

BUSY = Load(sessions=3, running=2, cpu=0.25, memory=1 << 30)
PASSWORD = "sesame-and-more"
EXPIRIES = "{wsremote}:expiries"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RedisStage]:
    """A Redis, and a name server's store in it, whose leases last as long as in life."""
    made = RedisStage(tmp_path, ttl=15.0, every=5.0)
    yield made
    made.close()


def states(store: RedisStore) -> dict[str, str]:
    """The state of each entry, by name."""
    return {entry.record.name: entry.state for entry in store.view.entries()}


# ---- two name servers ------------------------------------------------------------------


def test_what_one_registers_the_other_finds_at_once(store: RedisStore, other: RedisStore) -> None:
    """With the same revision and fence; a look suffices, whatever the subscription does."""
    for number in range(20):
        lease = store.register(record(f"name-{number}"), "me")
        other.look(f"name-{number}")
        (entry,) = other.view.named(f"name-{number}")
        assert entry.fence == lease.fence
    eventually(other, lambda: store.view.revision == other.view.revision)
    assert [e.key for e in store.view.entries()] == [e.key for e in other.view.entries()]


def test_a_name_held_at_one_cannot_be_taken_at_the_other(
    store: RedisStore, other: RedisStore
) -> None:
    """Even in the same moment: the script is the one that decides."""
    results: list[str] = []

    def take(by: RedisStore, owner: str, server: int) -> None:
        try:
            by.register(record(server=server), owner)
            results.append(owner)
        except NameTaken:
            results.append("taken")

    threads = [
        threading.Thread(target=take, args=(by, owner, server))
        for by, owner, server in ((store, "me", 1), (other, "you", 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results.count("taken") == 1


def test_a_lease_is_renewed_and_ended_at_another_name_server(
    store: RedisStore, other: RedisStore
) -> None:
    """The first may be gone; both see the load."""
    lease = store.register(record(), "me")
    other.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(other, lambda: other.view.named("risk")[0].load == BUSY)
    eventually(store, lambda: store.view.named("risk")[0].load == BUSY)
    other.deregister("risk", number_of(1), lease.fence)
    eventually(store, lambda: not store.view.named("risk"))


def test_more_callers_than_connections(stage: RedisStage, store: RedisStore) -> None:
    """They wait for one; and renewals that come together travel together."""
    count = 4 * CONNECTIONS
    fences: dict[int, int] = {}
    ready = threading.Barrier(count)
    failures: list[Exception] = []

    def serve(server: int) -> None:
        try:
            ready.wait()
            fences[server] = store.register(record(f"name-{server}", server), "me").fence
            ready.wait()
            before[:] = [scripts_run(stage)]
            ready.wait()
            fence = fences[server]
            store.renew(f"name-{server}", number_of(server), fence, BUSY, "ready")
        except Exception as error:
            failures.append(error)
            ready.abort()

    before = [0]
    threads = [threading.Thread(target=serve, args=(server,)) for server in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(fences.values())) == count
    assert scripts_run(stage) - before[0] < count / 2


def scripts_run(stage: RedisStage) -> int:
    """How many Redis has run."""
    (calls,) = re.findall(rb"cmdstat_evalsha:calls=(\d+)", stage.redis.ask("INFO", "commandstats"))
    return int(calls)


def test_another_sweeps_when_the_sweeper_is_gone(tmp_path: Path) -> None:
    """Leases end although the name server that ended them before is not there any more."""
    stage = RedisStage(tmp_path, ttl=1.0, every=0.3)
    try:
        other = stage.open()
        stage.store.register(record(), "me")
        eventually(other, lambda: states(other))
        eventually(other, lambda: not states(other))  # now one of them is the sweeper
        other.register(record(), "me")
        stage.store.close()
        eventually(other, lambda: not states(other))
        other.close()
    finally:
        stage.close()


def test_databases_of_one_redis_are_apart(stage: RedisStage, store: RedisStore) -> None:
    """Messages are not: a channel belongs to all of Redis."""
    apart = RedisStore(stage.redis.url.removesuffix("0") + "1")
    apart.start()
    try:
        store.register(record(), "me")
        apart.register(record("prices"), "you")
        assert (states(store), states(apart)) == ({"risk": "ready"}, {"prices": "ready"})
    finally:
        apart.close()


def test_the_latest_events_are_kept(store: RedisStore, other: RedisStore) -> None:
    """Of all name servers, with who did what."""
    lease = store.register(record(), "me")
    with pytest.raises(NameTaken):
        other.register(record(server=2), "you")
    other.note_refused("prices", "he", "this token may register risk")
    other.deregister("risk", number_of(1), lease.fence)
    found = [(event.event, event.name, event.owner) for event in store.audit()]
    assert found == [
        ("registered", "risk", "me"),
        ("refused", "risk", "you"),
        ("refused", "prices", "he"),
        ("deregistered", "risk", "me"),
    ]


def test_files_of_pinned_entries_are_read_again(stage: RedisStage, tmp_path: Path) -> None:
    """All name servers answer with what one of them has read."""
    file = tmp_path / "servers.txt"
    file.write_text("risk, somewhere, 9090\n")
    reading = RedisStore(stage.redis.url, [file])
    reading.start()
    try:
        eventually(stage.store, lambda: states(stage.store) == {"risk": "pinned"})
        file.write_text("prices, somewhere, 9091\ncurves, somewhere, 9092\n")
        expected = {"prices": "pinned", "curves": "pinned"}
        eventually(stage.store, lambda: states(stage.store) == expected)
    finally:
        reading.close()


# ---- clocks ----------------------------------------------------------------------------


def test_loads_spread_after_the_clock_of_redis_was_set_back(
    stage: RedisStage, store: RedisStore, other: RedisStore
) -> None:
    """An hour: leases of before end late, those that are renewed from now on earlier than these."""
    leases = {name: store.register(record(name), "me") for name in ("risk", "gone")}

    def renew(sessions: int) -> None:
        load = Load(sessions, 0, 0.0, 1)
        store.renew("risk", number_of(1), leases["risk"].fence, load, "ready")
        seen = lambda: (other.view.named("risk")[0].load or IDLE).sessions  # noqa: E731
        eventually(other, lambda: seen() == sessions)

    renew(1)
    ends = float(stage.redis.ask("ZSCORE", EXPIRIES, f"risk/{number_of(1)}").split()[1])
    for name in leases:
        stage.redis.ask("ZADD", EXPIRIES, str(ends + 3_600_000), f"{name}/{number_of(1)}")
    other._mirror._renewed = int(ends) + 3_600_000  # read before the clock was set back
    other._link.run(other._mirror.take_all())
    renew(2)
    assert other.view.named("risk")[0].renewed_at < time.time() + 1
    renew(3)


def test_loads_spread_after_the_clock_of_this_machine_was_set_back(
    store: RedisStore, other: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted before seems to be of the future."""
    lease = store.register(record(), "me")
    eventually(other, lambda: other.view.named("risk"))
    later = time.time() + 3600
    other.view.renewed("risk", number_of(1), IDLE, later, later + 15)
    store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(other, lambda: other.view.named("risk")[0].load == BUSY)


# ---- what was missed -------------------------------------------------------------------


def test_a_cut_subscription_is_taken_up_again(stage: RedisStage, store: RedisStore) -> None:
    """What was published meanwhile is not missing."""
    for number in range(5):
        stage.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        other = stage.open()
        other.register(record(f"name-{number}"), "me")
        other.close()
        eventually(store, lambda: f"name-{number}" in states(store))  # noqa: B023


def test_a_change_that_was_not_heard_of_is_found(stage: RedisStage, store: RedisStore) -> None:
    """Messages may be lost in silence: the revision in Redis tells."""
    silent = stage.open()
    silent._link.channel = "nobody-listens"
    silent.register(record(), "me")
    silent.close()
    eventually(store, lambda: states(store) == {"risk": "ready"})


def test_a_gap_in_the_revisions_is_seen_at_once(stage: RedisStage, store: RedisStore) -> None:
    """By the next change, which tells what was before it. Watchers have to take all again."""
    before = store.view.revision
    silent = stage.open()
    silent._link.channel = "nobody-listens"
    silent.register(record(), "me")
    silent.close()
    store.register(record("prices"), "me")
    eventually(store, lambda: len(states(store)) == 2)
    assert store.view.changes_since(before) is None


# ---- Redis is gone ---------------------------------------------------------------------


def test_lookups_go_on_while_redis_is_gone(
    stage: RedisStage, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Registrations and renewals fail and say why; the log has one line, and one for the end."""
    lease = store.register(record(), "me")
    stage.redis.kill()
    text = rf"redis://127\.0\.0\.1:{stage.redis.port}/0 cannot be reached: nothing listens"
    with pytest.raises(ConnectionError, match=text):
        store.register(record("prices"), "me")
    with pytest.raises(ConnectionError, match=text):
        store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    eventually(store, lambda: store.healthy() is not None)
    assert "\n" not in str(store.healthy())
    assert str(store.healthy()) in caplog.text
    store.look("prices")
    store.note_refused("prices", "me", "why")
    assert states(store) == {"risk": "ready"}
    stage.redis.start()
    eventually(store, lambda: store.healthy() is None)
    levels = [entry.levelno for entry in caplog.records if "data" not in entry.message]
    assert levels == [logging.ERROR, logging.WARNING]


def test_a_server_drained_long_ago_that_falls_silent_stays_drained(tmp_path: Path) -> None:
    """What is remembered for a day is remembered from the end of the lease on."""
    stage = RedisStage(tmp_path)
    key, name = f"risk/{number_of(1)}", EXPIRIES.replace("expiries", "drained")
    stage.store.register(record(), "me")
    stage.store.drain("risk", number_of(1), True, "me")
    stage.redis.ask("ZADD", name, "XX", "1", key)
    eventually(stage.store, lambda: not stage.store.view.named("risk"))
    stage.store.register(record(), "me")
    eventually(stage.store, lambda: states(stage.store) == {"risk": "draining"})
    stage.close()


def test_a_redis_that_comes_back_empty_is_given_what_was_known(
    stage: RedisStage, store: RedisStore, other: RedisStore
) -> None:
    """Nobody's answer is empty meanwhile; the old lease is as good as it was."""
    lease = store.register(record(), "me")
    store.register(record("drained"), "me")
    store.drain("drained", number_of(1), True, "me")
    eventually(other, lambda: states(other) == {"risk": "ready", "drained": "draining"})
    before = store.view.revision
    stage.redis.kill()
    stage.redis.start()
    for each in (store, other):
        eventually(each, lambda: states(each) == {"risk": "suspect", "drained": "draining"})  # noqa: B023
        assert each.view.revision > before
    with pytest.raises(NameTaken):
        other.register(record(server=7), "you")
    other.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    for each in (store, other):
        eventually(each, lambda: states(each)["risk"] == "ready")  # noqa: B023
    assert store.register(record("prices"), "me").fence > lease.fence


def test_a_redis_that_was_flushed_is_given_what_was_known(
    stage: RedisStage, store: RedisStore
) -> None:
    """No connection is lost then: the registry's beginning is another."""
    lease = store.register(record(), "me")
    stage.redis.ask("FLUSHALL")
    eventually(store, lambda: states(store) == {"risk": "suspect"})
    store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(store, lambda: states(store) == {"risk": "ready"})


def test_an_empty_redis_tells_servers_to_register_again(stage: RedisStage) -> None:
    """If no name server knows them either."""
    lease = stage.store.register(record(), "me")
    stage.store.close()
    stage.redis.ask("FLUSHALL")
    stage.store = stage.open()
    with pytest.raises(LeaseLost) as caught:
        stage.store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    assert caught.value.reason == "unknown"
    assert stage.store.register(record(), "me").fence > lease.fence


def test_a_name_server_starts_without_redis(stage: RedisStage) -> None:
    """And works when it comes; until then it says what is missing."""
    stage.store.close()
    stage.redis.kill()
    stage.store = stage.open()
    assert "cannot be reached" in str(stage.store.healthy())
    stage.redis.start()
    eventually(stage.store, lambda: stage.store.healthy() is None)
    stage.store.register(record(), "me")


# ---- passwords, rights, room -----------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://127.0.0.1:{}/0", "wants a password: --store redis://:PASSWORD@HOST:PORT/DB"),
        ("redis://:not-{}@127.0.0.1:{}/0", "refuses the password that --store gives"),
    ],
)
def test_the_password_is_missing_or_wrong(
    tmp_path: Path, url: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The name server does not start; no password is shown."""
    with redis_running(tmp_path, "--requirepass", PASSWORD) as redis:
        wrong = url.replace("not-{}", f"not-{PASSWORD}").format(redis.port)
        store = RedisStore(wrong)
        with pytest.raises(PermissionError, match=text) as caught:
            store.start()
        assert PASSWORD not in str(caught.value) + caplog.text + repr(caught.getrepr())
        store.close()


def test_the_command_ends_with_one_line_without_the_password(tmp_path: Path) -> None:
    """And with exit code 1: waiting would not help."""
    with redis_running(tmp_path, "--requirepass", "another") as redis:
        store = f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0"
        done = subprocess.run(
            [*NAMESERVER, "--port", "0"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "WSREMOTE_NAMESERVER_STORE": store},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "refuses the password that --store gives" in line
    assert PASSWORD not in done.stdout + done.stderr


def test_the_password_is_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A name server that runs goes on answering, and says what is wrong, without any password."""
    with redis_running(tmp_path, "--requirepass", PASSWORD) as redis:
        store = RedisStore(f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0")
        store.start()
        lease = store.register(record(), "me")
        redis.kill()
        redis.start("--requirepass", "another")
        eventually(store, lambda: "refuses the password" in str(store.healthy()))
        with pytest.raises(ConnectionError, match="refuses the password") as caught:
            store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
        assert states(store) == {"risk": "ready"}
        assert PASSWORD not in f"{caught.value} {store.healthy()} {caplog.text}"
        store.close()


def test_a_user_of_its_own_needs_no_more_than_the_page_says(
    stage: RedisStage, caplog: pytest.LogCaptureFixture
) -> None:
    """All that a name server does goes with the rights of docs/operations.md; less is said."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (rule,) = re.findall(r"`(ACL SETUSER names on .*?)`", page)
    stage.redis.ask(*rule.split())
    store = RedisStore(stage.redis.url.replace("//", "//names:PASSWORD@"))
    store.start()
    lease = store.register(record(), "me")
    store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    store.drain("risk", number_of(1), True, "me")
    store.look("prices")
    store.pin(pin("pinned"), "me")
    store.note_refused("prices", "me", "why")
    assert store.audit()
    stage.redis.ask("FLUSHALL")
    eventually(store, lambda: "lost its data" in caplog.text and len(states(store)) == 2)
    assert store.healthy() is None
    stage.redis.ask("ACL", "SETUSER", "names", "-evalsha", "-eval")
    with pytest.raises(ConnectionError, match="does not permit it to this user"):
        store.register(record(), "me")
    store.close()


@pytest.mark.parametrize(
    ("broken", "mended", "text"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read-only: it is a replica"),
        (
            ("CONFIG", "SET", "maxmemory", "1"),
            ("CONFIG", "SET", "maxmemory", "0"),
            "out of memory: raise its maxmemory",
        ),
    ],
)
def test_redis_does_not_write(
    stage: RedisStage,
    store: RedisStore,
    broken: tuple[str, ...],
    mended: tuple[str, ...],
    text: str,
) -> None:
    """What is known stays, callers and the health tell why; nothing is half done."""
    lease = store.register(record(), "me")
    stage.redis.ask(*broken)
    with pytest.raises(ConnectionError, match=text):
        store.register(record("prices"), "me")
    with pytest.raises(ConnectionError, match=text):
        store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    eventually(store, lambda: text in str(store.healthy()))
    assert states(store) == {"risk": "ready"}
    stage.redis.ask(*mended)
    eventually(store, lambda: store.healthy() is None)
    store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    store.register(record("prices"), "me")
    assert states(store) == {"risk": "ready", "prices": "ready"}


def test_no_text_of_redis_shows_the_password() -> None:
    """Whatever it says; nor moves anything but text on a terminal."""
    link = RedisStore(f"redis://:{PASSWORD}@localhost:1/0")._link
    text = link._explained(OSError(f"AUTH {PASSWORD}\nfailed \x1b[2J"))
    assert text == "redis://localhost:1/0 cannot be reached: AUTH *** failed ?[2J"
    link.close()


@pytest.mark.parametrize("url", [f"redis://:{PASSWORD}@host:many/0", f"http://{PASSWORD}@host"])
def test_an_url_that_is_not_one_of_redis(url: str) -> None:
    """Is not shown: there may be a password in it."""
    with pytest.raises(ValueError, match="--store") as caught:
        RedisStore(url)
    assert PASSWORD not in repr(caught.getrepr())


def test_redis_py_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to install it."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r"pip install 'wsremote\[redis\]'"):
        RedisStore("redis://localhost")


# ---- what is in Redis is not believed --------------------------------------------------


def entry_text(fence: object = 5, state: str = "ready", owner: str = "me") -> str:
    """What the hash `entries` has of a server."""
    return f"{fence} 5 {state} {owner} 1000 ready"


def forged(**fields: Any) -> str:
    """The record of the server `forged`, with some fields changed."""
    return as_json({**record("forged").to_wire(), **fields})


KEY = f"forged/{number_of(1)}"
FORGERIES = {
    "no key": ("forged", entry_text(), forged()),
    "a key that prints": ("for\x1b[2Jged/" + number_of(1), entry_text(), forged()),
    "no entry": (KEY, "", forged()),
    "a fence of words": (KEY, entry_text(fence="one"), forged()),
    "a state that there is not": (KEY, entry_text(state="better"), forged()),
    "an owner of two lines": (KEY, entry_text(owner="me\nyou"), forged()),
    "no record": (KEY, entry_text(), ""),
    "no JSON": (KEY, entry_text(), "{"),
    "another's record": (KEY, entry_text(), as_json(record("risk").to_wire())),
    "a URL to elsewhere": (KEY, entry_text(), forged(urls=["file:///etc/passwd"])),
    "a text that prints": (KEY, entry_text(), forged(version="1\x1b[2J")),
    "too deep": (KEY, entry_text(), "[" * 100_000),
    "too large": (KEY, entry_text(), forged(version="1" * 300_000)),
    "a pin that is none": (KEY, entry_text(state="pinned"), forged()),
    "not a number": (KEY, entry_text(), forged().replace(":10}", ":NaN}")),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_what_is_wrong_in_redis_is_left_out(
    stage: RedisStage, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are there; the log has a line, which prints nothing of it raw."""
    stage.store.register(record(), "me")
    key, entry, text = FORGERIES[what]
    for name, value in (("entries", entry), ("records", text), ("loads", '{"sessions":-1}')):
        stage.redis.ask("HSET", f"{{wsremote}}:{name}", key, value)
    stage.redis.ask("ZADD", "{wsremote}:expiries", "99999999999999", key)
    stage.restart()
    eventually(stage.store, lambda: states(stage.store) == {"risk": "ready"})
    assert stage.store.healthy() is None
    assert "has something that is left out" in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        "",
        "\n" * 6,
        "x" * 1_000_000,
        f"99\n0\nregistered\n{KEY}\n{entry_text()}\n1\n{forged()}",
        f"9999999999999999\n0\nregistered\n{KEY}\n{entry_text()}\n1\n{forged()}",
        f"9999999999999999\n0\ngone\nrisk/{number_of(1)}\n\n\n",
        f"1\n0\nexploded\n{KEY}\n\n\n",
    ],
)
def test_what_is_published_by_others_is_not_believed(
    stage: RedisStage, store: RedisStore, message: str
) -> None:
    """A message that does not follow on what is known makes the name server read Redis itself."""
    store.register(record(), "me")
    stage.redis.ask("PUBLISH", "{wsremote}:changes:0", message)
    store.register(record("prices"), "me")
    expected = {"risk": "ready", "prices": "ready"}
    eventually(store, lambda: states(store) == expected)
    assert store.healthy() is None


@pytest.mark.parametrize("revision", ["", "seven", "-1", "inf", "1e300", "9" * 40])
def test_a_revision_that_is_none(stage: RedisStage, store: RedisStore, revision: str) -> None:
    """The next change gives it a right one; until then lookups go on."""
    store.register(record(), "me")
    stage.redis.ask("HSET", "{wsremote}:meta", "revision", revision)
    store.look("prices")
    assert states(store) == {"risk": "ready"}
    fence = store.register(record("prices"), "me").fence
    eventually(store, lambda: states(store) == {"risk": "ready", "prices": "ready"})
    assert 10**15 < fence < 10**16
    eventually(store, lambda: store.healthy() is None)


def test_other_things_under_its_keys(stage: RedisStage, store: RedisStore) -> None:
    """Are said to be that, and not overwritten."""
    stage.redis.ask("SET", "{wsremote}:entries", "mine")
    with pytest.raises(ConnectionError, match="something else under the keys"):
        store.register(record(), "me")
    assert stage.redis.ask("GET", "{wsremote}:entries") == b"$4\r\nmine\r\n"


def test_a_load_that_is_wrong_is_no_load(stage: RedisStage, store: RedisStore) -> None:
    """The entry stays."""
    store.register(record(), "me")
    wrong = json.dumps({"sessions": 1, "running": 1, "cpu": 10**400, "memory": 1})
    stage.redis.ask("HSET", "{wsremote}:loads", f"risk/{number_of(1)}", wrong)
    other = stage.open()
    assert [entry.load for entry in other.view.named("risk")] == [None]
    assert other.healthy() is None
    other.close()
