"""Awaited calls across cuts: each ends once, with its own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faults.proxy import FaultProxy
from faults.schedules import EveryNth

from wsremote.client import receiving, reporting


async def test_tasks_are_answered_over_lines_that_break(
    proxy: FaultProxy, pkg: Any, direct: Any
) -> None:
    """Beside each other, a cut every few messages: each is executed once."""
    before = direct.times("wait_and_add")
    proxy.plan = schedule = EveryNth(11, seed=2)
    schedule(proxy.line)
    got = await asyncio.gather(*(pkg.wait_and_add(number, 1) for number in range(100)))
    assert got == [number + 1 for number in range(100)]
    proxy.plan = None
    assert direct.times("wait_and_add") == before + 100
    assert schedule.faults >= 5


async def test_an_awaited_call_ends_during_an_outage(
    proxy: FaultProxy, pkg: Any, direct: Any
) -> None:
    """The loop goes on meanwhile; the answer comes with the next connection."""
    task = asyncio.ensure_future(pkg.pass_door_later("outage"))
    await asyncio.to_thread(direct.wait_for_somebody, "outage")
    with proxy.outage():
        direct.open_door("outage")
        await asyncio.to_thread(direct.wait_until_passed, "outage")
        assert not task.done()
        await asyncio.sleep(0)
    assert await task == "outage"
    assert direct.times("outage") == 1


async def test_calls_begun_during_an_outage_wait(proxy: FaultProxy, pkg: Any, direct: Any) -> None:
    """They do not block the loop, and are executed once."""
    await pkg.wait_and_add(1)
    before = direct.times("wait_and_add")
    with proxy.outage():
        tasks = [asyncio.ensure_future(pkg.wait_and_add(number)) for number in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
    assert await asyncio.gather(*tasks) == [number + 1 for number in range(5)]
    assert direct.times("wait_and_add") == before + 5


async def test_a_task_is_cancelled_during_an_outage(
    proxy: FaultProxy, pkg: Any, direct: Any
) -> None:
    """The server hears of it with the next connection."""
    task = asyncio.ensure_future(pkg.pass_door_later("cancelled"))
    await asyncio.to_thread(direct.wait_for_somebody, "cancelled")
    with proxy.outage():
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pkg.wait_and_add(1) == 2
    assert not direct.at_door("cancelled passed").is_set()


async def test_an_asynchronous_generator_keeps_its_position(proxy: FaultProxy, pkg: Any) -> None:
    """No item is lost, none comes twice."""
    got = []
    async for number in pkg.count_later(20):
        got.append(number)
        if number % 4 == 0:
            proxy.cut()
    assert got == list(range(20))


async def test_the_server_awaits_a_function_of_the_client_across_a_cut(
    proxy: FaultProxy, pkg: Any
) -> None:
    """It runs once, in the loop of the client."""
    calls: list[int] = []

    async def callback(value: int) -> int:
        calls.append(value)
        proxy.cut()
        await asyncio.sleep(0)
        return int(await pkg.wait_and_add(value))

    assert await pkg.await_call(callback, 41) == 42
    assert calls == [41]


async def test_an_awaited_call_says_that_it_waits(
    proxy: FaultProxy,
    pkg: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, and the loop goes on meanwhile."""
    for module in (receiving, reporting):
        monkeypatch.setattr(module, "NOTICEABLE", 0.1)
    await pkg.wait_and_add(1)
    said = ""
    with proxy.outage():
        task = asyncio.ensure_future(pkg.wait_and_add(2))
        while "waiting for it" not in said:
            await asyncio.sleep(0)
            said += capsys.readouterr().err
        assert not task.done()
    assert await task == 3
    assert (said + capsys.readouterr().err).count("waiting for it") == 1
