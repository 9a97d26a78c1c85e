"""Shallow classes of every kind of base behave as their originals do.

Each check is run twice, with the classes of `samplepkg.bases` imported here and with those that a
server has, and must give the same: the same value, or an exception of the same class.
"""

# The very operators are what is tested.
# ruff: noqa: RUF005, UP031, UP045

from __future__ import annotations

import collections
import collections.abc
import copy
import dataclasses
import datetime
import enum
import functools
import inspect
import json
import math
import numbers
import operator
import typing
from collections.abc import Callable
from typing import Any

import pytest
import samplepkg.bases
from harness import ServedProcess

import wsremote

Check = Callable[[Any], Any]


def outcome(check: Check, module: Any) -> tuple[str, Any]:
    """What a check gives: its value, or the class of its exception."""
    try:
        return "gives", check(module)
    except Exception as error:
        return "raises", type(error).__name__


def same_here_and_there(check: Check, pkg: Any) -> None:
    """The check gives the same of the local classes and of the served ones."""
    expected = outcome(check, samplepkg.bases)
    assert outcome(check, pkg.bases) == expected


def names(classes: Any) -> list[str]:
    """Names of classes, in order."""
    return [cls.__name__ for cls in classes]


def kinds(value: object, *classes: Any) -> list[bool]:
    """Whether a value is an instance, for each class."""
    return [isinstance(value, cls) for cls in classes]


