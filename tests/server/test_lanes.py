"""Lanes: order, cancelling, nesting, and their thread's own state. Real sockets."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from pathlib import Path

import pytest
from local_server import PATIENCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.codec import wire
from wsremote.errors import ConnectionLost
from wsremote.protocol.messages import (
    NUMBERS,
    SMALL_EXEC,
    Cancel,
    Exec,
    Fault,
    Op,
    Output,
    Ping,
    Pong,
    Release,
    Result,
)


def test_calls_of_a_lane_run_in_order(local: Local, raw: RawClient) -> None:
    """Many calls sent at once are answered in their order, those of other lanes between."""
    for call in range(1, 201):
        raw.call(call, "add", call, 1, lane=1 + call % 4)
    answers = [raw.answer() for _ in range(200)]
    assert sorted(answers) == [(call, call + 1) for call in range(1, 201)]
    for lane in range(4):
        mine = [call for call, _ in answers if call % 4 == lane]
        assert mine == sorted(mine)


def test_a_long_call_holds_up_its_own_lane_only(local: Local, raw: RawClient) -> None:
    """While one runs, other lanes, pings and new lanes are answered."""
    raw.call(1, "wait", "long", lane=1)
    assert local.module.started.get(timeout=PATIENCE) == "long"
    raw.call(2, "add", 2, 2, lane=1)
    for call in range(3, 60):
        raw.call(call, "add", call, 0, lane=2 + call % 2)
        assert raw.answer() == (call, call)
    raw.send(Ping(77, raw.received))
    while not isinstance(message := raw.receive(), Pong):
        continue
    assert message.token == 77
    local.module.door("long").set()
    assert raw.answer() == (1, "long")
    assert raw.answer() == (2, 4)


def test_a_call_is_executed_though_the_line_is_lost_behind_it(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lane has received it, and finds no connection for the answer to what came with it."""
    poller, parked, go_on = local.server.poller, threading.Event(), threading.Event()
    raw.call(1, "wait", "first")
    assert local.module.started.get(timeout=PATIENCE) == "first"
    (session,) = local.server._sessions.values()

    def lose(message: object) -> None:
        session.connection.abort("lost at this very moment")
        raise ConnectionLost(1006, f"in place of {message}")

    def park() -> None:
        parked.set()
        go_on.wait(PATIENCE)

    monkeypatch.setattr(session, "_send_unnumbered", lose)
    # The lane itself is to read.
    poller.submit(park)
    try:
        assert parked.wait(PATIENCE)
        payload, target = raw.codec.encode_call(("second",), {}).payload, f"{local.name}:wait"
        call = Exec(2, raw.received, 2, 1, None, int(Op.CALL), target, None, payload, None)
        raw.connection.send(wire.write_many([call, Ping(1, raw.received)]))
        local.module.door("first").set()
        assert local.module.started.get(timeout=PATIENCE) == "second"
    finally:
        go_on.set()
        local.module.door("second").set()


def test_a_queued_call_that_is_cancelled_never_runs(local: Local, raw: RawClient) -> None:
    """It is answered as not executed, in its turn; what comes behind it runs."""
    raw.call(1, "wait", "first")
    assert local.module.started.get(timeout=PATIENCE) == "first"
    raw.call(2, "wait", "cancelled")
    raw.call(3, "add", 1, 1)
    raw.send_numbered(Cancel, 2)
    raw.send(Ping(1, raw.received))
    while not isinstance(raw.receive(), Pong):
        continue
    local.module.door("first").set()
    assert raw.answer() == (1, "first")
    fault = raw.receive()
    assert isinstance(fault, Fault)
    assert (fault.call, fault.executed) == (2, False)
    assert raw.answer() == (3, 2)
    assert local.module.started.empty()


def test_a_running_call_that_is_cancelled_is_interrupted(local: Local, raw: RawClient) -> None:
    """Once, however often it is cancelled; the lane goes on."""
    for call in range(1, 20, 2):
        raw.call(call, "wait", "interrupted")
        assert local.module.started.get(timeout=PATIENCE) == "interrupted"
        for _ in range(300):
            raw.send_numbered(Cancel, call)
        fault = raw.receive()
        while not isinstance(fault, Fault):
            fault = raw.receive()
        assert (fault.call, fault.executed) == (call, True)
        raw.call(call + 1, "add", call, 0)
        assert raw.answer() == (call + 1, call)


