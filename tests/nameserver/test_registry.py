"""Leases, fences, suspects: the pure registry. What stores do with it is in test_stores.py."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stores import IDLE, number_of, pin, record

from nameserver import registry as module
from nameserver.records import Change, Entry, Lease, Record, State
from nameserver.registry import Registry
from nameserver.view import View
from wsremote.errors import LeaseLost, LimitExceeded, NameNotFound, NameTaken

TTL = 15.0


def register(registry: Registry, *servers: int, now: float = 0.0, name: str = "risk") -> list[int]:
    """Register servers; their fences."""
    fences = []
    for server in servers:
        lease, _ = registry.register(record(name, server), "me", now, now)
        fences.append(lease.fence)
    return fences


def renew(registry: Registry, server: int, fence: int, now: float) -> list[Change]:
    """Renew a lease of the name that `register` uses."""
    return registry.renew("risk", number_of(server), fence, IDLE, "ready", now, now)


def kinds(changes: list[Change]) -> list[tuple[str, int]]:
    """What has happened to which server."""
    return [(each.kind, int(each.id.removeprefix("f" * 8), 16)) for each in changes]


def states(registry: Registry) -> dict[int, str]:
    """The state of each server."""
    return {int(e.record.id.removeprefix("f" * 8), 16): e.state for e in registry.entries()}


# ---- leases ----------------------------------------------------------------------------


def test_a_lease_ends_at_its_time_and_not_before() -> None:
    """To the moment: three renewals are a promise to servers."""
    registry = Registry()
    register(registry, 1)
    assert registry.expire(TTL - 0.001) == []
    assert kinds(registry.expire(TTL)) == [("gone", 1)]
    assert registry.entries() == []


def test_a_renewal_counts_from_when_it_comes() -> None:
    """And what was renewed earlier ends earlier, in whatever order it was registered."""
    registry = Registry()
    one, two = register(registry, 1, 2)
    renew(registry, 2, two, 4.0)
    renew(registry, 1, one, 6.0)
    assert kinds(registry.expire(4.0 + TTL)) == [("gone", 2)]
    assert kinds(registry.expire(6.0 + TTL)) == [("gone", 1)]


def test_a_renewal_before_the_sweep_keeps_a_lease() -> None:
    """Nobody has taken notice of its end yet."""
    registry = Registry()
    (fence,) = register(registry, 1)
    assert renew(registry, 1, fence, TTL + 3) == []
    assert registry.expire(TTL + 4) == []


def test_a_fence_from_the_future_is_of_another_registry() -> None:
    """Its server is to register again, and not to think that it was replaced."""
    registry = Registry()
    (fence,) = register(registry, 1)
    with pytest.raises(LeaseLost) as caught:
        renew(registry, 1, fence + 1, 1.0)
    assert caught.value.reason == "unknown"


def test_the_one_that_is_replaced_is_gone_before_its_successor_comes() -> None:
    """A watcher never sees two servers at one address."""
    registry = Registry()
    register(registry, 1)
    _, changes = registry.register(record(server=2, urls=record().urls), "me", 1.0, 1.0)
    assert kinds(changes) == [("gone", 1), ("registered", 2)]


def test_one_server_may_replace_several() -> None:
    """It has the addresses of all of them; its own earlier lease is among them."""
    registry = Registry()
    register(registry, 1, 2, 3)
    urls = tuple(record(server=server).urls[0] for server in (1, 2, 3))
    _, changes = registry.register(record(server=2, urls=urls), "me", 1.0, 1.0)
    assert kinds(changes) == [("gone", 1), ("gone", 3), ("changed", 2)]
    assert states(registry) == {2: "ready"}
    assert kinds(registry.expire(TTL + 1)) == [("gone", 2)]
    assert registry.holder("risk") is None


def test_an_address_that_a_server_gave_up_is_free() -> None:
    """Who takes it later replaces nobody."""
    registry = Registry()
    register(registry, 1, 9)
    registry.register(record(server=1, urls=("ws://elsewhere:1",)), "me", 1.0, 1.0)
    _, changes = registry.register(record(server=2, urls=record().urls), "me", 1.0, 1.0)
    assert kinds(changes) == [("registered", 2)]
    assert set(states(registry)) == {1, 2, 9}


def test_what_became_of_an_earlier_lease_is_forgotten_with_the_next() -> None:
    """A server that was replaced came back and left in order: it is unknown, and no victim."""
    registry = Registry()
    register(registry, 1)
    registry.register(record(server=2, urls=record().urls), "me", 1.0, 1.0)
    (fence,) = register(registry, 1)
    registry.deregister("risk", number_of(1), fence)
    with pytest.raises(LeaseLost) as caught:
        renew(registry, 1, fence, 2.0)
    assert caught.value.reason == "unknown"


def test_leases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that leaked cannot fill the memory; what is registered goes on."""
    monkeypatch.setattr(module, "MOST_LEASES", 2)
    registry = Registry()
    one, _ = register(registry, 1, 2)
    with pytest.raises(LimitExceeded, match="2 servers"):
        registry.register(record(server=3), "me", 0.0, 0.0)
    renew(registry, 1, one, 1.0)
    assert states(registry) == {1: "ready", 2: "ready"}
    register(registry, 1)
    registry.register(record(server=4, urls=record(server=2).urls), "me", 1.0, 1.0)
    assert states(registry) == {1: "ready", 4: "ready"}  # that makes no more of them


