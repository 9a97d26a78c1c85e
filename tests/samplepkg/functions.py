"""Functions: all kinds of parameters, wrapped ones, generators, coroutines."""

import asyncio
import functools
import sys
import time
import warnings

from .values import Colour, Point


def add(a, b=1):
    """Add two numbers."""
    return a + b


def every_kind(a, b, /, c, d=4, *rest, e, f=6, **options):
    """Return the arguments as they were bound."""
    return (a, b, c, d, rest, e, f, options)


def annotated(
    number: int,
    name: "str" = "x",
    *,
    items: list[int] | None = None,
    point: Point = Point(1, 2),  # noqa: B008
) -> dict[str, int]:
    """Annotations of several kinds."""
    return {name: number, "items": len(items or [])}


def defaults(
    nothing=None,
    number=-1.5,
    text="a'b",
    raw=b"x",
    several=(1, [2], {"three": 3}),
    colour=Colour.RED,
    cls=ValueError,
    function=add,
    instance=object(),  # noqa: B008
    dots=...,
):
    """Defaults of many kinds."""
    return locals()


def echo(*args, **kwargs):
    """Return what was given."""
    return args, kwargs


def identity(value):
    """Return the value."""
    return value


def logged(function):
    """A decorator as they are usual: the shown signature is that of the wrapped function."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@logged
def decorated(a, b=2):
    """Wrapped by `functools.wraps`."""
    return a * b


@functools.lru_cache(maxsize=None)  # noqa: UP033
def cached(n):
    """Wrapped in C."""
    return n * n


@functools.singledispatch
def described(value):
    """Chooses by type."""
    return f"something: {value}"


@described.register
def _(value: int):
    return f"an integer: {value}"


def count_to(stop):
    """A generator."""
    for number in range(stop):
        received = yield number
        if received is not None:
            yield f"received {received}"


async def wait_and_add(a, b):
    """A coroutine function."""
    await asyncio.sleep(0)
    return a + b


async def count_slowly(stop):
    """An asynchronous generator."""
    for number in range(stop):
        await asyncio.sleep(0)
        yield number


def make_counter(start=0):
    """Return a closure."""
    count = start

    def counter():
        nonlocal count
        count += 1
        return count

    return counter


def append_to(items, value):
    """Change an argument in place."""
    items.append(value)
    return len(items)


def update(table, **values):
    """Change a dictionary in place."""
    table.update(values)


def apply(function, *args):
    """Call back."""
    return function(*args)


def say(text, stream="stdout"):
    """Print."""
    print(text, file=getattr(sys, stream))


def warn(text):
    """Issue a warning."""
    warnings.warn(text, UserWarning, stacklevel=2)


def recurse(depth=0):
    """Never return."""
    return recurse(depth + 1)


def leave(code=3):
    """Exit."""
    sys.exit(code)


def busy(seconds):
    """Work for so long, in Python code, after saying so."""
    print("busy", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))
    return "done"


def talk_and_wait():
    """Print one line early and one at the end."""
    print("one")
    time.sleep(0.2)
    print("two")
    return 3


def talk_and_sleep(seconds):
    """Sleep in C code, after saying so."""
    print("sleeping", flush=True)
    time.sleep(seconds)
