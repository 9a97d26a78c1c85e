"""Loaded when it is asked for."""


class Snail:
    """Slow."""

    speed = 1

    def crawl(self, way: float) -> float:
        """How long it takes."""
        return way / self.speed