def test_reasons_of_ended_leases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first, and then unknown."""
    monkeypatch.setattr(module, "_MOST_ENDED", 2)
    registry = Registry()
    for server in (1, 2, 3):
        register(registry, server, now=server * 100.0)
        registry.expire(server * 100.0 + TTL)
    reasons = []
    for server in (1, 2, 3):
        with pytest.raises(LeaseLost) as caught:
            renew(registry, server, 1, 400.0)
        reasons.append(caught.value.reason)
    assert reasons == ["unknown", "expired", "expired"]


def test_a_change_of_state_is_a_renewal_like_any() -> None:
    """It stands in no other's way: who was renewed earlier ends earlier."""
    registry = Registry()
    fence, _ = register(registry, 1, 2)
    registry.renew("risk", number_of(1), fence, IDLE, "draining", 10.0, 10.0)
    assert kinds(registry.expire(TTL)) == [("gone", 2)]


# ---- suspects --------------------------------------------------------------------------


def cut_off(registry: Registry, servers: int, *, alive: int, until: float) -> list[Change]:
    """All servers renew in turn until second 20; then only those numbered 1 to `alive`."""
    fences = register(registry, *range(1, servers + 1))
    changes: list[Change] = []
    for now in range(1, int(until) + 1):
        for server, fence in enumerate(fences, 1):
            if (now + server) % 5 == 0 and (server <= alive or now <= 20):
                renew(registry, server, fence, float(now))
        changes += registry.expire(float(now))
    return changes


def test_none_of_those_that_are_cut_off_together_is_gone() -> None:
    """Also the first, whose lease ends seconds before the others': half would be gone before
    there was a majority of ended leases."""
    registry = Registry()
    changes = cut_off(registry, 20, alive=9, until=60)
    assert {each.kind for each in changes} == {"changed"}
    found = states(registry)
    assert {server for server in found if found[server] == "suspect"} == set(range(10, 21))
    assert {server for server in found if found[server] == "ready"} == set(range(1, 10))


def test_half_of_the_servers_may_die() -> None:
    """More than half is what makes the name server doubt itself."""
    registry = Registry()
    changes = cut_off(registry, 20, alive=10, until=60)
    assert {each.kind for each in changes} == {"gone"}
    assert set(states(registry)) == set(range(1, 11))


@pytest.mark.parametrize(("servers", "state"), [(2, None), (3, "suspect")])
def test_one_or_two_servers_may_die(servers: int, state: str | None) -> None:
    """On a desk that is all of them, and nothing to be alarmed at."""
    registry = Registry()
    cut_off(registry, servers, alive=0, until=60)
    assert set(states(registry).values()) == ({state} if state else set())


