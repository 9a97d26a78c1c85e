"""Classes: state, properties, slots, abstract, generic, nested, with a metaclass."""

import abc
import functools
from typing import Generic, TypeVar

T = TypeVar("T")


class Account:
    """Holds state.

    Its balance is read-only, its owner can be set.
    """

    bank = "First"
    opened = 0
    limits = {"day": 100}

    def __init__(self, owner, balance=0):
        self._owner = owner
        self._balance = balance
        self.history = []

    @property
    def balance(self) -> int:
        """What is there."""
        return self._balance

    @property
    def owner(self) -> str:
        """Who it belongs to."""
        return self._owner

    @owner.setter
    def owner(self, value):
        if not value:
            raise ValueError("an account needs an owner")
        self._owner = value

    @functools.cached_property
    def number(self) -> str:
        """Computed once."""
        return f"{self.bank}-{len(self._owner)}"

    def deposit(self, amount: int = 1, *, note: str | None = None) -> int:
        """Put something in."""
        self._balance += amount
        self.history.append((amount, note))
        return self._balance

    def chain(self):
        """Return the account itself."""
        return self

    @classmethod
    def open(cls, owner):
        """Open an account, counting it on the class."""
        cls.opened += 1
        return cls(owner)

    @staticmethod
    def is_valid(amount):
        """Whether an amount can be put in."""
        return amount > 0

    def _secret(self):
        return "hidden"

    def __eq__(self, other):
        return isinstance(other, Account) and other._owner == self._owner

    __hash__ = None

    def __repr__(self):
        return f"Account({self._owner!r}, {self._balance})"

    class Statement:
        """A nested class."""

        pages = 1

        class Line:
            """Nested twice."""

            def __init__(self, text):
                self.text = text

        def lines(self):
            """Its lines."""
            return [self.Line("one")]


class SavingsAccount(Account):
    """Derived."""

    rate = 0.02
    Report = Account.Statement

    def deposit(self, amount=1, *, note=None):
        """Put something in, with interest."""
        return super().deposit(amount + round(amount * self.rate), note=note)


class Slots:
    """No `__dict__`."""

    __slots__ = ("_hidden", "x", "y")

    def __init__(self, x, y=2):
        self.x = x
        self.y = y


class Shape(abc.ABC):
    """Abstract."""

    @abc.abstractmethod
    def area(self) -> float:
        """How large."""

    def describe(self):
        """Uses what the subclass defines."""
        return f"area {self.area()}"


class Square(Shape):
    """Concrete."""

    side: float

    def __init__(self, side):
        self.side = side

    def area(self):
        """How large."""
        return self.side**2


class Box(Generic[T]):
    """Generic."""

    def __init__(self, content: T):
        self.content = content

    def get(self) -> T:
        """What is in it."""
        return self.content


class Registering(type):
    """A metaclass that keeps the names of its classes."""

    names = []

    def __new__(mcls, name, bases, namespace):
        mcls.names.append(name)
        return super().__new__(mcls, name, bases, namespace)

    def __len__(cls):
        return len(cls.names)


class Registered(metaclass=Registering):
    """Made by a metaclass."""


class Single:
    """`__new__` decides."""

    _instance = None

    def __new__(cls, name="only"):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance.name = name
        return cls._instance


class Partial:
    """Methods made by `functools`."""

    def power(self, base, exponent):
        """Raise."""
        return base**exponent

    square = functools.partialmethod(power, exponent=2)

    @functools.singledispatchmethod
    def kind(self, value):
        """By type."""
        return "other"

    @kind.register
    def _(self, value: int):
        return "integer"


class Local:
    """A class with data that its constructor does not set."""

    declared: int
    with_value: int = 3
    _private: int
