"""Batches, results, pulls and what is said of kept values, by peers that do it wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from e2e.test_hostile_peers import HandMade, HostileServer, Peer
from harness import ServedProcess, start_server

import wsremote
from wsremote.errors import SessionClosed
from wsremote.protocol.messages import (
    KEEP,
    POOL,
    QUIET,
    Batch,
    Bye,
    Exec,
    Fault,
    Gone,
    Message,
    Op,
    Release,
    Result,
    Results,
    Unread,
)

FOLDER = Path(__file__).parent
NOTHING = msgpack.packb([None])
"""The payload of no arguments."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server, whose log has no traceback in the end."""
    served = start_server(
        "steady", "streamed", folder=tmp_path_factory.mktemp("server"), path=(FOLDER,)
    )
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


@pytest.fixture(autouse=True)
def bystander(served: ServedProcess) -> Iterator[Any]:
    """The module of somebody else, which works before and after, and has noted nothing."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        session.modules.streamed.forget()
        yield session.modules.streamed
        assert session.modules.steady.add(1, 2) == 3


@pytest.fixture
def hand_made(served: ServedProcess) -> Iterator[HandMade]:
    """A client without a session."""
    with contextlib.closing(HandMade(served)) as client:
        yield client


@pytest.fixture
def peer(hand_made: HandMade) -> Peer:
    """A client whose session is open."""
    return hand_made.attach()


def call(number: int, *args: Any, **fields: Any) -> list[Any]:
    """A call of `streamed.mark`, unless told otherwise, as a batch lists it."""
    usual = {
        "call": number,
        "op": int(Op.CALL),
        "target": "streamed:mark",
        "name": None,
        "payload": list(args),
    }
    return list((usual | fields).values())


def batch(*calls: Any, seq: int = 1, lane: int = 1, parent: int | None = None) -> Batch:
    """Calls in one message."""
    return Batch(seq, 0, lane, parent, list(calls))


def values_of(peer: Peer, *calls: int) -> dict[int, Any]:
    """The values of so many calls, in whatever messages they come; faults as their class."""
    found: dict[int, Any] = {}
    while not found.keys() >= set(calls):
        message = peer.hear()
        if isinstance(message, Results):
            runs = msgpack.unpackb(message.payload)
            for first, values in zip(runs[::2], runs[1::2], strict=True):
                found.update(enumerate(values, first))
        elif isinstance(message, Result):
            found[message.call] = _plain(message.payload)
        elif isinstance(message, Fault):
            fault = repr(_plain(message.payload))
            found[message.call] = message.executed, fault
    return found


def _plain(payload: bytes) -> Any:
    """A payload as msgpack sees it, tags and all."""
    return msgpack.unpackb(payload.lstrip(b"\xc1"), raw=True, strict_map_key=False)


# ---- of a client -----------------------------------------------------------------------


def test_a_batch_by_hand(peer: Peer, bystander: Any) -> None:
    """The tests below break something that is right without it: scalars, payloads and runs."""
    peer.say(batch(call(1, 10), call(2, payload=msgpack.packb([11, None])), lane=POOL))
    peer.say(batch(call(3, payload=[[12], [13], [14]]), seq=2))
    assert values_of(peer, 1, 2, 3, 4, 5) == {1: 10, 2: 11, 3: 12, 4: 13, 5: 14}
    assert sorted(bystander.marks()) == [10, 11, 12, 13, 14]
    peer.say(Bye("done"))
    assert peer.closed() == (1000, "bye")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (batch(), "a batch has calls"),
        (batch(call(1, 1), None), "a batch has calls"),
        (batch(call(1, 1), call(2, 2)[:4]), "a batch has calls"),
        (batch(call(1, 1), call(2, 2, target=None)), "fields of the wrong kind"),
        (batch(call(1, 1), call(2, payload="text")), "call 2 of a batch"),
        (batch(call(1, 1), call(2, [], 1)), "call 2 of a batch"),
        (batch(call(1, 1), call(2, 1, [])), "call 2 of a batch"),
        (batch(call(1, 1), call(0, 2)), "a call 0"),
        (batch(call(1, 1), call(1, 2)), "call 1 is in a batch twice"),
        (batch(call(3, payload=[[1], [2]]), call(4, 2)), "call 4 is in a batch twice"),
        (batch(call(1, 1), call(2, 2, op=-1)), "there is no op -1"),
        (batch(call(1, 1), call(2, 2, op=int(Op.CALL) + 4 * QUIET)), "there is no op 512"),
        (batch(call(1, 1), parent=7), "nested in none of mine"),
        (Unread(1, 0, 1, -1), "-1 items"),
        (Results(1, 0, msgpack.packb([1, [1]])), "Results is not expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_costs_the_connection_and_the_third_time_the_session(
    hand_made: HandMade, bystander: Any, message: Message, reason: str
) -> None:
    """And nothing of a batch is done if one of its calls is none."""
    for time in range(3):
        peer = hand_made.attach()
        peer.say(message)
        bye, code, text = peer.last_heard()
        assert code == 4400
        assert (bye is None) == (time < 2)
        assert reason in (text if bye is None else bye.reason)
    assert bystander.marks() == []
    assert isinstance(hand_made.resume(hand_made.connect()), Gone)


def test_a_batch_that_is_right_the_second_time(hand_made: HandMade, bystander: Any) -> None:
    """A byte was wrong on the line: the number is new until it is right, and then it is not."""
    peer = hand_made.attach()
    peer.say(batch(call(1, 1), call(2, None, {})))
    assert peer.closed()[0] == 4400
    peer = hand_made.attach()
    good = batch(call(1, 1), call(2, 2))
    peer.say(good, good)
    assert values_of(peer, 1, 2) == {1: 1, 2: 2}
    peer.say(good, batch(call(3, 3), seq=2))
    assert values_of(peer, 3) == {3: 3}
    assert bystander.marks() == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (call(2, op=31, name="x"), "there is no op 31"),
        (call(2, op=77, name="x"), "there is no op 13"),
        (call(2, op=int(Op.METHOD)), "needs a name"),
        (call(2, target="os:system"), "is not served"),
        (call(2, payload=b"\xc1"), "malformed"),
        (call(2, target=-77), "no result of call 77"),
        (call(2, target=77), "no object with handle 77"),
        (call(2, op=int(Op.ASK), target=-77), "no result of call 77"),
        (call(2, op=int(Op.ASK), target=77), "by its call, negated|no object with handle 77"),
        (call(2, op=int(Op.ASK), target="streamed"), "by its call, negated"),
        (call(2, op=int(Op.PULL), target=77), "handle 77|a pull has a handle"),
        (call(2, op=int(Op.PULL), target=77, payload=[1, 0]), "no object with handle 77"),
        (call(2, op=int(Op.PULL), target="streamed:mark", payload=[1, 0]), "a pull has a handle"),
        (call(2, op=int(Op.PULL) + KEEP, target=77, payload=[1, 0]), "handle 77"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("lane", [POOL, 1])
def test_a_senseless_call_fails_alone(
    peer: Peer, bystander: Any, lane: int, wrong: list[Any], text: str
) -> None:
    """The others of its batch run, and the session goes on."""
    peer.say(batch(call(1, 1), wrong, call(3, 3), lane=lane))
    found = values_of(peer, 1, 2, 3)
    assert (found[1], found[3]) == (1, 3)
    assert any(each in found[2][1] for each in text.split("|")), found[2]
    assert sorted(bystander.marks()) == [1, 3]


@pytest.mark.parametrize(
    "harmless",
    [
        Unread(1, 0, 999, 3),
        Unread(1, 0, -999, 3),
        Release(1, 0, [[-999, 1]]),
        Release(1, 0, [[-999, 5], [-999, 5]]),
    ],
)
def test_what_means_nothing_changes_nothing(peer: Peer, harmless: Message) -> None:
    """An iterator that is not held, a value that is not kept."""
    peer.say(harmless)
    peer.say(batch(call(1, 1), seq=2))
    assert values_of(peer, 1) == {1: 1}


def test_more_is_said_to_be_used_than_came(peer: Peer) -> None:
    """Nobody knows the items between: it is an error of the pull, and no item is lost."""
    make = call(1, target="streamed:squares", payload=[10])
    pull = int(Op.PULL)
    peer.say(batch(make))
    assert isinstance(peer.hear_of(Result), Result)
    peer.say(batch(call(2, op=pull, target=1, payload=[2, 0]), seq=2))
    assert values_of(peer, 2)[2][-1] == [0, 1]
    peer.say(batch(call(3, op=pull, target=1, payload=[2, 77]), seq=3))
    assert "2 items have come" in values_of(peer, 3)[3][1]
    for number, arguments in enumerate(([0, 2], [-1, 2], [10**6, 2], [2, -1], ["a", 2]), 4):
        peer.say(batch(call(number, op=pull, target=1, payload=arguments), seq=number))
        assert isinstance(values_of(peer, number)[number][1], str)
    peer.say(batch(call(20, op=pull, target=1, payload=[3, 2]), seq=9))
    assert values_of(peer, 20)[20][-1] == [4, 9, 16]


def test_a_kept_value_is_kept_once(peer: Peer, bystander: Any) -> None:
    """Asked for as often as anybody likes; let go of, it is nobody's, also for what waits."""
    peer.say(
        batch(
            call(1, 5, op=Op.CALL + KEEP),
            call(2, op=int(Op.ASK), target=-1),
            call(3, op=int(Op.ASK), target=-1),
        )
    )
    found = values_of(peer, 2, 3)
    assert found[2] == found[3]
    assert 1 not in found
    peer.say(Release(2, 0, [[-1, 1]]))
    peer.say(batch(call(4, op=int(Op.ASK), target=-1), call(5, 6), seq=3))
    found = values_of(peer, 4, 5)
    assert "no result of call 1" in found[4][1]
    assert found[5] == 6


