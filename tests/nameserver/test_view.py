"""A name server's own picture of the registry."""

from __future__ import annotations

import threading

import pytest
from stores import IDLE, entry, number_of

from nameserver import view as module
from nameserver.records import Change, Entry
from nameserver.view import View


def came(revision: int, name: str = "risk", server: int | None = None) -> Change:
    """A server has registered, with a number of its own if none is given."""
    server = revision if server is None else server
    new = entry(name, server, fence=revision, revision=revision)
    return Change(revision, "registered", name, number_of(server), new)


def went(revision: int, server: int, name: str = "risk") -> Change:
    """A server is gone."""
    return Change(revision, "gone", name, number_of(server), None)


def revisions(changes: list[Change] | None) -> list[int] | None:
    return None if changes is None else [change.revision for change in changes]


def test_a_view_follows_changes() -> None:
    """Names without entries are none."""
    view = View()
    view.apply(came(1), came(2, "prices"), came(3))
    assert (len(view), view.revision, view.names()) == (3, 3, ["prices", "risk"])
    view.apply(went(4, 1), went(5, 2, "prices"))
    assert (len(view), view.names()) == (1, ["risk"])
    assert [each.fence for each in view.named("risk")] == [3]
    assert view.named("prices") == []
    assert view.get("risk", number_of(3)) is view.named("risk")[0]
    assert view.get("risk", number_of(1)) is view.get("x", number_of(1)) is None


def test_entries_are_in_order() -> None:
    """By name, the oldest of a name first; of names with a prefix."""
    view = View()
    view.apply(came(1, "b"), came(2, "ab"), came(3, "b"), came(4, "ac"), came(5, "ab", 2))
    assert [(each.record.name, each.fence) for each in view.entries()] == [
        ("ab", 5),
        ("ac", 4),
        ("b", 1),
        ("b", 3),
    ]
    assert view.snapshot("a") == (5, view.entries("a"))
    assert [each.record.name for each in view.entries("a")] == ["ab", "ac"]


def test_what_comes_twice_is_taken_once() -> None:
    """A hint and a look at the truth may tell the same, in either order."""
    view = View()
    view.apply(came(1), came(2))
    view.apply(went(3, 1))
    view.apply(came(1), came(2), went(3, 1))
    assert [each.fence for each in view.named("risk")] == [2]
    assert revisions(view.changes_since(0)) == [1, 2, 3]


def test_the_end_of_what_is_not_there_is_a_change_all_the_same() -> None:
    """A watcher that has taken all entries from elsewhere may know it."""
    view = View()
    view.apply(went(1, 5))
    assert revisions(view.changes_since(0)) == [1]


# ---- changes since ---------------------------------------------------------------------


def test_changes_since_a_revision() -> None:
    """All of them, in their order; none if there is none. Revisions may jump."""
    view = View(10)
    view.apply(came(11), came(15), came(16))
    assert revisions(view.changes_since(10)) == [11, 15, 16]
    assert revisions(view.changes_since(12)) == [15, 16]
    assert view.changes_since(16) == []


@pytest.mark.parametrize("revision", [9, 0, -1, 17])
def test_changes_of_another_registry_are_not_known(revision: int) -> None:
    """From before this one began, or of one that was further."""
    view = View(10)
    view.apply(came(11), came(16))
    assert view.changes_since(revision) is None


def test_changes_long_ago_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never some of them: who is told nine of ten has a wrong picture for ever."""
    monkeypatch.setattr(module, "MOST_CHANGES", 3)
    view = View()
    view.apply(*map(came, range(1, 6)))
    assert view.changes_since(1) is None
    assert revisions(view.changes_since(2)) == [3, 4, 5]


def test_after_a_reset_everything_is_to_be_taken_again() -> None:
    """The changes in between are not known, also if the revision is the same."""
    view = View()
    view.apply(came(1), came(2))
    entries = [entry("new", 9, fence=9)]
    view.reset(9, entries)
    assert view.snapshot() == (9, entries)
    assert view.names() == ["new"]
    assert view.changes_since(2) is None
    assert view.changes_since(9) == []


def test_what_was_before_a_reset_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when there are many changes after it."""
    monkeypatch.setattr(module, "MOST_CHANGES", 3)
    view = View()
    view.apply(*map(came, range(1, 4)))
    view.reset(9, [])
    view.apply(came(10), came(11))
    assert [view.changes_since(revision) for revision in range(9)] == [None] * 9
    assert revisions(view.changes_since(9)) == [10, 11]


# ---- renewals --------------------------------------------------------------------------


def test_a_renewal_is_no_change() -> None:
    """Load and times are new, all else is as it was."""
    view = View()
    view.apply(came(1))
    (before,) = view.named("risk")
    view.renewed("risk", number_of(1), IDLE, 20.0, 35.0)
    (after,) = view.named("risk")
    assert (after.load, after.renewed_at, after.expires_at) == (IDLE, 20.0, 35.0)
    assert after == Entry(
        before.record,
        before.state,
        before.fence,
        before.owner,
        before.registered_at,
        20.0,
        35.0,
        IDLE,
        before.revision,
    )
    assert view.revision == 1
    assert before.load is None  # who has it in hand sees no half of a renewal


def test_a_renewal_of_what_is_gone_brings_nothing_back() -> None:
    """It was on its way."""
    view = View()
    view.apply(came(1), went(2, 1))
    view.renewed("risk", number_of(1), IDLE, 20.0, 35.0)
    view.renewed("other", number_of(1), IDLE, 20.0, 35.0)
    assert view.entries() == []


# ---- waiting ---------------------------------------------------------------------------


def test_who_waits_is_woken_by_a_change() -> None:
    """By any change, and by a reset; each of many."""
    for change in (lambda view: view.apply(came(1)), lambda view: view.reset(1, [])):
        view = View()
        woken: list[bool] = []
        threads = [
            threading.Thread(target=lambda: woken.append(view.wait(0, 50.0)))  # noqa: B023
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        change(view)
        for thread in threads:
            thread.join()
        assert woken == [True] * 5


def test_nobody_waits_for_what_is_there() -> None:
    """The change came before the question."""
    view = View()
    view.apply(came(1))
    assert view.wait(0, 50.0)


def test_waiting_ends() -> None:
    """A renewal is no reason to wake."""
    view = View()
    view.apply(came(1))
    view.renewed("risk", number_of(1), IDLE, 20.0, 35.0)
    assert not view.wait(1, 0.01)
