"""Classes to be derived from on the client, and code that uses what was derived."""

import abc
import collections.abc
import enum
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Engine:
    """Calls methods that derived classes override."""

    power = 10
    _gear = 1

    def __init__(self, name="engine"):
        self.name = name
        self.log = []

    def step(self, amount: int = 1) -> int:
        """Overridden."""
        return amount * self.power

    def run(self, times):
        """Uses `step`."""
        return [self.step(index) for index in range(times)]

    def run_with_default(self):
        """Calls `step` without its argument."""
        return self.step()

    @property
    def speed(self):
        """Overridden."""
        return 1

    def faster(self):
        """Uses `speed`."""
        return self.speed + 1

    @classmethod
    def build(cls, name):
        """Make one."""
        return cls(name)

    @staticmethod
    def unit():
        """Overridden."""
        return "kW"

    def in_units(self):
        """Uses `unit`."""
        return self.unit()

    def twin(self):
        """Another one of the same class."""
        return type(self)(self.name)

    def _shift(self):
        return self._gear + 1

    def shifted(self):
        """Uses `_shift`."""
        return self._shift()

    def read_power(self):
        """What the class has."""
        return type(self).power

    def set_power(self, value):
        """Set it on the class."""
        type(self).power = value


class Plugin:
    """Keeps its subclasses."""

    registry: dict = {}

    def __init_subclass__(cls, *, tag="none", **kwargs):
        super().__init_subclass__(**kwargs)
        cls.tag = tag
        Plugin.registry[cls.__name__] = cls


class Meta(type):
    """Counts its classes."""

    made: list = []

    def __new__(mcls, name, bases, namespace, **kwargs):
        made = super().__new__(mcls, name, bases, namespace)
        made.number = len(Meta.made)
        made.given = kwargs
        Meta.made.append(name)
        return made

    def __init__(cls, name, bases, namespace, **kwargs):
        super().__init__(name, bases, namespace)


class Made(metaclass=Meta):
    """Has a metaclass."""


class Field:
    """A descriptor."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return instance.__dict__.get(self.name, "empty")

    def __set__(self, instance, value):
        instance.__dict__[self.name] = f"<{value}>"


class Shape(abc.ABC):
    """Abstract."""

    @abc.abstractmethod
    def area(self):
        """To be defined."""

    @property
    @abc.abstractmethod
    def sides(self):
        """To be defined."""

    def describe(self):
        """Uses both."""
        return f"{self.sides} sides, area {self.area()}"


class Table(collections.abc.Mapping):
    """A mapping."""

    def __init__(self, content):
        self._content = dict(content)

    def __getitem__(self, key):
        return self._content[key]

    def __iter__(self):
        return iter(self._content)

    def __len__(self):
        return len(self._content)


class Box(Generic[T]):
    """Generic."""

    def __init__(self, content):
        self.content = content

    def opened(self):
        """Uses `wrap`."""
        return self.wrap(self.content)

    def wrap(self, content):
        """Overridden."""
        return content


class DerivableError(ValueError):
    """Raised and caught."""

    code = 1


class Left:
    """One of two bases."""

    def who(self):
        """Cooperative."""
        return ["Left", *super().who()]


class Right:
    """The other."""

    def who(self):
        """The end."""
        return ["Right"]


class Slotted:
    """Has slots."""

    __slots__ = ("a",)


class Kind(enum.Enum):
    """Without members, so that it can be derived from."""

    def describe(self):
        """Uses `value`."""
        return f"{self.name} is {self.value}"


class Pair(NamedTuple):
    """Has content."""

    first: int
    second: int = 2

    def total(self):
        """Uses `extra`."""
        return self.first + self.second + self.extra()

    def extra(self):
        """Overridden."""
        return 0


class Loud(dict):
    """A dict that is written through a method of its own."""

    def put(self, key, value):
        """Uses `__setitem__`."""
        self[key] = value
        return self


class Finalized:
    """Dropped by the server."""


def drop_kept():
    """Let go of all that is held."""
    KEPT.clear()


def call(function, *args):
    """`function(*args)`."""
    return function(*args)


def compare(a, b):
    """Python's syntax, on what derived classes define."""
    return [a == b, a != b, len({a, b})]


def items_of(value):
    """Iterate."""
    return list(value)


def ask(value, what):
    """One operation on an object."""
    return {
        "len": len,
        "str": str,
        "repr": repr,
        "hash": hash,
        "bool": bool,
        "call": lambda v: v(2),
        "get": lambda v: v["key"],
        "in": lambda v: "key" in v,
        "add": lambda v: v + 1,
        "radd": lambda v: 1 + v,
        "attribute": lambda v: v.missing,
    }[what](value)


def enter(manager, error=None):
    """Use as a context manager."""
    with manager as inner:
        if error is not None:
            raise error
        return inner
    return "swallowed"


def catch(function):
    """Which class an exception has."""
    try:
        function()
    except DerivableError as error:
        return type(error).__name__, isinstance(error, ValueError), error.code, error.args


def raise_one(cls, *args):
    """Raise an instance of a class."""
    raise cls(*args)


def is_instance(value, cls):
    """`isinstance`."""
    return isinstance(value, cls)


def is_subclass(cls, base):
    """`issubclass`."""
    return issubclass(cls, base)


def name_of(cls):
    """What a class says of itself."""
    return [cls.__name__, cls.__module__, cls.__qualname__, cls.__doc__]


def signature_of(cls, name):
    """As the server shows it."""
    import inspect

    return str(inspect.signature(getattr(cls, name)))


def derive(base):
    """A class that is derived on the server."""

    class Derived(base):
        """Derived on the server."""

        def step(self, amount=1):
            return super().step(amount) + 0.5

    return Derived


def copies(value):
    """Copies, made on the server."""
    import copy

    return [copy.copy(value), copy.deepcopy(value)]


def mro_of(cls):
    """Names of the order."""
    return [each.__name__ for each in cls.__mro__]


KEPT: list = []


def keep(value):
    """Hold something."""
    KEPT.append(value)


def kept():
    """Give it back."""
    return KEPT.pop()


def run_kept():
    """Use it."""
    return KEPT[-1].run(2)
