"""What packages do to classes while they run: make them, name them, register and patch them."""

from __future__ import annotations

import abc
import datetime
import pickle
import random
from collections.abc import Callable, Sequence
from typing import Any


class Symbolic(type):
    """A metaclass whose properties come before what its classes have."""

    @property
    def arity(cls) -> int:
        """How many arguments there are."""
        return 1

    @property
    def _private(cls) -> str:
        return f"of the class {cls.__name__}"

    @property
    def _kept(cls) -> str:
        return "of the metaclass"


class Root:
    """Of no metaclass."""

    @property
    def _kept(self) -> str:
        return "of the base"


class Expression(Root, metaclass=Symbolic):
    """Whose instances have something else under the names of the metaclass's properties."""

    arity = 2
    _private = "of the instance"

    def __init__(self, *args: Any) -> None:
        self.args = args

    @property
    def func(self) -> Any:
        """What it was made by."""
        return type(self)

    @classmethod
    def twice(cls) -> str:
        """The name, twice."""
        return cls.__name__ * 2


class Applied(Expression):
    """Has data where its base has a property."""

    _kept = "of the class"  # type: ignore[assignment]


def function(name: str) -> Any:
    """A class that is in no module."""
    return Symbolic(name, (Expression,), {"__module__": None})


def is_made_by(expression: Any, cls: Any) -> bool:
    """Whether an expression is of just that class."""
    return type(expression) is cls


class _Ordered:
    """A base that nobody lists."""


class Less(_Ordered):
    """A class that is listed."""


class Zone(datetime.tzinfo):
    """A time zone with code of its own."""

    def __init__(self, hours: int) -> None:
        self.hours = hours

    def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
        """The offset."""
        return datetime.timedelta(hours=self.hours)

    def dst(self, moment: datetime.datetime | None) -> datetime.timedelta:
        """None."""
        return datetime.timedelta(0)

    def tzname(self, moment: datetime.datetime | None) -> str:
        """The name."""
        return f"+{self.hours}"


def in_zone(zone: datetime.tzinfo) -> datetime.datetime:
    """A moment there."""
    return datetime.datetime(2024, 5, 4, 12, tzinfo=zone)


def shown(moment: datetime.datetime) -> str:
    """What C code makes of it."""
    return moment.strftime("%H:%M %z %Z")


class Sized:
    """Gives an instance another function for a static one of the class."""

    def __init__(self, size_of: Callable[[Any], int] | None = None) -> None:
        if size_of is not None:
            self.size_of = size_of

    @staticmethod
    def size_of(value: Any) -> int:
        """How much a value counts."""
        return 1

    @staticmethod
    def unit() -> str:
        """What is counted."""
        return "items"


class Table:
    """Has data under names with two underscores."""

    __tablename__ = "users"
    __kind__ = int


class Vector(abc.ABC):
    """An abstract class that counts as a sequence."""

    @abc.abstractmethod
    def length(self) -> int:
        """How long it is."""


class Plain:
    """One that is registered with it, and so a sequence as well."""


Sequence.register(Vector)
Vector.register(Plain)

_dice = random.Random(1)
roll = _dice.randint


def patch(cls: Any, name: str, method: Callable[..., Any]) -> Any:
    """Put a function into a class; the one that was there is its attribute."""
    method.original = getattr(cls, name)  # type: ignore[attr-defined]
    setattr(cls, name, method)
    return method


class cached:
    """A property that is found in the instance's own data afterwards."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__isabstractmethod__ = getattr(function, "__isabstractmethod__", False)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.function.__name__] = self.function(instance)
        return value


def kind_of(item: Any) -> Any:
    """Data that the class of a caller's object has."""
    return item.__kind__


def pickled(item: Any) -> Any:
    """A copy by way of a pickle."""
    return pickle.loads(pickle.dumps([item]))[0]