CONTENT: list[Check] = [
    lambda b: names(b.Point.__mro__),
    lambda b: kinds(b.Point(1, 2), b.Point, tuple, collections.abc.Sequence, b.Deep, list),
    lambda b: (
        b.Point(1, 2) == (1, 2),
        (1, 2) == b.Point(1, 2),
        hash(b.Point(1, 2)) == hash((1, 2)),
    ),
    lambda b: [*b.Point(1, 2)],
    lambda b: b.Point(3, 4)[0] + b.Point(3, 4)[-1] + len(b.Point(1)),
    lambda b: (b.Point(3, 4).x, b.Point(3, 4).y, b.Point(5).y),
    lambda b: b.Point(3, 4).norm(),
    lambda b: b.Point(3, 4).flipped == (4, 3),
    lambda b: type(b.Point(3, 4).flipped) is b.Point,
    lambda b: b.Point.diagonal(3) == b.Point(3, 3),
    lambda b: b.Point._fields,
    lambda b: b.Point(1, 2)._fields,
    lambda b: b.Point._field_defaults,
    lambda b: b.Point(1, 2)._replace(x=9) == (9, 2),
    lambda b: b.Point(1, 2)._asdict(),
    lambda b: type(b.Point._make([1, 2])) is b.Point,
    lambda b: repr(b.Point(1, 2)),
    lambda b: str(b.Point(1, 2)),
    lambda b: b.Point(1, 2) + (3,),
    lambda b: b.Point(1, 2) < (1, 3),
    lambda b: json.dumps(b.Point(1, 2)),
    lambda b: "%s-%s" % b.Point(1, 2),
    lambda b: {b.Point(1, 2): "x"}[1, 2],
    lambda b: max([b.Point(1, 5), b.Point(2, 0)]) == (2, 0),
    lambda b: b.Point(1, 2) in [(1, 2)],
    lambda b: b.Point("a"),
    lambda b: b.Point(),
    lambda b: setattr(b.Point(1), "x", 3),
    lambda b: setattr(b.Point(1), "z", 3),
    lambda b: str(inspect.signature(b.Pair)),
    lambda b: (b.Pair(1).first, b.Pair(1).second, b.Pair._fields),
    lambda b: (b.Deep(1, 2) + (1, 1) == (2, 3), type(b.Deep(1, 2) + (1, 1)) is b.Deep),
    lambda b: (b.Deep.depth, b.Deep(1).depth, names(b.Deep.__mro__)),
    lambda b: b.ORIGIN is b.ORIGIN,
    lambda b: tuple(b.ORIGIN),
    lambda b: type(b.ORIGIN) is b.Point,
    lambda b: (list(b.Sorted([3, 1, 2])), b.Sorted([3, 1]).origin, b.Sorted([3, 1]).least()),
    lambda b: ("anything" in b.Sorted(), 1 in b.Sorted([1]), 7 in b.Sorted([1])),
    lambda b: [type(part).__name__ for part in (b.Sorted([1])[:1], b.Sorted([1]) + (2,))],
    lambda b: (b.Tag("a") + "b", b.Tag("a").upper(), b.Tag("a", "blue").color, b.Tag("a").shout()),
    lambda b: (b.Tag("a") == "a", {b.Tag("a"): 1}["a"], "x".join([b.Tag("a"), "b"])),
    lambda b: kinds(b.Tag("a"), str, b.Tag, collections.abc.Sequence, bytes),
    lambda b: ("a%s" % b.Tag("b"), b.Tag("%s!") % "a", (b.Tag("%s!", "blue") % "a").color),
    lambda b: (json.dumps({b.Tag("k"): b.Tag("v")}), f"{b.Tag('x'):>3}", int(b.Tag("12"))),
    lambda b: (repr(b.Tag("a")), str(b.Tag("a")), type(str(b.Tag("a"))).__name__),
    lambda b: (
        b.Tag("abc")[1:],
        list(b.Tag("ab")),
        "b" in b.Tag("ab"),
        b.Tag("ab").startswith("a"),
    ),
    lambda b: (b.RED_TAG.color, b.RED_TAG == "kept"),
    lambda b: (lambda tag: (setattr(tag, "color", "green"), tag.color)[1])(b.Tag("a")),
    lambda b: setattr(b.Tag("a"), "other", 1),
    lambda b: (repr(b.Celsius(2)), float(b.Celsius(2)), b.Celsius(2) * 2, b.Celsius.unit),
    lambda b: (repr(b.Celsius(2) + 1), b.Celsius(0).kelvin, math.floor(b.Celsius(2.5))),
    lambda b: kinds(b.Celsius(2), float, b.Celsius, numbers.Real, int),
    lambda b: (b.Count(3) + 1, b.Count(3, "m").label, b.Count(3).following() == 4),
    lambda b: (
        range(10)[b.Count(3)],
        "ab" * b.Count(2),
        [0, 1, 2, 3][b.Count(3)],
        b.Count(3) == 3.0,
    ),
    lambda b: (f"{b.Count(255):x}", hex(b.Count(255)), b.Count(7).bit_length(), -b.Count(2)),
    lambda b: (sum([b.Count(1), b.Count(2)]), bool(b.Count(0)), sorted([b.Count(2), 1])),
    lambda b: (b.Wave(1, 2).real, b.Wave(1, 2).phase(), b.Wave(1, 2) + 1, abs(b.Wave(3, 4))),
    lambda b: (
        b.Blob(b"ab").checksum(),
        b.Blob(b"ab") + b"c",
        bytes(b.Blob(b"ab")),
        b.Blob(b"a").hex(),
    ),
    lambda b: (
        b.Frozen([1, 2]) | {3},
        b.Frozen([1, 5]).biggest(),
        1 in b.Frozen([1]),
        len(b.Frozen()),
    ),
    lambda b: {b.Frozen([1]): 2}[frozenset([1])],
    lambda b: (b.Day(2024, 5, 4).weekend(), b.Day(2024, 5, 4).isoformat(), b.Day(2024, 5, 4).year),
    lambda b: b.Day(2024, 5, 4) - datetime.date(2024, 5, 1),
    lambda b: (
        str(b.Moment(2024, 5, 4, 10)),
        b.Moment(2024, 5, 4, 10).half(),
        f"{b.Moment(2024, 5, 4):%Y}",
    ),
    lambda b: kinds(b.Moment(2024, 5, 4), datetime.date, datetime.datetime, b.Moment, b.Day),
    lambda b: (b.Span(hours=3).hours, b.Span(hours=3) + datetime.timedelta(1), b.Span(1).days),
    lambda b: (b.kind_of(b.Point(1)), b.kind_of(b.Tag("a")), b.kind_of(b.Count(1))),
    lambda b: (b.type_name(b.Point(1)), b.type_name(b.Tag("a")), b.type_name(b.Moment(2024, 5, 4))),
    lambda b: (lambda h: (h.point is h.point, h.tag is h.tag, h.number is h.number))(b.Holder()),
    lambda b: (lambda h: [h.is_mine(h.point), h.is_mine(h.tag), h.is_mine(h.number)])(b.Holder()),
    lambda b: (lambda h: h.nested["tag"] is h.tag)(b.Holder()),
    lambda b: [p.x for p in b.Holder().nested["points"]],
    lambda b: b.same(b.ORIGIN, b.echo(b.ORIGIN)),
    lambda b: copy.copy(b.Point(1, 2)) == (1, 2),
    lambda b: copy.deepcopy(b.Tag("a")) == "a",
]

MIXED: list[Check] = [
    lambda b: (repr(b.MixedText("a")), {"a": 1}[b.MixedText("a")], b.MixedText("a").mixed()),
    lambda b: (repr(b.MixedPair([1])), {(1,): 1}[b.MixedPair([1])], b.MixedPair([1]).mixed()),
    lambda b: hash(b.MixedMap()),
    lambda b: hash(b.LowerMap()),
    lambda b: hash(b.SortedSettings()),
    lambda b: (
        repr(b.SortedSettings(a=1)),
        dict(b.SortedSettings(a=1)),
        b.SortedSettings(a=1).flat(),
    ),
    lambda b: (names(b.MixedText.__mro__), names(b.MixedPair.__mro__), names(b.MixedMap.__mro__)),
    lambda b: (
        b.Direction.UP.describe(),
        repr(b.Direction.UP),
        b.Direction(-1) is b.Direction.DOWN,
    ),
    lambda b: (kinds(b.Direction.UP, b.Base, enum.Enum), list(b.Base), len(b.Direction)),
    lambda b: {b.Direction.UP: 1}[b.Direction(1)],
]

