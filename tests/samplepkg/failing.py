"""Code that fails wherever it is asked for something."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any


def calling(function: Callable[[], Any]) -> Any:
    return function()


broken = functools.partial(int)


class Failing:
    """Raises in each method."""

    def __init__(self, fails: bool = False) -> None:
        if fails:
            raise ValueError("init")

    def method(self) -> None:
        raise ValueError("method")

    @property
    def data(self) -> int:
        raise ValueError("data")

    @data.setter
    def data(self, value: int) -> None:
        raise ValueError("set")

    @data.deleter
    def data(self) -> None:
        raise ValueError("delete")

    @classmethod
    def of_class(cls) -> None:
        raise ValueError("of_class")

    @staticmethod
    def of_nobody() -> None:
        raise ValueError("of_nobody")

    def generate(self) -> Iterator[int]:
        raise ValueError("generate")
        yield 1

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __add__(self, other: object) -> int:
        raise ValueError("add")

    def __getitem__(self, key: object) -> int:
        raise ValueError("getitem")

    def __len__(self) -> int:
        raise ValueError("len")

    def __call__(self) -> None:
        raise ValueError("call")

    def __iter__(self) -> Iterator[int]:
        raise ValueError("iter")

    def __bool__(self) -> bool:
        raise ValueError("bool")

    def __str__(self) -> str:
        raise ValueError("str")

    def __enter__(self) -> None:
        raise ValueError("enter")

    def __exit__(self, *error: object) -> None:
        """Nothing."""
