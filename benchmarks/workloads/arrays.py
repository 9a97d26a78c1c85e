"""One large array as an argument, one as a result."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

COUNT = 12_500_000
"""float64 numbers: 100 MB."""


@functools.cache
def array_of(count: int) -> np.ndarray[Any, Any]:
    """The array that is sent, made once."""
    import numpy as np

    return np.arange(count, dtype=np.float64)


def _array(name: str, title: str, is_right: Callable[[Any], bool]) -> Workload:
    return Workload(name, title, 1, is_right, "arrays", rounds=5, cores=2)


UP = _array("array up", "last(100 MB array)", lambda last: last == COUNT - 1)
DOWN = _array(
    "array down", "numbers(...) of 100 MB", lambda array: (array[0], array[-1]) == (0, COUNT - 1)
)
