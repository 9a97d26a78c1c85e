"""Sessions of one process: threads, event loops, several servers, importing, closing."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, OpenSession, Serve, ServedProcess

import wsremote

TWIN = """
import threading, weakref
WHO = {who!r}
_things = weakref.WeakSet()

class Thing:
    made = 0
    def __init__(self):
        Thing.made += 1
        _things.add(self)
    def who(self): return WHO
    def thread(self): return threading.get_ident()

class Oops(ValueError):
    pass

def alive(): return len(_things)
def keep(function, kept=[]): kept[:] = [function] if function else []
def oops(): raise Oops(WHO)
def call(function, *args): return function(*args)
def chain(function, depth): return function(depth)
"""


@pytest.fixture
def twin(tmp_path: Path, serve: Serve) -> Callable[[str], ServedProcess]:
    """`twin("a")` serves a package `twinned`, another one each time."""

    def start(who: str) -> ServedProcess:
        folder = tmp_path / f"package-{who}"
        folder.mkdir()
        (folder / "twinned.py").write_text(TWIN.format(who=who))
        return serve("twinned", path=(folder,))

    return start


# ---- threads and loops -------------------------------------------------------------------


def test_many_threads_at_once(pkg: Any) -> None:
    """Eight threads with 200 calls each: every answer is that of its own call."""
    start = threading.Barrier(8)

    def work(number: int) -> int:
        start.wait()
        recorder = pkg.state.Recorder(f"thread {number}")
        right = 0
        for step in range(100):
            right += pkg.functions.add(number * 1000, step) == number * 1000 + step
            right += recorder.name == f"thread {number}"
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [200] * 8


def test_a_thread_keeps_its_thread_on_the_server(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """Calls of a thread run on one thread there, those of another on another."""
    thing = session(twin("a")).modules.twinned.Thing()
    mine = {thing.thread() for _ in range(5)}
    with ThreadPoolExecutor(1) as pool:
        others = {pool.submit(thing.thread).result() for _ in range(5)}
    assert len(mine) == len(others) == 1
    assert mine != others


def test_a_long_call_does_not_hold_up_other_threads(remote: wsremote.Session) -> None:
    """One waits in a queue of the server for what another puts there."""
    queue = remote.modules.queue.Queue()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.get, timeout=20)
        queue.put("news")
        assert waiting.result(20) == "news"


def test_inside_a_running_event_loop(pkg: Any) -> None:
    """As in a notebook: plain calls, callbacks, what is awaited, and in threads of the loop."""

    async def main() -> list[Any]:
        blocking = pkg.functions.add(1, 2)
        called_back = pkg.functions.apply(lambda value: value + 1, 1)
        awaited = await pkg.functions.wait_and_add(1, 2)
        threads = await asyncio.gather(
            *(asyncio.to_thread(pkg.functions.add, number) for number in range(3))
        )
        return [blocking, called_back, awaited, threads]

    assert asyncio.run(main()) == [3, 2, 3, [1, 2, 3]]


# ---- callbacks ---------------------------------------------------------------------------


def test_callbacks_nest(pkg: Any) -> None:
    """A callback that calls the server, which calls back, ten deep."""
    apply = pkg.functions.apply

    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + apply(down, depth - 1)

    assert apply(down, 10) == 10


def test_a_callback_runs_in_the_thread_that_waits(pkg: Any) -> None:
    """Not in a receiver; with arguments and results of every kind."""
    apply = pkg.functions.apply
    assert apply(threading.get_ident) == threading.get_ident()
    recorder = pkg.state.Recorder()
    assert apply(lambda given: given is recorder, recorder) is True
    assert apply(lambda: pkg.state.Recorder("new")).name == "new"
    assert apply(lambda *args: {"args": args}, 1, "2") == {"args": (1, "2")}
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(lambda n: apply(lambda m: m * 2, n), n) for n in range(20)]
        assert [job.result() for job in jobs] == [n * 2 for n in range(20)]


def test_a_function_that_comes_home_is_itself(pkg: Any) -> None:
    """Alone, in a container, and kept by the server in between."""

    def mine() -> str:
        return "mine"

    assert pkg.functions.identity(mine) is mine
    assert pkg.functions.identity([mine])[0] is mine
    holder = pkg.state.Recorder()
    holder.name = mine
    assert holder.name is mine


def test_a_function_is_released_when_the_server_has_dropped_it(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """The session does not keep every callback for ever."""
    twinned = session(twin("a")).modules.twinned

    def mine() -> int:
        return 1

    watched = weakref.ref(mine)
    assert twinned.call(mine) == 1
    twinned.keep(mine)
    del mine
    twinned.alive()
    gc.collect()
    assert watched() is not None
    twinned.keep(None)
    deadline = time.monotonic() + 10
    while watched() is not None and time.monotonic() < deadline:
        twinned.alive()
        gc.collect()
    assert watched() is None


# ---- several servers ---------------------------------------------------------------------


def test_two_servers_of_one_package_share_nothing(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """Classes, class attributes, instances and exceptions are each server's own."""
    one, two = (session(twin(who)).modules.twinned for who in "ab")
    assert one is not two
    assert one.Thing is not two.Thing
    first, second = one.Thing(), two.Thing()
    assert (first.who(), second.who()) == ("a", "b")
    one.Thing()
    assert (one.Thing.made, two.Thing.made) == (2, 1)
    one.Thing.made = 10
    assert (one.Thing.made, two.Thing.made) == (10, 1)
    one.WHO = "changed"
    assert (one.WHO, two.WHO) == ("changed", "b")
    assert isinstance(first, one.Thing)
    assert not isinstance(first, two.Thing)
    with pytest.raises(two.Oops):
        two.oops()
    with pytest.raises(one.Oops):
        try:
            one.oops()
        except two.Oops:
            pytest.fail("caught as the other server's")
    with pytest.raises(wsremote.StaleHandle, match="make the object in this session"):
        two.keep(first)
    # A method of it is a function of this client, which calls the first server.
    assert two.call(first.who) == "changed"


