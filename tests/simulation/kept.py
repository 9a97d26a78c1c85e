"""The server's end of pipelines: what was kept of calls, and which have failed.

The table is the product's own.
"""

from __future__ import annotations

from wsremote.errors import StaleHandle
from wsremote.server.kept import DependsOnFailed, Kept

from .running import Depends, Running, Scripts, Stale

__all__ = ["Pipelines"]


class Pipelines(Scripts):
    """A session whose calls may be silent: their values are kept, or nobody wants them.

    Attributes:
        kept: What they gave.
        calls: Those that were admitted and have not ended.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.kept = Kept(1000)
        self.calls: dict[int, Running] = {}

    def missing(self, running: Running) -> Exception | None:
        """Why a call cannot run: the first of what it needs that is not there."""
        for need in running.needs:
            try:
                self.kept.lookup(need)
            except DependsOnFailed as error:
                return Depends(error.first)
            except StaleHandle:
                # One that was withdrawn before anybody saw it.
                self.oracles.never_made(self.session, need)
                return Stale()
        return None

    def value_of(self, call: int) -> int:
        """What was kept of a call."""
        found = self.kept.lookup(call)
        assert isinstance(found, int)
        return found

    def keep_value(self, running: Running, value: list[int]) -> None:
        """A silent call has run."""
        if running.keeps:
            self.kept.values[running.call] = value[0] if value else 0
        self.kept.ended.append(running.call)
        self._ended(running.call)

    def keep_failure(self, running: Running, cause: int) -> None:
        """A silent call has failed, or depends on one that has."""
        if running.keeps:
            self.kept.failures[running.call] = cause
        self._ended(running.call)

    def _ended(self, call: int) -> None:
        self.kept.ended_unwanted(call)
        self._drop(call)

    def release_kept(self, call: int, count: int) -> None:
        """Values are let go of, so many; before they are there, if their calls wait or run."""
        self.kept.release(call, count, self.calls)
        for each in range(call, call + count, 1 if count > 0 else -1):
            if each not in self.calls:
                self._drop(each)

    def _drop(self, call: int) -> None:
        """What was made under the handle of a call goes, if that is not kept."""
        if call not in self.kept.values and -call in self.objects:
            self.oracles.final[self.session, -call] = self.objects.pop(-call)

    def leftovers(self) -> str:
        """As of both ends; and what belongs to a pipeline."""
        kept = {
            "values": self.kept.values,
            "failures": self.kept.failures,
            "unwanted": self.kept.unwanted,
        }
        found = [f"{what} of {sorted(calls)}" for what, calls in kept.items() if calls]
        return ", ".join(filter(None, [super().leftovers(), *found]))
