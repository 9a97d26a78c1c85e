"""The registrar, step by step, with a name server that is an object."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import pytest

from wsremote.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    LeaseLost,
    NameRefused,
    NameTaken,
)
from wsremote.naming.nameservers import NameServers
from wsremote.naming.registrar import Registrar

from .conftest import NAMESERVERS, RECORD, Registry

A, B = NAMESERVERS.urls
LOAD = {"sessions": 1, "running": 0, "cpu": 0.5, "memory": 1000}


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The registrar's clock."""
    return Clock()


@pytest.fixture
def registrar(registry: Registry, clock: Clock) -> Registrar:
    """One that is not started."""
    return made(registry, clock)


def made(
    registry: Registry, clock: Clock, nameservers: NameServers = NAMESERVERS, chance: float = 0.5
) -> Registrar:
    """A registrar of the server of `RECORD`."""
    return Registrar(
        RECORD,
        nameservers,
        lambda: LOAD,
        reach=registry.reach,
        clock=clock,
        chance=lambda: chance,
    )


def test_it_registers_and_then_renews_with_the_load(
    registrar: Registrar, registry: Registry
) -> None:
    """One registration, renewed at each step with the fence of the lease, on one session."""
    assert [registrar.step(), registrar.step()] == [5.0, 5.0]
    assert registry.functions(A) == ["register", "renew", "renew"]
    fence = registry.leases[A, RECORD["id"]]
    said = ("risk", RECORD["id"], fence, json.dumps(LOAD), "ready")
    assert registry.calls[-1] == (A, "renew", said)
    assert registry.calls[0][2] == (RECORD,)
    assert registry.open == 1
    assert registrar.is_registered


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 4.0), (1.0, 6.0)])
def test_renewals_are_spread(
    registry: Registry, clock: Clock, chance: float, seconds: float
) -> None:
    """A fifth earlier or later, so that thousands do not come at once."""
    assert made(registry, clock, chance=chance).step() == pytest.approx(seconds)


def test_a_name_server_that_is_gone_is_given_up_for_the_next(
    registrar: Registrar, registry: Registry
) -> None:
    """At once, long before the lease ends; where the store is not shared it registers there."""
    registrar.step()
    registry.down.add(A)
    assert registrar.step() == 0.0
    assert registrar.step() == 0.0
    assert registry.functions(B) == ["renew"]
    assert registrar.step() == 5.0
    assert registry.functions(B) == ["renew", "register", "renew"]
    assert registry.open == 1


def test_a_lease_of_a_shared_store_goes_on_at_another_name_server(
    registrar: Registrar, registry: Registry
) -> None:
    """It is renewed there, not registered anew: that would be a change for all watchers."""
    registrar.step()
    registry.down.add(A)
    registry.leases[B, RECORD["id"]] = registry.leases[A, RECORD["id"]]
    registrar.step()
    assert registrar.step() == 5.0
    assert registry.functions(B) == ["renew"]


@pytest.mark.parametrize("reason", ["unknown", "expired"])
def test_a_lease_that_was_lost_is_taken_anew(
    registrar: Registrar, registry: Registry, reason: str
) -> None:
    """At once: the name server was restarted, or we were silent for too long."""
    registrar.step()
    registry.raising["renew"] = [LeaseLost("over", reason)]
    assert registrar.step() == 0.0
    assert registrar.step() == 5.0
    assert registry.functions(A)[-2:] == ["register", "renew"]


