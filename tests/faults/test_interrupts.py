"""Ctrl-C at any moment, also of a session that is being resumed."""

from __future__ import annotations

import os
import subprocess
import sys

from faults.proxy import FaultProxy
from faults.schedules import EveryNth
from harness import ROOT, ServedProcess

SCRIPT = """
import random, signal, wsremote
import numpy as np
session = wsremote.connect()
steady = session.modules.steady
counter = steady.Counter()
add = steady.add
add(0, 0)
caught = number = 0
random.seed(11)
signal.signal(signal.SIGALRM, signal.default_int_handler)
while caught < 1000:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-3))
        while True:
            number += 1
            answer = add(number, 1)
            assert answer == number + 1, (answer, number)
    except KeyboardInterrupt:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert add(caught, caught) == 2 * caught
    assert counter.step() == caught
array = np.arange(50_000.0)
while caught < 1200:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 8e-3))
        while True:
            assert steady.total(array) == array.sum()
            assert steady.call(lambda value: value, caught) == caught
    except KeyboardInterrupt:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert add(caught, caught) == 2 * caught
driver = session._driver
# One each may be lost between two bytecodes.
assert len(driver._outgoing) <= 3, len(driver._outgoing)
assert len(driver._abandoned) <= 3, driver._abandoned
assert driver._lanes.mine.number <= 3, driver._lanes.mine.number
print("right", session.closed)
"""


def test_a_thousand_interrupts_are_each_followed_by_a_right_answer(
    steady: ServedProcess, proxy: FaultProxy
) -> None:
    """At random moments of a loop of small calls, with cuts in between; then of larger ones.

    Nothing is kept of the calls that were given up, and the thread keeps its lane.
    """
    proxy.plan = schedule = EveryNth(97, seed=6)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WSREMOTE_URL": proxy.url,
        "WSREMOTE_TOKEN": steady.token,
    }
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.returncode) == ("right False\n", 0), ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr
    assert schedule.faults > 100
