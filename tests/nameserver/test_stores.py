"""What every store of the name server does. A store may show with a delay what it has done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisStage
from stores import IDLE, MemoryStage, Stage, eventually, number_of, pin, record

from nameserver.records import Entry, Load
from nameserver.store import Store
from wsremote.errors import LeaseLost, NameNotFound, NameTaken

BUSY = Load(sessions=3, running=2, cpu=0.25, memory=1 << 30)

STAGES: dict[str, Callable[[Path], Stage]] = {"memory": MemoryStage, "redis": RedisStage}


@pytest.fixture(params=list(STAGES))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Each store in turn."""
    made = STAGES[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(stage: Stage) -> Store:
    """The store, for tests in which no time passes."""
    return stage.store


def ids(store: Store, name: str = "risk") -> list[int]:
    """The servers under a name by the numbers that the test knows them by, the oldest first."""
    found = sorted(store.view.named(name), key=lambda entry: entry.fence)
    return [int(entry.record.id.removeprefix("f" * 8), 16) for entry in found]


def the(store: Store, name: str = "risk") -> Entry:
    """The only entry of a name."""
    (found,) = store.view.named(name)
    return found


# ---- registering -----------------------------------------------------------------------


def test_what_is_registered_is_seen(store: Store) -> None:
    """All of the record, who registered it, and a lease that lasts three renewals."""
    lease = store.register(record(tags=("gpu",), packages={"a": "1", "b": ""}), "me")
    assert lease.ttl == pytest.approx(3 * lease.every)
    eventually(store, lambda: store.view.named("risk"))
    entry = the(store)
    assert entry.record == record(tags=("gpu",), packages={"a": "1", "b": ""})
    assert (entry.state, entry.fence, entry.owner) == ("ready", lease.fence, "me")
    assert entry.load is None
    assert entry.expires_at == pytest.approx(entry.renewed_at + lease.ttl, abs=0.01)


def test_servers_of_one_owner_share_a_name(store: Store) -> None:
    """That is what balancing is for; each has a lease, the later one the higher fence."""
    fences = [store.register(record(server=server), "me").fence for server in (1, 2, 3)]
    assert fences == sorted(set(fences))
    eventually(store, lambda: ids(store) == [1, 2, 3])


def test_a_held_name_cannot_be_taken(store: Store) -> None:
    """And the attempt changes nothing."""
    store.register(record(), "me")
    eventually(store, lambda: ids(store) == [1])
    before = store.view.revision
    with pytest.raises(NameTaken, match=r"'risk' is taken"):
        store.register(record(server=2), "you")
    with pytest.raises(NameTaken):
        store.register(record(), "you")  # the same server, as it were
    assert (ids(store), the(store).owner) == ([1], "me")
    assert store.view.revision == before


def test_a_name_is_free_when_its_last_lease_has_been_given_back(store: Store) -> None:
    """Not before."""
    leases = [store.register(record(server=server), "me") for server in (1, 2)]
    store.deregister("risk", number_of(1), leases[0].fence)
    with pytest.raises(NameTaken):
        store.register(record(server=3), "you")
    store.deregister("risk", number_of(2), leases[1].fence)
    store.register(record(server=3), "you")
    eventually(store, lambda: ids(store) == [3])


def test_a_name_is_free_when_its_lease_has_ended(stage: Stage) -> None:
    """Its owner is too late then."""
    lease = stage.store.register(record(), "me")
    stage.pass_time(1.3)
    stage.store.register(record(server=2), "you")
    with pytest.raises(NameTaken):
        stage.store.register(record(), "me")
    with pytest.raises(LeaseLost) as caught:
        stage.store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    assert caught.value.reason == "expired"


def test_a_server_that_was_started_again_has_its_place_at_once(store: Store) -> None:
    """Its address tells; who renews the old lease hears that it was replaced, for ever."""
    old = store.register(record(server=1, urls=("ws://a:1", "ws://b:1")), "me")
    new = store.register(record(server=2, urls=("ws://b:1",)), "me")
    eventually(store, lambda: ids(store) == [2])
    for _ in range(2):
        with pytest.raises(LeaseLost, match="another") as caught:
            store.renew("risk", number_of(1), old.fence, IDLE, "ready")
        assert caught.value.reason == "replaced"
    store.deregister("risk", number_of(1), old.fence)
    store.renew("risk", number_of(2), new.fence, IDLE, "ready")
    assert ids(store) == [2]


def test_registering_again_ends_the_earlier_lease(store: Store) -> None:
    """The answer was lost on the way, and the server has asked again."""
    first = store.register(record(), "me")
    second = store.register(record(version="2"), "me")
    assert second.fence > first.fence
    eventually(store, lambda: the(store).fence == second.fence)
    assert the(store).record.version == "2"
    with pytest.raises(LeaseLost) as caught:
        store.renew("risk", number_of(1), first.fence, IDLE, "ready")
    assert caught.value.reason == "replaced"
    store.deregister("risk", number_of(1), first.fence)
    store.renew("risk", number_of(1), second.fence, IDLE, "ready")


def test_the_same_id_under_two_names_is_two_entries(store: Store) -> None:
    """A process may serve under several names, and nobody can disturb a name by another."""
    one = store.register(record("risk"), "me")
    two = store.register(record("prices"), "you")
    store.deregister("risk", number_of(1), one.fence)
    eventually(store, lambda: ids(store) == [] and ids(store, "prices") == [1])
    store.renew("prices", number_of(1), two.fence, IDLE, "ready")


# ---- renewing --------------------------------------------------------------------------


def test_renewals_keep_a_lease_and_tell_the_load(stage: Stage) -> None:
    """For three times its length; none of them is a published change."""
    store = stage.store
    lease = store.register(record(), "me")
    eventually(store, lambda: store.view.named("risk"))
    before = store.view.revision
    for _ in range(6):
        stage.pass_time(0.5)
        store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(store, lambda: the(store).load == BUSY)
    entry = the(store)
    assert entry.renewed_at - entry.registered_at > 2 * stage.ttl
    assert (store.view.revision, entry.state) == (before, "ready")


def test_a_lease_that_is_not_renewed_ends(stage: Stage) -> None:
    """Not before its time, and then soon; the others go on."""
    store = stage.store
    store.register(record(server=1), "me")
    kept = store.register(record(server=2), "me")
    stage.pass_time(0.6)
    store.renew("risk", number_of(2), kept.fence, IDLE, "ready")
    assert ids(store) == [1, 2]
    stage.pass_time(0.6)
    eventually(store, lambda: ids(store) == [2])


def test_a_server_that_nobody_knows_has_no_lease(store: Store) -> None:
    """The name server was started anew; the reason tells the server to register again."""
    with pytest.raises(LeaseLost) as caught:
        store.renew("risk", number_of(1), 5, IDLE, "ready")
    assert caught.value.reason == "unknown"


def test_a_server_says_that_it_is_draining(stage: Stage) -> None:
    """Which is a published change, and taken back by the next renewal that says `ready`."""
    store = stage.store
    lease = store.register(record(), "me")
    eventually(store, lambda: store.view.named("risk"))
    for state in ("draining", "ready"):
        before = store.view.revision
        store.renew("risk", number_of(1), lease.fence, BUSY, state)  # type: ignore[arg-type]
        eventually(store, lambda: the(store).state == state)  # noqa: B023
        changes = store.view.changes_since(before)
        assert changes is not None
        assert [(each.kind, each.entry and each.entry.state) for each in changes] == [
            ("changed", state)
        ]
        assert the(store).load == BUSY


# ---- draining from outside -------------------------------------------------------------


def test_a_drained_server_stays_drained_while_it_renews(store: Store) -> None:
    """It does not know of it, and says `ready`."""
    lease = store.register(record(), "me")
    store.drain("risk", number_of(1), True, "me")
    store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(store, lambda: the(store).state == "draining")
    store.drain("risk", number_of(1), False, "me")
    eventually(store, lambda: the(store).state == "ready")


def test_a_drained_server_that_drains_itself_is_ready_only_when_both_say_so(store: Store) -> None:
    """Neither overrules the other."""
    lease = store.register(record(), "me")
    store.drain("risk", number_of(1), True, "me")
    store.renew("risk", number_of(1), lease.fence, BUSY, "draining")
    store.drain("risk", number_of(1), False, "me")
    eventually(store, lambda: the(store).state == "draining")
    store.renew("risk", number_of(1), lease.fence, BUSY, "ready")
    eventually(store, lambda: the(store).state == "ready")


def test_a_server_that_registers_again_stays_drained(store: Store) -> None:
    """Until it is another process, which has another id."""
    store.register(record(), "me")
    store.drain("risk", number_of(1), True, "me")
    store.register(record(), "me")
    eventually(store, lambda: the(store).state == "draining")
    store.register(record(server=2, urls=record().urls), "me")
    eventually(store, lambda: ids(store) == [2] and the(store).state == "ready")


def test_a_drained_server_stays_drained_when_its_lease_has_ended(stage: Stage) -> None:
    """It was cut off, or the name server was: that ends no drain. Another id is another server."""
    for server in (1, 2):
        stage.store.register(record(server=server), "me")
        stage.store.drain("risk", number_of(server), True, "me")
    stage.store.drain("risk", number_of(2), False, "me")
    stage.pass_time(1.5)
    stage.restart()
    assert not stage.store.view.named("risk")
    for server in (1, 2, 3):
        stage.store.register(record(server=server), "me")
    states = {each.record.id: each.state for each in stage.store.view.named("risk")}
    expected = ["draining", "ready", "ready"]
    assert states == {number_of(n): state for n, state in enumerate(expected, 1)}
    lease = stage.store.register(record(server=1), "me")
    stage.store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    stage.store.drain("risk", number_of(1), False, "me")
    assert stage.store.view.get("risk", number_of(1)).state == "ready"  # type: ignore[union-attr]


def test_what_is_not_registered_cannot_be_drained(store: Store) -> None:
    """Silence would be taken for success."""
    with pytest.raises(NameNotFound, match="risk"):
        store.drain("risk", number_of(1), True, "me")


# ---- whose name it is ------------------------------------------------------------------


def test_what_stands_under_a_held_name_is_its_holders(stage: Stage) -> None:
    """Another token pins, unpins and drains nothing there; its attempts are in the audit."""
    store: Any = stage.store
    store.pin(pin(), "admin")
    store.register(record(), "me")
    eventually(store, lambda: len(store.view.named("risk")) == 2)
    before = store.view.revision
    for attempt in (
        lambda: store.drain("risk", number_of(1), True, "you"),
        lambda: store.drain("risk", number_of(9), True, "you"),
        lambda: store.pin(pin(url="ws://evil:1"), "you"),
        lambda: store.unpin("risk", "ws://pinned:9090", "admin"),
    ):
        with pytest.raises(NameTaken, match=r"'risk' is taken.* pin, unpin and drain"):
            attempt()
    assert store.view.revision == before
    assert sorted(each.state for each in store.view.named("risk")) == ["pinned", "ready"]
    refused = [each[1:] for each in store.audit() if each.event == "refused"]
    evil = pin(url="ws://evil:1").id
    assert refused == [
        ("refused", "risk", number_of(1), "you", "drain: the name is taken"),
        ("refused", "risk", number_of(9), "you", "drain: the name is taken"),
        ("refused", "risk", evil, "you", "pin: the name is taken"),
        ("refused", "risk", "", "admin", "unpin: the name is taken"),
    ]
    # Whoever holds the name may end what others have pinned there before.
    assert store.unpin("risk", "ws://pinned:9090", "me")
    store.pin(pin(url="ws://mine:1"), "me")
    store.drain("risk", number_of(1), True, "me")


def test_suspect_servers_hold_their_name(stage: Stage) -> None:
    """They may be there, and come back."""
    store = stage.store
    for server in (1, 2, 3):
        store.register(record(server=server), "me")
    stage.pass_time(1.3)
    eventually(store, lambda: {each.state for each in store.view.named("risk")} == {"suspect"})
    with pytest.raises(NameTaken):
        store.pin(pin(), "you")
    with pytest.raises(NameTaken):
        store.drain("risk", number_of(1), True, "you")


def test_a_lease_that_is_over_holds_nothing(stage: Stage) -> None:
    """Whether it was swept already or not."""
    store = stage.store
    store.register(record(), "me")
    stage.pass_time(1.01)
    store.pin(pin(), "you")
    assert store.unpin("risk", "ws://pinned:9090", "another")
    with pytest.raises(NameNotFound):
        store.drain("risk", number_of(1), True, "you")


def test_files_pin_under_held_names(store: Store) -> None:
    """They are the name server's own."""
    store.register(record(), "me")
    store.set_pinned("servers.txt", [pin()])
    eventually(store, lambda: len(store.view.named("risk")) == 2)
    store.set_pinned("servers.txt", [])
    eventually(store, lambda: len(store.view.named("risk")) == 1)


def test_drains_are_in_the_audit(stage: Stage) -> None:
    """With the token's key id; what changes nothing is not."""
    store: Any = stage.store
    lease = store.register(record(), "me")
    for draining in (True, True, False, False):
        store.drain("risk", number_of(1), draining, "me")
    store.renew("risk", number_of(1), lease.fence, IDLE, "draining")
    assert [each[1:] for each in store.audit()][1:] == [
        ("drained", "risk", number_of(1), "me", ""),
        ("undrained", "risk", number_of(1), "me", ""),
    ]


# ---- many at once ----------------------------------------------------------------------


def test_when_most_fall_silent_at_once_they_stay_as_suspect(stage: Stage) -> None:
    """It may be the name server's own network; a renewal makes them ready."""
    store = stage.store
    leases = [store.register(record(server=server), "me") for server in range(1, 5)]
    stage.pass_time(0.6)
    store.renew("risk", number_of(4), leases[3].fence, IDLE, "ready")
    stage.pass_time(0.7)

    def states() -> list[str]:
        return [entry.state for entry in sorted(store.view.named("risk"), key=lambda e: e.fence)]

    eventually(store, lambda: states() == ["suspect", "suspect", "suspect", "ready"])
    with pytest.raises(NameTaken):
        store.register(record(server=9), "you")  # they hold their name still
    store.renew("risk", number_of(4), leases[3].fence, IDLE, "ready")
    store.renew("risk", number_of(2), leases[1].fence, BUSY, "ready")
    eventually(store, lambda: states() == ["suspect", "ready", "suspect", "ready"])


def test_threads_may_register_and_renew_at_once(store: Store) -> None:
    """Every lease has a fence of its own, and none is lost."""
    fences: list[int] = []

    def serve(number: int) -> None:
        for step in range(10):
            lease = store.register(record(f"name-{number}", step), "me")
            store.renew(f"name-{number}", number_of(step), lease.fence, BUSY, "ready")
            fences.append(lease.fence)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(fences)) == 40
    eventually(store, lambda: len(store.view.entries("name-")) == 40)


