"""What shallow code asks of its session, and its parts of the package they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FunctionType, ModuleType

    from ..protocol.messages import Target
    from ..tree.info import InfoTree

__all__ = ["AwaitedCaller", "Caller", "Home", "ServerCaller"]


class AwaitedCaller(Protocol):
    """Calls whose outcome is awaited on the other side: one message and one round trip.

    In a thread with a running event loop they give a coroutine, which sends the message when it
    is awaited. Elsewhere they wait, and give what comes of it.
    """

    @property
    def is_in_loop(self) -> bool:
        """Whether an event loop runs in this thread."""

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`await target(*args, **kwargs)`."""

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`await target.name(*args, **kwargs)`."""

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What comes of `__await__`, `__anext__`, `__aenter__` or `__aexit__`."""

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """`await super(...).name`."""


class Caller(Protocol):
    """A session as the shallow package sees it. One that is async says `is_async = True`.

    Every method but `release` is one message and one round trip; it gives what the server
    gave, or raises what was raised there. A target is a handle, or the name of a module
    (`pkg.mod`), class or function (`pkg.mod:C`).
    """

    @property
    def url(self) -> str:
        """Where the server is, for origins and reprs."""

    @property
    def id(self) -> str:
        """Which session this is."""

    @property
    def closed(self) -> bool:
        """Whether the session is over."""

    @property
    def awaited(self) -> AwaitedCaller:
        """The same calls, for async functions."""

    @property
    def coroutine_classes(self) -> set[type]:
        """Takes the classes of coroutine objects, and of what else a call gives to be awaited."""

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`target(*args, **kwargs)`: a function, a class, a callable object."""

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`target.name(*args, **kwargs)`."""

    def get(self, target: Target, name: str) -> Any:
        """`target.name`."""

    def set(self, target: Target, name: str, value: Any) -> Any:
        """`target.name = value`."""

    def delete(self, target: Target, name: str) -> Any:
        """`del target.name`."""

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """The special method `name`; on a class, that of its metaclass (`iter(Color)`)."""

    def define(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Define a class that is derived here from one of the other side (`Op.DEFINE`)."""

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """`super(...).name` as the class `target` has it, for an object or class of our own."""

    def pull(self, handle: int, args: tuple[Any, ...]) -> Any:
        """Several items of an iterator (`Op.PULL`)."""

    def unread(self, handle: int, used: int) -> None:
        """Say how many items of an iterator were used. No round trip."""

    def load(self, data: bytes) -> Any:
        """A new object of a pickle that the special method `__reduce_ex__` gave (`Op.LOAD`)."""

    def release(self, handle: int, count: int) -> None:
        """A proxy is gone that was received `count` times.

        Called from weakref callbacks, which may run anywhere: does no I/O, takes no lock.
        """


class ServerCaller(Caller, Protocol):
    """The session of a client, which has modules to ask for."""

    def browse(self, module: str, what: str, *args: str) -> Any:
        """What a served module holds beside its attributes (`Op.BROWSE`).

        Args:
            module: Its name.
            what: "names", "submodule", "source", "list", "read" or "metadata".
            args: What `server/browsing.py` says of each.
        """


class Home(Protocol):
    """The shallow package of a session, as its modules and classes see it."""

    @property
    def caller(self) -> Caller:
        """The session."""

    @property
    def tree(self) -> InfoTree:
        """What is served."""

    @property
    def roots(self) -> set[str]:
        """Names of the top-level packages, those included that only hold what is served."""

    def class_at(self, path: str) -> type:
        """The shallow class of a path of the tree."""

    def function_at(self, path: str) -> FunctionType:
        """The shallow function of a path of the tree."""

    def referred(self, target: str) -> Any:
        """The object that a reference stands for. KeyError if the tree does not have it."""

    def submodule(self, name: str) -> ModuleType | None:
        """The shallow module of a full name; None if none is served under it."""

    def children(self, name: str) -> Iterable[str]:
        """The names, without dots, of the submodules of a package."""
