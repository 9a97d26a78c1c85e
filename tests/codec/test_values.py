"""Round trips: what arrives is equal, of the same exact type, and of the same shape."""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import enum
import http
import inspect
import io
import math
import operator
import pathlib
import re
import struct
import sys
import types
import typing
import urllib.parse
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsremote import errors
from wsremote.codec import tags
from wsremote.codec.markers import inout, ref, ship
from wsremote.codec.names import builtin_named
from wsremote.errors import DecodeError, EncodeError

ZONE = zoneinfo.ZoneInfo("Europe/Prague")
TREE_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.complex_numbers()
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.fractions()
    | st.uuids()
    | st.dates()
    | st.times(timezones=st.none() | st.timezones())
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | st.sampled_from([..., NotImplemented, len, int, ValueError, operator.add, math.sin])
)
HASHABLE = st.recursive(
    TREE_LEAVES,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=5)
        | st.sets(HASHABLE, max_size=4)
        | st.builds(collections.deque, st.lists(inner, max_size=3), st.none() | st.just(7))
        | st.binary().map(bytearray)
        | st.lists(st.floats(), max_size=3).map(lambda items: array.array("d", items))
    ),
    max_leaves=12,
)


def anatomy(value: Any) -> Any:
    """A value with the exact types, float bits and orders that `==` does not look at."""
    kind = type(value)
    if kind is float:
        return float, struct.pack("d", value)
    if kind is complex:
        return complex, anatomy(value.real), anatomy(value.imag)
    if kind in (list, tuple, collections.deque):
        return kind, getattr(value, "maxlen", None), [anatomy(item) for item in value]
    if kind is dict:
        return dict, [(anatomy(key), anatomy(item)) for key, item in value.items()]
    if kind in (set, frozenset):
        return kind, sorted(repr(anatomy(item)) for item in value)
    if kind is array.array:
        return kind, value.typecode, value.tobytes()
    if kind in (datetime.datetime, datetime.time):
        return kind, value.isoformat(), value.fold, anatomy(value.tzinfo)
    if kind in (decimal.Decimal, datetime.timezone, zoneinfo.ZoneInfo, range, slice):
        return kind, repr(value)
    return kind, value


@given(VALUES)
@example([2**63, 2**64, -(2**63), -(2**63) - 1, {2**70: 1}])
@example({None: 1})
@example([{None: [1, 2]}, (), {}, [], set()])
@example("\ud800")
@example({"\udcff": ["\ud800", ("\ud800",)]})
@example([(1, "x"), (2, "y")])
@example({1: "int", 1.5: "float", False: "bool"})
@example(datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZONE))
def test_a_value_arrives_as_it_was(new_pair: Callable[..., Any], value: Any) -> None:
    """Both directions keep value, exact type, order and bits of everything by value."""
    pair = new_pair()
    assert anatomy(pair.there(value)) == anatomy(value)
    arrived = pair.client_codec.decode(*pair.server_codec.encode(value))
    assert anatomy(arrived) == anatomy(value)


@pytest.mark.parametrize(
    "value",
    [
        slice(1, 2**70, None),
        slice("a", (1, 2), [3]),
        datetime.UTC,
        datetime.timezone(datetime.timedelta(0), "UTC"),
        datetime.timezone(datetime.timedelta(minutes=-7), "odd"),
        decimal.Decimal("-0E+3"),
        decimal.Decimal("sNaN123"),
        decimal.Decimal("1." + "1" * 200),
        pathlib.PurePosixPath("a//b/../c"),
        pathlib.PureWindowsPath("C:\\x"),
        pathlib.Path("/x/y"),
        uuid.UUID(int=7, is_safe=uuid.SafeUUID.unsafe),
        http.HTTPStatus.NOT_FOUND,
        re.IGNORECASE | re.MULTILINE,
        urllib.parse.urlparse("http://x/y"),
        array.array("q", [1, 2]),
        array.array("u", "\u00e9"),
        type(None),
        collections.deque,
        errors.StaleHandle,
        decimal.Decimal,
    ],
    ids=repr,
)
def test_other_values_arrive_as_they_were(pair: Any, value: Any) -> None:
    """Standard library values outside the generated ones, nested or not."""
    for arrived in (pair.there(value), pair.there([value])[0]):
        assert anatomy(arrived) == anatomy(value)
        assert repr(arrived) == repr(value)


