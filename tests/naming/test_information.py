"""What a name server says of a server is checked field by field."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from wsremote.naming.information import ServerInfo, ServerLoad

WIRE: dict[str, Any] = {
    "name": "risk",
    "id": "ab" * 16,
    "urls": ["ws://a:1", "wss://b:2"],
    "state": "suspect",
    "version": "1.2",
    "wsremote": "0.1",
    "python": "3.11.2",
    "packages": {"pandas": "3.1", "json": ""},
    "tree": "c0ffee",
    "tags": ["gpu"],
    "zone": "eu",
    "capacity": 64,
    "load": {"sessions": 3, "running": 1, "cpu": 0.25, "memory": 1024},
    "age": 60.0,
    "heard": 2,
    "revision": 9,
}


def test_all_fields_arrive_and_go_on() -> None:
    """As plain data, which JSON can write; what is remembered is read the same way."""
    server = ServerInfo.from_wire({**WIRE, "of a later version": 1})
    assert server.urls == ("ws://a:1", "wss://b:2")
    assert server.load == ServerLoad(3, 1, 0.25, 1024)
    assert server.heard == 2.0
    assert server.to_wire() == WIRE
    assert ServerInfo.from_wire(json.loads(json.dumps(server.to_wire()))) == server


def test_three_fields_are_enough() -> None:
    """An entry of a list says where a server is, and nothing else."""
    server = ServerInfo.from_wire({"name": "risk", "id": "pinned", "urls": ("ws://a:1",)})
    assert (server.state, server.load, server.heard) == ("ready", None, None)
    assert ServerInfo.from_wire(server.to_wire()) == server


@pytest.mark.parametrize("value", [None, [], "risk", 7, [WIRE]])
def test_what_is_no_record(value: object) -> None:
    """The text says what it is."""
    with pytest.raises(ValueError, match="not a dict"):
        ServerInfo.from_wire(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", bad) for bad in (None, 7, "", "a b", "\x1b[2J", "x" * 101, ["risk"])],
        *[("id", bad) for bad in (None, 7, "x" * 300, "\x1b[2J")],
        *[("urls", bad) for bad in (None, [], "ws://a:1", [7], ["ftp://a"], ["ws://a:1"] * 9)],
        ("urls", ["ws://user:secret@a:1"]),
        ("urls", ["ws://a:1/" + "x" * 5000]),
        *[("state", bad) for bad in ("", "dead", None, ["ready"], 7)],
        *[("version", bad) for bad in (None, 1.2, "\x1b]0;owned\x07", "1\n2", "x" * 300)],
        *[("packages", bad) for bad in ([], {"a": 1}, {1: "a"}, {"a\n": ""})],
        ("packages", {str(number): "" for number in range(2000)}),
        *[("tags", bad) for bad in ("gpu", [1], ["x"] * 100, {"gpu": 1})],
        *[("capacity", bad) for bad in (-1, 1.5, True, "64", 2**40)],
        *[("load", bad) for bad in ([], {}, {**WIRE["load"], "cpu": 1.5}, {"sessions": 1})],
        ("load", {**WIRE["load"], "cpu": math.nan}),
        *[("age", bad) for bad in (-1, math.inf, math.nan, "1", None, True)],
        *[("revision", bad) for bad in (-1, "1", None)],
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    """Whatever is in it; no secret of a URL is repeated."""
    with pytest.raises(ValueError, match=f"^{field}: ") as caught:
        ServerInfo.from_wire({**WIRE, field: value})
    assert "secret@" not in str(caught.value)
    assert str(caught.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(WIRE)), JSON), st.booleans())
def test_whatever_comes_is_read_or_refused(changed: dict[str, Any], is_whole: bool) -> None:
    """No other error; and what is read is read again the same."""
    try:
        server = ServerInfo.from_wire({**(WIRE if is_whole else {}), **changed})
    except ValueError:
        return
    assert ServerInfo.from_wire(json.loads(json.dumps(server.to_wire()))) == server


def test_what_counts_as_a_change() -> None:
    """Not the load, nor the time."""
    server = ServerInfo.from_wire(WIRE)
    later = {**WIRE, "load": None, "age": 65.0, "heard": 0.0, "revision": 10}
    assert server.is_like(ServerInfo.from_wire(later))
    assert not server.is_like(ServerInfo.from_wire({**WIRE, "state": "draining"}))
