"""Many threads and many sessions at once, and nothing left of them afterwards."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import poller as client_poller
from wsremote.server.config import Limits


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process: it keeps a session for long whose client does not say goodbye."""
    with serving(tmp_path, limits=Limits()) as local:
        yield local


def connect(local: Local) -> wsremote.Session:
    """A session of its own."""
    return wsremote.connect(local.url, token=TOKEN, new=True)


def in_threads(count: int, run: Any) -> None:
    """Run `run(number)` in so many threads; fail with what one of them raises."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            run(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), "a call has no answer"
    if errors:
        raise errors[0]


def use(module: Any, number: int, rounds: int) -> None:
    """Calls of all kinds, with the right answer for each."""
    chance = random.Random(number)
    counter = module.Counter()
    for step in range(1, rounds + 1):
        kind = chance.randrange(7)
        if kind == 0:
            assert module.add(number, step) == number + step
        elif kind == 1:
            with pytest.raises(ValueError, match=f"^{number}-{step}"):
                module.fail(f"{number}-{step}")
        elif kind == 2:
            assert module.call(lambda a: module.add(a, number), step) == step + number
        elif kind == 3:
            items = [0] * (step % 5)
            assert module.extend(items) == len(items)
        elif kind == 4:
            size = chance.choice([10, 40_000, 300_000])
            assert len(module.block(size)) == size
        elif kind == 5:
            assert module.Counter() + step == step
        before = counter.count
        assert counter.step() == before + 1 == counter.count


def test_mixed_calls_of_sixteen_threads_are_answered_right(local: Local) -> None:
    """One session for all of them: calls, errors, callbacks, changes, buffers, handles."""
    with connect(local) as session:
        module = getattr(session.modules, local.name)
        in_threads(16, lambda number: use(module, number, 40))


def test_sessions_do_not_disturb_each_other(local: Local) -> None:
    """Eight sessions, two threads each."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(connect(local)) for _ in range(8)]
        modules = [getattr(session.modules, local.name) for session in sessions]
        in_threads(16, lambda number: use(modules[number % 8], number, 20))


def test_nothing_is_left_of_two_hundred_sessions(local: Local) -> None:
    """Threads, descriptors, handles, sessions, timers: as many as after the first one."""

    def one(number: int) -> None:
        with connect(local) as session:
            module = getattr(session.modules, local.name)
            counters = [module.Counter() for _ in range(3)]
            assert module.call(lambda: counters[0].step()) == 1
            assert number or len(module.block(100_000)) == 100_000

    def left() -> tuple[int, int, int, int]:
        local.settle()
        for thread in local.threads():
            thread.join(PATIENCE)
        callbacks = [each for each in threading.enumerate() if "callbacks" in each.name]
        for thread in callbacks:
            thread.join(PATIENCE)
        gc.collect()
        counters = sum(type(each) is local.module.Counter for each in gc.get_objects())
        descriptors = len(os.listdir("/proc/self/fd"))
        return threading.active_count(), descriptors, counters, len(local.server._receptions)

    one(0)
    first = left()
    for number in range(1, 100):
        one(number)
    in_threads(10, lambda number: [one(number) for _ in range(10)])
    # What the first ones leave behind may end after they were counted.
    while any(now > then for now, then in zip(left(), first, strict=True)):
        pass
    assert first[2:] == (0, 0)
    assert len(local.server._roster) == 0
    assert not local.server._roster.tombstones
    assert local.server.poller._connections == {}
    assert local.server.poller._hot == {}
    assert client_poller()._connections == {}


def test_many_calls_beside_a_long_one_fill_no_memory(local: Local) -> None:
    """One thread waits, and reads for all; nothing is kept of the calls of the others."""
    with connect(local) as session:
        module = getattr(session.modules, local.name)
        waiter = threading.Thread(target=module.wait, args=["long"])
        waiter.start()
        local.module.started.get(timeout=PATIENCE)
        for number in range(2000):
            assert module.add(number, 1) == number + 1
        driver = session._driver
        assert len(driver._sleepers) <= 1
        assert len(driver._calls) == 1
        (end,) = local.server._sessions.values()
        assert len(end._running) <= 2
        assert not end._queued
        assert not end._cancelled
        # What may have to be sent again: the other side says soon that it has it.
        assert len(driver._sequence.unacked) < 100
        assert len(end._sequence.unacked) < 100
        local.module.door("long").set()
        waiter.join(PATIENCE)
        assert not waiter.is_alive()


def test_uploads_and_downloads_at_once_do_not_wait_for_each_other(local: Local) -> None:
    """Both directions full, from several threads: each side goes on reading."""
    block = bytes(12_000_000)
    with connect(local) as session:
        module = getattr(session.modules, local.name)

        def move(number: int) -> None:
            if number % 2:
                assert module.call(len, block) == len(block)
            else:
                assert len(module.block(len(block))) == len(block)

        in_threads(6, move)


def test_closing_while_others_call_ends_every_call(local: Local) -> None:
    """Each thread gets a right answer or SessionClosed, none hangs."""
    for _ in range(10):
        session = connect(local)
        module = getattr(session.modules, local.name)
        running = threading.Barrier(9)

        def call(number: int, module: Any = module, running: Any = running) -> None:
            running.wait(PATIENCE)
            try:
                while True:
                    assert module.add(number, 1) == number + 1
            except wsremote.SessionClosed:
                return

        closer = threading.Thread(target=lambda: (running.wait(PATIENCE), session.close()))  # noqa: B023
        closer.start()
        in_threads(8, call)
        closer.join(PATIENCE)
    local.settle()
    barrier(client_poller())
