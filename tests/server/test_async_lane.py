"""Lanes whose client's thread has a running event loop. Real sockets, message by message."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from local_server import PATIENCE, SOURCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.protocol.messages import (
    AWAIT,
    Batch,
    Cancel,
    Exec,
    Fault,
    Leave,
    Op,
    Output,
    Ping,
    Pong,
    Release,
    Result,
    Results,
)
from wsremote.server import loop_reader
from wsremote.server.config import Limits
from wsremote.server.coroutines import LaneLoops
from wsremote.server.lanes import Lane
from wsremote.server.session import Session
from wsremote.transport.poller import Poller


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, of a module with async functions."""
    with serving(tmp_path) as local:
        add_async_functions(local.module)
        yield local


def add_async_functions(module: Any) -> None:
    """What the served module has besides: found there by name, as the client calls it."""
    events: dict[str, asyncio.Event] = {}

    def event(name: str) -> asyncio.Event:
        return events.setdefault(name, asyncio.Event())

    async def pass_by(name: str) -> str:
        print(f"{name} waits")
        module.started.put(name)
        try:
            await event(name).wait()
        except asyncio.CancelledError:
            module.finished.put(f"{name} cancelled")
            raise
        return name

    async def leave_task(name: str) -> None:
        module.threads.append(asyncio.create_task(pass_by(name)))

    def let_pass(name: str) -> bool:
        event(name).set()
        return _is_in_loop()

    def is_in_loop() -> bool:
        return _is_in_loop()

    for function in (pass_by, leave_task, let_pass, is_in_loop):
        function.__module__ = module.__name__
        setattr(module, function.__name__, function)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def call(raw: RawClient, number: int, function: str, *args: Any, lane: int, op: int = 0) -> None:
    """Call a function of the served module; its answer is to be received."""
    payload = raw.codec.encode_call(args, {}).payload
    raw.send_numbered(
        Exec, number, lane, None, Op.METHOD + op, raw.name, function, payload, None
    )  # fmt: skip


def answer(raw: RawClient) -> tuple[int, Any]:
    """The next answer: its call, and its value, or whether it was cancelled."""
    while True:
        message = raw.receive()
        if isinstance(message, Result):
            return message.call, raw.codec.decode(message.payload)
        if isinstance(message, Fault):
            return message.call, b"CancelledError" in message.payload


def test_awaited_calls_are_answered_as_they_end(local: Local, raw: RawClient) -> None:
    """Three tasks of one lane; plain calls run between their steps, in the loop."""
    for number, name in enumerate("abc", 1):
        call(raw, number, "pass_by", name, lane=-1, op=AWAIT)
        assert local.module.started.get(timeout=PATIENCE) == name
    call(raw, 4, "let_pass", "c", lane=-1)
    assert {answer(raw), answer(raw)} == {(4, True), (3, "c")}
    call(raw, 5, "let_pass", "a", lane=-1)
    assert {answer(raw), answer(raw)} == {(5, True), (1, "a")}
    call(raw, 6, "let_pass", "b", lane=-1)
    assert {answer(raw), answer(raw)} == {(6, True), (2, "b")}


def test_the_loop_stands_still_for_calls_from_outside(local: Local, raw: RawClient) -> None:
    """A task that waits goes on with the next call from a loop, and not before."""
    call(raw, 1, "pass_by", "a", lane=-1, op=AWAIT)
    assert local.module.started.get(timeout=PATIENCE) == "a"
    call(raw, 2, "let_pass", "a", lane=1)
    assert answer(raw) == (2, False)
    call(raw, 3, "is_in_loop", lane=1)
    assert answer(raw) == (3, False)
    call(raw, 4, "is_in_loop", lane=-1)
    assert {answer(raw), answer(raw)} == {(4, True), (1, "a")}


def test_without_a_loop_what_is_awaited_runs_to_its_end(local: Local, raw: RawClient) -> None:
    """In the order of the lane."""
    call(raw, 1, "let_pass", "a", lane=1)
    call(raw, 2, "pass_by", "a", lane=1, op=AWAIT)
    call(raw, 3, "is_in_loop", lane=1)
    assert [answer(raw) for _ in range(3)] == [(1, False), (2, "a"), (3, False)]


