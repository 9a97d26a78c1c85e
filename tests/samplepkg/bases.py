"""Classes of every kind of base: what `shallow` has to build, on its own."""

import abc
import collections
import collections.abc
import contextlib
import dataclasses
import datetime
import enum
import functools
import numbers
from types import GenericAlias
from typing import ClassVar, Generic, NamedTuple, Protocol, TypedDict, TypeVar, runtime_checkable

T = TypeVar("T")
K = TypeVar("K")


# ---- content of an immutable builtin ------------------------------------------------


class Point(NamedTuple):
    """A named tuple with methods."""

    x: int
    y: int = 0

    def norm(self):
        """Squared length."""
        return self.x**2 + self.y**2

    @property
    def flipped(self):
        """The other way round."""
        return Point(self.y, self.x)

    @classmethod
    def diagonal(cls, size):
        """On the diagonal."""
        return cls(size, size)


Pair = collections.namedtuple("Pair", "first second", defaults=[2])


class Deep(Point):
    """A subclass of a named tuple, with a `__dict__`."""

    depth = 3

    def __add__(self, other):
        return Deep(self.x + other[0], self.y + other[1])


class Sorted(tuple):
    """A tuple whose `__new__` sorts, with an attribute of its own."""

    def __new__(cls, items=()):
        self = super().__new__(cls, sorted(items))
        self.origin = len(self)
        return self

    def __contains__(self, item):
        return item == "anything" or super().__contains__(item)

    def least(self):
        """The first."""
        return self[0]


class Tag(str):
    """Text with attributes."""

    __slots__ = ("color",)

    def __new__(cls, text, color="red"):
        self = super().__new__(cls, text)
        self.color = color
        return self

    def shout(self):
        """Loud."""
        return self.upper() + "!"

    def __mod__(self, other):
        return Tag(super().__mod__(other), self.color)


class Celsius(float):
    """A number that shows its unit."""

    unit = "C"

    def __repr__(self):
        return f"{float(self)} C"

    def __add__(self, other):
        return Celsius(float(self) + other)

    @property
    def kelvin(self):
        """From zero."""
        return self + 273.15


class Count(int):
    """An integer with a method and an attribute."""

    def __new__(cls, value=0, label="n"):
        self = super().__new__(cls, value)
        self.label = label
        return self

    def following(self):
        """The next."""
        return Count(self + 1, self.label)


class Wave(complex):
    """A complex number."""

    def phase(self):
        """Sign of the imaginary part."""
        return 1 if self.imag >= 0 else -1


class Blob(bytes):
    """Bytes."""

    def checksum(self):
        """Sum."""
        return sum(self) % 256


class Frozen(frozenset):
    """A frozen set."""

    def biggest(self):
        """The largest."""
        return max(self)


class Day(datetime.date):
    """A date."""

    def weekend(self):
        """Whether nobody works."""
        return self.weekday() >= 5


class Moment(datetime.datetime):
    """A moment that shows itself in its own way."""

    def __str__(self):
        return f"at {self.hour}"

    def half(self):
        """Of its hour."""
        return self.hour / 2


class Span(datetime.timedelta):
    """A duration."""

    @property
    def hours(self):
        """In hours."""
        return self.total_seconds() / 3600


# ---- enumerations -------------------------------------------------------------------


