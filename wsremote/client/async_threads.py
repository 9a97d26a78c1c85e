"""Coroutines of the client that no event loop of the client can run: in a loop for each."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from asyncio import _get_running_loop
from collections.abc import Coroutine
from typing import Any

__all__ = ["run_awaitable"]


def run_awaitable(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in this thread; if its event loop waits for the server, beside it.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    if _get_running_loop() is None:
        return asyncio.run(coroutine)
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(coroutine))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=[run])
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
