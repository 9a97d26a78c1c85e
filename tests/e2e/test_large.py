"""Large values between a client and a server in one process: bounds, refusals, memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_server import TOKEN, Local, serving

import wsremote
from wsremote.protocol import transfers
from wsremote.protocol.memory import Block, allocate
from wsremote.server import lanes
from wsremote.server.config import Limits

SIZE = 3_000_000


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process."""
    with serving(tmp_path, limits=Limits(max_transfer_size=50_000_000)) as local:
        yield local


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session with it."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        yield session


@pytest.fixture
def pkg(local: Local, session: wsremote.Session) -> Any:
    """What it serves."""
    return getattr(session.modules, local.name)


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is no memory for a buffer of SIZE bytes."""

    def refuse(size: int) -> Block:
        if size == SIZE:
            raise MemoryError
        return allocate(size)

    monkeypatch.setattr(transfers, "allocate", refuse)
    yield


def test_an_argument_for_which_the_server_has_no_memory(
    scarce: None, pkg: Any, local: Local, session: wsremote.Session
) -> None:
    """The call is not executed and says so; the session goes on, with nothing left over."""
    for _ in range(12):
        with pytest.raises(wsremote.LimitExceeded, match="3000000 bytes"):
            pkg.add(np.zeros(SIZE, "u1"), 1)
    assert pkg.add(np.zeros(SIZE + 1, "u1"), 1)[-1] == 1
    (there,) = local.server._sessions.values()
    assert there._transfers._refused == {}
    assert len(there._transfers) == 0
    assert session._driver._outgoing.keys() == set()


def test_an_interrupt_between_buffers_and_their_message(
    session: wsremote.Session, pkg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side keeps the buffers of a call that is never made."""
    driver = session._driver
    send = driver._send_buffers

    def interrupted(buffers: Any, transfers: list[int]) -> list[int]:
        send(buffers, transfers)
        assert driver._outgoing
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(driver, "_send_buffers", interrupted)
        pkg.add(np.ones(SIZE), 1)
    assert not driver._outgoing
    assert not driver._carried_by
    assert pkg.add(np.ones(3), 1).tolist() == [2.0] * 3


def test_an_argument_that_has_left_before_it_is_refused(scarce: None, pkg: Any) -> None:
    """The message that lists it is answered with an error, and so are those behind it."""
    many = [np.zeros(SIZE, "u1"), np.zeros(40_000, "u1"), np.zeros(SIZE, "u1")]
    with pytest.raises(wsremote.LimitExceeded):
        pkg.add(many, 1)
    assert pkg.add(1, 2) == 3


def test_a_result_for_which_the_client_has_no_memory(
    scarce: None, pkg: Any, local: Local, session: wsremote.Session
) -> None:
    """The call was executed and says so; the session goes on, with nothing left over."""
    for _ in range(12):
        with pytest.raises(wsremote.LimitExceeded, match=r"was executed.*3000000 bytes"):
            pkg.block(SIZE)
    assert len(pkg.block(SIZE + 1)) == SIZE + 1
    assert session._driver._transfers._refused == {}
    assert len(session._driver._transfers) == 0
    (there,) = local.server._sessions.values()
    assert set(there._outgoing) <= {transfer for _, each in there._needed for transfer in each}


def test_no_memory_for_the_copy_of_what_the_server_owns(
    monkeypatch: pytest.MonkeyPatch, pkg: Any, local: Local
) -> None:
    """An error of that call alone, as a `MemoryError`: nothing was sent."""

    def refuse(buffer: memoryview) -> bytes:
        raise MemoryError("of the test")

    local.module.state = np.zeros(SIZE)
    exec("def give():\n return state", vars(local.module))
    give = pkg.give
    with monkeypatch.context() as scarce:
        scarce.setattr("wsremote.codec.ownership.copy_of", refuse)
        with pytest.raises(MemoryError, match="of the test"):
            give()
        assert len(pkg.add(np.zeros(SIZE, "u1"), 1)) == SIZE
    assert len(give()) == SIZE


def test_no_memory_for_the_payload(
    monkeypatch: pytest.MonkeyPatch, pkg: Any, local: Local, session: wsremote.Session
) -> None:
    """What was lent for it is taken back; the next call is a call like any other."""

    def refuse(value: object) -> bytes:
        raise MemoryError("of the test")

    exec("def objects():\n return (add, Slow, [threading.Lock()])", vars(local.module))
    objects = pkg.objects
    (there,) = local.server._sessions.values()
    before = len(there.lending.handles)
    with monkeypatch.context() as scarce:
        scarce.setattr("wsremote.codec.encoder.pack_tagged", refuse)
        with pytest.raises(MemoryError):
            session._driver.codec.encode_call((1j,), {})
        with pytest.raises(MemoryError):
            there.codec.encode_result([(local.module.Counter(), 1)])
    assert len(there.lending.handles) == before
    assert len(objects()) == 3


