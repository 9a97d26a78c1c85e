"""Which packages of the data type registry this side can import."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys

from .registry import ROOT_PACKAGES

__all__ = ["installed_packages"]


@functools.cache
def installed_packages() -> dict[str, str]:
    """The registry's root packages that can be imported here, with versions.

    Nothing is imported. The answer is kept: what is installed later is not noticed.
    """
    found = {}
    for name in sorted(ROOT_PACKAGES):
        # A shallow package of this name is not the real one; it has no distribution here.
        if name in sys.modules or importlib.util.find_spec(name) is not None:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
