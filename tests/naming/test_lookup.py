"""Look-ups: which name server is asked, what counts as an answer, what is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wsremote.errors import AuthenticationFailed, ConnectionFailed, NameNotFound
from wsremote.naming.information import ServerInfo
from wsremote.naming.lookup import all_servers, is_gone, look_up
from wsremote.naming.names import Wanted
from wsremote.naming.remembered import Remembered

from .conftest import NAMESERVERS, Registry

A, B = NAMESERVERS.urls
RISK = Wanted("risk", "~=1.2", ("gpu",), "eu")
SERVER = {"name": "risk", "id": "1", "urls": ["ws://s:1"]}


@pytest.fixture(autouse=True)
def reachable(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name servers are one object, which has a server of the name."""
    monkeypatch.setattr("wsremote.naming.lookup.NameServer", registry.reach)
    registry.answers = {
        "resolve": lambda *args: [SERVER],
        "servers": lambda prefix: [SERVER],
        "doubt": lambda: None,
    }


@pytest.fixture
def memory(tmp_path: Path) -> Remembered:
    """An empty one."""
    return Remembered(tmp_path)


def found(memory: Remembered, wanted: Wanted = RISK) -> list[str]:
    """The ids of the servers."""
    answer = look_up(wanted, NAMESERVERS, ssl_context=None, timeout=5.0, remembered=memory)
    return [each.id for each in answer.servers]


def test_the_question_has_all_that_was_asked_for(memory: Remembered, registry: Registry) -> None:
    """Of the first name server; the session with it is closed."""
    assert found(memory) == ["1"]
    assert registry.calls == [(A, "resolve", ("risk", "~=1.2", ("gpu",), "eu", 3))]
    assert registry.open == 0


def test_the_next_one_is_asked_and_then_always_first(
    memory: Remembered, registry: Registry
) -> None:
    """As long as it answers."""
    registry.down.add(A)
    found(memory)
    registry.down.clear()
    found(memory)
    assert [url for url, _, _ in registry.calls] == [B, B]


def test_a_name_is_not_found_if_no_name_server_has_it(
    memory: Remembered, registry: Registry
) -> None:
    """One that was just started may not know it yet; the text is the first one's."""
    registry.raising["resolve"] = [NameNotFound("no risk here; there is riks")]
    assert found(memory) == ["1"]
    registry.raising["resolve"] = [NameNotFound("no risk here"), NameNotFound("nor here")]
    with pytest.raises(NameNotFound, match=r"no risk here$"):
        found(memory)
    registry.raising["resolve"] = [NameNotFound("no risk here")]
    registry.down.add(A)
    with pytest.raises(NameNotFound, match=f"no version here; nobody at {A}") as caught:
        registry.raising["resolve"] = [NameNotFound("no version here")]
        found(memory, Wanted("risk", "~=9.0"))
    assert not caught.value.is_certain


UNSURE = NameNotFound("was started a moment ago", is_certain=False)


