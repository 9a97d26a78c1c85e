"""Run the simulation: `python tests/simulation/run.py --seeds 20000 [--from 0]`.

Prints figures. What fails is printed with the command that runs it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from simulation.world import run  # noqa: E402

_MOST_SHOWN = 10


def main() -> None:
    """Run seed after seed."""
    parser = argparse.ArgumentParser(description="Simulate sessions whose connections fail.")
    parser.add_argument("--seeds", type=int, default=2000, help="how many runs")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    chosen = parser.parse_args()
    began, figures, failed = time.monotonic(), Counter[str](), 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        outcome = run(seed)
        most = max(figures["most kept"], outcome.figures["most kept"])
        figures.update(outcome.figures)
        figures["most kept"] = most
        if outcome.violations:
            failed += 1
            if failed <= _MOST_SHOWN:
                print(f"seed {seed}: {'; '.join(outcome.violations[:3])}")
                print(f"    python tests/simulation/run.py --from {seed} --seeds 1")
    for what, count in sorted(figures.items(), key=lambda item: -item[1]):
        print(f"{count:10,} {what}")
    seconds = time.monotonic() - began
    print(f"{chosen.seeds} seeds, {failed} failed, {seconds:.1f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
