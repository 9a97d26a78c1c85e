"""Calls that the poller answers itself: when it does, and what it leaves to the lanes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import PATIENCE, SOURCE, TOKEN, Local, RawClient, barrier, serving

import wsremote
from wsremote.codec.packing import pack_scalars
from wsremote.protocol.messages import (
    AWAIT,
    KEEP,
    NUMBERS,
    SMALL_EXEC,
    SMALL_RESULT,
    Exec,
    Op,
    Result,
)
from wsremote.server.at_once import Client, answer_at_once
from wsremote.server.config import ServerConfig
from wsremote.server.server import Server
from wsremote.server.session import Session
from wsremote.transport.connection import SocketConnection


class Quick:
    """What is called in place of `add`: it does the same.

    Attributes:
        calls: The client, the thread and the arguments of each call.
        then: What it does at last; gives its value.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Client, int, tuple[Any, ...]]] = []
        self.then: Callable[..., object] = lambda a, b: a + b

    def __call__(self, client: Client, *args: Any) -> object:
        self.calls.append((client, threading.get_ident(), args))
        return self.then(*args)


@pytest.fixture
def quick() -> Quick:
    return Quick()


@pytest.fixture
def local(tmp_path: Path, quick: Quick) -> Iterator[Local]:
    """A server in this process whose poller adds."""
    source = f"{SOURCE}\nitems = []\n"
    with serving(tmp_path, source=source, at_once={"add": quick}) as local:
        yield local


def served(local: Local) -> Session:
    """The only session, as the server has it."""
    barrier(local.server.poller)
    (session,) = local.server._sessions.values()
    assert isinstance(session, Session)
    return session


def head_of(raw: RawClient, call: int) -> list[Any]:
    """How a call of `add` begins in the short form."""
    return [SMALL_EXEC, raw.sent, raw.received, call, 1, int(Op.CALL), f"{raw.name}:add", None]


def small_call(raw: RawClient, call: int, *args: Any) -> None:
    """Call `add` in the short form."""
    raw.sent += 1
    raw.connection.send(pack_scalars([*head_of(raw, call), *args]))


def test_no_lane_is_made_for_it(local: Local, raw: RawClient, quick: Quick) -> None:
    """Also not for a session's first call, of either form; the function learns whose it is."""
    raw.call(1, "add", 1, 2)
    assert raw.answer() == (1, 3)
    small_call(raw, 2, 3, 4)
    assert raw.answer() == (2, 7)
    assert local.threads() == []
    poller, session = local.server.poller._thread.ident, served(local)
    # The first one was acknowledged with the second call.
    assert [number for number, _ in session._sequence.unacked] == [2]
    assert [(thread, args) for _, thread, args in quick.calls] == [
        (poller, (1, 2)),
        (poller, (3, 4)),
    ]
    (client,) = {client.session for client, _, _ in quick.calls}
    assert client == session.id
    assert quick.calls[0][0].key_id == local.server.credential.key_id


