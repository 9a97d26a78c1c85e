"""What the server may do with an object of the client."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from wsremote.client.callbacks import perform
from wsremote.errors import NotExposed, RemoteProtocolError
from wsremote.protocol.asking import CONTENT
from wsremote.protocol.messages import Op


class Thing:
    """Has data, a property, and answers for a name that it has not."""

    kind = "thing"

    def __init__(self) -> None:
        self.size = 1

    @property
    def double(self) -> int:
        return self.size * 2

    def grow(self, by: int = 1, *, twice: bool = False) -> int:
        self.size += by * (2 if twice else 1)
        return self.size

    def __len__(self) -> int:
        return self.size

    def __getattr__(self, name: str) -> str:
        if name == "late":
            return "found"
        raise AttributeError(name)


def greet(name: str, mark: str = "!") -> str:
    """Say hello."""
    return f"hello {name}{mark}"


def count() -> Iterator[int]:
    """A generator."""
    yield 1


def do(op: Op, target: Any, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
    """One operation."""
    return perform(int(op), target, name, args, kwargs)


def test_objects_are_used_as_they_are() -> None:
    """Calls, methods, attributes, operators: Python's own."""
    thing = Thing()
    assert do(Op.CALL, greet, None, "you", mark="?") == "hello you?"
    assert do(Op.METHOD, thing, "grow", 2, twice=True) == 5
    assert do(Op.GET, thing, "double") == 10
    assert do(Op.GET, thing, "late") == "found"
    assert do(Op.GET, Thing, "kind") == "thing"
    assert do(Op.SPECIAL, thing, "__len__") == 5
    assert do(Op.METHOD, Thing, "__len__", thing) == 5
    do(Op.SET, thing, "size", 7)
    do(Op.DELETE, thing, "size")
    with pytest.raises(AttributeError, match="size"):
        do(Op.GET, thing, "size")


def test_a_function_says_what_it_is() -> None:
    """Its names, its signature, and what decorators have put on it; they can be set."""

    @functools.wraps(greet)
    def wrapper(*args: Any) -> str:
        return greet(*args)

    assert do(Op.GET, wrapper, "__qualname__") == "greet"
    assert do(Op.GET, wrapper, "__doc__") == "Say hello."
    assert do(Op.GET, wrapper, "__wrapped__") is greet
    assert str(do(Op.GET, wrapper, "__signature__")) == "(name: 'str', mark: 'str' = '!') -> 'str'"
    do(Op.SET, wrapper, "calls", 3)
    do(Op.SET, wrapper, "__name__", "other")
    assert wrapper.__name__ == "other"
    assert do(Op.GET, wrapper, "__dict__") == {"__wrapped__": greet, "calls": 3}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        *((greet, name) for name in ("__globals__", "__code__", "__closure__", "__builtins__")),
        (greet, "__class__"),
        (greet.__get__(1), "__self__"),
        (Thing(), "__class__"),
        (Thing, "__subclasses__"),
        (Thing, "__mro__"),
        (Thing, "__base__"),
        (Thing(), "__getattribute__"),
        *((count(), name) for name in ("gi_frame", "gi_code", "gi_yieldfrom")),
        *((sys._getframe(), name) for name in ("f_globals", "f_back", "anything")),
        (sys, "modules"),
        (greet.__code__, "co_consts"),
    ],
)
def test_what_leads_into_the_process_is_closed(target: Any, name: str) -> None:
    """Read, called, set or deleted, on any object."""
    for op, args in ((Op.GET, ()), (Op.METHOD, ()), (Op.SET, (1,)), (Op.DELETE, ())):
        with pytest.raises((NotExposed, AttributeError)) as caught:
            do(op, target, name, *args)
        assert "the server" in str(caught.value)


def test_modules_are_held_and_compared_only() -> None:
    """No operator of theirs but these."""
    assert do(Op.SPECIAL, sys, "__eq__", sys) is True
    with pytest.raises(NotExposed, match="is closed to the server"):
        do(Op.SPECIAL, sys, "__getitem__", "x")


def test_a_message_without_sense_is_refused() -> None:
    """An unknown operation, one without a name, a setting without a value."""
    for op, name, args in ((99, "x", ()), (Op.GET, None, ()), (Op.SET, "x", ())):
        with pytest.raises(RemoteProtocolError):
            perform(int(op), Thing(), name, args, {})


def test_a_container_gives_its_content() -> None:
    """As a plain copy, whatever its class makes of iterating."""

    class Shouting(dict[str, int]):
        def items(self) -> Any:
            raise AssertionError("asked")

    held = Shouting(a=1)
    content = do(Op.GET, held, CONTENT)
    assert type(content) is dict
    assert content == {"a": 1}
