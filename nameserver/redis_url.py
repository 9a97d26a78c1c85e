"""What `--store redis://…` says, read strictly.

redis-py passes over what it does not understand: `/prod` would be database 0, and somebody else's.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Final, NamedTuple

__all__ = ["RedisUrl", "read_url"]

_OPTIONS: Final = frozenset(
    (
        "db",
        "health_check_interval",
        "password",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "username",
    )
)
"""What may follow a question mark; beside them, with TLS, what begins with `ssl_`."""

_NUMBER: Final = re.compile(r"[0-9]{1,6}")


class RedisUrl(NamedTuple):
    """Where a Redis is.

    Attributes:
        address: The URL without its user and password.
        database: The number of the database.
    """

    address: str
    database: int


def read_url(url: str) -> RedisUrl:
    """Read a URL.

    Raises:
        ValueError: It is none, or says something that nobody would do. The text shows nothing of
            it: what looks like a path may be half of a password.
    """
    try:
        return _read(url)
    except ValueError as error:
        why = str(error) if type(error) is _Wrong else "it cannot be read"
        raise ValueError(
            f"--store is not the URL of a Redis server: {why}. Write"
            " redis://[:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix:///PATH[?db=DB]; in"
            " a password / ? # and % as %2F %3F %23 and %25"
        ) from None


class _Wrong(ValueError):
    """Its text shows nothing of the URL."""


def _read(url: str) -> RedisUrl:
    if not url.isprintable() or " " in url:
        raise _Wrong("it has a blank in it, or a character that cannot be printed")
    parts = urllib.parse.urlsplit(url)
    if parts.fragment:
        raise _Wrong("nothing may follow a #")
    given = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    is_tls = parts.scheme == "rediss"
    if not all(name in _OPTIONS or (is_tls and name.startswith("ssl_")) for name in options):
        known = ", ".join(sorted(_OPTIONS))
        raise _Wrong(f"after the ? there may be {known}, and ssl_... with rediss://")
    if len(options) < len(given) or not all(options.values()):
        raise _Wrong("after the ? something is there twice, or empty")
    database = options.get("db", "0")
    if parts.scheme == "unix":
        place = urllib.parse.unquote(parts.path)
        if parts.hostname or not place:
            raise _Wrong("three slashes and the path of a socket are expected after unix:")
    elif parts.scheme in ("redis", "rediss"):
        port = 6379 if parts.port is None else parts.port
        if not parts.hostname or not port:
            raise _Wrong("there is no host, or its port is 0")
        place = f"{urllib.parse.unquote(parts.hostname)}:{port}"
        if path := parts.path.removeprefix("/"):
            if "db" in options:
                raise _Wrong("it says twice which database")
            database = path
    else:
        raise _Wrong("it begins with something else")
    if not _NUMBER.fullmatch(database):
        raise _Wrong("databases have numbers, such as the 0 of redis://HOST/0")
    number = int(database)
    # In the way in which it may be given: behind a socket's path a slash would belong to that.
    behind = f"/{number}" if parts.scheme != "unix" else f"?db={number}" if number else ""
    return RedisUrl(f"{parts.scheme}://{place}{behind}", number)
