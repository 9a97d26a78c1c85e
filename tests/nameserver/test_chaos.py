"""Processes are killed one after the other, and clients go on finding servers by their name."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, eventually

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Ends what a test has started."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_each_is_killed_in_turn(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """A server, a name server, Redis: no client ever fails to find a server that works."""
    # A server gives a name server that was killed 5 s before it turns to the next.
    cluster = Cluster(tmp_path, stack, "15s")
    ready = ["ready"] * 3
    cluster.expect(*ready)
    with cluster.load() as load:
        load.goes_on()
        for name in ("server-1", "server-3"):
            killed = cluster.processes[name].process.pid
            cluster.kill(name)
            load.goes_on()
            before = len(load.answers)
            cluster.start(name)
            # At once, not when the lease of the killed one ends: it has its URL.
            cluster.expect(*ready)
            load.goes_on()
            assert killed not in load.answers[before:]
        for name, other in (("names-1", "names-2"), ("names-2", "names-1")):
            cluster.kill(name)
            load.goes_on(30)
            cluster.expect_renewals(other)
            cluster.start(name)
            load.goes_on()
            cluster.expect(*ready)
        cluster.redis.kill()
        load.goes_on(30)
        for name in ("names-1", "names-2"):
            eventually(lambda: cluster.health(name)[0] == 503, lambda: "healthy")  # noqa: B023
            text = cluster.health(name)[1]
            assert "cannot be reached" in text
            assert "\n" not in text.strip()
        cluster.redis.start()
        load.goes_on()
        for name in ("names-1", "names-2"):
            eventually(lambda: cluster.health(name)[0] == 200, lambda: "not healthy")  # noqa: B023
        cluster.expect(*ready)
        load.goes_on()


def test_everything_but_the_servers_is_lost(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """All is found again with the next renewals: servers register anew."""
    cluster = Cluster(tmp_path, stack, "3s")
    cluster.expect("ready", "ready", "ready")
    cluster.redis.kill()
    for name in ("names-1", "names-2"):
        cluster.kill(name)
    cluster.redis.start()
    for name in ("names-1", "names-2"):
        cluster.start(name)
    cluster.expect("ready", "ready", "ready")
    with cluster.load() as load:
        load.goes_on()


def test_most_fall_silent_at_once(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """They are kept, as suspect: it may be the network of the name servers. They come back."""
    cluster = Cluster(tmp_path, stack, "3s")
    servers = ("server-1", "server-2", "server-3")
    cluster.expect("ready", "ready", "ready")
    cluster.signal(signal.SIGSTOP, *servers)
    try:
        cluster.expect("suspect", "suspect", "suspect")
    finally:
        cluster.signal(signal.SIGCONT, *servers)
    cluster.expect("ready", "ready", "ready")
    with cluster.load() as load:
        load.goes_on()


def test_one_falls_silent(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """Its lease ends, and it comes back with a new one when it can."""
    cluster = Cluster(tmp_path, stack, "3s")
    cluster.expect("ready", "ready", "ready")
    cluster.signal(signal.SIGSTOP, "server-2")
    try:
        cluster.expect("ready", "ready")
        with cluster.load() as load:
            load.goes_on()
    finally:
        cluster.signal(signal.SIGCONT, "server-2")
    cluster.expect("ready", "ready", "ready")
