"""Awaitables of the other side: coroutine objects, futures, asynchronous generators.

What an `await` here waits for is a local coroutine, which has the other side await the object
itself. So tasks and `asyncio.gather` take a coroutine object of the other side for one of theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine, Generator
from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from ..tree.nodes import ClassNode, FunctionNode
    from .caller import Caller

__all__ = ["asynchronous", "is_coroutine_class", "namespace_of_awaitables"]

_COROUTINE: Final = "builtins:coroutine"
_GENERATOR: Final = "builtins:async_generator"
# What calls of async functions, and steps of async generators, give.
_COROUTINES: Final = frozenset([_COROUTINE, f"{_GENERATOR}_asend", f"{_GENERATOR}_athrow"])
_STEPS: Final = frozenset(["asend", "athrow", "aclose"])
_INNER: Final = "_wsremote_inner"


def is_coroutine_class(node: ClassNode) -> bool:
    """Whether a node is that of coroutine objects, or of their like."""
    return node.path in _COROUTINES


def asynchronous(node: ClassNode, member: FunctionNode) -> FunctionNode:
    """The node of a method, which says that it gives an awaitable where C code does not."""
    if node.path == _GENERATOR and member.name in _STEPS:
        return dataclasses.replace(member, flow="async")
    return member


def namespace_of_awaitables(node: ClassNode, caller: Caller, path: Target) -> dict[str, Any]:
    """What a class has whose objects are awaited.

    Args:
        node: Of the class.
        caller: The session.
        path: What the class is called.
    """
    made: dict[str, Any] = {}
    if "__await__" in node.specials:
        made["__await__"] = _await_of(caller, path)
        # To `asyncio` a future is none of this loop's, whatever its class: it is to be awaited.
        made["_asyncio_future_blocking"] = None
    if node.path in _COROUTINES:
        made |= _driven(caller)
    if node.path == _COROUTINE:
        made["__class__"] = property(lambda self: CoroutineType)
    elif node.path == _GENERATOR:
        made["__aiter__"] = lambda self: self
        made["__class__"] = property(lambda self: AsyncGeneratorType)
    return made


def _await_of(caller: Caller, path: Target) -> Any:
    """`__await__` of a class."""

    def __await__(self: Any) -> Any:
        if getattr(type(self), "__await__", None) is not __await__:
            return caller.call_method(path, "__await__", (self,), None)
        awaited = caller.awaited.special(self._wsremote_handle, "__await__", ())
        return _steps(self, awaited) if caller.awaited.is_in_loop else awaited

    return __await__


def _steps(kept: Any, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The steps of a coroutine, during which the object that it awaits is kept."""
    return (yield from coroutine.__await__())


def _driven(caller: Caller) -> dict[str, Any]:
    """`send`, `throw` and `close` of coroutines: here, of the local one that awaits them."""

    def inner(self: Any) -> Any:
        """The steps of that, begun with the first; None outside of an event loop."""
        found = self._wsremote_inner
        if found is None and caller.awaited.is_in_loop:
            found = type(self).__await__(self)
            object.__setattr__(self, _INNER, found)
        return found

    def send(self: Any, value: Any, /) -> Any:
        steps = inner(self)
        if steps is None:
            return caller.call_method(self._wsremote_handle, "send", (value,), None)
        return steps.send(value)

    def throw(self: Any, /, *raised: Any) -> Any:
        steps = inner(self)
        if steps is None:
            return caller.call_method(self._wsremote_handle, "throw", raised, None)
        return steps.throw(*raised)

    def close(self: Any, /) -> None:
        steps = self._wsremote_inner
        if steps is not None:
            steps.close()
        caller.call_method(self._wsremote_handle, "close", (), None)

    return {_INNER: None, "send": send, "throw": throw, "close": close}
