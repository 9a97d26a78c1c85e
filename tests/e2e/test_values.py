"""How values travel: exact copies, changes written back, what the server owns, handles."""

from __future__ import annotations

import array
import collections
import datetime
import http
import json
import math
import pathlib
import random
import uuid
import warnings
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import wsremote

ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")
VALUES = [
    *(None, True, False, 0, -1, 2**63, 2**64 - 1, -(2**70), 10**5000),
    *(0.0, -0.0, 0.1, 1e308, math.inf, -math.inf, 1 + 2j, complex(-0.0, math.inf)),
    *("", "grüß", "\udc80", "a\x00b", "x" * 100_000, b"", b"\x00\xff", b"x" * 100_000),
    *(range(3), range(5, 1, -2), slice(1, None, 2), ..., NotImplemented),
    *(datetime.date(2024, 2, 29), datetime.time(1, 2, 3, 4), datetime.timedelta(-1, 2, 3)),
    *(datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.UTC, ZURICH),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2), "here")),
    datetime.datetime(2024, 10, 27, 2, 30, tzinfo=ZURICH, fold=1),
    *(Decimal("1.10"), Decimal("-0"), Decimal("Infinity"), Fraction(1, 3), uuid.UUID(int=5)),
    *(pathlib.Path("a/b"), pathlib.PurePosixPath("/x"), pathlib.PureWindowsPath("c:/x")),
    *([], [1, [2, [3]]], (), (1, (2, "3")), {}, {"a": {"b": [1, (2,)]}}, set(), {1, "a"}),
    *(frozenset(), frozenset({1, (2, 3)}), bytearray(b"ab"), {1: 2, None: 3, (1, 2): 4, b"x": 5}),
    *(collections.deque([1, 2], 5), collections.deque(), array.array("d", [1, 2.5])),
    *([None] * 1000, list(range(5000)), {f"key {n}": n for n in range(3000)}, [(1, 2)] * 100),
    *(http.HTTPStatus.OK, int, list, ValueError, len, math.sqrt, type(None)),
]