# ---- the view --------------------------------------------------------------------------


def test_a_view_tells_what_has_changed(store: Store) -> None:
    """In the order of rising revisions; a watcher needs nothing else."""
    before = store.view.revision
    first = store.register(record(), "me")
    store.register(record("prices", 2), "me")
    store.deregister("risk", number_of(1), first.fence)
    store.look("risk")
    eventually(store, lambda: not store.view.named("risk") and store.view.named("prices"))
    changes = store.view.changes_since(before)
    assert changes is not None
    assert [(each.kind, each.name) for each in changes] == [
        ("registered", "risk"),
        ("registered", "prices"),
        ("gone", "risk"),
    ]
    revisions = [each.revision for each in changes]
    assert revisions == sorted(set(revisions))
    assert changes[0].entry is not None
    assert changes[0].entry.fence == first.fence
    assert changes[2].entry is None


# ---- pinned entries --------------------------------------------------------------------


def test_what_is_pinned_stays_without_renewals(stage: Stage) -> None:
    """Beside servers that register under the same name; it holds the name against nobody."""
    store = stage.store
    store.pin(pin(), "admin")
    eventually(store, lambda: store.view.named("risk"))
    entry = the(store)
    assert (entry.state, entry.expires_at, entry.load) == ("pinned", None, None)
    store.register(record(), "me")
    stage.pass_time(1.3)
    eventually(store, lambda: [each.state for each in store.view.named("risk")] == ["pinned"])


