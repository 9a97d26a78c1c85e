"""Which of our objects the other side holds, by handle.

A handle is an integer from 1 that is never used twice in a session, so a handle that was
released can never come to mean another object. The same object has the same handle for as
long as the other side holds it: that makes `a.b is a.b` true over the wire.

The table counts how often each handle was sent; the other side says in a release how often it
has received it. So a release that crosses a fresh sending on the wire does not free the object:
one sending is still open.

Finding an object takes no lock: it is one look into a dict. Lending and releasing change two
dicts and a count together, from several lanes at once, so they hold the lock that the owner of
the table passes in (this room knows no threads). It must be re-entrant, because a finalizer
that Python runs in between may lend or release as well.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from ..errors import LimitExceeded, RemoteProtocolError, StaleHandle

__all__ = ["MAX_HANDLES", "STRONG", "WEAK", "HandleTable"]

MAX_HANDLES: Final = 100_000
"""Objects that the other side may hold at once, unless told otherwise."""


WEAK: Final = 0
STRONG: Final = -1
"""In a release in place of a count. Of the receiver's object: it is referred to weakly alone,
or by more than that again. `WEAK` of the sender's own: it has died."""


class _Lent:
    """One object that the other side holds."""

    __slots__ = ("class_number", "handle", "identity", "sendings", "value")

    def __init__(self, value: object, handle: int, class_number: int) -> None:
        # The reference that keeps the object alive, and with it its id() its own. A `_Weakly`
        # does neither.
        self.value = value
        self.identity = id(value)
        self.handle = handle
        # The number its class was announced with.
        self.class_number = class_number
        # How often the handle was sent and not yet released.
        self.sendings = 1


class _Weakly(weakref.ref[Any]):
    """Stands in the table for an object that the other side refers to weakly alone."""

    __slots__ = ()


