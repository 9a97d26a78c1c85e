"""`submit`: futures of calls that nobody waits for yet. Both ends in this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from harness import OpenSession, ServedProcess, start_server
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import poller as client_poller
from wsremote.errors import LimitExceeded, NotExposed, SessionClosed, StaleHandle
from wsremote.protocol.messages import Output
from wsremote.server.config import Limits

HERE = Path(__file__).parent
SOURCE = (HERE / "streamed.py").read_text()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, of `streamed`."""
    with serving(tmp_path, limits=Limits(), source=SOURCE) as local:
        yield local


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session of its own."""
    session = wsremote.connect(local.url, token=TOKEN, new=True)
    yield session
    session.close()


@pytest.fixture
def module(local: Local, session: wsremote.Session) -> Any:
    """The served module, as the client has it."""
    return getattr(session.modules, local.name)


@pytest.fixture
def connect() -> Iterator[OpenSession]:
    """`connect(served)` opens a session; all close with the test."""
    with contextlib.ExitStack() as stack:

        def opened(served: ServedProcess) -> wsremote.Session:
            session = wsremote.connect(served.url, token=served.token, new=True)
            stack.callback(session.close)
            return session

        yield opened


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `streamed` in a process of its own, whose output is not that of the test."""
    served = start_server("streamed", folder=tmp_path_factory.mktemp("server"), path=(HERE,))
    yield served
    served.stop()


def settled(session: wsremote.Session, local: Local) -> None:
    """Wait until nothing is under way in the client's background, and the server has heard."""
    for _ in range(2):
        gc.collect()
        idle = threading.Event()
        session._driver._background.submit(idle.set)
        assert idle.wait(PATIENCE)
        barrier(client_poller())
    getattr(session.modules, local.name).thread()
    barrier(local.server.poller)


# ---- an executor -------------------------------------------------------------------------


def test_a_session_is_an_executor(session: wsremote.Session, module: Any) -> None:
    """Of `concurrent.futures`, and what it gives is a future of it."""
    assert isinstance(session, Executor)
    future = session.submit(module.add, 1, 2)
    assert isinstance(future, Future)
    assert future.result() == 3
    assert future.result(timeout=0) == 3
    assert future.exception() is None
    assert (future.done(), future.cancelled(), future.running()) == (True, False, False)
    assert not future.cancel()
    assert "done" in repr(future) and "add" in repr(future)


def test_wait_and_as_completed(session: wsremote.Session, module: Any) -> None:
    """All of many; the first that ends; the first that fails."""
    many = [session.submit(module.add, number, 1) for number in range(500)]
    done, pending = futures.wait(many, timeout=PATIENCE)
    assert (len(done), len(pending)) == (500, 0)
    assert sum(each.result() for each in futures.as_completed(many)) == sum(range(1, 501))
    slow = session.submit(module.wait, "slow")
    quick = session.submit(module.add, 1, 1)
    done, pending = futures.wait([slow, quick], PATIENCE, futures.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    failing = session.submit(module.fail, "no")
    done, pending = futures.wait([slow, failing], PATIENCE, futures.FIRST_EXCEPTION)
    assert (done, pending) == ({failing}, {slow})
    completed = futures.as_completed([slow, quick, failing], timeout=PATIENCE)
    assert {next(completed), next(completed)} == {quick, failing}
    assert session.submit(module.open_door, "slow").result() is None
    assert next(completed) is slow
    done, _ = futures.wait([slow], timeout=0)
    assert done == {slow}


def test_waiting_times_out_and_the_call_goes_on(session: wsremote.Session, module: Any) -> None:
    """`result`, `exception`, `wait` and `as_completed` give up; the value comes all the same."""
    future = session.submit(module.wait, "late")
    with pytest.raises(TimeoutError, match=r"has not ended in 0\.01 s"):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.01)
    assert futures.wait([future], timeout=0.01).not_done == {future}
    with pytest.raises(TimeoutError):
        list(futures.as_completed([future], timeout=0.01))
    assert not future.done()
    module.open_door("late")
    assert future.result(timeout=PATIENCE) == "late"


