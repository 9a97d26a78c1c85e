"""The threads of lanes: which keep theirs, and who gets those of others. Real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from local_server import PATIENCE, SOURCE, Local, RawClient, barrier, serving

from wsremote.protocol.messages import Leave, Ping, Pong, Release, Result
from wsremote.server import lanes

EXTENDED = (
    SOURCE
    + """

def set_variable(value):
    variable.set(value)

def get_variable():
    return variable.get()

def thread():
    return threading.get_ident()

def trace():
    sys.settrace(lambda *_: None)

def is_traced():
    return sys.gettrace() is not None

def interrupt_thread(thread):
    import ctypes
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(SystemExit)
    )
"""
)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, two of whose lanes keep their threads in any case."""
    with serving(tmp_path, source=EXTENDED) as local:
        local.server.crew.at_rest = 2
        yield local


@pytest.fixture
def connect(local: Local) -> Iterator[Callable[[], RawClient]]:
    """Opens sessions."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(RawClient(local)))


def call(client: RawClient, function: str, *args: object, lane: int = 1) -> object:
    """Call a served function; gives its value when its lane rests again."""
    client.calls = getattr(client, "calls", 0) + 1  # type: ignore[attr-defined]
    number = client.calls  # type: ignore[attr-defined]
    client.call(number, function, *args, lane=lane)
    answered, value = client.answer()
    assert answered == number
    return value


def make_counter(client: RawClient) -> None:
    """A first call, whose result is a handle."""
    client.calls = 1  # type: ignore[attr-defined]
    client.call(1, "Counter")
    while not isinstance(client.receive(), Result):
        continue


def rest(local: Local, resting: int) -> None:
    """Wait until so many lanes rest, or more, and can do without their threads."""
    while len(local.server.crew._resting) < resting:
        barrier(local.server.poller)


def test_a_lane_that_begins_has_the_thread_of_the_one_that_has_rested_longest(
    local: Local, connect: Callable[[], RawClient]
) -> None:
    """Beyond those that keep theirs. Whoever has none gets one with its next call."""
    sessions = [connect() for _ in range(20)]
    threads: list[object] = []
    for number, session in enumerate(sessions):
        threads.append(call(session, "thread"))
        rest(local, min(number + 1, 2))
    assert threads == threads[:2] * 10
    assert len(local.threads()) == 2
    for number in range(40):
        session = sessions[number * 7 % 20]
        assert call(session, "add", number, 1) == number + 1
        rest(local, 2)
    assert len(local.threads()) == 2


def test_what_is_bound_to_a_thread_keeps_that(
    local: Local, connect: Callable[[], RawClient]
) -> None:
    """A `threading.local`, a handle, a hook: the lane's next calls find what its last ones left."""
    sessions = [connect() for _ in range(12)]
    for session in sessions:
        assert call(session, "count_on_thread")[:2] == (1, 1)  # type: ignore[index]
    tracing, holding = connect(), connect()
    assert call(tracing, "is_traced") is False
    call(tracing, "trace")
    make_counter(holding)
    there = call(holding, "thread")
    others = [connect() for _ in range(12)]
    for number in range(24):
        assert call(others[number % 12], "is_traced") is False
        assert call(others[number % 12], "thread") != there
        rest(local, min(number + 1, 2))
    assert len(local.threads()) == 14 + 2
    for session in sessions:
        assert call(session, "count_on_thread")[:2] == (2, 2)  # type: ignore[index]
    assert call(tracing, "is_traced") is True
    assert call(holding, "thread") == there


def test_context_variables_go_along_with_the_lane(
    local: Local, connect: Callable[[], RawClient]
) -> None:
    """They are the lane's, on whichever thread it is."""
    sessions = [connect() for _ in range(12)]
    for number, session in enumerate(sessions):
        call(session, "set_variable", number)
    rest(local, 2)
    assert [call(session, "get_variable") for session in sessions] == list(range(12))


def test_a_lane_that_waits_for_another_does_not_stop_it(
    local: Local, connect: Callable[[], RawClient]
) -> None:
    """However many run at once: as many threads as calls; few of them when all have ended."""
    sessions = [connect() for _ in range(12)]
    for number, session in enumerate(sessions):
        session.call(1, "wait", number)
    assert {local.module.started.get(timeout=PATIENCE) for _ in sessions} == set(range(12))
    for number, session in reversed(list(enumerate(sessions))):
        local.module.door(number).set()
        assert session.answer() == (1, number)
    while len(local.threads()) > 4:
        barrier(local.server.poller)
    rest(local, len(local.threads()))
    for session in sessions:
        session.call(2, "add", 1, 1)
        assert session.answer() == (2, 2)


