"""Data types of other packages, and who may be sent them.

Only types of this table are ever pickled: that something pickles makes it no value. A
package is never imported for it; a value of it can only exist if it was.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["ALWAYS_VALUES", "DATA_PACKAGES", "ROOT_PACKAGES", "is_data", "is_immutable"]

ROOT_PACKAGES: Final = frozenset(["numpy", "pandas", "pyarrow", "scipy"])
"""Root packages of the data type registry: what `Exchange.receiver_has` is about."""

DATA_PACKAGES: Final = ROOT_PACKAGES - {"scipy"}
"""Those of them that are there for their data types, and not for what they compute."""

ALWAYS_VALUES: Final = frozenset(["numpy"])
"""Those of them whose values come without a handle that could be used instead."""

_MUTABLE: Final[dict[str, frozenset[str]]] = {
    "numpy": frozenset(["matrix", "ndarray", "recarray"]),
    "numpy.ma": frozenset(["MaskedArray"]),
    "pandas": frozenset(
        [
            *("DataFrame", "Series", "Categorical"),
            *("Index", "RangeIndex", "MultiIndex", "CategoricalIndex", "IntervalIndex"),
            *("DatetimeIndex", "TimedeltaIndex", "PeriodIndex"),
        ]
    ),
    "scipy.sparse": frozenset(
        f"{form}_{kind}"
        for form in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for kind in ("array", "matrix")
    ),
}

_IMMUTABLE: Final[dict[str, frozenset[str]]] = {
    "numpy": frozenset(["dtype"]),
    "pandas": frozenset(
        [
            *("Timestamp", "Timedelta", "Period", "Interval"),
            *("CategoricalDtype", "DatetimeTZDtype", "IntervalDtype", "PeriodDtype"),
        ]
    ),
    "pyarrow": frozenset(
        ["Array", "ChunkedArray", "DataType", "Field", "RecordBatch", "Scalar", "Schema", "Table"]
    ),
}

# Here a class of the table stands for its subclasses, one for each type of element.
_FAMILIES: Final = frozenset([("pyarrow", "Array"), ("pyarrow", "DataType"), ("pyarrow", "Scalar")])

# Their pickles change with the major version.
_SAME_MAJOR: Final = frozenset(["numpy", "pandas"])


def is_immutable(value: object) -> bool:
    """Whether a registered value is one that nothing can change."""
    if type(value).__name__ in ("NaTType", "NAType"):
        pandas = sys.modules["pandas"]
        return value is pandas.NaT or value is pandas.NA
    return _is_listed(value, _IMMUTABLE)


def is_data(value: object, exchange: Exchange) -> bool:
    """Whether `value` is of a registered type that the receiver may be sent and can load."""
    if not exchange.pickle_out or not (is_immutable(value) or _is_listed(value, _MUTABLE)):
        return False
    root = type(value).__module__.partition(".")[0]
    version = exchange.receiver_has.get(root)
    if version is None:
        return False
    if root not in _SAME_MAJOR:
        return True
    ours: str = sys.modules[root].__version__
    return ours.partition(".")[0] == version.partition(".")[0]


def _is_listed(value: object, table: dict[str, frozenset[str]]) -> bool:
    """Whether the exact class of `value` is one that a package exports under a listed name."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    for home, listed in table.items():
        module = sys.modules.get(home)
        if module is None or home.partition(".")[0] != root:
            continue
        if kind.__name__ in listed and getattr(module, kind.__name__, None) is kind:
            return True
        for family in listed:
            if (home, family) in _FAMILIES and issubclass(kind, getattr(module, family)):
                return True
    return False
