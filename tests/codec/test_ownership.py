"""What nothing else refers to is copied; what the server keeps is owned, and all below it."""

from __future__ import annotations

import array
import collections
import functools
from typing import Any

import numpy as np
import pytest

from wsremote.codec.ownership import is_plain_tree

CONFIG = {"limits": [1, 2], "name": "x"}


class Model:
    """Keeps things."""

    def __init__(self) -> None:
        self.items = [1, 2]
        self.nested = {"a": {"b": [1]}}
        self.pair = ([1], 2)
        self.weights = np.arange(3.0)

    def rows(self) -> list[Any]:
        """A fresh list of what is kept."""
        return [self.items, [3]]


def is_owned(arrived: Any) -> bool:
    """Whether the client got a handle with the content."""
    return hasattr(arrived, "handle")


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1, 2],
        lambda: [],
        lambda: {"a": {"b": [1]}},
        lambda: [[1], [2]],
        lambda: [[[1]], ([2], {3: [4]})],
        lambda: {1, 2},
        lambda: bytearray(b"x"),
        lambda: collections.deque([[1]]),
        lambda: array.array("d", [1.0]),
        lambda: ([1], {"x": (2, [3])}),
        lambda: [{"id": n, "tags": ["a"]} for n in range(3)],
        lambda: dict(zip("ab", [[]] * 2, strict=True)),
        lambda: [(1, [2])] * 2,
        lambda: list(CONFIG["limits"]),
    ],
)
def test_fresh_results_are_plain(pair: Any, make: Any) -> None:
    """They arrive as the exact builtins, and the server keeps nothing of them."""
    arrived = pair.back(make())
    assert arrived == make()
    assert not pair.server.table


def test_cyclic_results_are_fresh(pair: Any) -> None:
    """A reference of the result to itself is no other reference."""

    def make() -> list[Any]:
        made: list[Any] = [1]
        made.append(made)
        return made

    arrived = pair.back(make())
    assert arrived[1] is arrived


def test_owned_results_carry_handle_and_content(pair: Any) -> None:
    """A module variable, an attribute, a cache: the container itself stays on the server."""
    model = Model()

    @functools.cache
    def cached() -> list[int]:
        return [7]

    for owned in (CONFIG, model.items, cached()):
        arrived = pair.back(owned)
        assert is_owned(arrived)
        assert pair.server.table[arrived.handle] is owned
    assert arrived.content == [7]


def test_what_is_below_is_owned_too(pair: Any) -> None:
    """Also where only the owned container refers to it."""
    arrived = pair.back(CONFIG)
    assert is_owned(arrived.content["limits"])
    assert arrived.content["limits"].content == [1, 2]
    assert arrived.content["name"] == "x"


def test_a_tuple_that_is_kept_owns_its_items(pair: Any) -> None:
    """A tuple is a value, and what a kept tuple holds is kept."""
    model = Model()
    first, second = pair.back(model.pair)
    assert is_owned(first)
    assert second == 2


def test_level_by_level(pair: Any) -> None:
    """A fresh list may hold an owned one beside a fresh one."""
    model = Model()
    owned, fresh = pair.back(model.rows())
    assert is_owned(owned)
    assert fresh == [3]


def test_something_fresh_and_below_something_owned(pair: Any) -> None:
    """One way through an owned container is enough."""
    model = Model()
    first = pair.back([model.nested, model.nested["a"]])
    second = pair.back([model.nested["a"], model.nested])
    assert all(map(is_owned, [*first, *second]))


def test_an_owned_container_met_twice(pair: Any) -> None:
    """One object, one proxy, its content sent once."""
    first, second = pair.back([CONFIG, CONFIG])
    assert first is second
    assert first.content["name"] == "x"


def test_an_owned_cycle(pair: Any) -> None:
    """The inner occurrence is the handle of the outer one."""
    kept: list[Any] = [1]
    kept.append(kept)
    arrived = pair.back(kept)
    assert arrived.content[1] is arrived


def test_owned_containers_come_home(pair: Any) -> None:
    """As the server's own container."""
    assert pair.there(pair.back(CONFIG)) is CONFIG


