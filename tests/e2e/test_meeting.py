"""Containers that both sides change while a call runs, and what is called on functions."""

from __future__ import annotations

from typing import Any

import pytest

import wsremote


def test_a_callback_gets_the_mirror_that_is_here(pkg: Any) -> None:
    """It is the same object, what is written into it and what others write both stay."""
    keeper = pkg.meeting.Keeper()
    items = keeper.items

    def meet(given: list[Any]) -> bool:
        given.append(2)
        keeper.push(3)
        return given is items and given == [1, 2, 3]

    assert keeper.show(meet)
    assert items == [1, 2, 3] == keeper.items


def test_a_copy_that_both_sides_change_is_told(pkg: Any) -> None:
    """A callback's argument: the server keeps what happened there, and its code is told."""
    keeper = pkg.meeting.Keeper()

    def meet(given: list[Any]) -> None:
        given.append(2)
        keeper.push(3)

    with pytest.raises(wsremote.ChangeConflict, match="a list that it was given"):
        keeper.show(meet)
    assert keeper.items == [1, 3]


def test_an_argument_that_both_sides_change_is_told(pkg: Any) -> None:
    """What the client did stays; a call that fails says it in a note."""
    items: list[Any] = []
    with pytest.raises(wsremote.ChangeConflict, match="a list that it was given"):
        pkg.meeting.fill(items, lambda: items.append("here"))
    assert items == ["here"]

    def fail() -> None:
        items.append("again")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        pkg.meeting.fill(items, fail)
    assert "a list that it was given" in caught.value.__notes__[0]
    assert items == ["here", "again"]


def test_only_what_both_changed_is_in_conflict(pkg: Any) -> None:
    """Other containers of the same call are written back."""
    inner: list[Any] = []
    outer = [inner]
    pkg.meeting.fill(outer, lambda: inner.append(1))
    assert outer == [[1], "there"] and outer[0] is inner


def test_generic_functions_are_extended_here(pkg: Any) -> None:
    """`register` as a decorator, with a class of the server and of the client."""
    kind = pkg.meeting.kind

    @kind.register(pkg.meeting.Keeper)
    def of_keepers(value: Any) -> str:
        return "keeper"

    class Mine:
        pass

    kind.register(Mine, lambda value: type(value).__name__)
    assert [kind(value) for value in (1, "x", pkg.meeting.Keeper(), Mine())] == [
        *("int", "object", "keeper", "Mine")
    ]
    assert pkg.meeting.kind_of(pkg.meeting.Keeper()) == "keeper"
    assert kind.dispatch(int)(3) == "int"


def test_caches_of_functions_are_the_servers(pkg: Any, remote: wsremote.Session) -> None:
    """One message each; of methods too."""
    squares, row = pkg.meeting.squares, pkg.meeting.Table.row
    squares.cache_clear()
    assert squares(3) == squares(3) == 9
    sent = remote._driver.messages
    info = squares.cache_info()
    assert remote._driver.messages - sent == 1
    assert (info.hits, info.misses) == (1, 1)
    row.cache_clear()
    assert pkg.meeting.Table().row(1) == 2
    assert row.cache_info().currsize == 1
    row.cache_clear()


def test_a_callback_puts_objects_of_the_server_into_its_arguments(pkg: Any) -> None:
    """Nothing else here refers to them when it has returned, or raised."""
    items: list[Any] = []

    def put(given: list[Any]) -> None:
        given.append(pkg.meeting.Keeper())
        if len(given) == 2:
            raise KeyError("full")

    pkg.functions.apply(put, items)
    with pytest.raises(KeyError, match="full"):
        pkg.functions.apply(put, items)
    assert [type(item) for item in items] == [pkg.meeting.Keeper] * 2
