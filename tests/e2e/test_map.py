"""`map`: lazy, in order, many calls at a time. Both ends in this process."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ServedProcess, start_server
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import poller as client_poller
from wsremote.errors import SessionClosed
from wsremote.server.config import Limits

HERE = Path(__file__).parent
SOURCE = (HERE / "streamed.py").read_text()
AHEAD = 4096
"""More inputs than `map` may read ahead."""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, of `streamed`."""
    with serving(tmp_path, limits=Limits(), source=SOURCE) as local:
        yield local


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `streamed` in a process of its own, whose output is not that of the test."""
    served = start_server("streamed", folder=tmp_path_factory.mktemp("server"), path=(HERE,))
    yield served
    served.stop()


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session of its own."""
    session = wsremote.connect(local.url, token=TOKEN, new=True)
    yield session
    session.close()


@pytest.fixture
def module(local: Local, session: wsremote.Session) -> Any:
    """The served module, as the client has it."""
    return getattr(session.modules, local.name)


class Source:
    """An endless input that counts what was taken of it, and may raise."""

    def __init__(self, raises_at: int | None = None) -> None:
        self.taken = 0
        self._raises_at = raises_at

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.taken == self._raises_at:
            raise KeyError("the input")
        self.taken += 1
        return self.taken - 1


def expect_idle(session: wsremote.Session, local: Local) -> None:
    """Nothing is under way in the end, on either side, and the session works."""
    submitting = session._driver.submitting
    (on_server,) = local.server._sessions.values()
    while submitting._open or session._driver._calls or on_server._queued or on_server._running:
        barrier(client_poller())
        barrier(local.server.poller)
    assert not submitting._batcher.waiting
    module = getattr(session.modules, local.name)
    assert list(session.map(module.add, [1, 2], [3, 4])) == [4, 6]


# ---- results in order --------------------------------------------------------------------


def test_results_come_in_order(session: wsremote.Session, module: Any) -> None:
    """For no item, one, many; several inputs end with the shortest."""
    assert list(session.map(module.identity, [])) == []
    assert list(session.map(module.identity, [7])) == [7]
    assert list(session.map(module.add, range(10_000), range(10_000))) == list(range(0, 20_000, 2))
    assert list(session.map(module.add, range(5), itertools.count(10))) == [10, 12, 14, 16, 18]
    assert list(session.map(module.add, [], itertools.count())) == []


