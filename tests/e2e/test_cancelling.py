"""A task that is cancelled hears of it, whenever that comes; in both faces and both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_server import SOURCE, TOKEN, Local, serving

import wsremote
from wsremote.client.async_driver import AsyncDriver
from wsremote.server.session import Session

MORE = """
import asyncio

log = []

async def nap(seconds):
    await asyncio.sleep(seconds)

async def steps(stop):
    for number in range(stop):
        await asyncio.sleep(0)
        yield number

async def wait_for_door():
    log.append("begins")
    while not door("cancelled").is_set():
        await asyncio.sleep(0)
    log.append("ends")
    return "the end"

async def fail(name):
    log.append("begins")
    while not door(name).is_set():
        await asyncio.sleep(0)
    raise eval(name)()

async def relay(function):
    return await function()

async def relay_in_time(function):
    try:
        async with asyncio.timeout(0.01):
            await function()
    except TimeoutError:
        return "late"

async def clean_up_slowly():
    try:
        await asyncio.sleep(40)
    except asyncio.CancelledError:
        log.append("told")
        try:
            while not door("clean").is_set():
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            log.append("told again")
        log.append("cleaned")
        raise

async def stay():
    try:
        await asyncio.sleep(40)
    except asyncio.CancelledError:
        return "stays"

async def cancel_at_once(function):
    "What comes of a task that is cancelled when it has just begun to await."
    task = asyncio.ensure_future(relay(function))
    await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"

async def cancel_often(function, seconds):
    "Whether one cancel has ended a task that awaits again and again."
    async def run():
        while True:
            await function()

    task = asyncio.ensure_future(run())
    await asyncio.sleep(seconds)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    return bool(done) and task.cancelled()
"""
ROUNDS = 30
TIMEOUT = 10.0

Main = Callable[[Any], Awaitable[None]]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process."""
    with serving(tmp_path, source=SOURCE + MORE) as local:
        yield local


