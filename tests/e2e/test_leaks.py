"""Whatever is done, and however it ends, handles, threads and descriptors return to what they were.

Each way of using a session is gone a few times, then counted, then many times: what is left of
one of them shows as a multiple. A real server, which counts for itself (`leaking.census`).
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import counting
import numpy as np
import pytest
from harness import ROOT, ServedProcess, start_server

import wsremote

PATIENCE = 20.0
FEW, MANY = 2, 20
WORKERS = 12
"""More than the threads of a session for submitted calls, fewer than `MANY`. Such a thread stays
for half a minute: how many of them there are is a matter of what met."""
OF_WORKERS = (
    "server wsremote-worker",
    # One for each of those that has called back.
    "client wsremote-callbacks",
    "client driver._callback_threads._threads",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server that counts what it holds; sessions that are lost end soon."""
    folder = tmp_path_factory.mktemp("server")
    grace = ("--grace", "0.2", "--grace-when-empty", "0.2", "--max-transfer-size", "2M")
    served = start_server(
        "leaking", *grace, folder=folder, path=(ROOT / "tests", Path(__file__).parent)
    )
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


@pytest.fixture
def session(served: ServedProcess) -> Iterator[wsremote.Session]:
    """The one that is used."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        yield session


@pytest.fixture
def watcher(served: ServedProcess) -> Iterator[Any]:
    """The served module as one has it who only counts."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        yield session.modules.leaking


def census(watcher: Any, session: wsremote.Session) -> dict[str, int]:
    """What both processes hold."""
    gc.collect()
    found = {f"server {name}": count for name, count in watcher.census().items()}
    own = counting.containers_in(session._driver, "driver") | counting.threads()
    own["descriptors"] = counting.descriptors()
    if session._driver.awaited._reader in session._driver._sleepers:
        # One a session: who reads for event loops, until the next reader leaves.
        own["driver._sleepers"] -= 1
    return found | {f"client {name}": count for name, count in own.items() if count}


def settled(watcher: Any, session: wsremote.Session, baseline: dict[str, int]) -> dict[str, Any]:
    """What is more than in the baseline, after a while in which threads may end."""
    end = monotonic() + PATIENCE
    while True:
        now = census(watcher, session)
        more = {
            name: (baseline.get(name, 0), count)
            for name, count in now.items()
            if count > baseline.get(name, 0)
        }
        if not more or monotonic() > end:
            return more
        watcher.rest()


def connect(session: wsremote.Session) -> wsremote.Session:
    """Another session with the same server."""
    token = session._driver._resumer._token  # type: ignore[union-attr]
    return wsremote.connect(session.url, token=token, new=True)


# ---- ways of using a session -----------------------------------------------------------


def calls(session: wsremote.Session, pkg: Any) -> None:
    """Handles that are made, used, and dropped; errors, which are handles as well."""
    counters = [pkg.Counter() for _ in range(5)]
    assert [each.step() for each in counters] == [1] * 5
    assert pkg.add(1, 2) == 3
    with pytest.raises(ValueError, match="wrong"):
        pkg.fail("wrong")