ENUMS: list[Check] = [
    lambda b: [member.name for member in b.Color],
    lambda b: [member.name for member in reversed(b.Color)],
    lambda b: (len(b.Color), bool(b.Color), list(b.Color.__members__)),
    lambda b: (
        b.Color.RED is b.Color("red"),
        b.Color.RED is b.Color["RED"],
        b.Color.RED is b.Color.ROUGE,
    ),
    lambda b: (b.Color.RED.name, b.Color.RED.value, b.Color.ROUGE.name, b.Color.RED._value_),
    lambda b: (repr(b.Color.RED), str(b.Color.RED), f"{b.Color.RED}", repr(b.Color)),
    lambda b: kinds(b.Color.RED, b.Color, enum.Enum, b.Planet),
    lambda b: (issubclass(b.Color, enum.Enum), isinstance(b.Color, enum.EnumMeta)),
    lambda b: (b.Color.RED in b.Color, b.Color.RED == b.Color.RED, b.Color.RED == "red"),
    lambda b: (b.Color.RED.short, b.Color.RED.mix(b.Color.BLUE), b.Color.default() is b.Color.RED),
    lambda b: b.Color("azure") is b.Color.BLUE,
    lambda b: b.Color("none"),
    lambda b: b.Color["none"],
    lambda b: b.Color.none,
    lambda b: setattr(b.Color, "RED", 3),
    lambda b: delattr(b.Color, "RED"),
    lambda b: {b.Color.RED: 1, b.Color.BLUE: 2}[b.Color("red")],
    lambda b: b.Color.RED < b.Color.BLUE,
    lambda b: hash(b.Color.RED) == hash(b.Color("red")),
    lambda b: (b.type_name(b.Color.RED), b.same(b.Color.RED, b.Color("red"))),
    lambda b: (copy.copy(b.Color.RED) is b.Color.RED, copy.deepcopy(b.Color.RED) is b.Color.RED),
    lambda b: (
        b.Weekday.MONDAY + 1,
        b.Weekday.MONDAY == 1,
        ["a", "b"][b.Weekday.MONDAY],
        int(b.Weekday.TUESDAY),
    ),
    lambda b: kinds(b.Weekday.MONDAY, int, enum.IntEnum, enum.Enum, b.Weekday, numbers.Integral),
    lambda b: (
        repr(b.Weekday.MONDAY),
        str(b.Weekday.MONDAY),
        f"{b.Weekday.MONDAY}",
        json.dumps(b.Weekday.MONDAY),
    ),
    lambda b: (sorted(b.Weekday, reverse=True) == [2, 1], max(b.Weekday).name, b.Weekday(2).name),
    lambda b: {1: "one"}[b.Weekday.MONDAY],
    lambda b: (
        b.Mode.READ == "r",
        b.Mode.WRITE.value,
        b.Mode.READ.upper(),
        f"{b.Mode.READ}",
        str(b.Mode.READ),
    ),
    lambda b: (
        {"r": 1}[b.Mode.READ],
        json.dumps({b.Mode.READ: b.Mode.WRITE}),
        b.Mode("r") is b.Mode.READ,
    ),
    lambda b: kinds(b.Mode.READ, str, enum.StrEnum, b.Mode),
    lambda b: (b.Permission.READ | b.Permission.WRITE).value,
    lambda b: (b.Permission.READ | b.Permission.WRITE) is b.Permission(3),
    lambda b: (b.Permission.READ in b.Permission(3), b.Permission.EXECUTE in b.Permission(3)),
    lambda b: [flag.name for flag in b.Permission(3)],
    lambda b: (
        bool(b.Permission(0)),
        len(b.Permission(7)),
        (~b.Permission.READ).value,
        b.Permission.ALL.name,
    ),
    lambda b: (
        (b.Permission.ALL & b.Permission.READ) is b.Permission.READ,
        (b.Permission.READ ^ b.Permission.ALL).value,
    ),
    lambda b: [flag.name for flag in b.Permission],
    lambda b: kinds(b.Permission.READ, enum.Flag, b.Permission, int),
    lambda b: repr(b.Permission(3)),
    lambda b: (
        (b.Access.R | b.Access.W) == 6,
        b.Access.R | 1,
        b.Access.R + 1,
        type(b.Access.R | b.Access.W) is b.Access,
    ),
    lambda b: kinds(b.Access.R | b.Access.W, int, enum.IntFlag, b.Access),
    lambda b: (b.Access.R in (b.Access.R | b.Access.W), list(b.Access(5)) == [1, 4]),
    lambda b: (
        b.Planet.EARTH.mass,
        b.Planet.EARTH.density,
        b.Planet.MARS.value,
        b.Planet((0.64, 3.39)).name,
    ),
    lambda b: b.Color.RED.RED is b.Color.RED,
    lambda b: (b.Color.__name__, b.Color.__doc__, b.Color._member_names_),
    lambda b: isinstance(b.Color._member_map_, dict),
]