def test_runs_of_awaited_calls(local: Local, raw: RawClient) -> None:
    """A batch lists calls that follow each other as a run: of several, or of one alone."""
    names = [f"{raw.name}:pass_by", f"{raw.name}:let_pass", f"{raw.name}:pass_by"]
    runs = [[["a"]], [["a"]], [["b"], ["c"]]]
    ops = [Op.CALL + AWAIT, Op.CALL, Op.CALL + AWAIT]
    listed: list[list[Any]] = []
    for first, op, name, run in zip([1, 2, 3], ops, names, runs, strict=True):
        listed.append([first, int(op), name, None, run])
    raw.send_numbered(Batch, -1, None, listed[:1])
    assert local.module.started.get(timeout=PATIENCE) == "a"
    raw.send_numbered(Batch, -1, None, listed[1:])
    assert {local.module.started.get(timeout=PATIENCE) for _ in range(2)} == {"b", "c"}
    call(raw, 5, "let_pass", "b", lane=-1)
    call(raw, 6, "let_pass", "c", lane=-1)
    answered: dict[int, Any] = {}
    while len(answered) < 6:
        message = raw.receive()
        if isinstance(message, Results):
            [first, values] = raw.codec.decode(message.payload)
            answered |= enumerate(values, first)
        elif isinstance(message, Result):
            answered[message.call] = raw.codec.decode(message.payload)
    assert answered == {1: "a", 2: True, 3: "b", 4: "c", 5: True, 6: True}


def test_a_cancelled_task_answers(local: Local, raw: RawClient) -> None:
    """One that waits, and one that was cancelled right behind its call."""
    call(raw, 1, "pass_by", "a", lane=-1, op=AWAIT)
    assert local.module.started.get(timeout=PATIENCE) == "a"
    raw.send_numbered(Cancel, 1)
    assert answer(raw) == (1, True)
    assert local.module.finished.get(timeout=PATIENCE) == "a cancelled"
    call(raw, 2, "wait", "door", lane=-1)
    assert local.module.started.get(timeout=PATIENCE) == "door"
    call(raw, 3, "pass_by", "b", lane=-1, op=AWAIT)
    raw.send_numbered(Cancel, 3)
    local.module.door("door").set()
    assert [answer(raw), answer(raw)] == [(2, "door"), (3, True)]
    assert local.module.started.empty()


def test_output_goes_to_the_call_that_prints(tmp_path: Path) -> None:
    """Of two tasks of one lane; before the answers."""
    # Not in a fixture: pytest puts streams of its own in the place of the server's after that.
    with serving(tmp_path) as local, closing(RawClient(local)) as raw:
        add_async_functions(local.module)
        for number, name in enumerate("ab", 1):
            call(raw, number, "pass_by", name, lane=-1, op=AWAIT)
        call(raw, 3, "let_pass", "b", lane=-1)
        call(raw, 4, "let_pass", "a", lane=-1)
        messages: list[Any] = []
        while sum(isinstance(message, Result) for message in messages) < 4:
            messages.append(raw.receive())
    printed = [(m.call, m.text) for m in messages if isinstance(m, Output)]
    assert sorted(printed) == [(1, "a waits\n"), (2, "b waits\n")]
    for number in (1, 2):
        kinds = [type(m) for m in messages if getattr(m, "call", 0) == number]
        assert kinds == [Output, Result]


@pytest.mark.parametrize("end", ["the thread", "the session"])
def test_the_end_of_a_lane_cancels_its_tasks(local: Local, raw: RawClient, end: str) -> None:
    """Calls that are awaited, and what they have left behind."""
    call(raw, 1, "leave_task", "left", lane=-1, op=AWAIT)
    call(raw, 2, "pass_by", "awaited", lane=-1, op=AWAIT)
    started = {local.module.started.get(timeout=PATIENCE) for _ in range(2)}
    assert started == {"left", "awaited"}
    if end == "the thread":
        raw.send_numbered(Leave, 1)
    else:
        raw.close()
    finished = {local.module.finished.get(timeout=PATIENCE) for _ in range(2)}
    assert finished == {"left cancelled", "awaited cancelled"}
    for thread in local.threads():
        thread.join(PATIENCE)
        assert not thread.is_alive()


