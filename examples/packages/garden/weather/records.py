"""The rain of one year, as a module variable of pandas."""

from __future__ import annotations

import pandas as pd

RAIN = pd.DataFrame(
    {
        "season": ["winter"] * 2 + ["spring"] * 3 + ["summer"] * 3 + ["autumn"] * 3 + ["winter"],
        "millimetres": [48, 41, 45, 39, 62, 68, 71, 63, 50, 44, 52, 55],
    },
    index=pd.Index(range(1, 13), name="month"),
)


def wettest(table: pd.DataFrame = RAIN) -> int:
    """The month with most rain."""
    return int(table["millimetres"].idxmax())


def by_season(table: pd.DataFrame = RAIN, how: str = "sum") -> pd.Series:
    """Rain of each season."""
    return table.groupby("season")["millimetres"].agg(how)