class Color(enum.Enum):
    """Plain, with an alias, a method and a property."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    ROUGE = "red"

    @property
    def short(self):
        """First letter."""
        return self.value[0]

    def mix(self, other):
        """Both names."""
        return f"{self.name}+{other.name}"

    @classmethod
    def default(cls):
        """The first."""
        return cls.RED

    @classmethod
    def _missing_(cls, value):
        return cls.BLUE if value == "azure" else None


class Weekday(enum.IntEnum):
    """Numbers."""

    MONDAY = 1
    TUESDAY = 2


class Mode(enum.StrEnum):
    """Texts."""

    READ = "r"
    WRITE = enum.auto()


class Permission(enum.Flag):
    """Bits."""

    READ = 1
    WRITE = 2
    EXECUTE = 4
    ALL = 7


class Access(enum.IntFlag):
    """Bits that are numbers."""

    R = 4
    W = 2
    X = 1


class Planet(enum.Enum):
    """With data of its own."""

    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius

    @property
    def density(self):
        """About."""
        return round(self.mass / self.radius**3, 4)


# ---- data classes -------------------------------------------------------------------


@dataclasses.dataclass
class Item:
    """Plain."""

    name: str
    price: float = 1.5
    tags: list = dataclasses.field(default_factory=list)
    _hidden: int = dataclasses.field(default=0, repr=False, compare=False)
    registry: ClassVar[dict] = {}

    def total(self, count=1):
        """Of some."""
        return self.price * count


@dataclasses.dataclass(frozen=True, order=True)
class Version:
    """Frozen and ordered."""

    major: int
    minor: int = dataclasses.field(default=0, metadata={"unit": "step"})

    def next(self):
        """One up."""
        return dataclasses.replace(self, minor=self.minor + 1)


@dataclasses.dataclass(slots=True, kw_only=True)
class Slotted:
    """With slots, by keyword."""

    left: int
    right: int = 4


@dataclasses.dataclass
class Crate(Generic[T]):
    """A generic data class."""

    content: T
    label: str = "crate"

    def unpack(self) -> T:
        """What is in it."""
        return self.content


@dataclasses.dataclass
class BigCrate(Crate[int]):
    """Derived from a subscripted class."""

    size: int = 10


# ---- generics -----------------------------------------------------------------------


class Box(Generic[T, K]):
    """Two type parameters."""

    def __init__(self, content, key=None):
        self.content = content
        self.key = key


class IntBox(Box[int, str]):
    """Subscripted base."""


class Aliasing:
    """`__class_getitem__` as the standard library has it."""

    __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, value=1):
        self.value = value


class Indexed:
    """`__class_getitem__` of its own making."""

    def __class_getitem__(cls, item):
        return f"{cls.__name__}<{item}>"


class Stack(list[int]):
    """A list that counts what is pushed."""

    pushed = 0

    def append(self, value):
        """Push."""
        self.pushed += 1
        super().append(value)


# ---- abstract classes ---------------------------------------------------------------


class Shape(abc.ABC):
    """Abstract method, property and class method."""

    @abc.abstractmethod
    def area(self):
        """How large."""

    @property
    @abc.abstractmethod
    def name(self):
        """What it is."""

    @classmethod
    @abc.abstractmethod
    def unit(cls):
        """One of them."""

    def describe(self):
        """In words."""
        return f"{self.name} of {self.area()}"


class Square(Shape):
    """All is there."""

    def __init__(self, side):
        self.side = side

    def area(self):
        """Side squared."""
        return self.side**2

    @property
    def name(self):
        """Its name."""
        return "square"

    @classmethod
    def unit(cls):
        """Of side one."""
        return cls(1)


class Half(Shape):
    """Still abstract."""

    def area(self):
        """Half."""
        return 0.5


class Outsider:
    """Registered with `Shape`."""


Shape.register(Outsider)
Shape.register(int)


class Quacking(abc.ABC):  # noqa: B024
    """A hook decides."""

    @classmethod
    def __subclasshook__(cls, other):
        return any("quack" in vars(base) for base in other.__mro__) or NotImplemented


class Duck:
    """Quacks."""

    def quack(self):
        """Once."""
        return "quack"


@runtime_checkable
class Closing(Protocol):
    """A protocol that can be asked for."""

    def close(self) -> None:
        """End."""


class Door:
    """Closes, and does not say so."""

    def close(self) -> None:
        """Bang."""


class Money(numbers.Number):
    """A number that is not one of Python's."""

    def __init__(self, cents):
        self.cents = cents

    def __add__(self, other):
        return Money(self.cents + getattr(other, "cents", other))

    __radd__ = __add__

    def __eq__(self, other):
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self):
        return hash(self.cents)

    def __lt__(self, other):
        return self.cents < other.cents

    def __bool__(self):
        return self.cents != 0

    def __format__(self, spec):
        return f"{self.cents / 100:{spec or '.2f'}} EUR"

    def __index__(self):
        return self.cents


# ---- containers by abstract class ---------------------------------------------------


class LowerMap(collections.abc.Mapping):
    """Read-only, keys in lower case."""

    def __init__(self, **items):
        self._items = {key.lower(): value for key, value in items.items()}

    def __getitem__(self, key):
        return self._items[key.lower()]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


class Store(collections.abc.MutableMapping):
    """Writable."""

    def __init__(self):
        self._items = {}

    def __getitem__(self, key):
        return self._items[key]

    def __setitem__(self, key, value):
        self._items[key] = value

    def __delitem__(self, key):
        del self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


class Countdown(collections.abc.Sequence):
    """A sequence."""

    def __init__(self, start):
        self._start = start

    def __getitem__(self, index):
        return list(range(self._start, 0, -1))[index]

    def __len__(self):
        return self._start


