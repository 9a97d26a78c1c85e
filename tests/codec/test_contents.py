"""What containers hold, what has changed in them, and how that is applied."""

from __future__ import annotations

import array
import collections
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.codec.contents import BY_PATH, MUTABLE, kind_of

_SMALL = st.integers(0, 6)


@given(st.lists(_SMALL, max_size=8), st.lists(_SMALL, max_size=8))
def test_a_change_of_a_list_makes_the_next_content(before: list[int], now: list[int]) -> None:
    """Whatever the two are; and it holds no more than what differs."""
    kind = MUTABLE[list]
    change = kind.change(before, now)
    assert change is not None
    assert kind.changed(before, change) == now
    start, stop, items = change
    assert start + len(items) <= len(now) and stop <= len(before)
    if before == now:
        assert start == stop and not items


@given(st.dictionaries(_SMALL, _SMALL), st.dictionaries(_SMALL, _SMALL), st.booleans())
def test_a_change_of_a_dict_makes_the_next_content(
    before: dict[int, int], now: dict[int, int], is_extended: bool
) -> None:
    """In the same order; where that has changed, only the whole content does."""
    now = {**before, **now} if is_extended else now
    kind = MUTABLE[dict]
    change = kind.change(before, now)
    assert not is_extended or change is not None
    if change is not None:
        assert list(kind.changed(before, change).items()) == list(now.items())
        assert all(before.get(key) is not now[key] for key in change[1])


@given(st.sets(_SMALL), st.sets(_SMALL))
def test_a_change_of_a_set_makes_the_next_content(before: set[int], now: set[int]) -> None:
    """What went, and what came."""
    kind = MUTABLE[set]
    change = kind.change(before, now)
    assert change is not None
    assert kind.changed(before, change) == now
    assert set(change[0]) == before - now and set(change[1]) == now - before


CONTAINERS = [
    [1, [2]],
    {"a": [1]},
    {1, 2},
    bytearray(b"ab"),
    collections.deque([1, 2], 3),
    array.array("d", [float("nan"), 1.0]),
    collections.OrderedDict(a=1, b=2),
    collections.defaultdict(list, a=1),
    collections.Counter("aab"),
]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda each: type(each).__name__)
def test_a_content_is_a_copy_that_knows_its_container(container: Any) -> None:
    """The same until anything changes; and it fills another container, a subclass's too."""
    kind = kind_of(type(container))
    assert kind is not None and kind.builtin is type(container)
    content = kind.copy(container)
    assert kind.fits(content) and kind.is_same(content, container) and content is not container
    derived = type("Derived", (type(container),), {"__iter__": None, "__len__": None})
    made = kind.blank(derived, content)
    kind.fill(made, content)
    assert kind_of(derived) is kind and kind.is_same(content, made)
    assert kind.is_same(kind.copy(made), container)
    clear = getattr(container, "clear", None)
    clear() if clear else container.pop()
    assert not kind.is_same(content, container)


def test_an_ordered_dict_is_told_by_its_own_order() -> None:
    """`move_to_end` changes no entry of the dict below."""
    ordered = collections.OrderedDict(a=1, b=2)
    kind = MUTABLE[collections.OrderedDict]
    content = kind.copy(ordered)
    ordered.move_to_end("a")
    assert not kind.is_same(content, ordered)
    assert list(kind.copy(ordered)) == ["b", "a"]
    assert kind.change(content, kind.copy(ordered)) is None


def test_elements_are_compared_by_identity() -> None:
    """No `__eq__` runs, and 1 is not True."""

    class Fails:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = object.__hash__

    kind = MUTABLE[list]
    assert not kind.is_same([1], [True])
    one, other = Fails(), Fails()
    assert kind.is_same([one], [one]) and not kind.is_same([one], [other])
    assert kind.change([one], [other]) == (0, 1, [other])
    assert not MUTABLE[dict].is_same({1: one}, {True: one})


def test_the_writes_of_a_change_make_the_next_content() -> None:
    """As methods of the container, which is elsewhere."""
    for before, now in (
        ([1, 2, 3], [1, 9, 3]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2}, {2, 3}),
        (bytearray(b"ab"), bytearray(b"xyz")),
        (collections.deque([1], 3), collections.deque([2, 1], 3)),
        (array.array("i", [1]), array.array("i", [2, 3])),
    ):
        kind = kind_of(type(before))
        assert kind is not None
        for name, args in kind.writes(kind.copy(before), now):
            getattr(before, name)(*args)
        assert before == now
        assert not isinstance(now, dict) or list(before) == list(now)


def test_other_classes_have_no_content() -> None:
    """And paths name the builtins."""
    assert kind_of(tuple) is None and kind_of(object) is None
    assert BY_PATH["builtins:list"].builtin is list
    assert BY_PATH["collections:deque"].builtin is collections.deque
