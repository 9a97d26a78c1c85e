"""Large answers to tasks: the lane that all tasks share goes on meanwhile."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.proxy import FaultProxy
from local_server import PATIENCE, SOURCE, TOKEN, Local, serving

import wsremote
from wsremote import AsyncSession
from wsremote.errors import LimitExceeded
from wsremote.protocol.messages import Exec, Op
from wsremote.server import apart
from wsremote.server.apart import Apart, LargeAnswer, Made
from wsremote.server.config import Limits
from wsremote.server.session import Session

SIZE = 40_000_000
"""Bytes: more than leave at once."""

MORE = """
import weakref
import numpy

async def make(size):
    return bytes(size)

def zeros(count):
    return numpy.zeros(count)

def fill(array, value):
    array[:] = value

weak = weakref.WeakValueDictionary()

def weak_zeros(count):
    weak["array"] = array = numpy.zeros(count)
    return array

def fill_weak(value):
    if "array" in weak:
        weak["array"][:] = value

things = weakref.WeakSet()

class Thing:
    def __init__(self):
        things.add(self)

def with_thing(size):
    return Thing(), bytes(size)
"""


class Door:
    """Holds whoever has sent a piece of a buffer, until it is open."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        # For each piece that was sent, the name of the thread.
        self.senders: list[str] = []
        self._arrived = threading.Semaphore(0)

    def has_sent(self, session: Session, size: int) -> None:
        """In place of what a session does then."""
        self.senders.append(threading.current_thread().name)
        self._arrived.release()
        assert self.is_open.wait(PATIENCE)

    async def arrived(self) -> None:
        """Wait until one more stands there."""
        assert await asyncio.to_thread(self._arrived.acquire, timeout=PATIENCE)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, which keeps sessions."""
    source = f"{SOURCE}{MORE}\nconstant = bytes({SIZE})\n"
    limits = Limits(grace=PATIENCE, grace_when_empty=PATIENCE)
    with serving(tmp_path, limits, source) as local:
        yield local


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Of all sessions of the server."""
    door = Door()
    monkeypatch.setattr(Session, "_has_sent", lambda self, size: door.has_sent(self, size))
    yield door
    door.is_open.set()


@pytest.fixture
async def session(local: Local) -> AsyncIterator[AsyncSession]:
    """In the loop of the test."""
    async with wsremote.connect_async(local.url, token=TOKEN) as session:
        yield session


def ends(local: Local) -> Any:
    """The server's end of the only session."""
    (end,) = local.server._sessions.values()
    return end


async def idle(local: Local) -> None:
    """Wait until nothing is sent any more."""
    end = ends(local)
    async with asyncio.timeout(PATIENCE):
        while end.apart.leaving or end._running:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["plain", "coroutine", "attribute"])
async def test_small_calls_pass_a_large_answer(
    local: Local, session: AsyncSession, door: Door, kind: str
) -> None:
    """Of whatever call it is."""
    pkg = getattr(session.modules, local.name)
    assert await pkg.add(1, 2) == 3
    calls = {
        "plain": lambda: pkg.block(SIZE),
        "coroutine": lambda: pkg.make(SIZE),
        "attribute": lambda: pkg.constant,
    }
    large = asyncio.ensure_future(calls[kind]())
    await door.arrived()
    async with asyncio.timeout(PATIENCE / 2):
        for number in range(20):
            assert await pkg.add(number, 1) == number + 1
    assert not large.done()
    door.is_open.set()
    assert await large == bytes(SIZE)
    assert {name.rstrip("0123456789abcdef") for name in door.senders} == {"wsremote-answer-"}
    await idle(local)


