"""The client's end of a session: threads, interrupts, forks and the end. Real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import poller as client_poller
from wsremote.errors import SessionClosed
from wsremote.server.config import Limits
from wsremote.transport.connection import SocketConnection


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process: it keeps a session for long whose client does not say goodbye."""
    with serving(tmp_path, limits=Limits()) as local:
        yield local


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session of its own."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        yield session


@pytest.fixture
def module(local: Local, session: wsremote.Session) -> Any:
    """The served module."""
    return getattr(session.modules, local.name)


def test_a_fetch_that_is_interrupted_before_it_leaves_takes_no_answer(
    session: wsremote.Session, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers have no number: they are for those who have asked, in order."""
    driver = session._driver
    digest = local.server.inventory.index["modules"][0][1]

    def interrupted(connection: SocketConnection, data: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SocketConnection, "send", interrupted)
        driver.fetch([digest], PATIENCE)
    assert list(driver.fetch([digest], PATIENCE)) == [digest]


def run(local: Local, script: str) -> subprocess.CompletedProcess[str]:
    """Run a client in a process of its own, to its end."""
    lines = (
        "import os, sys, threading, wsremote",
        f"TOKEN, NAME = {TOKEN!r}, {local.name!r}",
        f"session = wsremote.connect({local.url!r}, token=TOKEN)",
        "module = getattr(session.modules, NAME)",
        script,
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_a_program_may_end_with_a_session_open(local: Local) -> None:
    """At once; the server is told, and frees the session."""
    ended = run(local, "print(module.add(1, 2))")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")
    local.settle()


def test_a_program_may_end_while_its_threads_call(local: Local) -> None:
    """Daemon threads in calls, a callback running: the end prints nothing."""
    ended = run(
        local,
        """
inside = threading.Event()
for _ in range(4):
    threading.Thread(target=module.wait, args=["for ever"], daemon=True).start()
    threading.Thread(
        target=lambda: [module.add(number, 1) for number in range(10**9)], daemon=True
    ).start()
threading.Thread(
    target=module.call, args=[lambda: (inside.set(), module.wait("nested"))], daemon=True
).start()
inside.wait()
""",
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    local.settle()


def test_a_forked_child_cannot_use_the_session_and_the_parent_can(local: Local) -> None:
    """The child is told why, may open its own, and disturbs nothing when it ends."""
    ended = run(
        local,
        """
counter = module.Counter()
busy = threading.Thread(target=lambda: [module.add(n, 1) for n in range(3000)])
busy.start()
for number in range(1, 6):
    child = os.fork()
    if not child:
        try:
            counter.step()
        except wsremote.ForkedSession as error:
            assert "forked" in str(error), error
        session.close()
        own = wsremote.connect(session.url, token=TOKEN)
        assert own is not session and getattr(own.modules, NAME).add(2, 2) == 4
        own.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert counter.step() == number
busy.join()
print("right", session.closed)
""",
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "right False\n", "")


def test_a_forked_child_cannot_use_an_async_session(local: Local) -> None:
    """Neither await a call of it nor submit one; the parent can."""
    ended = run(
        local,
        """
import asyncio
async def main():
    async with wsremote.connect_async(session.url, token=TOKEN) as mine:
        add = getattr(mine.modules, NAME).add
        assert await add(1, 2) == 3
        child = os.fork()
        if not child:
            for call in (lambda: add(1, 2), lambda: mine.submit(add, 1, 2), lambda: add([1], [2])):
                try:
                    await call()
                except wsremote.ForkedSession as error:
                    assert "forked" in str(error), error
                else:
                    os._exit(1)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert await add(1, 2) == 3
asyncio.run(main())
print("right")
""",
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "right\n", "")


def test_a_child_forked_inside_a_callback_sends_nothing(local: Local) -> None:
    """Not even the answer to the callback: the session is the parent's."""
    ended = run(
        local,
        """
def fork():
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    return "parent" if child else "child"
try:
    print(module.call(fork), flush=True)
except wsremote.ForkedSession:
    os._exit(7)
print(module.add(1, 2), session.closed)
""",
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "parent\n3 False\n", "")


def test_calls_that_wait_learn_of_the_end(local: Local, session: Any, module: Any) -> None:
    """Whoever closes the session, every waiting thread gets SessionClosed."""
    outcomes: list[str] = []

    def call() -> None:
        try:
            module.wait("for ever")
        except SessionClosed as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
        local.module.started.get(timeout=PATIENCE)
    session.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(outcomes) == 6
    with pytest.raises(SessionClosed, match="it was closed here"):
        module.add(1, 2)


def open_sockets() -> int:
    """How many sockets this process has."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(link.startswith("socket:") for link in links)


def test_a_connection_that_becomes_no_session_leaves_nothing(local: Local) -> None:
    """A wrong token, a server that hangs up: no descriptor is left."""
    barrier(client_poller())
    local.settle()
    before = open_sockets()
    for _ in range(20):
        with pytest.raises(wsremote.AuthenticationFailed):
            wsremote.connect(local.url, token="wrong", new=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(5):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        for _ in range(5):
            with pytest.raises(wsremote.ConnectionFailed):
                wsremote.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", token="any")
        thread.join(PATIENCE)
    while local.server.poller._connections:
        barrier(local.server.poller)
    barrier(local.server.poller)
    assert open_sockets() == before


def test_an_interrupt_in_one_thread_disturbs_no_other(local: Local) -> None:
    """The main thread is interrupted again and again while it may be reading for the others."""
    ended = run(
        local,
        """
import random, signal
wrong, done = [], threading.Event()

def work(number):
    step = 0
    while not done.is_set():
        step += 1
        if module.add(number, step) != number + step:
            wrong.append((number, step))
        if step % 10 == 0 and module.call(lambda: step) != step:
            wrong.append((number, step))

threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
for thread in threads:
    thread.start()
random.seed(11)
caught = number = 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
while caught < 1000:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
        while True:
            number += 1
            answer = module.add(number, 1)
            assert answer == number + 1, (answer, number)
    except KeyboardInterrupt:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
done.set()
for thread in threads:
    thread.join(10)
print(wrong, [thread.is_alive() for thread in threads], session.closed, module.add(1, 2))
session.close()
""",
    )
    assert ended.stderr == ""
    assert ended.stdout == "[] [False, False, False] False 3\n"
    assert ended.returncode == 0


def test_released_functions_are_freed_and_their_finalizers_may_call(
    local: Local, module: Any
) -> None:
    """Never in the thread that receives: a finalizer may use the session."""
    finalized: list[int] = []
    ready = threading.Event()

    class Held:
        def __call__(self) -> int:
            return 1

        def __del__(self) -> None:
            finalized.append(module.add(1, 2))
            ready.set()

    assert module.call(Held()) == 1
    assert module.add(1, 1) == 2
    assert ready.wait(PATIENCE)
    assert finalized == [3]


def test_finalizers_of_cycles_never_hang_a_call(local: Local) -> None:
    """Python may run one in the middle of a sending: its call is made there, or refused."""
    ended = run(
        local,
        """
import gc
made, refused = [], []

class Held:
    def __del__(self):
        try:
            made.append(module.add(1, 2))
        except RuntimeError as error:
            refused.append(str(error))

block = bytes(100_000)
for number in range(4000):
    gc.set_threshold(1 + number % 37)
    held = Held()
    held.me = held
    del held
    assert module.add(number, 1) == number + 1
    if number % 20 == 0:
        assert module.call(len, block) == len(block)
gc.set_threshold(0)
gc.collect()
print(set(made), len(made) + len(refused) > 3000, set(refused) or "none")
session.close()
""",
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith("{3} True")
    assert ended.returncode == 0


@pytest.mark.parametrize("seconds", [None, PATIENCE])
def test_a_call_now_and_then_is_two_messages(
    session: wsremote.Session, module: Any, seconds: float | None
) -> None:
    """Its small answer is acknowledged with the next call, also of a call with a bound of time."""
    driver = session._driver
    with session.timeout(seconds):
        module.add(1, 2)
        driver._send_due()  # of what came before
        for number in range(3):
            before = driver.connection.messages_sent
            assert module.add(number, 1) == number + 1
            driver._send_due()
            assert driver.connection.messages_sent == before + 1
            assert driver._sequence.acknowledged == driver._sequence.received - 1


def test_a_large_answer_is_acknowledged_at_once(session: wsremote.Session, module: Any) -> None:
    """The server keeps it until then, call or no call."""
    driver = session._driver
    for seconds in (None, PATIENCE):
        with session.timeout(seconds):
            assert module.block(100_000) == bytes(100_000)
        driver._send_due()
        assert driver._sequence.acknowledged == driver._sequence.received
