"""One run of a suite: a server, and a pytest process that is begun anew when it is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from suites import Suite, environment

__all__ = ["Outcomes", "run"]

TEST_TIMEOUT = 20
"""Seconds of a test."""

STALLED = 90
"""Seconds without any outcome after which the process is taken for lost."""

MOST_RESTARTS = 40
HERE = Path(__file__).parent


@dataclass
class Outcomes:
    """What has become of the tests of one run.

    Attributes:
        collected: In order.
        passed: Those that passed in all their phases.
        reasons: Why others did not.
        seconds: Of the run.
        restarts: Processes that were lost.
    """

    collected: list[str] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    restarts: int = 0


def run(suite: Suite, tests: Path, folder: Path, client: Path, server: Path | None) -> Outcomes:
    """Run a suite.

    Args:
        suite: Which.
        tests: Its extracted tests.
        folder: For what the processes write; emptied before.
        client: The Python that runs the tests.
        server: The Python that serves the package; None for a local run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    outcomes = Outcomes()
    began = time.monotonic()
    done: set[str] = set()
    while outcomes.restarts <= MOST_RESTARTS:
        lines = folder / f"outcomes-{outcomes.restarts}"
        lines.touch()
        served = None if server is None else _Served(suite, server, folder)
        try:
            _run_pytest(suite, tests, lines, client, served, done)
        finally:
            if served is not None:
                served.stop()
        if _take(lines, outcomes, done):
            break
        outcomes.restarts += 1
    outcomes.seconds = time.monotonic() - began
    return outcomes


class _Served:
    """A server process, in a folder that holds no tests."""

    def __init__(self, suite: Suite, python: Path, folder: Path) -> None:
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        options = ["--port", "0", "--token", "transparency", "--ready-file", str(ready)]
        self.log = (folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [python, "-m", "wsremote", "serve", *suite.packages, *options],
            cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{suite.name} is not served; see {folder / 'server.log'}")
            time.sleep(0.05)
        self.url: str = json.loads(ready.read_text())["url"]

    def stop(self) -> None:
        """End it."""
        _end(self.process)
        self.log.close()


def _run_pytest(
    suite: Suite, tests: Path, lines: Path, client: Path, served: _Served | None, done: set[str]
) -> None:
    """One process, until it ends or is lost."""
    variables = environment() | {
        "PYTHONPATH": str(HERE),
        "TRANSPARENCY_OUTCOMES": str(lines),
        "TRANSPARENCY_DONE": json.dumps(sorted(done)),
    }
    if served is not None:
        variables |= {"TRANSPARENCY_URL": served.url, "WSREMOTE_TOKEN": "transparency"}
    options = [
        *("-q", "--tb=short", "-p", "plugin", "-p", "no:cacheprovider"),
        *("--continue-on-collection-errors", "--rootdir", str(tests), "-c", "pytest.ini"),
        *("--timeout", str(TEST_TIMEOUT), "--timeout-method", "signal"),
        *(f"--deselect={test}" for test in suite.left_out),
    ]
    with lines.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [client, "-m", "pytest", *options, *suite.files],
            cwd=tests, env=variables, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        size, changed = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.1)
            if lines.stat().st_size != size:
                size, changed = lines.stat().st_size, time.monotonic()
            elif time.monotonic() - changed > STALLED:
                break
        _end(process)


def _take(lines: Path, outcomes: Outcomes, done: set[str]) -> bool:
    """Read what a process has written. Whether it came to its end."""
    ended = False
    started = None
    failed: set[str] = set()
    called: set[str] = set()
    for line in lines.read_text().splitlines():
        event = json.loads(line)
        if "collected" in event:
            outcomes.collected += [t for t in event["collected"] if t not in outcomes.collected]
        elif "started" in event:
            started = event["started"]
            done.add(started)
        elif "reason" in event:
            outcomes.reasons[event.get("test") or event["uncollected"]] = event["reason"]
        elif "phase" in event:
            if event["outcome"] != "passed":
                failed.add(event["test"])
            elif event["phase"] == "call":
                called.add(event["test"])
        elif "lost" in event:
            failed.add(event["lost"])
        ended = ended or "ended" in event
    if not ended and started is not None:
        failed.add(started)
        outcomes.reasons.setdefault(started, "the process or the session was lost")
    outcomes.passed |= called - failed
    # Without a test begun, the same would happen again.
    return ended or started is None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass  # it has ended already
        try:
            process.wait(5)
            return
        except subprocess.TimeoutExpired:
            continue
