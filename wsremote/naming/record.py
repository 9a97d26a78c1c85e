"""What a server says of itself when it registers."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConnectionFailed
from ..server.config import is_loopback
from ..transport.url import parse_url
from ..version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..server.server import Server
    from .identity import Identity

__all__ = ["advertised", "record_of", "version_of"]

_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Hosts that mean every address of a machine, each with the one that is always there."""


def record_of(
    server: Server,
    identity: Identity,
    packages: Sequence[str],
    *,
    urls: Sequence[str],
    zone: str = "",
    capacity: int | None = None,
) -> dict[str, Any]:
    """The record of a server that listens.

    Args:
        server: Which.
        identity: What it calls itself.
        packages: The import names that it was told to serve, the service itself first.
        urls: Where clients reach it: what `advertised` gives.
        zone: Where it is.
        capacity: Sessions that it takes; None for as many as its bounds let in.
    """
    return {
        "name": identity.name,
        "id": identity.id,
        "urls": list(urls),
        "version": identity.version,
        "wsremote": __version__,
        "python": platform.python_version(),
        "packages": {package: version_of(package) or "" for package in packages},
        "tree": server.inventory.tree.digest,
        "tags": list(identity.tags),
        "zone": zone,
        "capacity": _room(server) if capacity is None else capacity,
    }


def _room(server: Server) -> int:
    """Sessions that clients can open; with one token they are fewer."""
    limits = server.limits
    tokens = 1 + len(server.config.further_tokens)
    return min(limits.max_sessions, tokens * limits.max_sessions_per_token)


def version_of(package: str) -> str | None:
    """The version of a package, where it has one of its own."""
    if package.partition(".")[0] in sys.stdlib_module_names:
        return None
    version = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def advertised(url: str, given: Sequence[str], nameservers: Iterable[str]) -> tuple[str, ...]:
    """The URLs at which clients reach a server.

    Args:
        url: Where it listens.
        given: What it was told to say, the port being its own where none is given.
        nameservers: Where it registers.

    Raises:
        ValueError: Nothing was given, and clients of these name servers could not reach it where
            it listens; or what was given is no URL.
    """
    own = parse_url(url)
    if given:
        return tuple(dict.fromkeys(_complete(each, own.port) for each in given))
    is_everywhere = own.host in _EVERYWHERE
    away = [each for each in nameservers if not is_loopback(parse_url(each).host)]
    if away and (is_everywhere or is_loopback(own.host)):
        where = "every address" if is_everywhere else f"{own.host}, this machine only,"
        raise ValueError(
            f"the server listens at {where} and the name server {away[0]} is on another machine:"
            f" which URL leads its clients here? Give --advertise {'wss' if own.secure else 'ws'}"
            f"://HOST:{own.port}"
        )
    return (str(own._replace(host=_EVERYWHERE.get(own.host, own.host))),)


def _complete(url: str, port: int) -> str:
    try:
        parsed = parse_url(url)
    except ConnectionFailed as error:
        raise ValueError(f"--advertise: {error}") from None
    if urllib.parse.urlsplit(url.strip()).port is None:
        parsed = parsed._replace(port=port)
    return str(parsed)
