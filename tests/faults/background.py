"""Calls of a test that run beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from faults.proxy import PATIENCE

Begin = Callable[..., "Future[Any]"]
"""`begin(function, *args)` calls it in a thread."""


@contextlib.contextmanager
def threads() -> Iterator[Begin]:
    """Gives a `Begin`; all its threads end with the block, or the test fails."""
    started: list[threading.Thread] = []

    def begin(function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

        started.append(threading.Thread(target=run, daemon=True))
        started[-1].start()
        return future

    yield begin
    for thread in started:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a call has no answer"
