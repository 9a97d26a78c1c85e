"""Which packages of the data type registry this side can import."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import sys
from typing import Final

from .registry import ROOT_PACKAGES

__all__ = ["installed_packages"]

# The folder that an installer leaves beside a package (PyPA: recording installed projects).
_DIST_INFO: Final = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")


@functools.cache
def installed_packages() -> dict[str, str]:
    """The registry's root packages that can be imported here, with versions.

    Nothing is imported. The answer is kept: what is installed later is not noticed.
    """
    found = {}
    for name in sorted(ROOT_PACKAGES):
        # A shallow package of this name is not the real one; it has no file.
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        origin = getattr(sys.modules.get(name), "__file__", None) or (spec and spec.origin)
        if origin:
            version = _version(name, os.path.dirname(os.path.dirname(origin)))
            if version is not None:
                found[name] = version
    return found


def _version(name: str, folder: str) -> str | None:
    """The version of a package in a folder: by the name of its metadata if that has it."""
    # Reading the metadata itself costs a millisecond a package, at every first connect.
    version = _versions(folder).get(name)
    if version is not None:
        return version
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _versions(folder: str) -> dict[str, str]:
    """Versions of what is installed in a folder, by name in lower case."""
    matches = map(_DIST_INFO.fullmatch, os.listdir(folder))
    return {match["name"].lower(): match["version"] for match in matches if match}