class Evens(collections.abc.Set):
    """A set."""

    def __init__(self, items):
        self._items = frozenset(item for item in items if item % 2 == 0)

    def __contains__(self, item):
        return item in self._items

    def __iter__(self):
        return iter(sorted(self._items))

    def __len__(self):
        return len(self._items)


class Settings(collections.UserDict):
    """A user's dict."""

    def flat(self):
        """As text."""
        return ",".join(f"{key}={value}" for key, value in self.data.items())


class Rows(collections.UserList):
    """A user's list."""


class Config(dict):
    """A dict with `__missing__` and attributes."""

    def __missing__(self, key):
        return f"no {key}"

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.last = key

    def doubled(self):
        """All values twice."""
        return {key: value * 2 for key, value in self.items()}


class Bag(set):
    """A set."""

    def __contains__(self, item):
        return item == "joker" or super().__contains__(item)


class History(collections.deque):
    """A deque."""


class Ordered(collections.OrderedDict):
    """An ordered dict."""


class Tally(collections.Counter):
    """A counter."""

    def top(self):
        """Most common."""
        return self.most_common(1)[0][0]


class Groups(collections.defaultdict):
    """A default dict."""


class Buffer(bytearray):
    """Bytes that change."""


class Movie(TypedDict):
    """A typed dict."""

    title: str
    year: int


# ---- metaclasses --------------------------------------------------------------------


class Meta(type):
    """Classes that are containers, compare and add."""

    def __new__(mcls, name, bases, namespace, **options):
        made = super().__new__(mcls, name, bases, namespace)
        made.options = options
        made.items = ["a", "b", "c"]
        return made

    def __init__(cls, name, bases, namespace, **options):
        super().__init__(name, bases, namespace)

    def __len__(cls):
        return len(cls.items)

    def __getitem__(cls, index):
        return cls.items[index]

    def __contains__(cls, item):
        return item in cls.items

    def __iter__(cls):
        return iter(cls.items)

    def __eq__(cls, other):
        return getattr(other, "options", None) == cls.options

    def __hash__(cls):
        return hash(cls.__name__)

    def __add__(cls, other):
        return f"{cls.__name__}+{other.__name__}"

    def __instancecheck__(cls, instance):
        return instance == "honorary" or super().__instancecheck__(instance)

    def __getattr__(cls, name):
        if name.startswith("auto_"):
            return name.removeprefix("auto_")
        raise AttributeError(name)

    def listed(cls):
        """A method of classes."""
        return list(cls.items)

    @property
    def first(cls):
        """A property of classes."""
        return cls.items[0]


class Managed(metaclass=Meta, level=1):
    """Has a metaclass."""

    def __init__(self, value=0):
        self.value = value


class ManagedToo(Managed, level=1):
    """Equal to the other."""


class ManagedOther(Managed, level=2):
    """Not equal."""


class SingletonMeta(type):
    """One instance a class."""

    _instances: ClassVar[dict] = {}

    def __call__(cls, *args, **kwargs):
        if cls not in cls._instances:
            cls._instances[cls] = super().__call__(*args, **kwargs)
        return cls._instances[cls]


class Registry(metaclass=SingletonMeta):
    """There is one."""

    def __init__(self, name="the"):
        self.name = name


# ---- attributes, descriptors, hooks -------------------------------------------------


class Slim:
    """Slots."""

    __slots__ = ("_hidden", "left", "right")
    __match_args__ = ("left", "right")

    def __init__(self, left, right=2):
        self.left = left
        self.right = right


class Plugin:
    """`__init_subclass__` keeps its subclasses."""

    known: ClassVar[list] = []

    def __init_subclass__(cls, /, tag=None, **options):
        super().__init_subclass__(**options)
        cls.tag = tag
        Plugin.known.append(cls.__name__)


class NamedPlugin(Plugin, tag="named"):
    """Registered."""


class Typed:
    """A data descriptor with `__set_name__`."""

    def __init__(self, kind):
        self.kind = kind

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return f"{owner.__name__}.{self.name}: {self.kind.__name__}"
        return instance.__dict__.get(self.name, self.kind())

    def __set__(self, instance, value):
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name} must be {self.kind.__name__}")
        instance.__dict__[self.name] = value


class ClassProperty:
    """A descriptor that answers for the class."""

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner=None):
        return self.function(owner)