class HandleTable:
    """The objects of this side that the other side holds.

    Args:
        lock: A re-entrant lock (`threading.RLock()`), for lending and releasing.
        limit: Objects held at once.
    """

    __slots__ = ("_by_handle", "_by_identity", "_kept", "_limit", "_lock", "_numbers")

    def __init__(self, lock: AbstractContextManager[Any, Any], *, limit: int = MAX_HANDLES) -> None:
        self._lock = lock
        self._limit = limit
        # The next handle. Survives `clear()`: no handle ever means two objects.
        self._numbers = itertools.count(1)
        # What a handle stands for.
        self._by_handle: dict[int, _Lent] = {}
        # The same entries by id() of the object.
        self._by_identity: dict[int, _Lent] = {}
        # Handles that are lent for the whole session.
        self._kept: set[int] = set()

    def __len__(self) -> int:
        """How many objects the other side holds, without those it has for the whole session."""
        return len(self._by_handle) - len(self._kept)

    def __contains__(self, handle: int) -> bool:
        """Whether the other side holds `handle`."""
        return handle in self._by_handle

    def lend(self, value: object, class_number: int = 0) -> int:
        """Count one more sending of an object and give its handle.

        Take it back with `release(handle, 1)` if it is then not sent.

        Args:
            value: The object. It is kept alive until all sendings are released.
            class_number: Kept with a new handle; of no effect for an object that has one.

        Raises:
            LimitExceeded: The other side holds `limit` objects already.
        """
        with self._lock:
            lent = self._by_identity.get(id(value))
            if lent is not None and _living(lent) is value:
                lent.sendings += 1
                return lent.handle
            if len(self) >= self._limit:
                raise LimitExceeded(
                    f"this session holds {self._limit} remote objects, as many as it may: drop"
                    " some of them (`del`), or start the server with a higher --max-handles"
                )
            lent = _Lent(value, next(self._numbers), class_number)
            self._by_handle[lent.handle] = self._by_identity[id(value)] = lent
            return lent.handle

    def keep(self, value: object, class_number: int = 0) -> int:
        """Lend an object for the whole session, and give its handle.

        That is how classes are lent: they outlive their instances. Not counted by `len`.

        Raises:
            LimitExceeded: As `lend`.
        """
        with self._lock:
            handle = self.lend(value, class_number)
            if handle in self._kept:
                self._by_handle[handle].sendings -= 1
            self._kept.add(handle)
            return handle

    def release(self, handle: int, count: int) -> bool:
        """Take back sendings of a handle. Gives whether the object is now free.

        A handle that is not held is no error: a release may come late, after `clear()`, and
        there is nothing left that it could free wrongly. A count that was never sent is one,
        because another holder's sendings would be released with it.

        Args:
            handle: Which.
            count: How often the other side had received it.

        Raises:
            RemoteProtocolError: The count is not between 1 and the sendings still open, or
                these are no numbers.
        """
        if type(handle) is not int or type(count) is not int:
            raise RemoteProtocolError("a release has the numbers of handles, and counts")
        with self._lock:
            # `lent` outlives the lock: the object's finalizer must not run inside it.
            lent = self._by_handle.get(handle)
            if lent is None:
                return False
            if not 0 < count <= lent.sendings:
                raise RemoteProtocolError(
                    f"handle {handle} was released {count} times and has {lent.sendings} sendings"
                    " open"
                )
            lent.sendings -= count
            if lent.sendings:
                return False
            self._kept.discard(handle)
            del self._by_handle[handle]
            if self._by_identity.get(lent.identity) is lent:
                del self._by_identity[lent.identity]
        return True

    def weaken(self, handle: int, died: Callable[[int], None]) -> bool:
        """The other side refers to an object weakly alone. Gives whether this side still holds it.

        Args:
            handle: Of the object.
            died: To be called with the handle when the object dies, at any moment.
        """
        with self._lock:
            lent = self._by_handle.get(handle)
            if lent is None or type(lent.value) is _Weakly:
                return lent is None
            try:
                value = _Weakly(lent.value, lambda _: died(handle))
            except TypeError:
                # An object that has no weak references would have gone by now, but for this table.
                died(handle)
                return True
            lent.value = value
        return False

    def strengthen(self, handle: int) -> None:
        """The other side refers to an object that `weaken` was told of, as to others."""
        with self._lock:
            lent = self._by_handle.get(handle)
            value = None if lent is None else _living(lent)
            if lent is not None and value is not None:
                lent.value = value

    def replace(self, handle: int, value: object) -> None:
        """Let a handle stand for another object from now on, which holds the one before."""
        with self._lock:
            lent = self._by_handle.get(handle)
            if lent is None:
                return
            if self._by_identity.get(lent.identity) is lent:
                del self._by_identity[lent.identity]
            lent.value, lent.identity = value, id(value)
            self._by_identity[lent.identity] = lent

    def lookup(self, handle: int) -> object:
        """The object that a handle stands for.

        Raises:
            StaleHandle: The other side does not hold it. The text is the same whether it was
                released or never existed.
        """
        try:
            value = self._by_handle[handle].value
        except KeyError:
            raise self._stale(handle) from None
        if type(value) is _Weakly:
            value = value()
            if value is None:
                raise self._stale(handle)
        return value

    def peek(self, handle: int) -> object:
        """The object that a handle stands for; None if the other side does not hold it."""
        lent = self._by_handle.get(handle)
        return None if lent is None else _living(lent)

    def class_number(self, handle: int) -> int:
        """The class number that the object was lent with.

        Raises:
            StaleHandle: As `lookup`.
        """
        try:
            return self._by_handle[handle].class_number
        except KeyError:
            raise self._stale(handle) from None

    def clear(self) -> None:
        """Let go of everything: the session is over."""
        with self._lock:
            freed, self._by_handle, self._by_identity = self._by_handle, {}, {}
            self._kept.clear()
        # Finalizers run here, outside the lock.
        freed.clear()

    @staticmethod
    def _stale(handle: int) -> StaleHandle:
        """What using a handle that is not held raises."""
        return StaleHandle(
            f"this session has no object with handle {handle}: it was released, or it belongs to"
            " another session; get it again from where it came from"
        )


def _living(lent: _Lent) -> object:
    """The object of an entry; None if it has died."""
    return lent.value() if type(lent.value) is _Weakly else lent.value
