"""A `wsremote serve` of a scenario."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from processes import environment

__all__ = ["Served", "forget_peak", "memory_of", "serving", "start_server", "threads_of"]


class Served(NamedTuple):
    """A server that listens.

    Attributes:
        pid: Of its process.
        url: Where it listens.
        token: What its clients prove to know.
    """

    pid: int
    url: str
    token: str


def start_server(
    command: str, folder: Path, token: str, *options: str
) -> tuple[subprocess.Popen[bytes], str]:
    """`wsremote serve`, or a name server, in a process of its own.

    Args:
        command: `serve PACKAGE` or `nameserver`.
        folder: For its ready file and its log.
        token: What its clients prove to know.
        options: More of the command line.

    Returns:
        The process, and the URL it listens at.

    Raises:
        RuntimeError: It ended instead. The text is what it wrote.
    """
    ready_file, log = folder / "ready.json", folder / "log.txt"
    words = [sys.executable, "-m", "wsremote", *command.split(), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*words, "--token", token, "--ready-file", str(ready_file), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Where `-m` finds nothing else first.
            cwd=folder,
            env=environment(),
        )
    while not ready_file.exists() or not ready_file.read_text().endswith("}"):
        if process.poll() is not None:
            raise RuntimeError(f"wsremote {command} ended: {log.read_text()[-500:]}")
        time.sleep(0.01)
    return process, json.loads(ready_file.read_text())["url"]


@contextlib.contextmanager
def serving(package: str = "benchserved", *options: str) -> Iterator[Served]:
    """A server with a token of its own, while the block runs."""
    token = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory() as name:
        process, url = start_server(f"serve {package}", Path(name), token, *options)
        try:
            yield Served(process.pid, url, token)
        finally:
            process.kill()
            process.wait()


def memory_of(pid: int, field: str) -> int:
    """Bytes, of a process: a field of its status, such as VmHWM or RssAnon.

    Raises:
        RuntimeError: This system tells no such thing.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
    raise RuntimeError(f"no {field} in /proc/{pid}/status: this needs Linux")


def forget_peak(pid: int) -> None:
    """From now on VmHWM tells the highest from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def threads_of(pid: int) -> int:
    """How many a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))
