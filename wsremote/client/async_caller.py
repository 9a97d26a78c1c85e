"""An async session as the shallow package sees it: every call gives what is to be awaited."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..errors import NotExposed
from ..protocol.messages import AWAIT, Op
from .async_calls import NextItem, RemoteCall

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from .async_driver import AsyncDriver
    from .async_pipelines import AsyncPipeline

__all__ = ["AsyncCaller"]


# Plain integers: a member of an enum is looked up slowly, and is no exact integer to write.
_CALL: Final = int(Op.CALL)
_METHOD: Final = int(Op.METHOD)
_GET: Final = int(Op.GET)
_SET: Final = int(Op.SET)
_DELETE: Final = int(Op.DELETE)
_SPECIAL: Final = int(Op.SPECIAL)
_INHERITED: Final = int(Op.INHERITED)
_LOAD: Final = int(Op.LOAD)
_PULL: Final = int(Op.PULL)


_new: Final = object.__new__

deferring: Final[ContextVar[AsyncPipeline | None]] = ContextVar("wsremote.deferring", default=None)
"""The pipeline in whose block the task is."""


class AsyncCaller:
    """A `shallow.caller.ServerCaller` whose methods give a `RemoteCall` each.

    Args:
        driver: Of the session.
        flag: `AWAIT` for calls whose outcome is awaited on the server, else 0.
    """

    is_async = True
    # Whether there has been a pipeline: else nobody asks for one.
    has_pipelines = False

    def __init__(self, driver: AsyncDriver, flag: int = 0) -> None:
        self.driver = driver
        self._flag = flag
        self._call_op = _CALL + flag
        self.awaited = self if flag else AsyncCaller(driver, AWAIT)
        self.is_in_loop = True
        self.url = driver.url
        self.id = driver.id
        self.coroutine_classes = driver.coroutine_classes
        self.release = driver.release

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self.driver.closed

    @property
    def messages(self) -> int:
        """How many it has sent."""
        return self.driver.messages

    def call(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> RemoteCall:
        """`target(*args, **kwargs)`."""
        if type(target) is str and not AsyncCaller.has_pipelines:
            made = _new(RemoteCall)
            # As it is made by itself, but for a call of Python: 0.1 µs.
            made._what = self.driver, self._call_op, target, None, args, kwargs, None
            made._shown = target
            return made
        shown = target if type(target) is str else "__call__"
        return self._made(self._call_op, target, None, args, kwargs, shown)

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> RemoteCall:
        """`target.name(*args, **kwargs)`."""
        return self._made(_METHOD + self._flag, target, name, args, kwargs)

    def get(self, target: Target, name: str) -> RemoteCall:
        """`target.name`."""
        return self._made(_GET, target, name, (), None)

    def set(self, target: Target, name: str, value: Any) -> Any:
        """`target.name = value`."""
        return self._made(_SET, target, name, (value,), None)

    def delete(self, target: Target, name: str) -> Any:
        """`del target.name`."""
        return self._made(_DELETE, target, name, (), None)

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> RemoteCall:
        """The special method `name`."""
        return self._made(_SPECIAL + self._flag, target, name, args, None)

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> RemoteCall:
        """`super(...).name`, as the class `target` has it."""
        sent = (int(op), subject, *args)
        return self._made(_INHERITED + self._flag, target, name, sent, kwargs)

    def pull(self, handle: int, args: tuple[Any, ...]) -> RemoteCall:
        """Several items of an iterator of the server."""
        return self._made(_PULL, handle, None, args, None, "__next__")

    def next_item(self, iterator: Any) -> RemoteCall:
        """The next item of an iterator of the server."""
        return NextItem((self, iterator))

    def unread(self, handle: int, used: int) -> None:
        """Say how many items of an iterator of the server were used."""
        self.driver.unread(handle, used)

    def load(self, data: bytes) -> RemoteCall:
        """A new object of a pickle that the server has made."""
        return self._made(_LOAD, "", None, (data,), None)

    def browse(self, module: str, what: str, *args: str) -> NoReturn:
        """What `import` and `inspect` ask, which await nothing.

        Raises:
            NotExposed: Always.
        """
        raise NotExposed(
            f"{module} ({what}{' ' if args else ''}{' '.join(args)}) would have to be asked for,"
            " which cannot be awaited here: use a session of wsremote.connect(…) for that"
        )

    def define(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> NoReturn:
        """What a class statement asks, which awaits nothing.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a class statement awaits nothing: derive from served classes in a session of"
            " wsremote.connect(…)"
        )

    def _made(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        shown: str = "load",
    ) -> RemoteCall:
        # An object that is called is kept until its call has ended.
        kept = self._living(target) if type(target) is int else None
        if AsyncCaller.has_pipelines and (pipeline := deferring.get()) is not None:
            if pipeline.is_of(self.driver):
                promise = pipeline.take(op, target, name, args, kwargs, kept)
                if promise is not None:
                    return promise  # type: ignore[return-value]
        return RemoteCall((self.driver, op, target, name, args, kwargs, kept), name or shown)

    def _living(self, handle: int) -> Any:
        return self.driver.lending.shallow.proxies.living(handle)
