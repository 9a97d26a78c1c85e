"""Plants have a state: they grow, and can be harvested once."""

from __future__ import annotations

EXCLUDED_CLASSES = ["Weed"]


class NotRipe(ValueError):
    """Too early to harvest."""

    def __init__(self, name: str, days: int) -> None:
        super().__init__(f"{name} needs {days} more days")
        self.days = days


class Plant:
    """A plant of some age.

    Attributes:
        kingdom: The same for every plant.
        age: In days.
    """

    kingdom = "Plantae"

    def __init__(self, name: str, age: int = 0) -> None:
        self.name = name
        self.age = age

    def grow(self, days: int = 1, **care: str) -> Plant:
        """Let days pass. Good care counts as one day each. Returns the plant itself."""
        self.age += days + len(care)
        return self

    @property
    def height(self) -> float:
        """In centimetres."""
        return self.age * 1.5

    @classmethod
    def seedling(cls, name: str) -> Plant:
        """A plant of one week."""
        return cls(name, age=7)

    @staticmethod
    def compare(first: Plant, second: Plant) -> Plant:
        """The taller of two."""
        return first if first.height >= second.height else second

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plant):
            return NotImplemented
        return (self.name, self.age) == (other.name, other.age)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, age={self.age})"


class Vegetable(Plant):
    """A plant that can be eaten once it is ripe."""

    ripe_at = 60

    def harvest(self) -> str:
        """Cut it, and start again from the roots.

        Raises:
            NotRipe: It is too young.
        """
        if self.age < self.ripe_at:
            raise NotRipe(self.name, self.ripe_at - self.age)
        self.age = 0
        return f"a basket of {self.name}"


class Weed(Plant):
    """Not served: nobody needs one."""
