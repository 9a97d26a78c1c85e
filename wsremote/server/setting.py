"""Whether a container that served code sets as an attribute is used by that alone.

`obj.items = []` gives the client's object a list that nothing else here refers to: a copy is as
good. After `obj.items = xs` the served code may go on with `xs`. The reference count tells, as
for results. How high it is where nothing else refers to the container depends on how Python
hands arguments on, so it is counted once, on the way that all such values take.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any, Final

from ..codec.hiding import hiding

__all__ = ["SET_ALONE"]


class _Counter:
    """Counts where `ClientCaller.set` does."""

    def set(self, target: int, name: str, value: Any) -> None:
        """`target.name = value`, as far as counting goes."""
        _counted.append(getrefcount(value))


class _Probe:
    """Its attributes are set as those of the client's objects are."""

    @hiding
    def __setattr__(self, name: str, value: Any) -> None:
        _counter.set(0, name, value)


def _count() -> int:
    """The references to what is set alone; 0 if that cannot be told from anything else."""
    probe, shared = _Probe(), list[int]()
    probe.alone = []
    probe.shared = shared
    alone, other = _counted
    return alone if alone < other else 0


_counted: Final[list[int]] = []
_counter: Final = _Counter()

SET_ALONE: Final = _count()
"""What `getrefcount` says in `ClientCaller.set` of a value that nothing else here refers to."""
