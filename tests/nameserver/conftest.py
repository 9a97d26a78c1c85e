"""A name server in the process of the test."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisStage

import wsremote
from nameserver import service
from nameserver.access import Access, Grant
from nameserver.at_once import answered_at_once
from nameserver.memory_store import MemoryStore
from nameserver.pages import pages_of
from nameserver.redis_store import RedisStore
from wsremote.server.config import ServerConfig
from wsremote.server.server import Server

LOOKING = "which only looks up"
RISK = "of the risk team"
ALL = "for all names"
GRANTS = [Grant(RISK, ("risk", "risk-*")), Grant(ALL, ("*",))]
LOAD = {"sessions": 1, "running": 0, "cpu": 0.5, "memory": 1000}


def a_record(name: str = "risk", number: int = 1, **fields: Any) -> dict[str, Any]:
    """What a server says of itself."""
    return {
        "name": name,
        "id": f"a{number:031x}",
        "urls": [f"ws://10.0.0.1:{number}"],
        "version": "1.2",
        "wsremote": "0.1",
        "python": "3.11",
        "packages": {"riskpkg": "1.2"},
        "tree": "",
        "tags": [],
        "zone": "",
        "capacity": 10,
        **fields,
    }


class InProcess:
    """A name server of this process.

    Attributes:
        open: `open(token)` gives a session with it.
    """

    def __init__(self, store: MemoryStore, server: Server, answers: service.Service) -> None:
        self.store = store
        self.server = server
        self.service = answers
        self.url = server.url

    def open(self, token: str) -> wsremote.Session:
        """A session of its own."""
        return wsremote.connect(self.url, token=token, new=True)

    def page(self, path: str = "/") -> str:
        """The text of a page."""
        asked = urllib.request.Request(
            self.url.replace("ws", "http", 1) + path,
            headers={"Authorization": f"Bearer {LOOKING}"},
        )
        with urllib.request.urlopen(asked, timeout=10.0) as answer:
            text: str = answer.read().decode()
            return text


@pytest.fixture
def running(tmp_path: Path) -> Iterator[InProcess]:
    """The name server; it ends with the test."""
    store = MemoryStore(tmp_path / "nameserver.sqlite")
    access = Access(GRANTS)
    config = ServerConfig(port=0, token=LOOKING, further_tokens=access.tokens, **service.SETTINGS)
    answers = service.start(store, access)
    pages = pages_of(answers, secure=False)
    at_once = answered_at_once(answers)
    server = Server(["nameserver"], config, pages=pages, health=store.healthy, at_once=at_once)
    store.start()
    server.start()
    try:
        yield InProcess(store, server, answers)
    finally:
        server.close()
        service.stop()
        store.close()


Ask = Callable[[str], Any]


@pytest.fixture
def ask(running: InProcess) -> Iterator[Ask]:
    """`ask(token)` gives the module `nameserver` as a client with that token has it."""
    sessions: dict[str, wsremote.Session] = {}

    def module(token: str) -> Any:
        if token not in sessions:
            sessions[token] = running.open(token)
        return sessions[token].modules.nameserver

    yield module
    for session in sessions.values():
        session.close()


# ---- of tests with a `stage` of their own


@pytest.fixture
def store(stage: RedisStage) -> RedisStore:
    """The store of one name server."""
    return stage.store


@pytest.fixture
def other(stage: RedisStage) -> Iterator[RedisStore]:
    """That of a second one."""
    made = stage.open()
    yield made
    made.close()
