"""Classes with every special method there is, and such as refuse all operands."""

import operator

BINARY = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
)
COMPARING = ("lt", "le", "eq", "ne", "gt", "ge")


def shown(value):
    """A value as text that is the same wherever the value lives."""
    number = getattr(value, "number", None)
    return repr(value) if number is None else f"{type(value).__name__}({number})"


def _answering(name):
    def method(self, *args):
        self.calls.append(name)
        return (name, self.number, *map(shown, args))

    return method


def _in_place(name):
    def method(self, *args):
        self.calls.append(name)
        self.number += 10
        return self

    return method


def _refusing(name):
    def method(self, *args):
        self.calls.append(name)
        return NotImplemented

    return method


class Everything:
    """Answers every operator with the method's name and what it was given."""

    def __init__(self, number):
        self.number = number
        self.calls = []

    def __hash__(self):
        return 1000 + self.number

    def __bool__(self):
        return self.number > 0

    def __int__(self):
        return self.number + 1

    def __float__(self):
        return self.number + 0.5

    def __complex__(self):
        return complex(self.number, 1)

    def __index__(self):
        return self.number

    def __len__(self):
        return 3

    def __length_hint__(self):
        return 7

    def __contains__(self, item):
        return item == self.number

    def __missing__(self, key):
        return ("missing", key)

    def __setitem__(self, key, value):
        self.calls.append(("set", shown(key), shown(value)))

    def __delitem__(self, key):
        self.calls.append(("deleted", shown(key)))

    def __iter__(self):
        return iter([self.number, 2, 3])

    def __next__(self):
        self.number += 1
        return self.number

    def __reversed__(self):
        return iter([3, 2, self.number])

    async def _steps(self):
        yield self.number

    def __aiter__(self):
        return self._steps()

    async def __anext__(self):
        return self.number

    def __await__(self):
        return iter(())

    def __enter__(self):
        return ("entered", self.number)

    def __exit__(self, kind, error, trace):
        self.calls.append(("left", kind and kind.__name__, str(error)))
        return True

    async def __aenter__(self):
        return ("entered", self.number)

    async def __aexit__(self, kind, error, trace):
        return True

    def __repr__(self):
        return f"<Everything {self.number}>"

    def __str__(self):
        return f"everything {self.number}"

    def __format__(self, spec):
        return f"{self.number} as {spec!r}"

    def __bytes__(self):
        return b"%d" % self.number

    def __fspath__(self):
        return f"/path/{self.number}"

    def __sizeof__(self):
        return 4000

    def __copy__(self):
        return type(self)(self.number + 100)

    def __deepcopy__(self, memo):
        return type(self)(self.number + 200)

    def __call__(self, *args, **kwargs):
        return ("called", self.number, args, kwargs)

    def __get__(self, instance, owner=None):
        return self if instance is None else ("got", self.number, type(instance).__name__)

    def __set__(self, instance, value):
        self.calls.append(("set in", type(instance).__name__, value))

    def __delete__(self, instance):
        self.calls.append(("deleted in", type(instance).__name__))

    def __set_name__(self, owner, name):
        self.calls.append(("named", owner.__name__, name))

    def __html__(self):
        return f"<b>{self.number}</b>"


class Stubborn:
    """Knows every operator, and no operand."""

    def __init__(self, number):
        self.number = number
        self.calls = []

    __hash__ = object.__hash__


class Plain:
    """Has what each object has."""

    def __init__(self, number):
        self.number = number


class Unhashable:
    """Equal to its like."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return isinstance(other, Unhashable) and other.number == self.number


class Later(Everything):
    """Its reflected methods go first: it derives from the other operand's class."""


for _name in BINARY:
    for _prefix in ("", "r"):
        setattr(Everything, f"__{_prefix}{_name}__", _answering(f"__{_prefix}{_name}__"))
        setattr(Stubborn, f"__{_prefix}{_name}__", _refusing(f"__{_prefix}{_name}__"))
    setattr(Later, f"__r{_name}__", _answering(f"later __r{_name}__"))
    if _name != "divmod":
        setattr(Everything, f"__i{_name}__", _in_place(f"__i{_name}__"))
        setattr(Stubborn, f"__i{_name}__", _refusing(f"__i{_name}__"))
for _name in COMPARING:
    setattr(Everything, f"__{_name}__", _answering(f"__{_name}__"))
    setattr(Stubborn, f"__{_name}__", _refusing(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert", "getitem", "trunc", "floor", "ceil", "round"):
    setattr(Everything, f"__{_name}__", _answering(f"__{_name}__"))


class Base:
    """Its methods are called on the class."""

    def __init__(self, name, *, size=1):
        self.name = name
        self.size = size

    def __eq__(self, other):
        return self.name == other.name if isinstance(other, Base) else NotImplemented

    def __len__(self):
        return self.size

    def __getstate__(self):
        return {"name": self.name, "size": self.size + 1}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)

    def __repr__(self):
        return f"Base({self.name!r})"


def operators():
    """The functions that stand for operators."""
    return operator