def test_utc_stays_the_one_utc(pair: Any) -> None:
    """`timezone.utc` is compared by identity in real code."""
    assert pair.there([datetime.UTC])[0] is datetime.UTC


@pytest.mark.parametrize("size", [tags.BULK_LIMIT - 1, tags.BULK_LIMIT, tags.BULK_LIMIT + 1])
@pytest.mark.parametrize("make", [bytes, bytearray, lambda n: "\u00e9" * n, lambda n: [b"x" * n]])
def test_bulk_travels_out_of_band(pair: Any, size: int, make: Callable[[int], Any]) -> None:
    """Large bytes and strings are buffers, smaller ones are inside; both arrive exact."""
    value = make(size)
    encoded = pair.client_codec.encode_call((value,), {})
    assert bool(encoded.buffers) == (size >= tags.BULK_LIMIT)
    arrived = pair.server_codec.decode_call(*encoded).args[0]
    assert anatomy(arrived) == anatomy(value)


def test_a_bulk_string_among_small_values(pair: Any) -> None:
    """One large item of a mixed list does not stay in the payload."""
    value = [1, "x" * tags.BULK_LIMIT, b"", {"k": "y" * tags.BULK_LIMIT}]
    encoded = pair.server_codec.encode(value)
    assert len(encoded.payload) < 100
    assert pair.client_codec.decode(*encoded) == value


@pytest.mark.parametrize("value", [msgpack.ExtType(5, b"x"), msgpack.Timestamp(1), memoryview(b"")])
def test_what_msgpack_would_write_is_lent(pair: Any, value: Any) -> None:
    """msgpack has forms for these types, which would come back as something else."""
    assert pair.back([value])[0].cls is type(value)


def test_served_things_travel_by_name(pair: Any) -> None:
    """A served class is the class of the other side, by its path."""

    class Here: ...

    class There: ...

    pair.client.served["pkg.mod:C"], pair.server.served["pkg.mod:C"] = Here, There
    assert pair.there([Here]) == [There]
    assert pair.back(There) is Here


def test_a_name_that_is_not_served(pair: Any) -> None:
    """The error of the session reaches the caller as it is."""
    pair.client.served["pkg.mod:gone"] = thing = object()
    with pytest.raises(errors.NotExposed):
        pair.there(thing)


def test_handles_come_home_as_themselves(pair: Any) -> None:
    """An object lent by the server is one proxy on the client, and itself when sent back."""
    thing = object()
    pair.server.keep = thing
    first, second = pair.back([thing, thing])
    assert first is second
    assert pair.there({"x": (first,)})["x"][0] is thing


def test_a_stale_handle_is_said_to_be_stale(pair: Any) -> None:
    """Not a malformed payload: the session's own error."""
    proxy = pair.back(object())
    pair.server.table.clear()
    with pytest.raises(errors.StaleHandle):
        pair.there(proxy)


def test_callables_of_the_client_are_lent(pair: Any) -> None:
    """Functions, lambdas and bound methods are called back, not copied."""
    function, method = (lambda: 1), [].append
    arrived = pair.there([function, {"m": method}])
    assert pair.client.table[arrived[0].handle] is function
    assert arrived[1]["m"].cls is type(method)


class Special(dict):
    """A subclass, which is not its base."""


class Settings(enum.Enum):
    """Not of the standard library, so the other side may not have it."""

    A = 1


@dataclass(frozen=True)
class Point:
    """The same."""

    x: int


