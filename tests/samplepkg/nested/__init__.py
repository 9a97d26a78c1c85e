"""A subpackage."""

from .deep.leaf import Leaf, grow  # noqa: F401

LEVEL = 1