def test_cancels_at_any_moment_leave_every_call_answered_once(local: Local, raw: RawClient) -> None:
    """Queued, beginning, running, ending, done: a cancel finds a call in any of these."""
    calls = 2000
    for call in range(1, calls + 1):
        raw.call(call, "add", call, 0, lane=call % 3)
        raw.send_numbered(Cancel, call - call % 5)
    answers = [raw.answer() for _ in range(calls)]
    assert sorted(call for call, _ in answers) == list(range(1, calls + 1))
    assert all(value in (call, "fault") for call, value in answers)
    session = next(iter(local.server._sessions.values()))
    raw.call(calls + 1, "add", 1, 1)
    raw.answer()
    assert not session._queued
    assert not session._cancelled - {calls + 1}


def test_a_cancel_reaches_the_call_that_waits_for_a_callback(local: Local, raw: RawClient) -> None:
    """Also while a nested call runs on its thread: it ends when that has ended."""
    raw.send_numbered(Exec, 1, 1, None, 0, f"{raw.name}:call_twice", None, lending_call(raw), None)
    while not isinstance(callback := raw.receive(), Exec):
        continue  # an acknowledgement, on a slow machine
    raw.call(2, "wait", "nested", parent=callback.call)
    assert local.module.started.get(timeout=PATIENCE) == "nested"
    raw.send_numbered(Cancel, 1)
    raw.send(Ping(1, raw.received))
    while not isinstance(raw.receive(), Pong):
        continue
    local.module.door("nested").set()
    assert raw.answer() == (2, "nested")
    while not isinstance(fault := raw.receive(), Fault):
        continue  # the function of the client is gone there, which may be said before
    assert (fault.call, fault.executed) == (1, True)


def lending_call(raw: RawClient) -> bytes:
    """The payload of a call with one function of the client, handle 1."""

    class Exchange:
        receiver_has: dict[str, str] = {}
        pickle_out = pickle_in = keeps_owned = False

        def lend(self, value: object) -> tuple[int, int]:
            return 1, 0

        def borrowed(self, value: object) -> None:
            return None

        def name_of(self, value: object) -> None:
            return None

    codec = type(raw.codec)(Exchange())  # type: ignore[arg-type]
    return codec.encode_call((lambda: None,), {}).payload


def test_callbacks_nest_on_one_lane_and_on_several(local: Local) -> None:
    """Twenty deep, in four threads at once; every level gets its own answer."""
    session = wsremote.connect(local.url, token="of the tests", new=True)
    call = getattr(session.modules, local.name).call
    results: dict[int, int] = {}

    def descend(depth: int) -> int:
        return depth if depth == 20 else call(descend, depth + 1) + 1

    def run(number: int) -> None:
        results[number] = sum(descend(0) for _ in range(3))

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    session.close()
    assert results == dict.fromkeys(range(4), 3 * 40)


def test_an_exception_passes_through_nested_callbacks(local: Local) -> None:
    """From the innermost to the outermost call, over both sides."""
    session = wsremote.connect(local.url, token="of the tests", new=True)
    remote = getattr(session.modules, local.name)

    def descend(depth: int) -> int:
        if depth == 5:
            remote.fail("at the bottom")
        return int(remote.call(descend, depth + 1))

    with pytest.raises(ValueError, match="at the bottom"):
        descend(0)
    assert remote.add(1, 2) == 3
    session.close()


def test_a_lane_keeps_its_thread_and_its_context(local: Local) -> None:
    """`threading.local` and context variables are there for the lane's next call, for no other."""
    session = wsremote.connect(local.url, token="of the tests", new=True)
    count = getattr(session.modules, local.name).count_on_thread
    assert [count()[:2] for _ in range(3)] == [(1, 1), (2, 2), (3, 3)]
    others: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: others.extend(count()[:2] for _ in range(2)))
    thread.start()
    thread.join(PATIENCE)
    assert others == [(1, 1), (2, 2)]
    assert count()[:2] == (4, 4)
    session.close()