DATA: list[Check] = [
    lambda b: [f.name for f in dataclasses.fields(b.Item)],
    lambda b: [f.name for f in dataclasses.fields(b.Item("a"))],
    lambda b: [(f.init, f.repr, f.compare, f.kw_only, f.hash) for f in dataclasses.fields(b.Item)],
    lambda b: [f.default is dataclasses.MISSING or f.default for f in dataclasses.fields(b.Item)],
    lambda b: [f.default_factory is dataclasses.MISSING for f in dataclasses.fields(b.Item)],
    lambda b: dataclasses.asdict(b.Item("a", tags=["x"])),
    lambda b: dataclasses.astuple(b.Item("a", tags=["x"])),
    lambda b: (
        dataclasses.is_dataclass(b.Item),
        dataclasses.is_dataclass(b.Item("a")),
        dataclasses.is_dataclass(b.Slim),
    ),
    lambda b: dataclasses.replace(b.Item("a"), price=3.0).price,
    lambda b: type(dataclasses.replace(b.Version(1), minor=2)) is b.Version,
    lambda b: (repr(b.Item("a")), b.Item("a") == b.Item("a"), b.Item("a") != b.Item("b")),
    lambda b: b.Item("a").total(count=2),
    lambda b: (b.Item.registry, b.Item.price),
    lambda b: b.Item.name,
    lambda b: hash(b.Item("a")),
    lambda b: (hash(b.Version(1)) == hash(b.Version(1)), {b.Version(1): 2}[b.Version(1)]),
    lambda b: (
        b.Version(1) < b.Version(1, 1),
        sorted([b.Version(2), b.Version(1)])[0] == b.Version(1),
    ),
    lambda b: setattr(b.Version(1), "major", 2),
    lambda b: b.Version(1).next().minor,
    lambda b: b.Version.__match_args__,
    lambda b: b.Version.__dataclass_params__.frozen,
    lambda b: (b.Slotted(left=1).right, b.Slotted.__slots__),
    lambda b: b.Slotted(1),
    lambda b: str(inspect.signature(b.Slotted)).replace("'", ""),
    lambda b: (
        b.Crate(3).unpack(),
        b.BigCrate(3).size,
        [f.name for f in dataclasses.fields(b.BigCrate)],
    ),
    lambda b: dataclasses.asdict(b.Crate(b.Crate(1))),
]

GENERICS: list[Check] = [
    lambda b: issubclass(b.Box, typing.Generic),
    lambda b: (typing.get_origin(b.Box[int, str]) is b.Box, typing.get_args(b.Box[int, str])),
    lambda b: len(b.Box.__parameters__),
    lambda b: b.Box[int, str](3).content,
    lambda b: b.Box[int],
    lambda b: (b.IntBox(4).content, names(b.IntBox.__mro__), b.IntBox.__parameters__),
    lambda b: isinstance(b.IntBox(4), b.Box),
    lambda b: b.IntBox[int],
    lambda b: typing.get_origin(b.Crate[int]) is b.Crate,
    lambda b: b.BigCrate[int],
    lambda b: (
        b.Aliasing[int].__origin__ is b.Aliasing,
        b.Aliasing[int].__args__,
        b.Aliasing[int](2).value,
    ),
    lambda b: b.Indexed["x"],
    lambda b: b.Slim[int],
    lambda b: typing.Optional[b.Slim].__args__[0] is b.Slim,
    lambda b: (b.Slim | None) == typing.Optional[b.Slim],
    lambda b: isinstance(b.Slim(1), b.Slim | int),
]

