"""What a watch makes of what name servers tell."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.errors import AuthenticationFailed, ConnectionFailed
from wsremote.naming.watching import Watch

from .conftest import NAMESERVERS, Registry

A, B = NAMESERVERS.urls


def server(number: int, **more: Any) -> dict[str, Any]:
    """A record."""
    return {"name": "risk", "id": str(number), "urls": [f"ws://s:{number}"], **more}


def everything(revision: object, *servers: Any, doubt: str | None = None) -> dict[str, Any]:
    """The first item of a stream."""
    return {"kind": "all", "revision": revision, "servers": list(servers), "doubt": doubt}


def change(revision: int, kind: str, number: int, **more: Any) -> dict[str, Any]:
    """An item."""
    found = None if kind == "gone" else server(number, **more)
    return {
        "kind": kind, "revision": revision, "name": "risk", "id": str(number), "server": found,
    }  # fmt: skip


@pytest.fixture
def watch(registry: Registry) -> Watch:
    """Of all names; it waits for nothing."""
    return Watch("", NAMESERVERS, reach=registry.reach, pause=lambda seconds: None)


def told(watch: Watch, count: int) -> list[list[str]]:
    """The next changes, each as a word, its server and that one's state."""
    found = []
    for _, changes in zip(range(count), watch, strict=False):
        found.append([f"{each.kind} {each.server.id} {each.server.state}" for each in changes])
    return found


def test_first_all_and_then_the_changes(watch: Watch, registry: Registry) -> None:
    """As they come; one that changes nothing is none."""
    registry.streams = [
        [
            everything(3, server(1), server(2)),
            change(4, "registered", 3),
            change(5, "changed", 1, state="draining"),
            change(6, "changed", 1, state="draining"),
            change(7, "gone", 2),
            change(8, "gone", 2),
            change(9, "registered", 4),
        ]
    ]
    assert told(watch, 5) == [
        ["registered 1 ready", "registered 2 ready"],
        ["registered 3 ready"],
        ["changed 1 draining"],
        ["gone 2 ready"],
        ["registered 4 ready"],
    ]
    assert sorted(each.id for each in watch.servers.values()) == ["1", "3", "4"]


def test_nobody_at_all_is_told_too(watch: Watch, registry: Registry) -> None:
    """Or who waits for a first line would wait for ever."""
    registry.streams = [[everything(0)]]
    assert told(watch, 1) == [[]]


def test_a_quiet_time_goes_on_from_the_last_revision(watch: Watch, registry: Registry) -> None:
    """On the same session; nothing is told twice."""
    registry.streams = [[everything(3, server(1))], [change(4, "registered", 2)]]
    assert told(watch, 2) == [["registered 1 ready"], ["registered 2 ready"]]
    assert registry.calls == [(A, "watch", (None, "")), (A, "watch", (3, ""))]


def test_another_name_server_tells_all_again(watch: Watch, registry: Registry) -> None:
    """It counts for itself. What has changed meanwhile is told as changes."""
    registry.streams = [
        [everything(30, server(1), server(2)), ConnectionFailed("gone")],
        [everything(7, server(2, state="draining"), server(3))],
    ]
    first, second = told(watch, 2)
    assert first == ["registered 1 ready", "registered 2 ready"]
    assert sorted(second) == ["changed 2 draining", "gone 1 ready", "registered 3 ready"]
    assert registry.calls == [(A, "watch", (None, "")), (B, "watch", (None, ""))]


def test_what_a_name_server_has_not_yet_heard_of_is_not_gone(
    watch: Watch, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """It was just started. When it is certain, who has not come is gone."""
    begun = "it was just started"
    registry.streams = [
        [everything(3, server(1), server(2)), ConnectionFailed("gone")],
        [everything(30, doubt=begun), change(31, "registered", 1), change(32, "registered", 3)],
        [everything(32, server(1), server(3), doubt=begun), everything(33, server(1), server(3))],
    ]
    assert told(watch, 3) == [
        ["registered 1 ready", "registered 2 ready"],
        ["registered 3 ready"],
        ["gone 2 ready"],
    ]
    # Not from the last revision: that the doubt was over would not be heard.
    assert registry.calls[1:] == [(B, "watch", (None, "")), (B, "watch", (None, ""))]
    assert watch.doubt == ""
    assert [record.getMessage() for record in caplog.records] == [
        f"! the list of servers may not be whole: {begun}",
        "= the list of servers is whole",
    ]


def test_what_has_gone_is_told_in_doubt_too(watch: Watch, registry: Registry) -> None:
    """The name server has seen it go."""
    registry.streams = [[everything(3, server(1), doubt="why"), change(4, "gone", 1)]]
    assert told(watch, 2) == [["registered 1 ready"], ["gone 1 ready"]]


def test_at_the_beginning_nobody_is_an_error(watch: Watch, registry: Registry) -> None:
    """Each with its reason."""
    registry.down |= {A, B}
    with pytest.raises(ConnectionFailed, match=f"nobody at {A}; nobody at {B}"):
        told(watch, 1)
    registry.refuses = AuthenticationFailed("wrong")
    with pytest.raises(AuthenticationFailed):
        told(watch, 1)


def test_later_it_is_waited_for(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, and its end."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            registry.down.clear()
            registry.streams = [[everything(1, server(2))]]

    registry.streams = [[everything(3, server(1)), ConnectionFailed("gone")]]
    registry.down.add(B)
    watch = Watch("", NAMESERVERS, reach=registry.reach, pause=pause)
    changes = iter(watch)
    next(changes)
    registry.down.add(A)
    assert sorted(each.kind for each in next(changes)) == ["gone", "registered"]
    assert 0.0 <= max(pauses) <= 5.0
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "! no changes are seen for now",
        "= changes are seen again, at ws",
    ]


@pytest.mark.parametrize(
    "item", [None, 7, {}, {"kind": "all"}, everything("1"), {"revision": "1", "kind": "all"}]
)
def test_what_cannot_be_read_ends_a_session(watch: Watch, registry: Registry, item: Any) -> None:
    """The next name server may be of the right version."""
    registry.streams = [[item], [everything(1, server(1))]]
    assert told(watch, 1) == [["registered 1 ready"]]
    assert registry.calls[-1][0] == B
    assert registry.open <= 1
