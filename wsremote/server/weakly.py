"""Stand-ins that served code refers to weakly: they live as long as the client's objects.

A weak reference here is to a stand-in, and nothing else here need refer to that. When it dies
while somebody refers to it weakly, it is kept, and the client told that its object is held no
more for the sake of this side. When that dies the client says so, and the stand-in goes, with
what Python does to its weak references. Served code that makes a strong reference of a weak
one meanwhile is noticed by the reference count, before the client runs on.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final
from weakref import getweakrefcount

from ..codec.ownership import is_unshared
from ..protocol.handles import STRONG, WEAK

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Weakly"]

# Of what only one dict refers to.
_KEPT: Final[dict[int, Any]] = {0: object()}
_ALONE: Final = getrefcount(_KEPT[0])
# Each stand-in has one, of the table that finds it by its handle.
_OURS: Final = 1


class Weakly:
    """The stand-ins of one session that are kept for weak references alone.

    Args:
        let_go: What the client is to be told: `(handle, WEAK or STRONG)` is appended.
    """

    def __init__(self, let_go: list[tuple[int, int]]) -> None:
        self._let_go = let_go
        # By handle. Empty as long as there are none: then calls cost nothing more.
        self.held: dict[int, Any] = {}
        # Handles of those that something else refers to, as the client knows.
        self._strong: set[int] = set()
        # Handles of those that are going for good.
        self._going: set[int] = set()

    def died(self, stand_in: Any, handle: int) -> None:
        """Called by a stand-in's `__del__`, at any moment: it lives on if it is wanted."""
        if getweakrefcount(stand_in) > _OURS and handle not in self._going:
            self.held[handle] = stand_in
            self._let_go.append((handle, WEAK))

    def returned(self, holder: list[Any], borrowed: Callable[[object], int | None]) -> None:
        """A result has been written: if it is a stand-in it dies later, and counts as dead now.

        Args:
            holder: The result, to which nothing else of ours refers.
            borrowed: Gives the handle of a stand-in.
        """
        if getweakrefcount(holder[0]) > _OURS and is_unshared(holder):
            handle = borrowed(holder[0])
            if handle is not None and handle not in self.held:
                self.died(holder[0], handle)

    def gone(self, handle: int) -> None:
        """The client's object has died. For a receiver, which runs no code of users."""
        self._going.add(handle)

    def let_go(self) -> None:
        """Let go of the stand-ins of objects that have died: before a call that came later."""
        while self._going:
            try:
                handle = next(iter(self._going))
            except (RuntimeError, StopIteration):
                continue  # another thread changes it
            # Here it dies, and what Python calls for its weak references runs.
            self.held.pop(handle, None)
            self._strong.discard(handle)
            self._going.discard(handle)

    def check(self) -> None:
        """See which of them something else refers to by now, for the client to know."""
        held, strong = self.held, self._strong
        for handle in list(held):
            try:
                is_alone = getrefcount(held[handle]) <= _ALONE
                is_wanted = getweakrefcount(held[handle]) > _OURS
            except KeyError:
                continue  # another thread has heard that it is gone
            if not is_alone and handle not in strong:
                strong.add(handle)
                self._let_go.append((handle, STRONG))
            elif is_alone and not is_wanted:
                # Its own release says so.
                held.pop(handle, None)
                strong.discard(handle)
            elif is_alone and handle in strong:
                strong.discard(handle)
                self._let_go.append((handle, WEAK))

    def clear(self) -> None:
        """The session is over."""
        self.held.clear()
        self._strong.clear()