# ---- of a server -----------------------------------------------------------------------


def submit(session: wsremote.Session, *numbers: int) -> list[Any]:
    """Calls of a function that the hostile server has, if one believes it."""
    submitting = session._driver.submitting
    return [submitting.submit(int(Op.CALL), "pkg:f", None, (each,), None) for each in numbers]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgpack.packb(None),
        msgpack.packb([1]),
        msgpack.packb([1, 2]),
        msgpack.packb(["1", [2]]),
        msgpack.packb([1, [[2]]]),
        msgpack.packb({1: [2]}),
        msgpack.packb([1, [msgpack.ExtType(1, b"")]]),
        b"\x92\x01\xdd\xff\xff\xff\xff",
    ],
)
def test_malformed_results_again_and_again_cost_the_session(payload: bytes) -> None:
    """Each future ends and says what the server did."""
    closings: list[int] = []

    def misbehave(peer: Peer) -> None:
        peer.hear_of(Batch)
        peer.say(Results(1, 0, payload))
        closings.append(peer.closed()[0])

    with HostileServer(misbehave) as server:
        session = wsremote.connect(server.url, token="t")
        futures = submit(session, 1, 2, 3)
        for future in futures:
            with pytest.raises(SessionClosed, match="broke the protocol"):
                future.result(20)
        session.close()
    assert closings == [4400] * 3


