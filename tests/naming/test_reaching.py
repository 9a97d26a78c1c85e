"""Which server of a name is tried next, how long, and what is said in the end."""

from __future__ import annotations

import pytest

from wsremote.errors import AuthenticationFailed, ConnectionFailed, NameNotFound
from wsremote.naming.information import ServerInfo
from wsremote.naming.lookup import Found
from wsremote.naming.reaching import Attempts

SERVERS = [
    ServerInfo("risk", "1", ("ws://a:1", "ws://b:1")),
    ServerInfo("risk", "2", ("ws://b:1", "ws://c:1")),
]


class Clock:
    """Says what it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_url_once_and_each_gets_its_share_of_the_time() -> None:
    """A silent one leaves time for the others; what one does not need the others have."""
    clock = Clock()
    attempts = Attempts("risk", Found(SERVERS), 9.0, clock)
    shares = []
    for (url, _, seconds), took in zip(attempts, [3.0, 0.0, 20.0], strict=True):
        shares.append((url, seconds))
        clock.now += took
        attempts.failed(ConnectionFailed("no"))
    assert shares == [("ws://a:1", 3.0), ("ws://b:1", 3.0), ("ws://c:1", 6.0)]


def test_each_failure_names_the_server_and_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """In the log when it happens, and all of them in the error."""
    attempts = Attempts("risk", Found(SERVERS), 9.0)
    reasons = iter(["nothing listens at ws://a:1", "another token", "is full"])
    for _ in attempts:
        attempts.failed(ConnectionFailed(next(reasons)))
    error = attempts.error()
    first, second, third = (record.getMessage() for record in caplog.records)
    assert first == (
        "! risk: ws://a:1 cannot be used: nothing listens at ws://a:1; trying ws://b:1"
    )
    assert second.endswith("another token; trying ws://c:1")
    assert third == "! risk: ws://c:1 cannot be used: is full"
    assert str(error) == (
        "none of the 3 servers of risk can be used: nothing listens at ws://a:1; ws://b:1: another"
        " token; ws://c:1: is full"
    )


def test_the_last_of_the_first_names_the_one_that_is_asked_for_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A name server gives three at first, and more when these are of no use."""
    attempts = Attempts("risk", Found(SERVERS[:1]), 9.0)
    for _ in attempts:
        attempts.failed(ConnectionFailed("no"))
    assert attempts.add([ServerInfo("risk", "3", ("ws://d:1",))])
    assert [url for url, _, _ in attempts if not attempts.failed(ConnectionFailed("no"))] == [
        "ws://d:1"
    ]
    attempts.error()
    assert [record.getMessage() for record in caplog.records] == [
        "! risk: ws://a:1 cannot be used: no; trying ws://b:1",
        "! risk: ws://b:1 cannot be used: no; trying ws://d:1",
        "! risk: ws://d:1 cannot be used: no",
    ]


def test_an_error_of_many_is_short() -> None:
    """As many as a name server may make up, with URLs as long as they may be."""
    urls = [f"ws://{'a' * 60}:{number}/{'x' * 1900}" for number in range(1, 129)]
    attempts = Attempts("risk", Found([ServerInfo("risk", url, (url,)) for url in urls]), 9.0)
    for url, _, _ in attempts:
        attempts.failed(ConnectionFailed(f"{url}: no"))
    assert len(str(attempts.error())) < 4100
    few = Attempts("risk", Found([ServerInfo("risk", "1", tuple("abcdefghijkl"))]), 9.0)
    for _ in few:
        few.failed(ConnectionFailed("no"))
    assert str(few.error()).endswith("g: no; h: no; and 4 more")


def test_a_token_that_all_refuse_is_wrong() -> None:
    """If only some do, they may be impostors."""
    attempts = Attempts("risk", Found(SERVERS[:1]), 9.0)
    for _ in attempts:
        attempts.failed(AuthenticationFailed("no"))
    assert type(attempts.error()) is AuthenticationFailed
    mixed = Attempts("risk", Found(SERVERS[:1]), 9.0)
    for _, error in zip(mixed, [AuthenticationFailed("no"), OSError("down")], strict=True):
        mixed.failed(error)
    assert type(mixed.error()) is ConnectionFailed


def test_what_a_stranger_says_is_only_text(caplog: pytest.LogCaptureFixture) -> None:
    """A server that was refused may have said it: no new lines, nothing that moves a cursor."""
    attempts = Attempts("risk", Found(SERVERS[:1]), 9.0)
    for _ in attempts:
        attempts.failed(ConnectionFailed("no\n\x1b[2Jentry" + "x" * 10_000))
    assert str(attempts.error()).isprintable() and len(str(attempts.error())) < 5000
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_what_name_servers_doubt_is_said_if_nothing_is_where_it_was() -> None:
    """It is a name that is not found, as they have said."""
    doubt = NameNotFound("No server has the name. That is not certain.", is_certain=False)
    attempts = Attempts("risk", Found(SERVERS[:1], doubt), 9.0)
    for url, _, _ in attempts:
        attempts.failed(ConnectionFailed(f"nothing listens at {url}"))
    error = attempts.error()
    assert isinstance(error, NameNotFound) and not error.is_certain
    assert str(error) == (
        "No server has the name. That is not certain. Where it was before, none of the 2 servers of"
        " risk can be used: nothing listens at ws://a:1; nothing listens at ws://b:1"
    )
