"""`submit`, `map` and `shutdown`: a session as one of the executors of `concurrent.futures`."""

from __future__ import annotations

import functools
import math
import time
from concurrent.futures import Executor
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from ..codec.hiding import hide_own_frames
from ..shallow.metaclass import ShallowClass
from .futures import CallFuture
from .mapping import mapped
from .waiting import TimeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..protocol.messages import Target
    from .driver import Driver
    from .submitting import Submitting

__all__ = ["SessionExecutor"]

Call = tuple[int, "Target", "str | None", tuple[Any, ...], "dict[str, Any] | None"]
"""Op, target, name, arguments and keywords of a call."""


class _Capture:
    """Takes the one call that a function of the server makes."""

    def __init__(self) -> None:
        self.call: Call | None = None

    def take(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """Note a call, and make none."""
        if self.call is not None:
            raise TypeError(
                "what is submitted makes more than one call of the server: submit each of them, or"
                " send the code with wsremote.ship(...)"
            )
        self.call = op, target, name, args, kwargs


class SessionExecutor(Executor):
    """The part of a session that makes calls which nobody waits for yet."""

    _driver: Driver

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> CallFuture:
        """Call a function, class or method of the server, and go on without waiting for it.

        Submitted calls run beside each other on the server, on up to `--max-workers` threads of
        the session, in no order.

        Args:
            fn: A function, class, method or callable object of the server.
            args: Its positional arguments. They are sent as they are now.
            kwargs: Those by name.

        Returns:
            The future of the call. What the call changes in containers among its arguments is
            seen here when its result is taken.

        Raises:
            TypeError: `fn` is nothing of the server's.
            RuntimeError: `shutdown` was called.
            SessionClosed: The session is over.
        """
        submitting = self._driver.submitting
        submitting.check_open()
        try:
            call = self._captured(fn, args, kwargs)
        except Exception as error:
            if not self._is_remote(fn):
                raise
            # As in any executor: what is wrong with the arguments, the future says.
            return _failed(submitting, fn, error)
        return submitting.submit(*call)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Call `fn` for each item, or tuple of items, many calls at a time; results in order.

        The input is read as results are taken, a few hundred items ahead: it may be infinite.

        Args:
            fn: As for `submit`.
            iterables: Of the arguments; it ends with the shortest.
            timeout: Seconds from now until each result has to be there; None for no such bound.
            chunksize: How many calls leave together at least.

        Returns:
            An iterator of the results. An exception of a call is raised in its place; the calls
            that are under way are cancelled then, or when the iterator is dropped.

        Raises:
            TypeError: `fn` is nothing of the server's.
            TimeoutError: By the iterator; a result was not there in time.
            ValueError: `chunksize` is below one.
        """
        if chunksize < 1:
            raise ValueError(f"a message cannot have {chunksize} calls: chunksize is 1 or more")
        self._driver.submitting.check_open()
        self._check_remote(fn)
        results = self._mapped(fn, zip(*iterables, strict=False), timeout, chunksize)
        # The first calls are made now, as by any executor.
        next(results)
        return results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls with `submit` and `map`. The session itself goes on: `close` ends it.

        Args:
            wait: Return when all that were submitted have ended.
            cancel_futures: Cancel those that have not ended.
        """
        self._driver.submitting.shutdown(wait=wait, cancel_futures=cancel_futures)

    # ---- how -------------------------------------------------------------------------

    def _captured(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call:
        """The call that a function of the server makes, which is not made."""
        self._check_remote(fn)
        capture, lane = _Capture(), self._driver._lanes.mine
        outer, lane.deferred = lane.deferred, capture
        try:
            fn(*args, **kwargs)
        finally:
            lane.deferred = outer
        if capture.call is None:
            raise TypeError(f"{fn!r} makes no call of the server: call it here")
        return capture.call

    def _check_remote(self, fn: object) -> None:
        if not self._is_remote(fn):
            raise TypeError(
                f"submit and map take functions, classes and methods of the server, and {fn!r} is"
                " none: it would run here. A thread pool does that; wsremote.ship(...) as an"
                " argument sends code to the server"
            )

    def _is_remote(self, fn: object) -> bool:
        """Whether a call of it is one message to this session's server."""
        while isinstance(fn, functools.partial):
            fn = fn.func
        if isinstance(fn, MethodType):
            return self._is_remote(fn.__self__) or isinstance(fn.__self__, ShallowClass)
        lending = self._driver.lending
        if isinstance(fn, FunctionType | ShallowClass) and lending.name_of(fn) is not None:
            return True
        return lending.borrowed(fn) is not None

    def _mapped(
        self,
        fn: Callable[..., Any],
        items: Iterator[tuple[Any, ...]],
        timeout: float | None,
        chunksize: int,
    ) -> Iterator[Any]:
        """The results; the first step gives none, and makes the first calls."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        try:
            yield from mapped(
                self._driver.submitting,
                lambda args: self._captured(fn, args, {}),
                items,
                deadline,
                chunksize,
            )
        except TimeUp:
            raise TimeoutError(f"a result of map was not there in {timeout:g} s") from None
        except BaseException:
            hide_own_frames()
            raise


def _failed(submitting: Submitting, fn: Any, error: BaseException) -> CallFuture:
    """The future of a call that could not be made."""
    future = CallFuture(submitting, 0, (getattr(fn, "__qualname__", repr(fn)), None))
    future.fail(error)
    return future
