"""Measure wsremote beside its peers: `python benchmarks/run.py`. See README.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measurements import Measurements
from peers import PEERS
from processes import PeerFailed, RunningPeer, idle_cores
from report import as_json, as_markdown, bars_as_markdown
from scenarios import Sizes, known_scenarios
from workloads import known_workloads

if TYPE_CHECKING:
    from scenarios import Scenario
    from workloads import Workload

WORKLOADS = known_workloads()
SCENARIOS = known_scenarios()
STARTED = time.monotonic()
GROUPS = sorted({workload.group for workload in WORKLOADS.values()})

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def main() -> int:
    """Run what the command line says. 0 whatever the figures are: they are for people."""
    options = _options()
    if options.checkout is not None:
        # For all processes that are started; the measuring one imports no wsremote.
        os.environ["BENCHMARK_CHECKOUT"] = str(options.checkout.resolve())
    # So that what runs is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    workloads = [
        each
        for each in WORKLOADS.values()
        if each.name in options.workloads
        or each.group in options.workloads
        or ("default" in options.workloads and each.by_default)
    ]
    sizes = Sizes(options.rounds)
    if options.quick:
        sizes = Sizes(options.rounds, sessions=1000, bulk=200, handles=10_000, names=1000)
    is_whole = "default" in options.workloads and len(options.peers) == len(PEERS)
    found = Measurements(sizes, is_whole)
    if workloads:
        _measure_workloads(workloads, options, sizes, found)
    for name, scenario in SCENARIOS.items():
        if "wsremote" in options.peers and {name, "default"} & set(options.workloads):
            _measure_scenario(scenario, _settled(sizes, options.cores), found)
    _say("done")
    print((bars_as_markdown if options.markdown else as_markdown)(found), end="")
    if options.into is not None:
        _put_into(options.into, bars_as_markdown(found))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found), indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    peers = [peer.key for peer in PEERS]
    names = [*dict.fromkeys(["default", *GROUPS, *WORKLOADS, *SCENARIOS])]
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 2")
    parser.add_argument("--count", type=int, help="operations in a measurement; default: its own")
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="PEER")
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=names,
        default=["default"],
        metavar="WORKLOAD",
        help=f"of: {', '.join(names)}; default: all but mirrors",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="1,000 idle sessions, 200 MB beside small calls, 10,000 handles",
    )
    parser.add_argument(
        "--cores",
        nargs=2,
        type=int,
        metavar="CORE",
        help="a server and a client run on these; default: the idlest",
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="whose wsremote is measured; default: this"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, for a program")
    parser.add_argument("--markdown", action="store_true", help="print the table of bars only")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help=f"put it between the lines {BEGIN} and {END} of FILE, such as README.md",
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def _say(text: str) -> None:
    """What is measured from now on, and after how many seconds."""
    print(f"{time.monotonic() - STARTED:4.0f} s: {text}", file=sys.stderr)


def _put_into(file: Path, table: str) -> None:
    """Put the table where it stands in a page."""
    head, begin, rest = file.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{file} has no lines {BEGIN} and {END}: the table is above")
    file.write_text(f"{head}{BEGIN}\n{table}{END}{tail}")


def _settled(sizes: Sizes, chosen: list[int] | None) -> Sizes:
    """On which cores the next is measured: those chosen, else the idlest of the moment."""
    cores = (chosen[0], chosen[1]) if chosen else idle_cores()
    return dataclasses.replace(sizes, cores=cores)


def _measure_workloads(
    workloads: list[Workload], options: argparse.Namespace, sizes: Sizes, found: Measurements
) -> None:
    running = _start(options.peers, found)
    try:
        for number in range(sizes.rounds):
            _say(f"round {number + 1} of {sizes.rounds}")
            sizes = _settled(sizes, options.cores)
            for workload in workloads:
                for _ in range(workload.passes if number < workload.rounds else 0):
                    _measure(workload, running, options.count, sizes, found)
    finally:
        for peer in running.values():
            peer.stop()


def _start(keys: list[str], found: Measurements) -> dict[str, RunningPeer]:
    """Start the peers; one that cannot is reported and left out."""
    running: dict[str, RunningPeer] = {}
    try:
        for info in PEERS:
            if info.key in keys:
                try:
                    running[info.key] = peer = RunningPeer(info)
                except PeerFailed as error:
                    found.failures[info.key] = f"did not start: {error}"
                else:
                    for name, reason in peer.failures.items():
                        found.failures[f"{info.key}, {name}"] = reason
    except BaseException:
        for peer in running.values():
            peer.stop()
        raise
    return running


def _measure(
    workload: Workload,
    running: dict[str, RunningPeer],
    count: int | None,
    sizes: Sizes,
    found: Measurements,
) -> None:
    """One workload, one peer after the other. One that fails is out from then on."""
    for key, peer in list(running.items()):
        name = workload.name
        if name not in peer.workloads or f"{key}, {name}" in found.failures:
            continue
        server, client = sizes.cores if workload.cores == 2 else (sizes.cores[0],) * 2
        try:
            peer.place([server], [client])
            taken = peer.measure(name, count or workload.count)
        except PeerFailed as error:
            found.failures[f"{key}, {name}"] = str(error)
            found.times.get(name, {}).pop(key, None)
        else:
            found.times.setdefault(name, {}).setdefault(key, []).append(taken)


def _measure_scenario(scenario: Scenario, sizes: Sizes, found: Measurements) -> None:
    """One scenario. What it has recorded before it fails counts."""
    _say(scenario.titled(sizes))
    figures = found.figures.setdefault(scenario.name, {})
    try:
        scenario.measure(sizes, lambda name, value: figures.setdefault(name, []).append(value))
    except (PeerFailed, RuntimeError, OSError) as error:
        found.failures[f"wsremote, {scenario.name}"] = str(error).strip().rpartition("\n")[2]


if __name__ == "__main__":
    sys.exit(main())
