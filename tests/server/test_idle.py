"""Sessions that nobody uses, and clients of which nothing is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from local_server import TOKEN, Local, barrier, serving

import wsremote
from wsremote.server.config import Limits
from wsremote.server.session import Session


def look(local: Local, later: float) -> None:
    """Have the server look at all its sessions, as if that were so many seconds later."""
    now = time.monotonic() + later

    def at_all() -> None:
        for session in list(local.server._sessions.values()):
            session.look(now)

    local.server.poller.submit(at_all)
    barrier(local.server.poller)


def only(local: Local) -> Session:
    """The one session that there is."""
    (session,) = local.server._sessions.values()
    return session


def until(condition: Callable[[], bool], local: Local) -> None:
    """Wait for something that the server's poller does."""
    while not condition():
        barrier(local.server.poller)


def test_a_session_without_calls_ends_and_says_why(tmp_path: Path) -> None:
    """Not before its time, and not while it is used."""
    with serving(tmp_path, limits=Limits(idle_timeout=100)) as local:
        session = wsremote.connect(local.url, token=TOKEN, new=True)
        add = getattr(session.modules, local.name).add
        look(local, 0)
        look(local, 90)
        assert add(1, 2) == 3
        look(local, 150)
        assert add(1, 3) == 4
        # It counts as running for a moment more, in which its answer is here already.
        until(lambda: not only(local)._running, local)
        look(local, 200)
        look(local, 290)
        assert not session.closed
        look(local, 301)
        with pytest.raises(wsremote.SessionLost, match=r"no call was made for 100 s \(--idle-tim"):
            while True:
                add(1, 2)
        local.settle()


def test_without_the_flag_none_ends(tmp_path: Path) -> None:
    """Notebooks rest for days."""
    with (
        serving(tmp_path) as local,
        wsremote.connect(local.url, token=TOKEN, new=True) as session,
    ):
        look(local, 0)
        for day in range(1, 5):
            look(local, day * 86400.0)
            # The line was silent for a day: the client comes back over another.
            assert getattr(session.modules, local.name).add(1, 2) == 3


def test_a_silent_client_loses_its_connection_and_not_its_session(tmp_path: Path) -> None:
    """A line that is dead on its side would be kept for hours."""
    with (
        serving(tmp_path, limits=Limits()) as local,
        wsremote.connect(local.url, token=TOKEN, new=True) as session,
    ):
        counter = getattr(session.modules, local.name).Counter()
        assert counter.step() == 1
        connection = only(local).connection
        look(local, 0)
        look(local, 59)
        assert only(local).connection is connection
        look(local, 61)
        until(lambda: only(local).connection is not connection, local)
        assert counter.step() == 2
