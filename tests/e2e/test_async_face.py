"""The async face: a session in an event loop, whose calls are awaited."""

from __future__ import annotations

import asyncio
import gc
import heapq
import inspect
import itertools
import pickle
import re
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import ROOT, ServedProcess, start_server

import wsremote
from wsremote import AsyncSession, Session
from wsremote.transport.connection import SocketConnection

TIMEOUT = 20

Main = Callable[[AsyncSession], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


@pytest.fixture(scope="module")
def facing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `facing`, the sample package and `json`."""
    folder = tmp_path_factory.mktemp("server")
    path = (ROOT / "tests", Path(__file__).parent)
    served = start_server("facing", "samplepkg", "json", folder=folder, path=path)
    yield served
    served.stop()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, facing: ServedProcess) -> Run:
    """`run(main)` runs `main(session)` in a loop of its own, of each kind."""
    factory: Any = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(main: Main) -> Any:
        async def connected() -> Any:
            async with wsremote.connect_async(facing.url, token=facing.token) as session:
                await session.modules.facing.clear_log()
                return await main(session)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(connected())

    return run


async def logged(pkg: Any, text: str) -> None:
    """Wait until the server has logged something."""
    async with asyncio.timeout(TIMEOUT):
        while not await pkg.logged(text):
            pass


# ---- calls -------------------------------------------------------------------------------


def test_calls_are_awaited(run: Run) -> None:
    """Functions and methods, async on the server or not; objects, attributes, items, operators."""

    async def main(session: AsyncSession) -> None:
        pkg, waiting = session.modules.facing, session.modules.samplepkg.waiting
        assert await session.modules.json.dumps([1, 2], indent=None) == "[1, 2]"
        assert await pkg.add(1, b=2) == 3
        assert await pkg.later(1, b=2) == 3
        assert await waiting.hidden(1, 2) == 3
        room = await waiting.Room.of("made")
        assert [await room.double(2), await room(2), await room.events] == [4, 6, ["made"]]
        thing = await pkg.Thing(3)
        assert isinstance(thing, pkg.Thing)
        assert [await thing.number, await thing.plus(1), await thing[7], await (thing + 4)] == [
            3, 4, 7, 7,
        ]  # fmt: skip
        assert [await pkg.NUMBER, await pkg.Thing.KIND] == [5, "thing"]
        assert await (thing == await pkg.Thing(3)) is True
        assert await pkg.add(2**70) == 2**70 + 1

    run(main)


def test_nothing_is_sent_before_it_is_awaited(run: Run) -> None:
    """A call that nobody awaits warns, as a coroutine of Python's own does."""

    async def main(session: AsyncSession) -> None:
        add = session.modules.facing.add
        before = session._driver.messages
        with pytest.warns(RuntimeWarning, match="facing:add' was never awaited"):
            add(1)
            gc.collect()
        call = add(1)
        task = asyncio.create_task(add(2))
        assert session._driver.messages == before
        assert [await task, await call] == [3, 2]
        assert session._driver.messages == before + 2

    run(main)


def test_errors_are_those_of_the_server(run: Run) -> None:
    """Served exceptions, wrong arguments, attributes that are not there; no frame of ours."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        with pytest.raises(pkg.Broken, match="no") as caught:
            await pkg.fail("no")
        files = [entry.path for entry in caught.traceback]
        assert not [file for file in map(str, files) if "/wsremote/" in file]
        with pytest.raises(TypeError, match="argument"):
            pkg.add()
        with pytest.raises(TypeError, match="unsupported operand"):
            await pkg.add(1, "x")
        with pytest.raises(AttributeError, match="nothing"):
            await (await pkg.Thing()).nothing
        with pytest.raises(StopAsyncIteration):
            await next(await pkg.numbers(0))

    run(main)


def test_tracebacks_have_no_frame_of_ours(run: Run) -> None:
    """However the call was made whose error is raised: they end in the served function."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing

        async def in_a_task() -> None:
            await asyncio.create_task(pkg.fail("x"))

        async def in_a_pipeline() -> None:
            async with session.pipeline():
                pkg.fail("x")

        async def by_a_promise() -> None:
            async with session.pipeline():
                await pkg.fail("x")

        async def by_map() -> None:
            [each async for each in session.map(pkg.fail, ["x"])]

        async def by_map_behind() -> None:
            [each async for each in session.map(pkg.fail, pkg.numbers(1))]

        async def by_submit() -> None:
            await session.submit(pkg.fail, "x")

        async def iterating() -> None:
            [each async for each in pkg.fail("x")]

        async def iterating_on() -> None:
            [each async for each in await pkg.failing_numbers(3)]

        async def iterating_over() -> None:
            [each async for each in await pkg.Shelf()]

        async def next_item() -> None:
            await next(await pkg.failing_numbers(0))

        async def entering() -> None:
            async with pkg.fail("x"):
                pass

        ways = (in_a_task, in_a_pipeline, by_a_promise, by_map, by_map_behind, by_submit)
        for way in (*ways, iterating, iterating_on, iterating_over, next_item, entering):
            with pytest.raises(pkg.Broken) as caught:
                await way()
            files = [str(entry.path) for entry in caught.traceback]
            assert not [file for file in files if "/wsremote/" in file], way.__name__
            assert caught.traceback[-1].name in ("fail", "failing_numbers")

    run(main)


def test_concurrent_calls(run: Run) -> None:
    """A thousand tasks at once: each gets its own answer, and few messages carry the calls."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        sent = session._driver.connection.messages_sent
        results = await asyncio.gather(*[pkg.add(number) for number in range(1000)])
        assert results == [number + 1 for number in range(1000)]
        assert session._driver.connection.messages_sent - sent < 100
        mixed = [pkg.later(1), pkg.add([1], [2]), pkg.Thing(1), pkg.fail("x")]
        later, added, thing, failed = await asyncio.gather(*mixed, return_exceptions=True)
        assert (later, added, type(thing)) == (2, [1, 2], pkg.Thing)
        assert isinstance(failed, pkg.Broken)

    run(main)


def test_more_calls_than_the_server_takes(run: Run) -> None:
    """Calls above the server's bound wait for their turn, none is refused."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        most = session.limits["max_calls"]
        calls = [pkg.add(number) for number in range(2 * most + 10)]
        assert await asyncio.gather(*calls) == [*range(1, 2 * most + 11)]

    run(main)


def test_a_call_with_an_array_that_is_given_up_before_it_leaves(run: Run) -> None:
    """While it waits for others to end: nothing of it is kept."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        session._driver.most_calls = 0
        for end in (asyncio.CancelledError, wsremote.CallTimeout):
            with session.timeout(0.1 if end is wsremote.CallTimeout else None):
                waiting = asyncio.ensure_future(pkg.total(np.ones(100_000)))
                while not session._driver.standing:  # noqa: ASYNC110 - its first step
                    await asyncio.sleep(0)
                assert session._driver._outgoing
                if end is asyncio.CancelledError:
                    waiting.cancel()
                with pytest.raises(end):
                    await waiting
            assert not session._driver._outgoing
        session._driver.most_calls = 512
        assert await pkg.total(np.ones(100_000)) == 100_000

    run(main)


def test_more_calls_with_arrays_than_the_server_takes(run: Run) -> None:
    """The last of them go on when the others have ended, though nothing else is sent by then."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        session._driver.most_calls = 2
        array = np.ones(20_000)
        assert await asyncio.gather(*[pkg.slow(array) for _ in range(8)]) == [20_000] * 8

    run(main)


def test_awaited_calls_run_beside_each_other(run: Run) -> None:
    """What is async on the server does not hold up what comes behind it."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        waiting = asyncio.create_task(pkg.wait_async("beside"))
        await logged(pkg, "beside begins")
        assert await pkg.later(1) == 2
        await pkg.open_door("beside")
        assert await waiting == "beside"

    run(main)


# ---- syntax ------------------------------------------------------------------------------


def test_what_syntax_cannot_await_is_refused(run: Run) -> None:
    """`len(x)` and its like raise and say what to write, and nothing is sent."""

    async def main(session: AsyncSession) -> None:
        pkg: Any = session.modules.facing
        thing = await pkg.Thing(3)

        def statement(text: str) -> Callable[[], Any]:
            def execute() -> None:
                exec(text, {"thing": thing, "pkg": pkg})

            return execute

        uses = {
            "len(thing)": "await x.__len__()",
            "bool(thing)": "await x.__bool__()",
            "not thing": "await x.__bool__()",
            "3 in thing": "await x.__contains__(item)",
            "hash(thing)": "await x.__hash__()",
            "int(thing)": "await x.__int__()",
            "str(thing)": "await x.__str__()",
            "f'{thing}'": "await x.__str__()",
            "list(thing)": "async for item in x",
            "for _ in thing: pass": "async for item in x",
            "a, b = thing": "async for item in x",
            "with thing: pass": "async with x",
            "thing[0] = 1": "await x.__setitem__(key, value)",
            "del thing[0]": "await x.__delitem__(key)",
            "thing += 1": "x = await x.__iadd__(other)",
            "thing.number = 1": "await session.setattr(x, 'number', value)",
            "del thing.number": "await session.delattr(x, 'number')",
            "pkg.NUMBER = 1": "await session.setattr(x, 'NUMBER', value)",
            "del pkg.NUMBER": "await session.delattr(x, 'NUMBER')",
            "pkg.Thing.KIND = 1": "await session.setattr(x, 'KIND', value)",
            "del pkg.Thing.KIND": "await session.delattr(x, 'KIND')",
            "list(pkg.Colour)": "await Colour.NAME",
            "if thing == thing: pass": "has not been awaited",
            "if thing.number: pass": "has not been awaited",
            "if pkg.add(1): pass": "has not been awaited",
            "pkg.add(1)[0]": "has not been awaited",
            "pkg.add(1)()": "has not been awaited",
            "for _ in pkg.add(1): pass": "has not been awaited",
            "class Mine(pkg.Thing): pass": "wsremote.connect",
        }
        before = session._driver.messages
        for text, written in uses.items():
            with pytest.raises(TypeError, match=re.escape(written)):
                statement(text)()
        with pytest.warns(RuntimeWarning, match="never awaited"):
            with pytest.raises(AttributeError, match=r"\(await …\)\.real"):
                statement("pkg.add(1).real")()
            gc.collect()
        assert session._driver.messages == before
        assert [await thing.number, await pkg.NUMBER, await pkg.Thing.KIND] == [3, 5, "thing"]

    run(main)


def test_what_is_written_in_its_place(run: Run) -> None:
    """The special methods by their names, awaited; attributes by the session."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        thing = await pkg.Thing(3)
        assert await thing.__len__() == 5
        assert await thing.__bool__() is False
        assert await thing.__contains__(3) is True
        assert await thing.__hash__() == 3
        assert await thing.__int__() == 3
        assert await thing.__str__() == "thing 3"
        assert await thing.__repr__() == "Thing(3)"
        assert "facing.Thing #" in repr(thing)
        await thing.__setitem__(0, 8)
        assert await thing.number == 8
        assert await thing.__iadd__(2) is thing
        await session.setattr(thing, "extra", [1])
        assert await thing.extra == [1]
        await session.delattr(thing, "extra")
        with pytest.raises(AttributeError):
            await thing.extra
        await session.setattr(pkg, "NUMBER", 6)
        await session.setattr(pkg.Thing, "KIND", "other")
        try:
            assert [await pkg.NUMBER, await pkg.Thing.KIND, await thing.KIND] == [
                6,
                "other",
                "other",
            ]
        finally:
            await session.setattr(pkg, "NUMBER", 5)
            await session.setattr(pkg.Thing, "KIND", "thing")
        with pytest.raises(TypeError, match="none of the server's"):
            await session.setattr(object(), "x", 1)
        red = await pkg.Colour.RED
        assert red is await pkg.Colour(1)
        assert [await red.name, await red.value] == ["RED", 1]

    run(main)


def test_pickles(run: Run) -> None:
    """Awaited, they are made and loaded as in other sessions; `pickle` itself awaits nothing."""

    async def main(session: AsyncSession) -> None:
        thing = await session.modules.facing.Thing(3)
        with pytest.raises(TypeError, match="must be awaited"):
            pickle.dumps([thing])
        data = pickle.dumps(await thing.__reduce_ex__(4))
        make, args = pickle.loads(data)
        other = await make(*args)
        assert other is not thing
        assert await (other == thing) is True
        await session.close()
        with pytest.raises(wsremote.StaleHandle, match="only the session that pickled it"):
            await make(*args)

    run(main)


def test_iterating(run: Run) -> None:
    """`async for` over generators, async ones, iterables and sequences, awaited or called."""

    async def main(session: AsyncSession) -> None:
        pkg, waiting = session.modules.facing, session.modules.samplepkg.waiting
        assert [n async for n in pkg.numbers(3)] == [0, 1, 2]
        assert [n async for n in await pkg.numbers(3)] == [0, 1, 2]
        assert [n async for n in waiting.numbers(3)] == [0, 1, 2]
        assert [n async for n in await pkg.Thing(2)] == [0, 1]
        assert [n async for n in pkg.Squares()] == [0, 1, 4, 9]
        assert [n async for n in pkg.add([1], [2])] == [1, 2]
        steps = await pkg.numbers(2)
        assert [await next(steps), await steps.__next__()] == [0, 1]
        with pytest.raises(StopAsyncIteration):
            await next(steps)

    run(main)


def test_a_generator_that_is_left_is_closed(run: Run) -> None:
    """`break` drops the iterator, and the server's frame ends."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        async for number in pkg.numbers(10):
            if number == 2:
                break
        await logged(pkg, "closed")

    run(main)


def test_contexts(run: Run) -> None:
    """`async with` on contexts of both kinds; `__exit__` sees the exception and may end it."""

    async def main(session: AsyncSession) -> None:
        pkg, waiting = session.modules.facing, session.modules.samplepkg.waiting
        thing = await pkg.Thing(1)
        async with thing as entered:
            assert entered is thing
            assert await thing.number == 100
        assert await thing.number == 200
        async with pkg.managed("a") as name:
            assert name == "a"
            raise KeyError
        assert await pkg.log == ["a in", "a swallows", "a out"]
        room = await waiting.Room()
        with pytest.raises(ValueError, match="out"):
            async with room:
                raise ValueError("out")
        assert await room.events == ["in", "out: out"]

    run(main)


# ---- what a call brings along ------------------------------------------------------------


def test_callbacks_run_in_the_loops_thread(run: Run) -> None:
    """Plain functions, coroutine functions, what gives a remote call; nested, and from threads."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        loop = asyncio.get_running_loop()

        def plain(number: int) -> int:
            assert asyncio.get_running_loop() is loop
            return 2 * number

        async def nested(number: int) -> Any:
            await asyncio.sleep(0)
            return await pkg.add(number, 2) + await pkg.later(number)

        assert await pkg.call(plain, 4) == 8
        assert await pkg.call_in_thread(plain, 4) == 8
        assert await pkg.call(lambda number: pkg.add(number), 4) == 5
        assert await pkg.call(nested, 4) == 11
        assert await pkg.await_call(nested, 4) == 11
        with pytest.raises(ZeroDivisionError):
            await pkg.call(lambda: 1 // 0)

    run(main)


def test_the_server_gives_up_a_callback(run: Run) -> None:
    """What it awaits of the client is cancelled here."""

    async def main(session: AsyncSession) -> None:
        ended = asyncio.get_running_loop().create_future()

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.set_result("cancelled")
                raise

        assert await session.modules.facing.give_up(endless) == "given up"
        assert await ended == "cancelled"

    run(main)


def test_iterators_as_arguments(run: Run) -> None:
    """A generator of the client's is read by the server, in the loop's thread."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        assert await pkg.consume(number for number in range(3000)) == [*range(3000)]

        def fails() -> Iterator[int]:
            yield 1
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await pkg.consume(fails())

    run(main)


def test_tasks_read_one_iterator(run: Run) -> None:
    """Each item goes to one of them; used in another way, it goes on behind what was used."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        steps = await pkg.count(1000)

        async def take() -> list[int]:
            return [number async for number in steps]

        sent = session._driver.messages
        taken = await asyncio.gather(*[take() for _ in range(4)])
        assert session._driver.messages - sent < 20
        assert sorted(itertools.chain(*taken)) == [*range(1000)]
        for counted in (pkg.count, pkg.numbers):
            steps = await counted(100)
            assert [await next(steps) for _ in range(10)] == [*range(10)]
            assert await pkg.consume(steps) == [*range(10, 100)]
            with pytest.raises(StopAsyncIteration):
                await next(steps)

    run(main)


def test_containers_in_arguments_are_written_back(run: Run) -> None:
    """As on the blocking face."""

    async def main(session: AsyncSession) -> None:
        items = [7]
        assert await session.modules.facing.fill(items) == 2
        assert items == [7, 1]

    run(main)


def test_mirrors(run: Run) -> None:
    """Read here; written there by awaited methods; what C code writes arrives; no stale read."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        thing = await pkg.Thing(1)
        items = await thing.items
        await items.append(3)
        assert items == [1, 2, 3]
        assert await thing.items is items
        for text in ("items[0] = 4", "del items[0]", "items += [1]"):
            with pytest.raises(TypeError, match="await x"):
                exec(text, {"items": items})
        await items.__setitem__(0, 4)
        assert items == [4, 2, 3]
        heapq.heappush(items, 0)
        assert await pkg.add(1) == 2
        assert await session.modules.json.dumps(await thing.items) == str(items)
        large = await pkg.LARGE
        first = large[0]
        await pkg.change_large()
        assert large[0] == first + 1

    run(main)


def test_arrays_travel(run: Run) -> None:
    """Large arguments go ahead in chunks while the loop goes on, and large results come."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        array = np.ones(3_000_000)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        assert await pkg.total(array) == 3e6
        counting.cancel()
        assert turns > 10
        doubled = await pkg.add(array, array)
        assert doubled.shape == array.shape
        assert doubled[-1] == 2.0
        assert not session._driver._outgoing

    run(main)


def test_progress_and_bounds(facing: ServedProcess) -> None:
    """`on_progress` hears of large values in the loop's thread; large results may stay there."""

    async def main() -> None:
        where = {"token": facing.token, "max_result": 100_000}
        async with wsremote.connect_async(facing.url, **where) as session:
            pkg = session.modules.facing
            heard = []
            session.on_progress = heard.append
            assert await pkg.total(np.ones(20_000_000)) == 2e7
            assert {progress.direction for progress in heard} == {"up"}
            assert heard[-1].done == heard[-1].total == 160_000_000
            assert heard[0].call == "facing:total"
            kept = await pkg.add(np.ones(100_000), 1)
            assert not isinstance(kept, np.ndarray)
            assert (await session.fetch(kept)).sum() == 200_000
            with pytest.raises(TypeError, match="nothing to fetch"):
                await session.fetch(3)
        with pytest.raises(ValueError):
            wsremote.connect_async(facing.url, token=facing.token, max_result=-1)

    asyncio.run(main())


def test_output_comes_when_it_comes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints of a call appear while it runs, before its answer."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        await pkg.say("first")
        assert capsys.readouterr().out == "first\n"
        task = asyncio.create_task(pkg.say_and_wait("second", "output"))
        out = ""
        async with asyncio.timeout(TIMEOUT):
            while not out:
                await asyncio.sleep(0)
                out = capsys.readouterr().out
        assert out == "second\n"
        assert not task.done()
        # The lane is busy: the door is opened from another.
        opener = await wsremote.connect_async(session.url, token="of the tests", new=True)
        await opener.modules.facing.open_door("output")
        assert await task == "second"
        await opener.close()

    run(main)


def test_warnings_point_at_the_caller(run: Run) -> None:
    """They are raised in the task, under the filters here."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await pkg.warn("careful")
        assert [(w.filename, str(w.message)) for w in caught] == [(__file__, "careful")]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="careful"):
                await pkg.warn("careful")

    run(main)


def test_importing(run: Run) -> None:
    """`install` lets `import` find the served packages; what would ask is an ImportError."""

    async def main(session: AsyncSession) -> None:
        with session.install(override=["json", "samplepkg"]):
            import facing as imported  # type: ignore[import-not-found]

            assert await imported.add(1) == 2
            from facing import Thing

            assert await (await Thing(1)).number == 1
            with pytest.raises(ImportError):
                import facing.nothing
            with pytest.raises(ImportError, match="cannot be awaited"):
                import samplepkg.nothing  # noqa: F401
            with pytest.raises(OSError, match="source"):
                inspect.getsource(imported.add)
        assert "facing" not in sys.modules

    run(main)


def test_python_tools_of_asyncio(run: Run) -> None:
    """`wait_for`, task groups, `gather`, `shield`, `as_completed`, `ensure_future` take calls."""

    async def main(session: AsyncSession) -> None:
        add = session.modules.facing.add
        assert await asyncio.wait_for(add(1), TIMEOUT) == 2
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(add(number)) for number in range(3)]
        assert [task.result() for task in tasks] == [1, 2, 3]
        assert await asyncio.shield(add(1)) == 2
        assert sorted([await each for each in asyncio.as_completed([add(1), add(2)])]) == [2, 3]
        assert await asyncio.ensure_future(add(1)) == 2
        call = add(1)
        assert inspect.isawaitable(call)
        assert asyncio.iscoroutine(call)
        assert await call == 2
        with pytest.raises(RuntimeError, match="already awaited"):
            await call

    run(main)


def test_a_call_is_a_coroutine(run: Run) -> None:
    """Named, begun by who takes its `send`, closed without a word; dropped before, it warns."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        before = session._driver.messages
        call = pkg.add(1)
        assert (call.__name__, call.__qualname__) == ("add", "facing:add")
        # Who only looks whether there is a `send` has not begun it.
        assert callable(call.send)
        assert await call == 2
        task = asyncio.create_task(pkg.add(1))
        assert "facing:add" in repr(task)
        assert await task == 2
        pkg.add(1).close()
        looked_at = pkg.add(1)
        looked_at.send
        looked_at.close()
        with pytest.raises(KeyError):
            pkg.add(1).throw(KeyError("thrown"))
        dropped = pkg.add(1)
        dropped.send
        with pytest.warns(RuntimeWarning, match="'facing:add' was never awaited"):
            del dropped
            gc.collect()
        assert session._driver.messages == before + 2

    run(main)


def test_a_task_that_calls_on_and_on_lets_others_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if each answer is there at once, so that the loop would not be needed for it."""
    receive = SocketConnection.receive

    def waiting(connection: SocketConnection, timeout: float) -> Any:
        return receive(connection, timeout or TIMEOUT)

    async def main(session: AsyncSession) -> None:
        add, turns = session.modules.facing.add, 0
        await add(1)

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(other())
        with monkeypatch.context() as patched:
            patched.setattr(SocketConnection, "receive", waiting)
            for number in range(500):
                assert await add(number) == number + 1
        task.cancel()
        # One of the call costs 20 µs at least, and a turn may have 300 µs of them.
        assert turns >= 5

    run(main)


def test_answers_go_to_their_own_calls(run: Run) -> None:
    """Whatever became of the calls before: cancelled, failed, printing, of other values."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        await pkg.add(1)

        async def each(number: int) -> Any:
            match number % 5:
                case 0:
                    return await pkg.add(number)
                case 1:
                    return await pkg.add([number], [number])
                case 2:
                    with pytest.raises(TypeError):
                        await pkg.add(number, "x")
                    return await pkg.add(number)
                case 3:
                    return await pkg.add(2**70 + number)
                case _:
                    return await pkg.add("\udc80", str(number))

        def expected(number: int) -> Any:
            special = {1: [number] * 2, 3: 2**70 + number + 1, 4: f"\udc80{number}"}
            return special.get(number % 5, number + 1)

        for start in range(0, 1000, 100):
            tasks = [asyncio.create_task(each(start + number)) for number in range(100)]
            await asyncio.sleep(0)
            for task in tasks[:: 1 + start // 100]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for number, result in enumerate(results, start):
                assert isinstance(result, asyncio.CancelledError) or result == expected(number)
            assert await each(start) == expected(start)
        assert not session._driver._calls

    run(main)


# ---- cancelling --------------------------------------------------------------------------


def test_cancelling_reaches_plain_code(run: Run) -> None:
    """A cancelled task interrupts what runs there, and the session goes on."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        async with wsremote.connect_async(session.url, token="of the tests") as other:
            watch = other.modules.facing
            task = asyncio.create_task(pkg.wait_in_python("plain"))
            await logged(watch, "plain begins")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await logged(watch, "plain interrupted")
        assert await pkg.add(1) == 2

    run(main)


def test_cancelling_reaches_coroutines(run: Run) -> None:
    """What the server's coroutine makes of it is what the task gets."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        task = asyncio.create_task(pkg.wait_async("coroutine"))
        await logged(pkg, "coroutine begins")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await logged(pkg, "coroutine cancelled")
        await pkg.open_door("coroutine")
        task = asyncio.create_task(pkg.stubborn())
        await logged(pkg, "stubborn begins")
        task.cancel()
        assert await task == "not yet"

    run(main)


def test_a_promise_is_asked_for_behind_its_call(run: Run) -> None:
    """A call that was given up holds up the lane of a pipeline; later calls go in another one."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        made, given_up = asyncio.Event(), asyncio.Event()

        async def block() -> int:
            async with session.pipeline():
                promise = pkg.add(1)
                await asyncio.sleep(0)
                made.set()
                await given_up.wait()
                value: int = await promise
            return value

        async with wsremote.connect_async(session.url, token="of the tests") as other:
            watch = other.modules.facing
            task = asyncio.create_task(pkg.wait_in_c("promise"))
            await logged(watch, "promise begins")
            asking = asyncio.create_task(block())
            await made.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # In another lane.
            assert await pkg.add(2) == 3
            given_up.set()
            assert [await pkg.add(3), await pkg.add(4)] == [4, 5]
            assert not asking.done()
            await watch.open_door("promise")
            assert await asking == 2

    run(main)


@pytest.mark.parametrize("name", ["wait_in_c", "wait_twice"])
def test_a_cancelled_task_does_not_wait_for_the_server(run: Run, name: str) -> None:
    """Code in C that hears no interrupt, cleaning up that lasts: the task ends before they do."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        async with wsremote.connect_async(session.url, token="of the tests") as other:
            watch = other.modules.facing
            door = f"{name} blocked"
            task = asyncio.create_task(getattr(pkg, name)(door))
            await logged(watch, f"{door} begins")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # It runs on there, and this session can be used all the same.
            assert await pkg.add(1) == 2
            assert not await watch.logged(f"{door} ends")
            for each in (door, f"{door} cleaned"):
                await watch.open_door(each)
            assert await pkg.later(1) == 2

    run(main)


def test_a_generator_outlives_a_call_that_is_given_up(run: Run) -> None:
    """Begun in the lane that the call holds up, it goes on in another. Later that one is again."""

    async def main(session: AsyncSession) -> None:
        pkg, waiting = session.modules.facing, session.modules.samplepkg.waiting
        async with wsremote.connect_async(session.url, token="of the tests") as other:
            watch = other.modules.facing

            async def hold_up(door: str) -> None:
                task = asyncio.create_task(pkg.wait_in_c(door))
                await logged(watch, f"{door} begins")
                await asyncio.sleep(0.1)  # until it is in C code
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            async def let_go(door: str) -> None:
                await watch.open_door(door)
                async with asyncio.timeout(TIMEOUT):
                    while session._driver._abandoned or session._driver._left:  # noqa: ASYNC110  # no event is set for it
                        await asyncio.sleep(0.005)
                # A lane that was left is at its end.
                await asyncio.sleep(0.1)

            numbers = await waiting.numbers(20)
            got = [await anext(numbers) for _ in range(5)]
            await hold_up("first")
            # In another lane, until the first is free.
            got += [await anext(numbers) for _ in range(5)]
            lanes = [session._driver.lane_number]
            await let_go("first")
            await hold_up("second")
            got += [each async for each in numbers]
            lanes.append(session._driver.lane_number)
            await watch.open_door("second")
            assert got == list(range(20))
            assert lanes == [-2, -1]

    run(main)


def test_a_call_that_waits_in_line_is_not_sent(run: Run) -> None:
    """Cancelled in the turn in which it was made, a call never leaves."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        await pkg.add(1)
        before = session._driver.messages
        tasks = [asyncio.create_task(pkg.add(number)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[:2] == [1, 2]
        assert isinstance(results[2], asyncio.CancelledError)
        assert session._driver.messages == before + 2
        assert not session._driver._calls

    run(main)


def test_timeouts(run: Run) -> None:
    """`session.timeout` bounds the calls of its task, and of no other."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        with session.timeout(0.05), pytest.raises(wsremote.CallTimeout, match="interrupted") as e:
            await pkg.wait_in_python("timeout")
        assert e.value.outcome == "interrupted"
        async with asyncio.timeout(TIMEOUT):
            assert await pkg.add(1) == 2
        with pytest.raises(ValueError, match="above zero"), session.timeout(0):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pkg.wait_async("asyncio")
        await pkg.open_door("asyncio")

    run(main)


# ---- calls that nobody awaits yet --------------------------------------------------------


def test_submitted_calls_are_futures(run: Run) -> None:
    """They run beside each other and beside the lane; a cancelled one is interrupted."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        blocked = session.submit(pkg.wait_in_python, "submitted")
        await logged(pkg, "submitted begins")
        futures = [session.submit(pkg.add, number) for number in range(100)]
        assert await asyncio.gather(*futures) == [*range(1, 101)]
        assert await session.submit(pkg.later, 1) == 2
        assert await pkg.add(1) == 2
        assert not blocked.done()
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        await logged(pkg, "submitted interrupted")
        with pytest.raises(pkg.Broken):
            await session.submit(pkg.fail, "no")
        # One that goes on in C code holds up no lane.
        blocked = session.submit(pkg.wait_in_c, "pooled")
        await logged(pkg, "pooled begins")
        blocked.cancel()
        lane = session._driver._lanes.mine
        assert await pkg.add(1) == 2
        assert session._driver._lanes.mine is lane
        await pkg.open_door("pooled")
        thing = await session.submit(pkg.Thing, 4)
        assert await session.submit(thing.plus, 1) == 5
        with pytest.raises(TypeError, match="take functions"):
            session.submit(len, [])

    run(main)


def test_what_is_submitted_is_sent_as_it_was_then(run: Run) -> None:
    """Containers and arrays of any size, by position or name; what the call changes comes back."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        items, inner = [1, 2], [3]
        small, large = np.ones(10), np.ones(100_000)
        futures = [
            session.submit(session.modules.json.dumps, [items, (inner,)]),
            session.submit(session.modules.json.dumps, obj={"a": inner}),
            session.submit(pkg.later, b=items, a=[4]),
            *(session.submit(pkg.total, array) for array in (small, large)),
        ]
        items[0], small[:], large[:] = 10, 2, 2
        inner.append(4)
        expected = ["[[1, 2], [[3]]]", '{"a": [3]}', [4, 1, 2], 10, 100_000]
        assert await asyncio.gather(*futures) == expected
        given: list[int] = []
        assert await session.submit(pkg.fill, given) == 1
        assert given == [0]
        given = [5]
        with pytest.raises(wsremote.ChangeConflict):
            filled = session.submit(pkg.fill, given)
            given.append(6)
            await filled
        assert given == [5, 6]
        # What is wrong with the arguments, the future says, as in any executor.
        wrong = session.submit(pkg.add, pkg.add(1), 2)
        with pytest.raises(TypeError, match="before it is an argument"):
            await wrong

    run(main)


def test_map_reads_an_infinite_input(run: Run) -> None:
    """Results in order, a bounded way ahead of who takes them; an error comes in its place."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        taken = 0

        def numbers() -> Iterator[int]:
            nonlocal taken
            while True:
                yield taken
                taken += 1

        results = []
        async for result in session.map(pkg.add, numbers(), itertools.repeat(2)):
            results.append(result)
            if len(results) == 2000:
                break
        assert results == [*range(2, 2002)]
        assert taken < 4000
        assert [n async for n in session.map(pkg.add, [1, 2])] == [2, 3]
        with pytest.raises(TypeError, match="concatenate"):
            [n async for n in session.map(pkg.add, [1, "x", 3])]
        with pytest.raises(TimeoutError):
            [n async for n in session.map(pkg.wait_in_python, ["map"], timeout=0.05)]
        with pytest.raises(ValueError, match="chunksize"):
            session.map(pkg.add, [], chunksize=0)
        with pytest.raises(TypeError, match="take functions"):
            session.map(len, [[]])

    run(main)


def test_map_takes_asynchronous_inputs(run: Run) -> None:
    """Read ahead of who takes results, which do not wait for it; its error comes in its place."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        taken, more = 0, asyncio.Event()

        async def numbers() -> AsyncIterator[int]:
            nonlocal taken
            while True:
                yield taken
                taken += 1

        async def slow() -> AsyncIterator[int]:
            yield 1
            yield 2
            await more.wait()
            yield 3
            raise KeyError("the input")

        results = []
        async for result in session.map(pkg.add, numbers(), itertools.repeat(2)):
            results.append(result)
            if len(results) == 2000:
                break
        assert results == [*range(2, 2002)]
        assert taken < 4000
        results = []
        with pytest.raises(KeyError, match="the input"):
            async for result in session.map(pkg.add, slow()):
                results.append(result)
                if len(results) == 2:
                    more.set()
        assert results == [2, 3, 4]
        assert [n async for n in session.map(pkg.add, pkg.numbers(3), [10, 20, 30, 40])] == [
            *(10, 21, 32)
        ]
        with pytest.raises(TypeError, match="unsupported operand"):
            [n async for n in session.map(pkg.add, numbers(), ["x"])]
        more.clear()
        with pytest.raises(TimeoutError):
            [n async for n in session.map(pkg.add, slow(), timeout=0.05)]
        async with asyncio.timeout(TIMEOUT):
            await session.shutdown()

    run(main)


def test_shutdown(run: Run) -> None:
    """It waits for what was submitted, and then takes no more; the session goes on."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        futures = [session.submit(pkg.add, number) for number in range(10)]
        await session.shutdown()
        assert all(future.done() for future in futures)
        with pytest.raises(RuntimeError, match="after shutdown"):
            session.submit(pkg.add, 1)
        with pytest.raises(RuntimeError, match="after shutdown"):
            session.map(pkg.add, [1])
        assert await pkg.add(1) == 2

    run(main)


def test_pipelines(run: Run) -> None:
    """Calls give promises at once, which are arguments and receivers; few messages carry them."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        sent = session._driver.messages
        async with session.pipeline():
            thing = pkg.Thing(3)
            total = thing.plus(1)
            for _ in range(300):
                total = pkg.add(total, 1)
            doubled = (total + 0) * 2
            number, items = thing.number, thing.items
            assert await number == 3
            total = pkg.later(total)
        assert session._driver.messages - sent < 20
        assert [await total, await doubled, await number] == [305, 608, 3]
        assert await (await thing).plus(2) == 5
        mirrored = await items
        assert mirrored == [1, 2]
        given: list[int] = []
        async with session.pipeline():
            size = pkg.fill(given)
            whole = pkg.total(np.ones(100_000))
        assert [await size, given, await whole] == [1, [0], 1e5]
        assert isinstance(await thing, pkg.Thing)
        del thing, total, doubled, number, items, size, whole
        assert not session._driver._outgoing

    run(main)


def test_a_call_of_a_pipeline_sees_what_those_before_it_have_changed(run: Run) -> None:
    """It leaves when that is here; the order is that of the program, and the loop goes on."""

    async def main(session: AsyncSession) -> None:
        pkg, dumps = session.modules.facing, session.modules.json.dumps
        given: list[int] = []
        array, nested = np.zeros(3), {"a": given}
        async with session.pipeline():
            sizes = [pkg.fill(given), pkg.add(1)]
            texts = [dumps(given)]
            sizes += [pkg.fill(given), pkg.add(sizes[0], 10), pkg.fill(given)]
            texts += [dumps((nested, given)), dumps([3])]
            assert given == []
            assert await sizes[-1] == 3
            # With the value of a promise, what it and those before it have changed is here.
            assert given == [0, 1, 2]
            last = pkg.fill(given)
            with pytest.raises(RuntimeError, match="await the promise"):
                await session.setattr(pkg.Thing, "shared", given)
            assert await last == 4
            await session.setattr(pkg.Thing, "shared", given)
            filled = pkg.fill_array(wsremote.inout(array))
            total = pkg.total(array)
        assert [await each for each in texts] == ["[0]", '[{"a": [0, 1, 2]}, [0, 1, 2]]', "[3]"]
        assert [await each for each in sizes] == [1, 2, 2, 11, 3]
        assert await pkg.Thing.shared == given == [0, 1, 2, 3]
        assert [await total, await filled] == [3, None]
        with pytest.raises(pkg.Broken, match="filled"):
            async with session.pipeline():
                pkg.fill_and_fail(given)
                text = dumps(given)
        assert await text == "[0, 1, 2, 3, 4]"

    run(main)


def test_what_is_held_back_in_a_pipeline_has_not_changed_meanwhile(run: Run) -> None:
    """Else nobody knows what it was to be given; nothing that was made after it leaves."""

    async def main(session: AsyncSession) -> None:
        pkg, dumps = session.modules.facing, session.modules.json.dumps
        given = [1]
        with pytest.raises(wsremote.ChangeConflict, match="held back"):
            async with session.pipeline():
                first, second = dumps(given), dumps(given)
                given.append(2)
                others = pkg.add(second, 1), pkg.add(1)
        assert await first == "[1]"
        with pytest.raises(wsremote.ChangeConflict):
            await second
        for other in others:
            with pytest.raises(wsremote.CallCancelled, match="before it could not be made"):
                await other
        with pytest.raises(KeyError):
            async with session.pipeline():
                pkg.fill(given)
                dropped = dumps(given)
                raise KeyError
        with pytest.raises(wsremote.CallCancelled, match="never started"):
            await dropped
        async with session.pipeline():
            pkg.fill(given)
            text = dumps(given)
        assert await text == str(given)
        assert not session._driver._calls

    run(main)


def test_an_error_in_a_pipeline_surfaces_once(run: Run) -> None:
    """At the end of the block, or where somebody awaits what depends on it; not twice."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        with pytest.raises(pkg.Broken, match="first"):
            async with session.pipeline():
                failed = pkg.fail("first")
                depends = pkg.add(failed, 1)
                fine = pkg.add(1)
        assert await fine == 2
        with pytest.raises(pkg.Broken, match="first"):
            await depends
        async with session.pipeline():
            failed = pkg.fail("second")
            with pytest.raises(pkg.Broken, match="second"):
                await pkg.add(failed, 1)
        with pytest.raises(KeyError):
            async with session.pipeline():
                never = pkg.add(1)
                raise KeyError
        with pytest.raises(wsremote.CallCancelled, match="never started"):
            await never
        assert await pkg.add(1) == 2

    run(main)


def test_promises_are_not_values(run: Run) -> None:
    """What would need one raises, and so does a use outside of the block."""

    async def main(session: AsyncSession) -> None:
        pkg = session.modules.facing
        async with session.pipeline() as pipeline:
            promise = pkg.add(1)
            for use in (bool, len, list):
                with pytest.raises(TypeError, match="await"):
                    use(promise)
        with pytest.raises(TypeError, match="outside of the block"):
            promise + 1
        async with wsremote.connect_async(session.url, token="of the tests") as other:
            with pytest.raises(wsremote.EncodeError, match="another session"):
                await other.modules.facing.add(promise)
        assert await pkg.add(promise, 1) == 3
        with pytest.raises(RuntimeError, match="one block"):
            async with pipeline:
                pass

    run(main)


# ---- sessions ----------------------------------------------------------------------------


async def test_awaited_twice_it_is_one_session(facing: ServedProcess) -> None:
    """A notebook's connect cell may be run twice; a block has a session of its own."""
    first, second = await asyncio.gather(
        *[connected(facing.url, token=facing.token) for connected in [_connected] * 2]
    )
    assert first is second
    async with wsremote.connect_async(facing.url, token=facing.token) as block:
        assert block is not first
    assert block.closed
    assert await first.modules.facing.add(1) == 2
    await first.close()
    third = await wsremote.connect_async(facing.url, token=facing.token)
    assert third is not first
    await third.close()
    await third.close()
    with pytest.raises(wsremote.SessionClosed, match="closed here"):
        await third.modules.facing.add(1)


async def _connected(url: str, *, token: str) -> AsyncSession:
    return await wsremote.connect_async(url, token=token)


async def test_no_session(facing: ServedProcess) -> None:
    """As `connect`, it says why there is none, and what to do."""
    with pytest.raises(wsremote.AuthenticationFailed):
        await wsremote.connect_async(facing.url, token="wrong")
    with pytest.raises(wsremote.ConnectionFailed, match="connect_async"):
        await wsremote.connect_async()
    with pytest.raises(wsremote.ConnectionFailed):
        async with wsremote.connect_async("ws://127.0.0.1:1", token="x", timeout=1):
            pass


def test_a_session_belongs_to_its_loop(facing: ServedProcess) -> None:
    """Used in another, or after its end, it says so; left open, it says goodbye and warns."""
    kept: list[Any] = []

    async def leave_open() -> None:
        session = await wsremote.connect_async(facing.url, token=facing.token)
        kept.extend([session, session.modules.facing])

    with pytest.warns(ResourceWarning, match=r"was not closed: use `async with"):
        asyncio.run(leave_open())
    assert kept[0].closed

    async def use() -> None:
        await kept[1].add(1)

    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(use())


async def test_a_forgotten_session_warns(facing: ServedProcess) -> None:
    """Dropped without `close`, it is closed, and a ResourceWarning says so."""
    session = await wsremote.connect_async(facing.url, token=facing.token, new=True)
    driver, add = session._driver, session.modules.facing.add
    with pytest.warns(ResourceWarning, match="was not closed"):
        del session
        gc.collect()
    async with asyncio.timeout(TIMEOUT):
        await driver.poller_of_loop.room(lambda: not driver._has_ended)
    with pytest.raises(wsremote.SessionClosed, match="keep the session"):
        await add(1)


def test_both_faces_have_the_same_names() -> None:
    """In the same order, with the same words, but for what is awaited or has no syntax for it."""
    own = {"setattr", "delattr", "aclose"}
    faces = [
        [name for name in vars(cls) if not name.startswith("_") and name not in own]
        for cls in (Session, AsyncSession)
    ]
    assert faces[0] == faces[1]
    inherited = [
        {name for name in dir(cls) if not name.startswith("_")} for cls in (Session, AsyncSession)
    ]
    assert inherited[0] | own == inherited[1]
    for name in inherited[0] - {"timeout"}:
        docs = [inspect.getdoc(getattr(cls, name)) for cls in (Session, AsyncSession)]
        first, second = [(text or "").partition("\n\n")[0] for text in docs]
        assert first and first == second, name
