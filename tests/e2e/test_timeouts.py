"""Calls that are given a time, sessions that are given one, and what becomes of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from faults.proxy import FaultProxy
from harness import OpenSession, Serve, ServedProcess

import wsremote

FAULTS = Path(__file__).parents[1] / "faults"


@pytest.fixture
def served(serve: Serve) -> ServedProcess:
    """A server of the module that waits at doors."""
    return serve("steady", "time", path=(FAULTS,))


@pytest.fixture
def remote(served: ServedProcess, session: OpenSession) -> wsremote.Session:
    """A session with it."""
    return session(served)


def test_a_call_that_takes_too_long_is_interrupted(remote: wsremote.Session) -> None:
    """On the server, too; and the session goes on."""
    pkg = remote.modules.steady
    with remote.timeout(0.2), pytest.raises(wsremote.CallTimeout, match="interrupted") as caught:
        pkg.pass_door("late")
    assert caught.value.outcome == "interrupted"
    assert isinstance(caught.value, TimeoutError)
    assert "steady:pass_door has not answered in 0.2 s" in str(caught.value)
    assert pkg.times("late") == 1
    assert pkg.times("late passed") == 0


def test_a_call_in_time_is_left_alone(remote: wsremote.Session) -> None:
    """Blocks nest, and end."""
    pkg = remote.modules.steady
    with remote.timeout(20):
        assert pkg.add(1) == 2
        with remote.timeout(None):
            assert pkg.add(2) == 3
            assert remote._driver.set_timeout(None) is None
        assert remote._driver.set_timeout(20) == 20
    assert remote._driver.set_timeout(None) is None


def test_the_timeout_is_the_threads_own(remote: wsremote.Session) -> None:
    """Another thread waits as long as it wants."""
    pkg = remote.modules.steady
    results: list[Any] = []
    other = threading.Thread(target=lambda: results.append(pkg.pass_door("patient")))
    with remote.timeout(0.2):
        other.start()
        with pytest.raises(wsremote.CallTimeout):
            pkg.pass_door("hasty")
    pkg.open_door("patient")
    other.join(20)
    assert results == ["patient"]


def test_code_in_c_goes_on_and_the_session_too(remote: wsremote.Session) -> None:
    """It cannot be ended; it is said so, and the next call does not wait for it."""
    with remote.timeout(0.1), pytest.raises(wsremote.CallTimeout) as caught:
        remote.modules.time.sleep(3)
    assert caught.value.outcome == "still running"
    assert remote.modules.steady.add(1) == 2


def test_a_call_that_never_left_never_starts(served: ServedProcess) -> None:
    """Without a connection: it is taken back, whatever comes later."""
    with (
        FaultProxy(served.url) as proxy,
        wsremote.connect(proxy.url, token=served.token, new=True) as session,
    ):
        pkg = session.modules.steady
        assert pkg.add(1) == 2
        proxy.refuse()
        proxy.cut()
        while session.connected:
            pass
        with session.timeout(0.1), pytest.raises(wsremote.CallTimeout) as caught:
            pkg.note("never")
        assert caught.value.outcome == "never started"
        assert "reconnecting" in repr(session)
        proxy.admit()
        assert pkg.times("never") == 0
        assert pkg.note("now") == 1
        assert session.connected


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_is_above_zero(remote: wsremote.Session, seconds: float) -> None:
    """A mistake is said at once."""
    with pytest.raises(ValueError, match="above zero"), remote.timeout(seconds):
        pass


def test_a_session_closed_without_a_connection_ends_on_the_server(
    served: ServedProcess, session: OpenSession
) -> None:
    """As soon as the server can be told."""
    direct = session(served).modules.steady
    before = direct.sessions()
    with FaultProxy(served.url) as proxy:
        other = wsremote.connect(proxy.url, token=served.token, new=True)
        assert direct.sessions() == before + 1
        proxy.refuse()
        proxy.cut()
        while other.connected:
            pass
        other.close()
        with pytest.raises(wsremote.SessionClosed, match="closed here"):
            other.modules.steady.add(1)
        proxy.admit()
        while direct.sessions() != before:
            pass


def test_a_killed_server_with_a_journal_knows_what_ran(serve: Serve, tmp_path: Path) -> None:
    """Of three unfinished calls: the one that ran is unknown, the others have not begun."""
    arguments = ("steady", "--journal", str(tmp_path / "journal"))
    served = serve(*arguments, path=(FAULTS,))
    session = wsremote.connect(served.url, token=served.token, new=True)
    pkg = session.modules.steady
    errors: list[Any] = []

    def call() -> None:
        try:
            pkg.pass_door("ran")
        except wsremote.SessionLost as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert pkg.wait_for_somebody("ran")
    served.expected_code = -9
    served.process.kill()
    served.process.wait(20)
    port = int(served.url.rpartition(":")[2])
    serve(*arguments, path=(FAULTS,), port=port)
    caller.join(30)
    (error,) = errors
    assert (error.reason, error.unknown) == ("killed", ("steady:pass_door",))
    assert error.not_executed == error.executed == ()
