"""Whether a name server that does not find a name can know that nobody has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisStage
from stores import Clock, MemoryStage, eventually, record

from nameserver.access import Access
from nameserver.service import Service
from nameserver.store import Store
from wsremote.errors import NameNotFound

from .conftest import LOOKING, RISK, Ask, InProcess, a_record


def not_found(store: Store, name: str = "nobody", version: str | None = None) -> NameNotFound:
    """What a client is told of a name."""
    with pytest.raises(NameNotFound) as caught:
        Service(store, Access([])).resolve(name, version, (), "", 3)
    return caught.value


# ---- over a session ----------------------------------------------------------------------


def test_a_client_is_told_that_it_is_not_certain(running: InProcess, ask: Ask) -> None:
    """The name server of the test has just been started; all that is not found is in doubt."""
    ask(RISK).register(a_record())
    for asked in (("nobody",), ("risk", "~=9.0")):
        with pytest.raises(NameNotFound, match=r"this name server was started \d s ago") as caught:
            ask(LOOKING).resolve(*asked)
        assert caught.value.is_certain is False
    running.store._missed = "long ago", running.store._now() - 60
    with pytest.raises(NameNotFound) as caught:
        ask(LOOKING).resolve("nobody")
    assert caught.value.is_certain is True
    assert "certain" not in str(caught.value)


def test_servers_that_are_known_are_certain_if_they_drain(running: InProcess, ask: Ask) -> None:
    """Not which versions there are: another may not be back yet. Both is told to the client."""
    ask(RISK).register(a_record())
    ask(RISK).drain("risk", a_record()["id"])
    for asked, is_certain, is_known in (
        (("risk",), True, True),
        (("risk", "~=9.0"), False, True),
        (("risk", "spring-24"), False, True),
        (("nobody",), False, False),
    ):
        with pytest.raises(NameNotFound) as caught:
            ask(LOOKING).resolve(*asked)
        assert (caught.value.is_certain, caught.value.is_known) == (is_certain, is_known)
    running.store._missed = "long ago", running.store._now() - 60
    with pytest.raises(NameNotFound) as caught:
        ask(LOOKING).resolve("risk", "~=9.0")
    assert caught.value.is_certain and caught.value.is_known


def test_a_server_is_found_by_its_url_whatever_its_state(running: InProcess, ask: Ask) -> None:
    """That none is there is certain when all had time to register."""
    ask(RISK).register(a_record())
    (url,) = a_record()["urls"]
    ask(RISK).drain("risk", a_record()["id"])
    assert ask(LOOKING).find("risk", url)["state"] == "draining"
    missing = (("risk", "ws://10.0.0.1:2"), ("nobody", url))
    for asked in missing:
        with pytest.raises(NameNotFound, match=r"is at ws://.*not certain: this name") as caught:
            ask(LOOKING).find(*asked)
        assert caught.value.is_certain is False
    running.store._missed = "long ago", running.store._now() - 60
    for asked in missing:
        with pytest.raises(NameNotFound) as caught:
            ask(LOOKING).find(*asked)
        assert caught.value.is_certain is True
    for name, place in (("risk", "mailto:x"), ("risk", 7), ("no name", url)):
        with pytest.raises(ValueError, match=r"name: |url: "):
            ask(LOOKING).find(name, place)


def test_lists_say_that_they_may_not_be_whole(running: InProcess, ask: Ask) -> None:
    """And watches, until all had time to register; nothing is gone for that."""
    ask(RISK).register(a_record())
    watch = iter(ask(LOOKING).watch())
    for said in (
        ask(LOOKING).doubt(),
        next(watch)["doubt"],
        json.loads(running.page("/servers.json"))["doubt"],
    ):
        assert "this name server was started" in said
    assert "may be missing: this name server was started" in running.page()
    running.store._missed = "long ago", running.store._now() - 60
    assert ask(LOOKING).doubt() is None
    assert "may be missing" not in running.page()
    item = next(watch)
    assert (item["kind"], item["doubt"]) == ("all", None)
    assert [each["name"] for each in item["servers"]] == ["risk"]
    assert json.loads(running.page("/servers.json"))["doubt"] is None


# ---- the store in memory -----------------------------------------------------------------


@pytest.mark.parametrize(("ttl", "within"), [(15.0, 15), (60.0, 60), (1.0, 10)])
def test_a_store_in_memory_is_not_sure_for_a_lease(tmp_path: Path, ttl: float, within: int) -> None:
    """After its start; with short leases as long as servers take to come back."""
    stage = MemoryStage(tmp_path, ttl=ttl)
    for _ in range(within - 1):
        stage.clock.now += 1
        stage.store.sweep()
    error = not_found(stage.store)
    assert not error.is_certain
    assert str(error).endswith(
        f" That is not certain: this name server was started {within - 1} s ago, and servers that"
        f" run register again within {within} s."
    )
    stage.clock.now += 1
    assert not_found(stage.store).is_certain
    stage.restart()
    assert not not_found(stage.store).is_certain
    stage.close()


def test_a_process_that_stood_still_is_not_sure(tmp_path: Path) -> None:
    """Who was started meanwhile could not register."""
    stage = MemoryStage(tmp_path)
    stage.store.sweep()
    stage.clock.now += 3600
    stage.store.sweep()
    error = not_found(stage.store)
    assert "this name server stood still until 0 s ago" in str(error)
    assert not error.is_certain
    stage.close()


# ---- the store in Redis ------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    """What all name servers of the test look at."""
    return Clock()


@pytest.fixture
def stage(tmp_path: Path, clock: Clock) -> Iterator[RedisStage]:
    """A Redis whose registry began long ago, and a name server that was started long ago."""
    made = RedisStage(tmp_path, ttl=15.0, every=5.0, now=clock)
    made.store.register(record(), "me")
    eventually(made.store, lambda: made.store._was_alone is not None)
    clock.now += 60
    yield made
    made.close()


def test_a_name_server_that_reads_its_redis_is_sure(stage: RedisStage, clock: Clock) -> None:
    """Also one that was just started beside others: leases were renewed all the time."""
    assert not_found(stage.store).is_certain
    stage.redis.ask("HSET", "{wsremote}:meta", "epoch", "1000000")
    other = stage.open()
    eventually(other, lambda: other._was_alone is not None)
    assert not_found(other).is_certain
    other.close()


def test_one_that_was_alone_at_its_start_is_not_sure(stage: RedisStage, clock: Clock) -> None:
    """Nobody could renew while none ran: leases have ended whose servers run."""
    stage.redis.ask("HSET", "{wsremote}:meta", "epoch", "1000000")
    stage.store.close()
    stage.redis.ask("DEL", "{wsremote}:sweeper")  # as three seconds do it
    stage.store = stage.open()
    eventually(stage.store, lambda: stage.store._was_alone)
    clock.now += 14
    error = not_found(stage.store)
    assert not error.is_certain
    assert "this name server was started 14 s ago" in str(error)
    clock.now += 1
    assert not_found(stage.store).is_certain


def test_a_registry_that_has_just_begun_is_not_sure(stage: RedisStage, clock: Clock) -> None:
    """As its epoch tells, to a name server that has not seen it begin. Nonsense there is none."""
    for epoch, is_certain in (("1000000", True), ("9" * 5000, False), ("seven", False)):
        stage.redis.ask("HSET", "{wsremote}:meta", "epoch", epoch)
        other = stage.open()
        eventually(other, lambda: other._was_alone is not None)  # noqa: B023
        assert not_found(other).is_certain is is_certain
        other.close()
    stage.redis.ask("FLUSHALL")
    new = stage.open()
    eventually(new, lambda: new.view.named("risk"))  # given back by the other
    error = not_found(new)
    assert not error.is_certain
    assert "began 0 s ago" in str(error)
    new.close()


def test_a_redis_that_has_lost_its_data_is_not_sure(stage: RedisStage, clock: Clock) -> None:
    """For a lease; what is known of it is suspect, and who registered last may be missing."""
    store = stage.store
    stage.redis.ask("FLUSHALL")
    eventually(store, lambda: store.view.named("risk")[0].state == "suspect")
    eventually(store, lambda: "lost data" in str(store.look("nobody")))
    assert not not_found(store).is_certain
    clock.now += 15
    assert not_found(store).is_certain


def test_a_redis_that_has_gone_back_is_not_sure(stage: RedisStage) -> None:
    """Its revision is lower than what was seen: it is a replica, or an old copy of its data."""
    store = stage.store
    stage.redis.ask("HSET", "{wsremote}:meta", "revision", "5")
    eventually(store, lambda: "lost data" in str(store.look("nobody")))
    assert not not_found(store).is_certain


def test_while_redis_is_gone_nothing_is_sure(stage: RedisStage, clock: Clock) -> None:
    """From the first question on, before its absence is noticed; and for a lease after it."""
    store = stage.store
    stage.redis.kill()
    error = not_found(store)
    assert not error.is_certain
    assert "cannot be reached" in str(error)
    eventually(store, lambda: store.healthy())
    assert not not_found(store).is_certain
    assert not not_found(store, "risk", "~=9.0").is_certain
    stage.redis.start()
    eventually(store, lambda: store.healthy() is None)
    clock.now += 14
    assert not not_found(store).is_certain
    clock.now += 1
    assert not_found(store).is_certain


def test_a_redis_that_was_never_read_is_not_sure(stage: RedisStage) -> None:
    """A name server may be started without it."""
    stage.store.close()
    stage.redis.kill()
    stage.store = stage.open()
    assert "has not yet read" in str(stage.store._mirror.unsure())
    assert not not_found(stage.store).is_certain


def test_a_change_that_has_not_come_here_is_not_sure(
    stage: RedisStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has more than the view: it may be the very server that is asked for."""
    monkeypatch.setattr("nameserver.redis_store._PATIENCE", 0.0)
    store = stage.store
    revision = store.view.revision + 10

    async def ahead(*_: Any) -> bytes:
        return str(revision).encode()

    monkeypatch.setattr(store._link, "field", ahead)
    error = not_found(store)
    assert not error.is_certain
    assert "changes that have not come here yet" in str(error)
