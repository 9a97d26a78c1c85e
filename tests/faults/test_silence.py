"""Connections that look open and carry nothing: noticed by the clock, here a quick one."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy

import wsremote
from wsremote.client import link
from wsremote.protocol import liveness


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the times of the client."""
    for name in ("KEEPALIVE", "SILENCE", "PROBE", "PATIENCE"):
        monkeypatch.setattr(liveness, name, getattr(liveness, name) / 50)
    monkeypatch.setattr(link, "LOOK", link.LOOK / 50)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_half_open_connection_is_noticed_by_a_call(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direction: str, begin: Begin
) -> None:
    """Nothing comes back, neither an end nor an error: the call is executed once, elsewhere."""
    counter = pkg.Counter()
    assert counter.step() == 1
    line = proxy.line
    for flow in (line.up, line.down) if direction == "both" else (getattr(line, direction),):
        flow.drop()
    assert begin(counter.step).result(PATIENCE) == 2
    assert counter.count == 2
    assert len(proxy.lines) == 2


def test_a_half_open_connection_is_noticed_when_idle(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any
) -> None:
    """Nobody calls; the session has another connection by and by."""
    pkg.add(1)
    line = proxy.line
    line.blackhole()
    proxy.wait_for_line(1).down.wait_messages(2)
    assert pkg.add(1) == 2
    assert not remote.closed


def test_a_long_call_is_no_silence(proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin) -> None:
    """The server answers pings while it executes: the connection is never doubted."""
    running = begin(pkg.pass_door, "long")
    direct.wait_for_somebody("long")
    line = proxy.line
    # Several pings, each of which is answered.
    line.up.wait_messages(line.up.messages + 4)
    direct.open_door("long")
    assert running.result(PATIENCE) == "long"
    assert len(proxy.lines) == 1


def test_slow_is_not_silent(proxy: FaultProxy, pkg: Any, begin: Begin) -> None:
    """A result that trickles in for longer than the patience is no reason to give up."""
    line = proxy.line
    line.down.slow(400_000)
    assert len(pkg.block(400_000)) == 400_000
    assert len(proxy.lines) == 1


def test_an_attempt_that_hangs_is_given_up(
    proxy: FaultProxy, pkg: Any, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    """The line of the resume itself is a black hole: the next attempt gets through."""
    monkeypatch.setattr(sys.modules["wsremote.client.resuming"], "_ATTEMPT", 0.3)
    counter = pkg.Counter()
    proxy.plan = lambda line: line.blackhole() if line.number == 1 else None
    proxy.cut()
    assert begin(counter.step).result(PATIENCE) == 1
    assert len(proxy.lines) == 3
