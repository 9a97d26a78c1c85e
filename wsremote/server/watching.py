"""What the client mirrors of the server's containers, and telling it what changes in them.

A mirror on the client holds what the container held at some moment. After each call, and
before the server calls the client, the containers are compared with what the client knows,
and what has changed is sent. So a mirror never shows what was before the last call,
whoever changed it: the call, another session, or a thread of the served code.

Telling is one message of the session, sent as soon as it is known and under one lock. It is
there before any answer that is sent later, and no answer has to be waited for, or be
wanted, for it to count.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from ..codec import encoder
from ..codec.contents import Kind, mirrored_kind
from ..codec.lowering import Terms
from ..errors import ConnectionLost, EncodeError, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..codec.exchange import Exchange

__all__ = ["WATCH_LIMIT", "Watching"]

logger = logging.getLogger("wsremote.server")

WATCH_LIMIT: Final = 10_000
"""Elements of a container that are compared after each call: 15 ns each. Above it, a
container is compared when the client asks for it, as the methods of its mirror do."""

_BYTES_LIMIT: Final = 1024 * 1024
"""The same for those that are compared as bytes."""


class _Watched:
    """One container that the client mirrors."""

    __slots__ = ("content", "handle", "is_small", "kind", "value")

    def __init__(self, handle: int, value: Any, kind: Kind, content: Any) -> None:
        self.handle = handle
        self.value = value
        self.kind = kind
        # What the client knows. None if that is not certain: then all of it is sent.
        self.content = content
        # Whether it is compared after each call.
        limit = _BYTES_LIMIT if kind.is_bytes else WATCH_LIMIT
        # Those of served classes always are: what their methods read is theirs to say.
        self.is_small = kind.size(content) <= limit or type(value) is not kind.builtin

    def is_same(self) -> bool:
        """Whether the client knows what the container holds."""
        if self.content is None:
            return False
        try:
            return self.kind.is_same(self.content, self.value)
        except RuntimeError:
            return False  # changed by another thread just now


class Watching:
    """The containers of one session that its client mirrors. Any thread may use it.

    Args:
        exchange: The session's, for what the changes hold.
        send: Sends changes to the client, before anything that is sent later.
        largest: Bytes of a payload that fit into one message.
    """

    def __init__(self, exchange: Exchange, send: Callable[[bytes], None], largest: int) -> None:
        self._exchange = exchange
        self._send = send
        self._largest = largest
        # By handle. Empty as long as the client mirrors nothing: then calls cost nothing more.
        self.watched: dict[int, _Watched] = {}
        # The same by id() of the container, which its handle keeps alive.
        self._by_identity: dict[int, _Watched] = {}
        # How many changes have been told.
        self._version = 0
        # Held from comparing to sending: what another thread then finds unchanged has been told.
        # Re-entrant, for finalizers that Python runs in between.
        self._telling = threading.RLock()

    def is_watched(self, value: object) -> bool:
        """Whether the client mirrors a container, and needs to be sent no more than its handle."""
        found = self._by_identity.get(id(value))
        return found is not None and found.value is value and not found.kind.needs_content

    def identities(self) -> Collection[int]:
        """Ids of the containers that the client mirrors now."""
        return frozenset(self._by_identity) if self._by_identity else ()

    def watch(self, handle: int, value: Any, content: Any) -> int:
        """The client is about to get the content of a container.

        Args:
            handle: Which is lent for it.
            value: The container.
            content: What it held when that was written.

        Returns:
            The version of the content: the changes told so far are in it. Below zero, as
            `~version`, if the container is too large to be compared after each call.
        """
        watched = self.watched.get(handle)
        if watched is None:
            kind = mirrored_kind(type(value))
            assert kind is not None
            watched = _Watched(handle, value, kind, content)
            self.watched[handle] = self._by_identity[id(value)] = watched
        elif watched.content is not None and not watched.kind.is_same(watched.content, content):
            # It is sent once more. Which of the two the client will show is not known.
            watched.content = None
        return self._version if watched.is_small else ~self._version

    def forget(self, handle: int) -> None:
        """The client has let go of a handle."""
        watched = self.watched.pop(handle, None)
        if watched is not None:
            self._by_identity.pop(id(watched.value), None)

    def clear(self) -> None:
        """The session is over."""
        self.watched.clear()
        self._by_identity.clear()

    def tell(self) -> None:
        """Compare, and send what has changed."""
        with self._telling:
            changed = [
                watched
                for watched in list(self.watched.values())
                if watched.is_small and not watched.is_same()
            ]
            if changed:
                self._tell(changed)

    def refresh(self, handle: int, *, whole: bool) -> None:
        """The client asks for the changes of one container.

        Args:
            handle: Of it.
            whole: Whether it needs the whole content.

        Raises:
            StaleHandle: The client does not hold it.
        """
        with self._telling:
            value: Any = self._exchange.lent(handle)
            if handle not in self.watched:
                kind = mirrored_kind(type(value))
                if kind is None:
                    return
                self.watch(handle, value, kind.copy(value))
                whole = True
            watched = self.watched[handle]
            if whole:
                watched.content = None
            if not watched.is_same():
                self._tell([watched])

    def _tell(self, changed: list[_Watched]) -> None:
        """Send changes. Requires `_telling`.

        An interrupt may be raised anywhere in here: until it is certain what the client knows,
        that counts as nothing.
        """
        contents: list[Any] = []
        entries: list[tuple[Any, ...]] = []
        # The parts of the document are its own. All that is in the containers is owned by them.
        fresh: set[int] = set()
        for watched in changed:
            before, watched.content = watched.content, None
            now = _copied(watched)
            change = None if before is None else watched.kind.change(before, now)
            parts = (now,) if change is None else change
            fresh.update(map(id, parts))
            contents.append(now)
            entries.append((watched.handle, *parts))
        payload = self._encoded(entries, fresh)
        if payload is None and len(changed) > 1:
            for watched in changed:
                self._tell([watched])
            return
        if payload is None:
            # The client's mirror says so when it is used.
            changed[0].is_small = False
            contents = [None]
            payload = self._encoded([(changed[0].handle,)], fresh) or b""
        self._version += 1
        try:
            self._send(payload)
        except ConnectionLost as error:
            logger.debug("! changes of mirrors have nobody to go to: %s", error)
            return
        for watched, content in zip(changed, contents, strict=True):
            watched.content = content

    def _encoded(self, entries: list[tuple[Any, ...]], fresh: set[int]) -> bytes | None:
        """The payload of a message of changes; None if it cannot be written, or not be sent."""
        document = (self._version + 1, *entries)
        try:
            payload, _ = encoder.encode(document, Terms(self._exchange, fresh, inline=True))
        except (EncodeError, LimitExceeded) as error:
            logger.debug("! changes of mirrors cannot be written: %s", error)
            return None
        return payload if len(payload) <= self._largest else None


def _copied(watched: _Watched) -> Any:
    """The content of a container that other threads may be changing."""
    for _ in range(100):
        try:
            return watched.kind.copy(watched.value)
        except RuntimeError as error:
            logger.debug("! a container changes while it is copied: %s", error)
    raise EncodeError("a container that the client mirrors changes all the time")
