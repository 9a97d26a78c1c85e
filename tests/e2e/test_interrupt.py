"""Ctrl-C, and output that comes while a call runs. In client processes of their own."""

from __future__ import annotations

import signal
import subprocess

from harness import expect, run


def test_an_interrupt_ends_a_waiting_call_and_the_session_goes_on(
    client: subprocess.Popen[str],
) -> None:
    """It raises within 0.3 s, the server stops the call, and the next call works at once."""
    run(
        client,
        """
import time, wsremote
session = wsremote.connect()
functions, clock = session.modules.samplepkg.functions, session.modules.time
print("calling", flush=True)
try:
    functions.busy(60)
except KeyboardInterrupt:
    interrupted = time.monotonic()
    assert functions.add(1, 2) == 3
    print("quick" if time.monotonic() - interrupted < 2 else "slow", flush=True)
# The server's lane is free: the interrupted call does not run on.
print(functions.add(3, 4), session.closed, flush=True)
session.close()
""",
    )
    expect(client, "calling")
    expect_running(client)
    client.send_signal(signal.SIGINT)
    expect(client, "quick")
    expect(client, "7 False")
    assert client.wait(10) == 0


def test_a_call_in_c_code_does_not_hold_up_the_next(client: subprocess.Popen[str]) -> None:
    """It cannot be stopped; its client thread goes on beside it, at once."""
    run(
        client,
        """
import threading, time, wsremote
session = wsremote.connect()
functions, clock = session.modules.samplepkg.functions, session.modules.time
print("calling", flush=True)
try:
    functions.talk_and_sleep(60)
except KeyboardInterrupt:
    interrupted = time.monotonic()
    assert functions.add(1, 2) == 3
    print("quick" if time.monotonic() - interrupted < 20 else "slow", flush=True)
assert functions.add(2, 2) == 4
session.close()
""",
    )
    expect(client, "calling")
    expect(client, "sleeping")
    client.send_signal(signal.SIGINT)
    expect(client, "quick")
    assert client.wait(10) == 0


def expect_running(process: subprocess.Popen[str]) -> None:
    """The served function says that it has begun."""
    expect(process, "busy")


def test_a_storm_of_interrupts_loses_no_session(client: subprocess.Popen[str]) -> None:
    """Interrupts at random moments of a loop of small calls: every answer is right."""
    run(
        client,
        """
import random, signal, wsremote
session = wsremote.connect()
add = session.modules.samplepkg.functions.add
add(0, 0)
caught = 0
number = 0
random.seed(7)
signal.signal(signal.SIGALRM, signal.default_int_handler)
while caught < 100:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-3))
        while True:
            number += 1
            answer = add(number, 1)
            assert answer == number + 1, (answer, number)
    except KeyboardInterrupt:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert add(caught, caught) == 2 * caught
print("right", session.closed, flush=True)
""",
    )
    expect(client, "right False")


def test_output_comes_while_the_call_runs(client: subprocess.Popen[str]) -> None:
    """A served function's prints are seen before it returns, in order with the result."""
    run(
        client,
        """
import wsremote
session = wsremote.connect()
functions = session.modules.samplepkg.functions
print("result", functions.talk_and_wait(), flush=True)
""",
    )
    expect(client, "one")
    expect(client, "two")
    expect(client, "result 3")