def exactly(value: Any) -> Any:
    """Something that is equal only for values of the same types, signs and time zones."""
    kind = type(value)
    if kind in (list, tuple, collections.deque):
        return kind, getattr(value, "maxlen", None), [exactly(each) for each in value]
    if kind is dict:
        return kind, [(exactly(key), exactly(each)) for key, each in value.items()]
    if kind in (set, frozenset):
        return kind, {exactly(each)[:2] for each in value}
    if kind is datetime.datetime:
        return kind, value, value.fold, value.tzinfo
    if kind in (int, type, array.array) or callable(value):
        return kind, value
    return kind, repr(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(pkg: Any, value: Any) -> None:
    """There and back alone, in a list, as a keyword argument, and as a key."""
    identity, echo = pkg.functions.identity, pkg.functions.echo
    assert exactly(identity(value)) == exactly(value)
    args, kwargs = echo([value], named=(value, 1))
    assert exactly(args[0][0]) == exactly(value)
    assert exactly(kwargs["named"][0]) == exactly(value)


def test_a_nan_stays_one(pkg: Any) -> None:
    """Of float, of complex and of Decimal."""
    nan = pkg.functions.identity([math.nan, complex(0, math.nan), Decimal("NaN")])
    assert math.isnan(nan[0])
    assert math.isnan(nan[1].imag)
    assert nan[2].is_nan()


def test_what_is_shared_in_a_value_stays_shared(pkg: Any) -> None:
    """The same list twice, and a list that holds itself."""
    inner = [1]
    args, _ = pkg.functions.echo((inner, inner))
    assert args[0][0] is args[0][1]
    circle: list[Any] = []
    circle.append(circle)
    assert pkg.functions.identity(circle)[0] is circle


def test_a_container_that_comes_home_is_itself(pkg: Any) -> None:
    """An argument that the call returns is the caller's own object."""
    mine = {"a": [1]}
    assert pkg.functions.identity(mine) is mine
    assert pkg.functions.identity(mine["a"]) is mine["a"]


def test_what_cannot_travel_is_refused(pkg: Any) -> None:
    """The error names the argument and the place in it, and nothing is sent."""
    with pytest.raises(wsremote.EncodeError, match=r"argument 'key', item 1, key 'a'.*inout"):
        pkg.functions.echo(1, key=[1, {"a": wsremote.inout([])}])
    assert issubclass(wsremote.EncodeError, TypeError)


# ---- written back ------------------------------------------------------------------------


def test_changes_of_a_list_and_a_dict_are_written_back(pkg: Any) -> None:
    """What the call does to its arguments, the caller sees in his own objects."""
    items, table = [1], {"a": 1}
    assert pkg.functions.append_to(items, 2) == 2
    pkg.functions.update(table, b=2)
    assert (items, table) == ([1, 2], {"a": 1, "b": 2})


def test_changes_inside_of_containers_are_written_back(pkg: Any) -> None:
    """Inner containers keep their identity, and new ones come in."""
    inner = [1]
    outer = [inner, {"same": inner}]
    pkg.functions.append_to(outer, inner)
    assert outer[0] is outer[2] is inner
    pkg.functions.apply(pkg.functions.append_to, outer[0], 7)
    assert inner == [1, 7]


def test_an_object_of_the_server_can_be_put_into_a_list(pkg: Any) -> None:
    """The list then holds the very proxy."""
    box: list[Any] = []
    recorder = pkg.state.Recorder()
    pkg.functions.append_to(box, recorder)
    assert box[0] is recorder


def test_changes_are_written_back_though_the_call_raises(pkg: Any) -> None:
    """As at home, where the object was changed before the exception."""
    heap = [3, "not a number", 1]
    with pytest.raises(TypeError):
        pkg.functions.apply(pkg.functions.append_to, heap)
    assert heap == [3, "not a number", 1]

    def append_and_fail(given: list[int]) -> None:
        given.append(1)
        raise KeyError("late")

    items: list[int] = []
    with pytest.raises(KeyError):
        pkg.functions.apply(append_and_fail, items)
    assert items == [1]


def test_a_callback_changes_the_containers_of_its_caller(pkg: Any) -> None:
    """The server's own dict, which the client then reads; and the one that it returns."""
    recorder = pkg.state.Recorder()
    recorder.name = {"seen": []}
    pkg.functions.apply(lambda given: given["seen"].append(1), recorder.name)
    assert recorder.name == {"seen": [1]}
    mine: list[int] = []
    assert pkg.functions.apply(lambda given: given, mine) is mine


def test_a_large_argument_is_written_back_on_request(pkg: Any) -> None:
    """Else one warning, at the line of the call, says how to ask for it."""
    large = list(range(20_000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pkg.functions.append_to(large, 1)
    assert len(large) == 20_000
    assert [warning.filename for warning in caught] == [__file__]
    assert "wsremote.inout" in str(caught[0].message)
    pkg.functions.append_to(wsremote.inout(large), 1)
    assert len(large) == 20_001


# ---- owned -------------------------------------------------------------------------------


def test_what_the_server_owns_is_read_as_a_list(pkg: Any) -> None:
    """With everything that a list does, C code included."""
    account = pkg.classes.Account("me")
    account.deposit(5)
    history = account.history
    assert isinstance(history, list)
    assert history == [(5, None)]
    assert json.dumps(history) == "[[5, null]]"
    assert [1, *history] == [1] + history == [1, (5, None)]  # noqa: RUF005 - both
    assert (len(history), history[0], history.index((5, None))) == (1, (5, None), 0)
    assert random.Random(1).sample(history, 1) == [(5, None)]


@pytest.mark.parametrize(
    "write",
    [
        lambda owned: owned.append(1),
        lambda owned: owned.extend([1]),
        lambda owned: owned.__setitem__(0, 1),
        lambda owned: owned.__delitem__(0),
        lambda owned: owned.__iadd__([1]),
        lambda owned: owned.sort(),
        lambda owned: owned.clear(),
    ],
)
def test_a_write_to_what_the_server_owns_arrives(pkg: Any, write: Any) -> None:
    """As at home."""
    account = pkg.classes.Account("me")
    account.deposit(5)
    history = account.history
    plain = [(5, None)]
    write(plain)
    write(history)
    assert history == plain == account.history
    account.deposit(6)
    assert history == [*plain, (6, None)]


def test_owned_dicts_are_written_too(pkg: Any) -> None:
    """A module variable and a class attribute."""
    limits = pkg.classes.Account.limits
    assert limits == {"day": 100}
    assert dict(limits, night=1) == {"day": 100, "night": 1}
    limits["day"] = 5
    assert pkg.classes.Account.limits == {"day": 5}
    limits["day"] = 100
    pkg.constants.TABLE.update(x=1)
    assert pkg.constants.TABLE["x"] == 1
    del pkg.constants.TABLE["x"]


def test_what_the_server_owns_goes_home_as_itself(pkg: Any) -> None:
    """A served function that gets it changes the original."""
    account = pkg.classes.Account("me")
    pkg.functions.append_to(account.history, "by its owner's friend")
    assert account.history == ["by its owner's friend"]


def test_a_fresh_result_is_a_plain_builtin(pkg: Any) -> None:
    """Nobody else has it: it is the caller's to change."""
    fresh = pkg.functions.every_kind(1, 2, 3, e=5)
    assert exactly(fresh) == exactly((1, 2, 3, 4, (), 5, 6, {}))
    made = pkg.functions.annotated(1)
    assert type(made) is dict
    made["more"] = 1


# ---- handles -----------------------------------------------------------------------------


def test_the_same_object_is_the_same_object(pkg: Any) -> None:
    """Through attributes, results, containers; and the server gets its own back."""
    account = pkg.classes.Account("me")
    assert account.history is account.history
    assert account.chain() is account
    assert pkg.functions.identity(account) is account
    args, kwargs = pkg.functions.echo([account, {"k": (account, 1)}], account=account)
    assert args[0][0] is args[0][1]["k"][0] is kwargs["account"] is account
    assert pkg.classes.Single() is pkg.classes.Single()
    kept = pkg.functions.make_counter()
    assert [kept(), kept()] == [1, 2]


def test_functions_and_classes_of_the_server_go_by_name(pkg: Any) -> None:
    """They arrive as the very objects of the shallow package."""
    identity = pkg.functions.identity
    assert identity(pkg.functions.add) is pkg.functions.add
    assert identity(pkg.classes.Account) is pkg.classes.Account
    assert identity(pkg.functions) is pkg.functions
    assert pkg.functions.apply(pkg.functions.add, 1, 2) == 3


def test_enums_and_dataclasses_of_the_package_are_its_objects(pkg: Any) -> None:
    """Also where the client has the package itself: identity, equality, hash, operators."""
    values = pkg.values
    red = values.Colour.RED
    assert red is values.Colour.RED is values.Colour["RED"] is values.Colour(1)
    assert isinstance(red, values.Colour)
    assert (red.name, red.value, red.shout()) == ("RED", 1, "RED!")
    assert [each.name for each in values.Colour] == ["RED", "GREEN"]
    assert values.Level.HIGH > values.Level.LOW
    assert values.Level.LOW + 1 == 2
    point = values.Point(1, 2)
    assert point == values.Point(1, 2)
    assert hash(point) == hash(values.Point(1, 2))
    assert values.move(point, values.Point(1, 1)) == values.Point(2, 3)
    second, first = values.Pair(1)
    assert (second, first) == (1, "one")
    assert values.Pair(1)._replace(second=3).second == 3


def test_code_is_shipped(pkg: Any) -> None:
    """`ship(f)` runs on the server, at no message."""
    factor = 3
    assert pkg.functions.apply(wsremote.ship(lambda x: x * factor), 2) == 6


def test_generators_and_coroutines_run_on_the_server(pkg: Any) -> None:
    """Iterated, sent to, closed; awaited."""
    assert list(pkg.functions.count_to(3)) == [0, 1, 2]
    generator = pkg.functions.count_to(3)
    assert next(generator) == 0
    assert generator.send("x") == "received x"
    generator.close()
    assert list(generator) == []
    assert pkg.functions.wait_and_add(1, 2) == 3


def test_what_is_marked_ref_arrives_as_itself(pkg: Any) -> None:
    """Objects of both sides, containers, classes, modules, functions."""
    identity = pkg.functions.identity
    mine = [1]
    recorder = pkg.state.Recorder()
    marked = [mine, {"a": 1}, {1}, bytearray(b"x"), object(), len, print, lambda: 1, KeyError("k")]
    marked += [recorder, pkg.state.Recorder, pkg.state, identity, recorder.record]
    for value in marked:
        assert identity(wsremote.ref(value)) == value
    for value in (mine, recorder, pkg.state.Recorder, pkg.state, identity):
        assert identity(wsremote.ref(value)) is value
    pkg.functions.append_to(wsremote.ref(mine), 2)
    assert mine == [1, 2]