def answered(*answers: Message) -> Callable[[Peer], None]:
    """A server that gives these answers to the calls 1 to 3, whatever they are."""

    def misbehave(peer: Peer) -> None:
        seen = 0
        while seen < 3:
            message = peer.hear_of(Batch)
            seen += sum(
                len(each[4]) if each[4] and type(each[4][0]) is list else 1
                for each in message.calls
            )
        peer.say(*answers)
        peer.hear_of(Exec)
        last = answers[-1][0]
        peer.say(Result(last + 1, 0, 4, msgpack.packb(99), None, None))
        peer.hear_of(Bye)

    return misbehave


@pytest.mark.parametrize(
    "answers",
    [
        [Results(1, 0, msgpack.packb([77, ["x", "y"], 1, [10, 20, 30], -5, [1]]))],
        [Results(1, 0, msgpack.packb([1, [10, 20, 30, "x", "y"]]))],
        [Results(1, 0, msgpack.packb([0, ["x", 10, 20, 30]]))],
        [Results(1, 0, msgpack.packb([1, [10, 20], 1, ["x", "y"], 2, ["z", 30]]))],
        [
            Results(1, 0, msgpack.packb([2, [20]])),
            Result(2, 0, 2, msgpack.packb("x"), None, None),
            Fault(3, 0, 2, True, b"", None),
            Results(4, 0, msgpack.packb([1, [10, "y", 30]])),
        ],
        [
            Result(1, 0, 1, msgpack.packb(10), None, None),
            Results(2, 0, msgpack.packb([1, ["x", 20, 30]])),
        ],
    ],
)
def test_answers_of_nobody_and_second_answers_are_dropped(answers: list[Message]) -> None:
    """Calls that were never made, runs that are too long, calls that have their value."""
    with HostileServer(answered(*answers)) as server:
        server._welcome = server._welcome._replace(limits={"max_calls": 64})
        session = wsremote.connect(server.url, token="t")
        futures = submit(session, 1, 2, 3)
        assert [future.result(20) for future in futures] == [10, 20, 30]
        assert session._driver.call("pkg:f", (), None) == 99
        session.close()


def test_results_for_a_call_that_was_made_alone() -> None:
    """Nobody expects them there: right, or an error, and no call that waits for ever."""

    def misbehave(peer: Peer) -> None:
        peer.hear_of(Exec)
        peer.say(Results(1, 0, msgpack.packb([1, [5]])))
        with contextlib.suppress(ConnectionAbortedError):
            peer.hear_of(Bye)

    with HostileServer(misbehave) as server:
        session = wsremote.connect(server.url, token="t")
        with pytest.raises(SessionClosed, match="made alone"):
            session._driver.call("pkg:f", (), None)
        session.close()
