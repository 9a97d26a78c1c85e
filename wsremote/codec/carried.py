"""Content of objects whose class derives from an immutable builtin.

An instance of a subclass of `tuple` or `str` has an identity and a class, so it stays where it
is, and it has content, which C code reads (`json.dumps`, unpacking, `int(x)`). It travels
as its handle with the content beside it, and the receiver's object holds both.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..errors import DecodeError
from ..tree.introspection import mro_of

__all__ = ["blank_of", "content_base", "content_of", "made_of"]


class _Kind(NamedTuple):
    """A builtin with content.

    Attributes:
        exact: The content of an instance of a subclass, past all that the subclass overrides.
        make: An instance of a class, from the content.
    """

    exact: Callable[[Any], Any]
    make: Callable[[type, Any], Any]


def _simple(base: type, exact: Callable[[Any], Any]) -> _Kind:
    """A builtin whose constructor takes an object of itself."""
    new: Callable[..., Any] = base.__new__
    return _Kind(exact, lambda cls, content: new(cls, content))


def _moment(base: Any) -> _Kind:
    """One of the datetime family, whose pickle is its content."""
    new: Callable[..., Any] = base.__new__

    def state(value: Any) -> tuple[Any, ...]:
        reduced: tuple[Any, ...] = base.__reduce_ex__(value, 4)[1]
        return reduced

    def state_of_span(value: Any) -> tuple[Any, ...]:
        return tuple(base.__dict__[n].__get__(value) for n in ("days", "seconds", "microseconds"))

    parts = state_of_span if base is datetime.timedelta else state
    return _Kind(lambda value: base(*parts(value)), lambda cls, content: new(cls, *parts(content)))


# The first that a class derives from counts, so that `datetime` comes before `date`.
_KINDS: Final[dict[type, _Kind]] = {
    tuple: _simple(tuple, lambda value: tuple(tuple.__iter__(value))),
    str: _simple(str, str.__str__),
    int: _simple(int, int.__int__),
    float: _simple(float, float.__float__),
    complex: _simple(complex, complex.__complex__),
    bytes: _simple(bytes, bytes.__bytes__),
    frozenset: _simple(frozenset, lambda value: frozenset(list(frozenset.__iter__(value)))),
    datetime.datetime: _moment(datetime.datetime),
    datetime.date: _moment(datetime.date),
    datetime.time: _moment(datetime.time),
    datetime.timedelta: _moment(datetime.timedelta),
    decimal.Decimal: _simple(decimal.Decimal, decimal.Decimal),
}


_LEAST: Final[dict[type, object]] = {
    datetime.datetime: datetime.datetime.min,
    datetime.date: datetime.date.min,
}
# By id: comparing classes would run the code of their metaclass.
_BASES: Final = {id(base): base for base in _KINDS}


def content_base(cls: type) -> type | None:
    """The builtin that a class has its content from; None if it has none of its own."""
    return next((base for base in mro_of(cls) if id(base) in _BASES), None)


def content_of(value: object, base: type) -> object:
    """The content of `value` as an object of exactly `base`."""
    return _KINDS[base].exact(value)


def blank_of(cls: type) -> Any:
    """An instance with the least content: a handle that is only received to be released."""
    base = content_base(cls)
    if base is None:
        raise DecodeError(f"{cls.__qualname__} has no content")
    kind = _KINDS[base]
    return kind.make(cls, _LEAST[base] if base in _LEAST else base())


def made_of(cls: type, content: object) -> Any:
    """An instance of a class that derives from the builtin of the content.

    Raises:
        DecodeError: It derives from no such builtin, or from another one.
    """
    base = content_base(cls)
    if base is None or type(content) is not base:
        raise DecodeError(f"{cls.__qualname__} has no content of type {type(content).__name__}")
    return _KINDS[base].make(cls, content)
