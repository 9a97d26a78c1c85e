"""Copies of containers that the server owns."""

from __future__ import annotations

import array
import collections
import copy
import gc
import json
import pickle
from typing import Any

import pytest

from wsremote.errors import ReadOnlyCopy, StaleHandle


@pytest.mark.parametrize(
    "content",
    [[3, 1], {"a": 1}, {1, 2}, bytearray(b"ab"), collections.deque([1], 3), array.array("i", [1])],
)
def test_a_copy_works_as_the_builtin_and_refuses_writes(caller: Any, content: Any) -> None:
    """It is an instance, equal, and copies of it are the builtin itself."""
    made = caller.shallow.copy_of(content, 5)
    assert isinstance(made, type(content))
    assert made == content
    assert repr(made) == repr(content)
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(again) is type(content)
        assert again == content
    write = made.clear if hasattr(made, "clear") else made.reverse
    with pytest.raises(ReadOnlyCopy, match="take a copy of your own"):
        write()
    with pytest.raises(ReadOnlyCopy):
        if isinstance(made, set | dict):
            made |= made
        else:
            made += made
    assert made == content


def test_what_is_made_of_a_copy_is_free(caller: Any) -> None:
    """Operators and slices give the builtin, which can be written."""
    numbers = caller.shallow.copy_of({1, 2}, 5)
    for made in (numbers | {3}, {3} | numbers, numbers - {1}, numbers.copy(), numbers.union([4])):
        assert type(made) is set
        made.add(9)
    queue = caller.shallow.copy_of(collections.deque([1]), 6)
    assert type(queue + queue) is type(queue * 2) is type(queue.copy()) is collections.deque
    items = caller.shallow.copy_of([1, 2], 7)
    assert type(items[:]) is type(items * 2) is type(items.copy()) is list
    assert type(caller.shallow.copy_of(array.array("i", [1]), 8)[:]) is array.array


def test_c_code_reads_it(caller: Any) -> None:
    """What takes a list or dict takes the copy."""
    made = caller.shallow.copy_of({"a": [1]}, 5)
    assert json.dumps(made) == '{"a": [1]}'
    assert [0, *caller.shallow.copy_of([1], 6)] == [0, 1]
    assert sorted(caller.shallow.copy_of([2, 1], 7)) == [1, 2]
    assert {**made} == {"a": [1]}


def test_received_again_it_is_the_same_and_shows_what_is_there_now(caller: Any) -> None:
    """One server container is one object here."""
    shallow = caller.shallow
    made = shallow.copy_of([1], 5)
    assert shallow.copy_of([1, 2], 5) is made
    assert made == [1, 2]
    for first, second in [({"a": 1}, {"b": 2}), ({1}, {2}), (bytearray(b"a"), bytearray(b"bc"))]:
        held = shallow.copy_of(first, 6)
        assert shallow.copy_of(second, 6) is held
        assert held == second
        del held
    queue = shallow.copy_of(collections.deque([1]), 7)
    assert shallow.copy_of(collections.deque([2]), 7) is queue
    assert list(queue) == [2]
    numbers = shallow.copy_of(array.array("i", [1]), 8)
    assert shallow.copy_of(array.array("i", [2, 3]), 8) is numbers
    assert numbers.tolist() == [2, 3]


def test_it_is_a_handle_of_its_session(caller: Any, other: Any) -> None:
    """Sent to the server it is the server's own, and it is released when it is gone."""
    shallow = caller.shallow
    made = shallow.copy_of([1], 5)
    assert shallow.handle_of(made) == 5
    with pytest.raises(StaleHandle, match="belongs to session s1"):
        other.shallow.handle_of(made)
    del made
    gc.collect()
    assert caller.released == [(5, 1)]


def test_what_cannot_be_refused_is_given_as_it_is(caller: Any) -> None:
    """Its handle goes back at once."""
    content = memoryview(b"ab")
    assert caller.shallow.copy_of(content, 5) is content
    assert caller.released == [(5, 1)]