ABSTRACT: list[Check] = [
    lambda b: b.Shape(),
    lambda b: b.Half(),
    lambda b: (
        sorted(b.Shape.__abstractmethods__),
        sorted(b.Half.__abstractmethods__),
        b.Square.__abstractmethods__,
    ),
    lambda b: (
        inspect.isabstract(b.Shape),
        inspect.isabstract(b.Half),
        inspect.isabstract(b.Square),
    ),
    lambda b: (b.Shape.area.__isabstractmethod__, b.Shape.name.__isabstractmethod__),
    lambda b: (b.Square(2).area(), b.Square(2).name, b.Square.unit().side, b.Square(2).describe()),
    lambda b: (
        issubclass(b.Outsider, b.Shape),
        isinstance(b.Outsider(), b.Shape),
        issubclass(b.Square, b.Shape),
    ),
    lambda b: (
        issubclass(int, b.Shape),
        isinstance(3, b.Shape),
        isinstance("a", b.Shape),
        issubclass(str, b.Shape),
    ),
    lambda b: (
        issubclass(b.Duck, b.Quacking),
        isinstance(b.Duck(), b.Quacking),
        isinstance(b.Slim(1), b.Quacking),
    ),
    lambda b: isinstance(3, b.Quacking),
    lambda b: (
        isinstance(b.Door(), b.Closing),
        isinstance(b.Duck(), b.Closing),
        issubclass(b.Door, b.Closing),
    ),
    lambda b: isinstance(3, b.Closing),
    lambda b: (
        isinstance(b.Money(1), numbers.Number),
        issubclass(b.Money, numbers.Number),
        isinstance(1, b.Money),
    ),
    lambda b: ((b.Money(1) + b.Money(2)).cents, (b.Money(1) + 2).cents, (2 + b.Money(1)).cents),
    lambda b: (f"{b.Money(150)}", f"{b.Money(150):.1f}", range(5)[b.Money(2)], bool(b.Money(0))),
    lambda b: (b.Money(1) == b.Money(1), b.Money(1) != b.Money(2), {b.Money(1): 1}[b.Money(1)]),
    lambda b: (
        sorted([b.Money(2), b.Money(1)])[0].cents,
        b.Money(2) < b.Money(3),
        b.Money(2) > b.Money(3),
    ),
    lambda b: [
        issubclass(cls, abstract)
        for cls in (
            b.Vector,
            b.Slim,
            b.LowerMap,
            b.Section,
            b.Countdown,
            b.Point,
            b.Config,
            b.Evens,
        )
        for abstract in (
            collections.abc.Hashable,
            collections.abc.Callable,
            collections.abc.Iterable,
            collections.abc.Sized,
            collections.abc.Container,
            collections.abc.Reversible,
            collections.abc.Mapping,
            collections.abc.Sequence,
            collections.abc.Set,
            collections.abc.MutableMapping,
            collections.abc.Collection,
            typing.Hashable,
        )
    ],
    lambda b: kinds(b.Section(), typing.ContextManager),
]

