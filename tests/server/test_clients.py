"""Whose call runs here, servers with several tokens, and waiting that an interrupt ends."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import open_connected, open_session
from wsremote.errors import AuthenticationFailed
from wsremote.protocol.messages import Gone, Welcome
from wsremote.protocol.opening import Resumption
from wsremote.protocol.proof import ClientProof
from wsremote.server.clients import current_client

OTHER = "another of the tests"
SOURCE = """
import queue, threading
from wsremote.server.clients import Bell, current_client

bells = {}
begun = queue.SimpleQueue()
ended = queue.SimpleQueue()
doors = {}

def who():
    found = current_client()
    return None if found is None else (found.key_id, found.session, dict(found.said)["pid"])

async def who_awaited():
    return who()

def who_else():
    "Asked in a thread that is no call's."
    found = []
    thread = threading.Thread(target=lambda: found.append(who()))
    thread.start()
    thread.join()
    return found[0]

def call(function):
    before = who()
    function()
    return before == who()

def wait(name):
    bell = bells[name] = Bell()
    begun.put(name)
    try:
        bell.wait()
    finally:
        ended.put(name)
    return name

def wait_and_go_on(name):
    "Until the door `out` is open."
    door = doors["out"] = threading.Event()
    wait(name)
    while not door.wait(0.005):
        pass

async def wait_awaited(name):
    bell = bells[name] = Bell()
    begun.put(name)
    try:
        await bell.awaited()
    finally:
        ended.put(name)
    return name
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server with two tokens."""
    with serving(tmp_path, source=SOURCE, further_tokens=(OTHER,)) as server:
        yield server


def until_without_ticks(local: Local) -> None:
    """Return when the server's poller looks after no connection."""
    barrier(local.server.poller)
    while local.server.poller._hot:
        barrier(local.server.poller)


def key_id(token: str) -> str:
    return ClientProof(token).key_id


@pytest.mark.parametrize("token", [TOKEN, OTHER])
def test_each_token_opens_a_session_of_its_own(local: Local, token: str) -> None:
    """The served code is told which token it was, in plain calls, awaited ones and batches."""
    with wsremote.connect(local.url, token=token, new=True) as session:
        module: Any = getattr(session.modules, local.name)
        key, number, _ = module.who()
        assert key == key_id(token)
        assert number == session.id
        assert module.who_awaited()[:2] == (key, number)
        assert session.submit(module.who).result(PATIENCE)[:2] == (key, number)
        with session.pipeline():
            promise = module.who()
        assert promise.result()[:2] == (key, number)


def test_inside_a_callback_it_is_the_client_that_calls(local: Local) -> None:
    """A call that a client makes while it is called back is its own; so is the rest after it."""
    with (
        wsremote.connect(local.url, token=TOKEN, new=True) as one,
        wsremote.connect(local.url, token=OTHER, new=True) as other,
    ):
        mine: Any = getattr(one.modules, local.name)
        theirs: Any = getattr(other.modules, local.name)
        seen: list[str] = []

        def ask() -> None:
            seen.extend([mine.who()[0], theirs.who()[0]])

        assert mine.call(ask) is True
        assert seen == [key_id(TOKEN), key_id(OTHER)]


def test_outside_of_calls_there_is_no_client(local: Local) -> None:
    """Neither in a thread that served code starts, nor in one that serves nobody."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        assert getattr(session.modules, local.name).who_else() is None
    assert current_client() is None


def test_any_other_token_is_refused_alike(local: Local) -> None:
    """As with one token: the same text, and nothing that says how many there are."""
    with pytest.raises(AuthenticationFailed, match="did not prove"):
        wsremote.connect(local.url, token="guess", new=True)


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), (OTHER, 200), ("guess", 401)])
def test_each_token_opens_the_pages(local: Local, token: str, status: int) -> None:
    """As the bearer of a plain request."""
    url = local.url.replace("ws://", "http://") + "/info.json"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        assert error.code == status
        error.close()


def test_another_token_takes_up_no_session(local: Local) -> None:
    """A session belongs to the token that it was opened with, whatever its secret is."""
    opened = open_session(local.url, TOKEN, "", ssl_context=None, timeout=PATIENCE)
    try:
        assert isinstance(opened.answer, Welcome)
        purpose = Resumption(opened.answer.session, opened.answer.secret, 2, 0, [], {})
        other = open_connected(local.url, OTHER, purpose, ssl_context=None, timeout=PATIENCE)
        assert isinstance(other.answer, Gone)
        assert other.answer.why == "unknown"
    finally:
        opened.connection.abort("the test is done")
        opened.connection.free()


def test_what_became_of_sessions_is_kept_for_each_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next server with the same tokens knows what the first did, of both."""
    state = tmp_path / "state"
    monkeypatch.setenv("WSREMOTE_STATE", str(state))
    with serving(tmp_path, source=SOURCE, further_tokens=(OTHER,)) as first:
        for token in (TOKEN, OTHER):
            opened = open_session(first.url, token, "", ssl_context=None, timeout=PATIENCE)
            # Its client would have ended a session that it closes, and nothing would be kept.
            opened.connection.abort("the test says so")
            opened.connection.free()
        first.settle()
    assert {path.name for path in state.iterdir()} == {
        f"tombstones-{key_id(token)}.json" for token in (TOKEN, OTHER)
    }


@pytest.mark.parametrize("function", ["wait", "wait_awaited"])
def test_ctrl_c_ends_a_call_that_waits_for_a_bell(local: Local, function: str) -> None:
    """At once, although the thread sleeps in a lock; without, it would sleep on for ever."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module: Any = getattr(session.modules, local.name)
        future = session.submit(getattr(module, function), "door")
        assert local.module.begun.get(timeout=PATIENCE) == "door"
        future.cancel()
        assert local.module.ended.get(timeout=PATIENCE) == "door"
    assert local.module.ended.empty()


@pytest.mark.parametrize("function", ["wait", "wait_awaited"])
def test_a_call_that_waits_for_a_bell_has_no_ticks(local: Local, function: str) -> None:
    """Hundreds may wait. What it prints when it goes on is sent before it ends, as always."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module: Any = getattr(session.modules, local.name)
        future = session.submit(getattr(module, function), "door")
        assert local.module.begun.get(timeout=PATIENCE) == "door"
        until_without_ticks(local)
        local.module.bells["door"].ring()
        assert future.result(PATIENCE) == "door"


def test_a_call_that_goes_on_behind_a_bell_has_ticks_again(local: Local) -> None:
    """They send what it prints, although it goes on for long."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module: Any = getattr(session.modules, local.name)
        thread = threading.Thread(target=module.wait_and_go_on, args=["door"])
        thread.start()
        assert local.module.begun.get(timeout=PATIENCE) == "door"
        until_without_ticks(local)
        local.module.bells["door"].ring()
        assert local.module.ended.get(timeout=PATIENCE) == "door"
        barrier(local.server.poller)
        assert local.server.poller._hot
        local.module.doors["out"].set()
        thread.join(PATIENCE)