@pytest.mark.parametrize("said", [[UNSURE, UNSURE], [NameNotFound("no risk here")]])
def test_what_no_name_server_is_certain_of_does_not_count(
    memory: Remembered, registry: Registry, said: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither has heard of it, or one is down that may have: what is remembered is used."""
    found(memory)
    if len(said) == 1:
        registry.down.add(B)
    registry.raising["resolve"] = list(said)
    assert found(memory) == ["1"]
    assert str(said[0]) in caplog.text
    registry.raising["resolve"] = list(said)
    with pytest.raises(NameNotFound, match=str(said[0])) as caught:
        found(memory, Wanted("risk"))
    assert not caught.value.is_certain


def test_one_of_them_that_is_certain_is_enough(memory: Remembered, registry: Registry) -> None:
    """They know the same; what is remembered is older."""
    found(memory)
    registry.raising["resolve"] = [UNSURE, NameNotFound("no risk here")]
    with pytest.raises(NameNotFound) as caught:
        found(memory)
    assert caught.value.is_certain


DRAINING = NameNotFound("the only one drains", is_known=True)
DOUBTED = NameNotFound("has only 1.1, it seems", is_certain=False, is_known=True)


@pytest.mark.parametrize("down", [A, B])
def test_what_is_said_of_servers_that_are_known_is_certain(
    memory: Remembered, registry: Registry, down: str
) -> None:
    """Whoever else is down: a server that drains is not gone back to."""
    found(memory)
    registry.down.add(down)
    registry.raising["resolve"] = [DRAINING]
    with pytest.raises(NameNotFound, match=r"^the only one drains; nobody at") as caught:
        found(memory)
    assert caught.value.is_certain and caught.value.is_known
    registry.raising["resolve"] = [DOUBTED]
    assert found(memory) == ["1"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([NameNotFound("no risk here")] * 2, True),
        ([UNSURE, NameNotFound("no risk here")], True),
        ([NameNotFound("no risk here"), ConnectionFailed("another is down")], True),
        ([NameNotFound("no risk here")], False),
        ([UNSURE, UNSURE], False),
        ([UNSURE, ConnectionFailed("another is down")], False),
        ([ConnectionFailed("has no such function")] * 2, False),
        ([ValueError("no url")], False),
        ([], False),
    ],
)
def test_a_server_is_gone_if_one_is_certain_and_none_knows_it(
    registry: Registry, said: list[Exception], expected: bool
) -> None:
    """That a name server which was just started has not heard of it says nothing."""
    registry.raising["find"] = list(said)
    registry.answers["find"] = lambda name, url: SERVER
    assert is_gone("risk", "ws://s:1", NAMESERVERS, ssl_context=None, timeout=5.0) is expected
    assert registry.calls[0] == (A, "find", ("risk", "ws://s:1"))


def test_what_is_not_found_is_not_remembered(memory: Remembered, registry: Registry) -> None:
    """A name server that knows that there is no server is right."""
    found(memory)
    registry.raising["resolve"] = [NameNotFound("gone")] * 2
    with pytest.raises(NameNotFound):
        found(memory)


def test_the_last_answer_is_used_when_nobody_answers(
    memory: Remembered, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning, which says how old it is and why."""
    found(memory)
    registry.down |= {A, B}
    assert found(memory) == ["1"]
    (warning,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "where it was 0 min ago, ws://s:1" in warning
    assert A in warning and B in warning
    with pytest.raises(ConnectionFailed, match=f"none has before.*{A}.*{B}"):
        found(memory, Wanted("risk"))


def test_where_something_is_remembered_nobody_waits_long(
    memory: Remembered, registry: Registry
) -> None:
    """Name servers that are silent get 3 s together, not all of the timeout."""
    registry.down |= {A, B}
    wanted = {"ssl_context": None, "timeout": 60.0, "remembered": memory}
    with pytest.raises(ConnectionFailed):
        look_up(RISK, NAMESERVERS, **wanted)
    assert registry.timeouts == [pytest.approx(30.0, abs=1.0), pytest.approx(60.0, abs=1.0)]
    registry.down.clear()
    look_up(RISK, NAMESERVERS, **wanted)
    registry.timeouts.clear()
    look_up(RISK, NAMESERVERS, **wanted)
    assert registry.timeouts == [pytest.approx(1.5, abs=0.5)]


def test_a_wrong_token_is_said_if_all_say_it(memory: Remembered, registry: Registry) -> None:
    """Whatever is remembered: somebody has to do something about it."""
    found(memory)
    registry.refuses = AuthenticationFailed("wrong token")
    with pytest.raises(AuthenticationFailed, match=r"^wrong token$"):
        found(memory)


def test_one_that_refuses_may_be_an_impostor(memory: Remembered, registry: Registry) -> None:
    """Where the others are down, what is remembered is used."""
    found(memory)
    registry.down.add(B)
    registry.raising["resolve"] = [AuthenticationFailed("wrong token")]
    assert found(memory) == ["1"]


def test_a_version_that_makes_no_sense_is_said(memory: Remembered, registry: Registry) -> None:
    """By the name server, which reads it."""
    registry.raising["resolve"] = [ValueError("'one' is no version")]
    with pytest.raises(ValueError, match="no version"):
        found(memory)


@pytest.mark.parametrize("answer", [None, 7, "risk", {}, [], [7], [{**SERVER, "name": "other"}]])
def test_an_answer_that_makes_no_sense_is_none(
    memory: Remembered, registry: Registry, answer: Any
) -> None:
    """The next name server is asked."""
    answers = [answer, [SERVER]]
    registry.answers["resolve"] = lambda *args: answers.pop(0)
    assert found(memory) == ["1"]
    assert [url for url, _, _ in registry.calls] == [A, B]


def test_a_wrong_record_among_others_is_left_out(
    memory: Remembered, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """And named in the log."""
    registry.answers["resolve"] = lambda *args: [{**SERVER, "urls": ["mailto:x"]}, SERVER]
    assert found(memory) == ["1"]
    assert "left out: urls: 'mailto:x'" in caplog.text


def test_all_servers_are_sorted(registry: Registry) -> None:
    """By name, the oldest of a name first."""
    young, old = {**SERVER, "id": "2", "age": 1}, {**SERVER, "id": "3", "age": 9}
    other = {**SERVER, "name": "a"}
    registry.answers["servers"] = lambda prefix: [young, old, other]
    servers = all_servers("", NAMESERVERS, ssl_context=None, timeout=5.0)
    assert [each.id for each in servers] == ["1", "3", "2"]
    assert all(isinstance(each, ServerInfo) for each in servers)


def test_a_list_says_how_many_were_left_out(registry: Registry) -> None:
    """It may be empty for that alone."""
    registry.answers["servers"] = lambda prefix: [7, {}, None, "x"]
    servers = all_servers("", NAMESERVERS, ssl_context=None, timeout=5.0)
    assert (servers, servers.left_out) == ([], 4)


def test_a_list_that_may_not_be_whole_says_so(registry: Registry) -> None:
    """What is no text says nothing."""
    for said, doubt in ((None, ""), (7, ""), ("it has\njust begun", "it has just begun")):
        registry.answers["doubt"] = lambda: said  # noqa: B023
        servers = all_servers("", NAMESERVERS, ssl_context=None, timeout=5.0)
        assert [each.id for each in servers] == ["1"]
        assert servers.doubt == doubt
    # Before the list: who comes in between is in it, or was in doubt.
    assert registry.functions(A)[-2:] == ["doubt", "servers"]
