"""Progress of large values over a slow line, as the user hears of it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy

import wsremote
from wsremote.client.progress import Progress

SLOW = 5_000_000
"""Bytes a second."""


def test_both_ways_in_the_thread_that_waits(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any
) -> None:
    """Rising, with the call, and at the end all of it; the callback may use the session."""
    told: list[tuple[int, Progress, int]] = []

    def note(progress: Progress) -> None:
        told.append((threading.get_ident(), progress, pkg.add(len(told), 1)))

    remote.on_progress = note
    proxy.line.up.slow(SLOW)
    proxy.line.down.slow(SLOW)
    array = np.arange(500_000.0)
    assert np.array_equal(pkg.negative(array), -array)
    assert {thread for thread, _, _ in told} == {threading.get_ident()}
    assert [answer for _, _, answer in told] == list(range(1, len(told) + 1))
    for direction in ("up", "down"):
        reports = [each for _, each, _ in told if each.direction == direction]
        assert len(reports) >= 2
        assert [each.done for each in reports] == sorted(each.done for each in reports)
        assert {each.total for each in reports} == {array.nbytes}
        assert reports[-1].done == array.nbytes
        assert {each.call for each in reports} == {"steady:negative"}


def test_while_another_thread_reads(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, begin: Begin
) -> None:
    """A slow callback holds up nobody else, nor the transfer; it is told by who waits."""
    inside, leave = threading.Event(), threading.Event()
    told: list[str] = []

    def note(progress: Progress) -> None:
        told.append(threading.current_thread().name)
        if not inside.is_set():
            inside.set()
            assert leave.wait(PATIENCE)

    remote.on_progress = note
    proxy.line.down.slow(SLOW)
    coming = begin(pkg.numbers, 1_500_000)
    assert inside.wait(PATIENCE)
    for number in range(5):
        assert pkg.add(number, 1) == number + 1
    before = proxy.line.down.passed
    proxy.line.down.wait_passed(before + 1_000_000)
    leave.set()
    assert len(coming.result(PATIENCE)) == 1_500_000
    assert not [name for name in told if name.startswith("wsremote")]


def test_a_callback_that_fails_does_not_hurt(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any
) -> None:
    """The value arrives."""

    def fail(progress: Progress) -> None:
        raise ValueError("of the callback")

    remote.on_progress = fail
    proxy.line.down.slow(SLOW)
    assert len(pkg.numbers(400_000)) == 400_000
