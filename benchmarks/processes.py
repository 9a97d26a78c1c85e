"""The processes of a benchmark, seen from the one that measures."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peers import PeerInfo

__all__ = ["Child", "PeerFailed", "RunningPeer", "environment", "idle_cores", "move"]

HERE = Path(__file__).parent
TIMEOUT = 60.0
"""Seconds for a start, or for one measurement."""


class PeerFailed(Exception):
    """A peer did not start, gave a wrong result, or did not answer."""


def environment() -> dict[str, str]:
    """For a process that imports the benchmarks, and wsremote from the checkout measured."""
    checkout = os.environ.get("BENCHMARK_CHECKOUT", str(HERE.parent))
    path = os.pathsep.join([str(HERE), checkout])
    return {**os.environ, "PYTHONPATH": path}


def move(process: int, cores: Iterable[int]) -> None:
    """Have all threads of a process, and of those it has started, run on these cores."""
    wanted = set(cores)
    for task in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError):  # it has just ended
            os.sched_setaffinity(int(task.name), wanted)
            for child in (task / "children").read_text().split():
                move(int(child), wanted)


def idle_cores() -> tuple[int, int]:
    """The two cores that have least to do just now; twice the same if there is but one."""
    before = _busy()
    time.sleep(0.1)
    after = _busy()
    usable = os.sched_getaffinity(0)
    ordered = sorted(usable, key=lambda core: (after.get(core, 0) - before.get(core, 0), -core))
    return ordered[0], ordered[min(1, len(ordered) - 1)]


def _busy() -> dict[int, int]:
    """Ticks that each core has worked."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name[:3] == "cpu" and name[3:]:
            found[int(name[3:])] = sum(map(int, ticks)) - int(ticks[3]) - int(ticks[4])
    return found


class Child:
    """A process that runs `child.py`: a line of JSON asks, a line of JSON answers.

    Args:
        arguments: A role, a module, and what the role needs.

    Raises:
        PeerFailed: It does not start.
    """

    def __init__(self, *arguments: str) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "child.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(),
            start_new_session=True,
        )
        try:
            self.hello: dict[str, Any] = self.answer()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self.process.pid

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer.

        Raises:
            PeerFailed: It gave a wrong result, ended, or did not answer.
        """
        self.request(**request)
        return self.answer()

    def request(self, **request: Any) -> None:
        """One request, whose answer is fetched later."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise PeerFailed(self._last_words()) from None

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        assert self.process.stdout is not None
        # Each answer is one line, and is read before the next is asked for.
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        if not ready:
            raise PeerFailed(f"no answer within {TIMEOUT:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise PeerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def stop(self) -> None:
        """End the process, and what it has started."""
        # It leads a process group of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # a request nobody has read
                    stream.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _last_words(self) -> str:
        """The last line that the process has written to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended")


class RunningPeer:
    """The server and the client of one peer, each in a process of its own.

    Raises:
        PeerFailed: One of them does not start.
    """

    def __init__(self, info: PeerInfo) -> None:
        self.info = info
        self._server = Child("serve", info.module)
        try:
            self._client = Child("drive", info.module, self._server.hello["address"])
        except BaseException:
            self._server.stop()
            raise
        self.workloads: list[str] = self._client.hello["workloads"]
        self.failures: dict[str, str] = self._client.hello["failures"]

    def place(self, server: Iterable[int], client: Iterable[int]) -> None:
        """Say on which cores they run."""
        move(self._server.pid, server)
        move(self._client.pid, client)

    def measure(self, workload: str, count: int) -> float:
        """Microseconds of one operation, the median of `count`.

        Raises:
            PeerFailed: It gave a wrong result, ended, or did not answer.
        """
        return float(self._client.ask(workload=workload, count=count)["microseconds"])

    def stop(self) -> None:
        """End both processes, and what they have started."""
        self._client.stop()
        self._server.stop()
