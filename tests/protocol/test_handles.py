"""Tests of protocol/handles.py."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from wsremote.errors import LimitExceeded, RemoteProtocolError, StaleHandle
from wsremote.protocol.handles import HandleTable


class Thing:
    """Something to lend, that tells when it goes."""

    def __init__(self, when_gone: Callable[[], object] = lambda: None) -> None:
        self.when_gone = when_gone

    def __del__(self) -> None:
        self.when_gone()


@pytest.fixture
def table() -> HandleTable:
    """An empty table."""
    return HandleTable(threading.RLock())


def test_the_same_object_has_the_same_handle(table: HandleTable) -> None:
    """Objects are told apart by identity, not by equality."""
    one, equal = [1], [1]
    assert table.lend(one) == table.lend(one) == 1
    assert table.lend(equal) == 2
    assert table.lookup(1) is one
    assert len(table) == 2
    assert 2 in table
    assert 3 not in table


def test_a_lent_object_lives_until_its_last_sending_is_released(table: HandleTable) -> None:
    """The table keeps the object; a release that crosses a sending does not free it."""
    thing = Thing()
    alive = weakref.ref(thing)
    handle = table.lend(thing)
    table.lend(thing)
    del thing
    assert table.release(handle, 1) is False
    assert table.lookup(handle) is alive()
    assert table.release(handle, 1) is True
    assert alive() is None
    assert len(table) == 0


def test_handles_are_never_used_twice(table: HandleTable) -> None:
    """Not after a release, and not after clear()."""
    thing = Thing()
    seen = [table.lend(thing)]
    table.release(seen[0], 1)
    seen.append(table.lend(thing))
    table.clear()
    seen.append(table.lend(thing))
    assert seen == [1, 2, 3]
    assert len(table) == 1


def test_a_stale_handle_reads_like_one_that_never_was(table: HandleTable) -> None:
    """The error says what happened, and does not tell released from foreign handles."""
    handle = table.lend(Thing())
    table.release(handle, 1)
    with pytest.raises(StaleHandle, match="no object with handle 1: it was released") as released:
        table.lookup(handle)
    with pytest.raises(StaleHandle) as unknown:
        table.lookup(99)
    assert str(released.value).replace("1", "99") == str(unknown.value)
    with pytest.raises(StaleHandle):
        table.class_number(handle)


def test_a_late_release_frees_nothing(table: HandleTable) -> None:
    """Releasing a handle that is not held changes nothing and ends no session."""
    table.lend(Thing())
    assert table.release(2, 1) is False
    assert len(table) == 1


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_count_that_was_never_sent_breaks_the_protocol(table: HandleTable, count: int) -> None:
    """A release of more sendings than there were is refused, and changes nothing."""
    thing = Thing()
    table.lend(thing)
    table.lend(thing)
    with pytest.raises(RemoteProtocolError, match=r"handle 1 .* 2 sendings"):
        table.release(1, count)
    assert table.release(1, 2) is True


def test_the_class_number_is_that_of_the_first_sending(table: HandleTable) -> None:
    """A handle keeps the class number it was made with."""
    thing = Thing()
    handle = table.lend(thing, 7)
    table.lend(thing, 8)
    assert table.class_number(handle) == 7


def test_the_limit_names_its_flag_and_lets_known_objects_pass() -> None:
    """At the limit a new object is refused; one that is held already is not."""
    table = HandleTable(threading.RLock(), limit=2)
    things = [Thing(), Thing()]
    for thing in things:
        table.lend(thing)
    with pytest.raises(LimitExceeded, match=r"holds 2 remote objects.*--max-handles"):
        table.lend(Thing())
    assert table.lend(things[0]) == 1
    table.release(2, 1)
    assert table.lend(Thing()) == 3


def test_finalizers_may_use_the_table(table: HandleTable) -> None:
    """An object that lends another when it goes neither deadlocks nor upsets the table."""
    later = Thing()
    table.lend(Thing(lambda: table.lend(later)))
    table.release(1, 1)
    assert table.lookup(2) is later
    table.lend(Thing(lambda: table.lend(later)))
    table.clear()
    gc.collect()
    assert table.lookup(4) is later
    assert len(table) == 1


def test_lanes_may_lend_and_release_at_once(table: HandleTable) -> None:
    """Many threads that lend and release the same objects leave nothing behind."""
    things = [Thing() for _ in range(3)]
    wrong: list[object] = []

    def lane() -> None:
        for turn in range(3000):
            thing = things[turn % 3]
            try:
                handle = table.lend(thing)
                if table.lookup(handle) is not thing:
                    wrong.append(handle)
                table.release(handle, 1)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=lane) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(table) == 0


def test_what_is_held_weakly_dies_here_and_says_so(table: HandleTable) -> None:
    """The entry stays until it is released, and stands for nothing."""
    died: list[int] = []
    thing = Thing()
    handle = table.lend(thing)
    assert not table.weaken(handle, died.append)
    assert table.lookup(handle) is thing
    assert table.lend(thing) == handle
    del thing
    gc.collect()
    assert died == [handle]
    assert table.peek(handle) is None
    with pytest.raises(StaleHandle):
        table.lookup(handle)
    assert table.lend(Thing()) != handle
    assert table.release(handle, 2)
    assert len(table) == 1


def test_what_is_held_as_usual_again_lives_on(table: HandleTable) -> None:
    """As if it had never been weak."""
    died: list[int] = []
    thing = Thing()
    handle = table.lend(thing)
    table.weaken(handle, died.append)
    table.strengthen(handle)
    watch = weakref.ref(thing)
    del thing
    gc.collect()
    assert watch() is not None
    assert died == []
    assert table.release(handle, 1)


def test_what_has_no_weak_references_is_gone_at_once(table: HandleTable) -> None:
    """Nothing but the table would have kept it."""
    died: list[int] = []
    handle = table.lend([1])
    assert table.weaken(handle, died.append)
    assert died == [handle]
