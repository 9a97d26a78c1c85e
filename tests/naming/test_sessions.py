"""Sessions that were opened by a name: which one, where they stay, when another is opened."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.proxy import FaultProxy
from harness import ROOT, Serve, ServedProcess

import wsremote
from wsremote.errors import ConnectionFailed, NameNotFound, SessionLost

from .conftest import Say


@pytest.fixture(autouse=True)
def environment(lying: ServedProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user sets it who writes `wsremote.connect("risk")`."""
    monkeypatch.setenv("WSREMOTE_NAMESERVER", lying.url)
    monkeypatch.setenv("WSREMOTE_TOKEN", lying.token)


def test_the_connect_cell_may_be_run_twice(right: ServedProcess, say: Say) -> None:
    """It gives the session that is open already, wherever the name leads now."""
    say(right.url)
    with wsremote.connect("risk") as session:
        assert session.url == right.url
        say("ws://127.0.0.1:1")
        assert wsremote.connect("risk") is session
        assert wsremote.connect("risk", tags=()) is session
    say(right.url)
    with wsremote.connect("risk") as another:
        assert another is not session
        with wsremote.connect("risk", new=True) as third:
            assert third is not another
            assert wsremote.connect("risk") is another
        with wsremote.connect(right.url) as by_url:
            assert by_url is not another


def test_a_cut_session_goes_on_at_its_own_server(
    right: ServedProcess, serve: Serve, say: Say
) -> None:
    """However the name has changed: its objects are there."""
    other = serve("json")
    with FaultProxy(right.url) as proxy:
        say(proxy.url)
        with wsremote.connect("risk", new=True) as session:
            decoder = session.modules.json.JSONDecoder()
            say(other.url)
            proxy.cut()
            assert decoder.decode("[1]") == [1]
            assert session.url == proxy.url
            assert len(proxy.lines) == 2
            with wsremote.connect("risk", new=True) as another:
                assert another.url == other.url


def test_a_lost_session_is_followed_by_one_where_the_name_leads_now(
    serve: Serve, say: Say, tmp_path: Path
) -> None:
    """The server was started again elsewhere."""
    first = serve("json")
    say(first.url)
    session = wsremote.connect("risk")
    first.stop()
    with pytest.raises(SessionLost):
        session.modules.json.dumps(1)
    second = serve("json")
    say(second.url)
    with wsremote.connect("risk") as another:
        assert another.url == second.url


