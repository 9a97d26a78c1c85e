"""What happens to the processes of clients and servers: killed, stopped, forked, ended."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy
from harness import ROOT, Serve, ServedProcess

import wsremote

FOLDER = Path(__file__).parent
Client = Callable[..., "subprocess.Popen[str]"]

PRELUDE = """
import os, sys, wsremote
session = wsremote.connect()
steady = session.modules.steady
def say(*words):
    print(*words, flush=True)
def hear():
    return sys.stdin.readline()
"""


@pytest.fixture
def client(proxy: FaultProxy, steady: ServedProcess) -> Iterator[Client]:
    """`client(script)` runs a client in a process of its own, behind the proxy.

    The script has `session`, `steady`, `say` and `hear`.
    """
    with contextlib.ExitStack() as stack:

        def start(script: str, url: str = proxy.url) -> subprocess.Popen[str]:
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "WSREMOTE_URL": url,
                "WSREMOTE_TOKEN": steady.token,
            }
            pipe = subprocess.PIPE
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
                    stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True,
                )
            )  # fmt: skip
            stack.callback(process.kill)
            return process

        yield start


def hear(process: subprocess.Popen[str]) -> str:
    """The next line that a client prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def say(process: subprocess.Popen[str]) -> None:
    """Let a client go on that hears."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_end_of_the_interpreter_says_goodbye(client: Client, direct: Any) -> None:
    """The server frees the session at once: nobody can come back to it."""
    process = client("counter = steady.Counter()\nsay(counter.step())")
    assert process.communicate(timeout=PATIENCE) == ("1\n", "")
    assert process.returncode == 0
    assert direct.wait_for_sessions(1) == 1
    assert direct.alive() == 0


def test_the_interpreter_ends_without_a_connection(client: Client, proxy: FaultProxy) -> None:
    """It does not wait for one."""
    process = client("counter = steady.Counter()\nsay(counter.step())\nhear()")
    assert hear(process) == "1"
    with proxy.outage():
        say(process)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_a_killed_client_keeps_its_session_for_the_time_of_grace(
    serve: Serve, client: Client
) -> None:
    """No longer: then its objects are freed."""
    served = serve("steady", "--grace", "0.5", path=(FOLDER,))
    process = client("counter = steady.Counter()\nsay(counter.step())\nhear()", served.url)
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        direct = session.modules.steady
        assert hear(process) == "1"
        process.kill()
        process.wait()
        assert (direct.sessions(), direct.alive()) == (2, 1)
        assert direct.wait_for_sessions(1) == 1
        assert direct.alive() == 0


def test_a_stopped_server_is_waited_for(
    steady: ServedProcess, proxy: FaultProxy, pkg: Any, begin: Begin
) -> None:
    """Calls, and a resume, that meet it while it is stopped, are served when it goes on."""
    counter = pkg.Counter()
    steady.process.send_signal(signal.SIGSTOP)
    try:
        before = proxy.line.up.messages
        first = begin(counter.step)
        proxy.line.up.wait_messages(before + 1)
        proxy.cut()
        proxy.wait_for_line(1).up.wait_taken(1)
        assert not first.done()
    finally:
        steady.process.send_signal(signal.SIGCONT)
    assert first.result(PATIENCE) == 1
    assert counter.step() == 2


def test_a_stopped_client_misses_nothing(client: Client, proxy: FaultProxy, direct: Any) -> None:
    """Output and result of a call that ended while it was stopped and cut off."""
    process = client("result = steady.talk('stopped', 2000)\nsay('result', result)")
    direct.wait_for_somebody("stopped")
    process.send_signal(signal.SIGSTOP)
    proxy.cut()
    direct.open_door("stopped")
    direct.wait_until_passed("stopped")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=PATIENCE)
    lines = [f"stopped {number}" for number in range(2000)]
    assert out.splitlines() == [*lines, "result stopped"]
    assert (process.returncode, "Traceback" in err) == (0, False)


def test_a_forked_child_raises_and_the_parent_goes_on(client: Client, proxy: FaultProxy) -> None:
    """Also when the connection is cut while the child lives: only the parent resumes."""
    process = client("""
        counter = steady.Counter()
        child = os.fork()
        if child == 0:
            try:
                counter.step()
            except wsremote.errors.ForkedSession as error:
                say("child", type(error).__name__)
            hear()
            os._exit(0)
        os.waitpid(child, 0)
        say("parent", counter.step(), session.closed)
        """)
    assert hear(process) == "child ForkedSession"
    proxy.cut()
    say(process)
    out, err = process.communicate(timeout=PATIENCE)
    assert out == "parent 1 False\n", err
    assert len(proxy.lines) == 2


def test_a_server_out_of_descriptors_serves_whom_it_has(serve: Serve, begin: Begin) -> None:
    """Others wait; a session that was cut off comes back as soon as there is room."""
    served = serve("steady", path=(FOLDER,))
    with (
        FaultProxy(served.url) as proxy,
        wsremote.connect(proxy.url, token=served.token, new=True) as cut,
        wsremote.connect(served.url, token=served.token, new=True) as kept,
        contextlib.ExitStack() as crowd,
    ):
        counter = cut.modules.steady.Counter()
        assert counter.step() == 1
        assert kept.modules.steady.add(1) == 2
        used = len(os.listdir(f"/proc/{served.process.pid}/fd"))
        limit = used + 4
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
        for _ in range(10):
            crowd.enter_context(socket.create_connection(address))
        assert kept.modules.steady.add(2) == 3
        proxy.cut()
        waiting = begin(counter.step)
        proxy.wait_for_line(1)
        for number in range(100):
            assert kept.modules.steady.add(number) == number + 1
        crowd.close()
        assert waiting.result(PATIENCE) == 2
