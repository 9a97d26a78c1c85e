"""Warnings: of every category, at every distance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


class PackageWarning(UserWarning):
    """A category of the package, with something of its own."""

    def __init__(self, text: str, level: int = 0) -> None:
        super().__init__(text)
        self.level = level


def warn(text: str, category: type[Warning] = UserWarning, stacklevel: int = 2) -> str:
    """Warn as often as told, and go on."""
    warnings.warn(text, category, stacklevel)
    return "done"


def warn_object(text: str, level: int) -> None:
    """An instance instead of a text."""
    warnings.warn(PackageWarning(text, level), stacklevel=2)


def inner(text: str) -> None:
    """A function of the package between the warning and its caller."""
    warn(text, stacklevel=3)


def repeatedly(text: str, count: int) -> None:
    """One place that warns several times."""
    for _ in range(count):
        warnings.warn(text, stacklevel=2)


def quietly(text: str) -> int:
    """The package's own filters count first; it sees its own warning."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn(text, stacklevel=1)
    return len(seen)


def strictly(text: str) -> str:
    """A filter of the package makes an error of it, which the package handles."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            warnings.warn(text, stacklevel=1)
        except UserWarning as error:
            return f"caught {error}"
    return "not caught"


def once(text: str) -> None:
    """A filter of the package that shows once in a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("once")
        warnings.warn(text, stacklevel=2)


def then_fail(text: str) -> None:
    """Warn, and raise."""
    warnings.warn(text, stacklevel=2)
    raise ValueError("after the warning")


def between(text: str) -> None:
    """Print before and after."""
    print("before")
    warnings.warn(text, stacklevel=2)
    print("after")


def calling(function: Callable[[], Any]) -> Any:
    """Call a function of the client."""
    return function()


class Warner:
    """Warns in a method, a property and an operator."""

    def method(self) -> None:
        warnings.warn("method", stacklevel=2)

    @property
    def data(self) -> int:
        warnings.warn("data", stacklevel=2)
        return 1

    def __add__(self, other: object) -> int:
        warnings.warn("plus", stacklevel=2)
        return 2

    def __init__(self, warns: bool = False) -> None:
        if warns:
            warnings.warn("made", stacklevel=2)
