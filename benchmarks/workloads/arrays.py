"""One large array as an argument, one as a result."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from workloads import Workload

if TYPE_CHECKING:
    import numpy as np

COUNT = 12_500_000
"""float64 numbers: 100 MB."""


@functools.cache
def array_of(count: int) -> np.ndarray[Any, Any]:
    """The array that is sent, made once."""
    import numpy as np

    return np.arange(count, dtype=np.float64)


UP = Workload("array up", "last(100 MB array)", 3, lambda last: last == COUNT - 1, False)
DOWN = Workload(
    "array down", "numbers(...) of 100 MB", 3, lambda array: float(array[-1]) == COUNT - 1, False
)
