"""References inside one message: shared, cyclic and deep values."""

from __future__ import annotations

import collections
import sys
from typing import Any

import msgpack
import pytest

from wsremote.errors import EncodeError


def test_a_container_met_twice_is_one_object(pair: Any) -> None:
    """All kinds of mutable containers, through lists, tuples and dict values."""
    for shared in ([1], {1: 2}, {1}, bytearray(b"x"), collections.deque([1], 3)):
        first, (second, third) = pair.there([shared, (shared, {"k": shared})])
        assert type(first) is type(shared)
        assert first == shared
        assert first is second is third["k"]


def test_sharing_across_arguments(pair: Any) -> None:
    """The arguments of a call are one message."""
    row: list[int] = []
    arguments = pair.server_codec.decode_call(*pair.client_codec.encode_call((row,), {"b": row}))
    assert arguments.args[0] is arguments.kwargs["b"]


def test_equal_containers_stay_apart(pair: Any) -> None:
    """Only identity makes one object of two."""
    first, second = pair.there([[1], [1]])
    assert first == second
    assert first is not second


def test_cycles(pair: Any) -> None:
    """A container may hold itself, directly, through a tuple, and in a dict."""
    value: list[Any] = [1]
    value.append(value)
    value.append({"self": (value, value)})
    arrived = pair.there(value)
    assert arrived[0] == 1
    assert arrived[1] is arrived
    assert arrived[2]["self"] == (arrived, arrived)
    ring = collections.deque(maxlen=5)
    ring.append(ring)
    assert pair.there(ring)[0].maxlen == 5


def test_tuples_of_one_object_stay_one(pair: Any) -> None:
    """A tuple that nests itself in pairs 60 times is small: not 2**60 values."""
    value: Any = (frozenset([(1, "x")]),)
    for _ in range(60):
        value = (value, value)
    arrived = pair.there(value)
    assert arrived[0] is arrived[1]


@pytest.mark.parametrize("kind", ["list", "dict", "both"])
def test_depth_of_lists_and_dicts(pair: Any, kind: str) -> None:
    """10,000 levels arrive."""
    value: Any = "bottom"
    for level in range(10_000):
        value = [value] if kind == "list" or (kind == "both" and level % 2) else {"k": value}
    arrived = pair.there(value)
    for _ in range(10_000):
        assert len(arrived) == 1
        arrived = arrived[0] if type(arrived) is list else arrived["k"]
    assert arrived == "bottom"


@pytest.mark.parametrize("levels", [90, 99])
def test_depth_of_tuples(pair: Any, levels: int) -> None:
    """Tuples nest as deep as a payload may."""
    value: Any = ()
    for _ in range(levels):
        value = (value, [1])
    assert pair.there(value) == value


def test_too_deep_tuples(pair: Any) -> None:
    """A clear error at the sender, also where Python's own limit is out of the way."""
    value: Any = ([],)
    for _ in range(10_000):
        value = (value,)
    limit = sys.getrecursionlimit()
    try:
        for raised in (limit, 1_000_000):
            sys.setrecursionlimit(raised)
            with pytest.raises(EncodeError, match="levels deep in tuples"):
                pair.client_codec.encode_call((value,), {})
    finally:
        sys.setrecursionlimit(limit)


def test_the_caller_is_deep_in_recursion_itself(pair: Any) -> None:
    """Near Python's limit a call may fail, but with an error of ours or Python's own."""

    def dive(levels: int) -> Any:
        return dive(levels - 1) if levels else pair.there([[[[[1]]]], (2, [3])])

    for levels in range(850, 1000, 3):
        try:
            assert dive(levels) == [[[[[1]]]], (2, [3])]
        except (RecursionError, EncodeError):
            continue


def test_shared_values_in_a_result(pair: Any) -> None:
    """A fresh result with rows of one object: still fresh, still one object."""
    arrived = pair.back([[0] * 3] * 3)
    assert type(arrived) is list
    assert arrived[0] is arrived[1] is arrived[2]


def test_a_tree_of_plain_values_is_plain_msgpack(pair: Any) -> None:
    """Readable by anyone, and decoded without a step of ours."""
    value = {"a": [1, 2.5, None, {"b": b"x"}], 3: True}
    payload = pair.server_codec.encode(value).payload
    assert payload == msgpack.packb(value)
