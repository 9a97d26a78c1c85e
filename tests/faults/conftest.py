"""A served package behind a fault proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.background import Begin, threads
from faults.proxy import FaultProxy
from harness import ServedProcess, start_server

import wsremote

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `steady`, whose log has no traceback in the end."""
    served = start_server("steady", folder=tmp_path_factory.mktemp("server"), path=(FOLDER,))
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


@pytest.fixture
def proxy(steady: ServedProcess) -> Iterator[FaultProxy]:
    """What the client of the test connects to."""
    with FaultProxy(steady.url) as proxy:
        yield proxy


@pytest.fixture
def remote(steady: ServedProcess, proxy: FaultProxy) -> Iterator[wsremote.Session]:
    """A session through the proxy."""
    with wsremote.connect(proxy.url, token=steady.token, new=True) as session:
        yield session


@pytest.fixture
def pkg(remote: wsremote.Session) -> Any:
    """The served module, through the proxy."""
    return remote.modules.steady


@pytest.fixture
def direct(steady: ServedProcess) -> Iterator[Any]:
    """The served module as another client has it, whom no fault reaches."""
    with wsremote.connect(steady.url, token=steady.token, new=True) as session:
        yield session.modules.steady


@pytest.fixture
def begin() -> Iterator[Begin]:
    """`begin(function, *args)` calls it in a thread; all threads end with the test."""
    with threads() as begin:
        yield begin