def test_slow_items_hold_nothing_up_but_their_place(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """The others run meanwhile, and wait for their turn."""
    results = session.map(module.wait, ["a", "b", "c"])
    assert {local.module.started.get(timeout=PATIENCE) for _ in range(3)} == {"a", "b", "c"}
    local.module.door("c").set()
    local.module.door("b").set()
    local.module.door("a").set()
    assert list(results) == ["a", "b", "c"]


def test_an_infinite_input(session: wsremote.Session, module: Any) -> None:
    """It is read a bounded number ahead, and not before more results are taken."""
    source = Source()
    results = session.map(module.identity, source)
    assert 0 < source.taken < AHEAD
    for expected in range(10_000):
        assert next(results) == expected
        assert source.taken < expected + AHEAD
    assert list(itertools.islice(results, 3)) == [10_000, 10_001, 10_002]
    both = session.map(module.add, itertools.count(), itertools.repeat(1))
    assert list(itertools.islice(both, 1000)) == list(range(1, 1001))


def test_first_results_come_before_the_last_is_sent(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """An input that waits for the first result: as a pipe would."""
    first = threading.Event()

    def source() -> Iterator[int]:
        yield from range(2000)
        assert first.is_set(), "all of the input was read before the first result"
        yield 2000

    results = session.map(module.identity, source())
    assert next(results) == 0
    first.set()
    assert list(results) == list(range(1, 2001))


def test_nothing_is_submitted_for_what_is_not_remote(session: wsremote.Session) -> None:
    """The input is not touched."""
    source = Source()
    with pytest.raises(TypeError, match=r"wsremote\.ship"):
        session.map(print, source)
    assert source.taken == 0


@pytest.mark.parametrize("chunksize", [1, 2, 127, 128, 129, 5000])
def test_chunksize(session: wsremote.Session, module: Any, chunksize: int) -> None:
    """Any number gives the same results."""
    assert list(session.map(module.add, range(1000), range(1000), chunksize=chunksize)) == list(
        range(0, 2000, 2)
    )


@pytest.mark.parametrize(
    ("chunksize", "error"), [(0, ValueError), (-1, ValueError), ("3", TypeError), (None, TypeError)]
)
def test_a_bad_chunksize(
    session: wsremote.Session, module: Any, chunksize: Any, error: type[Exception]
) -> None:
    """It is refused at once, before the input is read."""
    source = Source()
    with pytest.raises(error):
        session.map(module.identity, source, chunksize=chunksize)
    assert source.taken == 0


def test_methods_and_classes(session: wsremote.Session, module: Any) -> None:
    """Of a remote object; of a class; a coroutine function; a partial."""
    thing = module.Thing(10)
    assert list(session.map(thing, range(3))) == [10, 11, 12]
    assert list(session.map(module.Thing.twice, range(3))) == [0, 2, 4]
    assert [made.value for made in session.map(module.Thing, range(3))] == [0, 1, 2]
    assert list(session.map(module.wait_and_add, range(3), range(3))) == [0, 2, 4]


def test_values_of_all_kinds(session: wsremote.Session, module: Any) -> None:
    """Scalars that need another way than most, objects, containers, arrays, among small ones."""
    numpy = pytest.importorskip("numpy")
    values: list[Any] = [1, 2**70, "\udcff", "x" * 50_000, b"y" * 70_000, None, -(2**64), 2.5, ""]
    values = values * 20
    assert list(session.map(module.identity, values)) == values
    assert list(session.map(module.add, [2**63 - 1] * 300, [1] * 300)) == [2**63] * 300
    assert list(session.map(module.surrogate, range(300))) == [f"\udcff{n}" for n in range(300)]
    lists = [[number] for number in range(300)]
    assert list(session.map(module.identity, lists)) == lists
    arrays = [numpy.full(5000, number) for number in range(20)]
    for number, doubled in enumerate(session.map(module.double, arrays)):
        assert (doubled == 2 * number).all()


def test_changes_of_arguments_come_back(session: wsremote.Session, module: Any) -> None:
    """When the result is taken, and for each call its own."""
    lists: list[list[int]] = [[] for _ in range(100)]
    assert list(session.map(module.extend, lists, range(100))) == [2] * 100
    assert lists == [[0, number] for number in range(100)]


def test_output(apart: ServedProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """What a call has printed is there when its result is; each line once."""
    with wsremote.connect(apart.url, token=apart.token, new=True) as session:
        module = session.modules.streamed
        seen: list[str] = []
        for number, text in enumerate(session.map(module.say, map(str, range(500)))):
            assert text == str(number)
            seen += capsys.readouterr().out.splitlines()
            assert text in seen
        assert sorted(seen) == sorted(map(str, range(500)))


def test_callbacks(session: wsremote.Session, module: Any) -> None:
    """Functions of the client as arguments, and calls nested in them."""
    double = 2

    def callback(number: int) -> int:
        return int(module.add(number, number)) * double

    found = session.map(module.call, itertools.repeat(callback), range(100))
    assert list(found) == [4 * number for number in range(100)]


# ---- what goes wrong ---------------------------------------------------------------------


def test_an_input_that_raises(local: Local, session: wsremote.Session, module: Any) -> None:
    """After the results of what came before it; once."""
    source = Source(raises_at=1000)
    results = session.map(module.identity, source)
    found = []
    with pytest.raises(KeyError, match="the input"):
        for value in results:
            found.append(value)  # noqa: PERF402
    assert found == list(range(1000))
    assert list(results) == []
    expect_idle(session, local)
    with pytest.raises(KeyError, match="the input"):
        next(session.map(module.identity, Source(raises_at=0)))
    with pytest.raises(TypeError):
        session.map(module.identity, 5)  # type: ignore[arg-type]


def test_a_call_that_raises(local: Local, session: wsremote.Session, module: Any) -> None:
    """In its place; what is under way is cancelled, and the iterator is at its end."""
    results = session.map(module.fail_if, itertools.count(), itertools.repeat(300))
    found = []
    with pytest.raises(module.Oops, match="300"):
        for value in results:
            found.append(value)  # noqa: PERF402
    assert found == list(range(300))
    assert list(results) == []
    expect_idle(session, local)
    assert len(local.module.log) < AHEAD


def test_running_calls_are_cancelled_by_an_error(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """They are interrupted on the server."""

    def calls() -> Iterator[tuple[Any, Any]]:
        yield module.fail, "now"
        for _ in range(3):
            yield module.wait, "never"

    functions, texts = zip(*calls(), strict=True)
    results = session.map(module.call, functions, texts)
    for _ in range(3):
        assert local.module.started.get(timeout=PATIENCE) == "never"
    with pytest.raises(module.Oops, match="now"):
        next(results)
    for _ in range(3):
        assert local.module.finished.get(timeout=PATIENCE) == ("never", "interrupted")
    expect_idle(session, local)


def test_wrong_arguments(local: Local, session: wsremote.Session, module: Any) -> None:
    """Python's own TypeError, in its place."""
    with pytest.raises(TypeError, match="'b'"):
        list(session.map(module.add, [1, 2]))
    with pytest.raises(TypeError):
        list(session.map(module.add, [1, 2], [1, "x"]))
    results = session.map(module.add, [1, "a", 2], [1, 1, 2])
    assert next(results) == 2
    with pytest.raises(TypeError):
        next(results)
    expect_idle(session, local)


def test_a_timeout(local: Local, session: wsremote.Session, module: Any) -> None:
    """Of the iterator: what was there in time is given, the rest is cancelled."""
    local.module.door("open").set()
    results = session.map(module.wait, ["open", "shut", "shut"], timeout=0.3)
    assert next(results) == "open"
    with pytest.raises(TimeoutError):
        next(results)
    assert list(results) == []
    ends = [local.module.finished.get(timeout=PATIENCE) for _ in range(3)]
    assert sorted(ends) == [("open", "returned")] + [("shut", "interrupted")] * 2
    expect_idle(session, local)
    # Taken at once, whatever the clock says then.
    assert list(session.map(module.add, range(3), range(3), timeout=PATIENCE)) == [0, 2, 4]


def test_an_iterator_that_is_dropped(local: Local, session: wsremote.Session, module: Any) -> None:
    """Half-way, or before the first result: the rest is cancelled, and nothing is kept."""
    results = session.map(module.wait, ["a", "b", "c"])
    for _ in range(3):
        local.module.started.get(timeout=PATIENCE)
    del results
    ends = {local.module.finished.get(timeout=PATIENCE)[1] for _ in range(3)}
    assert ends == {"interrupted"}
    made = session.map(module.Thing, itertools.count())
    assert [next(made).value for _ in range(100)] == list(range(100))
    del made
    expect_idle(session, local)
    while local.module.alive():
        gc.collect()
        barrier(client_poller())
        module.thread()
    (on_server,) = local.server._sessions.values()
    assert len(on_server.lending.handles) == 0


def test_an_iterator_is_closed(local: Local, session: wsremote.Session, module: Any) -> None:
    """As a generator; also from inside its own input."""
    results = session.map(module.identity, itertools.count())
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert list(results) == []
    expect_idle(session, local)


def test_the_session_ends_meanwhile(session: wsremote.Session, module: Any) -> None:
    """The iterator says so, once."""
    results = session.map(module.identity, itertools.count())
    assert next(results) == 0
    session.close()
    with pytest.raises(SessionClosed):
        for _ in range(AHEAD):
            next(results)
    assert list(results) == []
    with pytest.raises(SessionClosed):
        list(session.map(module.identity, [1]))


def test_an_input_that_calls_the_server(session: wsremote.Session, module: Any) -> None:
    """Plainly, with `submit`, and with another `map`."""

    def source() -> Iterator[int]:
        for number in range(300):
            if number % 3 == 0:
                yield module.add(number, 0)
            elif number % 3 == 1:
                yield session.submit(module.add, number, 0).result(PATIENCE)
            else:
                yield from session.map(module.identity, [number])

    assert list(session.map(module.identity, source())) == list(range(300))


def test_one_iterator_in_two_threads(session: wsremote.Session, module: Any) -> None:
    """Handed from one to the other, it goes on."""
    results = session.map(module.identity, range(2000))
    found = [next(results) for _ in range(10)]
    thread = threading.Thread(target=lambda: found.extend(itertools.islice(results, 1000)))
    thread.start()
    thread.join(PATIENCE)
    assert found + list(results) == list(range(2000))


def test_maps_of_several_threads(session: wsremote.Session, module: Any) -> None:
    """Each has its own results."""
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        found[number] = list(session.map(module.add, range(1500), itertools.repeat(number)))

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {number: list(range(number, number + 1500)) for number in range(6)}


def test_large_results_are_not_read_ahead_without_end(
    session: wsremote.Session, module: Any
) -> None:
    """A few inputs are taken for a reader who is slow to take a megabyte each; all come."""
    source = Source()
    results = session.map(module.identity, ("x" * 2**20 for _ in source))
    for _ in range(150):
        assert len(next(results)) == 2**20
    # As many as 32 MiB hold, and those that were made before that was known.
    assert source.taken < 150 + 80
    results.close()  # type: ignore[attr-defined]


def test_after_large_results_all_others_come(session: wsremote.Session, module: Any) -> None:
    """A chunk that is larger than what may be read ahead would never leave."""
    inputs = [*range(200), "x" * 2**20 * 40, *range(300)]
    assert [
        len(each) if isinstance(each, str) else each
        for each in session.map(module.identity, inputs)
    ] == [*range(200), 2**20 * 40, *range(300)]