def test_it_leaves_nothing_to_be_done(
    local: Local, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has acknowledged the call: there are no ticks for the session."""
    raw.call(1, "add", 1, 2)
    assert raw.answer() == (1, 3)
    connection, poller = served(local).connection, local.server.poller
    while connection in poller._hot:
        barrier(poller)  # its opening was just now
    followed: list[object] = []
    monkeypatch.setattr(poller, "_follow", followed.append)
    raw.call(2, "add", 1, 2)
    assert raw.answer() == (2, 3)
    barrier(poller)
    assert followed == []
    assert not connection.attended
    assert connection.resting


def test_many_that_come_together_are_answered_in_order(
    local: Local, raw: RawClient, quick: Quick
) -> None:
    """None of which the client acknowledges: from some on it is a lane that waits for it."""
    for call in range(1, 201):
        raw.call(call, "add", call, 1)
    assert [raw.answer() for _ in range(200)] == [(call, call + 1) for call in range(1, 201)]
    assert 0 < len(quick.calls) < 200


def test_calls_under_way_come_first(local: Local, raw: RawClient, quick: Quick) -> None:
    """A call in front of it, of its lane or another, has it executed by a lane, in its turn."""
    raw.call(1, "wait", "first")
    assert local.module.started.get(timeout=PATIENCE) == "first"
    raw.call(2, "add", 1, 2)
    raw.call(3, "add", 3, 4, lane=2)
    assert raw.answer() == (3, 7)
    local.module.door("first").set()
    assert [raw.answer(), raw.answer()] == [(1, "first"), (2, 3)]
    assert quick.calls == []


def test_what_is_queued_comes_first(local: Local, raw: RawClient, quick: Quick) -> None:
    """Both in one reception: the poller has given the first to a lane, which has not begun it."""
    raw.call(1, "repeat", 3)
    raw.call(2, "add", 1, 2)
    assert [raw.answer(), raw.answer()] == [(1, "xxx"), (2, 3)]


@pytest.mark.parametrize("error", [ValueError("not now"), SystemExit(1), KeyboardInterrupt()])
def test_what_it_raises_is_no_answer(
    local: Local, raw: RawClient, quick: Quick, error: BaseException
) -> None:
    """The served function is called on a lane then."""

    def fail(*args: object) -> object:
        raise error

    quick.then = fail
    for call in (1, 2):
        raw.call(call, "add", 1, call)
        assert raw.answer() == (call, 1 + call)
    assert quick.calls
    assert len(local.threads()) == 1


@pytest.mark.parametrize("value", [[1], "text", 2**80, object()])
def test_what_is_no_small_scalar_is_no_answer(
    local: Local, raw: RawClient, quick: Quick, value: object
) -> None:
    """The value comes from a lane then, which can answer anything."""
    quick.then = lambda *_: value
    raw.call(1, "add", 1, 2)
    assert raw.answer() == (1, 3)
    assert len(quick.calls) == 1


@pytest.mark.parametrize("value", [None, True, 1.5, -1])
def test_small_scalars_are_answered(
    local: Local, raw: RawClient, quick: Quick, value: object
) -> None:
    """As they are."""
    quick.then = lambda *_: value
    raw.call(1, "add", 1, 2)
    assert raw.answer() == (1, value)
    assert local.threads() == []


@pytest.mark.parametrize(
    ("args", "kwargs", "sum"),
    [
        (([1], [2]), {}, [1, 2]),
        ((1,), {"b": 2**80}, 1 + 2**80),
        (("x" * 5000, ""), {}, "x" * 5000),
        ((1.5,), {"b": (1).__add__}, None),
    ],
)
def test_arguments_that_are_more_than_scalars_go_to_a_lane(
    local: Local, quick: Quick, args: tuple[Any, ...], kwargs: dict[str, Any], sum: object
) -> None:
    """Containers, integers that msgpack has no form for, what is long, objects of the client."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        add = getattr(session.modules, local.name).add
        if sum is None:
            with pytest.raises(TypeError):
                add(*args, **kwargs)
        else:
            assert add(*args, **kwargs) == sum
    assert quick.calls == []


def test_other_targets_go_to_a_lane(local: Local, raw: RawClient, quick: Quick) -> None:
    """And what is not there is said by who looks for it."""
    raw.call(1, "repeat", 3)
    assert raw.answer() == (1, "xxx")
    raw.call(2, "added", 3)
    assert raw.answer() == (2, "fault")
    assert quick.calls == []


@pytest.mark.parametrize("op", [KEEP + Op.CALL, AWAIT + Op.CALL, Op.BROWSE])
def test_other_operations_go_to_a_lane(local: Local, raw: RawClient, quick: Quick, op: int) -> None:
    """What is kept has no answer, what is awaited may be a coroutine."""
    payload = raw.codec.encode_call((1, 2), {}).payload
    path = f"{raw.name}:add"
    raw.send_numbered(Exec, 1, 1, None, int(op), path, None, payload, None)
    raw.call(2, "add", 3, 4)
    while raw.answer()[0] != 2:
        continue
    assert len(quick.calls) in (0, 1)
    assert all(args == (3, 4) for _, _, args in quick.calls)


@pytest.mark.parametrize(("field", "value"), [(1, True), (3, "call"), (4, "lane")])
def test_fields_of_wrong_types_are_a_violation(
    local: Local, raw: RawClient, quick: Quick, field: int, value: object
) -> None:
    """Also those that would do no harm here."""
    raw.sent += 1
    head = head_of(raw, 1)
    head[field] = value
    raw.connection.send(pack_scalars([*head, 1, 2]))
    assert raw.expect_end().code == 4400
    assert quick.calls == []


def test_a_lane_that_has_executed_one_does_not_wait_for_the_next(
    local: Local, raw: RawClient, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the connection, where it would get all the others: the poller watches that at once."""

    def fail(*_: object) -> object:
        raise ValueError("not now")

    rested: list[str] = []
    rest = local.server.poller.rest

    def note(connection: SocketConnection) -> None:
        rested.append(threading.current_thread().name)
        rest(connection)

    monkeypatch.setattr(local.server.poller, "rest", note)
    quick.then = fail
    raw.call(1, "repeat", 3)
    assert raw.answer() == (1, "xxx")
    small_call(raw, 2, 1, 2)
    assert raw.answer() == (2, 3)
    (lane,) = served(local)._lanes.values()
    for _ in range(5000):
        if lane._rests_since and not lane._lingers:
            break
        barrier(local.server.poller)
    assert not lane._lingers
    assert lane.name in rested
    raw.call(3, "repeat", 3)
    assert raw.answer() == (3, "xxx")
    assert lane._lingers  # that may be one of many


def test_one_that_comes_twice_is_executed_once(local: Local, raw: RawClient, quick: Quick) -> None:
    """As after a connection was lost: its number tells."""
    small_call(raw, 1, 1, 2)
    assert raw.answer() == (1, 3)
    raw.sent -= 1
    small_call(raw, 1, 1, 2)
    small_call(raw, 2, 3, 4)
    assert raw.answer() == (2, 7)
    assert len(quick.calls) == 1 + (local.threads() == [])


def test_one_behind_a_gap_is_a_violation(local: Local, raw: RawClient, quick: Quick) -> None:
    """A number is missing: what comes behind it means nothing."""
    raw.sent += 1
    small_call(raw, 1, 1, 2)
    assert raw.expect_end().code == 4400
    assert quick.calls == []


def test_one_that_acknowledges_what_was_not_sent_is_a_violation(
    local: Local, raw: RawClient, quick: Quick
) -> None:
    """It is not executed."""
    raw.received = 7
    small_call(raw, 1, 1, 2)
    assert raw.expect_end().code == 4400
    assert quick.calls == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9a",
        bytes([0x9A, SMALL_EXEC]),
        bytes([0x94, NUMBERS[Exec], 1, 2, 3]),
        bytes([0x98, SMALL_EXEC, 1, 0, 1, 1, int(Op.CALL), 0x90, 0xC0]),
    ],
)
def test_what_makes_no_sense_is_left_to_who_reads_it(
    local: Local, raw: RawClient, quick: Quick, data: bytes
) -> None:
    """Nothing, half a message, one of too few fields, and a target that is a list."""
    raw.connection.send(data)
    assert raw.expect_end().code == 4400
    assert quick.calls == []


def test_an_answer_that_was_lost_comes_with_the_next_connection(local: Local, quick: Quick) -> None:
    """It is kept as any other; the call is not executed again."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        add = getattr(session.modules, local.name).add
        (own,) = local.server._sessions.values()

        def cut(a: int, b: int) -> int:
            # While the call is executed: the answer finds no connection.
            own.connection.abort("cut")
            return a + b

        quick.then = cut
        with session.timeout(PATIENCE):
            assert add(1, 2) == 3
        assert len(quick.calls) == 1


def test_a_session_whose_containers_are_mirrored_has_its_lanes(local: Local, quick: Quick) -> None:
    """What a call has changed there leaves ahead of its answer, which is a lane's business."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module = getattr(session.modules, local.name)
        items = module.items
        assert items == []
        local.module.items.append(1)
        assert module.add(1, 2) == 3
        assert items == [1]
        assert quick.calls == []


def test_what_waits_for_the_next_answer_is_sent_by_a_lane(
    local: Local, raw: RawClient, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes, memory to be freed, a journal; and what is under way has its lane already."""
    small_call(raw, 1, 1, 2)
    assert raw.answer() == (1, 3)
    session, at_once = served(local), local.server.at_once
    inbox = session.connection.inbox
    with session.connection.reading:
        assert not answer_at_once(session, at_once)  # there is nothing
        raw.sent += 1
        inbox.append(pack_scalars([*head_of(raw, 2), 3, 4]))
        for owner, name, value in (
            (session, "held", [b""]),
            (session, "_needed", [(1, [1])]),
            (session, "journal", object()),
            (session, "_queued", {5}),
            (session, "_running", {5: None}),
            (session, "batching", {None}),
            (session._printed, "holds", True),
            (session.weakly, "held", {5: None}),
            (session.watching, "watched", {5: None}),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, value)
                assert not answer_at_once(session, at_once), name
            assert (len(inbox), len(quick.calls)) == (1, 1)
        assert answer_at_once(session, at_once)
    assert raw.answer() == (2, 7)


def test_a_server_is_not_made_for_what_it_does_not_serve(tmp_path: Path) -> None:
    """A path that is wrong, or hidden, would never be called."""
    config = ServerConfig(port=0, token=TOKEN, hide=("samplepkg:*",))
    with pytest.raises(ValueError, match=r"samplepkg:nothing is not served"):
        Server(["samplepkg"], config, at_once={"samplepkg:nothing": print})


def test_the_answer_has_the_short_form(local: Local, raw: RawClient) -> None:
    """As that of every small call."""
    small_call(raw, 1, 1, 2)
    received = raw.connection.receive(PATIENCE)
    assert received.popleft() == bytes([0x95, SMALL_RESULT, 1, 1, 1, 3])
    assert NUMBERS[Result] != SMALL_RESULT
