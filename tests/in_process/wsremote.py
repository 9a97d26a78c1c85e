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


class NameNotFound(LookupError):
    """There is one name."""


class Server:
    """What is known of the server of that name."""

    name, state, tags = "garden", "ready", ("example",)


_session = Session()


def connect(name: str = "garden", *, tags: object = ()) -> Session:
    """The session with this process."""
    if name != Server.name:
        raise NameNotFound(f"{name} is not here")
    return _session


def servers(prefix: str = "") -> list[Server]:
    """This process, by its name."""
    return [Server()] if Server.name.startswith(prefix) else []
