"""What is in messages that carry several calls, or answers."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.codec import wire
from wsremote.errors import RemoteProtocolError
from wsremote.protocol.batches import (
    calls_of,
    check_batch,
    check_results,
    without,
)
from wsremote.protocol.messages import KEEP, Batch, Cancel, Exec, Op


def call(number: int = 1, **fields: Any) -> list[Any]:
    """An item of a batch; by name what is not as usual."""
    usual = {"call": number, "op": int(Op.CALL), "target": "m:f", "name": None, "payload": b"\xc0"}
    return list((usual | fields).values())


def batch(*calls: Any) -> Batch:
    """A batch that has travelled."""
    [message] = wire.read(wire.write(Batch(3, 2, 0, None, list(calls))))
    assert isinstance(message, Batch)
    return message


def test_a_batch_of_all_kinds_of_calls_is_right() -> None:
    """Names or handles as targets, those below zero of kept values too; payloads, or scalars."""
    calls = [
        call(9),
        call(2, op=Op.METHOD | KEEP, target=7, name="fit"),
        call(3, op=Op.METHOD, target=-2, name="score", payload=[1, None, "text", b"", 0.5, True]),
        call(4, op=int(Op.ASK), target=-2, payload=[]),
    ]
    assert [list(each) for each in check_batch(batch(*calls))] == calls


def test_a_run_is_its_calls() -> None:
    """Calls that differ in their arguments alone; one that slips runs with those of another."""
    found = check_batch(batch(call(9), call(2, payload=[[1, 2], [], ["x"]]), call(5)))
    assert [(each[0], each[4]) for each in found] == [
        (9, b"\xc0"),
        (2, [1, 2]),
        (3, []),
        (4, ["x"]),
        (5, b"\xc0"),
    ]
    assert {tuple(each[1:4]) for each in found} == {(int(Op.CALL), "m:f", None)}


def test_a_batch_without_calls_is_a_violation() -> None:
    """Nobody sends one."""
    with pytest.raises(RemoteProtocolError, match="has calls"):
        check_batch(batch())


_KIND = "wrong kind"
_CALLS = "a batch has calls"

MALFORMED = [
    ([], _CALLS),
    (None, _CALLS),
    (7, _CALLS),
    ("abcde", _CALLS),
    ({2: 0, 3: 0, "m:f": 0, "n": 0, b"": 0}, _CALLS),
    (call(2)[:4], _CALLS),
    ([*call(2), None], _CALLS),
    (call(2, call="2"), _KIND),
    (call(2, call=True), _KIND),
    (call(2, call=2.0), _KIND),
    (call(2, op=None), _KIND),
    (call(2, op=512), "no op 512"),
    (call(2, op=-1), "no op -1"),
    (call(2, target=None), _KIND),
    (call(2, target=b"m:f"), _KIND),
    (call(2, name=3), _KIND),
    (call(2, payload="text"), "no arguments"),
    (call(2, payload=None), "no arguments"),
    (call(2, payload={}), "no arguments"),
    (call(2, payload=[1, {}]), "no scalars"),
    (call(2, payload=[1, []]), "no scalars"),
    (call(2, payload=[[], 1]), "is no run"),
    (call(2, payload=[[], None]), "is no run"),
    (call(2, payload=[[], [[]]]), "is no run"),
    (call(0), "a call 0"),
    (call(-2), "a call -2"),
    (call(-1, payload=[[], [], []]), "a call -1"),
    (call(1), "call 1 is in a batch twice"),
    (call(1, payload=[[]]), "call 1 is in a batch twice"),
]


@pytest.mark.parametrize(("item", "said"), MALFORMED)
def test_a_malformed_call_is_named(item: Any, said: str) -> None:
    """An item of the wrong kind, length or field; and what would answer for another call."""
    with pytest.raises(RemoteProtocolError, match=said):
        check_batch(Batch(3, 2, 0, None, [call(1), item]))


@pytest.mark.parametrize("item", [item for item, _ in MALFORMED if not isinstance(item, dict)])
def test_the_wire_lets_it_through(item: Any) -> None:
    """Who relies on the reader of the wire, and does not check, unpacks what is no call."""
    assert batch(call(1), item).calls == [call(1), item]


@pytest.mark.parametrize("calls", [None, 7, "text", b"", {}, True])
def test_a_batch_without_a_list_is_malformed(calls: Any) -> None:
    """The reader of the wire sees that much."""
    with pytest.raises(RemoteProtocolError, match="malformed Batch"):
        wire.read(wire.write(Batch(3, 2, 0, None, calls)))


EXEC = Exec(3, 2, 4, 0, None, 0, "m:f", None, b"", None)


def test_the_calls_of_a_message() -> None:
    """Who looks for a call among what is kept, or was lost, finds it in a batch as well."""
    assert calls_of(EXEC) == [4]
    assert calls_of(batch(call(4), call(9, payload=[[1], [2]]))) == [4, 9, 10]
    assert calls_of(Cancel(1, 0, 4)) == []


def test_a_call_is_taken_out_of_what_nobody_has_seen() -> None:
    """The others stay, in order; the number of the message is used up in any case."""
    message = batch(call(4), call(5, payload=[[1], [2]]), call(7))
    rest = without(message, 5)
    assert isinstance(rest, Batch)
    assert rest == batch(call(4), call(6, payload=[2]), call(7))
    rest = without(rest, 4)
    assert isinstance(rest, Batch)
    rest = without(rest, 7)
    assert isinstance(rest, Batch)
    assert wire.read(wire.write(rest)) == (batch(call(6, payload=[2])),)
    assert without(rest, 6) == Cancel(3, 2, 6)
    assert without(EXEC, 4) == Cancel(3, 2, 4)


def test_results_are_right() -> None:
    """Values of every plain kind, in runs of any length; none at all."""
    found = [4, [None, True, 5], 9, [2**64 - 1], 7, [], 20, [0.5, "text", b"bytes"]]
    assert check_results(found) == [
        (4, [None, True, 5]),
        (9, [2**64 - 1]),
        (7, []),
        (20, [0.5, "text", b"bytes"]),
    ]
    assert check_results([]) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "a list of calls"),
        (b"", "a list of calls"),
        ({4: [1], 5: [2]}, "a list of calls"),
        ([4], "a list of calls"),
        ([4, [1], 5], "a list of calls"),
        (["4", [1]], "by their numbers"),
        ([None, [1]], "by their numbers"),
        ([True, [1]], "by their numbers"),
        ([[4], [1]], "by their numbers"),
        ([4, 1], "plain values"),
        ([4, "ab"], "plain values"),
        ([4, {1: 2}], "plain values"),
        ([4, [[]]], "plain values"),
        ([4, [1], 5, [{}]], "plain values"),
    ],
)
def test_malformed_results_are_a_violation(found: Any, said: str) -> None:
    """No list, half a pair, what is no number, no list of values, what may be changed."""
    with pytest.raises(RemoteProtocolError, match=said):
        check_results(found)
