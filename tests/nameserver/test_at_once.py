"""Renewals that the poller does itself, and those that it leaves to a lane."""

from __future__ import annotations

import json
import threading
from typing import Any
from unittest.mock import create_autospec

import pytest

from nameserver import service
from nameserver.at_once import answered_at_once
from nameserver.memory_store import MemoryStore
from nameserver.redis_store import RedisStore
from wsremote.errors import LeaseLost, NameRefused

from .conftest import ALL, LOAD, RISK, Ask, InProcess, a_record

PATIENCE = 20.0
TEXT = json.dumps(LOAD)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads of the renewals that were done on lanes."""
    names: list[str] = []
    renew = MemoryStore.renew

    def noted(self: MemoryStore, *args: Any) -> None:
        names.append(threading.current_thread().name)
        renew(self, *args)

    monkeypatch.setattr(MemoryStore, "renew", noted)
    return names


@pytest.fixture
def lease(ask: Ask) -> tuple[str, str, int]:
    """Name, id and fence of a server that is registered, with the token `RISK`."""
    record = a_record()
    return record["name"], record["id"], ask(RISK).register(record)["fence"]


def renewing(running: InProcess, token: str = RISK) -> Any:
    """The module over a session of its own, on which nothing has been called."""
    return running.open(token).modules.nameserver


def test_the_poller_renews(
    running: InProcess, lease: tuple[str, str, int], waited: list[str]
) -> None:
    """The load is known, the call is counted, and no thread was needed."""
    before = running.service.asked["renew"]
    module = renewing(running)
    for number in range(3):
        assert module.renew(*lease, json.dumps({**LOAD, "sessions": number})) is None
    entry = running.store.view.get(*lease[:2])
    assert entry is not None
    assert entry.load is not None
    assert entry.load.sessions == 2
    assert running.service.asked["renew"] == before + 3
    assert waited == []


def test_a_registrar_is_served_by_the_poller(
    running: InProcess, lease: tuple[str, str, int], waited: list[str]
) -> None:
    """It gives each call some seconds, which is another form of message."""
    with running.open(RISK) as session, session.timeout(PATIENCE):
        session.modules.nameserver.renew(*lease, TEXT, "ready")
    assert waited == []


def test_what_would_wait_is_left_to_a_lane(
    running: InProcess, lease: tuple[str, str, int], waited: list[str]
) -> None:
    """Another state is published, by the keeper; the next renewal says the same and waits not."""
    module = renewing(running)
    module.renew(*lease, TEXT, "draining")
    entry = running.store.view.get(*lease[:2])
    assert entry is not None
    assert entry.state == "draining"
    assert len(waited) == 1
    renewing(running).renew(*lease, TEXT, "draining")
    assert len(waited) == 1


def test_while_the_keeper_works_others_are_answered(
    running: InProcess, lease: tuple[str, str, int], waited: list[str]
) -> None:
    """A renewal that has to wait for the registry holds up nobody but its own session."""
    module, other = renewing(running), renewing(running)
    done = threading.Event()

    def renew() -> None:
        module.renew(*lease, TEXT)
        done.set()

    with running.store._lock:
        threading.Thread(target=renew, daemon=True).start()
        while not waited:
            assert len(other.servers()) == 1
        assert not done.is_set()
    assert done.wait(PATIENCE)


def test_what_is_refused_is_refused_as_ever(
    running: InProcess, lease: tuple[str, str, int], waited: list[str]
) -> None:
    """By the served function, once, with its text and its line in the audit."""
    name, id, fence = lease
    module, other = renewing(running), renewing(running, ALL)
    with pytest.raises(LeaseLost) as lost:
        module.renew(name, id, fence - 1, TEXT)
    assert lost.value.reason == "replaced"
    with pytest.raises(ValueError, match="load: 'no json' is no JSON"):
        renewing(running).renew(name, id, fence, "no json")
    with pytest.raises(TypeError):
        renewing(running).renew(name, id)
    refusals = running.service.refusals
    with pytest.raises(NameRefused, match="was registered with another token"):
        other.renew(name, id, fence, TEXT)
    assert running.service.refusals == refusals + 1
    assert [event.event for event in running.store.audit()].count("refused") == 1
    entry = running.store.view.get(name, id)
    assert entry is not None
    assert entry.load is None


def test_a_token_that_may_no_longer_register_renews_nothing(
    running: InProcess, lease: tuple[str, str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names are looked at each time."""
    monkeypatch.setattr(running.service.access, "may_register", lambda *_: False)
    with pytest.raises(NameRefused):
        renewing(running).renew(*lease, TEXT)


def test_only_a_store_that_never_waits_is_asked_by_the_poller(running: InProcess) -> None:
    """Redis is asked over a network, on lanes."""
    assert answered_at_once(running.service).keys() == {"nameserver:renew"}
    redis = create_autospec(RedisStore, instance=True, view=running.store.view)
    assert answered_at_once(service.Service(redis, running.service.access)) == {}
