"""What a call does to its container arguments is done to the caller's own objects."""

from __future__ import annotations

import array
import collections
import heapq
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.codec.markers import inout
from wsremote.codec.writeback import WRITE_BACK_LIMIT, Snapshot, apply_changes, containers_of
from wsremote.errors import DecodeError

KEPT: list[int] = [1]


def test_shuffle_and_heappush(pair: Any) -> None:
    """The two that everybody tries first."""
    deck = list(range(50))
    assert pair.call(random.shuffle, deck) is None
    assert deck != list(range(50))
    assert sorted(deck) == list(range(50))
    heap = [5, 1]
    heapq.heapify(heap)
    pair.call(heapq.heappush, heap, 0)
    assert heap[0] == 0


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1, 2], lambda x: x.append(3)),
        ([1, 2], lambda x: x.clear()),
        ([1], lambda x: x.__setitem__(0, True)),
        ([0.0], lambda x: x.__setitem__(0, -0.0)),
        ({"a": 1}, lambda x: x.update(b=2)),
        ({"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a"))),
        ({1: "x"}, lambda x: (x.clear(), x.update({True: "x"}))),
        ({"x": 1}, lambda x: x.update(x=True)),
        ({1, 2}, lambda x: x.add(3)),
        (bytearray(b"ab"), lambda x: x.extend(b"c")),
        (collections.deque([1, 2], 2), lambda x: x.append(3)),
        (array.array("i", [1, 2]), lambda x: x.append(3)),
    ],
)
def test_each_kind_is_changed_in_place(pair: Any, value: Any, change: Any) -> None:
    """The very object is changed, to what it would be at home: types and order included."""
    expected = value.copy() if hasattr(value, "copy") else array.array("i", value)
    change(expected)
    assert repr(expected) != repr(value)
    pair.call(change, value)
    assert type(value) is type(expected)
    assert repr(value) == repr(expected)


def test_nested_containers_keep_their_identity(pair: Any) -> None:
    """Inner containers are changed in place too, wherever they move; new ones are new."""
    inner, other = [1], {"k": [2]}
    value = [inner, (other,), 3]

    def change(x: Any) -> None:
        x[0].append(9)
        x[1][0]["k"].append(x[0])
        x.reverse()
        x.append([x])

    pair.call(change, value)
    assert inner == [1, 9]
    assert value[0] == 3
    assert value[1][0] is other
    assert other["k"] == [2, inner]
    assert other["k"][1] is inner
    assert value[2] is inner
    assert value[3][0] is value


def test_shared_new_containers(pair: Any) -> None:
    """One new object put into two arguments is one object at the caller."""
    first: list[Any] = []
    second: dict[str, Any] = {}

    def change(a: Any, b: Any) -> None:
        new = [1]
        a.append(new)
        b["x"] = new

    pair.call(change, first, b=second)
    assert first[0] is second["x"]


def test_what_the_server_keeps_stays_owned(pair: Any) -> None:
    """A module's list put into an argument arrives as the server's, not as a copy."""
    mine: list[Any] = []
    pair.call(lambda xs: xs.extend([KEPT, [2]]), mine)
    assert mine[0].content == [1]
    assert mine[1] == [2]


def test_changes_of_a_call_that_raises(pair: Any) -> None:
    """What was done before the exception is done."""
    mine = [1]

    def change(xs: Any) -> None:
        xs.append(2)
        raise KeyError("x")

    with pytest.raises(KeyError):
        pair.call(change, mine)
    assert mine == [1, 2]


def test_unchanged_containers_send_nothing(pair: Any) -> None:
    """Also where an element's `__eq__` would lie, or raise."""

    class Liar:
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            raise AssertionError("nothing is compared by value")

    containers = [[Liar(), 1], {Liar(): Liar()}, {Liar()}]
    snapshot = Snapshot(containers)
    assert snapshot.changes(pair.server_codec) is None


def test_containers_of_the_server_are_no_copies(pair: Any) -> None:
    """A proxy that comes home is the server's own list: not one of the caller's containers."""
    proxy = pair.back([KEPT])[0]
    mine: list[Any] = [0]

    def change(theirs: Any, xs: Any) -> None:
        assert theirs is KEPT
        theirs.append(2)
        xs.append(3)

    try:
        pair.call(change, proxy, mine)
        assert mine == [0, 3]
        assert KEPT == [1, 2]
    finally:
        KEPT[:] = [1]


def test_large_arguments_are_left_alone(pair: Any) -> None:
    """Above the limit nothing comes back, and the caller hears of it; `inout` asks for it."""
    large = list(range(WRITE_BACK_LIMIT + 1))
    small = [1]
    told: list[str] = []
    assert containers_of((large, small), {"x": [large]}, too_large=told.append) == [small]
    assert told == ["argument 1", "argument 'x'"]

    def change(a: Any, b: Any) -> None:
        a.append(1)
        b.append(2)

    pair.call(change, large, small)
    assert len(large) == WRITE_BACK_LIMIT + 1
    assert small == [1, 2]
    pair.call(change, inout(large), small)
    assert len(large) == WRITE_BACK_LIMIT + 2


def test_the_limit_counts_all_levels(pair: Any) -> None:
    """Exactly the limit is written back."""
    rows = [[0] * 99 for _ in range(WRITE_BACK_LIMIT // 100)]
    pair.call(lambda x: x[-1].append(7), rows)
    assert rows[-1][-1] == 7
    rows[0].append(0)
    pair.call(lambda x: x[-1].append(8), rows)
    assert rows[-1][-1] == 7


def test_arrays_are_filled_in_place_with_inout(pair: Any) -> None:
    """Without it an array is a copy, as documented."""
    mine = np.zeros((2, 3), order="F")
    view = mine[0]

    def fill(a: Any) -> None:
        a[...] = 7

    pair.call(fill, mine)
    assert not mine.any()
    pair.call(fill, inout(mine))
    assert (view == 7).all()


@given(st.recursive(st.integers(0, 3), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_both_sides_list_the_same_containers(new_pair: Any, value: Any) -> None:
    """In the same order, whatever the shape."""
    pair = new_pair()
    shared = [value]
    args, kwargs = (shared, value, inout([shared])), {"k": (value, shared)}
    here = containers_of(args, kwargs)
    there = containers_of(
        *pair.server_codec.decode_call(*pair.client_codec.encode_call(args, kwargs))
    )
    assert [type(each) for each in here] == [type(each) for each in there]
    assert [len(each) for each in here] == [len(each) for each in there]


@pytest.mark.parametrize(
    "document",
    [1, [1], [[0]], [[5, []]], [[-1, []]], [[True, []]], [[0, {}]], [[0, [2]], [1, [3]]]],
)
def test_changes_that_do_not_fit(pair: Any, document: Any) -> None:
    """Nothing is changed by a document that is wrong in any place."""
    mine: list[Any] = [[1], {}]
    with pytest.raises(DecodeError):
        apply_changes(mine, pair.server_codec.encode(document).payload, pair.client_codec)
    assert mine == [[1], {}]
