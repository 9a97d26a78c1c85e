"""Has the name of the function that it defines."""


def branch(length=1):
    """Shadows its module in the package."""
    return "-" * length
