"""Deep inside."""

LEVEL = 3


class Leaf:
    """At the end."""

    colour = "green"


def grow(leaves: int = 1) -> list[Leaf]:
    """Make leaves."""
    return [Leaf() for _ in range(leaves)]