def test_connecting_again_gives_the_open_session(sample: ServedProcess) -> None:
    """The connect cell may be run twice; `new=True` opens another one."""
    first = wsremote.connect(sample.url, token=sample.token)
    assert wsremote.connect(sample.url, token=sample.token) is first
    with wsremote.connect(sample.url, token=sample.token, new=True) as other:
        assert other is not first
        assert other.id != first.id
        assert wsremote.connect(sample.url, token=sample.token) is first
    first.close()
    third = wsremote.connect(sample.url, token=sample.token)
    assert third is not first
    assert not third.closed
    third.close()


def test_the_environment_says_where(sample: ServedProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSREMOTE_URL and WSREMOTE_TOKEN."""
    monkeypatch.setenv("WSREMOTE_URL", sample.url)
    monkeypatch.setenv("WSREMOTE_TOKEN", sample.token)
    with wsremote.connect(new=True) as session:
        assert session.modules.samplepkg.functions.add(1) == 2


# ---- importing ---------------------------------------------------------------------------


def test_install_lets_import_find_what_is_served(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """Until the block ends; objects that were made go on."""
    opened = session(twin("a"))
    with opened.install():
        import twinned

        assert twinned is opened.modules.twinned
        from twinned import Thing

        thing = Thing()
    assert "twinned" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("twinned")
    assert thing.who() == "a"


def test_the_later_session_is_the_one_imported(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """`install()` over an older session's modules rebinds them."""
    one, two = session(twin("a")), session(twin("b"))
    with one.install():
        assert importlib.import_module("twinned").WHO == "a"
        with two.install():
            assert importlib.import_module("twinned").WHO == "b"


def test_a_local_package_is_not_hidden_silently(
    serve: Serve, session: OpenSession, tmp_path: Path
) -> None:
    """`install()` raises and names the ways out; both work, and the local one comes back."""
    import colorsys as local

    opened = session(serve("colorsys"))
    with pytest.raises(wsremote.ShadowedPackage) as refused:
        opened.install()
    assert "install(override=['colorsys'])" in str(refused.value)
    assert "session.modules.colorsys" in str(refused.value)
    assert isinstance(refused.value, ImportError)
    assert importlib.import_module("colorsys") is local
    with opened.install(override=["colorsys"]):
        hidden = importlib.import_module("colorsys")
        assert hidden is opened.modules.colorsys is not local
        assert hidden.rgb_to_hsv(1, 0, 0) == local.rgb_to_hsv(1, 0, 0)
    assert importlib.import_module("colorsys") is local


# ---- the end -----------------------------------------------------------------------------


def test_closing_frees_everything_on_the_server(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """Another session sees the objects go; the closed one says so."""
    served = twin("a")
    watching = session(served).modules.twinned
    opened = wsremote.connect(served.url, token=served.token, new=True)
    things = [opened.modules.twinned.Thing() for _ in range(10)]
    assert watching.alive() == 10
    opened.close()
    opened.close()
    deadline = time.monotonic() + 10
    while watching.alive() and time.monotonic() < deadline:
        pass
    assert watching.alive() == 0
    assert opened.closed
    with pytest.raises(wsremote.SessionClosed, match="closed here"):
        things[0].who()
    assert "closed" in repr(things[0])
    with pytest.raises(wsremote.SessionClosed, match=r"wsremote\.connect"):
        opened.modules.twinned.alive()


def test_dropped_objects_are_freed_on_the_server(
    twin: Callable[[str], ServedProcess], session: OpenSession
) -> None:
    """With the next call."""
    twinned = session(twin("a")).modules.twinned
    things = [twinned.Thing() for _ in range(10)]
    assert twinned.alive() == 10
    del things[3:]
    assert twinned.alive() == 3
    things.clear()
    assert twinned.alive() == 0


def test_a_program_may_end_without_closing(sample: ServedProcess, tmp_path: Path) -> None:
    """The interpreter exits at once and quietly, with proxies and threads alive."""
    script = f"""
import threading, wsremote
session = wsremote.connect({sample.url!r}, token={sample.token!r})
kept = session.modules.samplepkg.state.Recorder()
kept.circle = [kept]
thread = threading.Thread(target=lambda: kept.name)
thread.start(); thread.join()
print(session.modules.samplepkg.functions.add(1, 2))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


# ---- HTTP on the same port ---------------------------------------------------------------


def fetch(url: str, token: str | None = None) -> tuple[int, bytes]:
    """Status and body of a GET."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def test_the_pages_of_the_server(sample: ServedProcess) -> None:
    """`/healthz` for everybody, `/info.json` for who knows the token, nothing else."""
    base = sample.url.replace("ws://", "http://").rstrip("/")
    assert fetch(f"{base}/healthz")[0] == 200
    assert fetch(f"{base}/info.json")[0] == 401
    assert fetch(f"{base}/info.json", "wrong")[0] == 401
    assert fetch(f"{base}/nope", sample.token)[0] == 404
    status, body = fetch(f"{base}/info.json", sample.token)
    assert status == 200
    assert "samplepkg" in json.loads(body)["packages"]


def test_the_tree_is_the_same_wherever_it_is_read(
    sample: ServedProcess, remote: wsremote.Session
) -> None:
    """`session.tree`, `/info.json` and `wsremote tree URL --json`."""
    base = sample.url.replace("ws://", "http://").rstrip("/")
    there = json.loads(fetch(f"{base}/info.json", sample.token)[1])
    assert remote.tree.to_json() == there
    command = [sys.executable, "-m", "wsremote", "tree", sample.url, "--json"]
    printed = subprocess.run(
        [*command, "--token", sample.token], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(printed.stdout) == there
    add = there["modules"]["samplepkg.functions"]["members"]["add"]
    assert add == json.loads(json.dumps(add))


def test_a_remote_frame_is_seen_in_a_thread_too(pkg: Any) -> None:
    """An exception that a pool hands over keeps its remote frames."""
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(pkg.errors.fail).exception()
    assert failed is not None
    assert "/samplepkg/errors.py" in "".join(traceback.format_exception(failed))
