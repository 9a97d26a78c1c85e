"""Imports hidden names under their own and other names."""

from .hidden import LIMIT, PASSWORD, SECRETS, Hidden, destroy, keep
from .hidden import Hidden as Renamed
from .hidden import destroy as wreck

ALIAS = SECRETS
__all__ = [
    "ALIAS",
    "LIMIT",
    "PASSWORD",
    "SECRETS",
    "Hidden",
    "Renamed",
    "destroy",
    "keep",
    "wreck",
]
