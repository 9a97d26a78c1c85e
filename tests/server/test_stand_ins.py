"""Stand-ins by themselves: what the server builds of what a client says of its objects."""

from __future__ import annotations

import collections.abc
import gc
import inspect
from types import FunctionType
from typing import Any

import pytest

from wsremote.client.callbacks import perform
from wsremote.errors import NotExposed
from wsremote.protocol.messages import Op
from wsremote.server.client_functions import ClientFunction
from wsremote.server.policy import Policy
from wsremote.server.reach import INERT, rule_of
from wsremote.server.stand_ins import StandIns
from wsremote.server.weakly import Weakly
from wsremote.shallow.announced import Announcer
from wsremote.shallow.metaclass import ShallowClass
from wsremote.tree.inspector import inspect_packages


class Client:
    """A client in the same process: stands for the session, and holds what it has lent."""

    def __init__(self) -> None:
        self.id = "0123456789abcdef"
        self.connection = self
        self.closed_because: str | None = None
        self.let_go: list[tuple[int, int]] = []
        self.weakly = Weakly(self.let_go)
        self.lent: dict[int, Any] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.stand_ins = StandIns(self, self._named, 100)  # type: ignore[arg-type]
        self._announcer = Announcer(
            self.stand_ins.announced.announced, lambda cls: None, lambda cls, _: self._lend(cls)
        )

    def _named(self, path: str) -> object:
        raise NotExposed(path)

    def _lend(self, value: Any) -> int:
        for handle, held in self.lent.items():
            if held is value:
                return handle
        self.lent[len(self.lent) + 1] = value
        return len(self.lent)

    def call_client(
        self, op: Op, target: int, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a session sends, done here."""
        self.asked.append((op.name, name))
        args = tuple([self._home(value) for value in args])
        result = perform(int(op), self.lent[target], name, args, kwargs)
        return self.there(result) if type(result).__module__ == __name__ else result

    def _home(self, value: Any) -> Any:
        handle = self.stand_ins.handle_of(value)
        return value if handle is None else self.lent[handle]

    def there(self, value: Any) -> Any:
        """What the server sees of an object of the client."""
        number = 0 if type(value) is FunctionType else self._announcer.number(type(value))
        return self.stand_ins.stand_in(self._lend(value), number)

    def class_there(self, cls: type) -> Any:
        """What the server sees of a class of the client."""
        return self.stand_ins.announced.usable(self._announcer.number(cls), self._lend(cls))


class Shelf(collections.abc.Sequence[int]):
    """A sequence of the client's own."""

    limit = 3

    def __init__(self, *items: int) -> None:
        self.items = items

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def first(self) -> int:
        """The first item."""
        return self.items[0]


class Registered:
    """Counts as a mapping without being derived from it."""


collections.abc.Mapping.register(Registered)


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Of a server that serves `samplepkg`."""
    return Policy(inspect_packages(["samplepkg"]))


@pytest.fixture
def client() -> Client:
    """A client that holds nothing yet."""
    return Client()


def test_an_object_is_of_a_class_like_its_own(client: Client) -> None:
    """With its name and documentation, its methods, and the abstract classes of Python."""
    shelf = client.there(Shelf(5, 6))
    assert type(shelf).__name__ == "Shelf"
    assert type(shelf).__doc__ == Shelf.__doc__
    assert isinstance(shelf, collections.abc.Sequence)
    assert not isinstance(shelf, collections.abc.Mapping)
    assert isinstance(client.there(Registered()), collections.abc.Mapping)
    assert [shelf.first(), shelf[1], len(shelf), type(shelf).limit] == [5, 6, 2, 3]
    assert str(inspect.signature(type(shelf).first)) == str(inspect.signature(Shelf.first))


def test_one_object_has_one_stand_in(client: Client) -> None:
    """As long as it is alive; then the client is told, with the number of sendings."""
    original = Shelf(1)
    shelf = client.there(original)
    assert client.there(original) is shelf
    handle = client.stand_ins.handle_of(shelf)
    assert handle is not None
    assert client.lent[handle] is original
    del shelf
    gc.collect()
    assert list(client.let_go) == [(handle, 2)]


def test_a_class_is_a_value_and_can_be_called(client: Client) -> None:
    """What it makes is of the same class here."""
    cls = client.class_there(Shelf)
    made = cls(7, 8)
    assert isinstance(made, cls)
    assert made[0] == 7
    assert client.lent[client.stand_ins.handle_of(cls) or 0] is Shelf
    assert inspect.signature(cls) == inspect.signature(Shelf)


def test_classes_of_one_name_are_told_apart(client: Client) -> None:
    """Each is derived from its own base."""

    def define(value: int) -> Any:
        class Base:
            def answer(self) -> int:
                return value

        class Derived(Base):
            pass

        return Derived()

    one, other = client.there(define(1)), client.there(define(2))
    assert type(one).__mro__[1] is not type(other).__mro__[1]
    assert [one.answer(), other.answer()] == [1, 2]


def test_a_function_is_seen_as_one(client: Client) -> None:
    """Its name, its signature, its data; as an attribute of a class it binds."""

    def greet(self: Any, name: str, *, mark: str = "!") -> str:
        """Say hello."""
        return f"{name}{mark}"

    function = client.there(greet)
    assert type(function).__mro__[1] is ClientFunction
    assert inspect.isfunction(function)
    assert [function.__name__, function.__module__, function.__doc__] == [
        "greet",
        __name__,
        "Say hello.",
    ]
    assert inspect.signature(function).parameters["mark"].default == "!"
    function.calls = 4
    assert greet.calls == 4  # type: ignore[attr-defined]
    assert function.__dict__ == {"calls": 4}
    assert type("Holder", (), {"greet": function})().greet("you") == "you!"
    with pytest.raises(AttributeError, match="stays there"):
        _ = function.__globals__


class Pile(list[int]):
    """A list that counts what is put on it."""

    pushed = 0

    def append(self, item: int) -> None:
        self.pushed += 1
        super().append(item * 10)


def test_a_container_is_one_and_asks(client: Client) -> None:
    """It is of the builtin; what is done to it is done to the client's, and shows in it."""
    pile = Pile([1])
    there = client.there(pile)
    list.append(there, 1)  # what came along with it
    assert isinstance(there, list)
    pile.insert(0, 0)
    assert [len(there), there[0], list(there)] == [2, 0, [0, 1]]
    there.append(7)
    there.insert(0, -1)
    assert pile == [-1, 0, 1, 70]
    assert pile.pushed == 1
    # C code looks past the methods.
    assert list.copy(there) == [-1, 0, 1, 70]


def test_what_no_class_lists_is_asked_for(client: Client) -> None:
    """But for protocols that carry pointers."""
    shelf = client.there(Shelf(1))
    client.asked.clear()
    assert not hasattr(shelf, "__array_interface__")
    assert client.asked == []
    assert getattr(shelf, "__annotations__", None) is None
    assert client.asked == [("GET", "__annotations__")]


def test_other_sessions_get_nothing_of_a_stand_in(policy: Policy, client: Client) -> None:
    """They may hold, compare and call it; its class leads to the session, and to nothing."""
    other = client.there(Shelf(1))
    rule = rule_of(type(other))
    assert rule.names == frozenset()
    assert rule.specials is not None and rule.specials >= (INERT.specials or frozenset())
    assert rule_of(ShallowClass).names == frozenset()
    for name in ("_wsremote_classes", "limit", "first"):
        for target in (other, type(other)):
            with pytest.raises((NotExposed, AttributeError)):
                policy.get(target, name)
    assert not policy.is_served_class(type(other))


def test_a_class_that_claims_a_served_module_is_not_served(policy: Policy, client: Client) -> None:
    """Names are what the client likes."""
    cls = type("Recorder", (), {"__module__": "samplepkg.state"})
    assert not policy.is_served_class(client.class_there(cls))
