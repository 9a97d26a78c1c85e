"""`submit`, `map` and `shutdown` of an async session: futures of its loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames
from ..codec.scalars import PLAIN_TYPES
from .async_answers import Place, placed
from .async_calls import RemoteCall
from .executor import SessionExecutor

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
    )

    from .async_driver import AsyncDriver

__all__ = ["AsyncExecutor"]

_AHEAD: Final = 512
"""Calls of `map` that are made before the first of them is asked for."""

_are_plain: Final = PLAIN_TYPES.issuperset


class AsyncExecutor:
    """The part of an async session that makes calls which nobody awaits yet."""

    _driver: AsyncDriver
    _check_remote: Any = SessionExecutor._check_remote
    _is_remote: Any = SessionExecutor._is_remote

    def __init__(self) -> None:
        # The calls that were submitted and have not ended.
        self._submitted: set[asyncio.Task[Any]] = set()
        self._is_shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Call a function, class or method of the server, and go on without waiting for it.

        Submitted calls run beside each other on the server, on up to `--max-workers` threads of
        the session, in no order. What is async there is a task of the session's lane.

        Args:
            fn: A function, class, method or callable object of the server.
            args: Its positional arguments. They are sent as they are now, in the next turn of
                the loop.
            kwargs: Those by name.

        Returns:
            The future of the call, a task of the loop.

        Raises:
            TypeError: `fn` is nothing of the server's.
            RuntimeError: `shutdown` was called.
            SessionClosed: The session is over.
        """
        driver = self._driver
        if self._is_shut:
            raise RuntimeError("cannot submit a call after shutdown: the session takes no more")
        if driver.closed_because is not None:
            raise driver._over()
        self._check_remote(fn)
        made: Any = fn(*args, **kwargs)
        if type(made) is RemoteCall and not (
            _are_plain(map(type, args)) and _are_plain(map(type, kwargs.values()))
        ):
            # Who submits goes on, and may change what he has given before the loop's next turn.
            try:
                made.capture()
            except Exception as error:
                # As in any executor: what is wrong with the arguments, the future says.
                made.close()
                made = _failed(error)
        context, driver.has_places = copy_context(), True
        context.run(placed.set, Place(driver, None, True))
        task: asyncio.Task[Any] = driver.loop.create_task(made, context=context)
        self._submitted.add(task)
        task.add_done_callback(self._submitted.discard)
        return task

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> AsyncIterator[Any]:
        """Call `fn` for each item, or tuple of items, many calls at a time; results in order.

        The input is read as results are taken, a few hundred items ahead: it may be infinite.

        Args:
            fn: As for `submit`.
            iterables: Of the arguments, plain or asynchronous; it ends with the shortest. Results
                that are there do not wait for an asynchronous one.
            timeout: Seconds from now until each result has to be there; None for no such bound.
            chunksize: As of other executors: the calls of one turn leave together all the same.

        Returns:
            An asynchronous iterator of the results. An exception of a call is raised in its place;
            the calls that are under way are cancelled then, or when the iterator is dropped.

        Raises:
            TypeError: `fn` is nothing of the server's.
            TimeoutError: By the iterator; a result was not there in time.
            ValueError: `chunksize` is below one.
        """
        if chunksize < 1:
            raise ValueError(f"a message cannot have {chunksize} calls: chunksize is 1 or more")
        if self._is_shut:
            raise RuntimeError("cannot map after shutdown: the session takes no more calls")
        self._check_remote(fn)
        deadline = None if timeout is None else time.monotonic() + timeout
        ahead = max(_AHEAD, 2 * chunksize)
        if any(hasattr(type(each), "__aiter__") for each in iterables):
            return self._mapped_behind(fn, iterables, deadline, ahead)
        plain: Any = iterables
        return self._mapped(fn, zip(*plain, strict=False), deadline, ahead)

    async def _mapped(
        self,
        fn: Callable[..., Any],
        items: Iterator[tuple[Any, ...]],
        deadline: float | None,
        ahead: int,
    ) -> AsyncIterator[Any]:
        made: deque[asyncio.Task[Any]] = deque()
        failure: BaseException | None = None
        has_more = True
        try:
            while True:
                while has_more and len(made) < ahead and not (made and made[0].done()):
                    try:
                        made.append(self.submit(fn, *next(items)))
                    except StopIteration:
                        has_more = False
                    except Exception as error:
                        # The results of what came before it come before it.
                        failure, has_more = error, False
                if not made:
                    break
                if deadline is not None:
                    await _in_time(asyncio.wait([made[0]]), deadline)
                yield await made.popleft()
            if failure is not None:
                raise failure
        except BaseException:
            hide_own_frames()
            raise
        finally:
            for task in made:
                task.cancel()

    async def _mapped_behind(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Any, ...],
        deadline: float | None,
        ahead: int,
    ) -> AsyncIterator[Any]:
        """The same of an input that is awaited: a task reads it and makes the calls."""
        made: deque[asyncio.Task[Any]] = deque()
        arrived, room = asyncio.Event(), asyncio.Event()

        async def make() -> None:
            async for items in _zipped(iterables):
                made.append(self.submit(fn, *items))
                arrived.set()
                while len(made) >= ahead:
                    room.clear()
                    await room.wait()

        making = asyncio.create_task(make())
        making.add_done_callback(lambda _: arrived.set())
        try:
            while made or not making.done():
                if not made:
                    arrived.clear()
                    await _in_time(arrived.wait(), deadline)
                    continue
                if deadline is not None:
                    await _in_time(asyncio.wait([made[0]]), deadline)
                task = made.popleft()
                room.set()
                yield await task
            # The results of what came before it come before it.
            await making
        except BaseException:
            hide_own_frames()
            raise
        finally:
            making.cancel()
            for task in made:
                task.cancel()
            await asyncio.wait([making])
            if not making.cancelled():
                # Seen: what was raised before it counts.
                making.exception()

    async def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls with `submit` and `map`. The session itself goes on: `close` ends it.

        Args:
            wait: Return when all that were submitted have ended.
            cancel_futures: Cancel those that have not ended.
        """
        self._is_shut = True
        if cancel_futures:
            for task in list(self._submitted):
                task.cancel()
        if wait and self._submitted:
            await asyncio.wait(list(self._submitted))


async def _failed(error: Exception) -> Any:
    """A call that could not be made.

    Raises:
        Exception: Why.
    """
    try:
        raise error
    except Exception:
        hide_own_frames()
        raise


async def _zipped(iterables: tuple[Any, ...]) -> AsyncIterator[tuple[Any, ...]]:
    """The items of several iterables, plain or asynchronous, until the shortest ends."""
    iterators = [
        (aiter(each), True) if hasattr(type(each), "__aiter__") else (iter(each), False)
        for each in iterables
    ]
    while True:
        items = []
        for iterator, is_async in iterators:
            try:
                items.append(await anext(iterator) if is_async else next(iterator))
            except (StopIteration, StopAsyncIteration):
                return
        yield tuple(items)


async def _in_time(waiting: Awaitable[Any], deadline: float | None) -> None:
    """Wait for something.

    Raises:
        TimeoutError: It has not come until then, monotonic seconds.
    """
    try:
        async with asyncio.timeout(deadline and max(0.0, deadline - time.monotonic())):
            await waiting
    except TimeoutError:
        raise TimeoutError("a call of map has not ended in time") from None