def test_a_server_that_was_replaced_stops(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Two servers with one URL would take the name from each other for ever."""
    registrar.step()
    registry.leases[A, RECORD["id"]] += 1
    registrar.step()
    assert registrar._is_over
    assert "another server has been registered in the place of this one" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_its_own_registration_whose_answer_was_lost_does_not_stop_it(
    registrar: Registrar, registry: Registry, clock: Clock
) -> None:
    """It has replaced the lease that came of the next attempt: another is taken."""
    registry.raising["register"] = [ConnectionFailed("no answer")]
    registrar.step()
    registrar.step()
    assert registrar.is_registered
    registry.leases[B, RECORD["id"]] += 1  # of the one whose answer was lost
    registrar.step()
    assert not registrar._is_over
    assert registrar.step() == 5.0
    registry.leases[B, RECORD["id"]] += 1
    clock.now += 61
    registrar.step()
    assert registrar._is_over


def test_an_old_lease_of_another_name_server_does_not_stop_it(
    registrar: Registrar, registry: Registry
) -> None:
    """Name servers that share nothing count for themselves: what A gave is stale at B."""
    registrar.step()
    registry.leases[B, RECORD["id"]] = 999
    registry.down.add(A)
    registrar.step()
    registrar.step()
    assert not registrar._is_over
    assert registrar.step() == 5.0


def test_trouble_is_said_once_and_its_end_too(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each attempt; and it goes on trying, ever less often but within 5 s."""
    registry.down |= {A, B}
    delays = [registrar.step() for _ in range(40)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "risk is not registered" in caplog.text
    assert 0.0 < max(delays) <= 2.5  # half of it, since chance says a half
    assert registry.calls == []
    registry.down.clear()
    while registrar.step() == 0.0:
        pass
    assert "risk is registered now" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2


@pytest.mark.parametrize("error", [NameTaken("another's"), NameRefused("no"), ValueError("tags")])
def test_a_refused_name_ends_the_start_and_later_is_asked_for_seldom(
    registrar: Registrar,
    registry: Registry,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the start somebody is there to read it; later there are clients to be served."""
    registry.raising["register"] = [error, error]
    with pytest.raises(type(error)):
        registrar.start()
    assert registry.open == 0
    assert registrar.step() == 30.0
    assert caplog.records[-1].levelno == logging.ERROR
    assert registrar.step() == 5.0


def test_a_wrong_token_ends_the_start_if_no_name_server_takes_it(
    registrar: Registrar, registry: Registry
) -> None:
    """The others are asked first."""
    registry.refuses = AuthenticationFailed("wrong")
    with pytest.raises(AuthenticationFailed):
        registrar.start()


def test_a_token_that_one_of_them_takes_is_enough(registrar: Registrar, registry: Registry) -> None:
    """The other may be an impostor, or be started with its new token later."""
    registry.refusing[A] = AuthenticationFailed("wrong")
    registrar.start()
    assert registrar.is_registered
    assert registry.functions(B) == ["register", "renew"]
    registrar.stop()


def test_a_name_server_that_is_down_at_the_start_is_a_warning(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """The server serves, and is registered when the name server is there."""
    registry.down |= {A, B}
    registrar.start()
    registrar.stop()
    assert "tries again all the time" in caplog.text
    assert not registrar.is_registered


def hanging(registry: Registry) -> tuple[Registrar, threading.Event, threading.Event]:
    """A registrar whose name server lets it wait; `(registrar, waits, answers)`."""
    waits, answers = threading.Event(), threading.Event()

    def reach(*args: Any, **settings: Any) -> Any:
        waits.set()
        assert answers.wait(20)
        return registry.reach(*args, **settings)

    return Registrar(RECORD, NAMESERVERS, lambda: LOAD, reach=reach), waits, answers


def test_a_start_at_a_name_server_that_hangs_can_be_ended(registry: Registry) -> None:
    """Both it and `stop()`, long before the name server is given up; nothing is registered then."""
    registrar, waits, answers = hanging(registry)
    registrar.start(until=waits.is_set)
    began = time.monotonic()
    registrar.stop()
    assert time.monotonic() - began < 2
    thread = registrar._thread
    assert thread is not None and thread.is_alive()
    answers.set()
    thread.join(20)
    assert (registry.calls, registry.open, registry.opened) == ([], 0, 1)


def test_an_interrupted_start_leaves_nothing(registry: Registry) -> None:
    """Nobody can stop what has raised."""
    registrar, waits, answers = hanging(registry)

    def interrupt() -> bool:
        assert waits.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registrar.start(until=interrupt)
    answers.set()
    assert registrar._thread is not None
    registrar._thread.join(20)
    assert (registry.calls, registry.open) == ([], 0)


def test_a_registration_that_is_answered_while_it_stops_is_given_back(registry: Registry) -> None:
    """The lease would stand for its time, and clients be sent to nobody."""

    def measure() -> dict[str, Any]:  # between the registration and the first renewal
        registrar._stopping = True
        registrar._changed.set()
        return LOAD

    registrar = Registrar(RECORD, NAMESERVERS, measure, reach=registry.reach)
    registrar.start()
    assert registrar._thread is not None
    registrar._thread.join(20)
    assert registry.functions(A) == ["register", "renew", "deregister"]
    assert (registry.leases, registry.open) == ({}, 0)


def test_what_fails_by_surprise_at_the_start_is_raised(registry: Registry) -> None:
    """Not in the thread, where nobody would see it; and the start can be tried again."""
    loads: list[Any] = [LOAD]
    registrar = Registrar(RECORD, NAMESERVERS, lambda: loads[5], reach=registry.reach)
    with pytest.raises(IndexError):
        registrar.start()
    assert (registry.leases, registry.open) == ({}, 0)
    loads *= 6
    registrar.start()
    assert registrar.is_registered
    registrar.stop()


def test_a_lease_that_cannot_be_renewed_is_not_said_to_be_over(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Name servers that have lost their Redis go on giving what they know."""
    registrar.step()
    registry.down |= {A, B}
    while registrar._trouble is None:
        registrar.step()
    assert "risk cannot renew its registration, and tries again all the time" in caplog.text


def test_stopping_gives_the_name_back(registrar: Registrar, registry: Registry) -> None:
    """Before it returns."""
    registrar.start()
    assert registry.leases
    registrar.stop()
    assert registry.calls[-1][1] == "deregister"
    assert not registry.leases
    assert registry.open == 0
    registrar.stop()


def test_a_name_server_that_hangs_holds_up_the_end_for_a_second(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of a renewal: that is ended, and nothing more is tried; said once."""
    registrar.start()
    registry.answering.clear()
    registrar.drain()
    while registry.calls[-1][2][-1] != "draining":
        pass
    began = time.monotonic()
    registrar.stop()
    assert time.monotonic() - began < 2.0
    assert registrar._thread is not None
    registrar._thread.join(20)
    assert [record.getMessage() for record in caplog.records] == [
        f"! risk could not be deregistered: the name server {A} did not answer within 1 s"
    ]
    assert (registry.functions(A)[-1], registry.functions(B), registry.open) == ("renew", [], 0)


def test_who_has_stopped_may_start_again(registrar: Registrar, registry: Registry) -> None:
    """And whoever is registered is not twice."""
    for _ in range(2):
        registrar.start()
        assert registry.leases
        with pytest.raises(RuntimeError, match="risk is registered already"):
            registrar.start()
        registrar.stop()
        assert not registry.leases


def test_a_name_is_given_back_over_another_connection(
    registrar: Registrar, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """If this one is lost in the moment in which the server stops; one attempt is made."""
    registrar.step()
    registry.lost = True
    registrar._leave()
    assert not registry.leases
    assert (registry.open, registry.opened) == (0, 2)
    registrar.step()
    registry.down.add(A)
    registrar._leave()
    assert "risk could not be deregistered: nobody at" in caplog.text
    assert registry.open == 0


def test_a_name_server_that_goes_away_is_seen_at_once(registry: Registry) -> None:
    """Long before the next renewal: who asks meanwhile would not find the server."""
    registrar = Registrar(RECORD, NAMESERVERS, lambda: LOAD, reach=registry.reach)
    registrar.step()
    gone = threading.Timer(0.01, lambda: registry.down.add(A))
    gone.start()
    registrar._pause(1000.0)
    assert registrar.step() == 0.0
    registrar._pause(0.0)
    gone.join()


def test_draining_is_told(registrar: Registrar, registry: Registry) -> None:
    """With the next renewal, and every one after."""
    registrar.step()
    registrar.drain()
    registrar.step()
    assert registry.calls[-1][2][-1] == "draining"
    registrar.drain(False)
    registrar.step()
    assert registry.calls[-1][2][-1] == "ready"


@pytest.mark.parametrize(
    "lease", [17, {}, {"fence": "1", "every": 5.0}, {"fence": 1, "every": 0}, {"fence": 1}]
)
def test_a_lease_that_makes_no_sense_is_none(
    registrar: Registrar, registry: Registry, lease: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The next name server is tried, and no thread dies of it."""
    registry.lease = lease
    assert registrar.step() == 0.0
    assert registrar.step() > 0.0
    assert "no lease that makes sense" in caplog.text


def test_a_bug_does_not_end_it(
    registry: Registry, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails by surprise is logged, and the thread goes on, with a new session."""
    calls: list[int] = []
    failed, recovered = threading.Event(), threading.Event()

    def measure() -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            failed.set()
            raise ZeroDivisionError
        if len(calls) == 3:
            recovered.set()
        return LOAD

    registrar = Registrar(RECORD, NAMESERVERS, measure, reach=registry.reach, clock=clock)
    registrar.start()
    registrar.drain()
    assert failed.wait(20)
    registrar.drain()
    assert recovered.wait(20)
    registrar.stop()
    assert "cannot be kept registered" in caplog.text
    assert registry.opened == 2
