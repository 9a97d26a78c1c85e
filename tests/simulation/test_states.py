"""What hypothesis comes across: no violation, and the bugs that were planted."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import Phase

from .machine import explore
from .planted import TABLE, Bug
from .planted_streams import STREAMS

_FOUND: Final = {
    "both admit twice, and resend everything",
    "the client admits twice, and all is resent",
    "old connections are heard, and the server admits twice",
    "results dropped while detached",
    "forgotten at the first write",
    "kept for ever",
    "releases lost",
    "messages before their buffers",
    "expires what has come back",
    "claims to have one more",
    "admitted is not written",
    "reached is forgotten",
    "unsends by this connection",
    "never gives up",
    "goodbye is not heard",
    "stops trying",
    "queued and cancelled has run",
    "a release is the last",
    "an iterator begins again",
    "a lane runs side by side",
    "the last result is dropped",
    "values behind later answers",
    "withdrawn from a batch, and sent",
    "a failure is told twice",
    "what depends on a failure runs",
    "what is kept is not executed",
    "let go of too early, kept for ever",
}
"""Of the planted bugs, some of each kind: most of the others take longer to come across."""


def test_no_order_of_steps_breaks_a_session() -> None:
    """A bug of the cores that some order of calls, faults and pauses shows, which is printed."""
    explore(500, Phase.generate, Phase.shrink)


@pytest.mark.parametrize(
    "bug", [bug for bug in TABLE + STREAMS if bug.name in _FOUND], ids=lambda bug: bug.name
)
def test_a_bug_is_found(bug: Bug) -> None:
    """A machine that finds nothing, whatever is wrong."""
    with bug.plant(), pytest.raises(AssertionError):
        explore(600, Phase.generate)
