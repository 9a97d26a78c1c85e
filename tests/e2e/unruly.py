"""Served by the tests of bad input: code that raises, exits, prints and dies in every way."""

import ctypes
import os
import sys
import threading


class Odd(Exception):
    """Has attributes, and a text of its own."""

    def __init__(self, code):
        super().__init__("odd", code)
        self.code = code


class Speechless(Exception):
    """Cannot be shown."""

    def __str__(self):
        raise ValueError("no words")

    __repr__ = __str__


class Leaving(Exception):
    """Ends the thread that shows it."""

    def __str__(self):
        sys.exit(5)

    __repr__ = __str__


class Liar(Exception):
    """Raises for every attribute."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


class Unprintable:
    """An object without a repr, that does not pickle and has no copy."""

    def __repr__(self):
        raise ValueError("no words")

    def __reduce__(self):
        raise TypeError("not to be pickled")


def add(a, b=1):
    """Add two numbers."""
    return a + b


def fail(kind):
    """Raise one of the odd exceptions."""
    raise {"odd": lambda: Odd(7), "speechless": Speechless, "leaving": Leaving, "liar": Liar}[
        kind
    ]()


def fail_with_text(size):
    """Raise with a long text."""
    raise ValueError("x" * size)


def fail_with_chain(length):
    """Raise an exception with as many causes."""
    error = None
    for number in range(length):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    raise error


def leave(how):
    """End what is running."""
    if how == "exit":
        sys.exit(3)
    if how == "generator":
        raise GeneratorExit
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "process":
        os._exit(9)
    raise ValueError(how)


def leave_from_a_thread():
    """A thread of the package calls `sys.exit`."""
    thread = threading.Thread(target=sys.exit, args=[1])
    thread.start()
    thread.join()
    return "left"


def kill_lane(thread=None):
    """Have SystemExit raised in a thread at its next bytecode, by default in this one."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread or threading.get_ident()), ctypes.py_object(SystemExit)
    )


def current_thread():
    """Say on which thread this runs."""
    return threading.get_ident()


class Killing:
    """Ends the thread that pickles it."""

    def __reduce_ex__(self, protocol):
        sys.exit(1)


def give(what):
    """Return what cannot travel."""
    if what == "unprintable":
        return Unprintable()
    if what == "lock":
        return threading.Lock()
    if what == "nested":
        return [1, {"lock": threading.Lock()}]
    return Killing()


def deep(levels, kind):
    """Return a container that is nested so deep."""
    made = kind()
    for _ in range(levels):
        made = kind([made])
    return made


def depth(value):
    """Count the levels of a nested list."""
    levels = 0
    while value:
        value, levels = value[0], levels + 1
    return levels


def numbers(count):
    """Return a list of so many numbers, nine bytes each on the wire."""
    return [2**60] * count


def text(size):
    """Return so many characters."""
    return "x" * size


def extend(items, count):
    """Change an argument so that the change is large."""
    items.extend([2**60] * count)


def recurse(depth=0):
    """Never return."""
    return recurse(depth + 1)


class Spiral:
    """Recurses in C code."""

    def __repr__(self):
        return repr([self])

    def __eq__(self, other):
        return [self] == [other]

    __hash__ = None


def spiral():
    """Recurse through C code."""
    return repr(Spiral())


def shout(megabytes, unit="x"):
    """Print so much."""
    line = unit * 1023 + "\n"
    for _ in range(megabytes * 1024):
        sys.stdout.write(line)
    return megabytes


def size(value):
    """Return its length."""
    return len(value)


def call(function, *args):
    """Call back."""
    return function(*args)


def call_with_numbers(function, count):
    """Call back with a large argument."""
    return function([2**60] * count)


_waiting = threading.Semaphore(0)
_gate = threading.Event()


def wait():
    """Say that it waits, and do so until `open_gate`."""
    _waiting.release()
    _gate.wait()
    return "went on"


def await_waiting(count):
    """Return when so many wait."""
    for _ in range(count):
        _waiting.acquire()


def open_gate():
    """Let all go on."""
    _gate.set()


def gate_is_open():
    """Tell."""
    return _gate.is_set()


def close_gate():
    """Have the next ones wait again."""
    _gate.clear()


class Thing:
    """An object with a name."""

    label = "class"

    def __init__(self, name="thing"):
        self.name = name

    def greet(self):
        """Say the name."""
        return f"I am {self.name}"


def name_of(thing):
    """Read a name."""
    return thing.name