def test_pinning_again_replaces(store: Store) -> None:
    """The same name and URL are the same entry."""
    store.pin(pin(version="1"), "admin")
    store.pin(pin(version="2"), "admin")
    eventually(store, lambda: [e.record.version for e in store.view.named("risk")] == ["2"])


def test_what_is_unpinned_is_gone(store: Store) -> None:
    """By one of its URLs; the answer tells whether there was such an entry."""
    store.pin(pin(), "admin")
    store.pin(pin(url="ws://other:1"), "admin")
    assert not store.unpin("risk", "ws://third:1", "admin")
    assert not store.unpin("prices", "ws://other:1", "admin")
    assert store.unpin("risk", "ws://other:1", "admin")
    eventually(store, lambda: [e.record for e in store.view.named("risk")] == [pin()])
    assert store.unpin("risk", "ws://pinned:9090", "admin")
    eventually(store, lambda: not store.view.named("risk"))


def test_a_source_says_all_that_it_pins(store: Store) -> None:
    """What it does not say any more is gone; other sources are not concerned."""
    store.pin(pin("kept"), "admin")
    store.set_pinned("servers.txt", [pin("risk"), pin("prices")])
    eventually(store, lambda: store.view.names() == ["kept", "prices", "risk"])
    before = store.view.revision
    store.set_pinned("servers.txt", [pin("risk"), pin("curves")])
    eventually(store, lambda: store.view.names() == ["curves", "kept", "risk"])
    changes = store.view.changes_since(before)
    assert changes is not None
    assert {(each.kind, each.name) for each in changes} == {
        ("gone", "prices"),
        ("registered", "curves"),
    }


