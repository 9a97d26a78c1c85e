"""What comes for the calls of a pipeline, which nobody waits for one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..protocol.messages import Exec, Fault, Output, Result, Warned
from .waiting import Waiting

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from ..protocol.messages import Target
    from .pipelines import Pipeline
    from .runs import Run

__all__ = ["Barrier", "Unanswered"]


class Unanswered(Waiting):
    """Takes what comes for the calls of a pipeline, which nobody waits for.

    Args:
        pipeline: Whose.
        last: The calls that have ended when an answer comes: this takes the place of a barrier.
        ended: Locked, and released then.
    """

    __slots__ = ("_ended", "_last", "_pipeline")

    def __init__(
        self,
        pipeline: Pipeline,
        last: Sequence[int] = (),
        ended: threading.Lock | None = None,
    ) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._last = last
        self._ended = ended
        # Whoever has something for it is to say so.
        self.asleep = pipeline.driver.submitting.always
        self.sent = True

    def what_of(self, call: int) -> tuple[Target, str | None] | None:
        """What is called."""
        return self._pipeline.what_of(call)

    def wake(self) -> bool:
        """Something has come."""
        self._pipeline.driver._background.submit(self.drain)
        return True

    def drain(self) -> None:
        """Do what has come; answers are kept."""
        with self._pipeline.draining:
            self._drain()

    def _drain(self) -> None:
        inbox, pipeline = self.inbox, self._pipeline
        while inbox:
            message: Any = inbox[0]
            if isinstance(message, Output) or isinstance(message, Warned):
                inbox.popleft()
                pipeline.driver.submitting.show(message)
                continue
            # Taken when it is done: what is done again after an interrupt does no harm.
            if isinstance(message, Result) or isinstance(message, Fault):
                pipeline.answers[message.call] = message
                for call in self._last:
                    pipeline.driver._calls.pop(call, None)
                ended, self._ended = self._ended, None
                if ended is not None:
                    ended.release()
            elif isinstance(message, Exec):
                pipeline.driver._run_apart(message)
            inbox.popleft()


class Barrier(Waiting):
    """A call that is answered when those before it have ended.

    Args:
        call: Its number.
        runs: Those of its batch.
        needed: What they need until they have run.

    Attributes:
        call: Its number.
        runs: Those of its batch.
        calls: The numbers of their calls, in order.
        needed: What they need until they have run.
    """

    __slots__ = ("call", "calls", "needed", "runs")

    def __init__(self, call: int, runs: Sequence[Run], needed: list[Any]) -> None:
        super().__init__()
        self.sent = True
        self.call = call
        self.runs = runs
        self.calls: list[int] = []
        for run in runs:
            first, count = run.first, len(run.arguments)
            if count == 1:
                self.calls.append(first)
            else:
                self.calls += range(first, first + count)
        self.needed = needed

    def what_of(self, call: int) -> None:
        """Nobody has made it."""
