"""Functions that make functions, and objects that pose as functions."""

import functools


def logged(function):
    """Wrap a function; the wrapper counts its calls."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        wrapper.calls += 1
        return function(*args, **kwargs)

    wrapper.calls = 0
    return wrapper


def scaled(factor=2, *, offset=(0, 1)):
    """Make a function."""

    def scale(x, y: int = 3, *rest, precise=None, **more) -> float:
        """Scale it."""
        return factor * x

    scale.factor = factor
    return scale


def cached(function):
    """Wrap a function in C code's cache."""
    return functools.lru_cache(maxsize=None)(function)


def bound():
    """Give a bound method."""
    return Wrapper(scaled()).describe


class Wrapper:
    """Wraps a function, as a class."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def describe(self):
        """Say what it is."""
        return "a wrapper"


class Named:
    """Has a name that its class computes."""

    __array_priority__ = 15.5

    def __init__(self, name):
        self._name = name

    @property
    def __name__(self):
        return self._name.upper()


class Bag:
    """Holds whatever it is given."""

    def __init__(self, **content):
        self.__dict__.update(content)

    def grow(self, name, value):
        """Set something at run time."""
        setattr(self, name, value)


class Bare:
    """Has no dict."""

    __slots__ = ("only",)

    def __init__(self):
        self.only = 1


def share():
    """Give two bags that hold the same list, as an object."""
    inner = Bag(items=[1, 2])
    return Bag(inner=inner), Bag(inner=inner)


class Locked:
    """Cannot be pickled."""

    def __reduce__(self):
        raise TypeError("cannot pickle 'Locked' object")
