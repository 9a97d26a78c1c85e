"""How busy a server is, for the name server: measured by the standard library, in microseconds."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server import Server

__all__ = ["Load", "LoadMeter", "resident_memory"]

_STATM: Final = "/proc/self/statm"


class Load(NamedTuple):
    """What a server has to do.

    Attributes:
        sessions: That it has, with a connection or without.
        running: Calls that run.
        cpu: Share of the cores that the process could have used since it was asked last, 0 to 1.
        memory: Bytes resident; at its highest where the system does not tell the present.
    """

    sessions: int
    running: int
    cpu: float
    memory: int


class LoadMeter:
    """Measures one server.

    Args:
        server: Which.
        clock: Monotonic seconds.
        used: Seconds of processor time that the process has used.
        memory: Bytes resident.
    """

    def __init__(
        self,
        server: Server,
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
        memory: Callable[[], int] | None = None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._used = used
        self._memory = memory or resident_memory
        self._cores = _cores()
        self._last = clock(), used()

    def measure(self) -> Load:
        """The load since this was asked last."""
        before, self._last = self._last, (self._clock(), self._used())
        seconds, used = (now - then for now, then in zip(self._last, before, strict=True))
        share = used / (seconds * self._cores) if seconds > 0.0 else 0.0
        sessions = self._server.live_sessions()
        running = sum(session.running_calls for session in sessions)
        return Load(len(sessions), running, min(1.0, max(0.0, share)), self._memory())


def resident_memory() -> int:
    """Bytes of this process that are in memory."""
    try:
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource  # there is none on Windows

        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * 1024


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
