"""Name servers, and servers that register with them, as processes."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import NAMESERVER, ServedProcess, start_server

import wsremote
from wsremote.naming.nameservers import NameServers
from wsremote.naming.watching import Watch

LOOKS_UP, REGISTERS = "of those who look up", "of those who register"
NS_ENVIRONMENT = {"WSREMOTE_NAMESERVER_TOKEN": REGISTERS}


class Names:
    """Name servers, and servers that register with them; all end with the test.

    Args:
        folder: For their files.
        stack: Ends them.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folders = (folder / f"process-{number}" for number in itertools.count())
        self._stack = stack
        self.nameservers: list[ServedProcess] = []

    @property
    def url(self) -> str:
        """Where the name servers are."""
        return ",".join(each.url for each in self.nameservers)

    def nameserver(self, *arguments: str, port: int = 0) -> ServedProcess:
        """Start a name server."""
        served = self.start(
            *arguments, port=port, token=LOOKS_UP, environment=NS_ENVIRONMENT, command=NAMESERVER
        )
        self.nameservers.append(served)
        return served

    def server(self, name: str, *arguments: str, **settings: Any) -> ServedProcess:
        """Start a server that registers; `json` is what it serves."""
        environment = {**NS_ENVIRONMENT, "WSREMOTE_NAMESERVER": self.url}
        return self.start(
            "json", "--name", name, *arguments, environment=environment, token=LOOKS_UP, **settings
        )

    def start(self, *arguments: str, **settings: Any) -> ServedProcess:
        """Start a server."""
        folder = next(self._folders)
        folder.mkdir()
        served = start_server(*arguments, folder=folder, **settings)
        self._stack.callback(served.stop)
        return served

    def watch(self, prefix: str = "") -> Iterator[tuple[str, str, str]]:
        """The changes as they come: kind, name and URL. What there is comes first."""
        for changes in Watch(prefix, NameServers(tuple(self.url.split(",")), LOOKS_UP)):
            for change in changes:
                yield change.kind, change.server.name, change.server.urls[0]

    def connect(self, name: str, **choice: Any) -> wsremote.Session:
        """A session of its own."""
        choice.setdefault("nameserver", self.url)
        session = wsremote.connect(name, token=LOOKS_UP, new=True, **choice)
        self._stack.callback(session.close)
        return session

    def found(self, name: str, **choice: Any) -> str:
        """The URL of a server that the name leads to."""
        session = self.connect(name, **choice)
        session.close()
        return session.url

    def listed(self, prefix: str = "") -> list[wsremote.ServerInfo]:
        """All that there are."""
        return wsremote.servers(prefix, nameserver=self.url, token=LOOKS_UP)


def kill(served: ServedProcess) -> None:
    """As the system does when memory is short."""
    served.expected_code = -signal.SIGKILL
    served.process.kill()
    served.process.wait()
