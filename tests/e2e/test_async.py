"""Async functions, generators, contexts and callbacks, from an event loop and without one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from harness import Serve, ServedProcess, run

import wsremote

TIMEOUT = 20


@pytest.fixture
def served(pkg: Any) -> Any:
    """The served module of async code, its log empty."""
    pkg.waiting.take_log()
    return pkg.waiting


async def logged(served: Any, text: str) -> None:
    """Wait until the server has logged something."""
    await asyncio.wait_for(served.logged(text), TIMEOUT)


# ---- calls -------------------------------------------------------------------------------


def test_without_a_loop_a_call_waits(served: Any) -> None:
    """The blocking face: values of functions, steps, contexts and coroutine objects."""
    assert served.add(1, 2) == 3
    assert served.hidden(1, 2) == 3
    assert served.Room()(2) == 6
    steps = served.numbers(2)
    assert [steps.__anext__(), steps.asend(None)] == [0, 1]
    with pytest.raises(StopAsyncIteration):
        steps.__anext__()
    room = served.Room()
    assert room.__aenter__() is room
    with pytest.raises(served.Broken, match="no"):
        served.fail("no")


def test_inspect_tells_async_functions(served: Any) -> None:
    """Functions, methods, generators; a decorated one is what it is at home."""
    assert inspect.iscoroutinefunction(served.add)
    assert inspect.iscoroutinefunction(served.Room.double)
    assert inspect.iscoroutinefunction(served.Room().double)
    assert not inspect.iscoroutinefunction(served.hidden)
    assert inspect.isasyncgenfunction(served.numbers)
    assert not inspect.iscoroutinefunction(served.numbers)
    assert inspect.isasyncgen(served.numbers(1))


def test_awaited_calls_give_their_values(served: Any) -> None:
    """Functions, every kind of method, callable objects, what a decorator has hidden."""

    async def main() -> list[Any]:
        room = await served.Room.of("made")
        return [
            await served.add(1, b=2),
            await room.double(2),
            await served.Room.name(),
            await room(2),
            await served.Room().double(4),
            await served.hidden(1, 2),
            room.events,
        ]

    assert asyncio.run(main()) == [3, 4, "room", 6, 8, 3, ["made"]]


def test_nothing_runs_before_it_is_awaited(remote: wsremote.Session, served: Any) -> None:
    """A call gives a coroutine, at no message; dropped, it warns as at home."""

    async def main() -> None:
        before = remote._driver.messages
        coroutine = served.add(1)
        assert inspect.iscoroutine(coroutine)
        assert coroutine.__name__ == "add"
        assert remote._driver.messages == before
        assert await coroutine == 2
        assert remote._driver.messages == before + 1
        with pytest.warns(RuntimeWarning, match="'add' was never awaited"):
            served.add(1)
            gc.collect()

    asyncio.run(main())


def test_awaited_calls_run_beside_each_other(served: Any) -> None:
    """Three that wait for each other; the loop here goes on meanwhile."""

    async def main() -> tuple[list[str], int]:
        barrier, ticks = served.barrier(3), 0
        meeting = asyncio.gather(*(served.meet(barrier, name) for name in "ab"))
        while barrier.n_waiting < 2:
            ticks += 1
            await asyncio.sleep(0)
        assert not meeting.done()
        last = await served.meet(barrier, "c")
        return [*await meeting, last], ticks

    async def timed() -> Any:
        return await asyncio.wait_for(main(), TIMEOUT)

    names, ticks = asyncio.run(timed())
    assert names == ["a", "b", "c"]
    assert ticks > 0


def test_all_run_on_one_loop(served: Any) -> None:
    """Awaited and plain calls of a loop's thread are on one thread of the server, of its lane."""

    async def main() -> set[int]:
        return {*await asyncio.gather(served.thread(), served.thread()), served.plain_thread()}

    before = served.plain_thread()
    assert asyncio.run(main()) == {before}
    assert asyncio.run(main()) == {before}
    assert served.thread() == before
    assert asyncio.run(asyncio.to_thread(served.thread)) != before


def test_plain_calls_see_the_loop_only_while_one_runs_here(served: Any) -> None:
    """A plain function makes a task; after the loop, one may run a loop of its own."""

    async def main() -> int:
        assert await served.add(0) == 1
        return await served.spawn_now(4)

    assert asyncio.run(main()) == 5
    assert served.run_loop() == "ran"
    with pytest.raises(RuntimeError, match="no running event loop"):
        served.spawn_now(4)


def test_mutable_arguments_are_written_back(served: Any, pkg: Any) -> None:
    """As of plain calls."""

    async def main() -> list[int]:
        items: list[int] = []
        await served.call(pkg.functions.append_to, items, 3)
        return items

    assert asyncio.run(main()) == [3]


