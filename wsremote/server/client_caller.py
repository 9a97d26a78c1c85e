"""The client's objects as shallow classes ask for them: each operation is a callback."""

from __future__ import annotations

from asyncio import _get_running_loop
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ..codec.contents import MUTABLE
from ..codec.hiding import hide_own_frames
from ..codec.markers import Kept
from ..protocol.messages import AWAIT, Op
from ..protocol.reserved import is_reserved
from .setting import SET_ALONE

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from ..shallow.proxies import Proxies
    from .calling_back import CallingBack

__all__ = ["AwaitedCaller", "ClientCaller"]


class ClientCaller:
    """One session's client: a `shallow.caller.Caller`.

    Args:
        session: Whose client.
    """

    def __init__(self, session: CallingBack) -> None:
        self._session = session
        self._let_go = session.let_go
        self.awaited = AwaitedCaller(session)
        self.coroutine_classes: set[type] = set()
        # Functions that a pickle made here refers to, by their handle.
        self.pickled: dict[int, Any] = {}

    @property
    def url(self) -> str:
        """Names the client in reprs."""
        return f"the client of session {self._session.id[:8]}"

    @property
    def id(self) -> str:
        """Of the session."""
        return self._session.id

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._session.closed_because is not None

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`target(*args, **kwargs)` on the client."""
        return self._session.call_client(Op.CALL, target, None, args, kwargs or {})

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`target.name(*args, **kwargs)` on the client."""
        return self._session.call_client(Op.METHOD, target, name, args, kwargs or {})

    def get(self, target: Target, name: str) -> Any:
        """`target.name` on the client."""
        return self._session.call_client(Op.GET, target, name, (), {})

    def set(self, target: Target, name: str, value: Any) -> None:
        """`target.name = value` on the client."""
        if type(value) in MUTABLE and not is_reserved(name) and getrefcount(value) != SET_ALONE:
            # What else here refers to it goes on using it: both sides have the same, as at home.
            value = Kept(value)
        self._session.call_client(Op.SET, target, name, (value,), {})

    def delete(self, target: Target, name: str) -> None:
        """`del target.name` on the client."""
        self._session.call_client(Op.DELETE, target, name, (), {})

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What Python's syntax asks of `target` through a special method, on the client."""
        return self._session.call_client(Op.SPECIAL, target, name, args, {})

    def define(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Refused: classes are derived on the client."""
        raise TypeError(
            "served code cannot derive a class from one of the client: derive it on the client"
        )

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refused, as `define`: nothing here derives from classes of the client."""
        raise TypeError(f"{name} of a class of the client has been overridden by none here")

    def pull(self, handle: int, args: tuple[Any, ...]) -> Any:
        """Several items of an iterator of the client."""
        return self._session.call_client(Op.PULL, handle, None, args, {})

    def unread(self, handle: int, used: int) -> None:
        """Say how many items of an iterator of the client were used."""
        self._session.tell_unread(handle, used)

    def load(self, data: bytes) -> Any:
        """A new object of the client, of a pickle that it has made."""
        return self._session.call_client(Op.LOAD, "", None, (data,), {})

    def release(self, handle: int, count: int) -> None:
        """A stand-in is gone. Called by weak references at any moment: only appends."""
        self._let_go.append((handle, count))

    def died(self, stand_in: Any, handle: int) -> None:
        """A stand-in is about to go. Called by its `__del__`."""
        if not self.closed:
            self._session.weakly.died(stand_in, handle)


class AwaitedCaller:
    """Calls of async functions of the client: a `shallow.caller.AwaitedCaller`.

    In a thread with a running event loop they give a coroutine, which has the client call when it
    is awaited; elsewhere they wait.

    Args:
        session: Whose client.
    """

    def __init__(self, session: CallingBack) -> None:
        self._session = session
        # Set as soon as there are any.
        self.proxies: Proxies

    @property
    def is_in_loop(self) -> bool:
        """Whether an event loop runs in this thread."""
        return _get_running_loop() is not None

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`await target(*args, **kwargs)` on the client."""
        return self._made(Op.CALL, target, None, args, kwargs)

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`await target.name(*args, **kwargs)` on the client."""
        return self._made(Op.METHOD, target, name, args, kwargs)

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What comes of a special method that is awaited, on the client."""
        return self._made(Op.SPECIAL, target, name, args, None)

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refused, as by the client's own caller."""
        raise TypeError(f"{name} of a class of the client has been overridden by none here")

    def _made(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        op += AWAIT
        if _get_running_loop() is None:
            return self._session.call_client(op, target, name, args, kwargs or {})
        kept = self.proxies.living(target) if type(target) is int else None
        return _awaited(self._session, kept, op, target, name, args, kwargs or {})


async def _awaited(session: CallingBack, kept: Any, op: int, *what: Any) -> Any:
    """What comes of a call; the object that is called is `kept` until then."""
    try:
        return await session.await_client(op, *what)
    except BaseException:
        hide_own_frames()
        raise
