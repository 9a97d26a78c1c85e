"""A subpackage of a subpackage, with a function of the name of its submodule."""

from .branch import branch  # noqa: F401
