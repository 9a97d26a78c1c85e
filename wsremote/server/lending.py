"""What a session and its client hold of each other: the server's `codec.exchange.Exchange`.

Objects of the server that the client holds are in `handles`, under numbers that the
client sends back. Functions of the client are `ClientFunction`s here.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import RemoteProtocolError
from ..protocol.handles import HandleTable
from ..tree.describing import describe_class
from ..tree.documents import document_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..tree.inventory import Inventory
    from .policy import Policy
    from .session import Session

__all__ = ["ClientFunction", "Lending"]


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

    def __init__(
        self,
        session: Session,
        inventory: Inventory,
        policy: Policy,
        limit: int,
        installed: Mapping[str, str],
    ) -> None:
        self.receiver_has = installed
        self.handles = HandleTable(threading.RLock(), limit=limit)
        # What the client has to be told to let go of: `(handle, times received)`.
        self.let_go: deque[tuple[int, int]] = deque()
        self._session = session
        self._inventory = inventory
        self._policy = policy
        # Numbers of the server's classes, given at the first handle of each.
        self._numbers: dict[type, int] = {}
        self._announcing = threading.Lock()
        # The client's functions that are alive here, by their handle.
        self._borrowed: weakref.WeakValueDictionary[int, ClientFunction] = (
            weakref.WeakValueDictionary()
        )

    # ---- ours ------------------------------------------------------------------------

    def lend(self, value: object) -> tuple[int, int]:
        """The handle of an object of the server and the number of its class."""
        number = self.class_number(type(value))
        return self.handles.lend(value, number), number

    def unlend(self, handle: int) -> None:
        """Take back one sending that did not happen."""
        self.handles.release(handle, 1)

    def lent(self, handle: int) -> object:
        """The object of the server that a handle stands for."""
        return self.handles.lookup(handle)

    def released(self, handle: int, count: int) -> bool:
        """The client has let go of a handle it had received `count` times. True: it is free."""
        return self.handles.release(handle, count)

    def class_number(self, cls: type) -> int:
        """The number of a class in this session; the client is told before it is used."""
        number = self._numbers.get(cls)
        if number is not None:
            return number
        with self._announcing:
            if cls not in self._numbers:
                self._announce(cls)
            return self._numbers[cls]

    def _announce(self, cls: type) -> None:
        """Tell the client of a class and, before it, of the bases that it has to know."""
        path = self._inventory.path_of(cls)
        node = None
        if path is None:
            for base in reversed(cls.__mro__[1:]):
                if base.__module__ != "builtins" and base not in self._numbers:
                    self._announce(base)
            described = describe_class(cls)
            path, node = described.path, document_of(described)
        number = len(self._numbers) + 1
        self._session.announce_class(number, path, node)
        self._numbers[cls] = number

    def class_announced(self, number: int, path: str) -> None:
        """The client announces none: its own exceptions travel as text.

        Raises:
            RemoteProtocolError: It does.
        """
        raise RemoteProtocolError(f"a client does not announce classes, and {path} was")

    def class_numbered(self, number: int) -> type:
        """A class that the client has announced.

        Raises:
            LookupError: It has announced none.
        """
        raise LookupError(f"no class has the number {number}")

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
        """The handle of a function of this session's client."""
        if type(value) is ClientFunction and value.session is self._session:
            return value.handle
        return None

    def borrow(self, handle: int, number: int, content: object) -> object:
        """The stand-in for a function of the client."""
        function = self._borrowed.get(handle)
        if function is None:
            function = self._borrowed[handle] = ClientFunction(self._session, handle)
            weakref.finalize(function, _let_go, self.let_go, handle, function.received)
        function.received[0] += 1
        return function

    def clear(self) -> None:
        """Let go of everything: the session is over."""
        self.handles.clear()


def _let_go(released: deque[tuple[int, int]], handle: int, received: list[int]) -> None:
    released.append((handle, received[0]))


class ClientFunction:
    """A function that lives in the client; calling it calls back.

    Attributes:
        session: Whose client.
        handle: The client's number for it.
        received: How often it has been received, the only item.
    """

    def __init__(self, session: Session, handle: int) -> None:
        self.session = session
        self.handle = handle
        self.received = [0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it there. Raises what it raises."""
        return self.session.call_client(self.handle, args, kwargs)

    def __repr__(self) -> str:
        return f"<function #{self.handle} of the client of session {self.session.id[:8]}>"