@pytest.mark.parametrize(
    "value",
    [
        *(re.compile("a+", re.IGNORECASE), re.compile(b"a")),
        *(list[int], dict[str, list[int]], tuple[int, ...], int | None),
        *(typing.List[int], typing.Optional[int], typing.Dict[str, typing.List[int]]),  # noqa: UP006, UP045
    ],
)
def test_patterns_and_types_with_arguments_are_values(pair: Any, value: Any) -> None:
    """They come as the equal one that is written in the same way."""
    (received,) = pair.back([value])
    assert (received, repr(received), type(received)) == (value, repr(value), type(value))


@pytest.mark.parametrize(
    "value", [Special(a=1), Settings.A, Point(1), iter([]), object(), re.match("x", "x")]
)
def test_everything_else_is_lent(pair: Any, value: Any) -> None:
    """What has a class of its own stays where it is, and is never written as its base."""
    assert pair.back([value])[0].cls is type(value)


@pytest.mark.parametrize(
    ("args", "kwargs", "place"),
    [
        ((1, Special()), {}, "argument 2: a Special cannot travel"),
        (([0, {"x": Special()}],), {}, "argument 1, item 1, key 'x': a Special"),
        ((), {"data": (1, [Special()])}, "argument 'data', item 1, item 0: a Special"),
        (({(1, Settings.A): 2},), {}, "argument 1, the key tuple itself, item 1: a Settings"),
        ((inout([Special()]),), {}, "argument 1, item 0: a Special"),
        (([inout([])],), {}, r"argument 1, item 0: inout\(\) marks a whole argument"),
    ],
)
def test_the_error_names_the_argument(pair: Any, args: Any, kwargs: Any, place: str) -> None:
    """What cannot travel is named by its way through the arguments, with what to do."""
    with pytest.raises(EncodeError, match=place):
        pair.client_codec.encode_call(args, kwargs)


def test_a_refused_call_lends_nothing(pair: Any) -> None:
    """The callback before the argument that cannot travel is taken back."""
    with pytest.raises(EncodeError):
        pair.client_codec.encode_call((print, Special()), {})
    assert not any(pair.client.sent.values())


def test_keyword_arguments(pair: Any) -> None:
    """Positional and keyword arguments arrive in their places and order."""
    encoded = pair.client_codec.encode_call((1, [2]), {"b": (3,), "a": None})
    arguments = pair.server_codec.decode_call(*encoded)
    assert arguments.args == (1, [2])
    assert list(arguments.kwargs.items()) == [("b", (3,)), ("a", None)]


def test_marks(pair: Any) -> None:
    """`ref` makes a handle of what would be copied, `ship` sends code, `inout` is no wrapper."""
    pair.client.lends_anything = True
    local = [1]
    assert pair.there(ref(local)).cls is list
    shipped = pair.there(ship(lambda x: x + len(local)))
    assert shipped(1) == 2
    encoded = pair.client_codec.encode_call((inout(local),), {"k": inout({})})
    arguments = pair.server_codec.decode_call(*encoded)
    assert arguments.args == ([1],)
    assert arguments.kwargs == {"k": {}}
    assert list(arguments.origins.inout) == [[1], {}]


def test_no_code_without_permission(pair: Any) -> None:
    """Data only: neither side sends code, and neither loads any."""
    payload = pair.client_codec.encode(ship(len)).payload
    pair.client.pickle_out = pair.server.pickle_in = False
    with pytest.raises(EncodeError, match="accepts no shipped code"):
        pair.client_codec.encode(ship(len))
    with pytest.raises(DecodeError, match="loads no pickles"):
        pair.server_codec.decode(payload)


