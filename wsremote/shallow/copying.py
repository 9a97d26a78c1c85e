"""Copies and pickles of what lives on the other side: made there, whoever asks for them.

A pickle holds the other side's own pickle, which only its session can make an object of.
"""

from __future__ import annotations

import weakref
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from ..errors import StaleHandle
from .metaclass import ShallowClass
from .spoken import Spoken, is_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller

__all__ = ["copying_namespace"]

# Sessions whose objects have been pickled here, by their id.
_SESSIONS: weakref.WeakValueDictionary[str, Caller] = weakref.WeakValueDictionary()
# Of a memo of `copy.deepcopy`, whose other keys are ids.
_MEMO: Final = "wsremote"


def copying_namespace(caller: Caller) -> dict[str, Any]:
    """What instances have of the protocols of `copy` and `pickle`."""
    special = caller.special

    def __copy__(self: Any) -> Any:
        handle = self._wsremote_handle
        return _rebuilt(self) if handle is None else special(handle, "__copy__", ())

    def __deepcopy__(self: Any, memo: dict[Any, Any] | None = None) -> Any:
        handle = self._wsremote_handle
        if handle is None:
            return _rebuilt(self)
        memos = {} if memo is None else memo.setdefault(_MEMO, {})
        known = memos.get(caller.id)
        if known is not None:
            return special(handle, "__deepcopy__", (known,))
        copied = special(handle, "__deepcopy__", ())
        if is_async(caller):
            return _copied(copied, memos, caller.id)
        made, memos[caller.id] = copied
        return made

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        handle = self._wsremote_handle
        if handle is None:
            return object.__reduce_ex__(self, protocol)
        _SESSIONS[caller.id] = caller
        return _unpickled, (caller.id, caller.url, special(handle, "__reduce_ex__", (protocol,)))

    made: dict[str, Any] = {"__copy__": _ForCopy(__copy__), "__deepcopy__": __deepcopy__}
    made["__reduce_ex__"] = _awaited(caller, __reduce_ex__) if is_async(caller) else __reduce_ex__
    return made


def _awaited(caller: Any, reduce: Callable[[Any, Any], Any]) -> Spoken:
    """`__reduce_ex__` of a session whose calls are awaited, which `pickle` does not."""

    async def __reduce_ex__(self: Any, protocol: Any) -> Any:
        if self._wsremote_handle is None:
            return reduce(self, protocol)
        make, (session, url, data) = reduce(self, protocol)
        return make, (session, url, await data)

    def refuse(self: Any, protocol: Any) -> Any:
        if self._wsremote_handle is None:
            return reduce(self, protocol)
        raise TypeError(
            "a pickle of what the server has must be awaited, which pickle does not: write"
            " `data = pickle.dumps(await x.__reduce_ex__(4))`, and to load it"
            " `make, args = pickle.loads(data); x = await make(*args)`"
        )

    return Spoken(__reduce_ex__, refuse)


async def _copied(copied: Any, memos: dict[str, Any], session: str) -> Any:
    """The copy that an awaited call gives, with the memo for the next of the same."""
    made, memos[session] = await copied
    return made


class _ForCopy:
    """`__copy__` of classes of which many have none, for `copy`, which asks the class.

    An instance that has none shows none: `itertools.tee` copies iterators that have it, and
    reads the others once.
    """

    __slots__ = ("_copy",)

    def __init__(self, copy: Callable[[Any], Any]) -> None:
        self._copy = copy

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self._copy
        classes = [cls for cls in owner.__mro__ if isinstance(cls, ShallowClass)]
        if not any("__copy__" in cls._wsremote_node.specials for cls in classes):
            raise AttributeError(f"{owner.__name__!r} object has no attribute '__copy__'")
        return MethodType(self._copy, instance)


def _rebuilt(instance: Any) -> Any:
    """A copy of an exception that was rebuilt here."""
    made = type(instance).__new__(type(instance), *instance.args)
    made.__dict__.update(instance.__dict__)
    return made


def _unpickled(session: str, url: str, data: bytes) -> Any:
    """The new object that a pickle stands for.

    Raises:
        StaleHandle: The session that it was pickled in is not here, or over.
    """
    caller = _SESSIONS.get(session)
    if caller is None or caller.closed:
        raise StaleHandle(
            f"this is the pickle of an object of the server at {url}, and only the session that"
            f" pickled it ({session}) can load it: it is not in this process, or it is closed."
            " Pickle data of the object instead, or let a function of the server save it there"
        )
    return caller.load(data)