def test_a_callback_with_too_much(scarce: None, pkg: Any) -> None:
    """Neither as its argument nor as its result: the served function sees the error."""
    seen: list[int] = []
    with pytest.raises(wsremote.LimitExceeded):
        pkg.call(lambda block: seen.append(len(block)), bytes(SIZE))
    with pytest.raises(wsremote.LimitExceeded):
        pkg.call(lambda: seen.append(1) or bytes(SIZE))
    assert seen == [1]
    assert pkg.call(len, bytes(SIZE + 1)) == SIZE + 1


def test_more_of_several_threads_than_the_server_takes_at_once(pkg: Any) -> None:
    """Each alone is below the bound: some are refused, none hangs, the session goes on."""
    outcomes: list[str] = []

    def send() -> None:
        try:
            pkg.add(np.zeros(40_000_000, "u1"), 1)
            outcomes.append("done")
        except wsremote.LimitExceeded:
            outcomes.append("refused")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(outcomes) == 4
    assert pkg.add(np.zeros(40_000_000, "u1"), 1)[0] == 1


def test_a_result_above_the_bound_is_not_sent(pkg: Any, local: Local) -> None:
    """The error names the bound and what to do, and says that the call was executed."""
    received = sum(each.connection.messages_sent for each in local.server._sessions.values())
    with pytest.raises(wsremote.LimitExceeded, match=r"60000000.*--max-transfer-size.*executed"):
        pkg.block(60_000_000)
    sent = sum(each.connection.messages_sent for each in local.server._sessions.values())
    assert sent - received < 10
    assert len(pkg.block(40_000_000)) == 40_000_000


# ---- results that stay ---------------------------------------------------------------


@pytest.fixture
def bounded(local: Local) -> Iterator[wsremote.Session]:
    """A session that takes no result above 100,000 bytes."""
    with wsremote.connect(local.url, token=TOKEN, new=True, max_result=100_000) as session:
        yield session


@pytest.fixture
def small(local: Local, bounded: wsremote.Session) -> Any:
    """What is served to it."""
    module = local.module
    module.made = {
        "array": np.arange(100_000.0),
        "matrix": np.ones((300, 400), "i4").T,
        "bytes": bytes(range(256)) * 1000,
        "str": "aé" * 100_000,
        "list": list(range(100_000)),
        "dict": {f"key {number}": number for number in range(20_000)},
        "tuple": tuple(range(100_000)),
        "bytearray": bytearray(200_000),
        "nested": {"x": [np.arange(100_000.0)], "y": 1},
    }
    exec("def make(name):\n import copy\n return copy.copy(made[name])", vars(module))
    exec("def owned(name):\n return made[name]", vars(module))
    exec("def is_it(name, value):\n return value is made[name]", vars(module))
    exec("def total(value):\n return sum(value)", vars(module))
    return getattr(bounded.modules, local.name)


KINDS = ["array", "matrix", "bytes", "str", "list", "dict", "tuple", "bytearray", "nested"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", ["make", "owned"])
def test_a_large_result_stays_and_shows_what_it_is(
    small: Any, bounded: wsremote.Session, local: Local, kind: str, function: str
) -> None:
    """Its repr costs no message; it is used from here; `fetch` gives the value itself."""
    value = local.module.made[kind]
    found = getattr(small, function)(kind)
    before = bounded._driver.messages
    text = repr(found)
    assert str(found) == text
    assert bounded._driver.messages == before
    assert type(value).__name__ in text
    assert "MB" in text
    assert "session.fetch(x)" in text
    if kind == "matrix":
        assert "int32 (400, 300)" in text
    elif kind != "array":
        assert f"length {len(value)}" in text
    assert len(text) < 500
    assert len(found) == len(value)
    if function == "owned":
        assert small.is_it(kind, found)
        assert getattr(small, function)(kind) is found
    fetched = bounded.fetch(found)
    assert type(fetched) is type(value)
    if kind in ("array", "matrix"):
        assert np.array_equal(fetched, value)
        assert fetched.flags.writeable
        fetched[...] = 5
        assert found.sum() == value.sum()
    elif kind == "nested":
        assert np.array_equal(fetched["x"][0], value["x"][0])
    else:
        assert fetched == value
        index = "key 7" if kind == "dict" else 7
        assert found[index] == value[index]


def test_what_stays_is_iterated_sliced_and_passed(small: Any, bounded: wsremote.Session) -> None:
    """As if it were here."""
    found = small.make("list")
    assert found[10:13] == [10, 11, 12]
    assert list(zip(found, range(3), strict=False)) == [(0, 0), (1, 1), (2, 2)]
    assert 99_999 in found
    assert small.total(found) == sum(range(100_000))
    array = small.make("array")
    assert array.shape == (100_000,)
    assert array.mean() == 49_999.5
    assert repr(array + 1).startswith("<large result on the server: numpy.ndarray float64")


@pytest.mark.parametrize("kind", ["array", "list", "bytes"])
@pytest.mark.parametrize("ask", [np.asarray, np.array, lambda found: np.concatenate([found] * 2)])
def test_numpy_is_told_how_to_get_what_stays(
    small: Any, bounded: wsremote.Session, kind: str, ask: Callable[[Any], Any]
) -> None:
    """What brings it is said."""
    found = small.make(kind)
    with pytest.raises(TypeError, match=r"is on the server .* session\.fetch\(x\) gives it"):
        ask(found)
    if kind == "array":
        assert ask(bounded.fetch(found))[5] == 5.0


def test_small_results_come_as_ever(small: Any) -> None:
    """Also arrays and texts, up to the bound."""
    assert small.repeat(90_000) == "x" * 90_000
    assert repr(small.repeat(110_000)).startswith("<large result on the server: str")
    assert len(small.add(np.zeros(10_000), 1)) == 10_000


def test_what_stays_is_released(small: Any, bounded: wsremote.Session, local: Local) -> None:
    """As any handle; the value is freed."""
    make = small.make
    (there,) = [each for each in local.server._sessions.values() if each.max_result]
    before = len(there.lending.handles)
    found = make("array")
    assert len(there.lending.handles) == before + 1
    del found
    small.add(1, 2)
    small.add(1, 2)
    assert len(there.lending.handles) == before
    assert len(there._large) == 0


def test_only_objects_of_the_session_are_fetched(
    small: Any, bounded: wsremote.Session, session: wsremote.Session
) -> None:
    """A local value, or a handle of another session, is an error."""
    with pytest.raises(TypeError, match="nothing to fetch"):
        bounded.fetch([1, 2])
    with pytest.raises(wsremote.StaleHandle, match="belongs to session"):
        session.fetch(small.make("list"))


@pytest.mark.parametrize("bound", [0, -1, 100, 1.5, "10 MB"])
def test_a_bound_that_makes_no_sense(local: Local, bound: Any) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match="max_result"):
        wsremote.connect(local.url, token=TOKEN, max_result=bound)


