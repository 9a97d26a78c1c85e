"""What comes from the wire, field by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import IDLE, entry, number_of, pin, record

from nameserver.records import MOST_RECORD, Change, Load, Record, check_name
from wsremote.naming.information import ServerInfo

GOOD = record().to_wire()
LOAD = {"sessions": 1, "running": 2, "cpu": 0.5, "memory": 3}


def test_a_record_survives_the_wire() -> None:
    """Through JSON too, which has no tuples."""
    said = record(tags=("a", "b"), zone="eu", packages={"numpy": "2.1", "x": ""})
    assert Record.from_wire(json.loads(json.dumps(said.to_wire()))) == said


def test_unknown_fields_are_left_out() -> None:
    """A newer server says more."""
    assert Record.from_wire({**GOOD, "colour": "blue"}) == record()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("name", "", "no name of a service"),
        ("name", "-risk", "the first a letter or a digit"),
        ("name", "ri sk", "no name"),
        ("name", "risk\n", "no name"),
        ("name", "ï", "no name"),
        ("name", "x" * 101, "no name"),
        ("name", None, "None is no name"),
        ("name", ["risk"], "list is no name"),
        ("id", "1" * 31, "32 hexadecimal digits"),
        ("id", "A" * 32, "32 hexadecimal digits"),
        ("id", 5, "a text is expected, not 5"),
        ("id", "0" * 32, "ids of pinned entries"),
        ("urls", [], "one is needed"),
        ("urls", "ws://a:1", "a list is expected"),
        ("urls", [f"ws://a:{port}" for port in range(1, 10)], "9 of them, 8 are the most"),
        ("urls", [b"ws://a:1"], r"urls\[0\]: a text is expected"),
        ("urls", ["ws://a:1", "http://a:1"], r"urls\[1\]: 'http://a:1' is not ws://"),
        ("urls", ["ws://a:1/?token=x"], "holds a secret"),
        ("urls", ["ws://me:pw@a:1"], "holds a secret"),
        ("urls", ["ws://a:99999"], "not a server's URL"),
        ("urls", ["ws://a b:1"], "is not ws://HOST:PORT"),
        ("urls", ["ws://a<script>:1"], "is not ws://HOST"),
        ("urls", ["ws://a:1/');import os"], "is not ws://HOST"),
        ("urls", ["ws://a:1/$(reboot)"], "is not ws://HOST"),
        ("urls", ["ws://0.0.0.0:9090"], "leads to none.*--advertise"),
        ("urls", ["ws://[::]:9090"], "leads to none"),
        ("urls", ["ws://" + "a" * 300], "300|305 characters"),
        ("version", 1.2, "a text is expected, not 1.2"),
        ("version", "1" * 201, "201 characters, 200 are the most"),
        ("version", "1\x1b[31m", "cannot be printed"),
        ("zone", "\ud800", "cannot be printed"),
        ("zone", "a\u2028b", "cannot be printed"),
        ("python", None, "python: a text is expected, not None"),
        ("wsremote", {}, "wsremote: a text is expected, not a dict"),
        ("tree", b"x", "tree: a text"),
        ("packages", [], "packages: a dict is expected, not a list"),
        ("packages", {"a": 1}, r"packages\['a'\]: a text is expected, not 1"),
        ("packages", {1: "a"}, "packages: a text is expected, not 1"),
        ("packages", {str(n): "" for n in range(501)}, "501 of them"),
        ("tags", {"a": 1}, "tags: a list is expected"),
        ("tags", ["x"] * 33, "33 of them"),
        ("tags", ["a", None], r"tags\[1\]: a text"),
        ("capacity", 0, "capacity: 0 is not a whole number from 1"),
        ("capacity", -1, "capacity: -1"),
        ("capacity", True, "capacity: True"),
        ("capacity", 2.0, "capacity: 2.0"),
        ("capacity", 2**31 + 1, "capacity: 2147483649 is not a whole number from 1 to 2147483648"),
        ("capacity", 2**64, "capacity"),
        ("urls", ["ws://a/" + "\N{SNOWMAN}" * 180], r"urls\[0\]: \d+ characters, 200 are the most"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, text: str) -> None:
    """With what is wrong; what was sent is shown in part only."""
    with pytest.raises(ValueError, match=f"^{field}.*{text}|^{text}") as caught:
        Record.from_wire({**GOOD, field: value})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("field", list(GOOD))
def test_a_missing_field_is_named(field: str) -> None:
    """None is guessed."""
    with pytest.raises(ValueError, match=field):
        Record.from_wire({key: value for key, value in GOOD.items() if key != field})


@pytest.mark.parametrize("value", [None, 5, "risk", [GOOD], b""])
def test_a_record_is_a_dict(value: object) -> None:
    """Nothing else is looked into."""
    with pytest.raises(ValueError, match="record: a dict is expected"):
        Record.from_wire(value)


def test_only_plain_containers_are_read() -> None:
    """A dict of the client's, which calls back when it is read, would hold up the name server."""

    class Dict(dict):  # type: ignore[type-arg]
        pass

    class Text(str):
        pass

    for wrong in (Dict(GOOD), {**GOOD, "zone": Text("eu")}, {**GOOD, "packages": Dict()}):
        with pytest.raises(ValueError, match="expected"):
            Record.from_wire(wrong)