def test_exceptions_arrive_with_their_tracebacks(served: Any) -> None:
    """Your line, then the server's, and nothing between."""

    async def main() -> None:
        await served.fail("no")

    with pytest.raises(served.Broken, match="no") as failed:
        asyncio.run(main())
    names = [entry.name for entry in failed.traceback]
    assert names[-2:] == ["main", "fail"]
    assert "waiting.py" in str(failed.traceback[-1].path)


def test_what_is_printed_and_warned_belongs_to_its_call(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks that print in turns; the output is there before the result."""

    async def main() -> None:
        barrier = served.barrier(2)
        await asyncio.gather(served.meet(barrier, "a"), served.meet(barrier, "b"))
        lines = capsys.readouterr().out.splitlines()
        for name in "ab":
            assert [line for line in lines if line[0] == name] == [f"{name} comes", f"{name} goes"]
        with pytest.warns(UserWarning, match="careful"):
            await served.warn("careful")

    asyncio.run(main())


def test_context_variables(served: Any) -> None:
    """What one call sets, the next sees; tasks beside each other do not see each other's."""

    async def main() -> list[str]:
        await served.set_variable("one")
        seen = [await served.get_variable()]
        barrier = served.barrier(2)
        both = (served.set_and_meet(name, barrier) for name in ("left", "right"))
        return [*seen, *await asyncio.gather(*both), await served.get_variable()]

    assert asyncio.run(main()) == ["one", "left", "right", "one"]
    assert served.get_variable() == "one"


# ---- iteration, contexts, awaitables -----------------------------------------------------


def test_asynchronous_iteration(served: Any) -> None:
    """Generators, with all their methods, and classes with `__anext__`."""

    async def main() -> list[Any]:
        echo = served.echo()
        sent = [await anext(echo), await echo.asend(5), await echo.athrow(KeyError("k"))]
        await echo.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(echo)
        return [
            [number async for number in served.numbers(3)],
            [number async for number in served.Countdown(3)],
            sent,
        ]

    assert asyncio.run(main()) == [[0, 1, 2], [2, 1, 0], ["ready", 5, "KeyError('k')"]]


def test_a_generator_that_is_left_is_closed(served: Any) -> None:
    """In its loop, when nothing here holds it."""

    async def main() -> None:
        async for number in served.numbers(9):
            if number == 1:
                break
        await logged(served, "closed")

    asyncio.run(main())


def test_asynchronous_contexts(served: Any) -> None:
    """Of classes and generators; an exception reaches them, and they may take it."""

    async def main() -> list[Any]:
        async with served.Room() as room:
            inside = list(room.events)
        async with room:
            raise KeyError("k")
        with pytest.raises(ValueError, match="v"):
            async with room:
                raise ValueError("v")
        async with served.borrowed("book") as book:
            assert book == "book"
        return [inside, list(room.events), served.take_log()]

    events = ["in", "out", "in", "out: 'k'", "in", "out: v"]
    assert asyncio.run(main()) == [["in"], events, ["borrow book", "return book"]]


def test_awaitable_objects(served: Any) -> None:
    """Coroutines, tasks, futures, and classes with `__await__`."""

    async def main() -> list[Any]:
        ticket, future = served.Ticket(), await served.future()
        both = asyncio.gather(*(asyncio.create_task(wait(future)) for _ in range(2)))
        await asyncio.sleep(0)
        await served.add(0)
        future.set_result("set")
        coroutine = served.hidden(3)
        assert asyncio.iscoroutine(coroutine)
        return [
            await ticket,
            await ticket,
            await both,
            await asyncio.create_task(coroutine),
            await asyncio.gather(await served.spawn(1), served.spawn_now(2), served.hidden(3)),
        ]

    async def wait(future: Any) -> Any:
        return await future

    assert asyncio.run(main()) == [42, 42, ["set", "set"], 4, [2, 3, 4]]


def test_objects_that_are_bound_to_a_loop(served: Any) -> None:
    """A queue between two tasks of ours, an event, a lock."""

    async def take(queue: Any) -> list[int]:
        return [await queue.get() for _ in range(5)]

    async def give(queue: Any) -> None:
        for number in range(5):
            await queue.put(number)

    async def alone(lock: Any, inside: list[int]) -> None:
        async with lock:
            inside.append(1)
            await served.add(0)
            assert sum(inside) == 1
            inside.append(-1)

    async def main() -> list[int]:
        queue, event, lock = served.queue(), served.event(), served.lock()
        taken, _ = await asyncio.gather(take(queue), give(queue))
        waiting = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        event.set()
        assert await waiting is True
        inside: list[int] = []
        await asyncio.gather(*(alone(lock, inside) for _ in range(3)))
        return taken  # type: ignore[no-any-return]

    assert asyncio.run(asyncio.wait_for(main(), TIMEOUT)) == [0, 1, 2, 3, 4]


# ---- cancelling --------------------------------------------------------------------------


def test_cancelling_reaches_the_server(served: Any) -> None:
    """The coroutine there is cancelled, cleans up, and may refuse."""

    async def main() -> list[Any]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(served.slow("a"), 0.05)
        seen = served.take_log()
        task = asyncio.create_task(served.slow("b"))
        await logged(served, "b waits")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        seen += served.take_log()
        stubborn = asyncio.create_task(served.stubborn())
        await logged(served, "stubborn waits")
        stubborn.cancel()
        return [*seen, await stubborn]

    expected = ["a waits", "a cancelled", "b waits", "b cancelled", "not cancelled"]
    assert asyncio.run(main()) == expected


def test_a_generator_outlives_a_call_that_is_given_up(remote: Any, served: Any) -> None:
    """Begun in the event loop of the lane that the call holds up, it goes on in another."""

    functions = remote.modules.samplepkg.functions

    async def main() -> list[int]:
        got = []
        async for number in served.numbers(20):
            got.append(number)
            if number == 5:
                with remote.timeout(0.1), pytest.raises(wsremote.CallTimeout):
                    functions.talk_and_sleep(2)
                assert functions.add(1) == 2
            if number == 8:
                # The first lane is free again; one that was left is at its end.
                await asyncio.sleep(1.5)
        return got

    assert asyncio.run(main()) == list(range(20))


def test_a_generator_outlives_the_call_that_has_begun_it(served: Any) -> None:
    """One in a function that a coroutine calls back: it is awaited beside that, in another loop."""
    numbers = served.numbers(5)
    got = [served.call(lambda: numbers.__anext__()) for _ in range(3)]
    assert [*got, numbers.__anext__(), numbers.__anext__()] == list(range(5))


def test_a_group_cancels_its_other_tasks(served: Any) -> None:
    """One fails, the other one's server side is cancelled."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(served.slow("g"))
            await logged(served, "g waits")
            group.create_task(served.fail("first"))

    with pytest.raises(ExceptionGroup) as failed:
        asyncio.run(main())
    assert failed.group_contains(served.Broken, match="first")
    assert served.take_log() == ["g waits", "g cancelled"]


def test_ctrl_c_cancels(client: subprocess.Popen[str]) -> None:
    """In `asyncio.run`: the served coroutine cleans up, and the session goes on."""
    assert client.stdout is not None
    run(
        client,
        textwrap.dedent("""
        import asyncio, os, wsremote
        session = wsremote.connect(os.environ["WSREMOTE_URL"])
        served = session.modules.samplepkg.waiting
        served.take_log()
        async def main():
            task = asyncio.create_task(served.slow("c"))
            await served.logged("c waits")
            print("waiting")
            await task
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print(served.take_log(), served.add(1))
        """),
    )
    assert client.stdout.readline() == "waiting\n"
    client.send_signal(signal.SIGINT)
    assert client.stdout.readline() == "['c waits', 'c cancelled'] 2\n"


def test_the_end_of_a_session_ends_what_is_awaited(sample: ServedProcess) -> None:
    """What waits raises, and so does what comes later."""
    session = wsremote.connect(sample.url, token=sample.token, new=True)
    served = session.modules.samplepkg.waiting

    async def main() -> None:
        task = asyncio.create_task(served.slow("e"))
        await logged(served, "e waits")
        await asyncio.to_thread(session.close)
        with pytest.raises(wsremote.SessionClosed, match="whether the call was executed"):
            await task
        with pytest.raises(wsremote.SessionClosed):
            await served.add(1)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_the_end_of_the_server_ends_what_is_awaited(serve: Serve) -> None:
    """The process dies in the middle of a call, and another takes its place."""
    tests = Path(__file__).parents[1]
    process = serve("samplepkg", path=(tests,))
    process.expected_code = -signal.SIGKILL
    session = wsremote.connect(process.url, token=process.token)
    served = session.modules.samplepkg.waiting

    async def main() -> None:
        task = asyncio.create_task(served.slow("k"))
        await logged(served, "k waits")
        process.process.kill()
        process.process.wait(TIMEOUT)
        await asyncio.to_thread(serve, "samplepkg", path=(tests,), port=process.port)
        with pytest.raises(wsremote.SessionLost, match="restarted") as caught:
            await task
        assert caught.value.unknown == ("samplepkg.waiting:slow",)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    session.close()


# ---- callbacks ---------------------------------------------------------------------------


def test_async_functions_of_the_client_run_in_its_loop(served: Any) -> None:
    """Awaited by served code: several at once, calling back, raising, cancelled."""

    async def main() -> None:
        me, ended = threading.get_ident(), []

        async def double(number: int) -> int:
            assert threading.get_ident() == me
            return await served.add(number, number)

        async def fail() -> None:
            raise error

        async def never() -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        error = KeyError("mine")
        assert await served.await_call(double, 4) == 8
        assert await served.gather(double, 3) == [0, 2, 4]
        with pytest.raises(KeyError) as failed:
            await served.await_call(fail)
        assert failed.value is error
        assert await served.give_up(never) == "timed out"
        assert ended == ["cancelled"]

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_async_objects_of_the_client(served: Any) -> None:
    """Generators and contexts as arguments, used by served code."""
    seen: list[str] = []

    async def letters() -> AsyncIterator[str]:
        for letter in "abc":
            await asyncio.sleep(0)
            yield letter

    @contextlib.asynccontextmanager
    async def context() -> AsyncIterator[str]:
        try:
            yield "inside"
        except ValueError as error:
            seen.append(str(error))
            raise

    async def main() -> list[Any]:
        with pytest.raises(ValueError, match="wrong"):
            await served.enter(context(), ValueError("wrong"))
        return [await served.drain(letters()), await served.enter(context())]

    assert asyncio.run(main()) == [["a", "b", "c"], "inside"]
    assert seen == ["wrong"]


def test_plain_functions_of_the_client_run_in_the_thread_of_its_loop(served: Any) -> None:
    """Also while that thread is in a plain call, which the server's loop comes to only later."""

    async def main() -> None:
        me = threading.get_ident()

        def call(number: int) -> tuple[int, bool]:
            assert served.plain_thread() > 0
            return number, threading.get_ident() == me

        for _ in range(50):
            tasks = [asyncio.create_task(served.call(call, number)) for number in range(3)]
            await asyncio.sleep(0)
            served.plain_thread()
            assert await asyncio.gather(*tasks) == [(0, True), (1, True), (2, True)]

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_what_a_call_leaves_behind_calls_in_the_loop(served: Any) -> None:
    """A task of the server's, when the call that started it has returned."""

    async def main() -> tuple[str, bool]:
        me = threading.get_ident()
        called: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()

        async def call(text: str) -> None:
            called.set_result((text, threading.get_ident() == me))

        await served.leave_behind(call)
        return await asyncio.wait_for(called, TIMEOUT)

    assert asyncio.run(main()) == ("later", True)


def test_without_a_loop_here_callbacks_are_awaited_in_the_thread_that_waits(served: Any) -> None:
    """In a loop for each, by a blocking call."""
    me = threading.get_ident()

    async def double(number: int) -> tuple[int, bool]:
        await asyncio.sleep(0)
        return 2 * number, threading.get_ident() == me

    assert served.await_call(double, 4) == (8, True)
    assert served.gather(double, 2) == [(0, True), (2, True)]


def test_deriving_from_async_classes(served: Any) -> None:
    """Overrides that await `super()`, used here and by served code."""

    class Mine(served.Room):  # type: ignore[misc,name-defined]
        async def __aenter__(self) -> Any:
            await super().__aenter__()
            self.events.append("mine")
            return self

        async def double(self, number: int) -> int:
            return 1 + await super().double(number)  # type: ignore[no-any-return]

    async def main() -> list[Any]:
        async with Mine() as room:
            doubled = await room.double(4)
        entered = await served.enter(Mine())
        return [doubled, list(room.events), type(entered) is Mine, list(entered.events)]

    events = ["in", "mine", "out"]
    assert asyncio.run(main()) == [9, events, True, events]


# ---- threads -----------------------------------------------------------------------------


def test_loops_of_several_threads(served: Any, pkg: Any) -> None:
    """Each has its own on the server; plain threads call beside them."""
    found: list[tuple[list[int], int]] = []

    async def main() -> tuple[list[int], int]:
        queue = served.queue()

        async def take() -> list[int]:
            return [await queue.get() for _ in range(10)]

        async def give() -> None:
            for number in range(10):
                await queue.put(number)

        taken, _ = await asyncio.gather(take(), give())
        return taken, await served.thread()

    def work() -> None:
        found.append(asyncio.run(asyncio.wait_for(main(), TIMEOUT)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [pkg.functions.add(number) for number in range(100)] == list(range(1, 101))
    for thread in threads:
        thread.join()
    assert [taken for taken, _ in found] == [list(range(10))] * 3
    assert len({thread for _, thread in found}) == 3


def test_answers_come_at_once_beside_blocking_calls(served: Any, pkg: Any) -> None:
    """The reader of a plain call that returns leaves the answers of others to somebody."""

    async def main() -> float:
        calls, stop = 0, threading.Event()

        def call() -> None:
            while not stop.is_set():
                pkg.functions.add(1)

        thread = threading.Thread(target=call)
        thread.start()
        start = time.monotonic()
        while calls < 50:
            await served.add(1)
            calls += 1
        spent = time.monotonic() - start
        stop.set()
        await asyncio.to_thread(thread.join)
        return spent

    assert asyncio.run(main()) < TIMEOUT
