"""What became of the calls that were unfinished when their session ended.

Never "not executed" for a call that may have run: who repeats it then would run it twice.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .messages import Gone

__all__ = ["UNSENT", "Loss", "classify"]

UNSENT: Final = sys.maxsize
"""The number of a message that has none yet, because its buffers go first."""


class Loss(NamedTuple):
    """Unfinished calls, each in one of three lists, in the order of the calls."""

    not_executed: list[int]
    executed: list[int]
    unknown: list[int]


def classify(calls: Mapping[int, int | None], reached: int, gone: Gone | None) -> Loss:
    """Sort unfinished calls by what is known of them.

    Args:
        calls: The `seq` of the Exec of each, None if the server has acknowledged it, `UNSENT` if
            it has no number yet.
        reached: Highest `seq` that was ever written to a connection.
        gone: What the server says of the session; None if it says nothing.
    """
    received = reached if gone is None or gone.received is None else min(reached, gone.received)
    loss = Loss([], [], [])
    for call, seq in calls.items():
        if seq is not None and seq > received:
            loss.not_executed.append(call)
        elif gone is None or gone.executed is None:
            loss.unknown.append(call)
        elif call in gone.executed:
            loss.executed.append(call)
        elif gone.started is None or call in gone.started:
            loss.unknown.append(call)
        else:
            # Admitted, and neither begun nor ended: it was queued.
            loss.not_executed.append(call)
    return loss
