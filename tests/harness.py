"""Real servers in processes of their own, for the end-to-end tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

import wsremote

ROOT = Path(__file__).parents[1]
SERVE = (sys.executable, "-m", "wsremote", "serve")
NAMESERVER = (sys.executable, "-m", "nameserver")
LAST_BANNER_LINE = "Ctrl-C to stop"


@dataclass
class ServedProcess:
    """A `wsremote serve` that listens.

    Attributes:
        errors: The file that takes its stderr.
        printed: Its lines on stdout so far, the banner first.
        reader: The thread that reads them.
        expected_code: The exit code that `stop` wants to see.
    """

    url: str
    token: str
    process: subprocess.Popen[str]
    errors: Path
    printed: list[str] = field(default_factory=list)
    reader: threading.Thread = field(default_factory=threading.Thread)
    expected_code: int = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End it with SIGTERM, and see that it ends cleanly."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join()
        assert code == self.expected_code, (
            f"the server ended with {code}:\n{self.errors.read_text()}"
        )


def start_server(
    *arguments: str,
    folder: Path,
    port: int = 0,
    token: str | None = "of the tests",
    path: tuple[Path, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
    command: tuple[str, ...] = SERVE,
) -> ServedProcess:
    """Run `wsremote serve` in `folder` and return when it has printed its banner.

    Args:
        command: Another than that, such as `NAMESERVER`.
        port: That of a server before it, which has ended; 0 for a free one.
        token: None has the server make one; then `ServedProcess.token` is empty.
        path: Folders for the server's `PYTHONPATH`.
    """
    ready_file, errors = folder / "ready.json", folder / "stderr"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WSREMOTE_")}
    ours["XDG_STATE_HOME"] = str(folder / "state")
    ours["PYTHONPATH"] = os.pathsep.join(map(str, [ROOT, *path]))
    if token is not None:
        ours["WSREMOTE_TOKEN"] = token
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *arguments, "--port", str(port), "--ready-file", str(ready_file)],
            cwd=folder,
            env={**ours, **environment},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    served = ServedProcess("", token or "", process, errors)
    assert process.stdout is not None
    for line in process.stdout:
        served.printed.append(line.rstrip("\n"))
        if LAST_BANNER_LINE in line:
            break
    else:
        process.wait(10)
        process.stdout.close()
        pytest.fail(f"the server did not start:\n{errors.read_text()}")
    ready = json.loads(ready_file.read_text())
    assert ready["pid"] == process.pid
    served.url = ready["url"]
    served.reader = threading.Thread(target=drain, args=[served], daemon=True)
    served.reader.start()
    return served


def bare_client(folder: Path) -> tuple[list[str], dict[str, str]]:
    """A Python that can import wsremote, its dependencies and the standard library only.

    Args:
        folder: An empty one, to hold links to them.

    Returns:
        The start of a command line, and the environment for it.
    """
    for name in ("click", "cloudpickle", "msgpack", "websockets"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        (folder / name).symlink_to(Path(spec.origin).parent)
    (folder / "wsremote").symlink_to(ROOT / "wsremote")
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    # -S: without the site-packages of the Python that runs the tests.
    return [sys.executable, "-S", "-W", "error"], environment


def run(client: subprocess.Popen[str], script: str) -> None:
    """Give a script to the fixture `client`, a Python of its own."""
    assert client.stdin is not None
    client.stdin.write(f"exec({script!r})\n")
    client.stdin.flush()


def expect(client: subprocess.Popen[str], line: str) -> None:
    """Wait for the fixture `client` to print a line."""
    assert client.stdout is not None
    assert client.stdout.readline().rstrip("\n") == line


def drain(served: ServedProcess) -> None:
    """Keep what the server prints, so that its pipe never fills."""
    assert served.process.stdout is not None
    with served.process.stdout as lines:
        served.printed.extend(line.rstrip("\n") for line in lines)


Serve = Callable[..., ServedProcess]
"""The fixture `serve`."""

OpenSession = Callable[[ServedProcess], "wsremote.Session"]
"""The fixture `session`."""
