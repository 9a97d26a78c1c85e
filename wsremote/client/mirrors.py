"""The mirrors of one session: containers here that show what containers of the server hold.

The server sends what has changed in them, in the order in which it happened, and the
threads of the client apply it before any call of theirs returns. So no read after a later
call shows what was before it.

C code writes into a mirror past its methods (`heapq.heappush`). Each mirror is therefore
kept beside its content as the server knows it; before a call is sent the two are compared, and
what C code has written is written on the server. A mirror that nobody refers to any more
is kept until then: `heapq.heappush(obj.items, 1)` has no other reference to what it writes into.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..codec.contents import BY_PATH, NDARRAYS, Kind, mirrored_kind
from ..errors import DecodeError, LimitExceeded, ReadOnlyCopy, StaleHandle
from ..shallow.caller import Caller
from ..shallow.mirrors import Mirror, asking_class, mirror_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..shallow.proxies import Proxies

__all__ = ["Mirrors"]

_MOST_MISSED: Final = 1000
"""Handles for which changes came and no mirror was there, of which it is remembered."""


class Refresher(Caller, Protocol):
    """A session, as its mirrors use it."""

    @property
    def messages(self) -> int:
        """How many it has sent."""

    def refresh(self, handle: int, *, whole: bool) -> None:
        """Have the server send what has changed in the container of a handle, or all of it."""


class _Record(weakref.ref[Any]):
    """What is known of one mirror.

    Attributes:
        handle: The server's name of the container.
        kind: How it is looked at.
        state: Version and content, as the server knows it; None until the content is there.
            Replaced as a whole: an interrupt may come at any moment.
        pushed: What it held when that was last written on the server.
        is_watched: Whether the server compares it after each call.
        is_lost: Whether what it holds cannot be sent.
        seen: How many messages this side had sent when one that is not was last compared.
        identity: The `id()` of the mirror, if it cannot hold its handle itself; else 0.
        held: The mirror, until it has been compared after the last other reference went.
    """

    __slots__ = (
        *("handle", "held", "identity", "is_lost", "is_watched", "kind", "pushed", "seen", "state"),
    )

    def __init__(self, mirror: object, _died: Callable[[_Record], None]) -> None:
        super().__init__(mirror, _died)  # type: ignore[call-arg]
        self.held: object = mirror
        self.handle = self.identity = 0
        self.kind: Kind
        self.state: tuple[int, Any] | None = None
        self.pushed: Any = None
        self.is_watched = True
        self.is_lost = False
        self.seen = -1


def _references(record: _Record) -> int:
    """How many references there are to the mirror of a record."""
    mirror = record()
    return getrefcount(mirror)


def _only_held() -> int:
    """How many there are if nothing but the record holds it; Pythons differ."""
    return _references(_Record(set(), lambda _: None))


_ONLY_HELD: Final = _only_held()


class Mirrors:
    """The living mirrors of a session. Any thread may use them.

    Args:
        caller: The session.
        decode: Reads a payload.
    """

    def __init__(self, caller: Refresher, decode: Callable[[bytes], Any]) -> None:
        self._caller = caller
        self._decode = decode
        # The classes of mirrors of plain builtins, made when they are first met; and those of them
        # that ask before they are read.
        self._classes: dict[type, type] = {}
        self._asking: dict[type, type] = {}
        # By handle. As long as it is empty, calls cost nothing more.
        self.living: dict[int, _Record] = {}
        # Those of exact ndarrays, by id() of the array.
        self.arrays: dict[int, _Record] = {}
        # Changes that came, in their order; a receiver puts them here and does nothing else. What
        # is empty says that something is unfilled.
        self.news: deque[bytes] = deque()
        # Held while they are applied, by one thread after the other.
        self._applying = threading.RLock()
        # Held while what C code has written is written on the server.
        self._pushing = threading.RLock()
        # Mirrors whose content did not come with them, or may be older than what was told of it.
        self.unfilled: dict[int, None] = {}
        # The version up to which changes came for a handle without mirror: its content may still
        # be on its way to another thread, and then be too old.
        self._missed: dict[int, int] = {}
        # The version up to which that has been forgotten.
        self._forgotten = 0

    # ---- mirrors come and go ---------------------------------------------------------

    def class_of(self, path: str) -> type | None:
        """The class of mirrors of a builtin, by its name on the wire; None for any other class."""
        kind = BY_PATH.get(path)
        if kind is None:
            return None
        cls = self._classes.get(kind.builtin)
        if cls is None:
            made = mirror_class(kind.builtin, self._caller)
            cls = self._classes.setdefault(kind.builtin, made)
        return cls

    def received(
        self, proxies: Proxies, cls: type, handle: int, content: Any = None, version: int = 0
    ) -> Any:
        """The one mirror of a handle. Counts one receipt of it.

        Args:
            proxies: What the session holds of its server.
            cls: Its class, which is or derives from a mutable builtin.
            handle: The server's name of the container.
            content: What it held, if that came with it.
            version: Which changes are in the content already.
        """
        kind = mirrored_kind(cls)
        assert kind is not None
        if content is not None and not kind.fits(content):
            raise DecodeError(f"a {type(content).__name__} is no content of a {cls.__name__}")
        mirror = proxies.received(handle)
        if mirror is None:
            if content is None and kind.needs_content:
                raise DecodeError(f"a {kind.name} comes with its content")
            mirror = kind.blank(cls, content)
            if kind is not NDARRAYS:
                object.__setattr__(mirror, "_wsremote_handle", handle)
            mirror = proxies.kept(mirror, handle)
        with self._applying:
            record = self.living.get(handle)
            if record is None or record() is not mirror:
                record = _Record(mirror, self._died)
                record.handle, record.kind = handle, kind
                self.living[handle] = record
                if kind is NDARRAYS:
                    record.identity = id(mirror)
                    self.arrays[record.identity] = record
            record.held = mirror
            if content is not None:
                if version < 0:
                    self._unwatch(record, mirror)
                version = version if version >= 0 else ~version
                if record.state is None or version >= record.state[0]:
                    self._renew(record, mirror, version, content)
                if max(self._missed.pop(handle, 0), self._forgotten) > version:
                    self._ask(handle)
                else:
                    self.unfilled.pop(handle, None)
            elif record.state is None:
                self._ask(handle)
        return mirror

    def _ask(self, handle: int) -> None:
        """Get the whole content of a mirror, before the call returns that it came with."""
        self.unfilled[handle] = None
        self.news.append(b"")

    def _unwatch(self, record: _Record, mirror: Any) -> None:
        """Let the readers of a mirror ask first. One of a served class is always watched."""
        record.is_watched = False
        record.seen = self._caller.messages
        if isinstance(mirror, Mirror):
            cls = self._classes[record.kind.builtin]
            if cls not in self._asking:
                self._asking[cls] = asking_class(cls, self._compare)
            mirror.__class__ = self._asking[cls]

    def _compare(self, mirror: Any) -> None:
        """See that a mirror that is not watched shows the truth; called before it is read.

        Raises:
            LimitExceeded: It holds what cannot be sent.
        """
        record = self.living.get(mirror._wsremote_handle)
        if record is None or record.seen == self._caller.messages:
            return
        if self._pushing._is_owned() or self._applying._is_owned():  # type: ignore[attr-defined]
            return
        if record.state is not None and not record.kind.is_same(record.state[1], mirror):
            self._push(record, mirror)
        self._caller.refresh(record.handle, whole=record.is_lost)
        if record.is_lost:
            raise LimitExceeded(
                f"this {record.kind.name} of the server has become too large to be sent in one"
                " message, or holds what cannot be sent: use it through functions of the server"
            )
        record.seen = self._caller.messages

    def _died(self, record: _Record) -> None:
        """A mirror is gone. Runs anywhere: takes no lock."""
        if self.living.get(record.handle) is record:
            self.living.pop(record.handle, None)
        if record.identity and self.arrays.get(record.identity) is record:
            self.arrays.pop(record.identity, None)
        # It holds mirrors as well, which are to go with this one.
        record.state = None

    def array_handle(self, value: object) -> int | None:
        """The handle of a mirror that is an exact ndarray; None for anything else."""
        record = self.arrays.get(id(value))
        return record.handle if record is not None and record() is value else None

    def _renew(self, record: _Record, mirror: Any, version: int, content: Any) -> None:
        """Let a mirror show a content. Done twice, it does no harm."""
        record.kind.fill(mirror, content)
        record.state = (version, content)

    # ---- what the server tells -------------------------------------------------------

    def catch_up(self) -> None:
        """Apply what the server has told of its containers; called before a call returns.

        Raises:
            ReadOnlyCopy: C code has written into a mirror, and that is lost.
        """
        if self._applying._is_owned():  # type: ignore[attr-defined]
            # A call that applying made, to hash a key: what it needs is there already.
            return
        lost: list[str] = []
        with self._applying:
            news = self.news
            while news:
                if news[0]:
                    self._apply(self._decode(news[0]), lost)
                news.popleft()
        self._fill()
        if lost:
            raise ReadOnlyCopy(
                f"C code has written into {' and '.join(lost)} of the server here while a call "
                "changed it there, and what it has written is lost: let C code work on a copy"
            )

    def _fill(self) -> None:
        """Ask for the content of those that have none, or an old one."""
        while self.unfilled:
            try:
                handle, _ = self.unfilled.popitem()
            except KeyError:
                break  # another thread asks for the last one
            if handle in self.living:
                try:
                    self._caller.refresh(handle, whole=True)
                except StaleHandle:
                    continue  # it died meanwhile, and was released

    def _apply(self, document: Any, lost: list[str]) -> None:
        """Apply one message of changes. Requires `_applying`."""
        try:
            version, *entries = document
            for handle, *change in entries:
                record = self.living.get(handle)
                mirror = None if record is None else record()
                if record is None or mirror is None:
                    self._miss(handle, version)
                elif record.state is None or version > record.state[0]:
                    self._change(record, mirror, version, change, lost)
        except (TypeError, ValueError, LookupError) as error:
            raise DecodeError(f"malformed changes of mirrors: {error}") from error

    def _change(
        self, record: _Record, mirror: Any, version: int, change: list[Any], lost: list[str]
    ) -> None:
        """Apply what has changed in one container."""
        kind, state = record.kind, record.state
        if not change:
            # Its content cannot be sent any more.
            record.is_lost = True
            self._unwatch(record, mirror)
            record.seen = -1
            return
        if len(change) == 1:
            (content,) = change
            if not kind.fits(content):
                raise DecodeError(f"a {type(content).__name__} is no content of a mirror")
        elif state is None:
            return
        else:
            content = kind.changed(state[1], tuple(change))
        if (
            state is not None
            and not kind.is_same(state[1], mirror)
            and not kind.is_same(content, mirror)
            and not (record.pushed is not None and kind.is_same(record.pushed, mirror))
        ):
            lost.append(f"a {kind.name}")
        self._renew(record, mirror, version, content)
        record.is_lost = False
        self.unfilled.pop(record.handle, None)

    def _miss(self, handle: int, version: int) -> None:
        """Changes came for a container of which there is no mirror."""
        self._missed[handle] = version
        while len(self._missed) > _MOST_MISSED:
            oldest = next(iter(self._missed))
            self._forgotten = max(self._forgotten, self._missed.pop(oldest))

    # ---- what C code writes ----------------------------------------------------------

    def write_back(self) -> None:
        """Write on the server what C code has written into mirrors; called before each call.

        Raises:
            BaseException: It cannot be written; the mirror shows again what the server holds.
        """
        if self._pushing._is_owned() or self._applying._is_owned():  # type: ignore[attr-defined]
            return
        for record in self._unwritten():
            self._push(record, record())

    def _unwritten(self) -> Iterator[_Record]:
        """The mirrors that C code has written into; lets go of those that nobody has any more."""
        # Those that hold others came after them, and are to go before them.
        for record in reversed(list(self.living.values())):
            state = record.state
            if state is None:
                continue
            is_left = _references(record) <= _ONLY_HELD
            if not self._is_unwritten(record, state[1], exactly=is_left):
                yield record
            elif is_left:
                self._let_go(record)

    def _is_unwritten(self, record: _Record, content: Any, *, exactly: bool) -> bool:
        """Whether a mirror holds what the server knows; of large ones else only the size counts."""
        mirror = record()
        if mirror is None:
            return True
        if record.is_watched or exactly:
            return record.kind.is_same(content, mirror)
        return len(content) == record.kind.size(mirror)

    def _let_go(self, record: _Record) -> None:
        """Drop a mirror, unless another thread has received it just now."""
        with self._applying:
            if _references(record) > _ONLY_HELD:
                return
            held, record.held = record.held, None
        del held  # outside the lock: what is in it may have finalizers

    def close(self) -> None:
        """The session is over: nothing is written any more."""
        for record in list(self.living.values()):
            record.held = None

    def _push(self, record: _Record, mirror: Any) -> None:
        """Write one mirror's content on the server."""
        if mirror is None:
            return
        with self._pushing:
            if self.news:
                self.catch_up()
            kind, state = record.kind, record.state
            if state is None or kind.is_same(state[1], mirror):
                return
            now = record.pushed = kind.copy(mirror)
            handle = record.handle
            try:
                for name, args in kind.writes(state[1], now):
                    if name.startswith("__"):
                        self._caller.special(handle, name, args)
                    else:
                        self._caller.call_method(handle, name, args, None)
            except Exception:
                kind.fill(mirror, record.state[1] if record.state else state[1])
                raise
            finally:
                record.pushed = None
            if record.state is state:
                # The server's own objects are equal, or the very same.
                record.state = (state[0], now)