class Model:
    """Descriptors of all kinds."""

    size = Typed(int)
    title = Typed(str)
    made = 0

    def __init__(self, size=1):
        self.size = size

    @ClassProperty
    def table(cls):
        """Its table's name."""
        return cls.__name__.lower()

    @functools.cached_property
    def slow(self):
        """Computed once."""
        type(self).made += 1
        return [self.size]

    @property
    def area(self):
        """Settable and deletable."""
        return self.size**2

    @area.setter
    def area(self, value):
        self.size = int(value**0.5)

    @area.deleter
    def area(self):
        self.size = 0

    @functools.singledispatchmethod
    def kind(self, value):
        """By type."""
        return "other"

    @kind.register
    def _(self, value: int):
        return "integer"

    def scale(self, factor, offset=0):
        """Bigger."""
        return self.size * factor + offset

    double = functools.partialmethod(scale, 2)

    @staticmethod
    def helper(value):
        """No self."""
        return value + 1

    class Inner:
        """Nested."""

        level = 1

        class Core:
            """Nested twice."""


class SubModel(Model):
    """Inherits descriptors."""


class Dynamic:
    """Answers for names that are nowhere."""

    real = 1

    def __getattr__(self, name):
        if name.startswith("dyn_"):
            return name.upper()
        raise AttributeError(f"no {name} here")

    def __setattr__(self, name, value):
        object.__setattr__(self, name, ("set", value))


@functools.total_ordering
class Vector:
    """Operators."""

    def __init__(self, *items):
        self.items = list(items)

    def __add__(self, other):
        return Vector(*[a + b for a, b in zip(self.items, other.items, strict=True)])

    def __mul__(self, factor):
        if not isinstance(factor, int | float):
            return NotImplemented
        return Vector(*[factor * item for item in self.items])

    __rmul__ = __mul__

    def __matmul__(self, other):
        return sum(a * b for a, b in zip(self.items, other.items, strict=True))

    def __iadd__(self, other):
        self.items = (self + other).items
        return self

    def __neg__(self):
        return self * -1

    def __eq__(self, other):
        return isinstance(other, Vector) and self.items == other.items

    def __lt__(self, other):
        return sum(self.items) < sum(other.items)

    __hash__ = None

    def __call__(self, index):
        return self.items[index]

    def __repr__(self):
        return f"Vector{tuple(self.items)}"

    def __reversed__(self):
        return reversed(self.items)

    def __round__(self, digits=0):
        return Vector(*[round(item, digits) for item in self.items])


class Section(contextlib.AbstractContextManager):
    """A context manager that swallows KeyError."""

    def __init__(self):
        self.log = []

    def __enter__(self):
        self.log.append("in")
        return self

    def __exit__(self, kind, error, traceback):
        self.log.append("out" if kind is None else kind.__name__)
        return kind is KeyError


class Decorating(contextlib.ContextDecorator):
    """A context manager that decorates."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Problem(ValueError):
    """An exception with data."""

    def __init__(self, what, code=7):
        super().__init__(what)
        self.code = code


def fail(what):
    """Raise a Problem."""
    raise Problem(what)


@functools.singledispatch
def kind_of(value):
    """By type, on the server."""
    return "other"


@kind_of.register
def _(value: Point):
    return "point"


@kind_of.register
def _(value: str):
    return "text"


# ---- what the server still has ------------------------------------------------------

ORIGIN = Point(1, 2)
RED_TAG = Tag("kept", "blue")


class Holder:
    """Holds objects of the other classes."""

    def __init__(self):
        self.point = Point(3, 4)
        self.tag = Tag("held")
        self.number = Count(5)
        self.nested = {"points": [Point(1, 1), Point(2, 2)], "tag": self.tag}

    def is_mine(self, value):
        """Whether it is the very object."""
        return value is self.point or value is self.tag or value is self.number


def type_name(value):
    """What the server says of a value's class."""
    return type(value).__name__


def same(first, second):
    """Whether both are one object on the server."""
    return first is second


def echo(value):
    """As it came."""
    return value


class Mixin:
    """Comes before a builtin."""

    def mixed(self):
        """Its own."""
        return f"mixed {self}"


class MixedText(Mixin, str):
    """Shows and hashes itself as text does."""


class MixedPair(Mixin, tuple):
    """Shows and hashes itself as a tuple does."""


class MixedMap(Mixin, LowerMap):
    """Is a mapping that cannot be hashed."""


class SortedSettings(Settings):
    """Derived twice."""


class Base(enum.Enum):
    """Members derive from it."""

    def describe(self):
        """In words."""
        return f"{type(self).__name__}.{self.name}"


class Direction(Base):
    """Derived from an enumeration without members."""

    UP = 1
    DOWN = -1
