"""What runs for a special method that the other side asks for."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import pytest

from wsremote.protocol.operators import SPECIALS
from wsremote.protocol.specials import FORWARDED


class Meter:
    """Adds up; its in-place operator is a method of its own."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.left: list[Any] = []

    def __add__(self, other: Any) -> Any:
        return Meter(self.value + other.value) if isinstance(other, Meter) else NotImplemented

    def __radd__(self, other: int) -> int:
        return other * 100 + self.value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.left = [kind, error, traceback]
        return error is not None

    async def __anext__(self) -> int:
        return self.value


def test_every_forwarded_name_has_an_operation() -> None:
    """One table says what is forwarded, the other how it runs."""
    assert set(SPECIALS) >= FORWARDED


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("__len__", ([1, 2],), 2),
        ("__getitem__", ([1, 2], 1), 2),
        ("__contains__", ([1], 1), True),
        ("__pow__", (2, 5, 7), 4),
        ("__rsub__", (2, 5), 3),
        ("__radd__", (Meter(3), 2), 203),
        ("__format__", (5, ">3"), "  5"),
        ("__iadd__", ([1], [2]), [1, 2]),
        ("__call__", (max, 1, 2), 2),
    ],
)
def test_operations_are_those_of_python(name: str, args: tuple[Any, ...], result: Any) -> None:
    """By the method of the type, or what Python calls it with."""
    assert SPECIALS[name](*args) == result


def test_an_operand_that_does_not_fit_is_for_the_caller_to_go_on_with() -> None:
    """`NotImplemented` travels, so that each method runs once; C sequences raise themselves."""
    assert SPECIALS["__add__"](Meter(1), "x") is NotImplemented
    assert SPECIALS["__lt__"](1, "x") is NotImplemented
    with pytest.raises(TypeError, match="concatenate"):
        SPECIALS["__add__"]([1], "x")


def test_leaving_a_block_takes_the_exception_apart() -> None:
    """`__exit__` gets class, exception and traceback, of the exception alone or of none."""
    meter, error = Meter(1), ValueError("left")
    assert SPECIALS["__exit__"](meter, error) is True
    assert meter.left == [ValueError, error, None]
    assert SPECIALS["__exit__"](meter) is False
    assert meter.left == [None, None, None]


def test_asynchronous_methods_give_a_coroutine() -> None:
    """Whoever runs them awaits it."""
    assert asyncio.run(SPECIALS["__anext__"](Meter(4))) == 4
