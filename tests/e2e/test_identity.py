"""Names are hints: a client sees whether a server that it has reached is what it looked for."""

from __future__ import annotations

import http.server
import re
import signal
import threading

import pytest
from harness import ServedProcess
from named import LOOKS_UP, REGISTERS, Names, kill

import wsremote
from wsremote.client.async_session import AsyncSession
from wsremote.client.session import Session
from wsremote.errors import ConnectionFailed, NameNotFound, SessionLost


@pytest.fixture
def replaced(here: Names) -> ServedProcess:
    """`pricing`, on the port of `risk`, which was killed; the lease of that goes on."""
    old = here.server("risk", "--service-version", "1.2", "--tag", "gpu")
    kill(old)
    return here.server("pricing", port=old.port)


def test_another_server_in_the_place_of_a_dead_one_is_not_taken_for_it(
    here: Names, replaced: ServedProcess
) -> None:
    """Both take the token."""
    assert "risk" in {each.name for each in here.listed()}
    with pytest.raises(ConnectionFailed, match="is that of pricing, not of risk"):
        here.connect("risk")
    assert here.found("pricing") == replaced.url
    right = here.server("risk")
    assert {here.found("risk") for _ in range(8)} == {right.url}


async def test_it_is_not_in_a_loop_either(here: Names, replaced: ServedProcess) -> None:
    """The session that was opened for it is closed."""
    with pytest.raises(ConnectionFailed, match="is that of pricing, not of risk"):
        await wsremote.connect_async("risk", token=LOOKS_UP, nameserver=here.url)
    while any(each.load and each.load.sessions for each in here.listed("pricing")):
        pass


def test_a_server_without_a_name_stands_for_none(names: Names) -> None:
    """Not for what a client remembers either, when the name server is gone."""
    nameserver = names.nameserver()
    old = names.server("risk")
    names.connect("risk").close()
    kill(old)
    nameserver.stop()
    other = names.start("json", port=old.port, token=LOOKS_UP)
    with pytest.raises(ConnectionFailed, match="has no name, and is not that of risk"):
        names.connect("risk")
    wsremote.connect(other.url, token=LOOKS_UP, new=True).close()


@pytest.mark.parametrize(
    ("version", "tag", "problem"),
    [
        ("1.2", "gpu", None),
        ("1.2.1rc1", "gpu", None),
        ("2.0", "gpu", "of version 2.0 by now, and 1.2 was chosen for version='~=1.2'"),
        ("1.2", "cpu", "no longer the tags gpu"),
    ],
)
def test_one_that_was_started_again_is_it_if_it_is_what_was_asked_for(
    names: Names, version: str, tag: str, problem: str | None
) -> None:
    """The name server is down: only from the server itself does the client hear what it is."""
    nameserver = names.nameserver()
    old = names.server("risk", "--service-version", "1.2", "--tag", "gpu")
    assert names.found("risk", version="~=1.2", tags=["gpu"]) == names.found("risk") == old.url
    nameserver.stop()
    kill(old)
    names.server("risk", "--service-version", version, "--tag", tag, port=old.port)
    assert names.found("risk") == old.url
    if problem is None:
        assert names.found("risk", version="~=1.2", tags=["gpu"]) == old.url
    else:
        with pytest.raises(ConnectionFailed, match=re.escape(problem)):
            names.connect("risk", version="~=1.2", tags=["gpu"])


def test_what_is_pinned_may_be_called_otherwise_but_is_no_name_server(here: Names) -> None:
    """Who may pin has said so; the name server's own URL is a slip."""
    server = here.server("risk")
    with wsremote.connect(here.url, token=REGISTERS, new=True) as operator:
        names = operator.modules.nameserver
        pins = {"alias": server.url, "itself": here.url}
        for name, url in pins.items():
            names.pin({"name": name, "url": url})
        assert here.found("alias") == server.url
        with pytest.raises(ConnectionFailed, match="a name server is there"):
            here.connect("itself")
        for name, url in pins.items():
            names.unpin(name, url)


# ---- a server that is dead -----------------------------------------------------------------