def test_output_comes_while_the_call_runs_whoever_received_it(tmp_path: Path) -> None:
    """Also if its lane, lingering, was quicker than the poller, which sends the output."""
    # Started in the test and not before: pytest puts its own streams in place in between.
    with serving(tmp_path) as local, closing(RawClient(local)) as raw:
        poller = local.server.poller
        (session,) = local.server._sessions.values()
        for call in range(1, 40, 2):
            raw.call(call, "add", call, 0)
            assert raw.answer() == (call, call)
            while session.connection in poller._hot:
                barrier(poller)
            raw.call(call + 1, "print_and_wait", call)
            while not isinstance(message := raw.receive(), Output):
                continue
            assert message.text == "printed"
            local.module.door(call).set()
            assert raw.answer() == (call + 1, call)


def test_lines_of_several_threads_keep_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each writer's lines come in order, none is lost, and all before the call returns."""
    # Started in the test and not before: pytest puts its own streams in place in between.
    with serving(tmp_path) as local:
        session = wsremote.connect(local.url, token="of the tests", new=True)
        capsys.readouterr()
        getattr(session.modules, local.name).talk(6, 400)
        lines = capsys.readouterr().out.splitlines()
        session.close()
    for writer in range(6):
        mine = [line for line in lines if line.startswith(f"{writer} ")]
        assert mine == [f"{writer} {number}" for number in range(400)]


def release_ahead(raw: RawClient, handles: object, call: int, function: str, *args: object) -> None:
    """A release and a small call in one message."""
    ack, seq = raw.received, raw.sent
    raw.sent += 2
    release = wire.pack([NUMBERS[Release], seq + 1, ack, handles])
    target = f"{raw.name}:{function}"
    small = wire.pack([SMALL_EXEC, seq + 2, ack, call, 1, int(Op.CALL), target, None, *args])
    raw.connection.send(wire.joined(release, small))


def test_what_is_let_go_of_with_a_call_is_finalized_before_it(local: Local, raw: RawClient) -> None:
    """On its lane, as at home, also if the poller has received it."""
    local.module.door("finalizer").set()
    for number in range(1, 40, 2):
        raw.call(number, "Slow")
        while not isinstance(raw.receive(), Result):
            continue
        (there,) = local.server._sessions.values()
        while there.connection in local.server.poller._hot:
            barrier(local.server.poller)
        (handle,) = there.lending.handles._by_handle  # type: ignore[union-attr]
        release_ahead(raw, [[handle, 1]], number + 1, "finalized")
        assert raw.answer() == (number + 1, "finalizer")
        assert local.module.finished.get(timeout=PATIENCE) == local.threads()[0].name


@pytest.mark.parametrize("handles", [[7], [[7]], [["7", 1]], "7"])
def test_a_senseless_release_ahead_of_a_call_is_a_violation(
    local: Local, raw: RawClient, handles: object
) -> None:
    """The call behind it is not executed."""
    raw.call(1, "add", 1, 1)
    assert raw.answer() == (1, 2)
    release_ahead(raw, handles, 2, "wait", "never")
    assert raw.expect_end().code == 4400
    assert local.module.started.empty()


@pytest.mark.parametrize("what", ["interrupting", "flushing"])
def test_a_call_does_not_end_in_the_middle_of_an_interrupt_or_of_its_output(
    local: Local, what: str
) -> None:
    """Who sends an interrupt, or what a call has printed, has its end wait; small calls as well.

    Otherwise the interrupt would hit the next call, and the output count as that one's.
    """
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        served = getattr(session.modules, local.name)

        def run() -> None:
            # So many that the lane's thread reads them itself.
            for number in range(50):
                served.add(number, 1)
            ended.put(served.wait("held up"))

        thread = threading.Thread(target=run)
        thread.start()
        assert local.module.started.get(timeout=PATIENCE) == "held up"
        (there,) = local.server._sessions.values()
        (lane,) = there._running.values()
        with getattr(lane, f"_{what}"):
            setattr(lane, f"_is_{what}", True)
            local.module.door("held up").set()
            while lane.current_call is not None:
                served.add(1, 1)
            for number in range(100):
                assert served.add(number, 1) == number + 1
            assert ended.empty()
            setattr(lane, f"_is_{what}", False)
        assert ended.get(timeout=PATIENCE) == "held up"
        thread.join(PATIENCE)