CONTAINERS: list[Check] = [
    lambda b: (lambda m: (m["A"], "b" in m, len(m), list(m), m.get("z", 3), dict(m)))(
        b.LowerMap(A=1, B=2)
    ),
    lambda b: (lambda m: (list(m.items()), list(m.keys()), list(m.values()), m == {"a": 1}))(
        b.LowerMap(A=1)
    ),
    lambda b: b.LowerMap(A=1)["z"],
    lambda b: {**b.LowerMap(A=1)},
    lambda b: operator.setitem(b.LowerMap(A=1), "a", 2),
    lambda b: kinds(
        b.LowerMap(), collections.abc.Mapping, collections.abc.MutableMapping, dict, b.LowerMap
    ),
    lambda b: (lambda s: (s.update(a=1, c=2), s.setdefault("b", 5), s.pop("a"), dict(s)))(
        b.Store()
    )[1:],
    lambda b: (lambda s: (operator.setitem(s, 1, 2), operator.delitem(s, 1), len(s)))(b.Store()),
    lambda b: (
        list(b.Countdown(3)),
        b.Countdown(3)[0],
        b.Countdown(3)[1:],
        2 in b.Countdown(3),
        list(reversed(b.Countdown(2))),
    ),
    lambda b: (b.Countdown(3).index(2), b.Countdown(3).count(2)),
    lambda b: (
        sorted(b.Evens([1, 2, 4]) | {6}),
        sorted(b.Evens([2, 4]) & {4}),
        b.Evens([2]) <= {2, 3},
    ),
    lambda b: b.Evens([2]).isdisjoint({4}),
    lambda b: (lambda s: (operator.setitem(s, "a", 1), s.flat(), s["a"], len(s), dict(s), s.data))(
        b.Settings()
    )[1:],
    lambda b: kinds(b.Settings(), collections.UserDict, collections.abc.MutableMapping, dict),
    lambda b: (lambda r: (r.append(3), list(r), r[0], len(r), r + [1] == [3, 1]))(b.Rows())[1:],
    lambda b: kinds(b.Config(a=1), dict, b.Config, collections.abc.MutableMapping, list),
    lambda b: (
        b.Config(a=1)["a"],
        b.Config(a=1)["z"],
        b.Config(a=1).get("z"),
        len(b.Config(a=1)),
        "a" in b.Config(a=1),
    ),
    lambda b: (lambda c: (operator.setitem(c, "k", 2), c["k"], c.last, c.doubled(), dict(c)))(
        b.Config(a=1)
    )[1:],
    lambda b: (
        b.Config(a=1) == {"a": 1},
        {"a": 1} == b.Config(a=1),
        json.dumps(b.Config(a=[1])),
        {**b.Config(a=1)},
    ),
    lambda b: (lambda c: (c.update(x=1), c.pop("a"), list(c.items()), c | {"q": 1}))(b.Config(a=1))[
        1:
    ],
    lambda b: (repr(b.Config(a=1)), str(b.Config(a=1))),
    lambda b: hash(b.Config()),
    lambda b: (lambda s: (s.append(3), s.pushed, s[0], list(s), len(s)))(b.Stack())[1:],
    lambda b: (lambda s: (s.extend([1, 2]), s.pop(), s == [1], s + [5], s * 2, [0] + s))(b.Stack())[
        1:
    ],
    lambda b: (kinds(b.Stack(), list, b.Stack), repr(b.Stack([1, 2])), json.dumps(b.Stack([1]))),
    lambda b: (lambda s: (s.sort(), list(s)))(b.Stack([3, 1]))[1],
    lambda b: (
        "joker" in b.Bag([1]),
        1 in b.Bag([1]),
        2 in b.Bag(),
        len(b.Bag([1])),
        sorted(b.Bag([1, 2])),
    ),
    lambda b: (lambda s: (s.add(4), sorted(s), sorted(s | {9}), s == {4}, type(s | {9}) is b.Bag))(
        b.Bag()
    )[1:],
    lambda b: (lambda h: (h.append(1), h.appendleft(0), list(h), h[0], h.maxlen, repr(h)))(
        b.History(maxlen=3)
    )[2:],
    lambda b: (lambda o: (o.move_to_end("a"), list(o), o == {"a": 1, "b": 2}))(b.Ordered(a=1, b=2))[
        1:
    ],
    lambda b: (
        b.Tally("aab").top(),
        b.Tally("aab")["a"],
        b.Tally("a")["z"],
        b.Tally("aab").most_common(),
    ),
    lambda b: (
        b.Tally("aab").total(),
        dict(b.Tally("aab") + b.Tally("a")),
        kinds(b.Tally(), dict, collections.Counter),
    ),
    lambda b: (lambda t: (t.update("aa"), t["a"], dict(t)))(b.Tally("b"))[1:],
    lambda b: (lambda g: (g["x"], dict(g), len(g)))(b.Groups(list)),
    lambda b: (lambda u: (u.extend(b"xy"), bytes(u), u[0], u == b"xy", u.decode()))(b.Buffer())[1:],
    lambda b: (
        b.Movie(title="t", year=1),
        type(b.Movie(title="t", year=1)) is dict,
        issubclass(b.Movie, dict),
    ),
    lambda b: isinstance({}, b.Movie),
    lambda b: (copy.copy(b.Config(a=1)) == {"a": 1}, type(copy.copy(b.Config(a=1))) is b.Config),
    lambda b: type(copy.deepcopy(b.Stack([1]))) is b.Stack,
]

METACLASSES: list[Check] = [
    lambda b: (len(b.Managed), b.Managed[0], "a" in b.Managed, "z" in b.Managed, list(b.Managed)),
    lambda b: (b.Managed == b.ManagedToo, b.Managed != b.ManagedOther, b.Managed == b.ManagedOther),
    lambda b: b.Managed + b.ManagedOther,
    lambda b: (b.Managed.listed(), b.Managed.first, b.Managed.auto_thing, b.Managed.options),
    lambda b: b.Managed.nothing,
    lambda b: b.Managed().listed,
    lambda b: (
        type(b.Managed) is b.Meta,
        isinstance(b.Managed, b.Meta),
        isinstance(b.Slim, b.Meta),
    ),
    lambda b: (issubclass(b.Meta, type), names(b.Meta.__mro__)[:1], names(b.Meta.__mro__)[-2:]),
    lambda b: (
        isinstance("honorary", b.Managed),
        isinstance("other", b.Managed),
        isinstance(b.ManagedToo(), b.Managed),
    ),
    lambda b: (b.Managed(3).value, type(b.Managed()) is b.Managed, b.Managed.__name__),
    lambda b: (
        {b.Managed: 1}[b.ManagedToo] if hash(b.Managed) == hash(b.ManagedToo) else "unequal hashes"
    ),
    lambda b: (b.Registry() is b.Registry("other"), b.Registry().name),
    lambda b: (type(b.Registry).__name__, isinstance(b.Registry(), b.Registry)),
    lambda b: len(b.Slim),
    lambda b: [*b.Slim],
    lambda b: b.Managed.items,
]