@pytest.fixture(params=["blocking", "asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, local: Local) -> Callable[[Main], None]:
    """`run(main)` runs `main(pkg)` in an event loop, `pkg` that of a session of either face."""

    def run(main: Main) -> None:
        async def with_async_session() -> None:
            async with wsremote.connect_async(local.url, token=TOKEN) as session:
                await main(getattr(session.modules, local.name))

        if request.param == "blocking":
            with wsremote.connect(local.url, token=TOKEN, new=True) as session:
                asyncio.run(main(getattr(session.modules, local.name)))  # type: ignore[arg-type]
            return
        factory: Any = asyncio.new_event_loop
        if request.param == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(with_async_session())

    return run


async def again_and_again(function: Callable[[], Awaitable[object]]) -> None:
    """Await it until cancelled."""
    while True:
        await function()


async def cancel_behind_the_end(task: asyncio.Future[Any], door: str, local: Local) -> None:
    """Cancel a task when what it awaits behind a door has ended there, and is not read here."""
    while not local.module.log:  # noqa: ASYNC110 - the server is in this process
        await asyncio.sleep(0)
    (there,) = local.server._sessions.values()
    assert isinstance(there, Session)
    assert there._running
    local.module.door(door).set()
    # Nothing is read here meanwhile.
    while there._running:
        pass
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", ["short", "longer", "steps", "callback"])
def test_one_cancel_ends_a_task_that_awaits_again_and_again(
    run: Callable[[Main], None], kind: str
) -> None:
    """Also where it meets an answer on its way: else `asyncio.timeout` would not end a loop."""

    async def main(pkg: Any) -> None:
        async def read_all() -> None:
            async for _ in pkg.steps(60):
                pass

        async def called_back() -> int:
            return 5

        functions = {
            "short": lambda: pkg.nap(0),
            "longer": lambda: pkg.nap(0.001),
            "steps": read_all,
            "callback": lambda: pkg.relay(called_back),
        }
        for number in range(ROUNDS):
            task = asyncio.ensure_future(again_and_again(functions[kind]))
            await asyncio.sleep(0.005 + number % 7 / 3000)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=TIMEOUT)
            assert done and task.cancelled()

    run(main)


def test_an_answer_that_waits_to_be_read_does_not_make_up_for_a_cancel(
    run: Callable[[Main], None], local: Local
) -> None:
    """At home a task that is cancelled before it goes on is cancelled, whatever it awaits gave."""

    async def main(pkg: Any) -> None:
        task = asyncio.ensure_future(pkg.wait_for_door())
        await cancel_behind_the_end(task, "cancelled", local)
        assert await pkg.relay(_five) == 5

    run(main)


def test_what_does_not_let_itself_be_cancelled_gives_its_value(run: Callable[[Main], None]) -> None:
    """That is served code's to say, if it was told."""

    async def main(pkg: Any) -> None:
        for _ in range(ROUNDS):
            task = asyncio.ensure_future(pkg.stay())
            await asyncio.sleep(0)
            # It has begun there when a call behind it has ended.
            await pkg.nap(0)
            task.cancel()
            assert await task == "stays"

    run(main)


def test_one_cancel_ends_a_task_of_the_server_that_awaits_a_function_here(
    run: Callable[[Main], None],
) -> None:
    """The same in the other direction."""

    async def main(pkg: Any) -> None:
        for number in range(ROUNDS):
            assert await pkg.cancel_often(_five, 0.003 + number % 7 / 3000)

    run(main)


@pytest.mark.parametrize("waits", [False, True])
def test_a_function_here_that_is_cancelled_as_it_begins_is_answered_once(
    run: Callable[[Main], None], waits: bool
) -> None:
    """The cancel comes with the call; one that never waits has ended before it could hear of it."""

    async def called() -> int:
        if waits:
            await asyncio.sleep(40)
        return 5

    async def main(pkg: Any) -> None:
        for _ in range(ROUNDS):
            # At home as well it may have ended before.
            assert await pkg.cancel_at_once(called) in ("cancelled", 5)[: 2 - waits]

    run(main)


def test_a_function_here_that_cancels_its_own_task_is_answered_once(
    run: Callable[[Main], None],
) -> None:
    """In its last step: it has given a value, and its task is cancelled all the same."""

    async def called() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return 5

    async def main(pkg: Any) -> None:
        for _ in range(ROUNDS):
            assert await pkg.relay(called) == 5

    run(main)


def test_an_exception_that_nobody_wants_is_not_shown(
    run: Callable[[Main], None], local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    """A call has raised, whatever it was, and its task is cancelled before it goes on."""

    async def main(pkg: Any) -> None:
        for name in ("ValueError", "asyncio.CancelledError", "KeyboardInterrupt"):
            local.module.log.clear()
            task = asyncio.ensure_future(pkg.fail(name))
            await cancel_behind_the_end(task, name, local)
            assert await pkg.relay(_five) == 5

    run(main)
    assert "Traceback" not in caplog.text


def test_a_time_limit_of_the_servers_for_a_function_here(run: Callable[[Main], None]) -> None:
    """`asyncio.timeout` there ends with TimeoutError."""

    async def called() -> None:
        await asyncio.sleep(40)

    async def main(pkg: Any) -> None:
        assert await pkg.relay_in_time(called) == "late"

    run(main)


def test_what_cleans_up_for_long_is_told_once(run: Callable[[Main], None], local: Local) -> None:
    """A task here that waits for it no longer leaves it alone."""

    async def main(pkg: Any) -> None:
        task = asyncio.ensure_future(pkg.clean_up_slowly())
        await asyncio.sleep(0)
        await pkg.nap(0)
        task.cancel()
        # An async session waits for it a tenth of a second, a blocking one until it has ended.
        await asyncio.wait([task], timeout=0.5)
        local.module.door("clean").set()
        with pytest.raises(asyncio.CancelledError):
            await task
        while "cleaned" not in local.module.log:  # noqa: ASYNC110 - the server is in this process
            await asyncio.sleep(0)
        assert local.module.log == ["told", "cleaned"]

    run(main)


# ---- what follows a call that was given up, in a session of a loop -----------------------


async def give_up_behind(
    behind: asyncio.Task[Any], local: Local, session: wsremote.AsyncSession
) -> None:
    """Cancel a call that waits on the server behind another one."""
    there: Any = local.server._sessions[session._driver.id]
    while not there._queued:  # noqa: ASYNC110 - the server is in this process
        await asyncio.sleep(0)
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind
    assert session._driver._stuck is not None


def test_a_nested_call_does_not_wait_for_a_lane_that_waits_for_it(local: Local) -> None:
    """It runs where the server waits for the callback, whoever has been given up behind that."""

    async def main() -> None:
        async with (
            wsremote.connect_async(local.url, token=TOKEN) as session,
            wsremote.connect_async(local.url, token=TOKEN) as other,
        ):
            pkg, beside = (getattr(each.modules, local.name) for each in (session, other))
            calls = iter([lambda: beside.wait("callback"), lambda: pkg.add(2, 3)])
            calling = asyncio.create_task(pkg.call_twice(lambda: next(calls)()))
            assert await asyncio.to_thread(local.module.started.get, timeout=TIMEOUT)
            behind = asyncio.create_task(pkg.add(1, 1))
            await give_up_behind(behind, local, session)
            local.module.door("callback").set()
            assert await calling == 5
            assert session._driver.lane_number == 1

    asyncio.run(main())


def test_calls_that_wait_for_a_lane_probe_it_once(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are: what they send would wait there with what they wait for."""
    probes: list[object] = []
    probe = AsyncDriver._probe

    def noted(driver: AsyncDriver) -> asyncio.Future[None]:
        probes.append(driver)
        return probe(driver)

    monkeypatch.setattr(AsyncDriver, "_probe", noted)

    async def main() -> None:
        async with wsremote.connect_async(local.url, token=TOKEN) as session:
            pkg = getattr(session.modules, local.name)
            await pkg.nap(0)
            held_up = asyncio.create_task(pkg.wait("lane"))
            assert await asyncio.to_thread(local.module.started.get, timeout=TIMEOUT)
            behind = asyncio.create_task(pkg.add(1, 1))
            await give_up_behind(behind, local, session)
            assert await asyncio.gather(*[pkg.add(n, 1) for n in range(50)]) == [*range(1, 51)]
            local.module.door("lane").set()
            assert await held_up == "lane"

    asyncio.run(main())
    assert len(probes) == 1


def test_a_pipeline_that_is_cancelled_while_an_array_leaves_keeps_no_call(local: Local) -> None:
    """What has left is told to end, and its promises wait for nothing."""
    array = np.ones(2_000_000)

    async def main() -> None:
        async with wsremote.connect_async(local.url, token=TOKEN) as session:
            pkg = getattr(session.modules, local.name)

            async def block() -> None:
                async with session.pipeline():
                    for number in range(200):
                        pkg.add(number, 1)
                    pkg.size_behind("array", array)
                    await asyncio.sleep(40)

            for _ in range(5):
                task = asyncio.create_task(block())
                while not session._driver._carrying:  # noqa: ASYNC110 - the array is leaving
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await pkg.add(1, 2) == 3
            await asyncio.sleep(0)
            assert not session._driver._calls and not session._driver._outgoing

    asyncio.run(main())


async def _five() -> int:
    return 5
