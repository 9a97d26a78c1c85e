"""Special methods: operators, items, iteration, context managers, calls."""

import functools


@functools.total_ordering
class Vector:
    """Operators."""

    def __init__(self, *values):
        self.values = list(values)

    def __add__(self, other):
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(*(a + b for a, b in zip(self.values, other.values, strict=True)))

    def __mul__(self, factor):
        return Vector(*(value * factor for value in self.values))

    __rmul__ = __mul__

    def __imul__(self, factor):
        self.values = [value * factor for value in self.values]
        return self

    def __neg__(self):
        return self * -1

    def __abs__(self):
        return sum(value**2 for value in self.values) ** 0.5

    def __eq__(self, other):
        return isinstance(other, Vector) and self.values == other.values

    def __lt__(self, other):
        return abs(self) < abs(other)

    def __hash__(self):
        return hash(tuple(self.values))

    def __bool__(self):
        return any(self.values)

    def __repr__(self):
        return f"Vector({', '.join(map(repr, self.values))})"

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __setitem__(self, index, value):
        self.values[index] = value

    def __delitem__(self, index):
        del self.values[index]

    def __contains__(self, value):
        return value in self.values

    def __iter__(self):
        return iter(self.values)

    def __reversed__(self):
        return reversed(self.values)

    def __call__(self, index=0):
        return self.values[index]

    def __format__(self, spec):
        return "|".join(format(value, spec) for value in self.values)


class Countdown:
    """An iterator."""

    def __init__(self, start):
        self.left = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left + 1


class Sequence:
    """Items and a length, no `__iter__`."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if not 0 <= index < 3:
            raise IndexError(index)
        return index * 10


class Guard:
    """A context manager that remembers, and may swallow exceptions."""

    def __init__(self, swallow=False):
        self.swallow = swallow
        self.events = []

    def __enter__(self):
        self.events.append("enter")
        return self

    def __exit__(self, kind, error, traceback):
        self.events.append("exit" if kind is None else kind.__name__)
        return self.swallow


class AsyncGuard:
    """An asynchronous context manager."""

    def __init__(self):
        self.events = []

    async def __aenter__(self):
        self.events.append("enter")
        return self

    async def __aexit__(self, kind, error, traceback):
        self.events.append("exit")


class Open:
    """Answers for any attribute."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return f"made {name}"
