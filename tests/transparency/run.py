"""Packages' own tests against the package behind a socket: how transparent is wsremote?

    python tests/transparency/run.py                  # all suites: 10 minutes
    python tests/transparency/run.py --suite toolz    # one of them: under a minute

The tests are the authors' own, from the archive that they publish. They run in an
environment in which the package is not installed, against a server that has it. A suite's
score is the share of the tests that pass locally, twice, that pass remotely too; what is
skipped or not collected remotely does not pass. hypothesis draws 15 examples, always the same.
Environments and archives are made once, below the system's temporary folder or `--work`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from running import Outcomes, run  # noqa: E402
from suites import Suite, extracted, load_suites, made_environment  # noqa: E402


def paired(wanted: list[str], outcomes: Outcomes) -> dict[str, str]:
    """The remote test for each local one.

    The names of parameters are made of the objects, and proxies may have others: within a
    test function, those without the same name are paired in order.
    """
    left: dict[str, list[str]] = defaultdict(list)
    known = set(wanted)
    for test in outcomes.collected:
        if test not in known:
            left[function_of(test)].append(test)
    present = set(outcomes.collected)
    pairs = {}
    for test in wanted:
        if test in present:
            pairs[test] = test
        elif left[function_of(test)]:
            pairs[test] = left[function_of(test)].pop(0)
    return pairs


def reason_of(test: str, outcomes: Outcomes) -> str:
    """Why a test does not pass."""
    module = test.partition("::")[0]
    return outcomes.reasons.get(test) or outcomes.reasons.get(module) or "was not run"


def function_of(test: str) -> str:
    """The name of a test without its parameters."""
    return re.sub(r"\[.*$", "", test, flags=re.DOTALL)


def refuse_installed(suite: Suite, client: Path) -> None:
    """See that the client's environment does not have the package itself."""
    code = f"import importlib.util as u; print([n for n in {suite.packages} if u.find_spec(n)])"
    found = subprocess.run([client, "-c", code], capture_output=True, text=True, check=True)
    if found.stdout.strip() != "[]":
        raise SystemExit(f"{suite.name}: the client's environment has {found.stdout.strip()}")


def measure(suite: Suite, work: Path, project: Path) -> dict[str, object]:
    """Run one suite. Gives its line of the table, and the tests that fail."""
    print(f"{suite.name}: environments and tests", file=sys.stderr, flush=True)
    server = made_environment(work, project, [suite.requirement, *suite.needs])
    client = made_environment(work, project, suite.needs)
    tests = extracted(work, suite)
    refuse_installed(suite, client)
    folder = work / "runs" / suite.name
    print(f"{suite.name}: locally", file=sys.stderr, flush=True)
    local = [run(suite, tests, folder / f"local-{n}", server, None) for n in (1, 2)]
    wanted = [t for t in local[0].collected if t in local[0].passed and t in local[1].passed]
    print(f"{suite.name}: remotely", file=sys.stderr, flush=True)
    remote = run(suite, tests, folder / "remote", client, server)
    pairs = paired(wanted, remote)
    failing = {
        test: reason_of(pairs.get(test, test), remote)
        for test in wanted
        if pairs.get(test) not in remote.passed
    }
    return {
        "suite": suite.name,
        "requirement": suite.requirement,
        "local": len(wanted),
        "remote": len(wanted) - len(failing),
        "score": 100 * (len(wanted) - len(failing)) / max(1, len(wanted)),
        "local_seconds": min(each.seconds for each in local),
        "remote_seconds": remote.seconds,
        "restarts": remote.restarts,
        "failing": failing,
    }


def table(lines: list[dict[str, object]]) -> str:
    """The result as a Markdown table."""
    rows = ["| suite | pass locally | pass remotely | score | seconds, local / remote |"]
    rows.append("|---|---:|---:|---:|---:|")
    rows += [
        f"| {line['requirement']} | {line['local']} | {line['remote']} | {line['score']:.1f} % |"
        f" {line['local_seconds']:.1f} / {line['remote_seconds']:.1f} |"
        for line in lines
    ]
    return "\n".join(rows)


def main() -> int:
    """Run the suites that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--suites", type=Path, default=HERE / "suites.toml", help="the list")
    parser.add_argument("--work", type=Path, help="where environments and archives are kept")
    parser.add_argument("--project", type=Path, default=HERE.parents[1], help="the checkout")
    parser.add_argument("--json", type=Path, help="write all results here")
    parser.add_argument("--at-least", type=float, default=0, help="fail below this score, percent")
    options = parser.parse_args()
    work = options.work or Path(tempfile.gettempdir()) / "wsremote-transparency-suites"
    lines = [
        measure(suite, work.resolve(), options.project.resolve())
        for suite in load_suites(options.suites, options.suite)
    ]
    for line in lines:
        failing = line["failing"]
        assert isinstance(failing, dict)
        for test, reason in failing.items():
            print(f"{test}\n    {reason.splitlines()[0] if reason else ''}")
    print(table(lines))
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))
    return 0 if all(line["score"] >= options.at_least for line in lines) else 1  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
