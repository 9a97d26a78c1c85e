"""What a session and its server hold of each other: the client's `codec.exchange.Exchange`.

Functions of the client that the server holds are in `handles`. Objects of the server
are proxies, made by the shallow package.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError
from ..protocol.handles import HandleTable
from ..tree.documents import class_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .driver import Driver
    from .package import ShallowPackage

__all__ = ["Lending"]


class Lending:
    """The handles of one session, in both directions.

    Args:
        driver: Of the session.
        server: What the server says about itself: "installed" has its data packages.
    """

    keeps_owned = False
    pickle_out = True
    pickle_in = True

    def __init__(self, driver: Driver, server: Mapping[str, Any]) -> None:
        installed = server.get("installed", {})
        self.receiver_has: Mapping[str, str] = installed if isinstance(installed, dict) else {}
        self.handles = HandleTable(threading.RLock())
        # Set as soon as the tree is there.
        self.shallow: ShallowPackage
        self._driver = driver
        # What the server has said of its classes, and the classes made of it, by number.
        self._announced: dict[int, tuple[str, bytes | None]] = {}
        self._by_path: dict[str, int] = {}
        self._classes: dict[int, type] = {}

    # ---- ours ------------------------------------------------------------------------

    def lend(self, value: object) -> tuple[int, int]:
        """The handle of a function of the client.

        Raises:
            EncodeError: It is no function, and only functions stay here.
        """
        if not callable(value) or isinstance(value, type):
            kind = type(value)
            raise EncodeError(
                f"{kind.__module__}.{kind.__qualname__} objects cannot travel to the server:"
                " they are neither data nor functions. Pass their data, make the object on the"
                " server, or pass a function of them"
            )
        return self.handles.lend(value), 0

    def unlend(self, handle: int) -> None:
        """Take back one sending that did not happen."""
        self.handles.release(handle, 1)

    def lent(self, handle: int) -> object:
        """The function that a handle stands for."""
        return self.handles.lookup(handle)

    def class_number(self, cls: type) -> int:
        """The client announces no classes: its own exceptions travel as text."""
        raise EncodeError(f"{cls.__qualname__} is a class of the client")

    # ---- theirs ----------------------------------------------------------------------

    def class_announced(self, number: int, path: str, node: bytes | None) -> None:
        """The server says what a class number means. Nothing is built yet: a reader calls."""
        self._announced[number] = (path, node)
        if node is not None:
            self._by_path[path] = number

    def class_numbered(self, number: int) -> type:
        """The shallow class of a number.

        Raises:
            LookupError: It was not announced.
        """
        cls = self._classes.get(number)
        if cls is None:
            path, node = self._announced[number]
            if node is None:
                cls = self.shallow.class_at(path)
            else:
                cls = self.shallow.class_from(class_from(node), self._resolve)
            cls = self._classes.setdefault(number, cls)
        return cls

    def _resolve(self, path: str) -> type:
        """A base of a class outside the tree."""
        number = self._by_path.get(path)
        return self.shallow.class_at(path) if number is None else self.class_numbered(number)

    def borrowed(self, value: object) -> int | None:
        """The handle of a proxy of this session."""
        return self.shallow.handle_of(value)

    def borrow(self, handle: int, number: int, content: object) -> object:
        """The proxy of an object of the server."""
        if content is not None:
            return self.shallow.copy_of(content, handle)
        return self.shallow.proxy(self.class_numbered(number), handle)

    def name_of(self, value: object) -> str | None:
        """The path of a shallow module, class or function."""
        return self.shallow.name_of(value)

    def named(self, path: str) -> object:
        """The shallow module, class or function of a path."""
        return self.shallow.named(path)

    def clear(self) -> None:
        """Let go of everything: the session is over."""
        self.handles.clear()
