"""What `wsremote serve` prints when it listens: the tutorial in six lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final

from .naming.record import version_of
from .transport.url import parse_url
from .version import __version__

__all__ = ["banner", "pasted"]

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})


def pasted(url: str, allowed_hosts: Sequence[str] = ()) -> str:
    """A URL for clients, of where a server listens: nobody connects to every address.

    Args:
        url: Where it listens.
        allowed_hosts: What it lets itself be called besides; the first is what its operator calls
            it. Without, it is this machine's name.
    """
    parsed = parse_url(url)
    if parsed.host not in _EVERYWHERE:
        return url
    return str(parsed._replace(host=allowed_hosts[0] if allowed_hosts else socket.gethostname()))


def banner(
    url: str,
    token: str,
    packages: Sequence[str],
    objects: Mapping[str, object],
    *,
    named: tuple[str, str] | None = None,
    one_token: bool = True,
    allowed_hosts: Sequence[str] = (),
) -> str:
    """The text, with lines that can be pasted into a client.

    Args:
        packages: The names that were asked to be served.
        objects: Everything that is served, by its name on the wire.
        named: The server's name and the name server's URL, if it is found by one.
        one_token: Whether that name server has been given the server's token. The one that it has
            been given else is for servers that register, and not shown.
        allowed_hosts: Names that the server lets itself be called.
    """
    where, by_name, needed = f'"{pasted(url, allowed_hosts)}"', "", ""
    if named is not None:
        where, by_name = f'"{named[0]}", nameserver="{named[1]}"', f" as {named[0]}"
        if not one_token:
            needed = ", with WSREMOTE_NAMESERVER_TOKEN set to one that the name server lets in"
    served = [f"  {_title(name)}: {_counts(name, objects)}" for name in packages]
    return "\n".join(
        [
            f"wsremote {__version__} serving at {url}{by_name} (pid {os.getpid()})",
            *served,
            f"  From Python on the client{needed}:",
            "    import wsremote",
            f'    session = wsremote.connect({where}, token="{token}")',
            f"    {packages[0].replace('.', '_')} = session.modules.{packages[0]}",
            "Ctrl-C to stop",
        ]
    )


def _title(package: str) -> str:
    """Name and version, the version where the package tells one of its own."""
    version = version_of(package)
    return package if version is None else f"{package} {version}"


def _counts(package: str, objects: Mapping[str, object]) -> str:
    """How much of a package is served. A re-export counts once, with its original."""
    own = {
        id(served): served
        for path, served in objects.items()
        if path.partition(":")[0] == package or path.startswith(package + ".")
    }
    classes = sum(isinstance(served, type) for served in own.values())
    modules = sum(isinstance(served, ModuleType) for served in own.values())
    functions = len(own) - classes - modules
    numbers = [(modules, "module"), (functions, "function"), (classes, "class")]
    return ", ".join(_counted(number, noun) for number, noun in numbers)


def _counted(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"
