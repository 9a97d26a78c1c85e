"""A Redis server of a test: a process of its own on a free port, that keeps nothing on disk."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores import Stage

from nameserver.redis_store import RedisStore

__all__ = ["RedisServer", "RedisStage", "redis_running"]

_PATIENCE = 10.0


def free_port() -> int:
    """One that nobody listens on, a moment ago.

    Below those that the system gives to clients: a connection of another test takes none of them.
    """
    while True:
        port = secrets.randbelow(10_000) + 20_000
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class RedisServer:
    """A `redis-server`, which may be killed and started again on its port.

    Args:
        folder: Where it runs.
        settings: More of its command line.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.start(*settings)

    @property
    def url(self) -> str:
        """For `--store`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *settings: str) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            port = self.port or free_port()
            if self._begin(port, settings, deadline):
                self.port = port
                return
            assert not self.port or time.monotonic() < deadline, self.log

    def _begin(self, port: int, settings: tuple[str, ...], deadline: float) -> bool:
        """Whether it has come up: on a new port, another process may have been quicker."""
        self._folder.mkdir(exist_ok=True)
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server is not installed: apt-get install redis-server")
        options = {"port": port, "bind": "127.0.0.1", "dir": self._folder, "appendonly": "no"}
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, *arguments, "--save", "", *settings], stdout=log, stderr=log
            )
        while process.poll() is None and time.monotonic() < deadline:
            # Any answer will do: it may want a password, or be loading.
            with contextlib.suppress(OSError):
                if self.ask("PING", port=port):
                    self._process = process
                    return True
            time.sleep(0.01)
        process.kill()
        process.wait()
        return False

    @property
    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text()

    def ask(self, *words: str, port: int = 0) -> bytes:
        """One command; gives the first part of the answer as it came."""
        with socket.create_connection(("127.0.0.1", port or self.port), _PATIENCE) as plug:
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            plug.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
            return plug.recv(65536)

    def kill(self) -> None:
        """End it at once, as a crash does; what it knew is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self.kill()


@contextlib.contextmanager
def redis_running(folder: Path, *settings: str) -> Iterator[RedisServer]:
    """One that ends with the block."""
    server = RedisServer(folder / "redis", *settings)
    try:
        yield server
    finally:
        server.close()


class RedisStage(Stage):
    """A store in a Redis of its own. Its time is that of Redis: passing it takes as long.

    Args:
        folder: For Redis.
        settings: Of the store.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.ttl = 1.5
        self._settings: dict[str, Any] = {"ttl": self.ttl, "every": self.ttl / 3, **settings}
        self.redis = RedisServer(folder / "redis")
        self.store = self.open()

    def open(self) -> RedisStore:
        """One more store on the same Redis."""
        store = RedisStore(self.redis.url, **self._settings)
        store.start()
        return store

    def pass_time(self, ttls: float) -> None:
        """Let time pass."""
        time.sleep(ttls * self.ttl)

    def restart(self) -> None:
        """Another store, of a name server that was started again."""
        self.store.close()
        self.store = self.open()

    def close(self) -> None:
        """End."""
        self.store.close()
        self.redis.close()
