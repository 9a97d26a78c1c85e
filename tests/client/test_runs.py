"""Runs of calls of a pipeline: what leaves, whose value is kept, what is known of values."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.client.promises import Promise
from wsremote.client.runs import UNKNOWN, Run
from wsremote.protocol.messages import KEEP, QUIET, Op

METHOD = int(Op.METHOD)


class Pipeline:
    """As much of a pipeline as runs use."""

    def __init__(self) -> None:
        self.errors: dict[int, BaseException] = {}

    def error_of(self, call: int) -> BaseException | None:
        """Why a call has no value."""
        return self.errors.get(call)


@pytest.fixture
def pipeline() -> Any:
    """One without calls."""
    return Pipeline()


def run_of(pipeline: Any, count: int) -> tuple[Run, list[Promise]]:
    """Calls from 10 on, and their promises."""
    run = Run(pipeline, 10, METHOD, 7, "fit", [(place, "x") for place in range(count)])
    return run, [Promise(run, call) for call in run.numbers]


def test_a_run_leaves_as_one(pipeline: Any) -> None:
    """A single call as a call."""
    run, _ = run_of(pipeline, 2)
    assert run.entries() == [[10, METHOD + KEEP, 7, "fit", [(0, "x"), (1, "x")]]]
    run, promises = run_of(pipeline, 1)
    assert run.entries() == [[10, METHOD + KEEP, 7, "fit", (0, "x")]]
    promises.clear()
    assert run.entries() == [[10, METHOD + QUIET, 7, "fit", (0, "x")]]


def test_of_dropped_promises_nothing_is_kept(pipeline: Any) -> None:
    """Those that die before the run leaves: it leaves in parts; and nothing is released later."""
    run, promises = run_of(pipeline, 6)
    del promises[5], promises[1], promises[1]
    assert run.entries() == [
        [10, METHOD + KEEP, 7, "fit", (0, "x")],
        [11, METHOD + QUIET, 7, "fit", [(1, "x"), (2, "x")]],
        [13, METHOD + KEEP, 7, "fit", [(3, "x"), (4, "x")]],
        [15, METHOD + QUIET, 7, "fit", (5, "x")],
    ]
    released: list[int] = []
    run.has_left(released.append)
    assert released == []
    del promises[0]
    assert released == [-10]


def test_a_promise_that_dies_while_its_run_leaves_is_released(pipeline: Any) -> None:
    """Also by another thread, which has begun when the run had not left."""
    run, promises = run_of(pipeline, 3)
    del promises[2]
    before = run.dropped
    run.entries()
    del promises[0]
    released: list[int] = []
    run.has_left(released.append)
    assert released == [-10]
    before(-11)
    run.has_left(released.append)
    assert released == [-10, -11]


def test_values_are_known_as_far_as_they_came(pipeline: Any) -> None:
    """In any order; nothing is held of a promise that has died."""
    run, promises = run_of(pipeline, 3)
    run.learn(11, ["b"])
    assert run.values == [UNKNOWN, "b", UNKNOWN]
    assert run.unknown() == [(10, 11), (12, 13)]
    run.learn(10, ["a", "b", "c"])
    assert run.unknown() == [] and [each.result() for each in promises] == ["a", "b", "c"]
    del promises[1]
    assert run.values == ["a", UNKNOWN, "c"]


def test_an_error_is_that_of_its_call(pipeline: Any) -> None:
    """As the pipeline knows it, or the run."""
    run, _ = run_of(pipeline, 3)
    first, second = ValueError("first"), ValueError("second")
    pipeline.errors[10] = first
    run.fail(11, second)
    assert [run.error_of(call) for call in run.numbers] == [first, second, None]


def test_a_promise_whose_call_was_not_made(pipeline: Any, capsys: Any) -> None:
    """An interrupt came first: it dies as quietly as others, before its run leaves or after."""
    run, promises = run_of(pipeline, 2)
    unmade = Promise(run, 12)
    unfinished = Promise.__new__(Promise)
    assert run.entries()[0][4] == [(0, "x"), (1, "x")]
    run.has_left(lambda call: None)
    run.learn(10, [1, 2])
    del unmade, unfinished
    assert [each.result() for each in promises] == [1, 2]
    assert capsys.readouterr().err == ""


def test_what_is_not_known_can_be_asked_for(pipeline: Any) -> None:
    """But for one call, whose value is asked for anyway; what follows that comes first."""
    run, promises = run_of(pipeline, 9)
    assert run.unknown() == run.unknown(99) == [(10, 19)]
    assert run.unknown(10) == [(11, 19)]
    assert run.unknown(18) == [(10, 18)]
    assert run.unknown(12) == [(13, 19), (10, 12)]
    run.learn(15, [1])
    assert run.unknown(12) == [(13, 15), (16, 19), (10, 12)]
    run.learn(10, [1] * 9)
    assert run.unknown(12) == run.unknown() == []
    promises.clear()
