"""What the loop's poller does for others, without a connection."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from wsremote.transport import loop_poller
from wsremote.transport.loop_poller import LoopPoller


async def test_requests_run_in_the_loops_thread() -> None:
    """From any thread, and in their order."""
    poller = LoopPoller(asyncio.get_running_loop())
    done: asyncio.Future[None] = poller.loop.create_future()
    ran: list[Any] = []

    def ask(name: str) -> None:
        poller.submit(lambda: ran.append((name, threading.get_ident())))

    assert poller.is_current
    ask("here")
    other = threading.Thread(
        target=lambda: (ask("there"), poller.submit(lambda: done.set_result(None)))
    )
    other.start()
    await done
    other.join()
    mine = threading.get_ident()
    assert ran == [("here", mine), ("there", mine)]


async def test_a_thread_is_not_the_loop() -> None:
    """Only the loop's own thread must not wait."""
    poller = LoopPoller(asyncio.get_running_loop())
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(poller.is_current))
    thread.start()
    thread.join()
    assert seen == [False]


async def test_calls_come_at_their_time() -> None:
    """In the order of their times, also those that another thread asks for."""
    poller = LoopPoller(asyncio.get_running_loop())
    done: asyncio.Future[None] = poller.loop.create_future()
    ran: list[str] = []
    now = time.monotonic()
    poller.call_at(now + 0.02, lambda: (ran.append("later"), done.set_result(None)))
    thread = threading.Thread(target=lambda: poller.call_at(now, lambda: ran.append("sooner")))
    thread.start()
    thread.join()
    await done
    assert ran == ["sooner", "later"]


async def test_who_is_gone_is_not_reminded() -> None:
    """A timer keeps nobody alive."""

    class Reminded:
        def be(self) -> None:
            raise AssertionError("it is gone")

    poller = LoopPoller(asyncio.get_running_loop())
    gone = Reminded()
    poller.remind(time.monotonic(), gone.be)
    del gone
    gc.collect()
    await asyncio.sleep(0.01)


async def test_who_waits_for_room_looks_again() -> None:
    """`wake` has each waiting task ask once more; one that is cancelled meanwhile does no harm."""
    poller = LoopPoller(asyncio.get_running_loop())
    full = True
    tasks = [asyncio.create_task(poller.room(lambda: full)) for _ in range(3)]
    await asyncio.sleep(0)
    poller.wake()
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    tasks[0].cancel()
    await asyncio.sleep(0)
    full = False
    threading.Thread(target=poller.wake).start()
    await asyncio.gather(*tasks[1:])
    assert tasks[0].cancelled()


async def test_the_loop_sleeps_lightly_while_an_answer_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a signal handler asks of it without waking it is done soon; and no longer than that."""
    monkeypatch.setattr(loop_poller, "GLANCE", 0.001)
    poller = LoopPoller(asyncio.get_running_loop())
    owner = SimpleNamespace(awaits_answers=True)
    poller._owner = owner  # type: ignore[assignment]
    asked = asyncio.Event()

    def ask() -> None:
        # As a handler does: a signal interrupts the wait for descriptors, and ends it not.
        poller.loop._ready.append(asyncio.Handle(asked.set, (), poller.loop))  # type: ignore[attr-defined]

    poller.glance()
    # Nothing else wakes the loop.
    threading.Timer(0.02, ask).start()
    async with asyncio.timeout(10):
        await asked.wait()
        assert poller.is_glancing
        owner.awaits_answers = False
        while poller.is_glancing:  # noqa: ASYNC110
            await asyncio.sleep(0)
    poller.glance()
    assert not poller.is_glancing


def test_a_closed_loop_is_asked_in_vain() -> None:
    """What comes after the end of the loop is dropped, without an error."""
    loop = asyncio.new_event_loop()
    poller = LoopPoller(loop)
    loop.close()
    poller.submit(lambda: None)
    poller.call_at(time.monotonic(), lambda: None)
    poller.wake()
