"""What is told of large values on their way, with a clock of the test's own."""

from __future__ import annotations

import io
import logging
import sys
import types
from typing import Any

import pytest

from wsremote.client import progress
from wsremote.client.progress import Progress, ProgressReporter


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Told:
    """A reporter, and what it has told."""

    def __init__(self) -> None:
        self.received = (0, 0)
        self.reports: list[Progress] = []
        self.reporter = ProgressReporter(lambda: self.received)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the reporter takes for the time."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def told() -> Told:
    """With a callback."""
    told = Told()
    told.reporter.callback = told.reports.append
    return told


class Terminal(io.StringIO):
    """A stderr that somebody sees."""

    def isatty(self) -> bool:
        return True


def seen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """In the place of stderr; in the test itself, since pytest puts its own there before."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_what_is_sent_is_told_ten_times_a_second(clock: Clock, told: Told) -> None:
    """With what is called, its bytes, and at last all of them."""
    with told.reporter.sending(("pkg.mod:f", None), 1000):
        for _ in range(10):
            clock.now += 0.0625
            told.reporter.sent(100)
    assert [each.done for each in told.reports] == [100, 300, 500, 700, 900, 1000]
    assert {each.total for each in told.reports} == {1000}
    assert {each.direction for each in told.reports} == {"up"}
    assert {each.call for each in told.reports} == {"pkg.mod:f"}


def test_what_is_quick_is_not_told(clock: Clock, told: Told) -> None:
    """The clock has not moved: nobody could see it."""
    told.reporter.report()
    with told.reporter.sending(("pkg.mod:f", None), 1000):
        told.reporter.sent(1000)
    assert told.reports == []


def test_what_is_received_ends_when_its_message_has_come(clock: Clock, told: Told) -> None:
    """All of it is said to be there then, once."""
    for done in (10, 20, 30):
        told.received = done, 40
        told.reporter.report((3, "method"))
    told.received = 0, 0
    assert told.reporter.is_telling
    told.reporter.report()
    told.reporter.report()
    assert not told.reporter.is_telling
    assert [(each.direction, each.done, each.total) for each in told.reports] == [
        ("down", 10, 40),
        ("down", 20, 40),
        ("down", 30, 40),
        ("down", 40, 40),
    ]


def test_a_callback_that_fails_is_logged_once(
    clock: Clock, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """And is called again: it may recover."""

    def fail(report: Progress) -> None:
        told.reports.append(report)
        raise ValueError("of the callback")

    told.reporter.callback = fail
    with caplog.at_level(logging.ERROR, "wsremote.client"):
        for done in (10, 20, 30):
            told.received = done, 40
            told.reporter.report()
    assert len(told.reports) == 3
    assert len(caplog.records) == 1
    assert "of the callback" in caplog.text


def test_a_callback_may_be_interrupted(clock: Clock, told: Told) -> None:
    """Ctrl-C in it is Ctrl-C in the call; others report afterwards."""

    def interrupt(report: Progress) -> None:
        raise KeyboardInterrupt

    told.reporter.callback = interrupt
    told.received = 10, 40
    with pytest.raises(KeyboardInterrupt):
        told.reporter.report()
    told.reporter.callback = told.reports.append
    told.reporter.report()
    assert len(told.reports) == 1


def test_a_bar_comes_after_a_second_and_leaves_no_trace(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in one line, which is cleared in the end and leaves no trace."""
    terminal = seen(monkeypatch)
    told = Told()
    for done in range(0, 2_000_000_000, 100_000_000):
        told.received = done, 2_000_000_000
        told.reporter.report(("pkg.mod:f", None))
        if clock.now < 101:
            assert terminal.getvalue() == ""
        clock.now += 0.1
    text = terminal.getvalue()
    assert "pkg.mod:f: receiving [#############...........] 1100 of 2000 MB" in text
    assert "\n" not in text
    told.received = 0, 0
    told.reporter.report()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_bar_makes_room_for_what_is_printed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn again below."""
    terminal = seen(monkeypatch)
    told = Told()
    for _ in range(30):
        told.received = 1_000_000, 2_000_000
        told.reporter.report()
        clock.now += 0.1
    told.reporter.hide()
    assert terminal.getvalue().endswith("\r\x1b[K")
    told.reporter.hide()
    told.reporter.report()
    assert not terminal.getvalue().endswith("\r\x1b[K")


def test_no_bar_where_nobody_sees_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """Neither in a file nor beside a callback."""
    for stream, callback in (
        (io.StringIO(), None),
        (None, None),
        (Terminal(), told.reports.append),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        told.reporter.callback = callback
        for _ in range(30):
            told.received = 1_000_000, 2_000_000
            told.reporter.report()
            clock.now += 0.1
        if stream is not None:
            assert stream.getvalue() == ""


def test_a_notebook_has_one_display_that_is_updated(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And emptied in the end; IPython is not loaded for it."""
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            shown.append(data)

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.append(data)
        return Handle()

    told = Told()
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module: Any = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    for _ in range(13):
        told.received = 1_000_000, 2_000_000
        told.reporter.report()
        clock.now += 0.1
    told.received = 0, 0
    told.reporter.report()
    assert len(shown) >= 3
    assert "1 of 2 MB" in shown[0]["text/plain"]
    assert shown[-1]["text/plain"] == ""
