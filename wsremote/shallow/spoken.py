"""What Python's syntax asks of the objects of a session whose calls are awaited.

`await obj.__len__()` can be awaited, `len(obj)` cannot: nor can what assigns, deletes, tests,
iterates with `for` or enters with `with`. Each raises a TypeError then that says what to write;
none is half done, and none gives something awaitable where nobody awaits it.
"""

from __future__ import annotations

import dis
import sys
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.hiding import hide_own_frames
from ..protocol.specials import FORWARDED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from ..tree.nodes import ClassNode
    from .caller import AwaitedCaller, Caller

__all__ = [
    "Spoken",
    "is_async",
    "namespace_of_async",
    "refuse_change",
    "spoken",
]

# The instructions that read an attribute by its name, as `obj.__len__` does and `len(obj)` not.
_BY_NAME: Final = frozenset(
    dis.opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR") if name in dis.opmap
)

# What Python makes something of itself, or drops, with what is to be written in its place.
_WRITE: Final = {
    **{
        name: f"await x.{name}()"
        for name in (
            *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__len__"),
            *("__length_hint__", "__hash__", "__str__", "__bytes__", "__fspath__", "__sizeof__"),
        )
    },
    "__contains__": "await x.__contains__(item)",
    "__format__": "await x.__format__(text)",
    "__iter__": "async for item in x",
    "__setitem__": "await x.__setitem__(key, value)",
    "__delitem__": "await x.__delitem__(key)",
    "__missing__": "await x.__missing__(key)",
    "__enter__": "async with x",
    "__exit__": "async with x",
    "__set__": "await x.__set__(instance, value)",
    "__delete__": "await x.__delete__(instance)",
    **{
        name: f"x = await x.{name}(other)"
        for name in FORWARDED
        if name.startswith("__i") and f"__{name[3:]}" in FORWARDED
    },
}

# Whose iterators are their own.
_ITERATORS: Final = ("builtins:", "itertools:")


def is_async(caller: Caller | AwaitedCaller) -> bool:
    """Whether the calls of a session are awaited: whether all that they give is awaitable."""
    return getattr(caller, "is_async", False)


class Spoken:
    """A special method that is called in one way by its name, in another by Python's syntax.

    Args:
        named: What `x.__len__` is, called with `x` first.
        by_syntax: What `len(x)` calls, with `x` first.
    """

    __slots__ = ("_by_syntax", "_named")

    def __init__(self, named: Callable[..., Any], by_syntax: Callable[..., Any]) -> None:
        self._named = named
        self._by_syntax = by_syntax

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._named
        # C code has no frame of its own: it is that of who asks.
        asking = sys._getframe(1)
        is_named = asking.f_code.co_code[asking.f_lasti] in _BY_NAME
        return MethodType(self._named if is_named else self._by_syntax, instance)


def spoken(caller: Caller | AwaitedCaller, name: str, named: Callable[..., Any]) -> Any:
    """A special method as objects of a session have it: refused where nobody can await it."""
    write = _WRITE.get(name)
    if write is None or not is_async(caller):
        return named

    def refuse(self: Any, /, *args: Any) -> NoReturn:
        raise TypeError(
            f"{name} of {type(self).__qualname__} runs on the server and has to be awaited:"
            f" write `{write}`"
        )

    return Spoken(named, refuse)


def refuse_change(name: str, verb: str = "setattr") -> NoReturn:
    """An attribute of the other side cannot be set or deleted by a statement.

    Raises:
        TypeError: Always.
    """
    value = ", value" if verb == "setattr" else ""
    raise TypeError(
        f"{name} is the server's, and a statement awaits nothing: write"
        f" `await session.{verb}(x, {name!r}{value})`"
    )


