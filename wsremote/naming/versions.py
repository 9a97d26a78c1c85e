"""Whether a version is one that was asked for, as installers of Python packages understand it."""

from __future__ import annotations

import functools
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = ["fits", "is_specifier"]

_MOST_VERSION: Final = 200
"""Characters of a version specifier."""


def is_specifier(asked: str) -> bool:
    """Whether a text says which versions will do; a bare version is that one."""
    try:
        _specifiers(asked)
    except InvalidSpecifier:
        return False
    return True


# A name has few versions, and parsing one takes longer than all else that is done for an answer.
@functools.lru_cache(maxsize=4096)
def fits(asked: str, version: str, prereleases: bool) -> bool:
    """Whether a version is what was asked for.

    Args:
        asked: `~=1.2`, `>=1,<2`, `1.2.3`; what is none of these (`spring-24`) fits only itself.
        version: Of a server.
        prereleases: Whether they fit though nobody has asked for one.
    """
    if asked.removeprefix("===") == version:
        return True
    try:
        specifiers, parsed = _specifiers(asked), Version(version)
    except (InvalidSpecifier, InvalidVersion):
        return False
    return specifiers.contains(parsed, prereleases=prereleases or bool(specifiers.prereleases))


@functools.lru_cache(maxsize=1024)
def _specifiers(asked: str) -> SpecifierSet:
    """A bare version is that one."""
    if len(asked) > _MOST_VERSION:
        raise InvalidSpecifier
    try:
        return SpecifierSet(asked)
    except InvalidSpecifier:
        return SpecifierSet(f"=={asked}")
