"""A client that makes more calls than its server can run: both sides hold a part of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from local_server import PATIENCE, TOKEN, Local

import wsremote
from wsremote.protocol.messages import Exec
from wsremote.server.session import Session

MOST = 64 * 1024 * 1024


def size_of(entry: Any) -> int:
    """Bytes of the arguments of a queued call."""
    if isinstance(entry, Exec):
        return len(entry.payload)
    arguments = entry[4]
    if type(arguments) is bytes:
        return len(arguments)
    return sum(len(each) for each in arguments if isinstance(each, str | bytes))


def held_by_server(local: Local) -> int:
    """Bytes of calls that wait in a server."""
    held = 0
    for session in list(local.server._sessions.values()):
        if isinstance(session, Session):
            held += sum(map(len, [b for each in list(session._buffers.values()) for b in each]))
            held += session._transfers._size + session._kept_size()
            if session._pool is not None:
                held += sum(map(size_of, list(session._pool.calls)))
    return held


def held_by_client(session: wsremote.Session) -> int:
    """Bytes of calls that wait in a client."""
    driver = session._driver
    return driver._kept_size() + driver.connection._backlog_size + driver.submitting._bytes


@pytest.mark.parametrize("value", ["x" * 1_000_000, b"x" * 1_000_000, "x" * 10_000, "x"])
def test_a_flood_of_submits_waits_in_its_own_thread(local: Local, value: Any) -> None:
    """Text, buffers, what leaves in batches; all of them are answered in the end."""
    count = 20_000 if len(value) < 1000 else 8_000 if len(value) < 100_000 else 200
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module = getattr(session.modules, local.name)
        futures: list[Any] = []

        def flood() -> None:
            # One by one: what was submitted is counted while it goes on.
            for _ in range(count):
                futures.append(session.submit(module.size_behind, "flood", value))  # noqa: PERF401

        thread = threading.Thread(target=flood)
        thread.start()
        # It has this long to fill the memory, if nothing stops it.
        thread.join(2.0)
        assert held_by_server(local) < MOST
        assert held_by_client(session) < MOST
        local.module.door("flood").set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert {future.result(PATIENCE) for future in futures} == {len(value)}
        assert len(futures) == count
