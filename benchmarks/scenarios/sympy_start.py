"""From `connect()` to the first result, in a fresh process, of a server of sympy.

Cold: a server nobody has asked yet, a client without a cache. Warm: the same client's
next process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from processes import environment

from scenarios import Scenario, Sizes
from scenarios.served import serving

if TYPE_CHECKING:
    from scenarios import Record

CLIENT = """
import sys, time
import wsremote
connect = wsremote.connect
start = time.perf_counter()
session = connect(sys.argv[1], token=sys.argv[2])
answer = session.modules.sympy.isprime(7)
print(1000 * (time.perf_counter() - start))
assert answer is True, answer
session.close()
"""
TIMEOUT = 120


def first_result(url: str, token: str, cache: str) -> float:
    """Milliseconds, in a new process with that cache."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, url, token],
        cwd=cache,
        env={**environment(), "WSREMOTE_CACHE": cache},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the client ended: {done.stderr[-500:]}")
    return float(done.stdout.splitlines()[0])


WARM_STARTS = 3


def measure(sizes: Sizes, record: Record) -> None:
    """A fresh server a round.

    Raises:
        RuntimeError: The server or a client does not work.
    """
    for _ in range(min(sizes.rounds, 3)):
        with serving("sympy") as server, tempfile.TemporaryDirectory() as cache:
            record("cold", first_result(server.url, server.token, cache))
            for _ in range(WARM_STARTS):
                record("warm", first_result(server.url, server.token, cache))


SCENARIO = Scenario(
    "start",
    "sympy served: from connect() to the first result",
    {"cold": "ms", "warm": "ms"},
    measure,
)
