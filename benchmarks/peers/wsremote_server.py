"""wsremote: the command line on one side, the public API on the other, nothing else."""

from __future__ import annotations

import functools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready

ROOT = Path(__file__).parents[2]


def start_server(package: str, folder: Path, token: str) -> tuple[subprocess.Popen[bytes], str]:
    """`wsremote serve` in a process of its own.

    Args:
        package: What it serves.
        folder: For its ready file and its log.
        token: What its clients prove to know.

    Returns:
        The process, and the URL it listens at.

    Raises:
        RuntimeError: It ended instead. The text is what it wrote.
    """
    ready_file, log = folder / "ready.json", folder / "log.txt"
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    options = ["--port", "0", "--token", token, "--ready-file", str(ready_file)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "wsremote", "serve", package, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": path},
        )
    while not ready_file.exists() or not ready_file.read_text().endswith("}"):
        if process.poll() is not None:
            raise RuntimeError(f"wsremote serve ended: {log.read_text()[-500:]}")
        time.sleep(0.01)
    return process, json.loads(ready_file.read_text())["url"]


def serve(ready: Ready) -> None:
    """Start the command and stay with it."""
    token = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start_server("benchserved", Path(folder), token)
        try:
            ready(f"{url} {token}")
            process.wait()
        finally:
            process.kill()
            process.wait()


def connect(address: str) -> Operations:
    """One session."""
    import wsremote

    url, token = address.split()
    served = wsremote.connect(url, token=token).modules.benchserved
    f, last, numbers, counter = served.f, served.last, served.numbers, served.Counter()

    @functools.cache
    def holding(count: int) -> tuple[list[Any], Any]:
        """So many lists of a server, held, and `f`: of a session of their own."""
        other = wsremote.connect(url, token=token, new=True).modules.benchserved
        return [other.Shelf().items for _ in range(count)], other.f

    return {
        "mirror read": lambda: holding(1)[0][0][0],
        "mirror write": lambda: holding(1)[0][0].__setitem__(1, time.monotonic_ns()),
        "1 held": lambda: holding(1)[1](1, 2),
        "10 held": lambda: holding(10)[1](1, 2),
        "100 held": lambda: holding(100)[1](1, 2),
        "call": lambda: f(1, 2),
        "method": lambda: counter.add(1, 2),
        "attribute": lambda: counter.value,
        "array up": lambda: last(array_of(COUNT)),
        "array down": lambda: numbers(COUNT),
    }
