"""Calls that wait for their turn to leave, without a session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from wsremote.client.async_line import NOBODY, Line


def put(line: Line, call: int, target: str = "m:f", lane: int = 1) -> None:
    """Put a call in line, as a task does."""
    run = line.last
    if run.next != call or run.target != target or run.lane != lane:
        run = line.new_run(call, lane, None, 1, target, None)
    answer: Any = SimpleNamespace(call=call)
    run.add(answer, (call, "x"))


def test_calls_of_the_same_are_one_entry() -> None:
    """Those that follow each other; another target, or a gap, begins another one."""
    line = Line()
    for call, target in ((1, "m:f"), (2, "m:f"), (3, "m:g"), (4, "m:f"), (7, "m:f"), (8, "m:f")):
        put(line, call, target)
    assert (len(line), list(line.numbers())) == (6, [1, 2, 3, 4, 7, 8])
    leaving = line.take(100, range(100))
    assert [[entry[0], entry[2], len(entry[4])] for entry in leaving.entries] == [
        [1, "m:f", 2],
        [3, "m:g", 1],
        [4, "m:f", 1],
        [7, "m:f", 2],
    ]
    assert leaving.entries[0][4] == [(1, "x"), (2, "x")]
    assert [answer.call for answer in leaving.answers] == [1, 2, 3, 4, 7, 8]
    assert not line
    assert line.last is NOBODY


def test_a_part_leaves_and_the_rest_goes_on() -> None:
    """As many as there is room for; what comes behind still belongs to the run."""
    line = Line()
    for call in range(1, 6):
        put(line, call)
    assert [each.call for each in line.take(3, range(100)).answers] == [1, 2, 3]
    put(line, 6)
    leaving = line.take(100, range(100))
    assert leaving.entries == [[4, 1, "m:f", None, [(4, "x"), (5, "x"), (6, "x")]]]


def test_what_is_given_up_does_not_leave() -> None:
    """Neither the first, nor the last, nor one in the middle; those around it do."""
    line = Line()
    for call in range(1, 9):
        put(line, call)
    leaving = line.take(100, {2, 3, 5, 6, 7})
    assert [[entry[0], len(entry[4])] for entry in leaving.entries] == [[2, 2], [5, 3]]
    for call in (9, 10):
        put(line, call)
    assert line.take(100, ()).answers == []
    assert not line


def test_one_message_has_calls_of_one_lane() -> None:
    """Those of another leave with the next, and so does what is nested in a callback."""
    line = Line()
    put(line, 1)
    put(line, 2, lane=0)
    run = line.new_run(3, 0, 77, 1, "m:f", None)
    answer: Any = SimpleNamespace(call=3)
    run.add(answer, ())
    assert line.last is NOBODY
    taken = [line.take(100, range(100)) for _ in range(3)]
    assert [(each.lane, each.parent, len(each.answers)) for each in taken] == [
        (1, None, 1),
        (0, None, 1),
        (0, 77, 1),
    ]


def test_payloads_are_runs_of_their_own() -> None:
    """As many as make a message of a bearable size; one that is given up is dropped."""
    line = Line()
    for call in range(1, 6):
        answer: Any = SimpleNamespace(call=call)
        line.new_run(call, 1, None, 1, "m:f", None, bytes(100_000)).add(answer, ())
    put(line, 6)
    leaving = line.take(100, {2, 3, 4, 5, 6})
    assert [entry[0] for entry in leaving.entries] == [2, 3, 4]
    assert {len(entry[4]) for entry in leaving.entries} == {100_000}
    assert [entry[0] for entry in line.take(100, {5, 6}).entries] == [5, 6]
