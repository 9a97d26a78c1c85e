"""What commands do around their work: signals, the ready file, the log, one-line errors."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

__all__ = ["log_to_stderr", "plainly", "signals", "write_ready_file"]


@contextlib.contextmanager
def plainly(
    *expected: type[BaseException], explain: Callable[[Any], str] | None = None
) -> Iterator[None]:
    """Turn expected exceptions into one line on stderr and exit code 1."""
    try:
        yield
    except expected as error:
        # The text of a KeyError is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise click.ClickException(explain(error) if explain else str(text)) from None


def write_ready_file(path: Path, url: str) -> None:
    """Whole or not at all: who waits for the file must never read half of it."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump({"url": url, "pid": os.getpid()}, file)
        os.replace(file.name, path)
    except OSError as error:
        raise OSError(f"cannot write --ready-file {path}: {error.strerror}") from error


class Signals:
    """From now on SIGINT and SIGTERM are kept; calling this waits for the first of them.

    It waits for bytes of a wake-up descriptor. Python runs handlers in the main thread only, and
    a main thread that waits for a lock sleeps on if the system has given the signal to another
    thread, as it may after Ctrl-Z. Nor could the handler set a `threading.Event`: the event's
    lock may be held by the very code that it interrupts.
    """

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        signal.set_wakeup_fd(self._writing.fileno())
        self._seen: list[int] = []
        signal.signal(signal.SIGINT, self._keep)
        signal.signal(signal.SIGTERM, self._keep)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._seen:
            os._exit(128 + number)
        self._seen.append(number)

    def has_come(self) -> bool:
        """Whether there was one; for those who do something else than waiting for it."""
        return bool(self._seen)

    def __call__(self) -> None:
        with self._reading, self._writing:
            while not self._seen:
                self._reading.recv(1)
            signal.set_wakeup_fd(-1)


def signals() -> Signals:
    """Keep SIGINT and SIGTERM from now on; calling the result waits for the first of them."""
    return Signals()


def log_to_stderr(level: str) -> None:
    """Our own loggers only: the root logger belongs to the served packages."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("wsremote")
    logger.setLevel(level.upper())
    logger.addHandler(handler)
    logger.propagate = False
