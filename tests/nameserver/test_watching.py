"""Watching the registry: what is told, when, and to whom it costs nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nameserver import watching
from nameserver.records import Change, Entry, Record
from nameserver.view import View
from nameserver.watching import MOST_BEHIND, Ringer, Watch

from .conftest import a_record

PATIENCE = 20.0


def an_entry(revision: int, name: str = "risk", number: int = 1) -> Entry:
    record = Record.from_wire(a_record(name, number))
    return Entry(record, "ready", revision, "owner", 0.0, 0.0, 15.0, None, revision)


class Watched:
    """A view, its ringer, and what changes it."""

    def __init__(self) -> None:
        self.view = View(10)
        self.doubt: str | None = None
        self.ringer = Ringer(self.view, lambda: self.doubt)

    def register(self, name: str = "risk", number: int = 1) -> None:
        """Something changes."""
        revision = self.view.revision + 1
        entry = an_entry(revision, name, number)
        self.view.apply(Change(revision, "registered", name, entry.record.id, entry))

    def watch(self, since: int | None = None, prefix: str = "") -> Watch:
        return Watch(self.ringer, since, prefix)


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    made.ringer.start()
    yield made
    made.ringer.close()


def until_waiting(watched: Watched, number: int = 1) -> None:
    """Return when so many watches wait."""
    while len(watched.ringer._bells) != number:
        pass


def told(item: dict[str, Any]) -> tuple[Any, ...]:
    """What kind of item it is, of which revision, and of what."""
    if item["kind"] == "all":
        return "all", item["revision"], [server["name"] for server in item["servers"]]
    return item["kind"], item["revision"], item["name"]


def test_first_everything_then_what_changes(watched: Watched) -> None:
    """In the order of the revisions, with the entry as it is then."""
    watched.register("risk")
    watch = watched.watch()
    assert told(next(watch)) == ("all", 11, ["risk"])
    watched.register("price", 2)
    watched.view.apply(Change(13, "gone", "risk", f"a{1:031x}", None))
    item = next(watch)
    assert told(item) == ("registered", 12, "price")
    assert item["server"]["urls"] == ["ws://10.0.0.1:2"]
    item = next(watch)
    assert told(item) == ("gone", 13, "risk")
    assert item["server"] is None


def test_a_change_reaches_one_that_waits(watched: Watched) -> None:
    """Without anybody looking now and then: it is rung for."""
    watch = watched.watch(since=10)
    items: list[Any] = []
    thread = threading.Thread(target=lambda: items.append(next(watch)))
    thread.start()
    until_waiting(watched)
    watched.register()
    thread.join(PATIENCE)
    assert [told(item) for item in items] == [("registered", 11, "risk")]


def test_nobody_wakes_while_nothing_changes(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watchers look again only when it rings, and it rings for changes only."""
    looks: list[int] = []
    monkeypatch.setattr(watching, "_LOOK", 0.01)
    take = Watch._take
    monkeypatch.setattr(Watch, "_take", lambda self: looks.append(1) or take(self))
    watches = [watched.watch(since=10) for _ in range(5)]
    threads = [threading.Thread(target=next, args=[watch]) for watch in watches]
    for thread in threads:
        thread.start()
    until_waiting(watched, 5)
    # The ringer has looked ten times since, and the view was fed with nothing.
    for _ in range(10):
        watched.view.apply()
        watched.view.wait(10, 0.01)
    assert len(looks) == 5
    watched.register()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(looks) == 10


def test_since_goes_on_where_another_has_ended(watched: Watched) -> None:
    """What has changed in between comes, and not everything."""
    for number in range(1, 4):
        watched.register(number=number)
    watch = watched.watch(since=12)
    assert told(next(watch)) == ("registered", 13, "risk")


@pytest.mark.parametrize("since", [3, 99])
def test_a_revision_that_is_not_known_gets_everything(watched: Watched, since: int) -> None:
    """One of long ago, and one of another name server."""
    watched.register()
    assert told(next(watched.watch(since=since))) == ("all", 11, ["risk"])


def test_one_who_reads_slowly_gets_everything_again(watched: Watched) -> None:
    """In place of all that has changed meanwhile, which would never end."""
    watch = watched.watch()
    next(watch)
    for _ in range(MOST_BEHIND + 1):
        watched.register()
    assert told(next(watch)) == ("all", 11 + MOST_BEHIND, ["risk"])
    watched.register()
    assert told(next(watch)) == ("registered", 12 + MOST_BEHIND, "risk")


def test_only_names_with_the_prefix_are_told(watched: Watched) -> None:
    """And what changes elsewhere is passed over, and not looked at again."""
    watched.register("price")
    watch = watched.watch(prefix="risk")
    assert told(next(watch)) == ("all", 11, [])
    watched.register("price", 2)
    assert watch._take() is None
    assert watch._revision == 12
    watched.register("risk-eu", 3)
    assert told(next(watch)) == ("registered", 13, "risk-eu")


def test_it_ends_when_the_name_server_does(watched: Watched) -> None:
    """Also for one that waits."""
    watch = watched.watch(since=10)
    items: list[Any] = []
    thread = threading.Thread(target=lambda: items.extend(watch))
    thread.start()
    until_waiting(watched)
    watched.ringer.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert items == []


def test_it_ends_when_it_is_closed(watched: Watched) -> None:
    """By another thread, while one waits; and it leaves no bell behind."""
    watch = watched.watch(since=10)
    items: list[Any] = []
    thread = threading.Thread(target=lambda: items.extend(watch))
    thread.start()
    until_waiting(watched)
    watch.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not watched.ringer._bells


def test_two_threads_do_not_share_one(watched: Watched) -> None:
    """Each would get half of the changes: it is refused, as generators do."""
    watch = watched.watch(since=10)
    thread = threading.Thread(target=lambda: next(watch))
    thread.start()
    until_waiting(watched)
    with pytest.raises(ValueError, match="already"):
        next(watch)
    watched.register()
    thread.join(PATIENCE)


async def test_tasks_await_it_beside_others(watched: Watched) -> None:
    """`async for`; one that is cancelled while it waits loses nothing and leaves nothing."""
    watch = watched.watch()
    assert told(await anext(watch)) == ("all", 10, [])
    task = asyncio.ensure_future(anext(watch))
    await asyncio.to_thread(until_waiting, watched)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not watched.ringer._bells
    task = asyncio.ensure_future(anext(watch))
    await asyncio.to_thread(until_waiting, watched)
    watched.register()
    assert told(await task) == ("registered", 11, "risk")
    watch.close()
    assert [item async for item in watch] == []


@pytest.mark.parametrize("since", [None, 10])
def test_when_a_doubt_is_over_everything_comes_again(
    watched: Watched, since: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has changed, and who waits is woken: only now is it certain who is not there."""
    monkeypatch.setattr(watching, "_LOOK", 0.01)
    watched.doubt = "it was just started"
    watch = watched.watch(since)
    if since is None:
        assert next(watch)["doubt"] == "it was just started"
    watched.register()
    assert told(next(watch)) == ("registered", 11, "risk")
    items: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: items.append(next(watch)))
    thread.start()
    until_waiting(watched)
    # The ringer looks once before: it rings for what it has seen begin.
    watched.view.wait(watched.view.revision, 0.1)
    watched.doubt = None
    thread.join(PATIENCE)
    assert told(items[0]) == ("all", 11, ["risk"])
    assert items[0]["doubt"] is None
    watched.register("price", 2)
    assert told(next(watch)) == ("registered", 12, "price")
