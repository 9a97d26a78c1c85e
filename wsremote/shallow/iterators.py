"""Iterators of the other side: read from a buffer, where they may run ahead.

The proxy of an iterator has its `Reader` (`streaming.consumer`), and beside it, under a name of
its own, what takes the items out of the buffer: `next()` costs one look-up and one call in C
(0.1 µs), as long as there are some.

An interrupt may land after any call that Python code makes, and would lose an item that the call
has taken. So items are taken by a `for` that returns the first: between its C code and the
`return` nothing can come, nor between that and the loop of the user.

Whatever else is done with the proxy begins with its handle. So that is no plain attribute
here: who reads it gives back first what has been received and not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames
from ..protocol.pulling import ENDED, STEP
from ..streaming.ahead import READER
from ..streaming.consumer import NO_ITEMS, Reader
from ..streaming.independence import PROVABLE
from ..tree.introspection import lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Target
    from .caller import Caller

__all__ = ["namespace_of_iterators", "quiet_handle", "stepping"]

_HANDLE: Final = "_wsremote_handle"
_ITEMS: Final = "_wsremote_items"
_NEXT: Final = "_wsremote_next"


class _Handle:
    """The handle of an iterator, as the attribute of its class.

    Args:
        caller: The session.
        state: What is known of such iterators: `STEP`, or None.
    """

    def __init__(self, caller: Caller, state: int | None) -> None:
        self._caller = caller
        self._state = state

    def __get__(self, instance: Any, owner: type | None = None) -> int | None:
        if instance is None:
            return None
        reader: Reader | None = instance._wsremote_reader
        if reader is None:
            return None
        if reader.may_hold_items:
            self._give_back(reader)
        return reader.handle

    def __set__(self, instance: Any, handle: int) -> None:
        object.__setattr__(instance, READER, Reader(handle, self._state))

    def _give_back(self, reader: Reader) -> None:
        """It is about to be used in another way: what was not used comes first again."""
        # Waits for the pull of another thread, whose items would come too late.
        with reader.lock:
            used = reader.give_back()
            if used is not None:
                self._caller.unread(reader.handle, used)
                reader.given_back()


def quiet_handle(proxy: Any) -> int | None:
    """The handle of a proxy, for what is no use of it: for its text, in its finalizer."""
    if type(lookup(type(proxy), _HANDLE)) is _Handle:
        reader: Reader | None = object.__getattribute__(proxy, READER)
        return None if reader is None else reader.handle
    handle: int | None = proxy._wsremote_handle
    return handle


def namespace_of_iterators(caller: Caller, path: str) -> dict[str, Any]:
    """What a class with a `__next__` has besides.

    Args:
        caller: The session.
        path: Of the class.
    """
    is_provable = path in PROVABLE
    made: dict[str, Any] = {
        _HANDLE: _Handle(caller, None if is_provable else STEP),
        READER: None,
        _ITEMS: NO_ITEMS.taking(),
        # For who awaits items: tasks are cancelled where they await, and lose none.
        _NEXT: NO_ITEMS.popleft,
    }
    if is_provable:
        # Of all of Python's own.
        made["__iter__"] = _itself
    return made


def stepping(caller: Caller, owner: Target, qualname: str) -> Callable[[Any], Any]:
    """`__next__` of a class.

    Args:
        caller: The session.
        owner: The class that defines it.
        qualname: Of the method.
    """
    special, pull, call_method = caller.special, caller.pull, caller.call_method

    def __next__(self: Any) -> Any:
        try:
            for item in self._wsremote_items:
                return item
        except IndexError:
            pass  # there is none
        try:
            if getattr(type(self), "__next__", None) is not __next__:
                # `super().__next__()` of a class that is derived here.
                return call_method(owner, "__next__", (self,), None)
            return more(self)
        except BaseException:
            hide_own_frames()
            raise

    def more(self: Any) -> Any:
        """The next item, if the buffer is empty."""
        reader: Reader | None = getattr(self, READER, None)
        if reader is None:
            return special(self._wsremote_handle, "__next__", ())
        if reader.state is None:
            # With no lock held: until its first answer it may be anything.
            items = reader.items
            answer = pull(reader.handle, reader.request())
            if reader.stepping(answer):
                return answer[2][0]
            with reader.lock:
                reader.take(answer, items)
        while reader.state != STEP:
            with reader.lock:
                items = reader.items
                taking = items.taking()
                object.__setattr__(self, _ITEMS, taking)
                try:
                    for item in taking:
                        return item
                except IndexError:
                    pass  # another thread has taken them
                if reader.state == ENDED:
                    raise StopIteration
                answer = pull(reader.handle, reader.request())
                if reader.stepping(answer):
                    return answer[2][0]
                reader.take(answer, items)
        return special(reader.handle, "__next__", ())

    __next__.__qualname__ = qualname
    __next__.__code__ = __next__.__code__.replace(co_filename="<wsremote>")
    return __next__


def _itself(self: Any) -> Any:
    """`__iter__` of an iterator."""
    return self
