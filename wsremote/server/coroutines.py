"""Event loops of lanes: coroutines of served code are awaited here.

A lane that meets its first coroutine gets an event loop and keeps it, so that what one call
opens (an async generator, a client session) works in the next. For a client's thread without
running event loop the lane's stands still between calls: tasks left in the background
go on during the lane's next coroutine. For one with a running loop, see `async_lane`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable
from typing import Any

__all__ = ["LaneLoops", "awaiting", "without_asyncio"]


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

    def close(self) -> None:
        """Close the loop of the calling thread: its lane ends. What still runs is cancelled."""
        runner = self._runners.pop(threading.get_ident(), None)
        if runner is not None:
            runner.close()


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def awaiting(awaitable: Awaitable[Any]) -> Any:
    """What comes of an awaitable. Its frame says where `asyncio` ends and served code begins."""
    return await awaitable


def without_asyncio(error: BaseException) -> BaseException:
    """The exception without the frames of `asyncio` that led to the coroutine."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not awaiting.__code__:
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
