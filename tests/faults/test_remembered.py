"""What a server that was started again knows of the sessions that the one before it had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.background import Begin
from faults.ending import has_noticed, kill, lost, shut_down, target_of
from faults.proxy import FaultProxy
from harness import Serve, ServedProcess

import wsremote
from wsremote.errors import SessionLost

FOLDER = Path(__file__).parent


@pytest.fixture
def again(serve: Serve, tmp_path: Path) -> Callable[..., ServedProcess]:
    """`again(*arguments)` starts a server with the memory of those before it."""
    environment = {"WSREMOTE_STATE": str(tmp_path / "memory")}

    def start(*arguments: str) -> ServedProcess:
        return serve("steady", *arguments, path=(FOLDER,), environment=environment)

    return start


@pytest.mark.parametrize("end", ["shut down", "killed with a journal", "killed"])
def test_unfinished_calls_are_told_apart(
    again: Callable[..., ServedProcess], tmp_path: Path, begin: Begin, end: str
) -> None:
    """One that had ended, one that ran, one that never got there: as well as can be known."""
    arguments = ("--journal", str(tmp_path / "journal")) if "journal" in end else ()
    served = again(*arguments)
    with (
        FaultProxy(served.url) as proxy,
        wsremote.connect(proxy.url, token=served.token, new=True) as session,
    ):
        steady = session.modules.steady
        counter = steady.Counter()
        ended = begin(steady.pass_door, "ended")
        running = begin(counter.step_behind, "running")
        with wsremote.connect(served.url, token=served.token, new=True) as other:
            direct = other.modules.steady
            assert direct.wait_for_somebody("ended")
            assert direct.wait_for_somebody("running")
            with proxy.outage():
                has_noticed(session)
                direct.open_door("ended")
                assert direct.wait_until_passed("ended")
                waiting = begin(steady.note, "never")
                assert direct.await_answers()
                (shut_down if end == "shut down" else kill)(served)
                successor = again(*arguments)
                proxy.target = target_of(successor)
        errors = [lost(ended), lost(running), lost(waiting)]
        for error in errors:
            assert error.not_executed == ("steady:note",)
            if end == "killed":
                assert error.reason == "restart"
                assert sorted(error.unknown) == ["object #1.step_behind", "steady:pass_door"]
            else:
                assert error.reason == ("shutdown" if end == "shut down" else "killed")
                assert error.executed == ("steady:pass_door",)
                assert error.unknown == ("object #1.step_behind",)
        with pytest.raises(SessionLost):
            counter.step()
        with wsremote.connect(successor.url, token=successor.token, new=True) as other:
            assert other.modules.steady.times("never") == 0
            assert other.modules.steady.alive() == 0


def test_a_goodbye_is_not_remembered(again: Callable[..., ServedProcess], tmp_path: Path) -> None:
    """A session that its client has closed leaves nothing behind, on any disk."""
    served = again("--journal", str(tmp_path / "journal"))
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        assert session.modules.steady.add(1) == 2
    shut_down(served)
    files: list[Any] = [*tmp_path.glob("journal*"), *tmp_path.glob("memory/*")]
    assert [path.read_text() for path in files if path.stat().st_size > 2] == []
