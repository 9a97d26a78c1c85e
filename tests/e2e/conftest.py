"""A served sample package for a whole module of tests, and sessions with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, ServedProcess, start_server
from named import Names

import wsremote


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `samplepkg` and some of the standard library."""
    names = ("samplepkg", "time", "json", "queue", "sqlite3")
    folder = tmp_path_factory.mktemp("server")
    served = start_server(*names, folder=folder, path=(ROOT / "tests", Path(__file__).parent))
    yield served
    served.stop()


@pytest.fixture
def remote(sample: ServedProcess) -> Iterator[wsremote.Session]:
    """A session of its own with that server; the server holds nothing of it afterwards."""
    session = wsremote.connect(sample.url, token=sample.token, new=True)
    yield session
    session.close()


@pytest.fixture
def pkg(remote: wsremote.Session) -> Any:
    """The served `samplepkg`."""
    return remote.modules.samplepkg


@pytest.fixture
def client(sample: ServedProcess) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs the script that `harness.run` gives it, unbuffered."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WSREMOTE_URL": sample.url,
        "WSREMOTE_TOKEN": sample.token,
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", "import sys; exec(sys.stdin.readline())"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Names]:
    """No process yet."""
    with contextlib.ExitStack() as stack:
        yield Names(tmp_path, stack)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    """With a name server for the tests that do it no harm."""
    with contextlib.ExitStack() as stack:
        shared = Names(tmp_path_factory.mktemp("names"), stack)
        shared.nameserver()
        yield shared


@pytest.fixture
def here(shared: Names, tmp_path: Path) -> Iterator[Names]:
    """The shared name server; servers end with the test."""
    with contextlib.ExitStack() as stack:
        mine = Names(tmp_path, stack)
        mine.nameservers = shared.nameservers
        yield mine