def test_servers_that_die_one_after_the_other_are_gone() -> None:
    """However many: each within a ttl of its own."""
    registry = Registry()
    fences = register(registry, *range(1, 7))
    changes = []
    for now in range(1, 200):
        for server, fence in enumerate(fences, 1):
            if now < 20 * server:
                renew(registry, server, fence, float(now))
        changes += registry.expire(float(now))
    assert kinds(changes) == [("gone", server) for server in range(1, 7)]


def test_a_suspect_is_gone_after_its_time() -> None:
    """To the moment, and then it is as expired as any."""
    registry = Registry(suspect_for=900.0)
    fences = register(registry, 1, 2, 3)
    assert len(registry.expire(TTL)) == 3
    assert registry.suspects == 3
    assert kinds(renew(registry, 2, fences[1], 899.0)) == [("changed", 2)]
    assert kinds(registry.expire(899.0 + TTL)) == [("gone", 2)]
    assert registry.expire(TTL + 899.9) == []
    assert kinds(registry.expire(TTL + 900)) == [("gone", 1), ("gone", 3)]
    with pytest.raises(LeaseLost) as caught:
        renew(registry, 1, fences[0], 1000.0)
    assert caught.value.reason == "expired"


def test_suspects_that_have_come_back_count_no_more() -> None:
    """The next that dies alone is gone."""
    registry = Registry()
    fences = register(registry, 1, 2, 3, 4)
    renew(registry, 4, fences[3], 10.0)
    assert len(registry.expire(TTL)) == 3
    for now in (16.0, 20.0, 24.0):
        for server in (1, 2, 3):
            renew(registry, server, fences[server - 1], now)
    assert kinds(registry.expire(10.0 + TTL)) == [("gone", 4)]


def test_a_suspect_accepts_its_own_fence_only() -> None:
    """A stale renewal makes nothing ready."""
    registry = Registry()
    fences = register(registry, 1, 2, 3)
    registry.expire(TTL)
    with pytest.raises(LeaseLost):
        renew(registry, 1, fences[0] - 1, 20.0)
    assert set(states(registry).values()) == {"suspect"}


def test_a_draining_server_that_falls_silent_with_the_others_stays_draining() -> None:
    """Suspect would mean that it takes sessions."""
    registry = Registry()
    register(registry, 1, 2, 3)
    registry.drain("risk", number_of(1), True)
    assert kinds(registry.expire(TTL)) == [("changed", 2), ("changed", 3)]
    assert states(registry) == {1: "draining", 2: "suspect", 3: "suspect"}
    assert kinds(registry.drain("risk", number_of(1), False)) == [("changed", 1)]
    assert states(registry)[1] == "suspect"


def test_no_lease_ends_after_the_process_stood_still() -> None:
    """Renewals wait in its sockets. A ttl later they have come, or will not."""
    registry = Registry()
    one, _ = register(registry, 1, 2)
    registry.excuse(100.0)
    assert registry.expire(100.0) == []
    renew(registry, 1, one, 101.0)
    assert registry.expire(100.0 + TTL - 0.001) == []
    assert kinds(registry.expire(100.0 + TTL)) == [("gone", 2)]


# ---- pinned entries --------------------------------------------------------------------


def test_of_two_sources_the_first_says_what_is_pinned() -> None:
    """Until it does so no more; each change is published once."""
    registry = Registry()
    one, two = pin(version="1"), pin(version="2")
    assert [each.kind for each in registry.set_pinned("a", [one], 0.0)] == ["registered"]
    assert registry.set_pinned("b", [two], 0.0) == []
    (change,) = registry.set_pinned("a", [], 0.0)
    assert change.kind == "changed"
    assert change.entry is not None
    assert change.entry.record == two
    assert registry.set_pinned("b", [two], 1.0) == []


# ---- any order of events ---------------------------------------------------------------

SERVERS = st.integers(1, 4)
NAMES = st.sampled_from(("risk", "risk", "risk", "prices"))
OWNERS = st.sampled_from(("me", "me", "me", "you"))
ADDRESSES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True)
STATES: st.SearchStrategy[State] = st.sampled_from(("ready", "ready", "draining"))
# Of eighths, which floats add without rounding.
SECONDS = st.sampled_from((0.0, 0.5, 1.0, 4.0, 5.0, 7.625, 14.875, 15.0, 16.0))
YEARS = st.sampled_from((901.0, 86400.0, 3.2e7, 1e9))


