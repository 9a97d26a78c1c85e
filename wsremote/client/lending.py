"""What a session and its server hold of each other: the client's `codec.exchange.Exchange`.

Objects of the client that the server holds are in `handles`. Objects of the server are
proxies, made by the shallow package.
"""

from __future__ import annotations

import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.contents import NDARRAYS, kind_of
from ..codec.packing import pack
from ..protocol.handles import HandleTable
from ..protocol.messages import ClassInfo
from ..shallow.announced import DEFINED, Announced, Announcer
from ..shallow.names import host_of
from ..shallow.proxy import PREVIEW
from ..streaming.ahead import Ahead
from ..streaming.producer import Streams
from .marked_methods import with_marked_methods
from .promises import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..codec.originals import Original
    from ..tree.nodes import ClassNode
    from .answering import Answering
    from .package import ShallowPackage

__all__ = ["Lending"]

_PYTHON_FUNCTION: Final = 0
"""The class number of plain functions, which are lent most: never announced."""

_MOST_CLASSES: Final = 1_000_000
"""Classes that a server may announce."""


class Lending:
    """The handles of one session, in both directions.

    Args:
        driver: Of the session.
        server: What the server says about itself: "installed" has its data packages.
    """

    keeps_owned = False
    pickle_out = True
    pickle_in = True

    def __init__(self, driver: Answering, server: Mapping[str, Any]) -> None:
        installed = server.get("installed", {})
        self.receiver_has: Mapping[str, str] = installed if isinstance(installed, dict) else {}
        self.handles = HandleTable(threading.RLock())
        self.streams = Streams(self.handles, pack)
        # Set as soon as the tree is there.
        self.shallow: ShallowPackage
        self._driver = driver
        self._announcer = Announcer(
            self._announce, self._class_path, self.handles.keep, with_marked_methods
        )
        # What the server has said of its classes.
        self._announced = Announced(self._class_at, self._build, _MOST_CLASSES)

    # ---- ours ------------------------------------------------------------------------

    def lend(self, value: object) -> tuple[int, int]:
        """The handle of an object of the client, and the number of its class."""
        if type(value) is Ahead:
            handle, number = self.lend(value.iterator)
            self.streams.allow(handle)
            return handle, number
        kind = type(value)
        number = _PYTHON_FUNCTION if kind is FunctionType else self.class_number(kind)
        return self.handles.lend(value, number), number

    def is_watched(self, value: object) -> bool:
        """The server is told what a container of the client holds each time it is sent."""
        return False

    def lend_mirrored(self, value: object, content: Any) -> tuple[int, int, int]:
        """Lend a container whose class derives from a builtin, with what it holds now."""
        return *self.lend(value), 0

    def unlend(self, handle: int) -> None:
        """Take back one sending that did not happen."""
        self.handles.release(handle, 1)

    def lent(self, handle: int) -> object:
        """The object of the client that a handle stands for."""
        return self.handles.lookup(handle)

    def lend_original(self, error: BaseException) -> int:
        """The handle of an exception that travels as a copy."""
        return self.handles.lend(error)

    def class_number(self, cls: type) -> int:
        """The number of a class in this session; the server is told before it is used."""
        return self._announcer.number(cls)

    def lend_class(self, cls: type) -> tuple[int, int]:
        """The number and the handle of a class of the client."""
        number = self.class_number(cls)
        return number, self.handles.keep(cls, number)

    def _class_path(self, cls: type) -> str | None:
        """The path of a class of the server, which an exception here may be of."""
        return self.shallow.name_of(cls)

    def _announce(self, number: int, path: str, node: bytes | None, handle: int | None) -> None:
        self._driver.send(ClassInfo, number, path, node, handle)

    # ---- theirs ----------------------------------------------------------------------

    def class_announced(
        self, number: int, path: str, node: bytes | None, handle: int | None
    ) -> None:
        """The server says what a class number means. Nothing is built yet: a reader calls."""
        if path.startswith(DEFINED):
            self.shallow.subclassing.announced(path, handle)
        self._announced.announced(number, path, node, handle)

    def class_numbered(self, number: int) -> type:
        """The shallow class of a number.

        Raises:
            LookupError: It was not announced.
        """
        return self._announced.numbered(number)

    def borrow_class(self, number: int, handle: int) -> type:
        """The shallow class of a class of the server that was handed out itself."""
        return self._announced.usable(number, handle)

    def _class_at(self, path: str) -> type:
        """A class of the tree."""
        return self.shallow.class_at(path)

    def _build(self, node: ClassNode, resolve: Callable[[str], type], handle: int | None) -> type:
        """A class outside the tree."""
        mirrors = self._driver.mirrors.class_of(node.path)
        if mirrors is not None:
            return mirrors
        return self.shallow.class_from(node, resolve, handle)

    def borrowed(self, value: object) -> int | None:
        """The handle of a proxy of this session, or of what a promise stands for."""
        if type(value) is Promise:
            return value._wsremote_pipeline.handle_of(value, self._driver)
        mirrors = self._driver.mirrors
        if mirrors.arrays and (handle := mirrors.array_handle(value)) is not None:
            return handle
        return self.shallow.handle_of(value)

    def borrow(self, handle: int, number: int) -> object:
        """The proxy of an object of the server."""
        cls = self.class_numbered(number)
        if kind_of(cls) is not None:
            return self._driver.mirrors.received(self.shallow.proxies, cls, handle)
        return self.shallow.proxy(cls, handle)

    def borrow_large(self, handle: int, number: int, preview: str) -> object:
        """The proxy of a result that stays on the server because of its size."""
        made = self.borrow(handle, number)
        # numpy asks the instance for it. Not sent: who calls numpy's functions would have what was
        # to stay on the server, once for each, and not know it.
        object.__setattr__(made, "__array__", _refuse_array)
        object.__setattr__(made, PREVIEW, preview)
        return made

    def mirror(self, handle: int, number: int, content: Any, version: int) -> object:
        """What shows a container of the server."""
        if NDARRAYS.fits(content):
            cls: type = type(content)
        else:
            cls = self.class_numbered(number)
            if kind_of(cls) is None:
                return self.shallow.proxy(cls, handle)
        proxies = self.shallow.proxies
        return self._driver.mirrors.received(proxies, cls, handle, content, version)

    def carry(self, handle: int, number: int, content: object) -> object:
        """The proxy of an object of the server that has content of its own here."""
        return self.shallow.proxy(self.class_numbered(number), handle, content)

    @property
    def peer(self) -> str:
        """Names the server in tracebacks."""
        return host_of(self._driver.url)

    def borrow_original(self, handle: int) -> Original:
        """What holds an exception of the server of which there is a copy here."""
        return self.shallow.original(handle)

    def name_of(self, value: object) -> str | None:
        """The path of a shallow module, class or function."""
        return self.shallow.name_of(value)

    def named(self, path: str) -> object:
        """The shallow module, class or function of a path."""
        return self.shallow.named(path)

    def clear(self) -> None:
        """Let go of everything: the session is over."""
        self.streams.clear()
        self.handles.clear()


def _refuse_array(*_: object, **__: object) -> NoReturn:
    """What numpy is told that asks for the memory of a large result.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        "a large result is on the server (connect(max_result=…)), and numpy wants its memory here:"
        " session.fetch(x) gives it. Methods, operators and slices of it are executed on the"
        " server, as are served functions that it is an argument of"
    )
