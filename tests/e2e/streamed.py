"""What the tests of futures and pipelines serve: doors, logs, and objects that are counted."""

from __future__ import annotations

import asyncio
import itertools
import queue
import sys
import threading
import warnings
import weakref

started = queue.SimpleQueue()
finished = queue.SimpleQueue()
doors = {}
log = []
numbers = itertools.count(1)
things = weakref.WeakSet()


def door(name):
    """An event; a call waits for it, and another, or the test, opens it."""
    return doors.setdefault(name, threading.Event())


def open_door(name):
    """Let those that wait go on."""
    door(name).set()


def wait(name):
    """Runs until the door is open or it is interrupted; says how it has ended."""
    started.put(name)
    end = "interrupted"
    try:
        while not door(name).wait(0.005):
            pass
        end = "returned"
    finally:
        finished.put((name, end))
    return name


def add(a, b):
    """Add two values."""
    return a + b


def identity(value):
    """Give it back."""
    return value


def note(text, value=None):
    """Log that it ran; gives the value."""
    log.append(text)
    return value


def take_log():
    """What was logged since the last time."""
    taken, log[:] = log[:], []
    return taken


class Oops(ValueError):
    """An exception of the package's own."""

    def __init__(self, text, detail=None):
        super().__init__(text)
        self.detail = detail


def fail(text):
    """Raise."""
    raise Oops(text, detail=[text])


def fail_if(number, bad):
    """Raise for one number, give the others."""
    log.append(number)
    if number == bad:
        raise Oops(str(number))
    return number


def extend(items, *more):
    """Change a list in place; gives its length."""
    items.append(len(items))
    items.extend(more)
    return len(items)


def text_of(value):
    return repr(value)


class Holder:
    def __contains__(self, item):
        return len(item) == 3


def extend_and_fail(items):
    """Change a list in place, and raise."""
    items.append("changed")
    raise Oops("after a change")


def update(table, **values):
    """Change a dictionary in place."""
    table.update(values)


def repeat(size):
    """A text."""
    return "x" * size


def surrogate(number):
    """A text that UTF-8 cannot write."""
    return f"\udcff{number}"


def say(text):
    """Print."""
    print(text)
    return text


def say_and_wait(text, name):
    """Print, and wait for a door."""
    sys.stdout.write(text + "\n")
    return wait(name)


def warn(text):
    """Warn."""
    warnings.warn(text, UserWarning, stacklevel=2)
    return text


def call(function, *args):
    """Call back."""
    return function(*args)


def call_wait(name, function, *args):
    """Wait for a door, then call back."""
    wait(name)
    return function(*args)


def thread():
    """Which thread runs this."""
    return threading.get_ident()


def double(array):
    """A new array."""
    return array * 2


def fill(array, value):
    """Change an array in place."""
    array[:] = value


async def wait_and_add(a, b):
    """A coroutine function."""
    await asyncio.sleep(0)
    return a + b


async def fail_later(text):
    """One that raises."""
    await asyncio.sleep(0)
    raise Oops(text)


class Thing:
    """Counted: `alive()` says how many there are."""

    kind = "thing"

    def __init__(self, value=0):
        self.value = value
        things.add(self)

    def get(self):
        return self.value

    def put(self, value):
        log.append(f"put {value}")
        self.value = value
        return self

    def fail(self, text="a method"):
        raise Oops(text)

    @classmethod
    def of(cls, value):
        return cls(value)

    @staticmethod
    def twice(value):
        return 2 * value

    @property
    def score(self):
        return self.value * 10

    def __call__(self, value):
        return self.value + value

    def __add__(self, other):
        return self.value + getattr(other, "value", other)

    def __radd__(self, other):
        return f"{other}+{self.value}"

    def __iadd__(self, other):
        log.append(f"iadd {other}")
        self.value += other
        return self


def alive():
    """How many things there are."""
    return len(things)


class Table:
    """Items and attributes."""

    def __init__(self):
        self.rows = {}

    def __getitem__(self, key):
        log.append(f"get {key}")
        return self.rows[key]

    def __setitem__(self, key, value):
        log.append(f"set {key}")
        self.rows[key] = value

    def __delitem__(self, key):
        log.append(f"delete {key}")
        del self.rows[key]

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __contains__(self, key):
        return key in self.rows
