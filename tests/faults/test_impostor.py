"""Another server answers at the address for a while, or for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.proxy import FaultProxy
from harness import Serve, ServedProcess

import wsremote
from wsremote.client import resuming

FOLDER = Path(__file__).parent


@pytest.fixture
def other(serve: Serve) -> ServedProcess:
    """A server with another token."""
    return serve("steady", path=(FOLDER,), token="another")


@pytest.fixture
def turn(steady: ServedProcess, proxy: FaultProxy) -> Iterator[Callable[[ServedProcess], None]]:
    """`turn(served)` cuts all connections and leads later ones to that server."""

    def to(served: ServedProcess) -> None:
        with proxy.outage():
            host, _, port = served.url.removeprefix("ws://").rpartition(":")
            proxy.target = host, int(port)

    yield to
    to(steady)


def test_another_server_for_a_while_takes_no_session(
    turn: Callable[[ServedProcess], None],
    other: ServedProcess,
    steady: ServedProcess,
    proxy: FaultProxy,
    remote: wsremote.Session,
) -> None:
    """It cannot prove the token, and so says nothing of the session."""
    counter = remote.modules.steady.Counter()
    assert counter.step() == 1
    turn(other)
    seen = len(proxy.lines)
    proxy.wait(lambda: len(proxy.lines) > seen + 3, "some attempts")
    assert not remote.closed
    turn(steady)
    assert counter.step() == 2


def test_another_server_for_good_ends_it_in_the_end(
    turn: Callable[[ServedProcess], None],
    other: ServedProcess,
    remote: wsremote.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its refusal says why."""
    monkeypatch.setattr(resuming, "_REFUSED_FOR", 0.2)
    counter = remote.modules.steady.Counter()
    turn(other)
    with pytest.raises(wsremote.SessionLost, match="did not prove that it knows the token") as lost:
        counter.step()
    assert lost.value.reason == "refused"
