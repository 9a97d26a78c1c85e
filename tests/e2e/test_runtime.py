"""Classes that are made, patched, registered and pickled while the program runs.

Each check is run with `samplepkg.runtime` imported here and with the one that a server has.
"""

from __future__ import annotations

import abc
import datetime
from collections.abc import Sequence
from typing import Any

import pytest
import samplepkg.runtime


@pytest.fixture(params=["here", "there"])
def runtime(request: pytest.FixtureRequest, pkg: Any) -> Any:
    """The module, imported or served."""
    return samplepkg.runtime if request.param == "here" else pkg.runtime


def test_classes_without_a_module(runtime: Any) -> None:
    """A class that served code has made in no module is used like any of its classes."""
    f = runtime.function("f")
    made = f(1, 2)
    assert made.args == (1, 2)
    assert made.func is f
    assert type(made) is f
    assert isinstance(made, runtime.Expression)
    assert issubclass(f, runtime.Expression)
    assert f.twice() == "ff"
    assert f.__name__ == "f"


def test_classes_with_a_served_metaclass_come_home(runtime: Any) -> None:
    """Sent to the server, such a class is the server's own, not one of the client."""
    f = runtime.function("f")
    assert runtime.is_made_by(f(), f)
    assert not runtime.is_made_by(f(), runtime.function("f"))
    assert runtime.is_made_by(runtime.Expression(), runtime.Expression)


def test_properties_of_a_metaclass(runtime: Any) -> None:
    """They are the class's, whatever the class has under the name; and instances have that."""
    f = runtime.function("f")
    for cls in (runtime.Expression, f):
        assert cls.arity == 1
        assert cls().arity == 2
        assert cls._private == f"of the class {cls.__name__}"
        assert cls()._private == "of the instance"


def test_properties_of_a_metaclass_in_derived_classes(runtime: Any) -> None:
    """The same of a class that is derived here, which is told the private names of its bases."""

    class Mine(runtime.Expression):  # type: ignore[misc]
        arity = 3

    assert Mine.arity == 1
    assert Mine().arity == 3
    assert Mine()._private == "of the instance"
    assert Mine()._kept == "of the base"
    assert runtime.Applied()._kept == "of the class"
    assert Mine._kept == runtime.Applied._kept == "of the metaclass"


def test_unlisted_bases_are_one_class(runtime: Any) -> None:
    """A private class is the same as a base, read from its module, and of an object."""
    assert isinstance(runtime.Less(), runtime._Ordered)
    assert runtime._Ordered in runtime.Less.__mro__
    assert type(runtime._Ordered()) is runtime._Ordered


def test_unlisted_bases_that_are_read_first(runtime: Any) -> None:
    """The same, if the private class comes before those that derive from it."""
    private = runtime._Ordered
    assert issubclass(runtime.Less, private)


def test_time_zones_of_the_server(runtime: Any) -> None:
    """C code takes a time zone of the server for one, and `datetime` asks it."""
    zone = runtime.Zone(3)
    assert isinstance(zone, datetime.tzinfo)
    moment = datetime.datetime(2024, 5, 4, 12, tzinfo=zone)
    assert moment.utcoffset() == datetime.timedelta(hours=3)
    assert moment == datetime.datetime(2024, 5, 4, 9, tzinfo=datetime.UTC)
    given = runtime.in_zone(zone)
    assert type(given) is datetime.datetime
    assert given.tzinfo is zone
    assert given == moment


def test_time_zones_of_the_client(runtime: Any) -> None:
    """The same the other way round, in `time` too."""

    class Half(datetime.tzinfo):
        def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
            return datetime.timedelta(minutes=30)

        def dst(self, moment: datetime.datetime | None) -> datetime.timedelta:
            return datetime.timedelta(0)

        def tzname(self, moment: datetime.datetime | None) -> str:
            return "half"

    zone = Half()
    assert runtime.shown(datetime.datetime(2024, 5, 4, 12, tzinfo=zone)) == "12:00 +0030 half"
    assert runtime.shown(datetime.time(12, tzinfo=zone)) == "12:00 +0030 half"
    assert runtime.in_zone(zone).tzinfo is zone


def test_static_methods_that_instances_override(runtime: Any) -> None:
    """An instance that has its own function under the name of a static one calls that."""
    assert runtime.Sized.size_of("abc") == 1
    assert runtime.Sized().size_of("abc") == 1
    assert runtime.Sized(len).size_of("abc") == 3
    assert runtime.Sized(lambda value: 7).size_of("abc") == 7
    assert runtime.Sized.unit() == runtime.Sized(len).unit() == "items"


def test_data_under_names_with_two_underscores(runtime: Any) -> None:
    """They are read from classes and instances like other data, on both sides."""
    assert runtime.Table.__tablename__ == runtime.Table().__tablename__ == "users"
    assert runtime.Table.__kind__ is runtime.Table().__kind__ is int

    class Mine:
        __kind__ = str

    assert runtime.kind_of(Mine()) is str
    with pytest.raises(AttributeError):
        runtime.kind_of(object())


def test_registered_by_way_of_another_class(runtime: Any) -> None:
    """A class that is registered with one that is registered with Python's counts as that."""
    assert isinstance(runtime.Plain(), Sequence)
    assert issubclass(runtime.Plain, Sequence)
    assert not issubclass(runtime.Less, Sequence)


def test_bound_methods_of_a_module(runtime: Any) -> None:
    """A method of an object that a module has under a name is a function of that module."""
    assert runtime.roll(6, 6) == 6


def test_patched_classes_of_the_client(runtime: Any) -> None:
    """What served code reads from a class of the client is the function that it has then."""

    class Mine:
        def number(self) -> int:
            return 7

    before = Mine.number

    def number(self: Any) -> int:
        return number.original(self) * 6  # type: ignore[attr-defined, no-any-return]

    assert runtime.patch(Mine, "number", number) is number
    assert Mine().number() == 42
    assert number.original is before  # type: ignore[attr-defined]


def test_what_is_written_into_the_data_of_an_object(runtime: Any) -> None:
    """The `__dict__` of a client's object is its own, for served descriptors too."""
    calls = []

    class Mine:
        def value(self) -> int:
            calls.append(1)
            return 7

        value = runtime.cached(value)  # type: ignore[assignment]

    mine = Mine()
    assert (mine.value, mine.value, calls) == (7, 7, [1])
    mine.value = 8  # type: ignore[assignment, method-assign]
    assert mine.value == 8
    del mine.value
    assert (mine.value, calls) == (7, [1, 1])


def test_served_descriptors_that_are_abstract(runtime: Any) -> None:
    """An abstract class of the client sees that what they wrap is still to be defined."""

    class Shape(abc.ABC):
        @runtime.cached
        @abc.abstractmethod
        def area(self) -> int:
            """Not here."""

    class Square(Shape):
        area = 4  # type: ignore[assignment]

    assert Shape.__abstractmethods__ == {"area"}
    with pytest.raises(TypeError, match="abstract"):
        Shape()
    assert Square().area == 4


class Coin:
    """What the client pickles by its name."""

    def __init__(self, value: int) -> None:
        self.value = value


def test_pickles_with_objects_of_the_client(runtime: Any) -> None:
    """Served code that pickles them gets new ones of the client's own when it loads that."""
    coin = Coin(5)
    copied = runtime.pickled(coin)
    assert type(copied) is Coin
    assert copied is not coin
    assert copied.value == 5
