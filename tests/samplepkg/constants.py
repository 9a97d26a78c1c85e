"""Module variables: small constants, and others."""

import datetime
import operator
from decimal import Decimal
from functools import partial
from types import MappingProxyType

NOTHING = None
YES = True
ANSWER = 42
BIG = 2**70
HUGE = 10**5000
RATIO = 0.1
PLANE = 1 + 2j
GREETING = "grüß dich"
SURROGATE = "\udc80"
LONG_TEXT = "x" * 1000
RAW = b"\x00\xff"
PAIR = (1, "two")
EMPTY = ()
MANY = tuple(range(100))
NAMES = ["a", "b"]
TABLE = {f"key{number}": number for number in range(1000)}
PRIMES = frozenset({2, 3, 5})
READ_ONLY = MappingProxyType({"a": 1})
MONEY = Decimal("1.10")
EPOCH = datetime.datetime(1970, 1, 1)
HERE = __file__

double = lambda x, /, *, times=2: x * times  # noqa: E731
int_from_binary = partial(int, base=2)
first = operator.itemgetter(0)


class Adder:
    """Instances are called."""

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, value: int, extra: int = 0) -> int:
        """Add the amount."""
        return value + self.amount + extra


add_five = Adder(5)
add_five.__doc__ = "Adds five."