ATTRIBUTES: list[Check] = [
    lambda b: (b.Slim(1).left, b.Slim(1).right, b.Slim.__slots__, b.Slim.__match_args__),
    lambda b: b.Slim(1).__dict__ and 1,
    lambda b: setattr(b.Slim(1), "other", 2),
    lambda b: (lambda s: (setattr(s, "left", 5), s.left, delattr(s, "left"), hasattr(s, "left")))(
        b.Slim(1)
    ),
    lambda b: ("NamedPlugin" in b.Plugin.known, b.NamedPlugin.tag),
    lambda b: (
        b.Model.size,
        b.Model(3).size,
        b.SubModel.size,
        b.Model.table,
        b.SubModel.table,
        b.Model().table,
    ),
    lambda b: setattr(b.Model(), "size", "x"),
    lambda b: (lambda m: (setattr(m, "size", 4), m.size, m.area, m.title))(b.Model())[1:],
    lambda b: (lambda m: (setattr(m, "area", 25), m.size, delattr(m, "area"), m.size))(b.Model()),
    lambda b: (lambda m: (m.slow is m.slow, list(m.slow)))(b.Model(2)),
    lambda b: (isinstance(b.Model.area, property), b.Model.area.__doc__),
    lambda b: (
        b.Model().kind(1),
        b.Model().kind("x"),
        b.Model(3).double(),
        b.Model(3).double(offset=1),
    ),
    lambda b: (b.Model.helper(1), b.Model().helper(1), b.Model.scale(b.Model(2), 3)),
    lambda b: (
        b.Model.Inner.level,
        b.Model.Inner().level,
        b.Model.Inner.Core.__qualname__,
        b.SubModel.Inner is b.Model.Inner,
    ),
    lambda b: type(b.Model.Inner.Core()) is b.Model.Inner.Core,
    lambda b: (
        b.Dynamic().dyn_a,
        b.Dynamic().real,
        hasattr(b.Dynamic(), "dyn_x"),
        hasattr(b.Dynamic(), "other"),
    ),
    lambda b: b.Dynamic().other,
    lambda b: (lambda d: (setattr(d, "x", 1), d.x))(b.Dynamic())[1],
    lambda b: (lambda d: (setattr(d, "real", 1), d.real, b.Dynamic.real))(b.Dynamic())[1:],
    lambda b: (b.Vector(1, 2) + b.Vector(1, 1)).items == [2, 3],
    lambda b: ((b.Vector(1, 2) * 2).items == [2, 4], (2 * b.Vector(1, 2)).items == [2, 4]),
    lambda b: b.Vector(1) * "x",
    lambda b: b.Vector(1) + 1,
    lambda b: (
        b.Vector(1, 2) @ b.Vector(3, 4),
        repr(-b.Vector(1, 2)),
        repr(round(b.Vector(1.26), 1)),
    ),
    lambda b: (lambda v: (operator.iadd(v, b.Vector(1)) is v, v.items == [2]))(b.Vector(1)),
    lambda b: (
        b.Vector(1) == b.Vector(1),
        b.Vector(1) != b.Vector(2),
        b.Vector(1) <= b.Vector(2),
        b.Vector(1) >= b.Vector(2),
    ),
    lambda b: hash(b.Vector(1)),
    lambda b: (b.Vector(1, 2)(1), callable(b.Vector(1)), list(reversed(b.Vector(1, 2)))),
    lambda b: len(b.Vector(1)),
    lambda b: 1 in b.Vector(1),
    lambda b: (b.type_name(b.Problem("x")), issubclass(b.Problem, ValueError)),
]


def _matched(b: Any, value: Any) -> str:
    """A match statement with class patterns of all kinds."""
    match value:
        case b.Slim(left=1, right=right):
            return f"slim by name {right}"
        case b.Slim(left, right):
            return f"slim by place {left} {right}"
        case b.Version(1, minor):
            return f"version {minor}"
        case b.Point(x, 0):
            return f"point {x}"
        case b.Tag("special"):
            return "special tag"
        case b.Tag():
            return "tag"
        case b.Color.RED:
            return "red"
        case b.Color():
            return "color"
        case b.Count(n) if n > 5:
            return "many"
        case {"a": a, **rest}:
            return f"mapping {a} {len(rest)}"
        case b.Countdown():
            return "countdown"
        case [first, *_]:
            return f"sequence {first}"
        case str():
            return "text"
        case _:
            return "something"


MATCHES: list[Check] = [
    lambda b: _matched(b, b.Slim(1, 5)),
    lambda b: _matched(b, b.Slim(2)),
    lambda b: _matched(b, b.Version(1, 7)),
    lambda b: _matched(b, b.Version(2, 7)),
    lambda b: _matched(b, b.Point(3)),
    lambda b: _matched(b, b.Point(3, 4)),
    lambda b: _matched(b, b.Tag("special")),
    lambda b: _matched(b, b.Tag("other")),
    lambda b: _matched(b, b.Color.RED),
    lambda b: _matched(b, b.Color.BLUE),
    lambda b: _matched(b, b.Count(6)),
    lambda b: _matched(b, b.LowerMap(A=1, B=2)),
    lambda b: _matched(b, b.Config(a=1)),
    lambda b: _matched(b, b.Countdown(2)),
    lambda b: _matched(b, b.Stack([9, 8])),
    lambda b: _matched(b, b.Mode.READ),
    lambda b: _matched(b, b.Duck()),
]