def namespace_of_async(
    node: ClassNode, caller: Caller, namespace: dict[str, Any], bases: tuple[type, ...]
) -> dict[str, Any]:
    """What a class has besides, so that `async for` and `async with` take its objects.

    Args:
        node: Of the class.
        caller: The session.
        namespace: What it has so far.
        bases: Of the class.
    """
    if not is_async(caller):
        return {}
    made: dict[str, Any] = {}
    is_iterated = "__iter__" in node.specials or "__aiter__" in node.specials
    if "__next__" in node.specials:
        made["__next__"] = made["__anext__"] = step = _stepping(caller)
        if node.path.startswith(_ITERATORS):
            # Of all of Python's own `iter()` gives the iterator itself.
            made["__aiter__"] = _itself
            made["__iter__"] = spoken(caller, "__iter__", _itself_awaited)
        if "__anext__" in node.specials:
            del made["__anext__"]
        step.__qualname__ = f"{node.qualname}.__next__"
    if "__aiter__" in made or node.path == "builtins:async_generator":
        pass
    elif is_iterated:
        made["__aiter__"] = _iterating(caller, "__aiter__" in node.specials)
    elif "__getitem__" in node.specials and not any(hasattr(b, "__aiter__") for b in bases):
        made["__aiter__"] = _indexing(caller)
        if not any(hasattr(base, "__iter__") for base in bases):
            # Else Python asks for the items 0, 1, ... and is given what is to be awaited.
            made["__iter__"] = spoken(caller, "__iter__", made["__aiter__"])
    if "__enter__" in node.specials and "__aenter__" not in node.specials:
        made |= _entering(caller)
    return made


def _itself(self: Any) -> Any:
    """`__aiter__` of an iterator."""
    return self


async def _itself_awaited(self: Any) -> Any:
    """`__iter__` of an iterator."""
    return self


def _stepping(caller: Any) -> Any:
    """`__next__`, which gives what is to be awaited."""
    step = caller.next_item

    def __next__(self: Any) -> Any:
        return step(self)

    return __next__


def _iterating(caller: Caller, is_asynchronous: bool) -> Callable[[Any], Any]:
    """`__aiter__`, of what has one there, or has `__iter__`."""

    def __aiter__(self: Any) -> _Items:
        return _Items(self, caller, is_asynchronous)

    return __aiter__


def _indexing(caller: Caller) -> Callable[[Any], Any]:
    """`__aiter__`, of what Python iterates over by its indices."""

    async def __aiter__(self: Any) -> Any:
        index = 0
        while True:
            try:
                item = await caller.special(self._wsremote_handle, "__getitem__", (index,))
            except IndexError:
                return
            yield item
            index += 1

    return __aiter__


class _Items:
    """Asks for one item after the other, of an iterator that it gets with the first.

    Args:
        iterable: What is iterated over.
        caller: Its session.
        is_asynchronous: Whether it is an asynchronous one on the server.
    """

    def __init__(self, iterable: Any, caller: Caller, is_asynchronous: bool) -> None:
        self._iterable = iterable
        self._caller = caller
        self._names = ("__aiter__", "__anext__") if is_asynchronous else ("__iter__", "__next__")
        self._iterator: Any = None

    def __aiter__(self) -> _Items:
        return self

    async def __anext__(self) -> Any:
        __tracebackhide__ = True
        try:
            return await self._next()
        except StopAsyncIteration:
            raise
        except BaseException:
            hide_own_frames()
            raise

    async def _next(self) -> Any:
        caller: Any = self._caller
        begin, step = self._names
        if self._iterator is None:
            handle = self._iterable._wsremote_handle
            self._iterator = await caller.special(handle, begin, ())
        iterator = self._iterator
        if not hasattr(type(iterator), "_wsremote_classes"):
            # One of the client's own that has come home.
            return await anext(iterator) if hasattr(iterator, "__anext__") else _next(iterator)
        if step == "__anext__":
            return await caller.awaited.special(iterator._wsremote_handle, step, ())
        return await caller.next_item(iterator)


def _next(iterator: Any) -> Any:
    try:
        return next(iterator)
    except StopIteration as error:
        raise StopAsyncIteration(*error.args) from None


def _entering(caller: Caller) -> dict[str, Any]:
    """`async with` of what has `__enter__` and `__exit__` there."""

    def __aenter__(self: Any) -> Coroutine[Any, Any, Any]:
        entered: Coroutine[Any, Any, Any] = caller.special(self._wsremote_handle, "__enter__", ())
        return entered

    def __aexit__(
        self: Any,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, Any]:
        left: Coroutine[Any, Any, Any] = caller.special(self._wsremote_handle, "__exit__", (error,))
        return left

    return {"__aenter__": __aenter__, "__aexit__": __aexit__}
