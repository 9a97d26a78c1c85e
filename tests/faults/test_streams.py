"""Iterators that run ahead, over connections that are lost: each item once, in order."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy

import wsremote


@pytest.mark.parametrize("way", ["cut", "reset"])
def test_a_loop_goes_on_over_another_connection(proxy: FaultProxy, pkg: Any, way: str) -> None:
    """Whatever was on its way: a pull, its answer, or nothing."""
    found = []
    for number in pkg.ints(20_000):
        found.append(number)
        if number in (0, 1, 2, 5, 700, 9_000, 19_999):
            getattr(proxy, way)()
    assert found == list(range(20_000))


def test_lines_that_are_cut_all_the_time(proxy: FaultProxy, pkg: Any, direct: Any) -> None:
    """Of an iterator that runs ahead by the user's word: each item is made once."""
    is_done = threading.Event()

    def disturb() -> None:
        for _ in range(25):
            if is_done.wait(0.02):
                return
            proxy.cut()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        items = wsremote.ahead(pkg.noting(30_000, "streamed"))
        assert list(items) == list(range(30_000))
    finally:
        is_done.set()
        thread.join()
    assert direct.times("streamed") == 30_000


def test_what_was_not_used_is_given_back_behind_an_outage(
    proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """The message that says so waits for a connection, and comes before the call."""
    items = pkg.ints(1000)
    assert list(itertools.islice(items, 7)) == list(range(7))
    with proxy.outage():
        taken = begin(pkg.take, items, 5)
    assert taken.result(PATIENCE) == [7, 8, 9, 10, 11]
    assert list(items) == list(range(12, 1000))


def test_the_servers_reader_of_a_client_iterator_resumes(proxy: FaultProxy, pkg: Any) -> None:
    """A pull is a callback like any other; its answer is kept as well."""

    def mine() -> Any:
        for number in range(5000):
            if number % 1000 == 7:
                proxy.cut()
            yield number

    assert pkg.take(wsremote.ahead(mine()), 6000) == list(range(5000))
