"""Stand-ins: what the server's code sees of the objects of a client.

They are built by the very machinery that builds the client's shallow classes, of the
classes that the client announces: real classes with the client's names and docs, whose
methods are callbacks. A function is a `ClientFunction`.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..codec.contents import BY_PATH, kind_of
from ..errors import NotExposed, StaleHandle
from ..shallow.announced import Announced
from ..shallow.classes import Classes
from ..shallow.iterators import quiet_handle
from ..shallow.metaclass import ShallowClass
from ..shallow.names import INTERNAL
from ..shallow.proxies import Proxies
from ..shallow.source import Functions
from ..tree.info import InfoTree
from ..tree.introspection import is_class, namespace_of
from .client_caller import ClientCaller
from .client_containers import ask_always
from .client_functions import ClientFunction, function_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FunctionType, ModuleType

    from ..codec.originals import Original
    from ..tree.nodes import ClassNode
    from .calling_back import CallingBack

__all__ = ["StandIns"]

_PYTHON_FUNCTION: Final = 0
"""The class number of plain functions, which are what clients lend most: never announced."""

# Protocols that carry pointers, and what Python asks of classes only.
_REFUSED: Final = frozenset(
    [
        *("__array_interface__", "__array_struct__", "__cuda_array_interface__", "__dlpack__"),
        *("__buffer__", "__release_buffer__", "__del__", "__getattribute__", "__set_name__"),
        *("__getinitargs__", "__getnewargs__", "__getnewargs_ex__", "__getstate__"),
    ]
)

_ANNOTATIONS: Final[Callable[[type], dict[str, Any]]] = vars(type)["__annotations__"].__get__

_NOTHING: Final = InfoTree({"packages": [], "modules": [], "failures": {}}, lambda digest: b"")


def _is_refused(name: str) -> bool:
    """Whether an attribute that the class does not list is missing without asking the client."""
    return name.startswith(INTERNAL) or name in _REFUSED


class StandInClass(ShallowClass):
    """The class of classes that stand for a client's: decorators read and change their bodies."""

    __module__ = "builtins"

    @property  # type: ignore[misc]
    def __dict__(cls) -> Mapping[str, Any]:  # type: ignore[override]
        """What its body has on the client."""
        if type(cls._wsremote_path) is not int:
            return namespace_of(cls)
        return MappingProxyType(cls._wsremote_classes.caller.get(cls._wsremote_path, "__dict__"))

    @property
    def __annotations__(cls) -> dict[str, Any]:  # type: ignore[override]
        """Those of its body."""
        found: dict[str, Any]
        if type(cls._wsremote_path) is int:
            found = cls._wsremote_classes.caller.get(cls._wsremote_path, "__annotations__")
        else:
            found = _ANNOTATIONS(cls)
        return found


def _died(self: Any) -> None:
    """`__del__` of stand-ins: nothing of the client's, which has its own."""
    handle = quiet_handle(self)
    if handle is not None:
        type(self)._wsremote_classes.caller.died(self, handle)


class StandIns:
    """The stand-ins of one session: a `shallow.caller.Home` that serves nothing by name.

    Args:
        session: Whose client's objects they stand for.
        named: Gives what is served under a path.
        limit: Classes that the client may announce.
    """

    tree = _NOTHING

    def __init__(
        self,
        session: CallingBack,
        named: Callable[[str], object],
        limit: int,
    ) -> None:
        self._named = named
        self.caller = ClientCaller(session)
        self.roots: set[str] = set()
        self.announced = Announced(self.class_at, self._build, limit)
        self._classes = Classes(self, Functions(self.caller), _is_refused)
        self._classes.asks_always = True
        self._classes.usual_metaclass = StandInClass
        self._proxies = Proxies(self.caller)
        self.caller.awaited.proxies = self._proxies

    # ---- of shallow.caller.Home: a client has no tree --------------------------------

    def class_at(self, path: str) -> type:
        """The served class of a path: a client has none of its own by name."""
        try:
            found = self._named(path)
        except (NotExposed, AttributeError, ImportError) as error:
            raise LookupError(path) from error
        if not is_class(found):
            raise LookupError(path)
        return found

    def function_at(self, path: str) -> FunctionType:
        """The function of a path: a client serves none."""
        raise KeyError(path)

    def referred(self, target: str) -> Any:
        """The object that a reference stands for: the client is asked instead."""
        raise KeyError(target)

    def submodule(self, name: str) -> ModuleType | None:
        """The module of a name: a client serves none."""
        return None

    def children(self, name: str) -> tuple[str, ...]:
        """The submodules of a package: a client serves none."""
        return ()

    # ---- objects ---------------------------------------------------------------------

    def _build(self, node: ClassNode, resolve: Callable[[str], type], handle: int | None) -> type:
        """The stand-in of a class of the client."""

        def known(path: str) -> type | None:
            try:
                found = resolve(path)
            except LookupError:
                return None
            # A served base is one for exceptions, which hold all they have themselves.
            is_base = isinstance(found, ShallowClass) or issubclass(found, BaseException)
            return found if is_base else None

        if node.path in BY_PATH:
            # A builtin itself, whose methods are known: the stand-in's class derives from it.
            node = dataclasses.replace(node, bases=(node.path,), members={}, specials=(), unset=())
        made = self._classes.build(
            node, {"__name__": node.module}, known, is_foreign=True, handle=handle
        )
        if kind_of(made) is not None:
            ask_always(made, self.caller)
        if made.__weakrefoffset__:
            type.__setattr__(made, "__del__", _died)
        return made

    def stand_in(self, handle: int, number: int, content: object = None) -> Any:
        """The one stand-in of a handle. Counts one receipt of it.

        Args:
            handle: The client's name of the object.
            number: Its class.
            content: What it carries, if its class derives from an immutable builtin.
        """
        path = None if number == _PYTHON_FUNCTION else self.announced.path(number)
        kind = function_class(path) if path is not None or not number else None
        if kind is None:
            return self._proxies.proxy(self.announced.numbered(number), handle, content)
        known = self._proxies.received(handle)
        return self._proxies.kept(kind(self.caller, handle), handle) if known is None else known

    def original(self, handle: int) -> Original:
        """What holds an exception of the client. Counts one receipt of it."""
        return self._proxies.original(handle)

    def handle_of(self, value: object) -> int | None:
        """The client's handle of a stand-in or of a stand-in's class; None for all else.

        An object of another session's client is the server's own, as seen from this one.

        Raises:
            StaleHandle: It is a class of the client that cannot be named.
        """
        cls: Any = type(value)
        if isinstance(value, ClientFunction):
            return value._handle if value._caller is self.caller else None
        # Of a class with a metaclass of the client, the class of the class is one of ours too.
        is_object = isinstance(cls, ShallowClass) and not isinstance(value, ShallowClass)
        if is_object and cls._wsremote_classes is self._classes:
            handle: int | None = value._wsremote_handle  # type: ignore[attr-defined]
            return handle
        if isinstance(value, ShallowClass) and value._wsremote_classes is self._classes:
            if type(value._wsremote_path) is int:
                return value._wsremote_path
            raise StaleHandle(f"{value.__qualname__} is a class of the client without a handle")
        return None