class Leases(RuleBasedStateMachine):
    """Servers that register, renew, stop and come back, also late and with what is stale.

    The model knows of every lease what a server would: its fence, when it was renewed last,
    whether anybody could have taken its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.fences: list[int] = []
        # By name and id: who has the lease that counts. An ended one stays in `stale`.
        self.leases: dict[tuple[str, str], tuple[Record, str, Lease, float]] = {}
        self.stale: list[tuple[str, str, int]] = []
        self.revisions = [0]

    @initialize(revision=st.integers(0, 1 << 40))
    def start(self, revision: int) -> None:
        """A registry begins anywhere."""
        self.registry = Registry(revision)
        self.view = View(revision)
        self.revisions = [revision]

    # ---- what is observed ------------------------------------------------------------

    def publish(self, changes: list[Change]) -> None:
        """Feed the view; revisions rise one by one, and only what had its time is gone."""
        for change in changes:
            assert change.revision > self.revisions[-1]
            self.revisions.append(change.revision)
            before = self.view.get(change.name, change.id)
            assert (before is None) == (change.kind == "registered")
            assert (change.entry is None) == (change.kind == "gone")
        self.view.apply(*changes)
        assert self.registry.revision == self.view.revision == self.revisions[-1]

    def ended(self, key: tuple[str, str]) -> None:
        """A lease is over: its fence is stale for ever."""
        _, _, lease, _ = self.leases.pop(key)
        self.stale.append((*key, lease.fence))

    def expire(self) -> None:
        """Look what has ended: it was silent for a ttl at least."""
        changes = self.registry.expire(self.now)
        self.publish(changes)
        for change in changes:
            key = (change.name, change.id)
            assert self.now - self.leases[key][3] >= TTL
            if change.kind == "gone":
                self.ended(key)
        # Nor has anything that is not suspect outlived its time.
        for entry in self.registry.entries():
            if entry.state == "ready":
                assert self.now - self.leases[entry.key][3] < TTL

    # ---- what happens ----------------------------------------------------------------

    @rule(name=NAMES, server=SERVERS, owner=OWNERS, addresses=ADDRESSES)
    def register(self, name: str, server: int, owner: str, addresses: list[str]) -> None:
        """A server registers; perhaps again, perhaps at another's address, perhaps too late."""
        self.expire()
        urls = tuple(f"ws://{address}:1" for address in addresses)
        asking = record(name, server, urls=urls)
        key = (name, asking.id)
        held = {each[1] for known, each in self.leases.items() if known[0] == name}
        before = self.registry.revision
        try:
            lease, changes = self.registry.register(asking, owner, self.now, self.now)
        except NameTaken:
            assert held and owner not in held
            assert self.registry.revision == before
            return
        assert held <= {owner}
        assert all(lease.fence > fence for fence in self.fences)
        self.fences.append(lease.fence)
        self.publish(changes)
        for known, (other, *_) in list(self.leases.items()):
            same_place = known[0] == name and not set(other.urls).isdisjoint(urls)
            if known == key or same_place:
                self.ended(known)
        self.leases[key] = asking, owner, lease, self.now

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=STATES)
    def renew(self, data: st.DataObject, state: State) -> None:
        """A server renews what it has: that is never refused."""
        key = data.draw(st.sampled_from(sorted(self.leases)))
        asked, owner, lease, _ = self.leases[key]
        changes = self.registry.renew(*key, lease.fence, IDLE, state, self.now, self.now)
        self.leases[key] = asked, owner, lease, self.now
        self.publish(changes)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), state=STATES)
    def renew_late(self, data: st.DataObject, state: State) -> None:
        """A renewal was long on its way: it is refused and changes nothing."""
        name, id, fence = data.draw(st.sampled_from(self.stale))
        before = self.registry.entries()
        with pytest.raises(LeaseLost):
            self.registry.renew(name, id, fence, IDLE, state, self.now, self.now)
        assert self.registry.entries() == before

    @precondition(lambda self: self.leases or self.stale)
    @rule(data=st.data())
    def deregister(self, data: st.DataObject) -> None:
        """A server stops, or a word of one that stopped long ago arrives."""
        own = [(*key, lease.fence) for key, (_, _, lease, _) in sorted(self.leases.items())]
        name, id, fence = data.draw(st.sampled_from(own + self.stale))
        changes = self.registry.deregister(name, id, fence)
        self.publish(changes)
        if (name, id, fence) in own:
            assert [each.kind for each in changes] == ["gone"]
            self.ended((name, id))
        else:
            assert changes == []

    @rule(name=NAMES, server=SERVERS, draining=st.booleans())
    def drain(self, name: str, server: int, draining: bool) -> None:
        """Somebody drains a server."""
        key = (name, number_of(server))
        try:
            self.publish(self.registry.drain(*key, draining))
        except NameNotFound:
            assert key not in self.leases
        else:
            assert key in self.leases

    @rule(pins=st.lists(st.tuples(NAMES, st.sampled_from("xyz")), unique=True, max_size=3))
    def set_pinned(self, pins: list[tuple[str, str]]) -> None:
        """A file of pinned entries has changed."""
        records = [pin(name, f"ws://{host}:1") for name, host in pins]
        self.publish(self.registry.set_pinned("file", records, self.now))
        pinned = [e.record for e in self.registry.entries() if e.state == "pinned"]
        assert sorted(each.id for each in pinned) == sorted(each.id for each in records)

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += seconds
        self.expire()

    @rule(seconds=YEARS)
    def sleep(self, seconds: float) -> None:
        """The clock goes on by years: all leases end in one moment."""
        leases = len(self.leases)
        self.now += seconds
        self.expire()
        if leases >= 3:
            # All of them at once, or what was suspect before: nothing in between.
            assert {e.state for e in self.registry.entries()} <= {"suspect", "draining", "pinned"}

    @rule(gap=st.integers(0, 5))
    def restart(self, gap: int) -> None:
        """The name server is started again: it knows nobody, and its revisions are higher."""
        self.stale += [(*key, lease.fence) for key, (_, _, lease, _) in self.leases.items()]
        self.leases.clear()
        self.start(self.registry.revision + gap)

    # ---- what holds always -----------------------------------------------------------

    @invariant()
    def the_registry_knows_what_servers_know(self) -> None:
        """Each lease that is not over, with its fence and owner, and no other."""
        known = {e.key: (e.record, e.owner, e.fence) for e in self.leased()}
        assert known == {
            key: (said, owner, lease.fence) for key, (said, owner, lease, _) in self.leases.items()
        }
        assert len(self.registry) == len(known)

    @invariant()
    def a_name_has_one_owner(self) -> None:
        """Of all its leases."""
        for name in ("risk", "prices"):
            owners = {entry.owner for entry in self.leased() if entry.record.name == name}
            assert len(owners) <= 1
            assert {self.registry.holder(name)} == (owners or {None})

    @invariant()
    def an_address_has_one_server(self) -> None:
        """Under one name."""
        places = [(e.record.name, url) for e in self.leased() for url in e.record.urls]
        assert len(places) == len(set(places))

    @invariant()
    def the_view_is_the_registry(self) -> None:
        """But for loads and renewals, which are no changes."""
        published = {entry.key: _published(entry) for entry in self.registry.entries()}
        assert {entry.key: _published(entry) for entry in self.view.entries()} == published

    def leased(self) -> list[Entry]:
        """Entries with a lease."""
        return [entry for entry in self.registry.entries() if entry.state != "pinned"]


def _published(entry: Entry) -> tuple[object, ...]:
    return (
        entry.record,
        entry.state,
        entry.fence,
        entry.owner,
        entry.registered_at,
        entry.revision,
    )


def test_any_order_of_events() -> None:
    """Fences rise and never repeat, the stale is refused, a name has one owner, nothing goes before
    its time, and whoever follows the changes knows the registry."""
    run_state_machine_as_test(
        Leases,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
