"""Names that mean something else on a class."""


def __eq__(a, b):
    return ("eq", a, b)


__len__ = 5
__call__ = [1, 2]


def add(a, b):
    return a + b
