"""What calls may be, and blocks of them that need each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Spec", "pipeline"]


@dataclass
class Spec:
    """A call to make.

    Attributes:
        kind: What the server is to do; it knows which.
        target: A handle, or none.
        outputs: How often the call prints.
        duration: Milliseconds that it takes.
        rest: What else it needs.
        buffers: What it takes along.
        cancel: Milliseconds after which it is cancelled; None if it is not.
        broken: Whether a field of it cannot be written.
        keep: Whether its value is kept, and not sent.
        quiet: Whether nobody wants its value.
        on: The place in its block of the kept call that its target is of.
        needs: Places of others that it needs.
        dropped: Whether what is kept of it is let go of at once.
        expects: What it must give; None if that is not clear.
    """

    kind: str
    target: int | None = None
    outputs: int = 0
    duration: int = 0
    rest: tuple[int, ...] = ()
    buffers: tuple[bytes, ...] = ()
    cancel: int | None = None
    broken: bool = False
    keep: bool = False
    quiet: bool = False
    on: int | None = None
    needs: tuple[int, ...] = ()
    dropped: bool = False
    expects: list[int] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no answer comes unless it fails."""
        return self.keep or self.quiet


def pipeline(random: Any) -> list[Spec]:
    """Calls whose values are kept, and needed by those behind them; then an answer for all."""
    specs = [Spec("new", keep=True)]
    # What is kept at each place: a number, or None of an object, of nothing, or if it is unclear.
    values: list[int | None] = [None]
    counted, clear = 0, True
    bad = random.random() < 0.2
    for _ in range(random.choice((1, 2, 5, 9))):
        kind = random.choice(("add", "add", "add", "sum", "plain", "new") + ("fail",) * 2 * bad)
        numbers = [place for place, value in enumerate(values) if value is not None]
        # Most take no time, so that what they give leaves together; some much.
        spec = Spec(kind, keep=True, duration=random.choice((0, 0, 0, 10, 40)))
        if random.random() < 0.04:
            spec.duration = random.randrange(500, 5000)
        if kind == "sum" and not numbers:
            spec.kind = kind = "plain"
        value = None
        if kind == "add":
            spec.on, counted = 0, counted + 1
            value = counted
        elif kind == "sum":
            spec.needs = tuple(random.choices(numbers, k=random.choice((1, 2))))
            value = 1 + sum(values[place] or 0 for place in spec.needs)
        elif kind in ("plain", "new"):
            # Some of what nobody needs is told, as that of any call.
            spec.quiet = kind == "plain" and random.random() < 0.3
            spec.keep = kind == "new" or (not spec.quiet and random.random() < 0.6)
            spec.dropped = spec.keep and random.random() < 0.5
        else:
            # What comes of it is needed as well, and fails with it.
            value = 0
        if random.random() < 0.05:
            spec.cancel = random.randrange(300)
        if random.random() < 0.15:
            spec.outputs = random.randrange(3)
        clear = clear and spec.cancel is None and kind != "fail"
        specs.append(spec)
        values.append(value)
    numbers = [place for place, value in enumerate(values) if value is not None]
    if numbers and random.random() < 0.7:
        asked = random.choice(numbers[-3:])
        specs.append(Spec("ask", on=asked, expects=[values[asked] or 0] if clear else None))
    if random.random() < 0.5 or specs[-1].kind != "ask":
        last = Spec(random.choice(("ask", "plain")), expects=[])
        last.cancel = random.choice((None,) * 4 + (150,))
        specs.append(last)
    return specs
