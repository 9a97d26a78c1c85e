"""Decorators of classes and functions, as packages of data classes have them."""

from __future__ import annotations

import logging
import threading
from typing import Any

_real_set = object.__setattr__


class Field:
    """Stands in the body of a decorated class."""

    def __init__(self, default: Any = None) -> None:
        self.default = default


class Slotted:
    """Its call is in a slot."""

    __slots__ = ("__call__", "name")

    def __init__(self, function: Any, name: str) -> None:
        self.__call__ = lambda value: function(value)
        self.name = name


def record(cls: type) -> type:
    """Give a class a constructor for the fields of its body, and say which these are."""
    fields = {name: value for name, value in cls.__dict__.items() if isinstance(value, Field)}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(fields, args, strict=False)) | kwargs
        if given.keys() - fields.keys():
            raise TypeError(f"unknown fields {sorted(given.keys() - fields.keys())}")
        for name, field in fields.items():
            _real_set(self, name, given.get(name, field.default))

    cls.__init__ = __init__  # type: ignore[misc]
    cls.__record_fields__ = tuple(fields)  # type: ignore[attr-defined]
    cls.__match_args__ = tuple(fields)  # type: ignore[attr-defined]
    for name in fields:
        delattr(cls, name)
    return cls


def rebuilt(cls: type) -> type:
    """Another class of the same body, as decorators that add slots make it."""
    body = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
    return type(cls)(cls.__name__, cls.__bases__, {**body, "added": 1})


def fields_of(thing: Any) -> tuple[str, ...]:
    """What `record` has noted."""
    return tuple(thing.__record_fields__)


def made(value: Any) -> Any:
    """An object with data under a name that looks like one of Python's."""
    holder = Holder()
    holder.__my_data__ = value  # type: ignore[attr-defined]
    return holder


class Holder:
    """Has nothing of its own."""


class Hooked:
    """Its subclasses know which of their methods are marked."""

    hooks: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.hooks = tuple(k for k, v in vars(cls).items() if getattr(v, "__hook__", None))


def hook(function: Any) -> Any:
    """Mark a method."""
    notes = function.__hook__ = {}
    notes["kind"] = "hook"
    return function


def is_logger(value: object) -> bool:
    """Whether it is a logger."""
    return isinstance(value, logging.Logger)


def is_event(value: object) -> bool:
    """Whether it is an event of threads."""
    return isinstance(value, threading.Event)


def event() -> threading.Event:
    """An event of this process."""
    return threading.Event()


def is_subscripted(kind: Any, origin: type) -> bool:
    """Whether a type is one with arguments of another."""
    return getattr(kind, "__origin__", None) is origin
