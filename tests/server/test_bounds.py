"""The bounds of a server, each with an error that names it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from local_server import PATIENCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.server.config import Limits


def connect(local: Local) -> wsremote.Session:
    """A session of its own."""
    return wsremote.connect(local.url, token=TOKEN, new=True)


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    """Over HTTP, since it has not come further; who has left makes room."""
    with serving(tmp_path, limits=Limits(max_connections=1)) as local:
        with connect(local):
            with pytest.raises(
                wsremote.ConnectionFailed, match=r"503.*--max-connections \(1 now\)"
            ):
                connect(local)
        local.settle()
        connect(local).close()


def test_strangers_leave_no_room_for_others(tmp_path: Path) -> None:
    """Until they are turned away: the flag is named."""
    limits = Limits(max_unauthenticated=1, handshake_timeout=60)
    with serving(tmp_path, limits=limits) as local:
        host, _, port = local.url.removeprefix("ws://").partition(":")
        with socket.create_connection((host, int(port)), PATIENCE):
            while not local.server._receptions:
                barrier(local.server.poller)
            with pytest.raises(wsremote.ConnectionFailed, match="--max-unauthenticated"):
                connect(local)
        while local.server._receptions:
            barrier(local.server.poller)
        connect(local).close()


def test_sessions_without_a_connection_do_not_count_as_connections(tmp_path: Path) -> None:
    """They wait for their clients, which may be many."""
    with serving(tmp_path, limits=Limits(max_connections=1)) as local:
        for number in range(3):
            with contextlib.closing(RawClient(local)) as raw:
                raw.call(1, "add", 1, number)
                assert raw.answer() == (1, 1 + number)
            while any(session.is_attached for session in local.server._sessions.values()):
                barrier(local.server.poller)
        assert len(local.server._sessions) == 3


def test_a_result_that_cannot_be_kept_is_an_error_of_its_call(tmp_path: Path) -> None:
    """It says that the call was executed; others are kept, and the session goes on."""
    limits = Limits(max_unacknowledged=1024 * 1024)
    with serving(tmp_path, limits=limits) as local, connect(local) as session:
        module = getattr(session.modules, local.name)
        assert len(module.block(3_000_000)) == 3_000_000
        (there,) = local.server._sessions.values()
        # What the server believes: it would answer at once if it were so.
        there.is_attached = False
        with pytest.raises(wsremote.LimitExceeded, match=r"was executed.*--max-unacknowledged"):
            module.block(3_000_000)
        assert len(module.block(1000)) == 1000
        there.is_attached = True
        assert len(module.block(3_000_000)) == 3_000_000