async def test_a_task_that_is_cancelled_ends_the_transfer(
    local: Local, session: AsyncSession, door: Door
) -> None:
    """At the next piece; nothing of it is kept."""
    pkg = getattr(session.modules, local.name)
    large = asyncio.ensure_future(pkg.block(SIZE))
    await door.arrived()
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    end = ends(local)
    (call,) = end.apart.leaving
    async with asyncio.timeout(PATIENCE):
        while not end.apart.leaving[call].is_cancelled:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    door.is_open.set()
    await idle(local)
    assert len(door.senders) == 1
    assert end._outgoing == {}
    assert await pkg.block(3) == bytes(3)


async def test_it_goes_on_over_another_connection(local: Local, door: Door) -> None:
    """From where the client has it."""
    with FaultProxy(local.url) as proxy:
        async with wsremote.connect_async(proxy.url, token=TOKEN) as session:
            pkg = getattr(session.modules, local.name)
            large = asyncio.ensure_future(pkg.block(SIZE))
            await door.arrived()
            proxy.cut()
            assert await pkg.add(1, 2) == 3
            door.is_open.set()
            assert await large == bytes(SIZE)
            await idle(local)


async def test_more_than_there_are_threads_for_are_sent_by_the_lane(
    local: Local, session: AsyncSession, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the server never makes more results than it sends."""
    monkeypatch.setattr(apart, "_MOST", 2)
    pkg = getattr(session.modules, local.name)
    large = [asyncio.ensure_future(pkg.block(apart.LARGE + number)) for number in range(4)]
    for _ in range(3):
        await door.arrived()
    assert len(ends(local).apart.leaving) == 2
    assert sorted(name.split("-")[1] for name in door.senders) == ["answer", "answer", "lane"]
    door.is_open.set()
    assert [len(each) for each in await asyncio.gather(*large)] == [
        apart.LARGE + number for number in range(4)
    ]


async def test_without_another_thread_the_lane_sends(
    local: Local, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have none."""
    pkg = getattr(session.modules, local.name)
    assert await pkg.add(1, 2) == 3

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(apart.threading, "Thread", Refused)
    assert len(await pkg.block(apart.LARGE)) == apart.LARGE
    assert ends(local).apart.leaving == {}


async def test_a_client_thread_waits_for_its_answer_itself(local: Local, door: Door) -> None:
    """Its lane sends, and no other thread is needed."""
    door.is_open.set()

    def use() -> None:
        with wsremote.connect(local.url, token=TOKEN, new=True) as session:
            assert len(getattr(session.modules, local.name).block(SIZE)) == SIZE

    await asyncio.to_thread(use)
    assert {name.split("-")[1] for name in door.senders} == {"lane"}


# ---- one state -----------------------------------------------------------------------------


async def test_what_is_kept_is_sent_as_it_was_when_it_was_asked_for(
    local: Local, session: AsyncSession, door: Door
) -> None:
    """A later call writes to it while it travels."""
    pkg = getattr(session.modules, local.name)
    async with session.pipeline():
        promise = pkg.zeros(SIZE // 8)

    async def value() -> Any:
        return await promise

    asked = asyncio.ensure_future(value())
    await door.arrived()
    await pkg.fill(promise, 7.0)
    door.is_open.set()
    assert not (await asked).any()
    assert (await value()).all()


async def test_what_is_held_weakly_is_sent_as_it_was(
    local: Local, session: AsyncSession, door: Door
) -> None:
    """Who finds it there writes to it while it travels."""
    pkg = getattr(session.modules, local.name)
    result = asyncio.ensure_future(pkg.weak_zeros(SIZE // 8))
    await door.arrived()
    await pkg.fill_weak(7.0)
    door.is_open.set()
    assert not (await result).any()


async def test_a_promise_is_there_for_others_while_its_value_travels(
    local: Local, session: AsyncSession, door: Door
) -> None:
    """It is an argument of another call."""
    pkg = getattr(session.modules, local.name)
    async with session.pipeline():
        promise = pkg.block(SIZE)

    async def value() -> Any:
        return await promise

    asked = asyncio.ensure_future(value())
    await door.arrived()
    local.module.door("open").set()
    assert await pkg.size_behind("open", promise) == SIZE
    door.is_open.set()
    assert await asked == bytes(SIZE)


# ---- what does not arrive --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancelled", "refused"])
async def test_objects_of_an_answer_that_is_not_sent_are_let_go_of(
    local: Local, session: AsyncSession, door: Door, how: str
) -> None:
    """The client has never heard of them."""
    pkg = getattr(session.modules, local.name)
    if how == "refused":
        session._driver._transfers.limit = 1000
    large = asyncio.ensure_future(pkg.with_thing(SIZE))
    await door.arrived()
    assert len(local.module.things) == 1
    (answer,) = ends(local).apart.leaving.values()
    if how == "cancelled":
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large
        async with asyncio.timeout(PATIENCE):
            while not answer.is_cancelled:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
        door.is_open.set()
    else:
        door.is_open.set()
        with pytest.raises(LimitExceeded, match="is lost: the call was executed"):
            await large
    await idle(local)
    del answer
    gc.collect()
    assert len(local.module.things) == 0


async def test_results_within_the_bound_do_not_make_each_other_fail(local: Local) -> None:
    """The bound of a client is one for all that travels: they leave in turn."""
    connecting = wsremote.connect_async(local.url, token=TOKEN, max_transfer_size=2_500_000)
    async with connecting as session:
        pkg = getattr(session.modules, local.name)
        found = await asyncio.gather(*(pkg.block(1_000_000) for _ in range(8)))
        assert [len(each) for each in found] == [1_000_000] * 8
        futures = [session.submit(pkg.block, 1_000_000) for _ in range(8)]
        assert [len(await each) for each in futures] == [1_000_000] * 8


def answer_of(call: int, size: int) -> LargeAnswer:
    """One that has so many bytes."""
    message = Exec(0, 0, call, 1, None, int(Op.CALL), "m:f", None, b"", None)
    return LargeAnswer(message, Made(b"", []), size)


def test_no_more_bytes_leave_at_once_than_a_slow_client_may_cost() -> None:
    """One alone always does."""
    go = threading.Event()
    threads = Apart("wsremote-answer-test")
    assert threads.start(answer_of(1, 10**9), go.wait)
    assert not threads.start(answer_of(2, 1), go.wait)
    go.set()
    while threads.leaving:
        pass
    go.clear()
    half = apart._MOST_BYTES // 2
    assert threads.start(answer_of(3, half), go.wait)
    assert threads.start(answer_of(4, half), go.wait)
    assert not threads.start(answer_of(5, half), go.wait)
    go.set()
    while threads.leaving:
        pass


# ---- what is said of them if the session is lost -----------------------------------------------


async def test_calls_whose_answers_leave_have_begun(
    local: Local, session: AsyncSession, door: Door
) -> None:
    """A client that loses its session must not repeat them."""
    pkg = getattr(session.modules, local.name)
    calls = [asyncio.ensure_future(pkg.block(apart.LARGE)) for _ in range(3)]
    for _ in range(3):
        await door.arrived()
    _, executed, started = ends(local).remains()
    assert len({*executed, *started}) == 3
    assert not ends(local).is_empty
    door.is_open.set()
    await asyncio.gather(*calls)
    await idle(local)


async def test_a_worker_that_sends_has_begun_its_call(local: Local, door: Door) -> None:
    """It has run the call, and runs it no longer."""

    def use() -> None:
        with wsremote.connect(local.url, token=TOKEN, new=True) as session:
            pkg = getattr(session.modules, local.name)
            future = session.submit(pkg.block, SIZE)
            assert door._arrived.acquire(timeout=PATIENCE)
            _, executed, started = ends(local).remains()
            assert executed == [] and len(set(started)) == 1
            door.is_open.set()
            assert future.result() == bytes(SIZE)

    await asyncio.to_thread(use)
