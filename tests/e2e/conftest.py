"""A served sample package for a whole module of tests, and sessions with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, ServedProcess, start_server

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