def test_an_entry_of_two_sources_goes_with_the_last(store: Store) -> None:
    """A file and a call may pin the same server."""
    store.pin(pin(), "admin")
    store.set_pinned("servers.txt", [pin()])
    store.unpin("risk", "ws://pinned:9090", "admin")
    store.set_pinned("other.txt", [])
    eventually(store, lambda: len(store.view.named("risk")) == 1)
    store.set_pinned("servers.txt", [])
    eventually(store, lambda: not store.view.named("risk"))


# ---- life ------------------------------------------------------------------------------


def test_a_restart_keeps_pins_and_gives_higher_fences(stage: Stage) -> None:
    """Fences and revisions rise over restarts: what is stale stays stale."""
    stage.store.pin(pin(), "admin")
    lease = stage.store.register(record(server=2), "me")
    revision = stage.store.view.revision
    stage.restart()
    store = stage.store
    eventually(store, lambda: "pinned" in [each.state for each in store.view.named("risk")])
    again = store.register(record(server=2), "me")
    assert again.fence > lease.fence
    assert store.view.revision >= revision
    with pytest.raises(LeaseLost):
        store.renew("risk", number_of(2), lease.fence, IDLE, "ready")
    store.renew("risk", number_of(2), again.fence, IDLE, "ready")


def test_a_running_store_is_healthy(stage: Stage) -> None:
    """A closed one is not, says so to callers, and may be closed again."""
    assert stage.store.healthy() is None
    stage.store.close()
    assert stage.store.healthy()
    with pytest.raises(ConnectionError):
        stage.store.register(record(), "me")
    stage.store.close()
