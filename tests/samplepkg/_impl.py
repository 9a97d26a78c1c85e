"""A private module whose public names the package re-exports."""


class _Base:
    """A private base class: what it defines is inherited."""

    def __len__(self):
        return self.size

    def grow(self, by=1):
        """Make it larger, and return the new size."""
        self.size += by
        return self.size


class Engine(_Base):
    """Defined in a private module, known under public names."""

    def __init__(self, size=1):
        self.size = size

    def run(self, times: int = 1) -> str:
        """Say `brr`."""
        return "b" + "r" * times


def build(size: int = 2, *, cls: type = Engine) -> Engine:
    """Make an engine."""
    return cls(size)


def _private_helper(text):
    return text.upper()
