"""Beds hold plants. A module variable counts what was ever planted, in all beds."""

from __future__ import annotations

from collections.abc import Iterator

from garden.plants.plant import Plant

EXCLUDED_VARIABLES = ["GATE_CODE"]
EXCLUDED_FUNCTIONS = ["burn_down"]

planted = 0
GATE_CODE = 4711


class Bed:
    """A piece of ground for plants."""

    def __init__(self, name: str, *plants: Plant) -> None:
        self.name = name
        self.plants: list[Plant] = []
        for plant in plants:
            self.plant(plant)

    def plant(self, plant: Plant) -> None:
        """Put a plant in. Counts in the module's `planted`."""
        global planted
        planted += 1
        self.plants.append(plant)

    def tallest(self) -> Plant:
        """The plant that has grown most.

        Raises:
            LookupError: The bed is empty.
        """
        if not self.plants:
            raise LookupError(f"nothing grows in {self.name}")
        return max(self.plants, key=lambda plant: plant.height)

    def __len__(self) -> int:
        return len(self.plants)

    def __iter__(self) -> Iterator[Plant]:
        return iter(self.plants)

    def __getitem__(self, index: int) -> Plant:
        return self.plants[index]

    def __contains__(self, name: object) -> bool:
        return any(plant.name == name for plant in self.plants)

    def __enter__(self) -> Bed:
        print(f"watering {self.name}")
        return self

    def __exit__(self, *error: object) -> None:
        for plant in self.plants:
            plant.grow(1)
        print(f"watered {self.name}")


def sort_by_age(plants: list[Plant], *, oldest_first: bool = True) -> None:
    """Sort a list in place, as `list.sort` does."""
    plants.sort(key=lambda plant: plant.age, reverse=oldest_first)


def burn_down() -> None:
    """Not served."""
    raise SystemExit("no garden left")
