"""The benchmark runs, and each result that it measures is the right one. No figure is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytest.importorskip("numpy")


def test_workloads_run(tmp_path: Path) -> None:
    """Fails if a workload of wsremote gives a wrong result, or uses an API that is gone."""
    groups = ["call", "method", "attribute", "streams", "generator", "mirrors", "first results"]
    file = tmp_path / "figures.json"
    arguments = [
        "--rounds",
        "1",
        "--count",
        "1",
        "--peers",
        "bare",
        "wsremote",
        "--json",
        str(file),
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", *arguments, "--workloads", *groups],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["failures"] == {}
    measured = {name for name, times in found["microseconds"].items() if "wsremote" in times}
    expected = {"call", "await", "map", "pipeline", "submit", "gather", "generator", "mirror read"}
    assert expected <= measured
