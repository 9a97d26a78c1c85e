"""Nobody could renew for a while: no lease ends for that, however many servers there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer, RedisStage
from stores import IDLE, Clock, eventually, number_of, record

from nameserver.redis_store import RedisStore
from wsremote.errors import NameTaken

META, EXPIRIES = "{wsremote}:meta", "{wsremote}:expiries"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RedisStage]:
    """A Redis, and a name server's store in it, whose leases are short."""
    made = RedisStage(tmp_path)
    yield made
    made.close()


def states(store: RedisStore) -> set[str]:
    """Those of all entries."""
    return {entry.state for entry in store.view.entries()}


STOOD_STILL = """
local now = redis.call('TIME')[1] * 1000
for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    redis.call('ZADD', KEYS[2], now - 1000, key)
end
redis.call('HSET', KEYS[1], 'swept', now - 13000)
"""
"""What Redis has when it has been stopped for 13 s: nobody could renew, and leases are over."""


def stand_still(redis: RedisServer) -> None:
    """Let that have been."""
    redis.ask("EVAL", STOOD_STILL, "2", META, EXPIRIES)


def swept_at(redis: RedisServer) -> bytes:
    """When a name server has swept last, or tried to."""
    return redis.ask("HGET", META, "swept")


@pytest.mark.parametrize("servers", [1, 2, 8])
def test_no_lease_ends_because_redis_stood_still(
    stage: RedisStage, store: RedisStore, other: RedisStore, servers: int
) -> None:
    """Be there as many as there may: they get the time to renew, and others cannot take a name."""
    leases = [store.register(record(server=number), "me") for number in range(1, servers + 1)]
    eventually(other, lambda: len(other.view) == servers)
    eventually(store, lambda: b"$-1" not in swept_at(stage.redis))
    stand_still(stage.redis)
    with pytest.raises(NameTaken):
        other.register(record(server=9), "you")
    for _ in range(3):
        before = swept_at(stage.redis)
        eventually(store, lambda: swept_at(stage.redis) != before)  # noqa: B023
    assert states(store) == {"ready"}
    assert "expired" not in {event.event for event in store.audit()}
    for number, lease in enumerate(leases, 1):
        other.renew("risk", number_of(number), lease.fence, IDLE, "ready")


def test_a_full_redis_ends_no_lease(stage: RedisStage, store: RedisStore) -> None:
    """Neither while it is full, nor in the moment in which it has room again."""
    lease = store.register(record(), "me")
    eventually(store, lambda: b"$-1" not in swept_at(stage.redis))
    stage.redis.ask("CONFIG", "SET", "maxmemory", "1kb")
    eventually(store, lambda: "out of memory" in str(store.healthy()))
    stage.pass_time(2.5)
    assert states(store) == {"ready"}
    stage.redis.ask("CONFIG", "SET", "maxmemory", "0")
    eventually(store, lambda: store.healthy() is None)
    before = swept_at(stage.redis)
    eventually(store, lambda: swept_at(stage.redis) != before)
    store.renew("risk", number_of(1), lease.fence, IDLE, "ready")
    assert [event.event for event in store.audit()] == ["registered"]


def test_a_name_server_that_could_not_renew_tells_the_others(
    stage: RedisStage, store: RedisStore, other: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were not hindered, and sweep: those that know only this one need the time."""
    store.register(record(), "me")
    eventually(other, lambda: states(other))
    renewing = store._link.changing

    async def refused(*_: object) -> bytes:
        raise ConnectionError("not now")

    monkeypatch.setattr(store._link, "changing", refused)
    with pytest.raises(ConnectionError):
        store.renew("risk", number_of(1), 1, IDLE, "ready")
    assert stage.redis.ask("HGET", META, "excused") == b"$-1\r\n"
    monkeypatch.setattr(store._link, "changing", renewing)
    eventually(store, lambda: b"$-1" not in stage.redis.ask("HGET", META, "excused"))
    stage.pass_time(1.5)
    assert states(other) == {"ready"}


def test_another_lease_on_the_same_redis_is_said(
    stage: RedisStage, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; not of a name server that has just ended, whose place this one takes."""
    eventually(store, lambda: b"$-1" not in stage.redis.ask("HGET", META, "lease"))
    clock = Clock()
    other = RedisStore(stage.redis.url, ttl=30.0, now=clock)
    other.start()
    eventually(other, lambda: other._was_alone is False)
    assert "leases last" not in caplog.text
    clock.now += 3.5
    eventually(other, lambda: "leases last 30 s here and 1.5 s at another" in caplog.text)
    eventually(other, lambda: other._has_said_lease)
    other.close()
    assert caplog.text.count("leases last") == 1


def test_a_server_that_is_dead_goes_when_the_others_had_their_time(
    stage: RedisStage, store: RedisStore
) -> None:
    """An outage keeps nobody for ever."""
    store.register(record(), "me")
    eventually(store, lambda: b"$-1" not in swept_at(stage.redis))
    stand_still(stage.redis)
    eventually(store, lambda: b"$-1" not in stage.redis.ask("HGET", META, "excused"))
    stage.redis.ask("HSET", META, "excused", "1")  # as ten seconds do it
    eventually(store, lambda: not states(store))