def _dispatched(b: Any) -> Any:
    """A generic function over served classes."""

    @functools.singledispatch
    def kind(value: Any) -> str:
        return "other"

    for cls in (b.Slim, b.Shape, b.Point, b.Color, b.Quacking, collections.abc.Mapping, str, int):
        kind.register(cls, lambda value, name=cls.__name__: name)
    return kind


DISPATCH: list[Check] = [
    lambda b: _dispatched(b)(b.Slim(1)),
    lambda b: _dispatched(b)(b.Square(1)),
    lambda b: _dispatched(b)(b.Outsider()),
    lambda b: _dispatched(b)(b.Deep(1)),
    lambda b: _dispatched(b)(b.Color.RED),
    lambda b: _dispatched(b)(b.Duck()),
    lambda b: _dispatched(b)(b.LowerMap()),
    lambda b: _dispatched(b)(b.Config()),
    lambda b: _dispatched(b)(b.Tag("a")),
    lambda b: _dispatched(b)(b.Weekday.MONDAY),
    lambda b: _dispatched(b)(b.Vector(1)),
    lambda b: _dispatched(b)("text"),
]


@pytest.mark.parametrize("check", CONTENT)
def test_classes_with_content_of_a_builtin(check: Check, pkg: Any) -> None:
    """`tuple`, `str`, numbers, bytes, dates: C code of here reads the content."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", MIXED)
def test_several_bases(check: Check, pkg: Any) -> None:
    """A base of the package's own before one of Python's; bases of bases."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", ENUMS)
def test_enumerations(check: Check, pkg: Any) -> None:
    """Enum, IntEnum, StrEnum, Flag, IntFlag: members and the class itself."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", DATA)
def test_data_classes(check: Check, pkg: Any) -> None:
    """The functions of `dataclasses` take them for what they are."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", GENERICS)
def test_generic_classes(check: Check, pkg: Any) -> None:
    """`Generic`, `__class_getitem__` of any making, unions."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", ABSTRACT)
def test_abstract_classes(check: Check, pkg: Any) -> None:
    """Abstract members, registered and recognized subclasses, Python's own abstract classes."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", CONTAINERS)
def test_containers(check: Check, pkg: Any) -> None:
    """Derived from abstract classes, from mutable builtins, from `UserDict`."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", METACLASSES)
def test_metaclasses(check: Check, pkg: Any) -> None:
    """What a metaclass defines, its classes do."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", ATTRIBUTES)
def test_attributes_and_operators(check: Check, pkg: Any) -> None:
    """Slots, descriptors, nested classes, `__getattr__`, operators."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", MATCHES)
def test_class_patterns(check: Check, pkg: Any) -> None:
    """`match` finds the same case."""
    same_here_and_there(check, pkg)


@pytest.mark.parametrize("check", DISPATCH)
def test_generic_functions(check: Check, pkg: Any) -> None:
    """`functools.singledispatch` chooses by the same class."""
    same_here_and_there(check, pkg)


def test_generic_functions_of_this_python_outlive_a_session(sample: ServedProcess) -> None:
    """They go through all subclasses of a class, also those that no server can be asked about."""
    with wsremote.connect(sample.url, token=sample.token, new=True) as session:
        served = session.modules.samplepkg.bases
        kept = [getattr(served, name) for name in dir(served) if name[0].isupper()]
    assert _dispatched(samplepkg.bases)(samplepkg.bases.Config()) == "Mapping"
    del kept


def test_exceptions_are_caught_by_any_of_their_bases(pkg: Any) -> None:
    """Also one that is raised here."""
    for kind in (pkg.bases.Problem, ValueError, Exception):
        with pytest.raises(kind) as caught:
            pkg.bases.fail("x")
        assert type(caught.value) is pkg.bases.Problem
        assert caught.value.code == 7
    with pytest.raises(pkg.bases.Problem):
        raise pkg.bases.Problem("y")


def test_context_managers(pkg: Any) -> None:
    """Derived from the abstract class: one swallows an error, one decorates."""
    with pkg.bases.Section() as section:
        raise KeyError("swallowed")
    assert section.log == ["in", "KeyError"]
    assert isinstance(section, typing.ContextManager)
    with pytest.raises(ZeroDivisionError), section:
        1 / 0

    @pkg.bases.Decorating()
    def double(value: int) -> int:
        return value * 2

    assert double(3) == 6
