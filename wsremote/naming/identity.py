"""Under which name a server is found, as it says itself to each client that opens a session.

What a name server says is a hint: the server may have gone, and another one be at its URL that
takes the same token. So a client compares the two.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from ..printable import printable
from .names import name_problem, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .information import ServerInfo
    from .names import Wanted

__all__ = ["Identity", "mismatch"]

_KEY = "named"
"""In what a server says of itself in its welcome."""


class Identity(NamedTuple):
    """What a server calls itself.

    Attributes:
        name: Under which it is found.
        id: Of this run of the server, 32 hexadecimal digits.
        version: Of the service.
        tags: What it was given.
    """

    name: str
    id: str
    version: str
    tags: tuple[str, ...]

    @classmethod
    def new(cls, name: str, version: str, tags: Iterable[str]) -> Identity:
        """That of a server which starts: one that is started again is another one.

        Raises:
            ValueError: The name is none.
        """
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(problem)
        return cls(name, secrets.token_hex(16), version, names_of("tags", tags))

    @staticmethod
    def name_in(said: Mapping[str, Any]) -> str | None:
        """The name in what a server of this process says of itself; None if it has none."""
        return said[_KEY]["name"] if _KEY in said else None

    def told(self) -> dict[str, Any]:
        """As a part of what a server says of itself."""
        return {_KEY: {**self._asdict(), "tags": list(self.tags)}}


def mismatch(said: Mapping[str, Any], record: ServerInfo, wanted: Wanted) -> str | None:
    """Why a server is not the one that was looked for, in words for the user; None if it is.

    One that was started again is, if it still is what was asked for: also with another version,
    where that fits.

    Args:
        said: What the server says of itself.
        record: By which it was found.
        wanted: What was looked for.
    """
    named = said.get(_KEY)
    if record.state == "pinned":
        # Somebody has said that it may be found so, whatever it calls itself.
        return None
    late = "what the name server says of it is out of date"
    if type(named) is not dict:
        return f"the server there has no name, and is not that of {wanted.name}: {late}"
    name, id, version, tags = (named.get(field) for field in Identity._fields)
    if name != wanted.name:
        return f"the server there is that of {_shown(name)}, not of {wanted.name}: {late}"
    if id == record.id:
        return None
    if wanted.version and version != record.version and not _is_wanted(wanted.version, version):
        return (
            f"the server there is of version {_shown(version)} by now, and {record.version} was"
            f" chosen for version={wanted.version!r}: {late}"
        )
    missing = set(wanted.tags) - {each for each in _list(tags) if type(each) is str}
    if missing:
        return f"the server there has no longer the tags {', '.join(sorted(missing))}: {late}"
    return None


def _is_wanted(asked: str, version: object) -> bool:
    # Only here: it takes 6 ms to import, and few clients ever come here.
    from .versions import fits

    # A pre-release may be all that there was; the name server is the one to know.
    return type(version) is str and fits(asked.strip(), version, prereleases=True)


def _list(value: object) -> list[Any]:
    return value if type(value) is list else []


def _shown(value: object) -> str:
    return printable(value, 100) if type(value) is str else "no text"
