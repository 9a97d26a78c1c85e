"""What a name is, and what is looked for under it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ConnectionFailed
from ..transport.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Wanted", "is_url", "name_problem", "names_of", "wanted"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Wanted(NamedTuple):
    """What is looked for.

    Attributes:
        name: Of the service.
        version: Which versions will do, such as `~=1.2`; "" for any.
        tags: What each server must have.
        zone: Where it should be, if there is one; "" for anywhere.
    """

    name: str
    version: str = ""
    tags: tuple[str, ...] = ()
    zone: str = ""


def is_url(text: str) -> bool:
    """Whether a text says where a server is, and not what it is called."""
    return "://" in text


def name_problem(text: str) -> str | None:
    """Why a text is no name, in words for the user; None if it is one."""
    if _NAME.fullmatch(text):
        return None
    if is_url(text):
        return f"{text!r} is a URL, and no name"
    problem = (
        f"{text!r} is no name of a server: it has 1 to 100 of the characters A-Z a-z 0-9 . _ -, and"
        " begins with a letter or a digit"
    )
    host, _, port = text.rpartition(":")
    return f"{problem}. If it is a URL, write ws://{text}" if host and port.isdigit() else problem


def wanted(name: str, version: str | None, tags: Iterable[str], zone: str | None) -> Wanted:
    """What `connect` has been asked for.

    Raises:
        ConnectionFailed: The name is none.
        TypeError: Something else is no text, or the tags are one.
    """
    if "@" in name or "token=" in name.lower():
        parse_url(name)  # Raises the error that does not repeat a secret.
    problem = name_problem(name)
    if problem is not None:
        raise ConnectionFailed(problem)
    return Wanted(name, *_texts("version", version), names_of("tags", tags), *_texts("zone", zone))


def names_of(what: str, given: Iterable[str]) -> tuple[str, ...]:
    """Several texts, once each and in order.

    Raises:
        TypeError: It is one text, or holds something else.
    """
    found: tuple[Any, ...] = (None,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(each, str) for each in found):
        raise TypeError(f"{what}={given!r} is no list of texts: write {what}=['…']")
    return tuple(sorted(set(found)))


def _texts(what: str, given: str | None) -> tuple[str]:
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{what}={given!r} is no text")
    return (given or "",)