def test_a_call_that_waits_for_a_killed_server_ends(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing listens there, and no name server has heard of it for a while."""
    monkeypatch.setattr("wsremote.client.resuming._LEFT_FOR", 0.4)
    names.nameserver("--lease", "3s")
    server = names.server("risk")
    session = names.connect("risk")
    kill(server)
    with pytest.raises(SessionLost, match=r"nothing listens any more.*wsremote\.connect"):
        session.modules.json.dumps(1)
    assert session.closed
    other = names.server("risk")
    assert names.found("risk") == other.url


class BadGateway(http.server.BaseHTTPRequestHandler):
    """A proxy whose server is gone."""

    def do_GET(self) -> None:
        """Whatever is asked."""
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_call_that_waits_behind_a_proxy_ends_too(
    here: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the proxy answers does not mean that the server is there."""
    monkeypatch.setattr("wsremote.client.resuming._LEFT_FOR", 0.1)
    server = here.server("risk")
    session = here.connect("risk")
    resumer = session._driver._resumer
    assert resumer is not None
    resumer.has_left = lambda: True
    kill(server)
    with http.server.ThreadingHTTPServer(("127.0.0.1", server.port), BadGateway) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(SessionLost, match="nothing listens any more"):
            session.modules.json.dumps(1)
        proxy.shutdown()
        thread.join()


def test_a_call_waits_as_long_as_somebody_hears_of_the_server(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or as no name server can be asked: it may be the network."""
    monkeypatch.setattr("wsremote.client.resuming._LEFT_FOR", 0.1)
    nameserver = names.nameserver("--lease", "60s")
    server = names.server("risk")
    session = names.connect("risk")
    asked: list[bool] = []
    resumer = session._driver._resumer
    assert resumer is not None
    has_left = resumer.has_left
    assert has_left is not None
    resumer.has_left = lambda: asked.append(has_left()) or asked[-1]
    kill(server)
    waiting = session.submit(session.modules.json.dumps, 1)
    while len(asked) < 3:
        session._driver._resumer.hurry()
    kill(nameserver)
    count = len(asked)
    while len(asked) < count + 3:
        session._driver._resumer.hurry()
    assert not any(asked) and not waiting.done() and not session.closed


def test_a_name_server_that_was_just_started_has_no_session_dropped(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not heard of the server yet, which lives: the connect cell gives the same session."""
    nameserver = names.nameserver()
    server = names.server("risk")
    session = wsremote.connect("risk", token=LOOKS_UP, nameserver=names.url)
    # It cannot register again.
    server.process.send_signal(signal.SIGSTOP)
    try:
        kill(nameserver)
        names.nameservers.clear()
        names.nameserver(port=nameserver.port)
        assert not names.listed()
        monkeypatch.setattr(Session, "connected", False)
        resumer = session._driver._resumer
        assert resumer is not None and resumer.has_left is not None
        assert not resumer.has_left()
        assert wsremote.connect("risk", token=LOOKS_UP, nameserver=names.url) is session
    finally:
        server.process.send_signal(signal.SIGCONT)
    session.close()


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on: no connection is there, and name servers are certain that no server is."""

    def look_up(*_: object, **__: object) -> None:
        raise NameNotFound("no risk here")

    monkeypatch.setattr("wsremote.naming.reaching.is_gone", lambda *_, **__: True)
    monkeypatch.setattr("wsremote.naming.reaching.look_up", look_up)
    for each in (Session, AsyncSession):
        monkeypatch.setattr(each, "connected", False)


def test_a_session_is_kept_if_there_is_no_other(
    here: Names, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Its server may be cut off from the name servers only. What is closed is not given."""
    here.server("risk")
    session = wsremote.connect("risk", token=LOOKS_UP, nameserver=here.url)
    request.getfixturevalue("forgotten")
    assert wsremote.connect("risk", token=LOOKS_UP, nameserver=here.url) is session
    assert f"{session.url} is kept, and waits for its server: no risk here" in caplog.text
    with pytest.raises(NameNotFound):
        here.connect("risk")
    session.close()
    with pytest.raises(NameNotFound):
        wsremote.connect("risk", token=LOOKS_UP, nameserver=here.url)


async def test_so_is_one_in_a_loop(here: Names, request: pytest.FixtureRequest) -> None:
    """As long as it is not closed."""
    here.server("risk")
    session = await wsremote.connect_async("risk", token=LOOKS_UP, nameserver=here.url)
    request.getfixturevalue("forgotten")
    assert await wsremote.connect_async("risk", token=LOOKS_UP, nameserver=here.url) is session
    await session.close()
    with pytest.raises(NameNotFound):
        await wsremote.connect_async("risk", token=LOOKS_UP, nameserver=here.url)
