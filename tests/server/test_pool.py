"""The pool of a session: who runs submitted calls, and beside whom. Real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import PATIENCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.protocol.messages import POOL, Batch, Cancel, Fault, Op, Result, Results
from wsremote.server import pool
from wsremote.server.config import Limits


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, with three workers a session."""
    with serving(tmp_path, limits=Limits(max_workers=3)) as local:
        yield local


def batch(raw: RawClient, *calls: tuple[Any, ...], lane: int = POOL) -> None:
    """Send calls in one message: each its number, a function and its arguments."""
    listed = [
        [call, int(Op.CALL), f"{raw.name}:{name}", None, [*args]] for call, name, *args in calls
    ]
    raw.send_numbered(Batch, lane, None, listed)


def answers(raw: RawClient, count: int) -> dict[int, Any]:
    """The next answers, by their calls; of a fault, "fault"."""
    found: dict[int, Any] = {}
    while len(found) < count:
        message = raw.receive()
        if isinstance(message, Results):
            runs = raw.codec.decode(message.payload, ())
            for first, values in zip(runs[::2], runs[1::2], strict=True):
                found.update(enumerate(values, first))
        elif isinstance(message, Fault):
            found[message.call] = "fault"
        elif isinstance(message, Result):
            found[message.call] = raw.codec.decode(message.payload, ())
    return found


def workers(local: Local) -> list[threading.Thread]:
    """The threads of pools."""
    return [each for each in threading.enumerate() if each.name.startswith("wsremote-worker-")]


def test_small_calls_need_one_thread(local: Local, raw: RawClient) -> None:
    """Hundreds of them, answered together."""
    batch(raw, *((call, "add", call, 1) for call in range(1, 401)))
    assert answers(raw, 400) == {call: call + 1 for call in range(1, 401)}
    batch(raw, *((call, "add", call, 1) for call in range(401, 501)))
    assert answers(raw, 100) == {call: call + 1 for call in range(401, 501)}
    assert len(workers(local)) == 1


def test_slow_calls_get_threads_of_their_own(local: Local, raw: RawClient) -> None:
    """As many as there may be; the calls behind them run while one is free; then they wait."""
    batch(
        raw, (1, "wait", "a"), (2, "wait", "b"), *((call, "add", call, 0) for call in range(3, 60))
    )
    assert answers(raw, 57) == {call: call for call in range(3, 60)}
    batch(raw, (60, "wait", "c"), (61, "wait", "d"), (62, "add", 1, 1))
    names = {local.module.started.get(timeout=PATIENCE) for _ in range(3)}
    assert names == {"a", "b", "c"}
    assert len(workers(local)) == 3
    # A lane has its own thread.
    raw.call(63, "add", 5, 5)
    assert answers(raw, 1) == {63: 10}
    assert local.module.started.empty()
    local.module.door("c").set()
    assert answers(raw, 1) == {60: "c"}
    local.module.door("d").set()
    assert answers(raw, 2) == {61: "d", 62: 2}
    for name in "ab":
        local.module.door(name).set()
    assert answers(raw, 2) == {1: "a", 2: "b"}
    assert len(workers(local)) == 3


def test_a_call_that_runs_is_interrupted_and_one_that_waits_never_runs(
    local: Local, raw: RawClient
) -> None:
    """The others are answered; the thread goes on."""
    batch(raw, *((call, "wait", f"door {call}") for call in range(1, 6)))
    names = {local.module.started.get(timeout=PATIENCE) for _ in range(3)}
    assert names == {"door 1", "door 2", "door 3"}
    raw.send_numbered(Cancel, 5)
    raw.send_numbered(Cancel, 2)
    assert answers(raw, 1) == {2: "fault"}
    assert local.module.started.get(timeout=PATIENCE) == "door 4"
    for name in ("door 1", "door 3", "door 4"):
        local.module.door(name).set()
    assert answers(raw, 4) == {1: "door 1", 3: "door 3", 4: "door 4", 5: "fault"}
    assert local.module.started.empty()
    batch(raw, (6, "add", 2, 2))
    assert answers(raw, 1) == {6: 4}


def test_errors_do_not_stop_a_batch(local: Local, raw: RawClient) -> None:
    """Each call has its own answer, and nothing is counted as queued afterwards."""
    calls: list[tuple[Any, ...]] = []
    for call in range(1, 301, 3):
        calls += [(call, "fail", "text"), (call + 1, "add", 1, 1), (call + 2, "nothing")]
    batch(raw, *calls)
    found = answers(raw, 300)
    assert [found[call] for call in range(1, 301)] == ["fault", 2, "fault"] * 100
    (session,) = local.server._sessions.values()
    while session._queued or session._running:
        barrier(local.server.poller)


def test_what_a_thread_keeps_is_there_for_its_next_call(local: Local, raw: RawClient) -> None:
    """Its `threading.local`, its context variables."""
    for call in (1, 2, 3):
        batch(raw, (call, "count_on_thread"))
        ((_, value),) = answers(raw, 1).items()
        assert value[:2] == (call, call)


def test_an_idle_thread_ends_unless_something_is_bound_to_it(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without a call; another call starts another."""
    monkeypatch.setattr(pool, "IDLE", 0.01)
    batch(raw, (1, "add", 1, 1))
    assert answers(raw, 1) == {1: 2}
    for thread in workers(local):
        thread.join(PATIENCE)
    assert workers(local) == []
    batch(raw, (2, "add", 1, 1))
    assert answers(raw, 1) == {2: 2}
    for thread in workers(local):
        thread.join(PATIENCE)
    batch(raw, (3, "count_on_thread"))
    assert answers(raw, 1)[3][0] == 1
    (kept,) = workers(local)
    kept.join(0.2)
    assert kept.is_alive()


def test_an_idle_thread_ends_sooner_on_a_server_with_many(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand sessions may have had one call each."""
    monkeypatch.setattr(pool, "BRIEF", 0.01)
    local.server.crew.at_rest = 1
    batch(raw, (1, "add", 1, 1))
    assert answers(raw, 1) == {1: 2}
    for thread in workers(local):
        thread.join(PATIENCE)
    assert workers(local) == []
    assert local.server.crew._threads == 0


def test_threads_end_with_their_session(local: Local) -> None:
    """Those that wait at once, those in calls when these end."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module = getattr(session.modules, local.name)
        for name in "ab":
            session.submit(module.wait, name)
            assert local.module.started.get(timeout=PATIENCE) == name
        session.submit(module.add, 1, 1).result(PATIENCE)
        assert len(workers(local)) == 3
        session.close()
    local.settle()
    for thread in workers(local):
        thread.join(PATIENCE)
    assert workers(local) == []


def test_a_batch_with_a_bad_call_runs_none(local: Local, raw: RawClient) -> None:
    """The connection ends."""
    listed = [[1, int(Op.CALL), f"{raw.name}:door", None, ["opened"]], [2, "x", 3]]
    raw.send_numbered(Batch, POOL, None, listed)
    assert "a batch has calls, of five fields each" in str(raw.expect_end())
    assert "opened" not in local.module.doors
