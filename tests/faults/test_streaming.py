"""Calls that nobody waits for, over lines that break: each is done once, and said what it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from faults.background import Begin
from faults.ending import has_noticed, kill, target_of
from faults.flow import Flow
from faults.proxy import PATIENCE, FaultProxy, Line
from faults.schedules import EveryNth
from harness import Serve, ServedProcess, start_server

import wsremote
from wsremote.errors import SessionLost
from wsremote.protocol.liveness import Backoff

FOLDER = Path(__file__).parent
NAMES = ("steady", "streamed")


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again at once."""
    monkeypatch.setattr(Backoff, "_BASE", 0.0)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of both modules, whose log has no traceback in the end."""
    served = start_server(*NAMES, folder=tmp_path_factory.mktemp("server"), path=(FOLDER,))
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


@pytest.fixture
def streamed(remote: wsremote.Session) -> Any:
    """The module of streams, which has marked nothing yet."""
    remote.modules.streamed.forget()
    return remote.modules.streamed


def breaking(proxy: FaultProxy, n: int, seed: int) -> EveryNth:
    """Have every nth message end its line, from now on."""
    proxy.plan = schedule = EveryNth(n, seed)
    schedule(proxy.line)
    return schedule


def settle(proxy: FaultProxy) -> None:
    """No more faults."""
    proxy.plan = None
    for line in proxy.lines:
        line.up.on_message = line.down.on_message = None


# ---- counts are exact ------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_submitted_calls_run_once_each(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, seed: int
) -> None:
    """In a flood of which every fifth message breaks the line: answers too, and nothing twice."""
    schedule = breaking(proxy, 5, seed)
    futures = [remote.submit(streamed.mark, number) for number in range(3000)]
    assert [future.result(PATIENCE) for future in futures] == list(range(3000))
    settle(proxy)
    assert sorted(streamed.marks()) == list(range(3000))
    assert schedule.faults >= 3


@pytest.mark.parametrize("seed", [1, 2])
def test_slowly_submitted_calls_run_once_each(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, seed: int
) -> None:
    """Each of them waited for before the next but three: as many messages as calls, nearly."""
    schedule = breaking(proxy, 4, seed)
    futures = []
    for number in range(400):
        futures.append(remote.submit(streamed.mark, number))
        if number >= 3:
            assert futures[number - 3].result(PATIENCE) == number - 3
    assert [future.result(PATIENCE) for future in futures] == list(range(400))
    settle(proxy)
    assert sorted(streamed.marks()) == list(range(400))
    assert schedule.faults > 40


@pytest.mark.parametrize("chunk", [1, 7])
def test_map_keeps_its_order(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, chunk: int
) -> None:
    """Over an input without an end, of which only so much is read ahead."""
    schedule = breaking(proxy, 3, 4)
    results = remote.map(streamed.mark, itertools.count(), chunksize=chunk)
    assert list(itertools.islice(results, 2000)) == list(range(2000))
    settle(proxy)
    results.close()  # type: ignore[attr-defined]
    marks = streamed.marks()
    assert set(range(2000)) <= set(marks)
    assert len(marks) == len(set(marks)) < 20_000
    assert schedule.faults >= 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pipelines_run_in_order(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, seed: int
) -> None:
    """What is kept outlives the connection; nothing of it is left in the end."""
    schedule = breaking(proxy, 3, seed)
    for number in range(60):
        with remote.pipeline():
            tape = streamed.Tape()
            counts = [tape.add(item) for item in range(10)]
            twice = streamed.double(counts[-1])
            everything = tape.all()
        assert twice.result() == 20
        assert everything.result() == tuple(range(10)), number
        assert [each.result() for each in counts] == list(range(1, 11))
    settle(proxy)
    assert schedule.faults > 40
    del tape, counts, twice, everything
    assert streamed.tapes() == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_failure_in_a_pipeline_is_told_once(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, seed: int
) -> None:
    """The first cause, at the end of the block; what depends on it has not run."""
    schedule = breaking(proxy, 3, seed)
    for number in range(40):
        with pytest.raises(KeyError, match=str(number)) as caught, remote.pipeline():
            broken = streamed.fail(number)
            streamed.mark(broken)
            streamed.mark(-1 - number)
        assert not getattr(caught.value, "__notes__", [])
    settle(proxy)
    expected = [each for number in range(40) for each in (number, -1 - number)]
    assert streamed.marks() == expected
    assert schedule.faults > 20


@pytest.mark.parametrize("function", ["squares", "seen"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_item_of_a_stream_comes_once(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, function: str, seed: int
) -> None:
    """In order, whether it may run ahead or not; half of it is read by the server itself."""
    schedule = breaking(proxy, 3, seed)
    expected = [number * number if function == "squares" else number for number in range(600)]
    stream = getattr(streamed, function)(600)
    found: list[int] = []
    for size in itertools.cycle((1, 30, 4)):
        found += itertools.islice(stream, size)
        part = streamed.take(stream, size)
        found += part
        if not part:
            break
    settle(proxy)
    assert found == expected
    assert schedule.faults > 10


def test_threads_do_everything_at_once(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, begin: Begin
) -> None:
    """Submits, pipelines, streams and plain calls beside each other in one session."""

    def submit(number: int) -> None:
        first = 10_000 * (number + 1)
        for start in range(first, first + 500, 50):
            futures = [remote.submit(streamed.mark, start + each) for each in range(50)]
            assert [each.result(PATIENCE) for each in futures] == [*range(start, start + 50)]

    def keep(number: int) -> None:
        for _ in range(30):
            with remote.pipeline():
                tape = streamed.Tape()
                for item in range(5):
                    tape.add(item)
                everything = tape.all()
            assert everything.result() == (0, 1, 2, 3, 4)

    def read(number: int) -> None:
        assert list(streamed.squares(2000)) == [each * each for each in range(2000)]

    def count(number: int) -> None:
        tape = streamed.Tape()
        assert [tape.add(item) for item in range(200)] == list(range(1, 201))
        assert streamed.call(lambda value: value + 1, number) == number + 1

    schedule = breaking(proxy, 9, 6)
    works = [begin(work, number) for number in range(2) for work in (submit, keep, read, count)]
    for each in works:
        each.result(PATIENCE)
    settle(proxy)
    marks = [number for number in streamed.marks() if isinstance(number, int)]
    assert sorted(marks) == [*range(10_000, 10_500), *range(20_000, 20_500)]
    assert streamed.tapes() == 0
    assert schedule.faults > 20


# ---- at every byte ---------------------------------------------------------------------


def exchange_with(
    proxy: FaultProxy, direction: str, place: int, exchange: Callable[[], None]
) -> Line:
    """Have the next line cut behind so many bytes, and something done over it."""
    broken = len(proxy.lines)

    def plan(line: Line) -> None:
        if line.number == broken:
            flow: Flow = line.up if direction == "up" else line.down
            flow.cut_after(place, line.cut)

    proxy.plan = plan
    proxy.cut()
    exchange()
    proxy.plan = None
    return proxy.wait_for_line(broken)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("kind", ["submit", "pipeline"])
def test_a_cut_at_every_byte(
    proxy: FaultProxy, remote: wsremote.Session, streamed: Any, direction: str, kind: str
) -> None:
    """Of a resume and a batch behind it with its answers: each call runs once, in order."""
    number = 0

    def submit() -> None:
        nonlocal number
        futures = [remote.submit(streamed.mark, number + each) for each in range(5)]
        assert [future.result(PATIENCE) for future in futures] == [*range(number, number + 5)]
        number += 5

    def keep() -> None:
        nonlocal number
        with remote.pipeline():
            first = streamed.mark(number)
            streamed.mark(number + 1)
            second = streamed.double(first)
            streamed.mark(number + 2)
        assert second.result() == 2 * number
        number += 3

    for place in itertools.count(0, 3):
        line = exchange_with(proxy, direction, place, submit if kind == "submit" else keep)
        if not line.is_cut:
            break
    assert place > 200
    marks = streamed.marks()
    assert (sorted(marks) if kind == "submit" else marks) == list(range(number))


# ---- a session that is lost ------------------------------------------------------------


class Written:
    """What `write` has written: what really ran, also if its process is gone.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()

    def numbers(self) -> list[int]:
        """What there is, sorted."""
        return sorted(map(int, Path(self.path).read_bytes().split()))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Nothing so far."""
    return Written(tmp_path / "written")


def losses(futures: list[Any]) -> list[SessionLost]:
    """What futures say that have no result; every one has ended."""
    assert not wait(futures, PATIENCE).not_done
    errors = [each.exception() for each in futures if each.exception() is not None]
    assert all(isinstance(error, SessionLost) for error in errors), errors[:3]
    return errors


def test_a_killed_server_in_a_flood(serve: Serve, written: Written) -> None:
    """Each future ends; no more are said to be executed or not than is true."""
    home = serve(*NAMES, path=(FOLDER,))
    with FaultProxy(home.url) as proxy:
        remote = wsremote.connect(proxy.url, token=home.token, new=True)
        write = remote.modules.streamed.write
        futures = [remote.submit(write, written.path, number) for number in range(2000)]
        futures[300].result(PATIENCE)
        with proxy.outage():
            has_noticed(remote)
            late = [remote.submit(write, written.path, number) for number in range(5000, 5100)]
            kill(home)
            proxy.target = target_of(serve(*NAMES, path=(FOLDER,)))
        errors = losses(futures + late)
        ran = written.numbers()
        assert len(ran) == len(set(ran))
        done = [future for future in futures if future.exception() is None]
        assert {future.result() for future in done} <= set(ran)
        assert not set(ran) & set(range(5000, 5100))
        assert errors
        error = errors[0]
        assert error.reason == "restart"
        assert len(error.not_executed) + len(error.unknown) == len(errors)
        assert error.executed == ()
        # What never left has not run, and that is known.
        assert len(error.not_executed) >= 100
        assert len(ran) <= len(done) + len(error.unknown)
        remote.close()


def test_a_session_that_expires_in_a_flood(serve: Serve, written: Written) -> None:
    """The server knows of each call whether it ran; so does the client then."""
    home = serve(*NAMES, "--grace", "0.5", "--max-workers", "2", path=(FOLDER,))
    with FaultProxy(home.url) as proxy:
        remote = wsremote.connect(proxy.url, token=home.token, new=True)
        direct = wsremote.connect(home.url, token=home.token, new=True)
        module = remote.modules.streamed
        first = remote.submit(module.write, written.path, 0)
        assert first.result(PATIENCE) == 0
        behind = [
            remote.submit(module.write_behind, written.path, number, "of two") for number in (1, 2)
        ]
        direct.modules.steady.wait_for_somebody("of two")
        futures = [remote.submit(module.write, written.path, number) for number in range(10, 60)]
        with proxy.outage():
            has_noticed(remote)
            assert direct.modules.steady.wait_for_sessions(1) == 1
        errors = losses(behind + futures)
        direct.modules.steady.open_door("of two")
        ran = written.numbers()
        error = errors[0]
        assert error.reason == "expired"
        answered = [each for each in futures if each.exception() is None]
        began = {1, 2} & set(ran)
        ended = set(ran) - {0} - began
        assert len(error.executed) == len(ended) - len(answered)
        assert len(error.unknown) == len(began)
        assert len(error.not_executed) == 52 - len(ended) - len(began)
        direct.close()
        remote.close()


def test_what_has_run_while_nobody_was_there(serve: Serve, written: Written) -> None:
    """Values that wait for others, behind which the next call takes its time, are executed."""
    home = serve(*NAMES, "--grace", "4", "--max-workers", "1", path=(FOLDER,))
    with FaultProxy(home.url) as proxy:
        remote = wsremote.connect(proxy.url, token=home.token, new=True)
        direct = wsremote.connect(home.url, token=home.token, new=True)
        module, steady = remote.modules.streamed, direct.modules.steady
        futures = [remote.submit(module.write_behind, written.path, 0, "first")]
        futures += [remote.submit(module.write, written.path, number) for number in range(1, 6)]
        futures += [remote.submit(module.write_behind, written.path, 6, "last")]
        steady.wait_for_somebody("first")
        with proxy.outage():
            assert steady.await_lonely()
            steady.open_door("first")
            steady.wait_for_somebody("last")
            assert steady.wait_for_sessions(1) == 1
        error = losses(futures)[0]
        steady.open_door("last")
        assert written.numbers() == list(range(7))
        assert sorted(error.executed) == ["streamed:write"] * 5 + ["streamed:write_behind"]
        assert error.unknown == ("streamed:write_behind",)
        assert error.not_executed == ()
        direct.close()
        remote.close()


@pytest.mark.parametrize("asks", [False, True])
def test_a_session_that_expires_in_a_pipeline(
    serve: Serve, written: Written, begin: Begin, asks: bool
) -> None:
    """Of calls that are not answered, too, it is known whether they ran."""
    home = serve(*NAMES, "--grace", "0.5", path=(FOLDER,))
    with FaultProxy(home.url) as proxy:
        remote = wsremote.connect(proxy.url, token=home.token, new=True)
        direct = wsremote.connect(home.url, token=home.token, new=True)
        module = remote.modules.streamed

        def work() -> None:
            with remote.pipeline():
                kept = [module.write(written.path, number) for number in range(5)]
                behind = module.write_behind(written.path, 5, f"asks {asks}")
                kept += [module.write(written.path, number) for number in range(6, 9)]
                if asks:
                    behind.result()

        running = begin(work)
        direct.modules.steady.wait_for_somebody(f"asks {asks}")
        with proxy.outage():
            has_noticed(remote)
            assert direct.modules.steady.wait_for_sessions(1) == 1
        error = running.exception(PATIENCE)
        direct.modules.steady.open_door(f"asks {asks}")
        assert isinstance(error, SessionLost)
        assert error.reason == "expired"
        assert written.numbers() == [0, 1, 2, 3, 4, 5]
        named = [each for each in error.executed if "write" in each]
        assert named == ["streamed:write"] * 5
        assert error.unknown == ("streamed:write_behind",)
        assert [each for each in error.not_executed if "write" in each] == ["streamed:write"] * 3
        direct.close()
        remote.close()


def test_futures_of_a_session_that_is_closed(
    remote: wsremote.Session, pkg: Any, direct: Any
) -> None:
    """They end, and do not wait for what nobody will say."""
    futures = [remote.submit(pkg.pass_door, "never opened") for _ in range(3)]
    assert not wait(futures, 0.05).done
    remote.close()
    assert not wait(futures, PATIENCE).not_done
    for future in futures:
        assert isinstance(future.exception(), wsremote.SessionClosed)
    direct.open_door("never opened")
