"""Large values that somebody changes while they travel: they arrive as one state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy

SLOW = 20_000_000
"""Bytes a second: eight megabytes take long enough to be changed on the way."""


def values_in(found: Any) -> set[float]:
    """What stands in it."""
    if isinstance(found, list):
        return set().union(*map(values_in, found))
    return set(np.unique(np.asarray(found)).tolist())


@pytest.mark.parametrize("cut", [False, True], ids=["whole line", "cut"])
@pytest.mark.parametrize("kind", ["itself", "view", "list", "read-only", "frame", "copy"])
def test_a_result_that_the_server_changes_on_the_way(
    proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin, kind: str, cut: bool
) -> None:
    """Another session's lane writes to its memory; a cut makes the rest be sent once more."""
    direct.filled(1.0)
    line = proxy.line
    line.down.slow(SLOW)
    before = line.down.passed
    coming = begin(pkg.state_itself) if kind == "itself" else begin(pkg.state_as, kind)
    line.down.wait_passed(before + 1_000_000)
    direct.filled(2.0)
    line.down.wait_passed(before + 2_000_000)
    if cut:
        line.cut()
    direct.filled(3.0)
    found = coming.result(PATIENCE)
    if kind == "frame":
        found = found["x"]
    assert values_in(found) == {1.0}


def test_a_callback_gets_one_state(proxy: FaultProxy, pkg: Any, direct: Any, begin: Begin) -> None:
    """The server's other lanes go on while it is called."""
    direct.filled(1.0)
    line = proxy.line
    line.down.slow(SLOW)
    before = line.down.passed
    coming = begin(pkg.hand_over, lambda array: np.unique(array).tolist())
    line.down.wait_passed(before + 1_000_000)
    direct.filled(2.0)
    assert coming.result(PATIENCE) == [1.0]


def test_what_a_callback_gives_is_one_state(proxy: FaultProxy, pkg: Any, begin: Begin) -> None:
    """The client's other threads go on with the array that it has given."""
    array = np.ones(1_000_000)
    line = proxy.line
    line.up.slow(SLOW)
    before = line.up.passed
    coming = begin(lambda: np.unique(pkg.call(lambda: array)).tolist())
    line.up.wait_passed(before + 1_000_000)
    array[:] = 2.0
    line.cut()
    array[:] = 3.0
    assert coming.result(PATIENCE) == [1.0]
