"""The client's objects as shallow classes ask for them: each operation is a callback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..protocol.messages import Op

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from .calling_back import CallingBack

__all__ = ["ClientCaller"]


class ClientCaller:
    """One session's client: a `shallow.caller.Caller`.

    Args:
        session: Whose client.
    """

    def __init__(self, session: CallingBack) -> None:
        self._session = session
        self._let_go = session.let_go
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
        return self._session.connection.closed is not None

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

    def load(self, data: bytes) -> Any:
        """A new object of the client, of a pickle that it has made."""
        return self._session.call_client(Op.LOAD, "", None, (data,), {})

    def release(self, handle: int, count: int) -> None:
        """A stand-in is gone. Called by weak references at any moment: only appends."""
        self._let_go.append((handle, count))
