"""Counts what a process holds: containers of wsremote's objects, threads, descriptors."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter as Tally
from collections import deque
from typing import Any

__all__ = ["containers_in", "descriptors", "threads"]

# What grows with the classes, threads and messages of a session and is bounded by them.
_BOUNDED = {"ended", "unacked", "_numbers", "_paths", "_taken", "_told", "_lanes", "_workers"}
_CONTAINERS = (dict, set, list, deque)


def containers_in(found: Any, path: str, depth: int = 3) -> dict[str, int]:
    """How much is in each container of an object of wsremote, and of those that it has."""
    sizes: dict[str, int] = {}
    names = {
        *getattr(found, "__dict__", ()),
        *(name for cls in type(found).__mro__ for name in getattr(cls, "__slots__", ())),
    } - {"__dict__", "__weakref__"}
    for name in sorted(names - _BOUNDED):
        value = getattr(found, name, None)
        if type(value) in _CONTAINERS:
            sizes[f"{path}.{name}"] = len(value)
        elif depth > 1 and type(value).__module__.startswith("wsremote."):
            if type(value).__name__ not in _NOT_OF_A_SESSION:
                sizes |= containers_in(value, f"{path}.{name}", depth - 1)
    return sizes


_NOT_OF_A_SESSION = {
    *("Server", "Poller", "Session", "Dispatcher", "Policy", "Inventory", "SocketConnection"),
    *("Seat", "Sequence", "Resumer", "Driver", "AsyncDriver", "Package", "InfoTree"),
}


def threads() -> dict[str, int]:
    """The threads of this process by the kind of their names."""
    return Tally(re.sub(r"-?[0-9a-f]{8}|-?\d+", "", each.name) for each in threading.enumerate())


def descriptors() -> int:
    """The open files and sockets of this process."""
    return len(os.listdir("/proc/self/fd"))