def test_fresh_arrays_are_writable(pair: Any) -> None:
    """Also views of memory that only they refer to."""
    for arrived in (
        pair.back(np.arange(6.0)),
        pair.back(np.arange(6.0).reshape(2, 3).T),
        pair.back({"x": np.arange(10.0)[2:4]})["x"],
    ):
        arrived[0] = 7
    assert not pair.server.table


def test_owned_arrays_are_mirrored(pair: Any) -> None:
    """The array itself, and views of its memory."""
    model = Model()
    for arrived in (pair.back(model.weights), pair.back(model.weights[1:])):
        assert arrived.handle and type(arrived.content) is np.ndarray
        pair.server.table.clear()


def test_large_owned_arrays_are_read_only(pair: Any) -> None:
    """The array itself, and views of its memory."""
    kept = np.zeros(100_000)
    for arrived in (pair.back(kept), pair.back(kept[1:])):
        with pytest.raises(ValueError, match="read-only"):
            arrived[0] = 7


def test_owned_arrays_are_copied_before_they_travel(pair: Any) -> None:
    """What another thread writes while the bytes leave is not in the message."""
    kept = np.zeros(100_000)
    encoded = pair.server_codec.encode_result([kept])
    kept[:] = 1
    assert not pair.client_codec.decode(*encoded).any()


def test_an_argument_that_comes_back(pair: Any) -> None:
    """What a function returns of its arguments is the caller's own object, as at home."""
    mine = [1, [2]]
    assert pair.call(lambda xs: xs, mine) is mine
    assert pair.call(lambda xs: {"x": xs[1]}, mine)["x"] is mine[1]
    assert pair.call(lambda a: a * 2, np.arange(3.0)).tolist() == [0, 2, 4]


# ---- results that are trees of plain data --------------------------------------------------

KEPT: dict[str, Any] = {"list": [1], "dict": {"a": 1}}


@pytest.mark.parametrize(
    ("make", "is_one"),
    [
        (lambda: [{"name": "x", "tags": ["a"], "load": {"cpu": 0.5, "none": None}}], True),
        (lambda: {"a": {"b": {"c": [[], {}, b"x", True, 2**70]}}}, True),
        (lambda: [[{"a": KEPT["list"]}]], False),
        (lambda: {"a": [KEPT["dict"]]}, False),
        (lambda: {"a": [KEPT["dict"], [KEPT["list"]]]}, False),
        (lambda: [[1]] * 2, False),
        (lambda: [{"a": [1]}, (1, 2)], False),
        (lambda: [{"a": {1: [2]}}], False),
        (lambda: [{"a": {None: [2]}}], False),
        (lambda: [{"a": [{1}]}], False),
        (lambda: [{"a": ["x" * 1001]}], False),
        (lambda: [{"x" * 1001: [1]}], False),
        (lambda: [[0] * 500, [0] * 501], False),
        (lambda: [collections.OrderedDict(a=1)], False),
        (lambda: [["x"], np.float64(1.0)], False),
    ],
)
def test_plain_trees_are_known(make: Any, is_one: bool) -> None:
    """Lists and dicts with text as keys, each referred to once; anything kept ends the look."""
    assert is_plain_tree([make()]) is is_one


def test_what_a_frame_still_holds_is_no_part_of_a_tree() -> None:
    """Nor is what a tree holds twice."""
    inner = [1]
    assert not is_plain_tree([[{"a": inner}]])
    assert not is_plain_tree([inner])
    both: list[Any] = [[2]]
    both.append(both[0])
    holder = [both]
    del both
    assert not is_plain_tree(holder)


@pytest.mark.parametrize("make", [lambda: [{"a": [1, {"b": 2**70}]}, ["\ud800"]], lambda: [[]]])
def test_a_plain_tree_arrives_as_it_was(pair: Any, make: Any) -> None:
    """Also with what a plain payload cannot hold, which goes the general way."""
    arrived = pair.back(make())
    assert arrived == make()
    assert not pair.server.table
