"""Cut connections under an async session: calls wait, the loop goes on, each runs once."""

from __future__ import annotations

import asyncio
import functools
import select
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.ending import kill, target_of
from faults.proxy import FaultProxy
from harness import Serve, ServedProcess

import wsremote
from wsremote import AsyncSession
from wsremote.client import link
from wsremote.transport import loop_poller

FOLDER = Path(__file__).parent
TIMEOUT = 30

Main = Callable[[AsyncSession], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, steady: ServedProcess, proxy: FaultProxy) -> Run:
    """`run(main)` runs `main(session)`, whose connection goes through the proxy."""
    factory: Any = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(main: Main) -> Any:
        async def connected() -> Any:
            async with asyncio.timeout(TIMEOUT):
                async with wsremote.connect_async(proxy.url, token=steady.token) as session:
                    return await main(session)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(connected())

    return run


async def turns(count: int) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def disconnected(session: AsyncSession) -> None:
    """Wait until the client has noticed."""
    await session._driver.poller_of_loop.room(lambda: session.connected)


def test_calls_wait_for_another_connection(run: Run, proxy: FaultProxy, direct: Any) -> None:
    """Those under way, those in line and new ones are each executed once; the loop goes on."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.steady
        counter = await pkg.Counter()
        steps = await pkg.count()
        assert await next(steps) == 0
        begun = [asyncio.create_task(counter.step()) for _ in range(300)]
        await asyncio.sleep(0)
        with proxy.outage():
            made = [asyncio.create_task(counter.step()) for _ in range(300)]
            await disconnected(session)
            late = asyncio.create_task(pkg.add(1))
            await turns(100)
            assert not late.done()
            assert not session.closed
            assert "reconnecting" in repr(session)
        results = await asyncio.gather(*begun, *made)
        assert sorted(results) == [*range(1, 601)]
        assert await late == 2
        assert await counter.count == 600
        assert await next(steps) == 1
        assert session.connected

    run(main)


def test_cut_again_and_again(run: Run, proxy: FaultProxy) -> None:
    """A stream of calls through many cuts: none is lost, none runs twice, order is kept."""

    async def main(session: AsyncSession) -> None:
        counter = await session.modules.steady.Counter()

        async def cut() -> None:
            while True:
                await turns(200)
                if session.connected:
                    proxy.cut()

        cutting = asyncio.create_task(cut())
        assert [await counter.step() for _ in range(300)] == [*range(1, 301)]
        assert sorted(await asyncio.gather(*[counter.step() for _ in range(300)])) == [
            *range(301, 601)
        ]
        cutting.cancel()

    run(main)


@pytest.mark.parametrize("kind", ["one", "many", "general", "large"])
def test_who_sends_finds_that_the_connection_is_lost(
    run: Run, proxy: FaultProxy, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so: the loop may watch the connection no longer, as uvloop after an error."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.steady
        assert await pkg.add(1) == 2
        descriptor = session._driver.connection.fileno()
        while session._driver.poller_of_loop.is_ticking:  # noqa: ASYNC110
            await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(descriptor)
        proxy.reset()
        # The next write finds it, and no read before.
        watched = select.poll()
        watched.register(descriptor, 0)
        assert watched.poll(1000 * TIMEOUT)
        if kind == "one":
            assert await pkg.add(2) == 3
        elif kind == "many":
            # All wait in line, and none was sent alone before.
            session._driver.sent_this_turn = True
            assert await asyncio.gather(*[pkg.add(each) for each in range(9)]) == [*range(1, 10)]
        elif kind == "general":
            assert await pkg.add([4], [5]) == [4, 5]
        else:
            assert await pkg.total(np.arange(100_000.0)) == sum(range(100_000))

    # Nobody else looks: not while an answer is awaited, and not every second.
    monkeypatch.setattr(loop_poller, "GLANCE", 1000.0)
    monkeypatch.setattr(link, "LOOK", 1000.0)
    run(main)


def test_buffers_survive_a_cut(run: Run, proxy: FaultProxy) -> None:
    """An array whose chunks are cut off arrives whole."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.steady
        array = np.arange(4_000_000.0)
        expected = float(array.sum())
        sums = []

        def note(given: Any) -> None:
            sums.append(float(given.sum()))

        for make in (pkg.call, functools.partial(session.submit, pkg.call)):

            async def cut() -> None:
                await turns(3)
                proxy.cut()

            cutting = asyncio.create_task(cut())
            sending = asyncio.ensure_future(make(note, array))
            await asyncio.gather(cutting, sending)
        assert sums == [expected, expected]
        # Nobody waits for what is submitted: its arguments are those of the moment.
        sending = session.submit(pkg.call, note, array)
        await turns(3)
        array[:] = 0
        proxy.cut()
        await sending
        assert sums[2] == expected

    run(main)


