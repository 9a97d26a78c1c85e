"""Seeds times faults: what must be true is true, and the bugs that were planted are noticed."""

from __future__ import annotations

import pytest

from .planted import MASKED, TABLE, Bug
from .planted_streams import STREAMS
from .world import run

SEEDS = 2000
AT_ONCE = 250


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_sessions_survive_what_happens_to_them(first: int) -> None:
    """A bug of the cores breaks one of the oracles; the seed shows it again."""
    for seed in range(first, first + AT_ONCE):
        outcome = run(seed)
        command = f"python tests/simulation/run.py --from {seed} --seeds 1"
        assert not outcome.violations, f"{outcome.violations[:3]}: {command}"


def test_a_seed_is_one_run() -> None:
    """What is drawn from elsewhere (the order of a set, a clock) could not be shown again."""
    for seed in range(20):
        assert run(seed) == run(seed)


def test_the_faults_happen() -> None:
    """A simulation in which nothing goes wrong shows nothing."""
    figures = run(0).figures
    for seed in range(1, 150):
        figures += run(seed).figures
    least = {
        **dict.fromkeys(("done", "half_open"), 500),
        **dict.fromkeys(("resumes", "cut", "late_cut", "sessions", "cancelled", "withdrawn"), 50),
        **dict.fromkeys(("not executed", "executed", "unknown", "expired"), 20),
        **dict.fromkeys(("silent servers given up", "attempts abandoned", "sleep"), 10),
        **dict.fromkeys(("crash", "evicted", "openings repeated", "restart", "theft"), 3),
        **dict.fromkeys(("late attempts fenced", "silent clients given up"), 1),
        "told that the server ends": 1,
    }
    assert {what: figures[what] for what in least if figures[what] < least[what]} == {}


def noticed(bug: Bug) -> tuple[int, str] | None:
    """The first seed that notices a bug, and how."""
    with bug.plant():
        for seed in range(bug.seeds):
            violations = run(seed, **bug.chosen).violations
            for text in violations:
                if not bug.oracles or text.split()[0] in bug.oracles:
                    return seed, text
    return None


@pytest.mark.parametrize("bug", TABLE + STREAMS, ids=lambda bug: bug.name)
def test_a_bug_is_noticed(bug: Bug) -> None:
    """One that is not shows a hole in the simulation: nobody would notice it in the product."""
    assert noticed(bug) is not None


@pytest.mark.parametrize("bug", MASKED, ids=lambda bug: bug.name)
def test_a_bug_behind_another_guard_is_not(bug: Bug) -> None:
    """Why the table plants two at once: each guard does the other's work."""
    assert noticed(bug) is None
