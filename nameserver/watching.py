"""Watching the registry: what changes, as it happens, for hundreds of watchers.

A watcher is a place in the registry's changes, and no more: it has no queue of its own that
could grow. Who is slow, or was away, is given everything again instead of what it has missed.
While nothing changes nobody wakes: watchers sleep until one thread, which waits for changes on
behalf of them all, rings their bells.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wsremote.server.clients import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

    from .records import Change
    from .view import View

__all__ = ["MOST_BEHIND", "Ringer", "Watch"]

MOST_BEHIND: Final = 1000
"""Changes that a watcher may be behind before it is given everything anew."""

_LOOK: Final = 1.0
"""Seconds between two looks whether the ringer is to end."""


class Ringer:
    """Wakes those who wait for a change.

    Args:
        view: Of which changes.
        doubt: Why the view may lack servers that run; None if it does not.
    """

    def __init__(self, view: View, doubt: Callable[[], str | None] = lambda: None) -> None:
        self.view = view
        self.doubt = doubt
        self.is_over = False
        self._bells: set[Bell] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name="wsremote-nameserver-ringer", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Wake all watchers, for whom it is over. Its thread ends within a second."""
        self.is_over = True
        self._ring()

    @property
    def waiting(self) -> int:
        """How many watches wait for a change."""
        return len(self._bells)

    def add(self, bell: Bell) -> None:
        """Ring a bell with the next change, once."""
        with self._lock:
            self._bells.add(bell)

    def discard(self, bell: Bell) -> None:
        """Do not ring a bell."""
        with self._lock:
            self._bells.discard(bell)

    def _run(self) -> None:
        seen, had_doubt = self.view.revision, self.doubt() is not None
        while not self.is_over:
            self.view.wait(seen, _LOOK)
            has_doubt = self.doubt() is not None
            is_sure_now, had_doubt = had_doubt and not has_doubt, has_doubt
            # The view may have been fed with nothing new.
            if self.view.revision != seen or is_sure_now:
                # Before ringing: a change that comes meanwhile is seen in the next round.
                seen = self.view.revision
                self._ring()

    def _ring(self) -> None:
        with self._lock:
            bells, self._bells = self._bells, set()
        for bell in bells:
            bell.ring()


class Watch:
    """The changes of the registry: `for change in watch`, or `async for`.

    The first item is everything that there is, `{"kind": "all", "revision", "servers", "doubt"}`,
    unless `since` is a revision that is still known. `doubt` says why servers may be missing in
    it, and is None if none are. Then come changes, one by one: `{"kind": "registered" | "changed" |
    "gone", "revision", "name", "id", "server"}`. Everything comes again when a doubt is over, and
    whenever more has changed than one who reads slowly should be told.

    Args:
        ringer: Of the registry.
        since: The last revision that the watcher knows; None for none.
        prefix: Of the names.
    """

    def __init__(self, ringer: Ringer, since: int | None, prefix: str) -> None:
        self._ringer = ringer
        self._view = ringer.view
        self._prefix = prefix
        # Of the last item; None if everything is to come next.
        self._revision = since
        self._is_in_doubt = ringer.doubt() is not None
        # Changes behind that, not many.
        self._next: deque[Change] = deque()
        self._bell = Bell()
        self._is_running = False
        self._is_over = False

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> dict[str, Any]:
        self._check_alone()
        try:
            self._is_running = True
            while (item := self._take()) is None:
                self._ringer.add(self._bell)
                if self._is_current():
                    self._bell.wait()
            return item
        finally:
            self._is_running = False
            self._ringer.discard(self._bell)

    def close(self) -> None:
        """End it, for a reader in another thread too. Dropping it does as well."""
        self._is_over = True
        self._bell.ring()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> dict[str, Any]:
        self._check_alone()
        try:
            self._is_running = True
            while (item := self._take()) is None:
                self._ringer.add(self._bell)
                if self._is_current():
                    await self._bell.awaited()
            return item
        except StopIteration:
            raise StopAsyncIteration from None
        finally:
            self._is_running = False
            self._ringer.discard(self._bell)

    def _check_alone(self) -> None:
        if self._is_running:
            raise ValueError("the watch is being read already")

    def _is_current(self) -> bool:
        """Whether there is nothing to tell. Asked when the bell is where a change finds it."""
        is_over = self._is_over or self._ringer.is_over
        return self._view.revision == self._revision and not is_over and not self._is_sure_now()

    def _is_sure_now(self) -> bool:
        """Whether a doubt is over: who was told of it is told of everything that there is."""
        return self._is_in_doubt and self._ringer.doubt() is None

    def _take(self) -> dict[str, Any] | None:
        """The next item; None if there is none yet.

        Raises:
            StopIteration: It was closed, or the name server shuts down.
        """
        if self._is_over or self._ringer.is_over:
            raise StopIteration
        if self._is_sure_now():
            self._revision = None
            self._next.clear()
        if not self._next and self._revision is not None:
            self._look(self._revision)
        if self._next:
            change = self._next.popleft()
            self._revision = change.revision
            return change.to_wire(time.time())
        if self._revision is not None:
            return None
        # First: what the view lacks now may be there a moment later.
        doubt = self._ringer.doubt()
        self._is_in_doubt = doubt is not None
        self._revision, entries = self._view.snapshot(self._prefix)
        now = time.time()
        return {
            "kind": "all",
            "revision": self._revision,
            "servers": [entry.to_wire(now) for entry in entries],
            "doubt": doubt,
        }

    def _look(self, revision: int) -> None:
        """See what has changed."""
        if self._view.revision == revision:
            return
        changes = self._view.changes_since(revision)
        if changes is None or len(changes) > MOST_BEHIND:
            self._revision = None
            return
        self._next.extend(each for each in changes if each.name.startswith(self._prefix))
        if changes and not self._next:
            # All of them of other names.
            self._revision = changes[-1].revision
