"""A kitchen garden: plants that grow, beds that hold them, and the rain that fell.

A sample of what a package may hold. Nothing in it knows of wsremote.
"""

from garden.beds.bed import Bed
from garden.plants.plant import NotRipe, Plant, Vegetable

__all__ = ["SEASONS", "Bed", "NotRipe", "Plant", "Vegetable", "describe"]

SEASONS = ("spring", "summer", "autumn", "winter")
OWNER = {"name": "Ada", "visits": 0}


def describe(name: str, season: str = "spring", **details: object) -> str:
    """One line about a garden.

    Args:
        name: Of the garden.
        season: One of `SEASONS`.
        details: Anything else worth telling.

    Raises:
        ValueError: There is no such season.
    """
    if season not in SEASONS:
        raise ValueError(f"no season {season!r}; there are {', '.join(SEASONS)}")
    told = "".join(f", {key}: {value}" for key, value in details.items())
    return f"{name} in {season}{told}"
