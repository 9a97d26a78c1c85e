"""Which results leave in the short form, and that all arrive as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import TOKEN, Local, serving

import wsremote
from wsremote.protocol.messages import SMALL_RESULT
from wsremote.transport.connection import SocketConnection

CALLS = 20
"""Made one after the other, of which the lane's thread serves most by itself."""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process."""
    with serving(tmp_path) as local:
        exec("def make(text):\n return eval(text)", vars(local.module))
        local.module.KEPT = [1, [2]]
        yield local


class Sent:
    """What the servers of this process send; the answers to small calls in which form."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.short = 0
        send = SocketConnection.send

        def noted(connection: SocketConnection, data: bytes) -> None:
            self.short += not connection._masks and data[1] == SMALL_RESULT
            send(connection, data)

        monkeypatch.setattr(SocketConnection, "send", noted)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What is sent from now on."""
    return Sent(monkeypatch)


def made(pkg: Any, text: str) -> list[Any]:
    """What calls give, one after the other, once the lane's thread reads them itself."""
    return [pkg.make(text) for _ in range(CALLS)]


SHORT = [
    *("5", "[]", "{}", "[1, None, True, 2.5, b'x']", "[1, [2, {'a': ['x', {}]}]]"),
    *("{'a': 1, 'b': {'c': []}}", "list(range(99))", "['x' * 900] * 16", "[2**64 - 1, -2**63]"),
]
LONG = [
    *("(1,)", "[(1,)]", "{1: 2}", "[{None: [1]}]", "[2**64]", "[{'a': {1}}]", "list(range(200))"),
    *("['x' * 900] * 20", "KEPT", "[KEPT]", "[KEPT[1]]", "[[]] * 2", "[KEPT, KEPT]"),
]


@pytest.mark.parametrize("text", SHORT)
def test_small_plain_results_leave_in_the_short_form(text: str, local: Local, sent: Sent) -> None:
    """Scalars, and a few of them in lists and dicts that nothing else refers to."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        results = made(getattr(session.modules, local.name), text)
    assert results == [eval(text)] * CALLS
    assert sent.short > CALLS // 2
    assert len({id(result) for result in results}) == CALLS or not isinstance(results[0], list)


@pytest.mark.parametrize("text", LONG)
def test_others_leave_in_the_long_form(text: str, local: Local, sent: Sent) -> None:
    """Of other types, too many, too large, or owned: they arrive as ever."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        pkg = getattr(session.modules, local.name)
        made(pkg, "5")
        sent.short = 0
        results = made(pkg, text)
        assert results == [eval(text, vars(local.module))] * CALLS
        assert sent.short == 0
        if "KEPT" in text:
            local.module.KEPT[1].append(3)
            assert pkg.make("5") == 5
            assert results == [eval(text, vars(local.module))] * CALLS


def test_text_with_lone_surrogates(local: Local) -> None:
    """In a list as by itself, and the session goes on."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        pkg = getattr(session.modules, local.name)
        for text in ("'\\ud83d'", "['\\ud83d']", "{'\\ud83d': 1}"):
            assert made(pkg, text) == [eval(text)] * CALLS


def test_changes_of_what_is_watched_come_first(local: Local) -> None:
    """A small list is not seen before the change of a mirror that its call has made."""
    exec("def grow():\n KEPT.append(0)\n return [len(KEPT)]", vars(local.module))
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        pkg = getattr(session.modules, local.name)
        mirror = pkg.KEPT
        for size in range(3, 3 + CALLS):
            assert pkg.grow() == [size]
            assert len(mirror) == size
