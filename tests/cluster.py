"""Three servers and two name servers over one Redis, each a process that a test may kill."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from harness import NAMESERVER, ServedProcess, start_server
from redis_server import RedisServer

import wsremote
from wsremote.errors import ConnectionLost, SessionClosed, WsRemoteError

__all__ = ["Cluster", "Load", "eventually"]

LOOKS_UP = "to look up"
REGISTERS = {"WSREMOTE_NAMESERVER_TOKEN": "to register"}
PATIENCE = 40.0


def eventually(holds: Callable[[], object], describe: Callable[[], object]) -> None:
    """Wait until something holds that other processes do."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.05)


class Cluster:
    """The processes, by their names.

    Args:
        folder: For their files.
        stack: Ends them.
        lease: Of the name servers.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack, lease: str) -> None:
        self._folder = folder
        self._stack = stack
        self._lease = lease
        self.redis = RedisServer(folder / "redis")
        stack.callback(self.redis.close)
        self.processes: dict[str, ServedProcess] = {}
        (folder / "whoami.py").write_text("import os\n\ndef pid():\n    return os.getpid()\n")
        for name in ("names-1", "names-2"):
            self.start(name)
        for name in ("server-1", "server-2", "server-3"):
            self.start(name)

    def start(self, name: str) -> None:
        """Start one, on the port that it had if it has run before."""
        before = self.processes.get(name)
        port = 0 if before is None else before.port
        folder = self._folder / f"{name}-{time.monotonic_ns()}"
        folder.mkdir()
        if name.startswith("names"):
            options = ["--store", self.redis.url, "--lease", self._lease]
            command = {"command": NAMESERVER, "environment": REGISTERS}
        else:
            options = ["whoami", "--name", "risk", "--nameserver", self.nameservers]
            command = {"environment": REGISTERS, "path": (self._folder,)}
        served = start_server(*options, folder=folder, port=port, token=LOOKS_UP, **command)  # type: ignore[arg-type]
        self.processes[name] = served
        self._stack.callback(served.stop)

    @property
    def nameservers(self) -> str:
        """Their URLs."""
        return ",".join(
            served.url for name, served in self.processes.items() if name.startswith("names")
        )

    def kill(self, name: str) -> None:
        """As the system does when memory is short."""
        served = self.processes[name]
        served.expected_code = -signal.SIGKILL
        served.process.kill()
        served.process.wait()

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal."""
        for name in names:
            self.processes[name].process.send_signal(number)

    def states(self, nameserver: str) -> list[str]:
        """What one name server says of the servers: the state of each."""
        url = self.processes[nameserver].url
        try:
            found = wsremote.servers(nameserver=url, token=LOOKS_UP)
        except WsRemoteError as error:
            return [f"{type(error).__name__}: {error}"]
        return sorted(each.state for each in found)

    def health(self, nameserver: str) -> tuple[int, str]:
        """What `/healthz` of a name server answers."""
        url = self.processes[nameserver].url.replace("ws", "http", 1)
        try:
            with urlopen(f"{url}/healthz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def expect(self, *states: str) -> None:
        """Wait until both name servers say this."""
        for name in ("names-1", "names-2"):
            eventually(
                lambda: self.states(name) == sorted(states),  # noqa: B023
                lambda: f"{name}: {self.states(name)}, not {states}",  # noqa: B023
            )

    def expect_renewals(self, nameserver: str) -> None:
        """Wait until one name server has heard of all servers again, of none too late."""
        began, count = time.monotonic(), len(self.states(nameserver))

        def renewed() -> bool:
            found = wsremote.servers(nameserver=self.processes[nameserver].url, token=LOOKS_UP)
            assert [each.state for each in found] == ["ready"] * count
            elapsed = time.monotonic() - began
            return all(each.heard is not None and each.heard < elapsed for each in found)

        eventually(renewed, lambda: f"{nameserver} was not heard of")

    @contextlib.contextmanager
    def load(self) -> Iterator[Load]:
        """Clients work while the block runs."""
        load = Load(self)
        try:
            yield load
        finally:
            load.stop()


class Load:
    """Clients that find a server by its name, call it, and leave, over and over.

    What fails is kept, except calls of a session whose server was killed.

    Args:
        cluster: Whose name servers they ask.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopping = False
        self.failures: list[str] = []
        # The processes that have answered, the latest last.
        self.answers: list[int] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopping:
            try:
                session = wsremote.connect(
                    "risk",
                    nameserver=self._cluster.nameservers,
                    token=LOOKS_UP,
                    new=True,
                    timeout=15,
                )
            except Exception as error:
                self.failures.append(f"connect: {error!r}")
                continue
            try:
                with session, session.timeout(5):
                    for _ in range(3):
                        pid = session.modules.whoami.pid()
                    self.answers.append(pid)
            except (ConnectionLost, SessionClosed, TimeoutError):
                continue  # Its server was killed: a session stays where it is.
            except Exception as error:
                self.failures.append(f"call: {error!r}")

    def goes_on(self, answers: int = 10) -> None:
        """Wait for so many more answers."""
        before = len(self.answers)
        eventually(
            lambda: len(self.answers) >= before + answers,
            lambda: f"{len(self.answers) - before} answers; {self.failures}",
        )
        assert not self.failures

    def stop(self) -> None:
        """End the clients."""
        self._stopping = True
        for thread in self._threads:
            thread.join()
