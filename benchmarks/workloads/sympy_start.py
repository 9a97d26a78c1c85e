"""From `connect()` to the first result, in a fresh process, of a server of sympy.

Cold: a server nobody has asked yet, a client without a cache. Warm: the same client's
next process.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from peers.wsremote_server import ROOT, start_server

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


def first_result(url: str, token: str, cache: Path) -> float:
    """Milliseconds, in a new process with that cache."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, url, token],
        env={**os.environ, "PYTHONPATH": str(ROOT), "WSREMOTE_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the client ended: {done.stderr[-500:]}")
    return float(done.stdout.splitlines()[0])


def measure(rounds: int, warm_starts: int = 3) -> dict[str, list[float]]:
    """Milliseconds of each start, cold and warm.

    Raises:
        RuntimeError: The server or a client does not work.
    """
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            token = secrets.token_urlsafe()
            process, url = start_server("sympy", folder, token)
            try:
                cold.append(first_result(url, token, folder / "cache"))
                warm += [first_result(url, token, folder / "cache") for _ in range(warm_starts)]
            finally:
                process.kill()
                process.wait()
    return {"cold": cold, "warm": warm}
