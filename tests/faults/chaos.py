"""A plan of all kinds of faults in random places, by a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

from faults.flow import Flow
from faults.proxy import Line

KINDS: Final = ("cut", "reset", "middle", "late", "garbage", "hole", "slow")


class Chaos:
    """Has something happen to each line, some messages after it was made.

    Args:
        seed: What chooses.
        kinds: What may happen: the line is `cut` or `reset` before a message or behind it, or in
            its `middle`; the client is hung up on and what it has sent comes `late`, when the
            session goes on already; `garbage` in front of a message; a black `hole` one way or
            both; `slow`, which is no fault.
        most: Messages of a line before that.

    Attributes:
        happened: How often each kind has.
    """

    def __init__(self, seed: int, kinds: Sequence[str] = KINDS, most: int = 60) -> None:
        self.happened: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._kinds = kinds
        self._most = most
        self._late: list[Line] = []

    def __call__(self, line: Line) -> None:
        """Prepare a new line; what was held on earlier ones may come now."""
        if self._chance.random() < 0.5:
            while self._late:
                self._late.pop().release()
        left = self._chance.randint(3, self._most)

        def on_message(flow: Flow, begins: int, ends: int) -> None:
            nonlocal left
            left -= 1
            if left == 0 and not line.is_cut:
                kind = self._chance.choice(self._kinds)
                self.happened[kind] += 1
                self._happen(kind, flow, begins, ends)

        line.up.on_message = line.down.on_message = on_message

    def _happen(self, kind: str, flow: Flow, begins: int, ends: int) -> None:
        line, chance = flow.line, self._chance
        if kind == "cut" or kind == "reset":
            flow.cut_after(chance.choice((begins, ends)), getattr(line, kind))
        elif kind == "middle":
            flow.cut_after((begins + ends) // 2, chance.choice((line.cut, line.reset)))
        elif kind == "late":
            line.up.hold()
            line.hang_up(on_client=True)
            self._late.append(line)
        elif kind == "garbage":
            flow.inject(b"\xff" * 30, ends)
        elif kind == "hole":
            chance.choice((line.blackhole, line.up.drop, line.down.drop))()
        else:
            assert kind == "slow", kind
            for each in line.flows:
                each.slow(300_000)
