"""What a session and its client hold of each other: the server's `codec.exchange.Exchange`.

Objects of the server that the client holds are in `handles`, under numbers that the
client sends back. Objects of the client are stand-ins here.
"""

from __future__ import annotations

import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..codec.contents import kind_of
from ..codec.packing import pack
from ..errors import DecodeError, RemoteProtocolError
from ..protocol.handles import HandleTable
from ..shallow.announced import Announcer
from ..streaming.ahead import Ahead
from ..streaming.producer import Streams
from ..tree.introspection import namespace_of
from .definitions import MARK, Definition, called_back
from .large import LargeResult
from .stand_ins import StandIns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..codec.originals import Original
    from ..tree.inventory import Inventory
    from .calling_back import CallingBack
    from .policy import Policy

__all__ = ["Lending"]


class Lending:
    """The handles of one session, in both directions.

    Args:
        session: Sends what is announced here.
        inventory: What is served, by name.
        policy: What may be reached by name.
        limit: Objects that the client may hold.
        installed: Root packages of the data type registry that the client can import.
    """

    keeps_owned = True
    pickle_out = True
    pickle_in = True
    peer = "the client"

    def __init__(
        self,
        session: CallingBack,
        inventory: Inventory,
        policy: Policy,
        limit: int,
        installed: Mapping[str, str],
    ) -> None:
        self.receiver_has = installed
        self._lock = threading.RLock()
        self.handles = HandleTable(self._lock, limit=limit)
        self.streams = Streams(self.handles, pack)
        self._session = session
        self._limit = limit
        self._inventory = inventory
        self._policy = policy
        self._announcer = Announcer(session.announce_class, self._class_path, self._class_handle)
        self._stand_ins: StandIns | None = None

    @property
    def stand_ins(self) -> StandIns:
        """What stands for objects of the client: 10 KB, made when the first of them comes."""
        if self._stand_ins is None:
            with self._lock:
                if self._stand_ins is None:
                    self._stand_ins = StandIns(self._session, self.named, self._limit)
        return self._stand_ins

    # ---- ours ------------------------------------------------------------------------

    def lend(self, value: object) -> tuple[int, int]:
        """The handle of an object of the server and the number of its class."""
        if type(value) is Ahead:
            handle, number = self.lend(value.iterator)
            self.streams.allow(handle)
            return handle, number
        number = self.class_number(type(value))
        return self.handles.lend(value, number), number

    def is_watched(self, value: object) -> bool:
        """Whether the client mirrors a container, and is told what changes in it."""
        return self._session.watching.is_watched(value)

    def lend_mirrored(self, value: object, content: Any) -> tuple[int, int, int]:
        """Lend a container that the client mirrors, which held `content` when it was written."""
        handle, number = self.lend(value)
        return handle, number, self._session.watching.watch(handle, value, content)

    def unlend(self, handle: int) -> None:
        """Take back one sending that did not happen."""
        self.released(handle, 1)

    def lent(self, handle: int) -> object:
        """The object of the server that a handle stands for; below zero, what a call has given."""
        if handle < 0:
            return self._session.kept.lookup(-handle)
        found = self.handles.lookup(handle)
        return found.value if type(found) is LargeResult else found

    def borrow_large(self, handle: int, number: int, preview: str) -> object:
        """No client keeps its results."""
        raise DecodeError("large results stay on the server")

    def released(self, handle: int, count: int) -> bool:
        """The client has let go of a handle it had received `count` times. True: it is free."""
        is_free = self.handles.release(handle, count)
        if is_free:
            self._session.watching.forget(handle)
        return is_free

    def lend_original(self, error: BaseException) -> int:
        """The handle of an exception that travels as a copy."""
        return self.handles.lend(error)

    def class_number(self, cls: type) -> int:
        """The number of a class in this session; the client is told before it is used."""
        return self._announcer.number(cls)

    def lend_class(self, cls: type) -> tuple[int, int]:
        """The number and the handle of a class that is handed out itself."""
        number = self.class_number(cls)
        return number, self.handles.keep(cls, number)

    def _class_path(self, cls: type) -> str | None:
        """The path of a class that is served, or that this session's client has defined."""
        found = namespace_of(cls).get(MARK)
        if type(found) is Definition and found.session is self._session:
            return found.path
        return self._inventory.path_of(cls)

    def _class_handle(self, cls: type, number: int) -> int | None:
        """The handle of a class outside the tree that the client may use: one that is served."""
        return self.handles.keep(cls, number) if self._policy.is_served_class(cls) else None

    def class_announced(
        self, number: int, path: str, node: bytes | None, handle: int | None
    ) -> None:
        """The client says what a class number means.

        Raises:
            RemoteProtocolError: It is neither a served class nor one with a handle.
        """
        if (node is None) is not (handle is None):
            raise RemoteProtocolError(f"a client's class has a node and a handle, {path} has not")
        self.stand_ins.announced.announced(number, path, node, handle)

    def class_numbered(self, number: int) -> type:
        """The stand-in for a class of the client.

        Raises:
            LookupError: It was not announced.
        """
        return self.stand_ins.announced.numbered(number)

    def name_of(self, value: object) -> str | None:
        """The path of a served module, class or function."""
        return self._inventory.path_of(value)

    def named(self, path: str) -> object:
        """The served module, class or function of a path.

        Raises:
            NotExposed: It is not served.
            AttributeError: There is no such name.
        """
        return self._policy.resolve(path)

    # ---- theirs ----------------------------------------------------------------------

    def borrowed(self, value: object) -> int | None:
        """The handle of an object of this session's client, or of a class of it."""
        if type(value) is FunctionType and value.__dict__:
            value = called_back(value) or value
        return None if self._stand_ins is None else self._stand_ins.handle_of(value)

    def borrow(self, handle: int, number: int) -> object:
        """The stand-in for an object of the client."""
        return self.stand_ins.stand_in(handle, number)

    def mirror(self, handle: int, number: int, content: Any, version: int) -> object:
        """The stand-in for a container of the client, which holds what that holds now."""
        made = self.stand_ins.stand_in(handle, number)
        kind = kind_of(type(made))
        if kind is not None and kind.fits(content):
            kind.fill(made, content)
        return made

    def carry(self, handle: int, number: int, content: object) -> object:
        """The stand-in for an object of the client that derives from an immutable builtin."""
        return self.stand_ins.stand_in(handle, number, content)

    def borrow_original(self, handle: int) -> Original:
        """What holds an exception of the client of which there is a copy here."""
        return self.stand_ins.original(handle)

    def borrow_class(self, number: int, handle: int) -> type:
        """The stand-in for a class of the client."""
        return self.stand_ins.announced.usable(number, handle)

    def clear(self) -> None:
        """Let go of everything: the session is over."""
        self._session.watching.clear()
        self._session.weakly.clear()
        self.streams.clear()
        self.handles.clear()
