"""Data classes, enumerations, named tuples."""

import collections
import enum
import typing
from dataclasses import dataclass, field


@dataclass
class Item:
    """A mutable dataclass."""

    name: str
    price: float = 0.0
    tags: list[str] = field(default_factory=list)
    shop: typing.ClassVar[str] = "corner"

    @property
    def label(self) -> str:
        """Name and price."""
        return f"{self.name}: {self.price}"


@dataclass(frozen=True)
class Point:
    """A frozen dataclass: a value."""

    x: int
    y: int = 0

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)


@dataclass(slots=True)
class Slotted:
    """A dataclass with slots."""

    left: int
    right: int = 1


class Colour(enum.Enum):
    """An enumeration, with an alias and a method."""

    RED = 1
    GREEN = "green"
    CRIMSON = 1

    def shout(self):
        """The name, loud."""
        return self.name + "!"


class Level(enum.IntEnum):
    """Integers with names."""

    LOW = 1
    HIGH = 10


class Access(enum.Flag):
    """Flags."""

    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


class Pair(typing.NamedTuple):
    """A typed named tuple."""

    second: int
    first: str = "one"

    def swapped(self):
        """The other way round."""
        return (self.first, self.second)


Triple = collections.namedtuple("Triple", ["c", "b", "a"])


def move(point: Point, by: Point) -> Point:
    """A value in, a value out."""
    return point + by