def test_a_session_without_a_connection_is_kept_while_the_name_leads_to_it(
    right: ServedProcess, serve: Serve, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """It may come back. Where its server is gone for good, another session takes its place."""
    other = serve("json")
    with FaultProxy(right.url) as proxy:
        say(proxy.url)
        session = wsremote.connect("risk")
        with proxy.outage():
            while session.connected:
                pass
            assert wsremote.connect("risk") is session
            say("fail(OSError('the name server is down as well'))")
            assert wsremote.connect("risk") is session
            say(other.url)
            with wsremote.connect("risk") as another:
                assert another.url == other.url
                assert wsremote.connect("risk") is another
        assert "another one is looked for" in caplog.text
        session.close()


# ---- in an event loop --------------------------------------------------------------------


async def test_the_same_in_an_event_loop(right: ServedProcess, say: Say) -> None:
    """One session for all who ask for the name at once; a block has its own."""
    say(right.url)
    first, second = await asyncio.gather(
        wsremote.connect_async("risk"), wsremote.connect_async("risk")
    )
    assert first is second
    async with wsremote.connect_async("risk") as own:
        assert own is not first
        assert await own.modules.json.dumps([1]) == "[1]"
    await first.close()


async def test_the_next_server_is_tried_in_a_loop_too(
    right: ServedProcess, serve: Serve, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """And if none can be used, each is named."""
    impostor = serve("json", token="of an impostor")
    say(impostor.url, right.url)
    async with wsremote.connect_async("risk") as session:
        assert session.url == right.url
    assert f"{impostor.url} cannot be used" in caplog.text
    say(impostor.url)
    with pytest.raises(ConnectionFailed, match=f"the server of risk.*{impostor.url}"):
        await wsremote.connect_async("risk")


async def test_a_session_that_was_moved_is_replaced_in_a_loop_too(
    right: ServedProcess, serve: Serve, say: Say
) -> None:
    """As for the blocking face."""
    other = serve("json")
    with FaultProxy(right.url) as proxy:
        say(proxy.url)
        session = await wsremote.connect_async("risk")
        with proxy.outage():
            while session.connected:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            assert await wsremote.connect_async("risk") is session
            say(other.url)
            another = await wsremote.connect_async("risk")
            assert another.url == other.url
            await another.close()
            await session.close()


async def test_a_look_up_does_not_block_the_loop(
    lying: ServedProcess, right: ServedProcess, say: Say
) -> None:
    """The answer of this one comes only when the loop has done something meanwhile."""
    go = lying.errors.parent / "answer.json.go"
    say("told()")

    asked = go.with_suffix(".asked")

    async def answer() -> None:
        while not asked.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0)
        beside = go.with_name("beside")
        beside.write_text(
            json.dumps([{"name": "risk", "id": "1", "urls": [right.url], "state": "pinned"}])
        )
        beside.replace(go)

    try:
        connecting = asyncio.ensure_future(wsremote.connect_async("risk", new=True))
        await answer()
        await (await connecting).close()
    finally:
        go.unlink()
        asked.unlink()


async def test_a_look_up_can_be_cancelled(lying: ServedProcess, say: Say) -> None:
    """At once; what still comes of it is thrown away."""
    asked = lying.errors.parent / "waits"
    say(f"(Path({str(asked)!r}).touch(), time.sleep(30))")
    task = asyncio.ensure_future(wsremote.connect_async("risk"))
    while not asked.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_errors_in_a_loop(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are those of the blocking face, raised when it is awaited or before."""
    say("fail(wsremote.errors.NameNotFound('no such name'))")
    with pytest.raises(NameNotFound, match="no such name"):
        await wsremote.connect_async("risk")
    monkeypatch.delenv("WSREMOTE_NAMESERVER")
    with pytest.raises(ConnectionFailed, match="WSREMOTE_NAMESERVER"):
        wsremote.connect_async("risk")


# ---- interrupts --------------------------------------------------------------------------

INTERRUPTED = """
import wsremote
try:
    wsremote.connect("risk", timeout=50)
except KeyboardInterrupt:
    print("interrupted", flush=True)
with wsremote.connect({url!r}) as session:
    print(session.modules.json.dumps(1), flush=True)
"""


def test_an_interrupt_ends_a_look_up(
    lying: ServedProcess, right: ServedProcess, say: Say, tmp_path: Path
) -> None:
    """At once, and what comes after works."""
    asked = lying.errors.parent / "asked"
    asked.unlink(missing_ok=True)
    say(f"(Path({str(asked)!r}).touch(), time.sleep(40))")
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", INTERRUPTED.format(url=right.url)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not asked.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (out, errors) == ("interrupted\n1\n", "")
    assert process.returncode == 0


AT_ANY_MOMENT = """
import os, random, signal, wsremote

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def work(number):
    with wsremote.connect("risk", new=True) as session:
        assert session.modules.json.dumps(number) == str(number)

def interrupt(*_):
    raise KeyboardInterrupt

for number in range(3):
    work(number)
before, caught = descriptors(), 0
random.seed(7)
signal.signal(signal.SIGALRM, interrupt)
while caught < 150:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 0.02))
        wsremote.connect("risk", new=True).close()
    except KeyboardInterrupt:
        caught += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        caught += 1
    if caught % 10 == 0:
        work(caught)
while descriptors() > before + 5:
    work(0)
print("done", flush=True)
"""


def test_interrupts_at_any_moment(right: ServedProcess, say: Say) -> None:
    """Of the look-up, of connecting: the next one works, and no connection is left behind."""
    say(right.url)
    done = subprocess.run(
        [sys.executable, "-c", AT_ANY_MOMENT],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr


def test_warnings_are_for_people(
    right: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes well says nothing above level info."""
    say(right.url)
    wsremote.connect("risk", new=True).close()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
