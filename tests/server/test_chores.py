"""Chores: done by a thread that nobody waits for, which comes and goes."""

from __future__ import annotations

import queue
import threading

import pytest
from local_server import PATIENCE

from wsremote.server import chores
from wsremote.server.chores import Chores


def test_they_are_done_in_order_in_the_thread_that_asks() -> None:
    """All that wait, and nothing is left."""
    waiting, done = Chores("of the tests"), []
    assert not waiting
    for number in range(3):
        waiting.add(lambda number=number: done.append((number, threading.get_ident())))
    assert waiting
    waiting.do()
    assert done == [(number, threading.get_ident()) for number in range(3)]
    assert not waiting


def test_one_that_waits_holds_up_no_other() -> None:
    """Each start has a thread that is free, also if it is a chore that the first waits for."""
    waiting, freed = Chores("of the tests"), threading.Event()
    done: queue.SimpleQueue[object] = queue.SimpleQueue()
    for _ in range(5):
        waiting.add(lambda: done.put(freed.wait(PATIENCE)))
        waiting.start()
    waiting.add(freed.set)
    waiting.start()
    assert [done.get(timeout=PATIENCE) for _ in range(5)] == [True] * 5
    waiting.stop()


def test_a_thread_is_used_again_and_ends_when_it_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment by itself, and at once when the session ends."""
    waiting, done = Chores("of the tests"), queue.SimpleQueue[threading.Thread]()

    def do() -> threading.Thread:
        waiting.add(lambda: done.put(threading.current_thread()))
        waiting.start()
        return done.get(timeout=PATIENCE)

    def idle() -> None:
        while not waiting._idle:
            continue

    first = do()
    idle()
    assert do() is first
    idle()
    waiting.stop()
    first.join(PATIENCE)
    assert not first.is_alive()
    monkeypatch.setattr(chores, "IDLE", 0.001)
    second = do()
    second.join(PATIENCE)
    assert not second.is_alive()
    assert waiting._idle == 0
    assert do() is not second