def test_a_record_has_a_size() -> None:
    """Each text may be long, and not all of them."""
    large = {f"{n:0>150}": "1" * 20 for n in range(100)}
    with pytest.raises(ValueError, match="17185 bytes of text, 16384 are the most"):
        Record.from_wire({**GOOD, "packages": large, "zone": "é" * 75, "version": ""})


def test_urls_are_in_normal_form() -> None:
    """Two of the same place are equal, or a restarted server would not be known again."""
    said = Record.from_wire({**GOOD, "urls": ["WS://Host:9090/", "ws://host", "wss://a:1/x"]})
    assert said.urls == ("ws://host:9090", "wss://a:1/x")


def test_ids_of_pinned_entries_are_for_these_alone() -> None:
    """A server that took one would stand in the place of the entry."""
    pinned = pin()
    with pytest.raises(ValueError, match="pinned"):
        Record.from_wire(pinned.to_wire())
    assert Record.from_wire(pinned.to_wire(), pinned=True) == pinned
    with pytest.raises(ValueError, match="pinned"):
        Record.from_wire(GOOD, pinned=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    ),
    st.sampled_from(list(GOOD)),
)
def test_whatever_comes_is_a_record_or_a_value_error(value: Any, field: str) -> None:
    """Nothing else is raised, and what is accepted can be written and shown."""
    try:
        said = Record.from_wire({**copy.deepcopy(GOOD), field: value})
    except ValueError as error:
        str(error).encode()
    else:
        assert Record.from_wire(json.loads(json.dumps(said.to_wire()))) == said
        assert all(text.isprintable() for text in (said.name, said.version, said.zone, *said.tags))


@pytest.mark.parametrize("name", ["a", "7", "risk", "Risk-2.eu_west", "x" * 100])
def test_names(name: str) -> None:
    """What `connect` and URLs can hold without quoting."""
    assert check_name(name) == name


# ---- loads -----------------------------------------------------------------------------


def test_a_load_survives_the_wire() -> None:
    """A share of the CPU may be a whole number."""
    assert Load.from_wire(LOAD).to_wire() == LOAD
    assert Load.from_wire({**LOAD, "cpu": 1}).cpu == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sessions", -1),
        ("sessions", 1.0),
        ("running", None),
        ("memory", "1"),
        ("memory", 1 << 70),
        ("sessions", 2**31 + 1),
        ("running", 2**31 + 1),
        ("cpu", float("nan")),
        ("cpu", float("inf")),
        ("cpu", 1.5),
        ("cpu", -0.1),
        ("cpu", "0.5"),
        ("cpu", True),
        ("cpu", 10**400),
    ],
)
def test_a_wrong_load_is_named(field: str, value: object) -> None:
    """One that were not a number would win every comparison."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        Load.from_wire({**LOAD, field: value})


# ---- what clients see ------------------------------------------------------------------


def test_clients_see_no_owner() -> None:
    """Nor a fence, with which somebody else's lease could be renewed."""
    seen = entry(state="ready", owner="key-of-me", fence=777, revision=778).to_wire(20.0)
    assert seen == {
        **record().to_wire(),
        "state": "ready",
        "revision": 778,
        "load": None,
        "age": 20.0,
        "heard": 20.0,
    }


