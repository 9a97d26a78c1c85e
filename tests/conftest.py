"""Fixtures that tests of several rooms use."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import OpenSession, Serve, ServedProcess, start_server
from local_server import Local, RawClient, serving

import wsremote

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background of a script. What tests start would not hear Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def isolated_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's settings, or a tree that another test has cached."""
    for name in [name for name in os.environ if name.startswith("WSREMOTE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WSREMOTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WSREMOTE_STATE", str(tmp_path / "state"))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve("pkg", "--flag", path=(folder,))` starts a server; all end with the test."""
    with contextlib.ExitStack() as stack:
        folders = (tmp_path / f"server-{number}" for number in itertools.count())

        def start(*arguments: str, **settings: Any) -> ServedProcess:
            folder = next(folders)
            folder.mkdir()
            served = start_server(*arguments, folder=folder, **settings)
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture
def session() -> Iterator[OpenSession]:
    """`session(served)` opens a session of its own; all close with the test."""
    with contextlib.ExitStack() as stack:

        def connect(served: ServedProcess) -> wsremote.Session:
            opened = wsremote.connect(served.url, token=served.token, new=True)
            stack.callback(opened.close)
            return opened

        yield connect


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process."""
    with serving(tmp_path) as local:
        yield local


@pytest.fixture
def raw(local: Local) -> Iterator[RawClient]:
    """A client that speaks message by message."""
    with contextlib.closing(RawClient(local)) as client:
        yield client
