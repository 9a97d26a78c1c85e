"""Served decorators of the client's classes, and names that only look like Python's own."""

from __future__ import annotations

import logging
import re
import threading
import typing
from typing import Any

import pytest

import wsremote
from wsremote.errors import NotExposed


@pytest.fixture
def marking(pkg: Any) -> Any:
    """The served decorators."""
    return pkg.marking


def test_a_class_is_decorated_in_place(marking: Any) -> None:
    """Its body is read and changed; objects are made with the new constructor."""

    @marking.record
    class Point:
        x = marking.Field()
        y = marking.Field(3)

        def total(self) -> Any:
            return self.x + self.y

    assert (Point.__record_fields__, Point.__match_args__) == (("x", "y"), ("x", "y"))
    assert marking.fields_of(Point) == marking.fields_of(Point(1)) == ("x", "y")
    assert not hasattr(Point, "x")
    point = Point(1)
    assert vars(point) == {"x": 1, "y": 3}
    assert Point(1, y=5).total() == 6
    with pytest.raises(TypeError, match="unknown fields"):
        Point(z=1)


def test_a_class_is_made_anew(marking: Any) -> None:
    """`type(cls)(name, bases, body)` of served code makes a class of its own."""

    class Plain:
        def name(self) -> str:
            return type(self).__name__

    again = marking.rebuilt(Plain)
    assert again is not Plain
    assert (again.__name__, again.added, again().name()) == ("Plain", 1, "Plain")


def test_names_that_are_not_pythons_are_attributes(marking: Any) -> None:
    """Read, set and deleted, on objects and on classes of either side."""
    holder = marking.made([1])
    assert holder.__my_data__ == [1]
    holder.__more__ = 2
    assert holder.__more__ == 2
    del holder.__more__
    assert not hasattr(holder, "__more__")
    marking.Holder.__kind__ = "kept"
    try:
        assert holder.__kind__ == marking.Holder.__kind__ == "kept"
    finally:
        del marking.Holder.__kind__


@pytest.mark.parametrize("name", ["__globals__", "__subclasses__", "__code__", "__reduce_ex__"])
def test_pythons_own_names_stay_closed(remote: wsremote.Session, marking: Any, name: str) -> None:
    """What leads into the interpreter is refused by the server itself."""
    holder = marking.made(1)
    with pytest.raises((NotExposed, AttributeError)):
        remote._driver.set(holder._wsremote_handle, name, 1)


def test_a_special_method_in_a_slot(marking: Any) -> None:
    """`__call__` may be data of each object."""
    twice = marking.Slotted(lambda value: value * 2, "twice")
    assert callable(twice)
    assert (twice(4), twice.name) == (8, "twice")


def test_data_of_functions_goes_with_the_class(marking: Any) -> None:
    """A base sees the marks of methods, also what was put into them after they were set."""

    class Mine(marking.Hooked):
        @marking.hook
        def first(self) -> int:
            return 1

        def second(self) -> int:
            return 2

    assert Mine.hooks == ("first",)
    assert Mine.first.__hook__ == {"kind": "hook"}


def test_objects_are_instances_of_what_both_sides_have(marking: Any) -> None:
    """In both directions, for classes of the standard library."""
    assert marking.is_logger(logging.getLogger("x"))
    assert not marking.is_event(logging.getLogger("x"))
    assert marking.is_event(threading.Event())
    event = marking.event()
    assert isinstance(event, threading.Event)
    assert not isinstance(event, logging.Logger)
    event.set()
    assert event.is_set()


def test_types_with_arguments(marking: Any) -> None:
    """Of served classes and of the client's."""

    class Own:
        pass

    assert marking.is_subscripted(list[marking.Field], list)
    assert marking.is_subscripted(typing.Dict[str, Own], dict)  # noqa: UP006
    assert not marking.is_subscripted(typing.Optional[Own], dict)  # noqa: UP045


def test_patterns_are_values(pkg: Any) -> None:
    """Compiled here, used there by C code."""
    assert pkg.guests.take(1, iter([re.compile("a+", re.IGNORECASE)]))[0] == re.compile("a+", re.I)
