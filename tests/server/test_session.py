"""Sessions of clients that are slow, rude, or gone. Real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT
from local_server import PATIENCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.client.link import Link
from wsremote.codec import wire
from wsremote.errors import ConnectionLost, SessionClosed
from wsremote.protocol.messages import Bye, Fetch, Modules, Output, Ping, Release, Result
from wsremote.server.config import Limits
from wsremote.server.newcomer import Newcomer
from wsremote.server.session import Session
from wsremote.transport import connection as connections
from wsremote.transport import ending


@pytest.fixture
def other(local: Local) -> Iterator[wsremote.Session]:
    """An ordinary session beside it."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        yield session


def session_of(local: Local, raw: RawClient) -> Newcomer | Session:
    """The server's end of a session."""
    return local.server._sessions[raw.welcome.session]


def called_session_of(local: Local, raw: RawClient) -> Session:
    """The same, when its first call has come."""
    while not isinstance(session := session_of(local, raw), Session):
        barrier(local.server.poller)
    return session


def wait_until_cold(local: Local, raw: RawClient) -> None:
    """Return when no lane reads the server's end of a connection any more, but the poller."""
    connection = session_of(local, raw).connection
    while True:
        barrier(local.server.poller)
        if connection.reading.acquire(blocking=False):
            connection.reading.release()
            if connection.resting:
                return


def test_a_reader_that_stops_holds_up_its_own_lanes_only(tmp_path: Path) -> None:
    """Prints and results wait on their lanes, in bounded memory; then all arrive, in order."""
    # Started in the test and not before: pytest puts its own streams in place in between.
    with (
        serving(tmp_path) as local,
        closing(RawClient(local)) as raw,
        wsremote.connect(local.url, token=TOKEN, new=True) as other,
    ):
        add = getattr(other.modules, local.name).add
        raw.call(1, "print_much", 12_000_000, lane=1)
        raw.call(2, "block", 20_000_000, lane=2)
        for call in range(3, 40):
            raw.call(call, "block", 20_000, lane=3)
        connection = session_of(local, raw).connection
        while connection._backlog_size <= 4 * 1024 * 1024:
            barrier(local.server.poller)
        for number in range(300):
            assert add(number, 1) == number + 1
            barrier(local.server.poller)
        assert connection._backlog_size < 16 * 1024 * 1024
        printed, answered = 0, []
        while len(answered) < 39:
            message = raw.receive()
            if isinstance(message, Output):
                assert 1 not in answered
                printed += len(message.text)
            elif isinstance(message, Result):
                answered.append(message.call)
    assert printed == 12_000_000
    assert [call for call in answered if call > 2] == list(range(3, 40))


