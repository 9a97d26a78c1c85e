"""The processes of the peers, seen from `run.py`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peers import PeerInfo

__all__ = ["PeerFailed", "RunningPeer"]

HERE = Path(__file__).parent
TIMEOUT = 120.0
"""Seconds for a start, or for one measurement."""


class PeerFailed(Exception):
    """A peer did not start, gave a wrong result, or did not answer."""


class RunningPeer:
    """The server and the client of one peer, each in a process of its own.

    Raises:
        PeerFailed: One of them does not start.
    """

    def __init__(self, info: PeerInfo) -> None:
        self.info = info
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log: IO[bytes] = tempfile.TemporaryFile()
        try:
            server = self._start("serve", info.module)
            address = self._answer(server)["address"]
            self._client = self._start("drive", info.module, address)
            self.workloads: list[str] = self._answer(self._client)["workloads"]
        except BaseException:
            self.stop()
            raise

    def measure(self, workload: str, count: int) -> float:
        """Microseconds of one operation, the median of `count`.

        Raises:
            PeerFailed: It gave a wrong result, ended, or did not answer.
        """
        assert self._client.stdin is not None
        request = json.dumps({"workload": workload, "count": count}) + "\n"
        try:
            self._client.stdin.write(request.encode())
            self._client.stdin.flush()
        except OSError:
            raise PeerFailed(self._last_words()) from None
        answer = self._answer(self._client)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return float(answer["microseconds"])

    def stop(self) -> None:
        """End both processes, and what they have started."""
        for process in reversed(self._processes):
            # Each leads a process group of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # a request nobody has read
                        stream.close()
        self._log.close()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(HERE), str(HERE.parent)])
        process = subprocess.Popen(
            [sys.executable, str(HERE / "child.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        # Each answer is one line, and is read before the next is asked for.
        ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
        if not ready:
            raise PeerFailed(f"no answer within {TIMEOUT:g} s")
        line = process.stdout.readline()
        if not line:
            raise PeerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """The last line that the peer's processes have written to stderr."""
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended")
