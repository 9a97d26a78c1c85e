"""numpy's protocols: functions and arrays of this side with objects of the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import ROOT, ServedProcess, start_server
from samplepkg import arraylike as home

import wsremote


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `samplepkg`, which has numpy."""
    served = start_server(
        "samplepkg",
        folder=tmp_path_factory.mktemp("server"),
        path=(ROOT / "tests", Path(__file__).parent),
    )
    yield served
    served.stop()


@pytest.fixture
def there(served: ServedProcess) -> Iterator[Any]:
    """`samplepkg.arraylike` of the server."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        yield session.modules.samplepkg.arraylike


def outcome(module: Any, compute: Any) -> Any:
    """What an expression gives, with the unit where it has kept it."""
    found = compute(module, module.Measured([1, 2], "kg"))
    if isinstance(found, module.Measured):
        return found.unit, np.asarray(found).tolist()
    return found if not isinstance(found, np.ndarray) else found.tolist()


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: np.asarray(x),
        lambda m, x: np.array(x, dtype=int),
        lambda m, x: np.asarray(m.Convertible([1, 2])),
        lambda m, x: np.asarray(m.Convertible([1, 2]), dtype=float).sum(),
        lambda m, x: x + 1,
        lambda m, x: 1 + x,
        lambda m, x: x + np.array([1.0, 2.0]),
        lambda m, x: np.array([1.0, 2.0]) + x,
        lambda m, x: np.array([1.0, 2.0]) * x,
        lambda m, x: x + x,
        lambda m, x: np.sqrt(x),
        lambda m, x: np.add.reduce(x),
        lambda m, x: np.concatenate([x, x]),
        lambda m, x: x.__array_priority__,
        lambda m, x: np.float64(2) * x,
    ],
)
def test_as_at_home(there: Any, compute: Any) -> None:
    """The class's own methods answer, and see numpy's functions as themselves."""
    assert outcome(there, compute) == outcome(home, compute)


def test_what_a_class_does_not_handle(there: Any) -> None:
    """numpy's own error."""
    for module in (home, there):
        with pytest.raises(TypeError, match="no implementation found"):
            np.mean(module.Measured([1, 2]))
