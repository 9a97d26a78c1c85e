"""A session goes on over another connection: everything it has is still there, once."""

from __future__ import annotations

from typing import Any

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy

import wsremote

WAYS = pytest.mark.parametrize("way", ["cut", "reset"])


def break_lines(proxy: FaultProxy, way: str) -> None:
    """End all lines in one of the ways."""
    for line in proxy.living:
        getattr(line, way)()


@WAYS
def test_handles_live_through_a_cut(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, way: str
) -> None:
    """The object is the one from before, in the same session, over a second line."""
    session, counter = remote.id, pkg.Counter()
    for number in range(1, 4):
        assert counter.step() == number
        break_lines(proxy, way)
    assert counter.step() == 4
    assert (remote.id, remote.closed) == (session, False)
    assert len(proxy.lines) == 4


@WAYS
def test_the_result_of_a_running_call_arrives(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin, way: str
) -> None:
    """The call runs on while there is no connection, and is executed once."""
    running = begin(pkg.pass_door, f"running {way}")
    direct.wait_for_somebody(f"running {way}")
    break_lines(proxy, way)
    proxy.wait_for_line(1).down.wait_messages(2)
    direct.open_door(f"running {way}")
    assert running.result(PATIENCE) == f"running {way}"
    assert direct.times(f"running {way}") == 1


def test_a_call_that_ends_during_an_outage_is_answered_afterwards(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin
) -> None:
    """Its result is kept on the server until the client is there again."""
    running = begin(pkg.pass_door, "outage")
    direct.wait_for_somebody("outage")
    with proxy.outage():
        direct.open_door("outage")
        direct.wait_until_passed("outage")
        assert not running.done()
    assert running.result(PATIENCE) == "outage"
    assert direct.times("outage") == 1


def test_calls_made_during_an_outage_wait_and_are_executed_once(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin
) -> None:
    """From several threads; none raises, none is lost, none comes twice."""
    pkg.note("warm")
    with proxy.outage():
        waiting = [begin(pkg.note, f"queued {number}") for number in range(8)]
        assert direct.add(1) == 2
        assert not any(each.done() for each in waiting)
    assert [each.result(PATIENCE) for each in waiting] == [1] * 8
    assert [direct.times(f"queued {number}") for number in range(8)] == [1] * 8


def test_output_keeps_its_order_and_comes_before_the_result(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was printed before, during and behind the outage."""
    running = begin(pkg.talk, "talk", 1000)
    direct.wait_for_somebody("talk")
    with proxy.outage():
        direct.open_door("talk")
        direct.wait_until_passed("talk")
    assert running.result(PATIENCE) == "talk"
    assert capsys.readouterr().out == "".join(f"talk {number}\n" for number in range(1000))


def test_a_generator_keeps_its_position(proxy: FaultProxy, pkg: Any) -> None:
    """No item is lost and none comes twice, wherever the cut falls."""
    numbers = pkg.count()
    for number in range(20):
        assert next(numbers) == number
        if number % 3 == 0:
            proxy.cut()
    assert len(proxy.lines) >= 7


def test_changes_of_arguments_are_written_back(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin
) -> None:
    """The argument is the client's list, as it was when the call began."""
    items: list[str] = []
    running = begin(pkg.append_behind, "append", items)
    direct.wait_for_somebody("append")
    proxy.cut()
    direct.open_door("append")
    assert running.result(PATIENCE) == 2
    assert items == ["before", "behind"]


def test_mirrors_show_what_is_on_the_server(proxy: FaultProxy, pkg: Any) -> None:
    """Changes of both sides, before and behind a cut."""
    box = pkg.Box()
    items, table = box.items, box.table
    proxy.cut()
    items.append(4)
    assert box.put(5) == 5
    assert items == [1, 2, 3, 4, 5] == list(box.items)
    proxy.cut()
    assert box.put(6) == 6
    assert items == [1, 2, 3, 4, 5, 6]
    table["two"] = 2
    proxy.cut()
    assert box.table == {"one": 1, "two": 2}


def test_releases_arrive_once(proxy: FaultProxy, pkg: Any, direct: Any) -> None:
    """Objects that are let go of around cuts are freed, and only these."""
    before = direct.alive()
    kept = pkg.Counter()
    for _ in range(10):
        dropped = [pkg.Counter() for _ in range(3)]
        proxy.cut()
        del dropped
        pkg.add(1)
    assert kept.step() == 1
    assert direct.alive() == before + 1


def test_a_session_closes_behind_a_cut(steady: Any, proxy: FaultProxy, direct: Any) -> None:
    """Closing right after a cut frees the session on the server as soon as it can be told."""
    session = wsremote.connect(proxy.url, token=steady.token, new=True)
    counter = session.modules.steady.Counter()
    assert counter.step() == 1
    proxy.cut()
    assert counter.step() == 2
    session.close()
    with pytest.raises(wsremote.SessionClosed):
        counter.step()
