"""Measure wsremote beside its peers: `python benchmarks/run.py`. See README.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from peers import PEERS
from processes import PeerFailed, RunningPeer
from report import Measurements, as_json, as_markdown
from workloads import known_workloads

START = "start"
"""The workload of fresh processes; only wsremote has it."""


def main() -> int:
    """Run what the command line says. 0 whatever the figures are: they are for people."""
    options = _options()
    found = Measurements(options.rounds)
    running = _start([peer.key for peer in PEERS if peer.key in options.peers], found)
    try:
        names = [name for name in options.workloads if name != START]
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for name in names:
                _measure(name, running, found, options.count)
    finally:
        for peer in running.values():
            peer.stop()
    if START in options.workloads and "wsremote" in options.peers:
        _measure_starts(found, options.rounds)
    print(as_markdown(found), end="")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found), indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    workloads = known_workloads()
    peers = [peer.key for peer in PEERS]
    default = [workload.name for workload in workloads.values() if workload.by_default]
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--count", type=int, help="operations in a measurement; default: its own")
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="PEER")
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=[*workloads, START],
        default=[*default, START],
        metavar="WORKLOAD",
        help=f"of: {', '.join([*workloads, START])}; default: {', '.join([*default, START])}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, for a program")
    return parser.parse_args()


def _start(keys: list[str], found: Measurements) -> dict[str, RunningPeer]:
    """Start the peers; one that cannot is reported and left out."""
    running: dict[str, RunningPeer] = {}
    try:
        for info in PEERS:
            if info.key in keys:
                try:
                    running[info.key] = RunningPeer(info)
                except PeerFailed as error:
                    found.failures[info.key] = f"did not start: {error}"
    except BaseException:
        for peer in running.values():
            peer.stop()
        raise
    return running


def _measure(
    name: str, running: dict[str, RunningPeer], found: Measurements, count: int | None
) -> None:
    """One workload, one peer after the other. One that fails is out from then on."""
    for key, peer in list(running.items()):
        if name not in peer.workloads or f"{key}, {name}" in found.failures:
            continue
        try:
            taken = peer.measure(name, count or known_workloads()[name].count)
        except PeerFailed as error:
            found.failures[f"{key}, {name}"] = str(error)
            found.times.get(name, {}).pop(key, None)
        else:
            found.times.setdefault(name, {}).setdefault(key, []).append(taken)


def _measure_starts(found: Measurements, rounds: int) -> None:
    # Here, since it imports what a broken checkout may not have.
    from workloads import sympy_start

    print("sympy: fresh processes", file=sys.stderr)
    try:
        found.starts = sympy_start.measure(rounds)
    except (RuntimeError, OSError) as error:
        found.failures["wsremote, start"] = str(error).strip().rpartition("\n")[2]


if __name__ == "__main__":
    sys.exit(main())
