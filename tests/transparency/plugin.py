"""In pytest: `import PKG` is the served package, and each outcome goes to a file at once.

Loaded by `running.py` with `-p`. The environment says where the server is; without it the
run is a local one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

OUTCOMES = Path(os.environ["TRANSPARENCY_OUTCOMES"])
DONE = set(json.loads(os.environ["TRANSPARENCY_DONE"]))
URL = os.environ.get("TRANSPARENCY_URL")

_session: Any = None


def say(**event: Any) -> None:
    """One line, kept whatever happens to this process next."""
    with OUTCOMES.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(event) + "\n")


def pytest_load_initial_conftests() -> None:
    """Before anything is imported: few examples, always the same, and the served package."""
    global _session
    try:
        import hypothesis
    except ImportError:
        pass  # this suite does not use it
    else:
        quick = hypothesis.settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.settings.register_profile("quick", quick)
        hypothesis.settings.load_profile("quick")
    if URL is not None and _session is None:
        import wsremote

        _session = wsremote.connect(URL)
        _session.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another process has run already."""
    say(collected=[item.nodeid for item in items])
    items[:] = [item for item in items if item.nodeid not in DONE]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A test module that cannot be imported."""
    if report.failed:
        say(uncollected=report.nodeid, reason=report.longreprtext.splitlines()[-1][:1000])


def pytest_runtest_logstart(nodeid: str) -> None:
    """A process that ends here leaves the name of its last test."""
    say(started=nodeid)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Why a test fails."""
    if call.excinfo is not None:
        say(test=item.nodeid, reason=call.excinfo.exconly(tryshort=True)[:1000])


def pytest_report_teststatus(report: pytest.TestReport) -> None:
    """Each phase of a test."""
    say(test=report.nodeid, phase=report.when, outcome=report.outcome)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """A session that is over would fail all tests that are left."""
    if _session is not None and _session.closed:
        say(lost=nodeid)
        pytest.exit("the session is over", returncode=9)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """All tests of this process are done."""
    if exitstatus in (0, 1, 5):
        say(ended=True)
