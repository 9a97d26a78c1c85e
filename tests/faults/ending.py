"""Servers that end, one way or another, and what their clients hear of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from faults.proxy import PATIENCE
from harness import ServedProcess

import wsremote
from wsremote.errors import SessionLost


def target_of(served: ServedProcess) -> tuple[str, int]:
    """Where a proxy finds a server."""
    host, _, port = served.url.removeprefix("ws://").rpartition(":")
    return host, int(port)


def kill(served: ServedProcess) -> None:
    """As the out-of-memory killer does it."""
    served.process.kill()
    served.process.wait()
    served.expected_code = -9


def shut_down(served: ServedProcess) -> None:
    """As its operator does it."""
    served.process.terminate()
    assert served.process.wait(PATIENCE) == 0


def has_noticed(session: wsremote.Session) -> None:
    """Return when a client knows that it has no connection: what it sends from now on waits."""
    while session.connected:
        pass


def lost(future: Future[Any]) -> SessionLost:
    """What a call raises whose session is lost."""
    error = future.exception(PATIENCE)
    assert isinstance(error, SessionLost), error
    return error