def callbacks(session: wsremote.Session, pkg: Any) -> None:
    """Functions and objects of the client, in its thread and in others; one raises."""
    assert pkg.call(lambda: pkg.add(1, 2)) == 3
    assert pkg.call_in_thread(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        pkg.call(lambda: 1 // 0)


def mirrors(session: wsremote.Session, pkg: Any) -> None:
    """A container of the server, and one of the client that is written back."""
    assert pkg.get_owned() == [1, 2, 3]
    items = [1]
    assert pkg.extend(items) == 2
    assert items == [1, 1]


def buffers(session: wsremote.Session, pkg: Any) -> None:
    """Arrays both ways, and one that is refused."""
    assert pkg.array(20_000).sum() == 20_000
    assert pkg.size_of(np.ones(20_000)) == 20_000
    with pytest.raises(wsremote.LimitExceeded):
        pkg.size_of(bytes(3_000_000))


def iterators(session: wsremote.Session, pkg: Any) -> None:
    """Generators that are read to the end, dropped half-way, closed, and never begun."""
    assert sum(pkg.numbers(100)) == 4950
    half = pkg.numbers(1000)
    assert [next(half), next(half)] == [0, 1]
    del half
    closed = pkg.numbers(1000)
    assert next(closed) == 0
    closed.close()
    pkg.numbers(3)


def generators_of_the_client(session: wsremote.Session, pkg: Any) -> None:
    """Read to the end, and only their beginning."""
    assert pkg.total(number for number in range(50)) == 1225
    assert pkg.first_of(number for number in range(50)) == 0


def threads(session: wsremote.Session, pkg: Any) -> None:
    """Client threads that make a call and end: so do their lanes."""
    some = [threading.Thread(target=pkg.add, args=(1, number)) for number in range(4)]
    for thread in some:
        thread.start()
    for thread in some:
        thread.join()


def awaited(session: wsremote.Session, pkg: Any) -> None:
    """Asynchronous generators in an event loop of the user's: read, and left half-way."""

    async def read() -> None:
        assert [number async for number in pkg.async_numbers(3)] == [0, 1, 2]
        half = pkg.async_numbers(100)
        assert await anext(half) == 0
        await half.aclose()

    asyncio.run(read())


def sessions(session: wsremote.Session, pkg: Any) -> None:
    """Sessions that hold objects, one that never calls, and one that is lost without a word."""
    with connect(session) as other:
        held = [other.modules.leaking.Counter() for _ in range(3)]
        assert held[0].step() == 1
    connect(session).close()
    lost = connect(session)
    assert lost.modules.leaking.add(1, 2) == 3
    lost._driver._resumer = None
    lost._driver.connection.abort("cut by the test")


def cuts(session: wsremote.Session, pkg: Any) -> None:
    """The connection is lost with handles, callbacks and buffers in use."""
    counter = pkg.Counter()
    session._driver.connection.abort("cut by the test")
    assert counter.step() == 1
    assert pkg.call(lambda: session._driver.connection.abort("cut by the test")) is None
    assert pkg.array(20_000).sum() == 20_000


def timeouts(session: wsremote.Session, pkg: Any) -> None:
    """Calls that are given up, and interrupted."""
    with session.timeout(0.02), pytest.raises(wsremote.CallTimeout):
        pkg.pass_door("never opened")


def futures(session: wsremote.Session, pkg: Any) -> None:
    """Submitted calls: taken, dropped, failed, cancelled twice, with buffers, with objects."""
    taken = [session.submit(pkg.add, number, 1) for number in range(50)]
    assert [each.result() for each in taken] == list(range(1, 51))
    failed = session.submit(pkg.fail, "wrong")
    assert isinstance(failed.exception(), ValueError)
    long = session.submit(pkg.pass_door, "never opened")
    long.cancel()
    long.cancel()
    session.submit(pkg.Counter)
    session.submit(pkg.fail, "dropped")
    made = session.submit(pkg.Counter).result()
    assert session.submit(made.step).result() == 1
    assert session.submit(pkg.size_of, np.ones(20_000)).result() == 20_000
    assert session.submit(pkg.call, lambda: 5).result() == 5


def maps(session: wsremote.Session, pkg: Any) -> None:
    """Read to the end, dropped half-way, over an input that raises, with a call that does."""
    assert list(session.map(pkg.add, range(300), range(300))) == list(range(0, 600, 2))
    half = session.map(pkg.Counter.step, (pkg.Counter() for _ in range(20)))
    assert next(half) == 1
    del half

    def raising() -> Iterator[int]:
        yield 1
        raise KeyError("input")

    with pytest.raises(KeyError, match="input"):
        list(session.map(pkg.add, raising(), raising()))
    with pytest.raises(ValueError, match="wrong"):
        list(session.map(pkg.fail, ["wrong"] * 20))
    with pytest.raises(ValueError, match="literal"):
        list(session.map(pkg.number_or_counter, ["0", "1", "", "2"] * 20))


def pipelines(session: wsremote.Session, pkg: Any) -> None:
    """Promises that are asked for, dropped, failed; a block that an exception leaves."""
    with session.pipeline():
        counter = pkg.Counter()
        counter.step()
        last = counter.step()
        kept = pkg.Counter()
    assert last.result() == 2
    assert kept.result().step() == 1
    with pytest.raises(ValueError, match="wrong"), session.pipeline():
        pkg.add(pkg.fail("wrong"), 1)
    with pytest.raises(KeyError, match="mine"), session.pipeline():
        pkg.Counter().step()
        raise KeyError("mine")


def the_async_face(session: wsremote.Session, pkg: Any) -> None:
    """A session of its own in a loop: calls, a cancelled task, a generator left half-way."""

    async def use() -> None:
        token = session._driver._resumer._token  # type: ignore[union-attr]
        async with wsremote.connect_async(session.url, token=token) as other:
            module = other.modules.leaking
            assert await module.add(1, 2) == 3
            task = asyncio.create_task(module.pass_door("never opened"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async for number in await module.numbers(1000):
                if number == 3:
                    break

    asyncio.run(use())


def pipelines_of_the_async_face(session: wsremote.Session, pkg: Any) -> None:
    """Promises that die in the block, behind it, and when their values have been awaited."""

    async def use() -> None:
        token = session._driver._resumer._token  # type: ignore[union-attr]
        async with wsremote.connect_async(session.url, token=token) as other:
            module = other.modules.leaking
            before = await module.counters()
            for _ in range(3):
                async with other.pipeline():
                    module.Counter()
                    counter = module.Counter()
                    step = counter.step()
                assert await step == 1
                del counter, step
            # The releases leave with a call.
            assert await module.add(1, 2) == 3
            assert await module.counters() == before

    asyncio.run(use())


WAYS: list[Callable[[wsremote.Session, Any], None]] = [
    *(calls, callbacks, mirrors, buffers, iterators, generators_of_the_client),
    *(threads, awaited, sessions, cuts, timeouts, futures, maps, pipelines, the_async_face),
    pipelines_of_the_async_face,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_is_left(
    session: wsremote.Session, watcher: Any, way: Callable[[wsremote.Session, Any], None]
) -> None:
    """Of no way of using a session, whether it ends well or not."""
    pkg = session.modules.leaking
    for _ in range(FEW):
        way(session, pkg)
    assert pkg.add(1, 2) == 3
    baseline = census(watcher, session) | dict.fromkeys(OF_WORKERS, WORKERS)
    # One for the session, which the first finalizer starts that no call runs.
    baseline["client wsremote-finalizers"] = 1
    for _ in range(MANY):
        way(session, pkg)
    # The last releases leave with a call.
    assert pkg.add(1, 2) == 3
    assert settled(watcher, session, baseline) == {}


# ---- the end of the process ------------------------------------------------------------


def python(served: ServedProcess, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a session and the served module; it is to end by itself."""
    head = f"import wsremote\nsession = wsremote.connect({served.url!r}, token={served.token!r})\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{head}pkg = session.modules.leaking\n{script}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


ENDS = {
    "a call in a daemon thread": """
import threading
threading.Thread(target=pkg.pass_door, args=["never opened"], daemon=True).start()
while not session._driver._calls: pass
""",
    "calls in many daemon threads": """
import threading
def call():
    while True:
        pkg.add(1, 2)
for _ in range(8):
    threading.Thread(target=call, daemon=True).start()
for number in range(200):
    pkg.add(number, 1)
""",
    "a callback in a daemon thread": """
import threading, time
running = threading.Event()
def callback():
    running.set()
    time.sleep(60)
threading.Thread(target=pkg.call, args=[callback], daemon=True).start()
running.wait()
""",
    "submitted calls": """
futures = [session.submit(pkg.add, number, 1) for number in range(20_000)]
session.submit(pkg.pass_door, "never opened")
""",
    "a map half-way": """
half = session.map(pkg.add, range(10**9), range(10**9))
next(half)
""",
    "a pipeline that is open": """
session.pipeline().__enter__()
counter = pkg.Counter()
counter.step()
""",
    "the async face": """
import asyncio
async def use():
    async with wsremote.connect_async(session.url, token=TOKEN) as other:
        call = asyncio.create_task(other.modules.leaking.pass_door("never opened"))
        call.add_done_callback(lambda call: call.exception())
        assert await other.modules.leaking.add(1, 2) == 3
asyncio.run(use())
""",
    "a generator half-way": """
half = pkg.numbers(1000)
next(half)
""",
    "an exit in a callback": """
import sys
counter = pkg.Counter()
pkg.call(lambda: sys.exit(0))
""",
    "a lost connection": """
session._driver.connection.abort("cut")
""",
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS.keys())
def test_an_interpreter_ends_with_calls_in_flight(
    served: ServedProcess, watcher: Any, script: str
) -> None:
    """At once, with code 0 and no traceback; the server keeps nothing of it."""
    before = watcher.census()
    ended = python(served, script.replace("TOKEN", repr(served.token)))
    assert (ended.returncode, ended.stderr) == (0, "")
    end = monotonic() + PATIENCE
    while (now := watcher.census()).get("sessions") != before.get("sessions"):
        assert monotonic() < end, now
        watcher.rest()
    for name in ("counters", "frames", "descriptors", "connections"):
        while (now := watcher.census()).get(name, 0) > before.get(name, 0):
            assert monotonic() < end, (name, before, now)
            watcher.rest()


def test_a_child_that_is_forked_in_the_middle_has_no_session(
    served: ServedProcess, watcher: Any
) -> None:
    """It says so, ends cleanly, and the parent goes on, with calls in flight in its threads."""
    ended = python(
        served,
        """
import os, threading
results = []
def call():
    for number in range(300):
        results.append(pkg.add(number, 1))
threads = [threading.Thread(target=call) for _ in range(4)]
counter = pkg.Counter()
for thread in threads: thread.start()
codes = []
for _ in range(5):
    child = os.fork()
    if not child:
        code = 1
        try:
            counter.step()
        except wsremote.ForkedSession as error:
            code = 7 if "forked" in str(error) else 2
        try:
            pkg.add(1, 2)
            code = 3
        except wsremote.ForkedSession:
            pass
        del counter
        with wsremote.connect(session.url, token=TOKEN) as own:
            code = code if own.modules.leaking.add(1, 2) == 3 else 4
        os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for thread in threads: thread.join()
assert counter.step() == 1
assert sorted(results) == sorted([number + 1 for number in range(300)] * 4)
assert codes == [7] * 5, codes
""".replace("TOKEN", repr(served.token)),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    end = monotonic() + PATIENCE
    while watcher.census()["sessions"] > 1:
        assert monotonic() < end
        watcher.rest()
