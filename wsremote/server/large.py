"""Results that stay on the server because they are large: `connect(max_result=…)`.

The client gets a handle of a `LargeResult` and a preview, which its repr shows without a message.
Whatever it does with the handle is done with the value: a `LargeResult` is only what the handle
table holds and what the client's class is made of.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Sized
from itertools import islice
from typing import Any, Final

from ..protocol.specials import FORWARDED

__all__ = ["LargeResult", "preview"]

_FEW: Final = 5
"""Elements that a preview shows."""

_MOST: Final = 300
"""Characters of them."""

_short: Final = reprlib.Repr()
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = _FEW
_short.maxstring = _short.maxother = 60

# What would make it look like something that it may not be.
_NOT_OF_ALL: Final = frozenset(
    [
        *("__call__", "__hash__", "__bool__", "__next__", "__index__", "__int__", "__float__"),
        *("__complex__", "__await__", "__aiter__", "__anext__", "__enter__", "__exit__"),
        *("__aenter__", "__aexit__", "__length_hint__", "__str__", "__repr__", "__bytes__"),
        *("__fspath__", "__reduce_ex__", "__deepcopy__", "__copy__", "__format__"),
    ]
)


class LargeResult:
    """A result that stays on the server, since it is larger than the session's `max_result`.

    It can be used as if it were here: by its length, items and slices, operators, attributes and
    methods, as an argument of calls. `session.fetch(x)` gives the value itself.
    """

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: object) -> None:
        self.value = value

    def __array__(self) -> Any:
        """Asked by numpy, which would read it element by element if there were none."""
        raise TypeError("a large result is on the server: session.fetch(x) gives it")


def _forwarded(name: str) -> Any:
    def method(self: LargeResult, *args: object) -> Any:
        raise AssertionError(f"{name} is asked of the value itself")

    method.__name__ = method.__qualname__ = name
    return method


for _name in FORWARDED - _NOT_OF_ALL:
    setattr(LargeResult, _name, _forwarded(_name))
# `setattr` of `__eq__` leaves the hash alone: each is itself.


def preview(value: object, size: int) -> str:
    """What the client shows in its place: type, shape or length, size, the first elements.

    Args:
        value: Any; nothing that its own code raises is raised here.
        size: Bytes that it would have on the wire, as far as they were counted.
    """
    shape, elements = "", ""
    try:
        shape, elements = _shape(value), _elements(value)
    except KeyboardInterrupt:
        raise
    # Code of the value's class.
    except BaseException:
        elements = "…"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _dotted(kind)
    return (
        f"<large result on the server: {name}{shape}, {size / 1e6:.1f} MB or more: {elements}"
        " (session.fetch(x) gives it)>"
    )


def _dotted(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _shape(value: Any) -> str:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return f" {value.dtype} {value.shape}"
    shape = getattr(value, "shape", None)
    if type(shape) is tuple:
        return f" {shape}"
    return f" of length {len(value)}" if isinstance(value, Sized) else ""


def _elements(value: Any) -> str:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        text = f"[{', '.join(str(each) for each in islice(value.flat, _FEW))}, …]"
    elif isinstance(value, dict):
        some = ", ".join(
            f"{_short.repr(key)}: {_short.repr(each)}" for key, each in islice(value.items(), _FEW)
        )
        text = f"{{{some}, …}}"
    elif isinstance(value, str | bytes | bytearray):
        text = f"{bytes(value[:40]) if type(value) is bytearray else value[:40]!r}…"
    elif isinstance(value, list | tuple | set | frozenset):
        text = f"[{', '.join(_short.repr(each) for each in islice(value, _FEW))}, …]"
    elif hasattr(value, "columns"):
        text = f"columns {_short.repr(list(value.columns[: 2 * _FEW]))}"
    else:
        text = _short.repr(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