def test_a_class_that_is_not_loaded_there(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported by a name from the wire: the handle that came along is used."""
    status = http.HTTPStatus.OK
    encoded = pair.server_codec.encode(status)
    monkeypatch.delitem(sys.modules, "http")
    assert pair.client_codec.decode(*encoded).cls is http.HTTPStatus
    assert "http" not in sys.modules


def test_frozen_dataclasses_of_the_standard_library(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By value where both sides have the class, with fields that are containers."""
    module = types.ModuleType("this")

    @dataclass(frozen=True)
    class Frozen:
        x: int
        y: list[int]

    Frozen.__module__, Frozen.__qualname__ = "this", "Frozen"
    module.Frozen = Frozen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "this", module)
    assert pair.there([Frozen(1, [2])]) == [Frozen(1, [2])]


def test_foreign_time_zones_stay_home(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tzinfo of another class has code: its datetime is a value, the zone in it a handle."""

    class Zone(datetime.tzinfo):
        """Some zone."""

    class ZoneProxy(Zone):
        """What stands for it."""

    received: list[int] = []

    def borrow(handle: int, number: int) -> object:
        received.append(handle)
        pair.server.sent[handle] -= 1
        return ZoneProxy()

    monkeypatch.setattr(pair.client, "borrow", borrow)
    moment = datetime.datetime(2024, 1, 1, fold=1, tzinfo=Zone())
    found = pair.back([moment, datetime.time(3, tzinfo=moment.tzinfo)])
    assert [type(each) for each in found] == [datetime.datetime, datetime.time]
    assert [type(each.tzinfo) for each in found] == [ZoneProxy, ZoneProxy]
    assert found[0].replace(tzinfo=None) == moment.replace(tzinfo=None)
    assert len(set(received)) == 1


def test_time_zones_without_a_key_stay_home(pair: Any) -> None:
    """One that was read from a file has no name that the other side could find it by."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    file = io.BytesIO(b"TZif" + bytes(16) + counts + struct.pack(">lbb", 3600, 0, 0) + b"ONE\0")
    zone = zoneinfo.ZoneInfo.from_file(file)
    assert zone.key is None
    assert pair.back([zone])[0].cls is zoneinfo.ZoneInfo


@pytest.mark.parametrize(
    "name",
    [
        *("eval", "exec", "compile", "open", "getattr", "setattr", "delattr", "__import__"),
        *("input", "breakpoint", "globals", "locals", "vars", "dir", "type", "id"),
    ],
)
def test_dangerous_builtins_have_no_name(pair: Any, name: str) -> None:
    """They are lent like any callable, and a payload that names one is refused."""
    value = getattr(builtins, name)
    there = pair.there(value)
    assert there is value if isinstance(value, type) else there.cls is type(value)
    payload = b"\xc1" + msgpack.packb({None: [tags.BUILTIN, f"builtins:{name}"]})
    with pytest.raises(DecodeError):
        pair.server_codec.decode(payload)


@pytest.mark.parametrize("name", ["attrgetter", "methodcaller"])
def test_operators_that_reach_attributes_have_no_name(pair: Any, name: str) -> None:
    """They would be `getattr` by another name."""
    payload = b"\xc1" + msgpack.packb({None: [tags.BUILTIN, f"operator:{name}"]})
    with pytest.raises(DecodeError):
        pair.server_codec.decode(payload)


def test_a_signature_is_a_value(pair: Any) -> None:
    """With its defaults and annotations, whatever they are."""

    def function(a: int, /, b: object = None, *c: str, d: tuple[int, ...] = (), **e: float) -> bool:
        raise NotImplementedError

    expected = inspect.signature(function)
    assert str(pair.there(expected)) == str(expected)
    assert pair.there(inspect.Signature()) == inspect.Signature()


def test_functions_of_numpy_that_compute_go_by_name(pair: Any) -> None:
    """ufuncs and array functions are themselves on the other side; what touches files is not."""
    numpy = pytest.importorskip("numpy")
    for function in (numpy.add, numpy.concatenate, numpy.mean):
        assert pair.there(function) is function
    assert pair.there(numpy.save) is not numpy.save
    with pytest.raises(LookupError):
        builtin_named("numpy:save")
