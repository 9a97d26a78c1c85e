"""Plans for a whole series of lines: faults by the count of messages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from faults.flow import Flow
from faults.proxy import Line

OPENING: Final = 2
"""Messages of each direction before a session is open, or goes on."""


class EveryNth:
    """Ends the line in every nth message: before it, in the middle of it, or behind it.

    Args:
        n: Counted are the messages of open sessions, of both directions.
        seed: What chooses the place, and how the line ends.
        ways: Names of methods of `Line` to choose from.

    Attributes:
        faults: How many lines were ended.
    """

    def __init__(self, n: int, seed: int, ways: Sequence[str] = ("cut", "reset")) -> None:
        self.faults = 0
        self._n = n
        self._chance = random.Random(seed)
        self._ways = ways
        self._count = 0

    def __call__(self, line: Line) -> None:
        """Watch a new line."""
        line.up.on_message = line.down.on_message = self._on_message

    def _on_message(self, flow: Flow, begins: int, ends: int) -> None:
        if flow.messages <= OPENING or flow.line.is_cut:
            return
        self._count += 1
        if self._count % self._n == 0:
            self.faults += 1
            place = self._chance.choice((begins, (begins + ends) // 2, ends))
            flow.cut_after(place, getattr(flow.line, self._chance.choice(self._ways)))
