"""Imports what is not in a module that exists."""

from samplepkg.constants import NO_SUCH_NAME  # noqa: F401
