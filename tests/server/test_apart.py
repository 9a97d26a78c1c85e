"""Large answers to tasks: the lane that all tasks share goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.proxy import FaultProxy
from local_server import PATIENCE, SOURCE, TOKEN, Local, serving

import wsremote
from wsremote import AsyncSession
from wsremote.server import apart
from wsremote.server.config import Limits
from wsremote.server.session import Session

SIZE = 40_000_000
"""Bytes: more than leave at once."""


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
    source = (
        f"{SOURCE}\nasync def make(size):\n    return bytes(size)\n\nconstant = bytes({SIZE})\n"
    )
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