# ---- the loop reads the connection ---------------------------------------------------


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop reads on, however slow the machine is."""
    monkeypatch.setattr(loop_reader, "LINGER", PATIENCE)


@contextmanager
def parked(poller: Poller) -> Iterator[None]:
    """A poller does nothing in the block: what is read there, others read."""
    stands, go_on = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        go_on.wait(2 * PATIENCE)

    poller.submit(stand)
    try:
        assert stands.wait(PATIENCE)
        yield
    finally:
        go_on.set()


def reading_lane(local: Local, raw: RawClient) -> Lane:
    """The lane of a client, whose loop has had its first call and reads now."""
    call(raw, 1, "is_in_loop", lane=-1)
    assert answer(raw) == (1, True)
    (lane,) = session_of(local)._lanes.values()
    wait_until(local, lambda: reads(lane))
    return lane


def session_of(local: Local) -> Session:
    (session,) = local.server._sessions.values()
    return session


def reads(lane: Lane) -> bool:
    return lane.loop is not None and lane.loop.reads


def wait_until(local: Local, is_so: Callable[[], bool]) -> None:
    """Look at each turn of the poller."""
    end = monotonic() + PATIENCE
    while not is_so():
        assert monotonic() < end
        barrier(local.server.poller)


def watched(lane: Lane) -> list[int]:
    """The descriptors that the loop of a lane watches, but for its own."""
    assert lane.loop is not None
    loop: Any = lane.loop._loop
    return [fd for fd in loop._selector.get_map() if fd != loop._ssock.fileno()]


@pytest.mark.usefixtures("lasting")
def test_a_loop_reads_for_its_lane(local: Local, raw: RawClient) -> None:
    """Calls that are small, large and awaited, a cancel and a ping: the poller need do nothing."""
    reading_lane(local, raw)
    with parked(local.server.poller):
        call(raw, 2, "let_pass", "a", lane=-1)
        assert answer(raw) == (2, True)
        call(raw, 3, "size_behind", "a", b"x" * 100_000, lane=-1)
        local.module.door("a").set()
        assert answer(raw) == (3, 100_000)
        call(raw, 4, "pass_by", "a", lane=-1, op=AWAIT)
        assert answer(raw) == (4, "a")
        call(raw, 5, "pass_by", "b", lane=-1, op=AWAIT)
        raw.send(Ping(7, raw.received))
        while not isinstance(raw.receive(), Pong):
            continue
        raw.send_numbered(Cancel, 5)
        assert answer(raw) == (5, True)


@pytest.mark.usefixtures("lasting")
def test_what_is_let_go_of_is_finalized_in_the_loop(local: Local, raw: RawClient) -> None:
    """On the lane's thread, before the next call, as at home."""
    lane = reading_lane(local, raw)
    local.module.door("finalizer").set()
    with parked(local.server.poller):
        for number in range(2, 10, 2):
            call(raw, number, "Slow", lane=-1)
            while not isinstance(raw.receive(), Result):
                continue
            (handle,) = session_of(local).lending.handles._by_handle  # type: ignore[union-attr]
            raw.send_numbered(Release, [[handle, 1]])
            call(raw, number + 1, "finalized", lane=-1)
            assert answer(raw) == (number + 1, "finalizer")
            assert local.module.finished.get(timeout=PATIENCE) == lane.name


@pytest.mark.usefixtures("lasting")
@pytest.mark.parametrize("op", [0, AWAIT], ids=["plain call", "coroutine"])
def test_a_loop_that_is_held_up_leaves_reading_to_the_poller(
    local: Local, raw: RawClient, op: int
) -> None:
    """Other lanes, pings and cancels are heard."""
    reading_lane(local, raw)
    call(raw, 2, "wait", "long", lane=-1, op=op)
    assert local.module.started.get(timeout=PATIENCE) == "long"
    for number in range(3, 6):
        call(raw, number, "is_in_loop", lane=number)
        assert answer(raw) == (number, False)
        raw.send(Ping(number, raw.received))
        while not isinstance(raw.receive(), Pong):
            continue
    raw.send_numbered(Cancel, 2)
    if op:
        # Code that holds up its loop is not interrupted, as at home.
        raw.send(Ping(6, raw.received))
        while not isinstance(raw.receive(), Pong):
            continue
        local.module.door("long").set()
    message = raw.receive()
    while not isinstance(message, Fault | Result):
        message = raw.receive()
    assert (message.call, type(message)) == (2, Result if op else Fault)
    call(raw, 6, "is_in_loop", lane=-1)
    assert answer(raw) == (6, True)


@pytest.mark.usefixtures("lasting")
def test_what_is_queued_runs_before_what_the_loop_reads(local: Local, raw: RawClient) -> None:
    """Calls from inside and outside a loop, some of which the poller has received."""
    lane = reading_lane(local, raw)
    call(raw, 2, "wait", "first", lane=-1)
    assert local.module.started.get(timeout=PATIENCE) == "first"
    call(raw, 3, "is_in_loop", lane=-1)
    call(raw, 4, "is_in_loop", lane=1)
    wait_until(local, lambda: lane.inbox.qsize() == 2)
    with parked(local.server.poller):
        call(raw, 5, "is_in_loop", lane=-1)
        call(raw, 6, "is_in_loop", lane=-1)
        local.module.door("first").set()
        answers = [answer(raw) for _ in range(5)]
    assert answers == [(2, "first"), (3, True), (4, False), (5, True), (6, True)]


@pytest.mark.usefixtures("lasting")
def test_a_loop_waits_while_another_thread_reads(local: Local, raw: RawClient) -> None:
    """Which may take what the kernel tells both of; else the loop reads it a moment later."""
    lane = reading_lane(local, raw)
    assert lane.loop is not None
    reader = lane.loop._reader
    with parked(local.server.poller):
        with session_of(local).connection.reading:
            call(raw, 2, "is_in_loop", lane=-1)
            end = monotonic() + PATIENCE
            while reader._pause is None:
                assert monotonic() < end
                os.sched_yield()
            assert reads(lane)
        assert answer(raw) == (2, True)


