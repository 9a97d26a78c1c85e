"""Objects of the client as arguments of served functions: by reference, used where they live."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import functools
import gc
import inspect
import io
import itertools
import json
import operator
import os
import random
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import wsremote


@pytest.fixture
def guests(pkg: Any) -> Any:
    """The served functions that use what they are given."""
    return pkg.guests


def lent(session: wsremote.Session) -> int:
    """How many objects of the client the server holds."""
    return len(session._driver.lending.handles)


def test_an_iterator_advances_here(guests: Any) -> None:
    """By as many items as the server has taken."""
    numbers = iter(range(10))
    assert guests.take(2, numbers) == [0, 1]
    assert next(numbers) == 2
    assert guests.take(3, itertools.count(5)) == [5, 6, 7]
    assert guests.take(2, map(str, [1, 2, 3])) == ["1", "2"]


def test_an_iterator_is_read_once_by_tee(guests: Any) -> None:
    """One that cannot be copied does not pretend that it can."""
    assert guests.tee_sum(itertools.accumulate([1, 2])) == [1, 3, 1, 3]
    one, other = itertools.tee(guests.lazily(str, [1, 2]))
    assert [*one, *other] == ["1", "2", "1", "2"]


def test_a_generator_is_closed_when_the_server_drops_it(
    guests: Any, remote: wsremote.Session
) -> None:
    """Before the call returns that has used it."""
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    assert guests.take(2, numbers()) == [0, 1]
    assert closed == [True]
    assert lent(remote) == 0


def test_files_and_buffers_are_filled_and_read(guests: Any, tmp_path: Any) -> None:
    """The very objects."""
    buffer = io.StringIO()
    guests.dump({"a": [1, 2]}, buffer)
    assert json.loads(buffer.getvalue()) == {"a": [1, 2]}
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    file = path.open()
    assert guests.lines(file) == ["one\n", "two\n"]
    assert file.closed


def test_contexts_see_how_they_are_left(guests: Any) -> None:
    """An exception of the served code included, which they may swallow."""
    seen = []

    @contextlib.contextmanager
    def watching() -> Iterator[str]:
        try:
            yield "inside"
        except ValueError as error:
            seen.append(str(error))

    assert guests.inside(watching()) == "inside"
    assert guests.inside(watching(), True) is None
    assert seen == ["left by an exception"]


class Shelf(Mapping[str, int]):
    """A mapping of the client's own."""

    def __init__(self, **items: int) -> None:
        self.items_here = items

    def __getitem__(self, key: str) -> int:
        return self.items_here[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_here)

    def __len__(self) -> int:
        return len(self.items_here)


def test_abstract_classes_know_client_objects(guests: Any) -> None:
    """By their bases, by registration, by their methods."""
    names = {"Mapping", "Iterable"}
    assert {name for name, yes in guests.kinds(Shelf(a=1)).items() if yes} == names
    assert {name for name, yes in guests.kinds(os.environ).items() if yes} == {
        *names,
        "MutableMapping",
    }
    assert {name for name, yes in guests.kinds(iter([])).items() if yes} == {"Iterable", "Iterator"}
    assert guests.is_in("a", Shelf(a=1)) is True


