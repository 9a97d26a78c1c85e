"""From an exec message's target to the code that runs.

The frames of this file are the first of every remote traceback; by the name of their module
or of their file the codec knows and leaves them out.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Callable
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from ..codec.frames import CALLER
from ..errors import NotExposed, RemoteProtocolError
from ..protocol.messages import AWAIT, Op
from ..protocol.operators import SPECIALS, WHOLE
from .coroutines import LaneLoops
from .pickles import Pickles
from .waking import wake

if TYPE_CHECKING:
    import asyncio

    from ..protocol.messages import Target
    from .browsing import Browsing
    from .policy import Policy

__all__ = ["Dispatcher", "is_awaited"]

# Plain integers: a member of an enum is looked up slowly.
_CALL: Final = int(Op.CALL)
_METHOD: Final = int(Op.METHOD)
_GET: Final = int(Op.GET)
_SET: Final = int(Op.SET)
_DELETE: Final = int(Op.DELETE)
_SPECIAL: Final = int(Op.SPECIAL)
_BROWSE: Final = int(Op.BROWSE)
_LOAD: Final = int(Op.LOAD)


def _awaited_types() -> frozenset[type]:
    """Coroutines, and what the methods of async generators give."""

    async def generate() -> AsyncGenerator[None]:
        yield

    generator = generate()
    steps = (generator.asend(None), generator.aclose())
    for step in steps:
        step.close()  # or Python warns that it was never awaited
    return frozenset([CoroutineType, *map(type, steps)])


_AWAITED: Final = _awaited_types()


def is_awaited(value: object) -> bool:
    """Whether what a call gave is one that `AWAIT` awaits: the call of an async function."""
    return type(value) in _AWAITED


def _as_main(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as if it stood in a `__main__` of its own.

    Served code looks at its caller: `namedtuple` takes its module's name, `warnings` its file,
    `sympy.var` writes into its globals. None of these are to be the server's.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_filename=CALLER, co_firstlineno=1)
    return FunctionType(code, {"__name__": "__main__", "__builtins__": builtins})


@_as_main
def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


@_as_main
def _call_plainly(function: Callable[..., Any], args: list[Any]) -> Any:
    return function(*args)


class Dispatcher:
    """Does what exec messages ask for, within what the policy allows. Any thread may use it.

    Args:
        policy: What may be reached.
        browsing: Answers `Op.BROWSE`.
    """

    def __init__(self, policy: Policy, browsing: Browsing | None = None) -> None:
        self._policy = policy
        self._browsing = browsing
        self._loops = LaneLoops()
        self._pickles = Pickles()
        # Looked up once here instead of in every call.
        self.named = policy.named
        self.call_plainly = _call_plainly
        self._bind = policy.bind

    def execute(
        self,
        op: int,
        target: Target,
        resolve: Callable[[int], object],
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Do one thing with one target, on the thread of its lane. Gives its value.

        Coroutines and generators are given as they are, but with `AWAIT` awaited.

        Args:
            op: One of `Op`, perhaps with `AWAIT`.
            target: A path or a handle.
            resolve: Gives the object of a handle, or raises StaleHandle.
            name: Of the attribute or special method; None for `Op.CALL`.
            args: Decoded. `Op.SET` takes the value from here.
            kwargs: Decoded.

        Raises:
            NotExposed: The policy refuses the target or the name.
            RemoteProtocolError: The message makes no sense.
            BaseException: Whatever the served code raises.
        """
        found: Any
        if type(target) is str:
            found = self.named.get(target)
            if found is None:
                if op == _LOAD:
                    return self._pickles.load(args[0] if args else None)
                found = self._policy.resolve(target)
        else:
            found = resolve(target)  # type: ignore[arg-type]  # mypy knows no `type(x) is str`
        if op == _CALL:
            return _call(found, args, kwargs)
        if AWAIT <= op < 2 * AWAIT:
            return self.awaited(self.execute(op - AWAIT, target, resolve, name, args, kwargs))
        if name is None:
            raise RemoteProtocolError(f"an exec message with op {op} needs a name")
        if op == _METHOD:
            return _call(self._bind(found, name), args, kwargs)
        if op == _SPECIAL:
            return self._special(found, name, args, kwargs)
        return self._access(op, found, name, args)

    call = staticmethod(_call)
    """`call(function, args, kwargs)`: call something that was found elsewhere."""

    def awaited(self, value: Any) -> Any:
        """What a call gave, awaited on the loop of the calling thread if it is a coroutine."""
        return self._loops.run(value) if is_awaited(value) else value

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the calling thread, a lane's."""
        return self._loops.loop()

    def _access(self, op: int, target: object, name: str, args: tuple[Any, ...]) -> Any:
        """Get, set or delete an attribute."""
        if op == _GET:
            return self._policy.get(target, name)
        if op == _SET:
            if len(args) != 1:
                raise RemoteProtocolError(f"setting {name!r} takes one value, not {len(args)}")
            return self._policy.set(target, name, args[0])
        if op == _DELETE:
            return self._policy.delete(target, name)
        if op == _BROWSE and self._browsing is not None:
            return self._browsing.browse(target, name, args)
        raise RemoteProtocolError(f"there is no op {op}")

    def _special(
        self, target: object, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a special method. See `operators` for how each one runs."""
        operation = SPECIALS.get(name)
        if operation is None:
            raise NotExposed(f"{name!r} is no special method that runs on the server")
        self._policy.check_special(target, f"__{name}__" if name in WHOLE else name)
        if name == "__reduce_ex__":
            return self._pickles.dump(target, *args)
        return operation(target, *args, **kwargs)

    def wake(self, thread: int) -> None:
        """Let an interrupt sent to a lane's thread be seen although a call waits there.

        Args:
            thread: `Thread.ident` of the lane.
        """
        self._loops.wake(thread)
        wake(thread)

    def close_lane(self, *, goes_on: bool = False) -> None:
        """The calling thread's lane ends: close its event loop, if it has one.

        Args:
            goes_on: Whether its session does.
        """
        self._loops.close(goes_on=goes_on)
