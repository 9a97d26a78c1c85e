"""Stands in for wsremote where an example runs without a server: everything is local.

What an example prints here is what it must print over the wire.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

SAMPLES = ("garden", "ledger")


class Modules:
    """`session.modules`, of the packages installed here."""

    def __getattr__(self, name: str) -> ModuleType:
        module = importlib.import_module(name)
        if name in SAMPLES:  # A server has imported all submodules of what it serves.
            for found in pkgutil.walk_packages(module.__path__, f"{name}."):
                importlib.import_module(found.name)
        return module


class Session:
    """As much of a session as the examples use."""

    modules = Modules()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to close."""


def connect() -> Session:
    """A session with this process."""
    return Session()
