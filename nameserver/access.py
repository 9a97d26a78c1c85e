"""Who may register which names.

Everybody who gets in may look up. To register takes a token that says for which names: they
are written as patterns, of `*` and `?` and `[...]`. Tokens themselves are known here by their
key ids, which say nothing about them.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wsremote.protocol.proof import ClientProof

__all__ = ["EVERY_NAME", "Access", "Grant", "read_tokens"]

logger = logging.getLogger("wsremote.nameserver")

EVERY_NAME: Final = ("*",)

_PATTERN: Final = re.compile(r"[A-Za-z0-9._*?!\[\]-]{1,100}")
_KEYS: Final = frozenset({"token", "names", "note"})


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token that registers may be used for.

    Attributes:
        token: The secret.
        names: Patterns of the names that it may register.
    """

    token: str = field(repr=False)
    names: tuple[str, ...]


class Access:
    """The tokens of a name server, and what each may do.

    Args:
        grants: Of those that register; each name once.

    Raises:
        ValueError: A token is empty, or there twice with different names.
    """

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._names: dict[str, tuple[str, ...]] = {}
        self.tokens = tuple(dict.fromkeys(grant.token for grant in grants))
        for grant in grants:
            key_id = ClientProof(grant.token).key_id
            if self._names.setdefault(key_id, grant.names) != grant.names:
                raise ValueError(
                    "a token that registers is given twice, with other names each time"
                )
        # Each renewal asks: one look at one pattern, where `fnmatchcase` takes 2 µs and more.
        self._matches = {
            key_id: re.compile("|".join(map(fnmatch.translate, patterns))).match
            for key_id, patterns in self._names.items()
            if patterns
        }

    def may_register(self, key_id: str, name: str) -> bool:
        """Whether the token with this key id may register a name."""
        matches = self._matches.get(key_id)
        return matches is not None and matches(name) is not None

    def names_of(self, key_id: str) -> tuple[str, ...]:
        """The patterns of a token; none if it may look up only."""
        return self._names.get(key_id, ())

    def __bool__(self) -> bool:
        return bool(self._names)


def read_tokens(path: Path) -> list[Grant]:
    """The tokens of a file in TOML::

        [[token]]
        token = "…"
        names = ["risk", "risk-*"]
        note = "the risk team"

    Raises:
        ValueError: The file is not of this form; the text says where, and shows no token.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        try:
            content = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from None
        except RecursionError:
            raise ValueError(f"{path}: it is nested too deeply") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        logger.warning("! %s holds tokens, and everybody on this machine can read it", path)
    if content.keys() - {"token"}:
        raise ValueError(f"{path}: only [[token]] may be there, not {_listed(content.keys())}")
    tables = content.get("token", [])
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{path}: no [[token]] is there")
    grants = []
    for number, table in enumerate(tables, 1):
        try:
            grants.append(_grant(table))
        except ValueError as error:
            raise ValueError(f"{path}: [[token]] number {number}: {error}") from None
    return grants


def _grant(table: Any) -> Grant:
    if not isinstance(table, Mapping):
        raise ValueError("it is no table")
    if unknown := table.keys() - _KEYS:
        raise ValueError(f"there is no key {_listed(unknown)}; there are {_listed(_KEYS)}")
    token, names = table.get("token"), table.get("names")
    if not isinstance(token, str) or not token:
        raise ValueError('write token = "…"')
    if not isinstance(names, list) or not names:
        raise ValueError('write names = ["risk", "risk-*"], or ["*"] for all')
    for name in names:
        if not isinstance(name, str) or not _PATTERN.fullmatch(name):
            raise ValueError(f"{name!r} is no pattern of names, such as risk-*")
    return Grant(token, tuple(names))


def _listed(words: Any) -> str:
    return ", ".join(sorted(map(repr, words)))