def test_a_client_with_a_bound_of_its_own(local: Local) -> None:
    """A result above it is not sent, and the error names it."""
    with wsremote.connect(local.url, token=TOKEN, new=True, max_transfer_size=1_000_000) as session:
        pkg = getattr(session.modules, local.name)
        with pytest.raises(wsremote.LimitExceeded, match=r"connect\(max_transfer_size=…\)"):
            pkg.block(2_000_000)
        assert len(pkg.block(900_000)) == 900_000
        assert len(pkg.add(np.zeros(100_000), 1)) == 100_000


def test_another_bound_is_another_session(local: Local) -> None:
    """The same bound gives the same session."""
    with wsremote.connect(local.url, token=TOKEN, max_result=50_000) as first:
        assert wsremote.connect(local.url, token=TOKEN, max_result=50_000) is first
        with wsremote.connect(local.url, token=TOKEN) as second:
            assert second is not first


# ---- memory --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10_000, 400_000])
def test_an_argument_that_is_given_back_is_fresh(pkg: Any, local: Local, size: int) -> None:
    """The server has let go of it: it arrives writable, from received memory of either kind."""
    exec("def identity(value):\n return value", vars(local.module))
    exec(
        "kept_array = []\ndef keep_array(x):\n kept_array.append(x)\n return x", vars(local.module)
    )
    array = np.arange(float(size))
    found = pkg.identity(array)
    assert found.flags.writeable
    found += 1
    again = pkg.identity(found)
    assert again[0] == 1.0
    kept = pkg.keep_array(array)
    assert not kept.flags.writeable or size == 10_000  # a mirror
    assert np.array_equal(kept, array)


def test_a_received_array_is_ordinary_memory(pkg: Any, local: Local) -> None:
    """Written to, copied, pickled, sliced, sent again; freed when its last user is gone."""
    import pickle

    exec("def identity(value):\n return value", vars(local.module))
    found = pkg.identity(np.arange(400_000.0))
    found[3] = -1
    part = found[2:5]
    assert pickle.loads(pickle.dumps(found))[3] == -1
    assert pkg.identity(part).tolist() == [2.0, -1.0, 4.0]
    del found
    assert part.tolist() == [2.0, -1.0, 4.0]
    assert pkg.identity(part.base)[3] == -1 if isinstance(part.base, np.ndarray) else True


@pytest.mark.parametrize("how", ["small", "large"])
def test_a_result_is_let_go_of_before_the_next_is_made(
    pkg: Any, local: Local, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a loop of such calls, the server never has two of them."""
    # Else a small call may be too late for the short way.
    monkeypatch.setattr(lanes, "LINGER", 1.0)
    exec(
        "import numpy, weakref\nmade, here = [], []\n"
        "def make(count, other=None):\n"
        " here.extend(each() is not None for each in made)\n"
        " array = numpy.arange(float(count))\n"
        " made.append(weakref.ref(array))\n"
        " return array",
        vars(local.module),
    )
    other = None if how == "small" else np.zeros(SIZE)
    # Of one chunk, behind which no ping comes that is answered before the next call.
    make, count = pkg.make, 20_000
    for _ in range(4):
        assert make(count, other)[-1] == count - 1
    assert local.module.here == [False] * 6
