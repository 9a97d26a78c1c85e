"""A session that cannot go on says why, and what became of everything it had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.background import Begin
from faults.ending import has_noticed, kill, lost, shut_down, target_of
from faults.flow import Flow
from faults.proxy import PATIENCE, FaultProxy, Line
from harness import Serve, ServedProcess

import wsremote
from wsremote.client.opening import open_connected
from wsremote.errors import SessionLost, SessionTakenOver
from wsremote.protocol.messages import Resumed
from wsremote.protocol.opening import Resumption

FOLDER = Path(__file__).parent


@pytest.fixture
def arguments() -> list[str]:
    """Of the server."""
    return []


@pytest.fixture
def home(serve: Serve, arguments: list[str]) -> ServedProcess:
    """A server for this test alone."""
    return serve("steady", *arguments, path=(FOLDER,))


@pytest.fixture
def proxy(home: ServedProcess) -> Iterator[FaultProxy]:
    """In front of it."""
    with FaultProxy(home.url) as proxy:
        yield proxy


@pytest.fixture
def steady(home: ServedProcess) -> ServedProcess:
    """What the other fixtures use."""
    return home


def test_a_restarted_server_executes_nothing_again(
    serve: Serve, home: ServedProcess, proxy: FaultProxy, remote: Any, pkg: Any, begin: Begin
) -> None:
    """The client says so, which calls may have run, and which objects are gone."""
    counter = pkg.Counter()
    running = begin(pkg.pass_door, "killed")
    with wsremote.connect(home.url, token=home.token, new=True) as direct:
        direct.modules.steady.wait_for_somebody("killed")
    with proxy.outage():
        # What is written before the client has noticed may have arrived.
        has_noticed(remote)
        waiting = begin(pkg.note, "never")
        successor = serve("steady", path=(FOLDER,))
        kill(home)
        proxy.target = target_of(successor)
    for error in (lost(running), lost(waiting)):
        assert error.reason == "restart"
        assert error.unknown == ("steady:pass_door",)
        assert error.not_executed == ("steady:note",)
        assert error.executed == ()
        assert any("Counter" in each for each in error.handles)
    for _ in range(2):
        with pytest.raises(SessionLost, match="restart") as again:
            counter.step()
        assert again.value.reason == "restart"
    assert remote.closed
    with wsremote.connect(successor.url, token=successor.token, new=True) as direct:
        assert direct.modules.steady.times("never") == 0
        assert direct.modules.steady.times("killed") == 0


def test_a_killed_server_is_waited_for(
    serve: Serve, home: ServedProcess, proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """Nobody says that the session is lost as long as nobody can know."""
    counter = pkg.Counter()
    kill(home)
    waiting = begin(counter.step)
    proxy.wait(lambda: proxy.refused >= 3, "three attempts")
    assert not waiting.done()
    proxy.target = target_of(serve("steady", path=(FOLDER,)))
    error = lost(waiting)
    assert error.reason == "restart"


@pytest.mark.parametrize("arguments", [["--grace", "0.3"]])
def test_grace_is_over(proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin) -> None:
    """The tombstone tells what had run to its end, and what had not begun; all is freed."""
    kept = pkg.Counter()
    assert direct.alive() == 1
    running = begin(pkg.pass_door, "expired")
    direct.wait_for_somebody("expired")
    ended = begin(pkg.pass_door, "ended")
    direct.wait_for_somebody("ended")
    with proxy.outage():
        direct.open_door("ended")
        direct.wait_until_passed("ended")
        waiting = begin(pkg.note, "too late")
        assert direct.wait_for_sessions(1) == 1
    for error in (lost(running), lost(ended), lost(waiting)):
        assert error.reason == "expired"
        assert error.executed == ("steady:pass_door",)
        assert error.unknown == ("steady:pass_door",)
        assert error.not_executed == ("steady:note",)
    assert direct.times("too late") == 0
    direct.open_door("expired")
    assert direct.alive() == 0
    with pytest.raises(SessionLost):
        kept.step()


def test_a_session_without_a_connection_makes_room_for_another(serve: Serve, begin: Begin) -> None:
    """The one that was detached longest is evicted, and is told so."""
    served = serve("steady", "--max-sessions-per-token", "2", path=(FOLDER,))
    with FaultProxy(served.url) as proxy:
        session = wsremote.connect(proxy.url, token=served.token, new=True)
        counter = session.modules.steady.Counter()
        with wsremote.connect(served.url, token=served.token, new=True) as second:
            with proxy.outage():
                waiting = begin(counter.step)
                assert second.modules.steady.alive() == 1
                with wsremote.connect(served.url, token=served.token, new=True) as third:
                    assert third.modules.steady.add(1) == 2
            error = lost(waiting)
        assert error.reason == "evicted"
        assert error.not_executed == ("object #1.step",)
        session.close()


def resumption(session: wsremote.Session, ahead: int) -> Resumption:
    """What another client would say that has the secret of a session."""
    driver = session._driver
    resumer = driver._resumer
    assert resumer is not None
    client = {"host": "elsewhere", "pid": 4}
    received = driver._sequence.received
    return Resumption(session.id, resumer._secret, resumer._attach + ahead, received, [], client)


def test_another_client_takes_the_session_over(
    home: ServedProcess, proxy: FaultProxy, remote: wsremote.Session, pkg: Any
) -> None:
    """This one says who has it, and does not take it back."""
    counter = pkg.Counter()
    counter.step()
    opened = open_connected(
        home.url, home.token, resumption(remote, 1), ssl_context=None, timeout=PATIENCE
    )
    assert isinstance(opened.answer, Resumed)
    proxy.line.wait_closed()
    for _ in range(2):
        with pytest.raises(SessionTakenOver, match="elsewhere"):
            counter.step()
    assert len(proxy.lines) == 1
    opened.connection.abort("the test is done")
    opened.connection.free()


@pytest.mark.parametrize("ahead", [0, -1])
def test_a_late_attempt_takes_nothing_over(
    home: ServedProcess, proxy: FaultProxy, remote: wsremote.Session, pkg: Any, ahead: int
) -> None:
    """One with a number that was used already is refused; the connection stays."""
    counter = pkg.Counter()
    proxy.cut()
    assert counter.step() == 1
    with pytest.raises(wsremote.ConnectionFailed, match="attempt"):
        open_connected(
            home.url, home.token, resumption(remote, ahead), ssl_context=None, timeout=PATIENCE
        )
    assert counter.step() == 2
    assert len(proxy.lines) == 2


def test_two_attempts_of_one_client_race(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any
) -> None:
    """The resume of an abandoned connection arrives behind that of its successor: nothing."""
    counter = pkg.Counter()

    def hold_the_resume(flow: Flow, begins: int, ends: int) -> None:
        if flow.messages == 2:
            flow.hold()

    def plan(line: Line) -> None:
        if line.number == 1:
            line.up.on_message = hold_the_resume

    proxy.plan = plan
    proxy.cut()
    late = proxy.wait_for_line(1)
    late.up.wait_messages(2)
    late.hang_up(on_client=True)
    assert counter.step() == 1
    late.up.release()
    late.wait_closed()
    assert counter.step() == 2
    assert len(proxy.lines) == 3
    assert not remote.closed


def test_calls_of_an_abandoned_connection_come_late(
    proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """They have been sent again, and are executed once."""
    counter = pkg.Counter()
    counter.step()
    late = proxy.line
    late.up.hold()
    before = late.up.messages
    waiting = begin(counter.step)
    late.up.wait_messages(before + 1)
    late.hang_up(on_client=True)
    assert waiting.result(PATIENCE) == 2
    late.up.release()
    late.wait_closed()
    assert counter.step() == 3
    assert counter.count == 3


def test_a_session_of_another_token_cannot_be_resumed(
    home: ServedProcess, remote: wsremote.Session, pkg: Any
) -> None:
    """Who has not the secret learns nothing, not even whether there is such a session."""
    pkg.add(1)
    right = resumption(remote, 1)
    for wrong in (right._replace(secret=os.urandom(32)), right._replace(session="0" * 32)):
        opened = open_connected(home.url, home.token, wrong, ssl_context=None, timeout=PATIENCE)
        assert tuple(opened.answer) == (
            "unknown",
            "the server does not know this session",
            None,
            None,
            None,
        )
    assert pkg.add(1) == 2


def test_a_server_that_shuts_down_says_so(
    home: ServedProcess, remote: wsremote.Session, pkg: Any, begin: Begin, direct: Any
) -> None:
    """Its sessions are over at once, and are not waited for."""
    counter = pkg.Counter()
    running = begin(pkg.pass_door, "shutdown")
    direct.wait_for_somebody("shutdown")
    shut_down(home)
    error = lost(running)
    assert error.reason == "shutdown"
    with pytest.raises(SessionLost, match="shutting down"):
        counter.step()