@pytest.mark.usefixtures("lasting")
def test_beside_another_lane_the_poller_reads(local: Local, raw: RawClient) -> None:
    """No lane's calls wait until another's are done."""
    lane = reading_lane(local, raw)
    call(raw, 2, "wait", "long", lane=2)
    assert local.module.started.get(timeout=PATIENCE) == "long"
    call(raw, 3, "is_in_loop", lane=-1)
    assert answer(raw) == (3, True)
    wait_until(local, lambda: not reads(lane))
    call(raw, 4, "is_in_loop", lane=-1)
    assert answer(raw) == (4, True)
    assert not watched(lane)
    local.module.door("long").set()
    assert answer(raw) == (2, "long")


def test_a_loop_at_rest_leaves_the_connection_to_the_poller(local: Local, raw: RawClient) -> None:
    """When nothing has come for a while; with the next call it reads again."""
    call(raw, 1, "is_in_loop", lane=-1)
    assert answer(raw) == (1, True)
    session = session_of(local)
    (lane,) = session._lanes.values()
    for number in range(2, 5):
        wait_until(local, lambda: not reads(lane) and session.connection.resting)
        assert not watched(lane)
        call(raw, number, "is_in_loop", lane=-1)
        assert answer(raw) == (number, True)


@pytest.mark.usefixtures("lasting")
def test_a_loop_reads_the_next_connection(tmp_path: Path) -> None:
    """When that which it reads is cut: it watches the new one, and nothing else."""
    source = SOURCE + "\nasync def double(a):\n    return 2 * a\n"

    async def run(local: Local) -> None:
        async with wsremote.connect_async(local.url, token=TOKEN) as session:
            module = getattr(session.modules, local.name)
            assert await module.double(1) == 2
            there = session_of(local)
            (lane,) = there._lanes.values()
            for number in range(10):
                wait_until(local, lambda: reads(lane))
                old = there.connection
                assert lane.loop is not None
                assert lane.loop._reader._connection is old
                old.abort("cut")
                assert await module.add(number, 1) == number + 1
                assert await module.double(number) == 2 * number
                assert there.connection is not old
                assert len(watched(lane)) <= 1

    with serving(tmp_path, Limits(), source) as local:
        asyncio.run(run(local))


@pytest.mark.usefixtures("lasting")
def test_a_loop_reads_the_answer_that_its_task_awaits(tmp_path: Path) -> None:
    """Of an async function of the client; beside it, what other tasks call."""
    source = SOURCE + "\nasync def awaiting(function, *args):\n    return await function(*args)\n"

    async def run(local: Local) -> None:
        async with wsremote.connect_async(local.url, token=TOKEN) as session:
            module = getattr(session.modules, local.name)

            async def add(a: int, b: int) -> Any:
                return await module.add(a, b)

            assert await module.awaiting(add, 1, 2) == 3
            (lane,) = session_of(local)._lanes.values()
            wait_until(local, lambda: reads(lane))
            with parked(local.server.poller):
                assert await module.awaiting(add, 2, 3) == 5

    with serving(tmp_path, source=source) as local:
        asyncio.run(run(local))


def test_generators_outlive_the_loop_in_which_they_were_begun() -> None:
    """A lane ends while the session goes on: another reads on. With the session they end, too."""
    loops, log = LaneLoops(), queue.SimpleQueue[str]()

    async def numbers(name: str) -> AsyncIterator[int]:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            log.put(name)

    async def next_of(generator: AsyncIterator[int]) -> int:
        return await anext(generator)

    def on_lane(*generators: AsyncIterator[int], goes_on: bool) -> list[int]:
        def run() -> list[int]:
            try:
                return [loops.run(next_of(generator)) for generator in generators]
            finally:
                loops.close(goes_on=goes_on)

        with ThreadPoolExecutor(1) as lane:
            return lane.submit(run).result(PATIENCE)

    kept, dropped, ended = numbers("kept"), numbers("dropped"), numbers("ended")
    assert on_lane(kept, dropped, goes_on=True) == [0, 0]
    assert on_lane(kept, kept, ended, goes_on=False) == [1, 2, 0]
    assert log.get(timeout=PATIENCE) == "ended"
    assert log.empty()
    del dropped
    assert log.get(timeout=PATIENCE) == "dropped"
    with pytest.raises(StopAsyncIteration):
        on_lane(kept, goes_on=False)
    assert log.get(timeout=PATIENCE) == "kept"
