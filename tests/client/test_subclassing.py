"""Tests of client/subclassing.py and client/class_bodies.py: what a class statement sends."""

from __future__ import annotations

import collections.abc
import functools
from typing import Any

import pytest

from wsremote.codec.markers import Ship
from wsremote.errors import EncodeError
from wsremote.shallow.metaclass import ShallowClass
from wsremote.tree.documents import class_from


@pytest.fixture
def sent(caller: Any) -> list[Any]:
    """What is defined, by a server that makes whatever it is told."""
    messages: list[Any] = []

    def define(target: Any, name: Any, args: Any, kwargs: Any) -> list[Any]:
        messages.append((target, name, args, kwargs))
        if target == "":
            caller.shallow.subclassing.announced(f":{args[0]}", 1000 + args[0])
        return []

    caller.define = define
    return messages


def test_a_body_is_taken_apart(goods: Any, sent: list[Any]) -> None:
    """Functions with their nodes, data by value, in the order of the body."""

    class Mine(goods.Fruit, option=1):
        """Mine."""

        rate = 3

        def eat(self, much: int = 1) -> int:
            """Eat."""
            return much

        @property
        def size(self) -> int:
            return 1

        @staticmethod
        def plain() -> None: ...

        @functools.cached_property
        def late(self) -> int:
            return 2

    ((target, name, args, keywords),) = sent
    number, document, bases, entries = args
    assert (target, name, keywords) == ("", None, {"option": 1})
    assert bases == (goods.Fruit,)
    node = class_from(document)
    assert (node.name, node.doc, node.module) == ("Mine", "Mine.", __name__)
    assert [entry[:2] for entry in entries] == [
        ("rate", "value"),
        ("eat", "function"),
        ("size", "property"),
        ("plain", "staticmethod"),
        ("late", "cached"),
    ]
    key, function_name, function, abstract, _ = entries[1][2]
    assert (function_name, function, abstract) == ("eat", Mine.__dict__["eat"], False)
    assert str(node.members[key].signature) == "(self, much: int = 1) -> int"  # type: ignore[union-attr]
    assert Mine._wsremote_path == 1000 + number


def test_data_of_the_class_is_read_on_the_server(goods: Any, caller: Any, sent: list[Any]) -> None:
    """It may be changed there; the class here does not keep it."""

    class Mine(goods.Fruit):
        rate = 3

    caller.objects[Mine._wsremote_path] = type("There", (), {"rate": 4})
    assert Mine.rate == 4
    assert caller.log[-1][:3] == ("get", Mine._wsremote_path, "rate")


def test_a_name_is_set_and_deleted_on_both_sides(goods: Any, sent: list[Any]) -> None:
    """Functions again with their nodes."""

    class Mine(goods.Fruit):
        pass

    def eat(self: Any) -> int:
        return 1

    Mine.eat = eat
    target, name, (_, entry), _ = sent[-1]
    assert (target, name, entry[:2]) == (Mine._wsremote_path, "eat", ("eat", "function"))
    assert Mine.__dict__["eat"] is eat
    del Mine.eat
    assert sent[-1][:3] == (Mine._wsremote_path, "eat", ((),))
    assert "eat" not in Mine.__dict__


def test_local_bases_go_along_once(goods: Any, sent: list[Any]) -> None:
    """The second time by their number; those of Python's own by name."""

    class Mixin:
        rate = 2

        def help(self) -> int:
            return 1

    class First(Mixin, goods.Fruit):
        pass

    class Second(goods.Fruit, Mixin, collections.abc.Sized):
        pass

    (mixin, fruit), (again, known, plain) = sent[0][2][2], sent[1][2][2]
    number, document, bases, entries = mixin
    assert class_from(document).name == "Mixin"
    assert (bases, fruit) == ((object,), goods.Fruit)
    assert (again, known, plain) == (goods.Fruit, number, collections.abc.Sized)
    assert [entry[:2] for entry in entries] == [("rate", "value"), ("help", "function")]
    assert isinstance(First.__dict__["rate"], property), "an instance may have its own"


def test_what_cannot_be_a_base_is_refused(goods: Any, sent: list[Any]) -> None:
    """Before anything is sent; and what is not defined is no class."""
    import random

    with pytest.raises(EncodeError, match="written in C"):

        class Mine(goods.Fruit, random.Random):
            pass

    with pytest.raises(TypeError, match="__getattribute__"):

        class Other(goods.Fruit):
            def __getattribute__(self, name: str) -> Any: ...

    assert sent == []


def test_ship_sends_the_code(goods: Any, sent: list[Any]) -> None:
    """The functions themselves, and none is left here."""
    import wsremote

    @wsremote.ship
    class Mine(goods.Fruit):
        def eat(self, much: int = 1) -> int:
            return much

    target, name, (_, entry), _ = sent[-1]
    assert (target, name, len(sent)) == (Mine._wsremote_path, "*", 2)
    assert isinstance(entry[2][2], Ship)
    assert Mine.__dict__["eat"].__code__.co_filename.startswith("<wsremote")


def test_a_metaclass_of_the_client_makes_the_class(goods: Any, sent: list[Any]) -> None:
    """It derives from the metaclass here; the server takes its own."""

    class Meta(ShallowClass):
        def __new__(mcls, name: str, bases: Any, namespace: Any, **kwargs: Any) -> Any:
            return super().__new__(mcls, name.upper(), bases, namespace, **kwargs)

    class Mine(goods.Fruit, metaclass=Meta):
        pass

    assert Mine.__name__ == "MINE"
    assert type(Mine) is Meta
    assert "metaclass" not in sent[0][3]
