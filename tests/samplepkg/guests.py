"""What serves objects of its caller: iterates, fills, keeps, wraps and looks at them."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

KEPT: dict[str, Any] = {}


def keep(name: str, value: Any) -> None:
    """Keep an object beyond the call."""
    KEPT[name] = value


def kept(name: str) -> Any:
    """What is kept under a name."""
    return KEPT[name]


def drop(name: str) -> None:
    """Keep it no longer."""
    del KEPT[name]


def take(count: int, items: Iterable[Any]) -> list[Any]:
    """The next items."""
    return list(itertools.islice(items, count))


def lazily(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A generator over a caller's iterable."""
    for item in items:
        yield function(item)


def dump(value: Any, file: Any) -> None:
    """Write JSON to a file object."""
    json.dump(value, file)


def lines(file: Any) -> list[str]:
    """Read a file object to its end."""
    with file:
        return list(file)


def inside(context: Any, fail: bool = False) -> Any:
    """Enter a context, and leave it by an exception or not."""
    with context as entered:
        if fail:
            raise ValueError("left by an exception")
        return entered


def kinds(value: Any) -> dict[str, bool]:
    """What an object is seen as."""
    classes = (Mapping, MutableMapping, Sequence, Iterable, Iterator, Callable, dict, list)
    return {cls.__name__: isinstance(value, cls) for cls in classes}  # type: ignore[arg-type]


def is_same(one: Any, other: Any) -> bool:
    """Whether two are one object."""
    return one is other


def equals(one: Any, other: Any) -> bool:
    """Whether two are equal."""
    return bool(one == other)


def is_in(item: Any, container: Any) -> bool:
    """Membership."""
    return item in container


def is_instance(value: Any, cls: Any) -> bool:
    """Whether an object is one of a class."""
    return isinstance(value, cls)


def make(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """An object of a class of the caller."""
    return cls(*args, **kwargs)


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call it."""
    return function(*args, **kwargs)


def attribute(value: Any, name: str, *default: Any) -> Any:
    """Read an attribute."""
    return getattr(value, name, *default)


def set_attribute(value: Any, name: str, new: Any) -> None:
    """Set an attribute."""
    setattr(value, name, new)


def remove_attribute(value: Any, name: str) -> None:
    """Delete an attribute."""
    delattr(value, name)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the usual kind."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        wrapper.calls += 1  # type: ignore[attr-defined]
        return function(*args, **kwargs)

    wrapper.calls = 0  # type: ignore[attr-defined]
    return wrapper


def described(function: Any) -> list[str | None]:
    """What describes a function."""
    return [
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
        str(inspect.signature(function)),
    ]


def bound(function: Any, *args: Any) -> Any:
    """Call a function as the method of a class that has it."""
    cls = type("Holder", (), {"method": function, "name": "held"})
    return cls().method(*args)  # type: ignore[attr-defined]


def add_all(mapping: MutableMapping[Any, Any], **items: Any) -> None:
    """Fill a mapping."""
    mapping.update(items)


def append(sequence: Any, item: Any) -> int:
    """Append, and tell the length."""
    sequence.append(item)
    return len(sequence)


def pick(generator: random.Random, items: Sequence[Any]) -> Any:
    """Draw with the caller's random numbers."""
    return items[int(generator.random() * len(items))]


def catching(cls: Any, function: Callable[[], Any]) -> Any:
    """What a function raises that is of a class."""
    try:
        return function()
    except cls as error:
        return error


def sum_with(start: Any, items: Iterable[Any]) -> Any:
    """Add up."""
    for item in items:
        start = start + item
    return start


def signature_of(function: Any) -> str:
    """What `inspect.signature` shows."""
    return str(inspect.signature(function))


def identity(value: Any) -> Any:
    """The value itself."""
    return value


def tee_sum(items: Iterable[Any]) -> list[Any]:
    """Two readers of one iterator."""
    one, other = itertools.tee(items)
    return [*one, *other]


def shown(value: Any) -> str:
    """Its repr."""
    return repr(value)


def checked(function: Any) -> list[bool]:
    """What `inspect` takes a callable for."""
    checks = (
        inspect.isfunction,
        inspect.isbuiltin,
        inspect.ismethod,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        callable,
    )
    return [bool(check(function)) for check in checks]


def code_names(function: Any) -> tuple[str, ...]:
    """Names of parameters, as old code reads them."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def set_item(container: Any, key: Any, value: Any) -> None:
    """Set an item."""
    container[key] = value