def test_done_callbacks(
    session: wsremote.Session, module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Before and after the end, in order, each once; one that raises is logged, not more."""
    seen: list[Any] = []
    told = threading.Event()
    future = session.submit(module.wait, "door")

    def broken(_: Any) -> None:
        seen.append("broken")
        raise RuntimeError("in a callback")

    future.add_done_callback(lambda each: seen.append(each.result()))
    future.add_done_callback(broken)
    future.add_done_callback(lambda _: told.set())
    assert seen == []
    with caplog.at_level(logging.CRITICAL, "wsremote.client"):
        module.open_door("door")
        assert told.wait(PATIENCE)
    assert seen == ["door", "broken"]
    future.add_done_callback(lambda each: seen.append(each.result()))
    assert seen == ["door", "broken", "door"]
    failing = session.submit(module.fail, "no")
    assert type(failing.exception()) is module.Oops
    failing.add_done_callback(lambda each: seen.append(type(each.exception())))
    assert seen[3:] == [module.Oops]


def test_a_done_callback_may_submit(session: wsremote.Session, module: Any) -> None:
    """And wait for what it has submitted, and call."""
    seen: list[Any] = []
    told = threading.Event()

    def go_on(future: Future[Any]) -> None:
        try:
            more = session.submit(module.add, future.result(), 1)
            seen.append(more.result(PATIENCE))
            seen.append(module.add(10, 1))
        finally:
            told.set()

    future = session.submit(module.wait, "door")
    future.add_done_callback(lambda _: None)
    other = session.submit(module.add, 1, 1)
    other.add_done_callback(go_on)
    assert told.wait(PATIENCE)
    assert seen == [3, 11]
    module.open_door("door")
    assert future.result(PATIENCE) == "door"


def test_asyncio(local: Local, session: wsremote.Session, module: Any) -> None:
    """`wrap_future`, `run_in_executor`, and cancelling what is awaited."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        first = await asyncio.wrap_future(session.submit(module.add, 1, 2))
        second = await loop.run_in_executor(session, module.add, 3, 4)
        several = await asyncio.gather(
            *(asyncio.wrap_future(session.submit(module.add, n, n)) for n in range(20))
        )
        with pytest.raises(module.Oops, match="awaited"):
            await asyncio.wrap_future(session.submit(module.fail, "awaited"))
        future = session.submit(module.wait, "never")
        task = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.to_thread(local.module.started.get)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # asyncio tells the other future by a callback of its own.
        await asyncio.sleep(0)
        assert future.cancelled()
        return [first, second, several]

    assert asyncio.run(main()) == [3, 7, [2 * n for n in range(20)]]
    assert local.module.finished.get(timeout=PATIENCE) == ("never", "interrupted")


# ---- cancelling --------------------------------------------------------------------------


def test_a_call_that_was_not_sent_is_cancelled(local: Local, tmp_path: Path) -> None:
    """It never runs; those around it do."""
    with serving(tmp_path, limits=Limits(max_calls=4), source=SOURCE) as narrow:
        with wsremote.connect(narrow.url, token=TOKEN, new=True) as session:
            module = getattr(session.modules, narrow.name)
            slow = [session.submit(module.wait, "door") for _ in range(2)]
            waiting = [session.submit(module.note, number, number) for number in range(6)]
            assert waiting[3].cancel()
            assert waiting[3].cancel()
            assert waiting[3].cancelled() and waiting[3].done()
            with pytest.raises(futures.CancelledError):
                waiting[3].result()
            with pytest.raises(futures.CancelledError):
                waiting[3].exception()
            narrow.module.door("door").set()
            assert [each.result(PATIENCE) for each in slow] == ["door"] * 2
            assert [each.result(PATIENCE) for each in waiting if each is not waiting[3]] == [
                0, 1, 2, 4, 5,
            ]  # fmt: skip
            assert sorted(narrow.module.log) == [0, 1, 2, 4, 5]


def test_a_call_that_runs_is_interrupted_on_the_server(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """The code there sees it; the future is cancelled at once; the thread there goes on."""
    future = session.submit(module.wait, "never")
    assert local.module.started.get(timeout=PATIENCE) == "never"
    assert future.cancel()
    assert future.cancelled()
    assert futures.wait([future], timeout=0).done == {future}
    assert local.module.finished.get(timeout=PATIENCE) == ("never", "interrupted")
    assert future.cancel()
    with pytest.raises(futures.CancelledError):
        future.result()
    assert [session.submit(module.add, n, 1).result(PATIENCE) for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_call_that_waits_on_the_server_is_cancelled(tmp_path: Path) -> None:
    """One that all workers are too busy for never runs."""
    with (
        serving(tmp_path, limits=Limits(max_workers=1), source=SOURCE) as narrow,
        wsremote.connect(narrow.url, token=TOKEN, new=True) as session,
    ):
        module = getattr(session.modules, narrow.name)
        first = session.submit(module.wait, "door")
        assert narrow.module.started.get(timeout=PATIENCE) == "door"
        waiting = session.submit(module.note, "cancelled")
        behind = session.submit(module.note, "behind", 1)
        # A call of another lane: what was submitted is on the server.
        session._driver.submitting.flush()
        assert module.add(1, 1) == 2
        assert waiting.cancel()
        assert module.add(1, 1) == 2
        narrow.module.door("door").set()
        assert first.result(PATIENCE) == "door"
        assert behind.result(PATIENCE) == 1
        assert narrow.module.log == ["behind"]


def test_who_waits_for_a_future_that_is_cancelled_is_told(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Threads in `result`, in `wait` and callbacks, when another thread cancels it."""
    future = session.submit(module.wait, "never")
    assert local.module.started.get(timeout=PATIENCE) == "never"
    told = threading.Event()
    future.add_done_callback(lambda _: told.set())
    ends: list[Any] = []

    def wait(function: Callable[[], object]) -> None:
        try:
            ends.append(function())
        except BaseException as error:
            ends.append(type(error))

    threads = [
        threading.Thread(target=wait, args=[function], daemon=True)
        for function in (
            future.result,
            lambda: future.result(PATIENCE),
            future.exception,
            lambda: len(futures.wait([future]).done),
        )
    ]
    for thread in threads:
        thread.start()
    while len(future._sleepers) < 3 or not future._waiters:
        barrier(client_poller())
    assert future.cancel()
    for thread in threads:
        thread.join(PATIENCE)
    assert told.wait(PATIENCE)
    assert sorted(map(str, ends)) == sorted(map(str, [futures.CancelledError] * 3 + [1]))


def test_cancelling_loses_to_an_end(session: wsremote.Session, module: Any) -> None:
    """Calls that are cancelled while they end: either was cancelled, or has its value."""
    for _ in range(30):
        made = [session.submit(module.add, number, 1) for number in range(40)]
        cancelled = [future.cancel() for future in made]
        for number, (future, was) in enumerate(zip(made, cancelled, strict=True)):
            assert future.cancelled() == was
            if was:
                with pytest.raises(futures.CancelledError):
                    future.result(PATIENCE)
            else:
                assert future.result(PATIENCE) == number + 1
    assert module.add(1, 1) == 2


# ---- values and errors -------------------------------------------------------------------


def test_values_of_all_kinds(session: wsremote.Session, module: Any) -> None:
    """Arrays, objects, large integers, odd text, long text, containers, arguments by name."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0)
    doubled = session.submit(module.double, array)
    array[:] = 0
    assert (doubled.result() == numpy.arange(100_000.0) * 2).all()
    assert doubled.result() is doubled.result()
    thing = session.submit(module.Thing, 5).result()
    assert isinstance(thing, module.Thing)
    assert session.submit(module.identity, thing).result() is thing
    assert session.submit(module.identity, value=thing).result() is thing
    for value in (2**70, -(2**63) - 1, "\udcff", "x" * 100_000, b"\0" * 70_000, None, 1.5, [1], {}):
        assert session.submit(module.identity, value).result() == value
    assert session.submit(module.add, 2**63, 2**63).result() == 2**64
    assert session.submit(module.surrogate, 1).result() == "\udcff1"
    assert session.submit(module.repeat, 200_000).result() == "x" * 200_000


def test_exceptions_are_the_packages_own(session: wsremote.Session, module: Any) -> None:
    """With their attributes and the remote traceback; as often as they are asked for."""
    future = session.submit(module.fail, "no")
    error = future.exception()
    assert isinstance(error, module.Oops) and isinstance(error, ValueError)
    assert error.detail == ["no"]  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(module.Oops, match="no") as caught:
            future.result()
        assert caught.value is error
    assert caught.traceback[-1].name == "fail"
    assert future.exception() is error


def test_wrong_arguments_are_the_futures_error(session: wsremote.Session, module: Any) -> None:
    """As in any executor: `submit` itself does not raise."""
    missing = session.submit(module.add, 1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        missing.result()
    with pytest.raises(TypeError):
        session.submit(module.add, 1, "x").result()
    assert isinstance(session.submit(module.add, 1).exception(), TypeError)
    done, _ = futures.wait([missing, session.submit(module.add)], PATIENCE)
    assert len(done) == 2
    assert list(futures.as_completed([missing], PATIENCE)) == [missing]
    assert not missing.cancel()
    seen: list[Any] = []
    missing.add_done_callback(seen.append)
    assert seen == [missing]


def test_changes_of_arguments_are_seen_with_the_result(
    session: wsremote.Session, module: Any
) -> None:
    """Not before; also if the call has raised; containers are sent as they were."""
    items: list[Any] = [7]
    future = session.submit(module.extend, items, 8)
    assert items == [7]
    futures.wait([future], PATIENCE)
    assert items == [7]
    assert future.result() == 3
    assert items == [7, 1, 8]
    failing = session.submit(module.extend_and_fail, items)
    with pytest.raises(module.Oops):
        failing.result()
    assert items == [7, 1, 8, "changed"]
    table: dict[str, int] = {}
    updated = session.submit(module.update, table, a=1)
    assert updated.exception() is None
    assert table == {"a": 1}


def test_output_and_warnings_are_shown(
    apart: ServedProcess, connect: OpenSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the result is there; also while nobody waits; each once and in order."""
    opened = connect(apart)
    module = opened.modules.streamed
    assert opened.submit(module.say, "hello").result() == "hello"
    assert capsys.readouterr().out == "hello\n"
    future = opened.submit(module.say_and_wait, "early", "door 1")
    seen = ""
    while not seen:
        barrier(client_poller())
        seen = capsys.readouterr().out
    assert seen == "early\n"
    module.open_door("door 1")
    assert future.result() == "door 1"
    several = [opened.submit(module.say, f"line {number}") for number in range(200)]
    futures.wait(several, PATIENCE)
    assert [each.result() for each in several][-1] == "line 199"
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(200))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert opened.submit(module.warn, "careful").result() == "careful"
    assert [str(each.message) for each in caught] == ["careful"]


def test_output_that_is_shown_in_the_background_comes_before_the_result(
    apart: ServedProcess, connect: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the result while another thread is about to write waits for that."""
    opened = connect(apart)
    module = opened.modules.streamed
    order: list[str] = []
    writing, go_on = threading.Event(), threading.Event()

    def show(message: Output) -> None:
        writing.set()
        assert go_on.wait(PATIENCE)
        order.append(message.text)

    monkeypatch.setattr("wsremote.client.submitting.show", show)
    future = opened.submit(module.say_and_wait, "text", "door 2")
    assert writing.wait(PATIENCE)
    module.open_door("door 2")
    while not future.done():
        assert module.add(1, 1) == 2
    thread = threading.Thread(target=lambda: order.append(future.result()))
    thread.start()
    for _ in range(5):
        assert module.add(1, 1) == 2
    go_on.set()
    thread.join(PATIENCE)
    assert order == ["text\n", "door 2"]


# ---- what can be submitted ---------------------------------------------------------------


def test_methods_classes_partials_and_coroutines(session: wsremote.Session, module: Any) -> None:
    """All that is one call of the server."""
    thing = module.Thing(5)
    for submitted, args, expected in [
        (thing.get, (), 5),
        (thing, (3,), 8),
        (module.Thing.twice, (4,), 8),
        (functools.partial(module.add, 1), (2,), 3),
        (functools.partial(thing.put, 6), (), thing),
        (functools.partial(functools.partial(module.add, 1), 2), (), 3),
        (module.wait_and_add, (1, 2), 3),
    ]:
        assert session.submit(submitted, *args).result(PATIENCE) == expected, submitted
    assert session.submit(module.Thing.of, 9).result().value == 9
    assert session.submit(functools.partial(module.Thing, value=4)).result().value == 4
    with pytest.raises(module.Oops, match="later"):
        session.submit(module.fail_later, "later").result()


def test_what_would_run_here_is_refused(session: wsremote.Session, module: Any) -> None:
    """At once, and the text says what to do."""
    for local in (print, lambda: module.add(1, 2), len, int, functools.partial(print, 1)):
        with pytest.raises(TypeError, match=r"wsremote\.ship"):
            session.submit(local)
        with pytest.raises(TypeError, match=r"wsremote\.ship"):
            session.map(local, [1])
    with pytest.raises(TypeError):
        session.submit(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        session.submit()  # type: ignore[call-arg]


def test_what_is_of_another_session_is_refused(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Its functions run on its server."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as other:
        theirs = getattr(other.modules, local.name)
        thing = theirs.Thing(1)
        for function in (theirs.add, theirs.Thing, thing.get, thing):
            with pytest.raises((TypeError, StaleHandle)):
                session.submit(function, 1, 2)
            with pytest.raises((TypeError, StaleHandle)):
                session.map(function, [1])
        with pytest.raises(StaleHandle, match="make the object in this session"):
            session.submit(module.identity, thing).result()
        assert theirs.alive() == 1


def test_callbacks_of_submitted_calls(session: wsremote.Session, module: Any) -> None:
    """They run while nobody waits, and while somebody does; calls nest in them."""
    assert session.submit(module.call, lambda: 5).result(PATIENCE) == 5
    ran = threading.Event()
    future = session.submit(module.call, ran.set)
    assert ran.wait(PATIENCE)
    assert future.result(PATIENCE) is None
    nested = session.submit(module.call, lambda: module.add(1, 2) + 1)
    assert nested.result(PATIENCE) == 4
    deep = session.submit(module.call, lambda: session.submit(module.add, 3, 4).result(PATIENCE))
    assert deep.result(PATIENCE) == 7
    both = session.submit(module.call, lambda: module.call(lambda: module.add(1, 1)))
    assert both.result(PATIENCE) == 2

    def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        session.submit(module.call, broken).result(PATIENCE)
    many = [session.submit(module.call, lambda n=n: module.add(n, 1)) for n in range(60)]
    assert [each.result(PATIENCE) for each in many] == list(range(1, 61))


def test_cancelling_a_call_whose_callback_runs(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """The server's call ends when the callback has; the session goes on."""
    inside, go_on = threading.Event(), threading.Event()

    def callback() -> int:
        inside.set()
        assert go_on.wait(PATIENCE)
        return 1

    future = session.submit(module.call, callback)
    assert inside.wait(PATIENCE)
    assert future.cancel()
    go_on.set()
    with pytest.raises(futures.CancelledError):
        future.result()
    assert session.submit(module.add, 1, 1).result(PATIENCE) == 2
    assert module.add(1, 1) == 2


# ---- beside each other -------------------------------------------------------------------


def test_slow_calls_run_beside_each_other(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Four wait for what a later one does; small ones in between are answered meanwhile."""
    slow = [session.submit(module.wait, "meeting") for _ in range(4)]
    for _ in range(3):
        assert session.submit(module.add, 1, 1).result(PATIENCE) == 2
        assert module.add(2, 2) == 4
    for _ in slow:
        assert local.module.started.get(timeout=PATIENCE) == "meeting"
    assert not any(each.done() for each in slow)
    session.submit(module.open_door, "meeting").result(PATIENCE)
    assert [each.result(PATIENCE) for each in slow] == ["meeting"] * 4


def test_a_small_call_behind_a_slow_one_in_one_batch(
    session: wsremote.Session, module: Any
) -> None:
    """They leave in one message: the small ones do not wait for the slow one."""
    warm = [session.submit(module.add, n, 0) for n in range(10)]
    slow = session.submit(module.wait, "batch")
    small = [session.submit(module.add, n, 1) for n in range(300)]
    assert [each.result(PATIENCE) for each in small] == list(range(1, 301))
    assert [each.result(PATIENCE) for each in warm] == list(range(10))
    assert not slow.done()
    # What opens the door is itself submitted, behind all of them.
    session.submit(module.open_door, "batch")
    assert slow.result(PATIENCE) == "batch"


def test_more_slow_calls_than_workers(tmp_path: Path) -> None:
    """They wait for each other on the server; calls of the thread pass them."""
    with (
        serving(tmp_path, limits=Limits(max_workers=2), source=SOURCE) as narrow,
        wsremote.connect(narrow.url, token=TOKEN, new=True) as session,
    ):
        module = getattr(session.modules, narrow.name)
        slow = [session.submit(module.wait, f"door {n}") for n in range(6)]
        first = {narrow.module.started.get(timeout=PATIENCE) for _ in range(2)}
        assert len(first) == 2
        assert module.add(1, 1) == 2
        assert narrow.module.started.empty()
        for n in range(6):
            module.open_door(f"door {n}")
        assert [each.result(PATIENCE) for each in slow] == [f"door {n}" for n in range(6)]


@pytest.mark.parametrize("max_calls", [1, 2, 3, 4, 8])
def test_more_calls_than_the_server_takes(tmp_path: Path, max_calls: int) -> None:
    """They wait at the client, and each is answered; calls that are waited for, too."""
    limits = Limits(max_calls=max_calls)
    with (
        serving(tmp_path, limits=limits, source=SOURCE) as narrow,
        wsremote.connect(narrow.url, token=TOKEN, new=True) as session,
    ):
        module = getattr(session.modules, narrow.name)
        made = [session.submit(module.add, number, 1) for number in range(1000)]
        if max_calls > 1:
            assert module.add(1, 1) == 2
        assert [each.result(PATIENCE) for each in made] == list(range(1, 1001))
        assert list(session.map(module.add, range(500), range(500))) == list(range(0, 1000, 2))


def test_many_in_flight(session: wsremote.Session, module: Any) -> None:
    """Sixty thousand, more than wait at the client: each has its own answer, and none is kept."""
    made = [session.submit(module.add, number, 1) for number in range(60_000)]
    assert [each.result(PATIENCE) for each in made] == list(range(1, 60_001))
    submitting = session._driver.submitting
    assert not submitting._open and not submitting._batcher.waiting and not session._driver._calls


def test_threads_submit_at_once(session: wsremote.Session, module: Any) -> None:
    """Eight threads, each with a thousand calls and its own answers."""
    with futures.ThreadPoolExecutor(8) as pool:

        def work(number: int) -> int:
            made = [session.submit(module.add, number * 10_000, step) for step in range(1000)]
            return sum(
                future.result(PATIENCE) == number * 10_000 + step
                for step, future in enumerate(made)
            )

        assert list(pool.map(work, range(8))) == [1000] * 8


def test_several_threads_wait_for_one_future(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """All get the same object; of an error, the same."""

    def take(future: Future[Any], found: list[Any]) -> None:
        found.append(future.exception() or future.result())

    for function, args in (
        (module.call_wait, (module.Thing, 1)),
        (module.call_wait, (module.fail, "x")),
    ):
        future = session.submit(function, f"door {args[1]}", *args)
        found: list[Any] = []
        threads = [threading.Thread(target=take, args=[future, found]) for _ in range(6)]
        for thread in threads:
            thread.start()
        local.module.door(f"door {args[1]}").set()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(found) == 6 and all(each is found[0] for each in found)


# ---- nothing is kept ---------------------------------------------------------------------


def test_dropped_futures_release_what_came(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Objects that nobody has taken the future's result of do not stay on the server."""
    for number in range(50):
        session.submit(module.Thing, number)
    kept = [session.submit(module.Thing, number) for number in range(50)]
    futures.wait(kept, PATIENCE)
    del kept
    last = session.submit(module.add, 1, 1)
    assert last.result(PATIENCE) == 2
    while local.module.alive():
        settled(session, local)
    (on_server,) = local.server._sessions.values()
    assert len(on_server.lending.handles) == 0
    assert not session._driver._undecoded and not session._driver._buffers


def test_arguments_live_until_the_call_has_run(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Whoever submits may let go of the object, its method, and remote arguments at once."""
    blocking = [session.submit(module.wait, "door") for _ in range(2)]
    made = [session.submit(module.Thing(number).get) for number in range(20)]
    made += [session.submit(module.identity, module.Thing(number)) for number in range(20)]
    local.module.door("door").set()
    assert [each.result(PATIENCE) for each in blocking] == ["door"] * 2
    assert [each.result(PATIENCE) for each in made[:20]] == list(range(20))
    assert [each.result(PATIENCE).value for each in made[20:]] == list(range(20))
    del made
    while local.module.alive():
        settled(session, local)


def test_what_dies_with_a_call_is_no_receivers_business(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """The last reference to an argument goes with the call: its finalizer may use the session."""
    ends: list[Any] = []

    class Local_:
        def __call__(self) -> int:
            return 5

        def __del__(self) -> None:
            try:
                ends.append((module.add(1, 1), threading.current_thread().name))
            except BaseException as error:
                ends.append(error)

    made = [session.submit(module.call, Local_()) for _ in range(20)]
    assert [each.result(PATIENCE) for each in made] == [5] * 20
    items = [[Local_()] for _ in range(20)]
    more = [session.submit(module.identity, len(each)) for each in items]
    more += [session.submit(module.extend, each) for each in items]
    del items
    futures.wait(more, PATIENCE)
    del made, more
    while len(ends) < 40:
        settled(session, local)
    assert [each for each in ends if isinstance(each, BaseException)] == []
    assert not [each for each in ends if "poller" in each[1]]


def test_futures_are_no_cycles(session: wsremote.Session, module: Any) -> None:
    """One whose result was taken is freed with its last reference, without the collector."""
    gc.collect()
    gc.disable()
    try:
        future = session.submit(module.add, 1, 2)
        assert future.result() == 3
        watch = weakref.ref(future)
        del future
        assert watch() is None
        failing = session.submit(module.fail, "no")
        with pytest.raises(module.Oops):
            failing.result()
        watch = weakref.ref(failing)
        del failing
    finally:
        gc.enable()
    gc.collect()
    assert watch() is None


# ---- the end -----------------------------------------------------------------------------


def test_shutdown(local: Local, session: wsremote.Session, module: Any) -> None:
    """It waits; nothing can be submitted after it; the session itself goes on."""
    future = session.submit(module.wait, "door")
    session.shutdown(wait=False)
    assert not future.done()
    for submit in (lambda: session.submit(module.add, 1, 2), lambda: session.map(module.add, [1])):
        with pytest.raises(RuntimeError, match="after shutdown"):
            submit()
    local.module.door("door").set()
    session.shutdown()
    assert future.done() and future.result() == "door"
    assert module.add(1, 2) == 3
    session.shutdown(cancel_futures=True)


def test_shutdown_cancels(local: Local, session: wsremote.Session, module: Any) -> None:
    """What has not ended is cancelled, what has keeps its value."""
    quick = session.submit(module.add, 1, 1)
    assert quick.result() == 2
    slow = [session.submit(module.wait, "never") for _ in range(3)]
    assert local.module.started.get(timeout=PATIENCE) == "never"
    session.shutdown(wait=True, cancel_futures=True)
    assert all(each.cancelled() for each in slow)
    assert quick.result() == 2
    assert module.add(1, 1) == 2


def test_tens_of_thousands_are_cancelled(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Those that wait here: each costs a moment, not a look at all of the others."""
    slow = [session.submit(module.wait, "never") for _ in range(session._driver.submitting.window)]
    for number in range(2):
        made = [session.submit(module.note, number) for number in range(20_000)]
        if number:
            session.shutdown(wait=True, cancel_futures=True)
        else:
            assert all(each.cancel() for each in made)
        assert all(each.cancelled() for each in made)
    assert all(each.cancelled() for each in slow)
    assert module.add(1, 1) == 2
    assert local.module.log == []


def test_a_block_waits_for_what_was_submitted(local: Local) -> None:
    """As the block of any executor; after an error it does not."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module = getattr(session.modules, local.name)
        made = [session.submit(module.note, number, number) for number in range(300)]
    assert [each.result(0) for each in made] == list(range(300))
    with pytest.raises(ZeroDivisionError):
        with wsremote.connect(local.url, token=TOKEN, new=True) as session:
            module = getattr(session.modules, local.name)
            slow = session.submit(module.wait, "never")
            raise ZeroDivisionError
    with pytest.raises(SessionClosed):
        slow.result(PATIENCE)


def test_closing_ends_each_future(local: Local, session: wsremote.Session, module: Any) -> None:
    """Sent or not, waited for or not: with SessionClosed, in each thread that waits."""
    slow = [session.submit(module.wait, "never") for _ in range(3)]
    unsent = [session.submit(module.add, number, 1) for number in range(3000)]
    assert local.module.started.get(timeout=PATIENCE) == "never"
    told = threading.Event()
    slow[0].add_done_callback(lambda _: told.set())
    ends: list[Any] = []
    threads = [
        threading.Thread(target=lambda: ends.append(type(slow[1].exception())), daemon=True)
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    while len(slow[1]._sleepers) < 3:
        barrier(client_poller())
    session.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert ends == [SessionClosed] * 3
    assert told.wait(PATIENCE)
    for each in slow:
        assert each.done()
        with pytest.raises(SessionClosed):
            each.result(PATIENCE)
    for number, each in enumerate(unsent):
        try:
            assert each.result(PATIENCE) == number + 1
        except SessionClosed:
            continue
    with pytest.raises(SessionClosed):
        session.submit(module.add, 1, 2)
    done, pending = futures.wait([*slow, *unsent], PATIENCE)
    assert (len(done), len(pending)) == (3003, 0)
    session.shutdown()


def test_an_argument_that_cannot_travel(tmp_path: Path) -> None:
    """It is said so at once; the other calls go on, and nothing of it stays."""
    limits = Limits(max_message_size=2**20, max_transfer_size=2**21)
    with (
        serving(tmp_path, limits=limits, source=SOURCE) as narrow,
        wsremote.connect(narrow.url, token=TOKEN, new=True) as session,
    ):
        module = getattr(session.modules, narrow.name)
        before = session.submit(module.add, 1, 1)
        for value in ("x" * 2**22, b"x" * 2**22, ["x" * 2**21] * 2):
            with pytest.raises(LimitExceeded):
                session.submit(module.identity, value).result(PATIENCE)
            assert session.submit(module.add, 2, 2).result(PATIENCE) == 4
        assert before.result(PATIENCE) == 2
        assert not session._driver.submitting._open


def test_a_name_that_is_not_served(session: wsremote.Session, module: Any) -> None:
    """The refusal is the future's; those beside it run."""
    made = [session.submit(module.add, 1, 1) for _ in range(3)]
    driver = session._driver
    wrong = driver.submitting.submit(0, "no.such:thing", None, (), None)
    made += [session.submit(module.add, 1, 1) for _ in range(3)]
    assert [each.result(PATIENCE) for each in made] == [2] * 6
    assert isinstance(wrong.exception(PATIENCE), NotExposed)
