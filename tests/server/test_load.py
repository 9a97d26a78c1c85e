"""How busy a server says that it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from local_server import TOKEN, serving

from wsremote.client.session import Session
from wsremote.server import load
from wsremote.server.load import LoadMeter, resident_memory


class Meter:
    """A clock, and the processor time that was used."""

    now = 100.0
    used = 7.0


def test_the_processor_is_shared_among_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used since the last look, of what could have been; never above 1."""
    monkeypatch.setattr(load, "_cores", lambda: 4)
    with serving(tmp_path) as local:
        told = Meter()
        meter = LoadMeter(
            local.server, clock=lambda: told.now, used=lambda: told.used, memory=lambda: 5
        )
        assert meter.measure() == (0, 0, 0.0, 5)  # no time has passed
        told.now, told.used = 110.0, 17.0
        assert meter.measure().cpu == 0.25
        told.now, told.used = 120.0, 18.0
        assert meter.measure().cpu == 0.025
        told.now, told.used = 121.0, 99.0
        assert meter.measure().cpu == 1.0


def test_sessions_and_running_calls_are_counted(tmp_path: Path) -> None:
    """Those that have not called too; a call counts while it runs, submitted or not."""
    with serving(tmp_path) as local:
        meter = LoadMeter(local.server)
        with Session(local.url, TOKEN) as busy, Session(local.url, TOKEN):
            module = getattr(busy.modules, local.name)
            thread = threading.Thread(target=module.wait, args=["a"])
            thread.start()
            future = busy.submit(module.wait, "b")
            assert {local.module.started.get(timeout=20) for _ in range(2)} == {"a", "b"}
            assert meter.measure()[:2] == (2, 2)
            local.module.door("a").set()
            local.module.door("b").set()
            thread.join()
            assert future.result() == "b"
            # A call has ended a little behind its answer.
            while (found := meter.measure()[:2]) != (2, 0):
                assert found in ((2, 1), (2, 2))
        local.settle()
        assert meter.measure()[:2] == (0, 0)


def test_memory_is_what_is_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows with what is written to, and is told where there is no /proc too."""
    before = resident_memory()
    block = b"x" * (64 * 1024 * 1024)
    assert resident_memory() - before > 60 * 1024 * 1024
    assert len(block)
    monkeypatch.setattr(load, "_STATM", "/nowhere/statm")
    assert resident_memory() > 64 * 1024 * 1024