def test_ages_are_never_negative() -> None:
    """The clock was set back."""
    seen = entry(registered_at=100.0, renewed_at=110.0, load=IDLE).to_wire(50.0)
    assert (seen["age"], seen["heard"], seen["load"]) == (0.0, 0.0, IDLE.to_wire())


def test_nothing_is_heard_of_a_pinned_entry() -> None:
    """Its age is known."""
    seen = entry(record=pin(), state="pinned", expires_at=None).to_wire(30.0)
    assert (seen["age"], seen["heard"]) == (30.0, None)


LONG = "x" * 200
EXTREMES: dict[str, Any] = {
    "name": ["0", "x" * 100, "Risk-2.eu_west"],
    "id": ["0" * 7 + "1" + "f" * 24, "f" * 32],
    "urls": [
        [f"wss://h{number}:65535/{'x' * 180}" for number in range(8)],
        ["ws://[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1/"],
        ["WS://BÜCHER.example/%7e/~", "ws://a./\N{SNOWMAN}", "ws://" + "a." * 90 + "b"],
    ],
    "version": ["", LONG, "\N{SNOWMAN}" * 200, "<b>'\"&"],
    "wsremote": ["", LONG],
    "python": ["", LONG],
    "packages": [
        {},
        {f"p{number}": "" for number in range(500)},
        {f"{number:02}{'x' * 198}": LONG for number in range(40)},
        {"": LONG},
    ],
    "tree": ["", LONG],
    "tags": [[], [f"{number:02}{'x' * 198}" for number in range(32)], [""]],
    "zone": ["", LONG],
    "capacity": [1, 2**31],
}


def read_by_a_client(said: Record, **fields: Any) -> None:
    """What the name server says of a server, through what a client lets pass."""
    wire = entry(record=said, **fields).to_wire(1e10)
    info = ServerInfo.from_wire(wire)
    assert info.to_wire() == wire


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in GOOD for value in EXTREMES[field]]
)
def test_what_is_accepted_is_seen_by_clients(field: str, value: Any) -> None:
    """At the bounds of each field: a record that clients leave out is a server that is not there.

    Nor may it be another one when it is read again, from Redis.
    """
    said = Record.from_wire({**GOOD, field: value})
    assert said.size <= MOST_RECORD
    assert Record.from_wire(json.loads(json.dumps(said.to_wire()))) == said
    read_by_a_client(said)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sessions", 2**31), ("running", 2**31), ("cpu", 1), ("cpu", 0), ("memory", 2**53)],
)
def test_loads_that_are_accepted_are_seen_by_clients(field: str, value: Any) -> None:
    """The same; one that is refused would take its whole record along."""
    load = Load.from_wire({**LOAD, field: value})
    read_by_a_client(record(), load=load, revision=2**53, registered_at=-1e300)


@given(st.data())
def test_whatever_is_accepted_is_seen_by_clients(data: st.DataObject) -> None:
    """Texts and numbers of all kinds."""
    texts = st.text(max_size=220)
    numbers = st.integers() | st.integers(2**31 - 1, 2**31 + 1)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "urls": st.lists(texts.map("ws://{}".format), max_size=9),
        "packages": st.dictionaries(texts, texts, max_size=3),
        "tags": st.lists(texts, max_size=3),
        "capacity": numbers,
    }
    field = data.draw(st.sampled_from(list(GOOD)))
    value = data.draw(fields.get(field, texts))
    try:
        said = Record.from_wire({**GOOD, field: value})
    except ValueError:
        return
    read_by_a_client(said)


def test_changes_on_the_wire() -> None:
    """With the server as it is then, or None if it is gone."""
    came = Change(7, "registered", "risk", number_of(1), entry()).to_wire(5.0)
    assert came["server"] == entry().to_wire(5.0)
    assert Change(8, "gone", "risk", number_of(1), None).to_wire(5.0) == {
        "kind": "gone",
        "revision": 8,
        "name": "risk",
        "id": number_of(1),
        "server": None,
    }
