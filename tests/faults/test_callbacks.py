"""Calls of the server to its client, across cuts: each is executed once, and answered."""

from __future__ import annotations

from typing import Any

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy


@pytest.fixture
def heard() -> list[Any]:
    """What the client's functions were called with."""
    return []


def test_the_server_calls_while_there_is_no_connection(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin, heard: list[Any]
) -> None:
    """The call waits for the client, and is executed once."""

    def callback(value: int) -> int:
        heard.append(value)
        return 2 * value

    running = begin(pkg.call_behind, "callback", callback, 21)
    direct.wait_for_somebody("callback")
    with proxy.outage():
        direct.open_door("callback")
        direct.wait_until_passed("callback")
    assert running.result(PATIENCE) == 42
    assert heard == [21]


@pytest.mark.parametrize("way", ["cut", "reset"])
def test_a_callback_is_cut_off_while_it_runs(
    proxy: FaultProxy, pkg: Any, heard: list[Any], way: str
) -> None:
    """Its answer goes over another connection, and it does not run again."""

    def callback(value: int) -> int:
        heard.append(value)
        getattr(proxy.line, way)()
        return -value

    assert pkg.call_often(callback, 10) == [-number for number in range(10)]
    assert heard == list(range(10))
    assert len(proxy.lines) == 11


def test_an_exception_of_a_callback_crosses_a_cut(proxy: FaultProxy, pkg: Any) -> None:
    """It is the client's own object that comes back."""
    own = LookupError("of the client")

    def callback() -> None:
        proxy.cut()
        raise own

    with pytest.raises(LookupError) as caught:
        pkg.call(callback)
    assert caught.value is own


def test_nested_calls_cross_cuts_at_every_level(proxy: FaultProxy, pkg: Any) -> None:
    """Client, server, client, server …, with a cut before and behind each."""

    def descend(depth: int) -> int:
        proxy.cut()
        below = pkg.call(descend, depth - 1) if depth else 0
        proxy.cut()
        return int(pkg.add(below, 1))

    assert pkg.call(descend, 6) == 7


def test_a_thread_of_the_server_calls_while_there_is_no_connection(
    proxy: FaultProxy, pkg: Any, direct: Any, heard: list[Any]
) -> None:
    """Nobody on the client waits for it; it is executed all the same, once."""

    def callback(value: str) -> str:
        heard.append(value)
        proxy.cut()
        return value.upper()

    pkg.call_in_thread("thread", callback, "word")
    direct.wait_for_somebody("thread")
    with proxy.outage():
        direct.open_door("thread")
        direct.wait_until_passed("thread")
    assert direct.result_of("thread") == "WORD"
    assert heard == ["word"]


def test_client_objects_live_through_a_cut(proxy: FaultProxy, pkg: Any, direct: Any) -> None:
    """A function that the server keeps is the same one afterwards."""
    calls: list[int] = []
    pkg.results["kept"] = calls.append
    for number in range(3):
        proxy.cut()
        pkg.call(pkg.results["kept"], number)
    del pkg.results["kept"]
    assert calls == [0, 1, 2]


def test_callbacks_of_many_threads_cross_cuts(proxy: FaultProxy, pkg: Any, begin: Begin) -> None:
    """Each thread's calls are answered with its own values."""

    def work(number: int) -> list[Any]:
        def callback(step: int) -> tuple[int, int]:
            if step % 5 == number % 5:
                proxy.cut()
            return number, int(pkg.add(step, number))

        return list(pkg.call_often(callback, 10))

    running = [begin(work, number) for number in range(6)]
    for number, each in enumerate(running):
        assert each.result(PATIENCE) == [(number, step + number) for step in range(10)]
