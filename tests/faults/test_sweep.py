"""A fault at every byte of what is said before a session is open, or goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from faults.flow import Flow
from faults.proxy import FaultProxy, Line
from harness import ServedProcess

import wsremote
from wsremote.client import resuming
from wsremote.errors import ConnectionFailed
from wsremote.protocol.liveness import Backoff


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again at once, a thousand times."""
    monkeypatch.setattr(Backoff, "_BASE", 0.0)


DIRECTIONS = pytest.mark.parametrize("direction", ["up", "down"])


def flow_of(line: Line, direction: str) -> Flow:
    """One direction of a line."""
    return line.up if direction == "up" else line.down


@DIRECTIONS
@pytest.mark.parametrize(("way", "step"), [("cut", 1), ("reset", 7)])
def test_a_cut_at_every_byte_of_the_opening(
    steady: ServedProcess, proxy: FaultProxy, direct: Any, direction: str, way: str, step: int
) -> None:
    """There is a session, with the second attempt, or a clear error; none is left behind."""

    def plan(line: Line) -> None:
        if line.number == broken:
            flow_of(line, direction).cut_after(place, getattr(line, way))

    proxy.plan = plan
    opened = 0
    for place in itertools.count(step=step):
        broken = len(proxy.lines)
        try:
            session = wsremote.connect(proxy.url, token=steady.token, new=True)
        except ConnectionFailed:
            # Nothing was said yet: the server has not even answered the HTTP request.
            assert proxy.lines[broken].up.messages == 0
            continue
        opened += 1
        assert session.modules.steady.add(place, 1) == place + 1
        # What says goodbye is not swept: without it, the session stays for its time of grace.
        flow_of(proxy.lines[broken], direction).cut_after(None)
        assert session.modules.steady.add(place, 2) == place + 2
        session.close()
        if not proxy.lines[broken].is_cut:
            break
    assert opened > 200 // step
    assert direct.wait_for_sessions(1) == 1


def resume_with(
    proxy: FaultProxy, counter: Any, number: int, fault: Callable[[Line], None]
) -> Line:
    """Cut the line, have a fault on the next one, and see that the session goes on."""
    broken = len(proxy.lines)
    proxy.plan = lambda line: fault(line) if line.number == broken else None
    proxy.cut()
    assert counter.step() == number
    proxy.plan = None
    return proxy.lines[broken]


@DIRECTIONS
@pytest.mark.parametrize("way", ["cut", "reset"])
def test_a_cut_at_every_byte_of_the_resume(
    proxy: FaultProxy, pkg: Any, direction: str, way: str
) -> None:
    """Through the first answer behind it; the call that waits is executed once."""
    counter = pkg.Counter()
    for place in itertools.count():
        line = resume_with(
            proxy,
            counter,
            place + 1,
            lambda line: flow_of(line, direction).cut_after(place, getattr(line, way)),  # noqa: B023
        )
        if not line.is_cut:
            break
    assert place > 200
    assert counter.count == place + 1


@DIRECTIONS
def test_a_wrong_byte_at_every_place_of_the_resume(
    proxy: FaultProxy,
    remote: wsremote.Session,
    pkg: Any,
    direction: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is proved no longer fits, or cannot be read, or is waited for: another attempt does."""
    monkeypatch.setattr(resuming, "_ATTEMPT", 0.2)
    counter = pkg.Counter()
    end = None

    def note_the_end(flow: Flow, begins: int, ends: int) -> None:
        nonlocal end
        if flow.messages == 2:
            end = ends

    for place in itertools.count():

        def fault(line: Line) -> None:
            flow = flow_of(line, direction)
            if end is None:
                flow.on_message = note_the_end
            else:
                flow.corrupt(place, 0x11)  # noqa: B023

        resume_with(proxy, counter, place + 1, fault)
        assert end is not None
        if place >= end:
            break
    assert counter.count == place + 1 > 200