@pytest.mark.parametrize("bound", [False, True])
def test_an_idle_lane_loses_its_thread_unless_something_is_bound_to_that(
    local: Local,
    connect: Callable[[], RawClient],
    monkeypatch: pytest.MonkeyPatch,
    bound: bool,
) -> None:
    """Also where there are few; the next call finds the lane as it was."""
    monkeypatch.setattr(lanes, "IDLE", 0.01)
    session = connect()
    call(session, "set_variable", 7)
    if bound:
        assert call(session, "count_on_thread")[:2] == (1, 8)  # type: ignore[index]
        for thread in local.threads():
            thread.join(0.1)
            assert thread.is_alive()
        assert call(session, "count_on_thread")[:2] == (2, 9)  # type: ignore[index]
    else:
        for _ in range(5):
            for thread in local.threads():
                thread.join(PATIENCE)
            assert not local.threads()
            assert call(session, "get_variable") == 7


def test_a_lane_whose_handles_are_gone_can_do_without_its_thread(
    local: Local, connect: Callable[[], RawClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fell asleep with them."""
    monkeypatch.setattr(lanes, "IDLE", 0.02)
    session = connect()
    make_counter(session)
    (thread,) = local.threads()
    (there,) = local.server._sessions.values()
    (handle,) = there.lending.handles._by_handle  # type: ignore[union-attr]
    session.send_numbered(Release, [[handle, 1]])
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert call(session, "add", 1, 2) == 3


def test_a_lane_that_sleeps_while_handles_come_keeps_its_thread(
    local: Local, connect: Callable[[], RawClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of another lane of its session: nobody knows whose they are."""
    monkeypatch.setattr(lanes, "IDLE", 0.05)
    session = connect()
    there = call(session, "thread", lane=1)
    rest(local, 1)
    session.calls += 1  # type: ignore[attr-defined]
    session.call(2, "Counter", lane=2)
    while not isinstance(session.receive(), Result):
        continue
    for thread in local.threads():
        thread.join(0.2)
    for other in [connect() for _ in range(6)]:
        assert call(other, "thread") != there
    assert call(session, "thread", lane=1) == there


def test_a_lane_without_a_thread_ends(local: Local, connect: Callable[[], RawClient]) -> None:
    """Of a client's thread that has ended; another of that number is a new one."""
    session = connect()
    call(session, "set_variable", 1)
    for number in range(2, 6):
        call(session, "add", 1, 1, lane=number)
        rest(local, 2)
    (there,) = local.server._sessions.values()
    assert not there._lanes[1].has_thread  # type: ignore[union-attr]
    session.send_numbered(Leave, 1)
    session.send(Ping(1, session.received))
    while not isinstance(session.receive(), Pong):
        continue
    assert 1 not in there._lanes  # type: ignore[union-attr]
    assert call(session, "get_variable") == 0


def test_an_exit_sent_to_a_resting_thread_loses_no_call(
    local: Local, connect: Callable[[], RawClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Served code can do that to any thread; the lane on it goes on, and others get threads."""
    first, second = connect(), connect()
    thread = call(first, "thread")
    rest(local, 1)
    call(second, "interrupt_thread", thread)
    others = [connect() for _ in range(6)]
    for number in range(60):
        assert call([first, second, *others][number % 8], "add", number, 1) == number + 1
    assert local.server.crew._threads < 16


def test_an_exit_sent_to_who_starts_a_thread_repeats_no_call(
    local: Local, connect: Callable[[], RawClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the thread to begin, which may have made the call by then."""
    start = threading.Thread.start
    interrupted: list[str] = []

    def start_and_exit(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("wsremote-lane-"):
            interrupted.append(thread.name)
            raise SystemExit

    client = connect()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_exit)
        threads = [call(client, "thread", lane=lane) for lane in (1, 2)]
    assert [call(client, "thread", lane=lane) for lane in (1, 2)] == threads
    assert len(interrupted) == 2


def test_all_at_once(local: Local, connect: Callable[[], RawClient]) -> None:
    """Lanes of several sessions in any order, with several calls queued: each once, in order."""
    sessions = [connect() for _ in range(8)]
    for number in range(1, 101):
        for session in sessions:
            session.call(number, "add", number, 0, lane=1 + number % 3)
    for session in sessions:
        answers = [session.answer() for _ in range(100)]
        assert sorted(answers) == [(number, number) for number in range(1, 101)]
        for lane in range(3):
            mine = [number for number, _ in answers if number % 3 == lane]
            assert mine == sorted(mine)
