"""Sessions whose clients have not called yet. Real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from local_server import TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.codec import wire
from wsremote.protocol.messages import Ack, Bye, Exec, Fetch, Modules, Ping, Pong, Release
from wsremote.server.config import Limits
from wsremote.server.newcomer import Newcomer
from wsremote.server.session import Session


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, which keeps sessions without a connection."""
    with serving(tmp_path, limits=Limits()) as local:
        yield local


def only(local: Local) -> Newcomer | Session:
    """The one session that there is."""
    barrier(local.server.poller)
    (session,) = local.server._sessions.values()
    return session


def until(condition: Callable[[], bool], local: Local) -> None:
    """Wait for something that the server's poller does."""
    while not condition():
        barrier(local.server.poller)


def test_who_asks_without_calling_costs_no_session(local: Local, raw: RawClient) -> None:
    """A client fetches what it lacks, and says that it is there, for hours."""
    digests = [digest for _, digest in raw.welcome.modules["modules"]]  # type: ignore[index]
    raw.send(Fetch(digests))
    assert isinstance(raw.receive(), Modules)
    for token in range(3):
        raw.send(Ping(token, 0))
        assert raw.receive() == Pong(token, 0)
    raw.send(Ack(0))
    raw.send(Pong(1, 0))
    assert type(only(local)) is Newcomer


@pytest.mark.parametrize("ahead", [[], [Ping(7, 0)]])
def test_the_first_call_makes_the_session(local: Local, raw: RawClient, ahead: list[Any]) -> None:
    """Whatever comes before it in the same WebSocket message is answered once."""
    seat = only(local).seat
    payload = raw.codec.encode_call((1, 2), {}).payload
    call = Exec(1, 0, 1, 1, None, 0, f"{local.name}:add", None, payload, None)
    raw.connection.send(wire.write_many([*ahead, call]))
    assert [raw.receive() for _ in ahead] == [Pong(7, 0) for _ in ahead]
    assert raw.answer() == (1, 3)
    assert type(only(local)) is Session
    assert only(local).seat is seat


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Ack(1), "1 is acknowledged, and 0 were sent"),
        (Ping(1, 5), "5 is acknowledged, and 0 were sent"),
        (Release(2, 0, []), "2 came after message 0"),
        (Fetch([1]), "by their digests"),
    ],
)
def test_what_breaks_the_protocol_is_said_as_in_any_session(
    local: Local, raw: RawClient, message: Any, text: str
) -> None:
    """The connection closes, and the session stays for a client that does better."""
    raw.send(message)
    end = raw.expect_end()
    assert (end.code, text in end.reason) == (4400, True)
    until(lambda: not only(local).is_attached, local)
    assert not only(local).is_ending


def test_garbage_closes_the_connection(local: Local, raw: RawClient) -> None:
    """The poller's thread, which all rely on, goes on."""
    raw.connection.send(b"\xc1\xc1")
    assert raw.expect_end().code == 4400
    RawClient(local).close()


def test_a_goodbye_leaves_nothing(local: Local, raw: RawClient) -> None:
    """No seat, no tombstone."""
    raw.send(Bye("done"))
    assert raw.expect_end().code == 1000
    until(lambda: not local.server._sessions, local)
    assert not len(local.server._roster)
    assert not local.server._roster.tombstones


def test_it_comes_back_as_it_was(local: Local) -> None:
    """A cut connection before the first call; then the first call."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        for _ in range(3):
            before, mine = only(local).connection, session._driver.connection
            mine.abort("cut by the test")
            until(lambda before=before: only(local).connection is not before, local)  # type: ignore[misc]
            # The server has another one first: what is cut next is that, not the old one again.
            until(lambda mine=mine: session._driver.connection is not mine, local)  # type: ignore[misc]
            assert type(only(local)) is Newcomer
        assert getattr(session.modules, local.name).add(1, 2) == 3
        session._driver.connection.abort("cut by the test")
        assert getattr(session.modules, local.name).add(1, 3) == 4


def test_another_connection_takes_it_from_one_that_is_still_open(local: Local) -> None:
    """The server believes in a line that is dead on the client's side."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        before = only(local).connection
        # Its end reaches the server only after the new connection.
        before.poller.submit(lambda: session._driver.connection.abort("cut by the test"))
        until(lambda: only(local).connection is not before, local)
        assert getattr(session.modules, local.name).add(1, 2) == 3


def test_the_server_says_goodbye(tmp_path: Path) -> None:
    """A client that has never called hears of a shutdown, and asks later what became of it."""
    with serving(tmp_path) as local, closing(RawClient(local)) as raw:
        local.server.poller.submit(lambda: only_there(local).end_session("enough"))
        assert raw.receive() == Bye("enough")
        assert raw.expect_end().code == 1000
        until(lambda: not local.server._sessions, local)
        assert [each.why for each in local.server._roster.tombstones.values()] == ["ended"]


def test_goodbyes_that_cross_leave_nothing(local: Local, raw: RawClient) -> None:
    """The client has said its own before it heard that of the server: it never asks."""

    def both() -> None:
        session = only_there(local)
        session.end_session("enough")
        session._take_leave(Bye("done"))

    local.server.poller.submit(both)
    until(lambda: not local.server._sessions, local)
    assert not local.server._roster.tombstones


def only_there(local: Local) -> Newcomer | Session:
    """The one session, asked for in the poller's thread."""
    (session,) = local.server._sessions.values()
    return session


def test_one_without_a_connection_ends_when_its_grace_is_over(tmp_path: Path) -> None:
    """That of sessions which hold nothing."""
    limits = Limits(grace_when_empty=0.01)
    with serving(tmp_path, limits=limits) as local, closing(RawClient(local)) as raw:
        raw.connection.abort("gone")
        until(lambda: not local.server._sessions, local)
        assert [each.why for each in local.server._roster.tombstones.values()] == ["expired"]