def test_callbacks_survive_a_cut(run: Run, proxy: FaultProxy) -> None:
    """What the server calls while there is no connection runs once, and its answer arrives."""

    async def main(session: AsyncSession) -> None:
        numbers: list[int] = []

        def note(number: int) -> int:
            if number % 10 == 0:
                proxy.cut()
            numbers.append(number)
            return 2 * number

        doubled = await session.modules.steady.call_often(note, 50)
        assert numbers == [*range(50)]
        assert doubled == [2 * number for number in numbers]

    run(main)


def test_cancelled_without_a_connection(run: Run, proxy: FaultProxy, direct: Any) -> None:
    """A task that waits for a connection is cancelled at once, and its call is not executed."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.steady
        with proxy.outage():
            await disconnected(session)
            task = asyncio.create_task(pkg.note("cancelled in an outage"))
            await turns(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await pkg.times("cancelled in an outage") == 0

    run(main)


def test_timeout_without_a_connection(run: Run, proxy: FaultProxy) -> None:
    """`session.timeout` ends calls that wait in line, and says that they were never started."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.steady
        with proxy.outage():
            await disconnected(session)
            with session.timeout(0.05), pytest.raises(wsremote.CallTimeout) as error:
                await pkg.note("timed out in an outage")
        assert error.value.outcome == "never started"
        assert await pkg.times("timed out in an outage") == 0

    run(main)


@pytest.fixture
def home(serve: Serve) -> Iterator[ServedProcess]:
    """A server for one test alone, which kills it."""
    yield serve("steady", path=(FOLDER,))


def test_a_restarted_server(home: ServedProcess, serve: Serve) -> None:
    """Every call that waits raises SessionLost, which says what became of it."""

    async def main(proxy: FaultProxy) -> None:
        session = await wsremote.connect_async(proxy.url, token=home.token)
        pkg = session.modules.steady
        counter = await pkg.Counter()
        running = asyncio.create_task(pkg.pass_door("killed"))
        async with wsremote.connect_async(home.url, token=home.token) as other:
            await other.modules.steady.wait_for_somebody("killed")
        with proxy.outage():
            await disconnected(session)
            waiting = asyncio.create_task(pkg.note("never"))
            await turns(3)
            successor = serve("steady", path=(FOLDER,))
            kill(home)
            proxy.target = target_of(successor)
        for task in (running, waiting):
            with pytest.raises(wsremote.SessionLost, match="restart") as error:
                await task
            assert error.value.unknown == ("steady:pass_door",)
            assert error.value.not_executed == ("steady:note",)
        with pytest.raises(wsremote.SessionLost, match="restart"):
            await counter.step()
        assert session.closed
        await session.close()

    with FaultProxy(home.url) as proxy:
        asyncio.run(main(proxy))


def test_closed_while_there_is_no_connection(run: Run, proxy: FaultProxy, direct: Any) -> None:
    """`close` does not wait, and calls that do are told."""

    async def main(session: AsyncSession) -> None:
        with proxy.outage():
            await disconnected(session)
            waiting = asyncio.create_task(session.modules.steady.add(1))
            await turns(3)
            await session.close()
            with pytest.raises(wsremote.SessionClosed, match="closed here"):
                await waiting

    run(main)
