"""Ctrl-C at any moment, forks and ends of programs, with futures and pipelines under way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, ServedProcess, start_server

HERE = Path(__file__).parent

START = """
import concurrent.futures, gc, os, random, signal, sys, threading, time, wsremote
session = wsremote.connect()
module = session.modules.streamed
random.seed(5)
armed = False

def interrupt(*_):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)

def soon(most=3e-3):
    global armed
    armed = True
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, most))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `streamed`, whose log has no traceback in the end."""
    served = start_server("streamed", folder=tmp_path_factory.mktemp("server"), path=(HERE,))
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


def run(served: ServedProcess, script: str) -> tuple[str, str]:
    """Run a client to its end, which must be a good one; gives what it prints and logs."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WSREMOTE_URL": served.url,
        "WSREMOTE_TOKEN": served.token,
    }
    ended = subprocess.run(
        [sys.executable, "-c", START + script],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    # An interrupt inside of a finalizer is shown by Python, and nothing else is.
    assert "Error" not in ended.stderr, ended.stderr[-3000:]
    return ended.stdout, ended.stderr


def test_interrupts_while_calls_are_submitted(served: ServedProcess) -> None:
    """Each future that was given to the caller ends with its own value; no call runs twice."""
    out, _ = run(
        served,
        """
module.take_log()
made = []
caught = number = 0
while caught < 300:
    try:
        soon()
        while True:
            number += 1
            made.append((number, session.submit(module.note, number, -number)))
    except KeyboardInterrupt:
        caught += 1
    armed = False
    assert module.add(caught, 1) == caught + 1
for number, future in made:
    assert future.result(20) == -number
log = module.take_log()
assert len(set(log)) == len(log), "a call ran twice"
ran = set(log)
assert all(number in ran for number, _ in made)
# What was interrupted in submit() itself may have run, or not.
assert len(log) - len(made) <= caught
submitting = session._driver.submitting
deadline = time.monotonic() + 20
while submitting._open and time.monotonic() < deadline:
    time.sleep(0.05)
print("right", len(submitting._open), len(session._driver._calls), session.closed)
session.close()
""",
    )
    assert out == "right 0 0 False\n"


def test_interrupts_while_results_are_waited_for(served: ServedProcess) -> None:
    """Whoever is interrupted asks again, and gets the value."""
    out, _ = run(
        served,
        """
caught = 0
while caught < 300:
    made = [session.submit(module.note, number, number) for number in range(200)]
    things = [session.submit(module.Thing, number) for number in range(20)]
    wrong = [session.submit(module.fail, str(number)) for number in range(5)]
    while True:
        try:
            soon()
            assert [each.result(20) for each in made] == list(range(200))
            assert len({each.result(20) for each in things}) == 20
            assert [str(each.exception(20)) for each in wrong] == list("01234")
            armed = False
            break
        except KeyboardInterrupt:
            caught += 1
    armed = False
    assert module.add(caught, 1) == caught + 1
# What an interrupted reader has left is cleared away within a second.
deadline = time.monotonic() + 20
while session._driver.submitting._open and time.monotonic() < deadline:
    time.sleep(0.05)
print("right", len(session._driver.submitting._open), session.closed)
session.close()
""",
    )
    assert out == "right 0 False\n"


def test_interrupts_of_map(served: ServedProcess) -> None:
    """The iterator is at its end then; the session and the next `map` are right."""
    out, _ = run(
        served,
        """
caught = 0
while caught < 200:
    found = []
    try:
        soon(6e-3)
        for value in session.map(module.add, range(1000), range(1000)):
            found.append(value)
    except KeyboardInterrupt:
        caught += 1
    armed = False
    assert found == list(range(0, 2000, 2))[: len(found)]
    assert list(session.map(module.add, [1, 2, 3], [caught] * 3)) == [caught + n for n in (1, 2, 3)]
gc.collect()
deadline = time.monotonic() + 20
while session._driver.submitting._open and time.monotonic() < deadline:
    time.sleep(0.05)
print("right", len(session._driver.submitting._open), session.closed)
session.close()
""",
    )
    assert out == "right 0 False\n"


def test_interrupts_of_pipelines(served: ServedProcess) -> None:
    """The block is left; what is not sent never runs; the session and the next block are right."""
    out, _ = run(
        served,
        """
module.take_log()
caught = done = number = 0
while caught < 200:
    promises = []
    try:
        soon(6e-3)
        with session.pipeline():
            for _ in range(300):
                number += 1
                promises.append(module.note(number, number))
            thing = module.Thing(number)
            thing.value += 1
            last = thing.value
        assert last.result() == number + 1
        done += 1
    except KeyboardInterrupt:
        caught += 1
    armed = False
    for promise in promises[::50]:
        try:
            assert promise.result() > 0
        except wsremote.errors.CallCancelled:
            pass
    with session.pipeline():
        first = module.add(caught, 1)
        second = first + 1
    assert second.result() == caught + 2
log = module.take_log()
assert len(set(log)) == len(log), "a call ran twice"
assert log == sorted(log), "out of order"
del promises, promise, thing, last, first, second
gc.collect()
module.add(1, 1)
deadline = time.monotonic() + 10
while (module.alive() > 20 or len(session._driver._calls) > 20) and time.monotonic() < deadline:
    time.sleep(0.05)
# A finalizer that an interrupt hits releases nothing; of 200 interrupts few hit one.
print(module.alive(), session._driver._calls, file=sys.stderr)
print("right", module.alive() <= 20, len(session._driver._calls) <= 20, session.closed)
session.close()
""",
    )
    assert out == "right True True False\n"


def test_an_interrupt_that_is_caught_inside_of_the_block(served: ServedProcess) -> None:
    """The block goes on, in order, and ends."""
    out, _ = run(
        served,
        """
module.take_log()
caught = rounds = number = 0
while caught < 150:
    rounds += 1
    promises = []
    with session.pipeline():
        for _ in range(300):
            number += 1
            try:
                soon()
                promises.append((number, module.note(number, number)))
                if number % 50 == 0:
                    assert promises[0][1].result() == promises[0][0]
                armed = False
            except KeyboardInterrupt:
                caught += 1
            armed = False
    for expected, promise in promises:
        assert promise.result() == expected
log = module.take_log()
assert len(set(log)) == len(log), "a call ran twice"
assert log == sorted(log), "out of order"
print("right", session.closed)
session.close()
""",
    )
    assert out == "right False\n"


def test_an_interrupt_in_a_block_whose_call_hears_none(served: ServedProcess) -> None:
    """It is in C code: what follows goes behind it all the same, for the calls of the block."""
    out, _ = run(
        served,
        """
with session.pipeline():
    slow = module.call(time.sleep, 1.0)
    after = module.add(1, 1)
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        slow.result()
    except KeyboardInterrupt:
        print("interrupted")
    last = module.add(2, 2)
    print(after.result(), last.result(), type(last))
print(module.add(3, 3))
session.close()
""",
    )
    assert out == "interrupted\n2 4 <class 'wsremote.client.promises.Promise'>\n6\n"


def test_an_interrupt_ends_a_wait_at_once(served: ServedProcess) -> None:
    """`result` raises KeyboardInterrupt, and the call itself goes on."""
    out, _ = run(
        served,
        """
future = session.submit(module.wait, "interrupted")
started = time.monotonic()
try:
    armed = True
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    future.result()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started < 5, future.done())
module.open_door("interrupted")
print(future.result(20))
session.close()
""",
    )
    assert out == "interrupted True False\ninterrupted\n"


@pytest.mark.parametrize(
    "script",
    [
        "[session.submit(module.add, n, 1) for n in range(5000)]",
        "slow = [session.submit(module.wait, 'for ever') for _ in range(4)]",
        "results = session.map(module.add, range(10**9), range(10**9)); next(results)",
        """
future = session.submit(module.wait, "for ever")
threading.Thread(target=future.result, daemon=True).start()
""",
        "slow = session.submit(module.call, time.sleep, 0.3)",
        "slow = session.submit(module.say, 'text'); slow.add_done_callback(lambda _: None)",
        """
block = session.pipeline()
block.__enter__()
kept = [module.Thing(n) for n in range(999)]
""",
        """
def work():
    with session.pipeline():
        while True:
            module.note(1)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
""",
        """
with session.pipeline():
    kept = [module.Thing(n) for n in range(100)]
""",
    ],
)  # fmt: skip
def test_a_program_may_end_with_calls_under_way(served: ServedProcess, script: str) -> None:
    """At once, with exit code 0 and nothing on stderr."""
    out, err = run(served, script + "\nprint('the end')\n")
    assert "the end" in out
    assert err == ""


def test_a_fork_with_calls_under_way(served: ServedProcess) -> None:
    """The parent's futures and promises come; the child's say that it is a fork."""
    out, _ = run(
        served,
        """
module.add(1, 1)
made = [session.submit(module.add, number, 1) for number in range(3000)]
block = session.pipeline()
with block:
    promise = module.add(20, 2)
    child = os.fork()
    if child == 0:
        code = 0
        for use in (
            lambda: made[-1].result(5), lambda: session.submit(module.add, 1, 2).result(5),
            lambda: promise.result(), lambda: list(session.map(module.add, [1], [2])),
            lambda: block.__exit__(None, None, None),
        ):
            try:
                use()
                code += 1
            except wsremote.errors.SessionClosed:
                pass
            except BaseException as error:
                print("child:", repr(error), flush=True)
                code += 100
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert promise.result() == 22
assert [each.result(20) for each in made] == list(range(1, 3001))
print("right", session.closed)
session.close()
""",
    )
    assert out == "right False\n"
