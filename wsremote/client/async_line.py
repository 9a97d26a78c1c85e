"""Calls of an event loop that wait for their turn to leave."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from ..protocol.messages import Target
    from .async_answers import Answer

__all__ = ["NOBODY", "Leaving", "Line", "Run"]

_MOST_BYTES: Final = 256 * 1024
"""Bytes of the payloads of calls that leave in one message, about."""

_ABOUT: Final = 64
"""Bytes of a call with small arguments, about."""


class Run:
    """Calls of the same that follow each other.

    Args:
        call: Number of the first.
        lane: Of all, as `Batch` has it.
        parent: What they are nested in.
        op: As `Op` says.
        target: As `Op` says.
        name: As `Op` says.
        payload: The arguments of one call that is a run of its own; None for small scalars.

    Attributes:
        next: The number of the call that would be the next one of the run.
        answers: What waits for each.
        arguments: Of each.
    """

    __slots__ = (
        *("answers", "arguments", "lane", "name"),
        *("next", "op", "parent", "payload", "target"),
    )

    def __init__(
        self,
        call: int,
        lane: int,
        parent: int | None,
        op: int,
        target: Target,
        name: str | None,
        payload: bytes | None = None,
    ) -> None:
        self.next = call
        self.lane, self.parent = lane, parent
        self.op, self.target, self.name = op, target, name
        self.payload = payload
        self.answers: list[Answer] = []
        self.arguments: list[tuple[Any, ...]] = []

    def add(self, answer: Answer, args: tuple[Any, ...]) -> None:
        """One more. Hot paths do the same by hand."""
        self.next += 1
        self.answers.append(answer)
        self.arguments.append(args)


NOBODY: Final = Run(0, 0, None, 0, "", None)
"""A run that no call continues: their numbers begin at one."""


class Leaving(NamedTuple):
    """Calls that leave in one message.

    Attributes:
        lane: Of all of them.
        parent: What they are nested in.
        entries: As `Batch` lists them.
        answers: What waits for them.
    """

    lane: int
    parent: int | None
    entries: list[list[Any]]
    answers: list[Answer]


class Line:
    """Calls in order, as runs.

    Attributes:
        runs: The first is the next that leaves.
        last: The run that the next call may belong to; `NOBODY` for none.
    """

    __slots__ = ("last", "runs")

    def __init__(self) -> None:
        self.runs: deque[Run] = deque()
        self.last = NOBODY

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __len__(self) -> int:
        return sum(len(run.answers) for run in self.runs)

    def new_run(
        self,
        call: int,
        lane: int,
        parent: int | None,
        op: int,
        target: Target,
        name: str | None,
        payload: bytes | None = None,
    ) -> Run:
        """A run behind all others, as `Run`, for a call to be added."""
        run = Run(call, lane, parent, op, target, name, payload)
        self.runs.append(run)
        # What has a payload goes alone.
        self.last = run if payload is None and parent is None else NOBODY
        return run

    def numbers(self) -> Iterator[int]:
        """The calls that wait."""
        for run in list(self.runs):
            yield from range(run.next - len(run.answers), run.next)

    def clear(self) -> None:
        """Nobody waits any more."""
        self.runs.clear()
        self.last = NOBODY

    def take(self, most: int, wanted: Container[int]) -> Leaving:
        """Take some calls out of the line, of one lane, for one message.

        Args:
            most: So many of them at most.
            wanted: The calls that are not given up; others are dropped.
        """
        runs, first = self.runs, self.runs[0]
        entries: list[list[Any]] = []
        answers: list[Answer] = []
        size = 0
        while runs and size < _MOST_BYTES and len(answers) < most:
            run = runs[0]
            if run.lane != first.lane or run.parent != first.parent:
                break
            count = min(len(run.answers), most - len(answers))
            start = run.next - len(run.answers)
            if not all(map(wanted.__contains__, range(start, start + count))):
                self._drop(run, wanted)
                continue
            arguments: Any = run.payload
            if arguments is None:
                arguments = run.arguments[:count]
            size += _ABOUT * count if run.payload is None else len(run.payload)
            entries.append([start, run.op, run.target, run.name, arguments])
            answers += run.answers[:count]
            if count == len(run.answers):
                runs.popleft()
                if run is self.last:
                    self.last = NOBODY
            else:
                del run.answers[:count], run.arguments[:count]
        return Leaving(first.lane, first.parent, entries, answers)

    def _drop(self, run: Run, wanted: Container[int]) -> None:
        """Drop the calls of the first run that are given up: what is left are several."""
        self.runs.popleft()
        if run is self.last:
            self.last = NOBODY
        if run.payload is not None:
            return
        kept: list[Run] = []
        for answer, args in zip(run.answers, run.arguments, strict=True):
            if answer.call not in wanted:
                continue
            if not kept or kept[-1].next != answer.call:
                kept.append(Run(answer.call, run.lane, run.parent, run.op, run.target, run.name))
            kept[-1].add(answer, args)
        self.runs.extendleft(reversed(kept))
