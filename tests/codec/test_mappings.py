"""The mappings of the standard library: exact types, factories, what is shared and written back."""

from __future__ import annotations

import collections
import types
from typing import Any

import msgpack
import pytest

from wsremote.codec import tags
from wsremote.codec.mappings import DICTS, replace
from wsremote.errors import DecodeError

MAPPINGS = [
    collections.OrderedDict([("b", 1), ("a", [2])]),
    collections.Counter({"a": -3, 5: 0}),
    collections.defaultdict(list, {"a": [1], None: []}),
    collections.defaultdict(None, a=1),
    collections.ChainMap({"a": 1}, collections.OrderedDict(a=2, b=3)),
    types.MappingProxyType({1: "one"}),
]


@pytest.mark.parametrize("value", MAPPINGS, ids=lambda value: type(value).__name__)
def test_arguments_arrive_as_what_they_are(pair: Any, value: Any) -> None:
    """Type, order, content, factory."""
    there = pair.there(value)
    assert type(there) is type(value)
    assert list(there.items()) == list(value.items())
    if type(value) is collections.defaultdict:
        assert there.default_factory is value.default_factory
    if type(value) is collections.ChainMap:
        assert [type(each) for each in there.maps] == [dict, collections.OrderedDict]


@pytest.mark.parametrize("kind", sorted(DICTS - {dict}, key=lambda kind: kind.__name__))
def test_fresh_results_are_values(pair: Any, kind: Any) -> None:
    """And what is in them is as well."""
    made = kind()
    made["a"] = [1]
    held = [made]
    del made
    back = pair.back(held.pop())
    assert type(back) is kind
    assert type(back["a"]) is list


@pytest.mark.parametrize("value", MAPPINGS[4:], ids=lambda value: type(value).__name__)
def test_what_shows_other_mappings_stays_as_a_result(pair: Any, value: Any) -> None:
    """A copy would not show what changes in them."""
    assert pair.back(value).cls is type(value)


def test_a_mapping_met_twice_is_one(pair: Any) -> None:
    """Also a view and the mapping that it shows."""
    made = collections.OrderedDict(a=1)
    first, second, view = pair.there([made, made, types.MappingProxyType(made)])
    assert first is second
    first["b"] = 2
    assert view["b"] == 2


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
@pytest.mark.parametrize("name", ["keys", "values", "items"])
def test_views_of_dicts_are_views(pair: Any, kind: Any, name: str) -> None:
    """C code knows them by their types; a view shows the dict that came with it."""
    own = kind(a=1, b=2)
    view = getattr(own, name)()
    there, shown = pair.there([view, own])
    assert type(there) is type(view)
    assert list(there) == list(view)
    shown["c"] = 3
    assert len(there) == 3
    assert pair.back(view).cls is type(view)


@pytest.mark.parametrize("kind", sorted(DICTS, key=lambda kind: kind.__name__))
def test_changes_are_written_back(pair: Any, kind: Any) -> None:
    """Keys that came, went, moved and changed; nothing is added up."""
    own = kind()
    own.update(a=1, b=2)

    def change(mapping: Any) -> None:
        del mapping["a"]
        mapping["c"] = 3
        mapping["a"] = 4

    pair.call(change, own)
    assert list(own.items()) == [("b", 2), ("c", 3), ("a", 4)]
    assert type(own) is kind


def test_a_chain_is_written_through(pair: Any) -> None:
    """Its mappings are, which are the caller's own."""
    first: dict[str, int] = {}
    chain = collections.ChainMap(first, {"b": 2})
    pair.call(lambda mapping: mapping.update(a=1), chain)
    assert (first, chain.maps[0]) == ({"a": 1}, first)


def test_replacing_keeps_the_order_that_an_ordered_dict_has() -> None:
    """`dict.update` would leave its own list of keys behind."""
    ordered = collections.OrderedDict(a=1)
    replace(ordered, {"c": 1, "b": 2})
    ordered.move_to_end("c")
    assert list(ordered) == ["b", "c"]


@pytest.mark.parametrize(
    "body",
    [
        [tags.ORDERED_DICT, "key without value"],
        [tags.DEFAULT_DICT, 5, "a", 1],
        [tags.DEFAULT_DICT],
        [tags.MAPPING_PROXY, 5],
        [tags.COUNTER, [], 1],
        [tags.VIEW, 3, {}],
        [tags.VIEW, 0, [1]],
        [tags.VIEW, [], {}],
        [tags.MODULE, "os"],
        [tags.MODULE, 5],
    ],
)
def test_malformed_payloads_are_refused(pair: Any, body: list[Any]) -> None:
    """Whatever the other side sends."""
    payload = b"\xc1" + msgpack.packb({None: body})
    with pytest.raises(DecodeError):
        pair.client_codec.decode(payload)