def test_lanes_that_wait_for_room_have_it_one_after_the_other(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that, all of them add what they have in the moment in which there is some."""
    lanes, size = 12, 1_600_000
    raw.call(1, "repeat", 1)
    assert raw.answer() == (1, "x")
    session = called_session_of(local, raw)
    connection = session.connection
    together, here = threading.Barrier(lanes), threading.local()
    wait_for_room = connections.SocketConnection.wait_for_room

    def wait_together(self: connections.SocketConnection) -> None:
        wait_for_room(self)
        if not self.poller.is_current and not hasattr(here, "has_waited"):
            here.has_waited = True
            together.wait(PATIENCE)

    monkeypatch.setattr(connections.SocketConnection, "wait_for_room", wait_together)
    for lane in range(2, lanes + 2):
        raw.call(lane, "count_to", size, lane=lane)
    while session._kept_size() < 7_000_000:
        barrier(local.server.poller)
    for _ in range(100):
        barrier(local.server.poller)
        kept, waits = session._kept_size(), connection._backlog_size
        assert kept + waits < 64 * 1024 * 1024
    for _ in range(lanes):
        assert len(raw.answer()[1]) == size


def test_questions_of_one_who_does_not_read_fill_no_memory(
    local: Local, raw: RawClient, other: wsremote.Session
) -> None:
    """The server stops listening to it until it has read what it has asked for."""
    add = getattr(other.modules, local.name).add
    digests = [digest for _, digest in raw.welcome.modules["modules"]]  # type: ignore[index]
    connection = session_of(local, raw).connection
    while not connection.is_congested:
        for _ in range(100):
            raw.send(Fetch(digests))
        raw.connection.flush()
    for _ in range(200):
        for _ in range(100):
            raw.send(Fetch(digests))
        raw.connection.flush()
        barrier(local.server.poller)
    for number in range(100):
        assert add(number, 1) == number + 1
    assert connection._backlog_size < 16 * 1024 * 1024
    assert isinstance(raw.receive(), Modules)


def test_answers_to_one_who_does_not_read_wait_on_their_lane(local: Local, raw: RawClient) -> None:
    """Also those of small calls, one after the other."""
    raw.call(1, "repeat", 1)
    assert raw.answer() == (1, "x")
    session, limit = called_session_of(local, raw), 4 * 1024 * 1024
    calls, beyond = 1, 0
    while beyond < 50:
        calls += 1
        raw.call(calls, "repeat", 10_000)
        while session._sequence.received < calls:
            barrier(local.server.poller)
        beyond += session.connection._backlog_size > limit
    assert session.connection._backlog_size < limit + 50_000
    answers = [raw.answer() for _ in range(calls - 1)]
    assert answers == [(call, "x" * 10_000) for call in range(2, calls + 1)]


def test_a_finalizer_that_does_not_end_holds_up_nobody_else(
    local: Local, raw: RawClient, other: wsremote.Session
) -> None:
    """Released objects are freed on a thread that nobody waits for, never by the poller."""
    raw.call(1, "Slow")
    while not isinstance(raw.receive(), Result):
        continue
    (handle,) = session_of(local, raw).lending.handles._by_handle
    wait_until_cold(local, raw)
    raw.send_numbered(Release, [[handle, 1]])
    assert local.module.started.get(timeout=PATIENCE) == "finalizer"
    assert getattr(other.modules, local.name).add(1, 2) == 3
    local.module.door("finalizer").set()
    assert local.module.finished.get(timeout=PATIENCE).startswith("wsremote-chores-")
    raw.call(2, "add", 1, 1)
    assert raw.answer() == (2, 2)


def test_what_is_released_when_the_line_is_lost_is_finalized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when the client comes back."""
    with serving(tmp_path, Limits()) as local, closing(RawClient(local)) as raw:
        local.module.door("finalizer").set()
        raw.call(1, "Slow")
        while not isinstance(raw.receive(), Result):
            continue
        there = called_session_of(local, raw)

        def lose(message: object) -> None:
            there.connection.abort("lost at this very moment")
            raise ConnectionLost(1006, f"in place of {message}")

        monkeypatch.setattr(there, "_send_unnumbered", lose)
        (handle,) = there.lending.handles._by_handle
        wait_until_cold(local, raw)
        release = Release(2, raw.received, [[handle, 1]])
        raw.connection.send(wire.write_many([release, Ping(1, raw.received)]))
        assert local.module.started.get(timeout=PATIENCE) == "finalizer"
        barrier(local.server.poller)
        assert not there.is_attached
        assert there.closed_because is None


def test_finalizers_at_the_end_of_a_session_hold_up_nobody(
    local: Local, other: wsremote.Session
) -> None:
    """What a client leaves behind is freed in a thread of its own."""
    leaver = wsremote.connect(local.url, token=TOKEN, new=True)
    kept = getattr(leaver.modules, local.name).Slow()
    leaver.close()
    assert local.module.started.get(timeout=PATIENCE) == "finalizer"
    assert getattr(other.modules, local.name).add(1, 2) == 3
    local.settle(sessions=1)
    local.module.door("finalizer").set()
    assert local.module.finished.get(timeout=PATIENCE).startswith("wsremote-end-")
    del kept


def test_a_client_that_says_goodbye_and_stays_is_let_go(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session and its descriptor are freed, although it never closes its end."""
    monkeypatch.setattr(ending, "_GOODBYE", 0.05)
    connection = session_of(local, raw).connection
    raw.send(Bye("goodbye"))
    local.settle()
    assert connection.fileno() == -1
    assert raw.expect_end().code == 1000


def test_one_who_talks_on_after_a_refusal_is_let_go(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes behind the violation is thrown away, and the descriptor freed."""
    monkeypatch.setattr(ending, "_GOODBYE", 0.05)
    descriptors = len(os.listdir("/proc/self/fd"))
    raw = RawClient.__new__(RawClient)
    opened = wsremote.client.opening.open_connection(local.url, max_size=4096)
    raw.connection = connections.SocketConnection(*opened[:2], max_size=4096, received=opened[2])
    raw._inbox = []
    for _ in range(3):
        raw.connection.send(b"\xc1 no message")
    barrier(local.server.poller)
    while local.server.poller._connections:
        barrier(local.server.poller)
    raw.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_what_was_sent_before_the_goodbye_arrives(local: Local, raw: RawClient) -> None:
    """Also what had to wait in the server, because the client had not read yet."""
    for call in range(1, 10):
        raw.call(call, "block", 500_000, lane=call)
    session = called_session_of(local, raw)
    while not session.connection.has_backlog or session._queued:
        barrier(local.server.poller)
    raw.send(Bye("goodbye"))
    answered = 0
    with pytest.raises(wsremote.errors.ConnectionLost) as caught:
        while True:
            answered += isinstance(raw.receive(), Result)
    assert caught.value.code == 1000


def test_calls_that_were_queued_do_not_run_for_one_who_has_left(
    local: Local, raw: RawClient
) -> None:
    """The running one is interrupted, the others never begin, and the lanes end."""
    raw.call(1, "wait", "running")
    for call in range(2, 50):
        raw.call(call, "wait", "queued", lane=1)
    assert local.module.started.get(timeout=PATIENCE) == "running"
    raw.close()
    local.settle()
    for thread in local.threads():
        thread.join(PATIENCE)
    assert local.threads() == []
    assert local.module.started.empty()
    assert local.module.finished.get(timeout=PATIENCE) == "running"


def test_a_client_that_is_killed_in_a_call_leaves_nothing(local: Local) -> None:
    """Its call is interrupted, its session ends, its lanes and handles are freed."""
    script = f"""
import wsremote
session = wsremote.connect({local.url!r}, token={TOKEN!r})
module = session.modules.{local.name}
counters = [module.Counter() for _ in range(10)]
module.wait("for ever")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = subprocess.Popen([sys.executable, "-c", script], env=environment)
    assert local.module.started.get(timeout=PATIENCE) == "for ever"
    (session,) = local.server._sessions.values()
    client.send_signal(signal.SIGKILL)
    client.wait(PATIENCE)
    assert local.module.finished.get(timeout=PATIENCE) == "for ever"
    local.settle()
    for thread in local.threads():
        thread.join(PATIENCE)
    assert local.threads() == []
    assert len(session.lending.handles) == 0


def test_closing_the_server_ends_running_calls(tmp_path: Path) -> None:
    """Busy lanes are interrupted; their callers learn it; no thread or descriptor is left."""
    descriptors = len(os.listdir("/proc/self/fd"))
    outcomes: list[str] = []
    with serving(tmp_path) as local:
        session = wsremote.connect(local.url, token=TOKEN, new=True)
        module = getattr(session.modules, local.name)

        def call(number: int) -> None:
            try:
                module.wait(f"call {number}")
            except SessionClosed as error:
                outcomes.append(str(error))

        callers = [threading.Thread(target=call, args=[number]) for number in range(5)]
        for caller in callers:
            caller.start()
        for _ in callers:
            local.module.started.get(timeout=PATIENCE)
        closers = [threading.Thread(target=local.server.close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for thread in [*closers, *callers]:
            thread.join(PATIENCE)
        assert len(outcomes) == 5
        assert all("the server is shutting down" in outcome for outcome in outcomes)
        for thread in local.threads():
            thread.join(PATIENCE)
        assert local.threads() == []
        barrier(wsremote.client.opening.poller())
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # the client's poller


def test_closing_the_server_waits_for_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never closes its end is dropped with the server: descriptor, session, lanes."""
    monkeypatch.setattr("wsremote.server.server._GOODBYE", 0.1)
    with serving(tmp_path) as local, closing(RawClient(local)) as raw:
        raw.call(1, "wait", "stuck")
        assert local.module.started.get(timeout=PATIENCE) == "stuck"
        connection = session_of(local, raw).connection
        local.server.close()
        assert connection.fileno() == -1
        assert local.server._sessions == {}
        for thread in local.threads():
            thread.join(PATIENCE)
        assert local.threads() == []


def test_pings_are_answered_while_every_lane_is_busy(local: Local, raw: RawClient) -> None:
    """By the poller, which no lane holds up."""
    for lane in range(1, 9):
        raw.call(lane, "wait", f"lane {lane}", lane=lane)
        local.module.started.get(timeout=PATIENCE)
    for token in range(50):
        raw.send(Ping(token, raw.received))
    tokens: list[int] = []
    while len(tokens) < 50:
        message = raw.receive()
        if type(message).__name__ == "Pong":
            tokens.append(message.token)  # type: ignore[union-attr]
    assert tokens == list(range(50))


@pytest.mark.parametrize("when", ["uninstall", "before", "sent"])
def test_a_close_that_is_interrupted_is_no_half_one(
    local: Local, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The server hears of it, and frees what it has."""
    session = wsremote.connect(local.url, token=TOKEN, new=True)
    place: Any = session if when == "uninstall" else Link
    name = {"uninstall": "uninstall", "before": "_say_goodbye", "sent": "_send_unnumbered"}[when]
    real, interrupted = getattr(place, name), []

    def interrupt(*args: Any) -> None:
        if when == "sent":
            real(*args)
        if not interrupted:
            interrupted.append(1)
            raise KeyboardInterrupt
        if when != "sent":
            real(*args)

    monkeypatch.setattr(place, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.close()
    assert session.closed
    local.settle()
