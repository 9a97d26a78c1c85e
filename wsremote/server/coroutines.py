"""Event loops of lanes: coroutines of served code are awaited here.

A lane that meets its first coroutine gets an event loop and keeps it, so that what one call
opens (an async generator, a client session) works in the next. For a client's thread without
running event loop the lane's stands still between calls: tasks left in the background
go on during the lane's next coroutine. For one with a running loop, see `async_lane`.

Generators that were begun there outlive it: the lane ends with a thread of the client, or with a
call that runs in its place, and another one may read on.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

__all__ = ["LaneLoops", "awaiting", "keep_generators", "without_asyncio"]

logger = logging.getLogger("wsremote.server")

Generator = AsyncGenerator[Any, Any]


class LaneLoops:
    """The event loops of all lanes, by thread."""

    def __init__(self) -> None:
        # By thread id; only the thread itself adds and removes its own.
        self._runners: dict[int, asyncio.Runner] = {}

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the loop of the calling thread. Gives its result.

        Raises:
            KeyboardInterrupt: The call is interrupted; the coroutine has been cancelled.
            BaseException: Whatever the coroutine raises.
        """
        if _is_loop_running():
            return self._run_beside(awaitable)
        loop = self.loop()
        # A copy, as `asyncio.run` takes one: the lane's thread is inside the context itself.
        task = loop.create_task(awaiting(awaitable), context=contextvars.copy_context())
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if not task.done():
                # An interrupt came while the loop was not inside the coroutine.
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):  # that is what was asked for
                    loop.run_until_complete(task)
            raise without_asyncio(error)  # noqa: B904  # it is the same exception

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the calling thread, made when it is first asked for."""
        runner = self._runners.get(threading.get_ident())
        if runner is None:
            runner = self._runners[threading.get_ident()] = asyncio.Runner()
        return runner.get_loop()

    def _run_beside(self, awaitable: Awaitable[Any]) -> Any:
        """Await in a thread of its own, for a call nested in a coroutine of this thread.

        The outer coroutine waits for the client in blocking code, so its loop is not free.
        """
        results: list[Any] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(asyncio.run(awaiting(awaitable)))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=[run])
        thread.start()
        thread.join()
        if errors:
            raise without_asyncio(errors[0])
        return results[0]

    def wake(self, thread: int) -> None:
        """Let an exception sent to a thread be raised although its loop sleeps.

        Args:
            thread: `Thread.ident` of a lane that runs a call; without a loop it needs none.
        """
        runner = self._runners.get(thread)
        if runner is not None:
            # A RuntimeError means that the loop was closed: it does not sleep.
            with contextlib.suppress(RuntimeError):
                runner.get_loop().call_soon_threadsafe(lambda: None)

    def close(self, *, goes_on: bool = False) -> None:
        """Close the loop of the calling thread: its lane ends. What still runs is cancelled.

        Args:
            goes_on: Whether the session does: generators that were begun there are not closed.
        """
        runner = self._runners.pop(threading.get_ident(), None)
        if runner is not None:
            loop = runner.get_loop()
            if not goes_on and (begun := _begun.get(loop)):
                loop.run_until_complete(_hand_over(list(begun)))
            runner.close()


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def awaiting(awaitable: Awaitable[Any]) -> Any:
    """What comes of an awaitable. Its frame says where `asyncio` ends and served code begins."""
    keep_generators()
    return await awaitable


_begun: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakSet[Generator]]] = (
    weakref.WeakKeyDictionary()
)
"""The asynchronous generators that were begun in each loop, whose end does not close them."""


def keep_generators() -> None:
    """Let generators that are begun in the running loop outlive it."""
    loop = asyncio.get_running_loop()
    begun = _begun.get(loop)
    if begun is None:
        begun = _begun[loop] = weakref.WeakSet()
    finalizer: Any = sys.get_asyncgen_hooks().finalizer
    # The loop sets its own whenever it begins to run.
    if type(finalizer) is not _Finalizer:
        sys.set_asyncgen_hooks(begun.add, _Finalizer(loop, finalizer))


async def _hand_over(generators: list[Generator]) -> None:
    """Have the loop close generators with itself."""
    to_loop = sys.get_asyncgen_hooks().firstiter
    for generator in generators:
        if to_loop is not None:
            to_loop(generator)


class _Finalizer:
    """Has generators that nobody has any more run to their end.

    Args:
        loop: In which they were begun.
        finalizer: What does it as long as that is open.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, finalizer: Callable[[Generator], None]
    ) -> None:
        self._loop = loop
        self._finalizer = finalizer

    def __call__(self, generator: Generator) -> None:
        """Nobody has it, as Python says. In any thread."""
        if not self._loop.is_closed():
            self._finalizer(generator)
            return
        name = "wsremote-generator"
        threading.Thread(target=_close, args=[generator], name=name, daemon=True).start()


def _close(generator: Generator) -> None:
    """Close a generator whose loop is gone, in one for that."""

    async def close() -> None:
        await generator.aclose()

    try:
        asyncio.run(close())
    except Exception:
        logger.exception("! an asynchronous generator that nobody has any more")


def without_asyncio(error: BaseException) -> BaseException:
    """The exception without the frames of `asyncio` that led to the coroutine."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not awaiting.__code__:
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