class Money:
    """Adds up, compares, hashes."""

    currency = "EUR"

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __add__(self, other: Any) -> Any:
        return Money(self.amount + other.amount)

    def __radd__(self, other: Any) -> Any:
        return Money(self.amount + other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.amount == self.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __repr__(self) -> str:
        return f"Money({self.amount})"

    @property
    def cents(self) -> int:
        return self.amount * 100

    @cents.setter
    def cents(self, value: int) -> None:
        self.amount = value // 100

    @classmethod
    def of(cls, amount: int) -> Any:
        return cls(amount)

    def times(self, factor: int) -> int:
        return self.amount * factor


def test_objects_come_home_as_themselves(guests: Any, remote: wsremote.Session) -> None:
    """Whatever the server does with them meanwhile, and inside containers."""
    money = Money(5)
    assert guests.identity(money) is money
    assert guests.identity([money, {"m": money}])[1]["m"] is money
    assert guests.is_same(money, money) is True
    guests.keep("money", money)
    assert guests.kept("money") is money
    guests.drop("money")
    guests.take(0, [])
    assert lent(remote) == 0


def test_operators_and_attributes_are_those_of_the_object(guests: Any) -> None:
    """Mixed with values of the server too."""
    assert guests.sum_with(1, [Money(2), Money(3)]) == Money(6)
    assert guests.equals(Money(2), Money(2)) is True
    assert guests.is_in(Money(2), [Money(1), Money(2)]) is True
    assert guests.shown(Money(4)) == "Money(4)"
    money = Money(4)
    assert guests.attribute(money, "cents") == 400
    guests.set_attribute(money, "cents", 900)
    guests.set_attribute(money, "note", "new")
    assert (money.amount, money.note) == (9, "new")  # type: ignore[attr-defined]
    guests.remove_attribute(money, "note")
    assert not hasattr(money, "note")
    assert guests.attribute(money, "missing", "default") == "default"
    with pytest.raises(AttributeError, match="missing"):
        guests.attribute(money, "missing")
    assert guests.attribute(money, "times")(3) == 27


def test_classes_are_arguments(guests: Any) -> None:
    """To be called, asked and compared with."""
    assert guests.make(Money, 3) == Money(3)
    assert type(guests.make(Money, 3)) is Money
    assert guests.is_instance(Money(3), Money) is True
    assert guests.is_instance(3, Money) is False
    assert guests.attribute(Money, "currency") == "EUR"
    assert guests.call(guests.attribute(Money, "of"), 2) == Money(2)
    assert guests.identity(Money) is Money
    assert list(guests.lazily(Money, [1, 2])) == [Money(1), Money(2)]


def test_exceptions_of_client_classes_are_caught_there(guests: Any) -> None:
    """By their class and its builtin base; uncaught they come back as raised."""

    class Refused(LookupError):
        pass

    def refuse() -> None:
        raise Refused("no")

    assert type(guests.catching(Refused, refuse)) is Refused
    assert type(guests.catching(LookupError, refuse)) is Refused
    with pytest.raises(Refused, match="no"):
        guests.catching(ValueError, refuse)


def greet(name: str, mark: str = "!") -> str:
    """Say hello."""
    return f"hello {name}{mark}"


def test_functions_are_wrapped_and_described(guests: Any) -> None:
    """`functools.wraps`, `inspect.signature`, names and data: as with one of its own."""
    described = ["greet", "greet", __name__, "Say hello.", str(inspect.signature(greet))]
    assert guests.described(greet) == described
    wrapped = guests.logged(greet)
    assert wrapped("you", mark="?") == "hello you?"
    assert guests.described(wrapped) == described
    assert guests.attribute(wrapped, "calls") == 1
    assert guests.identity(guests.attribute(wrapped, "__wrapped__")) is greet
    guests.set_attribute(greet, "seen", 2)
    assert greet.seen == 2  # type: ignore[attr-defined]
    assert guests.bound(lambda self, x: (self.name, x), 1) == ("held", 1)
    assert guests.code_names(greet) == ("name", "mark")


def test_callables_of_all_kinds(guests: Any) -> None:
    """Partial functions, getters, bound methods, methods of C classes, callable objects."""
    assert guests.call(functools.partial(greet, mark="."), "a") == "hello a."
    assert guests.call(operator.itemgetter(1), [2, 3]) == 3
    assert guests.call(Money(3).times, 2) == 6
    assert guests.call("a-b".split, "-") == ["a", "b"]
    assert guests.call(sorted, [3, 1], key=Money(1).times) == [1, 3]

    class Adder:
        def __call__(self, one: int, *, other: int = 1) -> int:
            return one + other

    assert guests.call(Adder(), 2, other=3) == 5
    assert guests.signature_of(Adder()) == "(one: 'int', *, other: 'int' = 1) -> 'int'"


def test_random_numbers_are_the_callers(guests: Any) -> None:
    """The generator here advances."""
    generator, same = random.Random(7), random.Random(7)
    items = list(range(100))
    assert guests.pick(generator, items) == items[int(same.random() * 100)]
    assert generator.random() == same.random()


class Counted(dict[str, int]):
    """A dict of the client's own, which counts what is set."""

    sets = 0

    def __setitem__(self, key: str, value: int) -> None:
        self.sets += 1
        super().__setitem__(key, value)


class Stack(list[Any]):
    """A list of the client's own."""


def test_containers_of_client_classes_are_containers(guests: Any) -> None:
    """What is put into them there is in them here, by their own methods; C code reads them."""
    counted = Counted(a=1)
    assert guests.kinds(counted)["dict"] is True
    guests.set_item(counted, "b", 2)
    assert (counted, counted.sets) == ({"a": 1, "b": 2}, 1)
    assert guests.identity(counted) is counted
    assert guests.call(dict, counted) == {"a": 1, "b": 2}
    stack = Stack([1])
    assert guests.append(stack, 2) == 2
    assert stack == [1, 2]
    assert guests.call(json.dumps, stack) == "[1, 2]"
    ordered: collections.OrderedDict[str, int] = collections.OrderedDict(z=1)
    guests.add_all(ordered, a=2)
    assert list(ordered) == ["z", "a"]


def test_containers_that_client_objects_own_are_theirs(guests: Any) -> None:
    """An attribute, an item of an iterator: the object itself, not a copy of it."""
    shelf = Shelf()
    shelf.items_here = {"a": 1}
    guests.set_item(guests.attribute(shelf, "items_here"), "b", 2)
    assert shelf.items_here == {"a": 1, "b": 2}
    lists: list[list[int]] = [[1], [2]]
    first = guests.take(1, iter(lists))
    assert first[0] is lists[0]


def test_what_the_server_drops_is_freed_here(guests: Any, remote: wsremote.Session) -> None:
    """When the call returns, or in its middle, if it goes on to other objects."""
    alive: list[int] = []
    made = weakref.WeakSet[Money]()

    def amounts() -> Iterator[Money]:
        for amount in range(4):
            alive.append(len(made))
            money = Money(amount)
            made.add(money)
            yield money
            del money

    assert guests.sum_with(0, amounts()) == Money(6)
    # As at home: what the loop over there still names.
    assert alive == [0, 1, 1, 1]
    guests.take(0, [])
    gc.collect()
    assert lent(remote) == 0


@pytest.mark.parametrize("name", ["__globals__", "__closure__", "__builtins__"])
def test_a_function_gives_nothing_of_its_process(guests: Any, name: str) -> None:
    """Only what describes it."""
    with pytest.raises(AttributeError, match="client"):
        guests.attribute(greet, name)


def test_a_module_is_held_only(guests: Any) -> None:
    """It leads everywhere."""
    assert guests.identity(os) is os
    with pytest.raises(wsremote.NotExposed, match="is closed to the server"):
        guests.attribute(os, "environ")


class _Measured(type):
    """A metaclass below which a plain class stands."""

    def __len__(cls) -> int:
        return 3


def test_objects_of_classes_with_a_metaclass_over_a_plain_base(guests: Any) -> None:
    """Each class's own metaclass stands there, where that of its base is `type`."""

    class Plain:
        pass

    class Sized(Plain, metaclass=_Measured):
        def __call__(self) -> str:
            return "called"

    assert guests.call(Sized()) == "called"
    assert guests.call(len, Sized) == 3
    root = ctypes.CDLL(None).sqrt
    root.restype, root.argtypes = ctypes.c_double, (ctypes.c_double,)
    assert guests.call(root, 16.0) == 4.0
    assert guests.identity(root) is root
    assert guests.attribute(ctypes.c_int(3), "value") == 3


def test_each_operation_is_one_message(guests: Any, remote: wsremote.Session) -> None:
    """Of the client: the call and an answer to each `next`; the class once."""
    guests.take(1, iter([1]))
    before = remote._driver.messages
    guests.take(3, iter([1, 2, 3, 4]))
    assert remote._driver.messages - before == 4
