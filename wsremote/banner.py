"""What `wsremote serve` prints when it listens: the tutorial in six lines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import ModuleType

from .naming.record import version_of
from .version import __version__

__all__ = ["banner"]


def banner(
    url: str,
    token: str,
    packages: Sequence[str],
    objects: Mapping[str, object],
    *,
    named: tuple[str, str] | None = None,
) -> str:
    """The text, with lines that can be pasted into a client.

    Args:
        packages: The names that were asked to be served.
        objects: Everything that is served, by its name on the wire.
        named: The server's name and the name server's URL, if it is found by one.
    """
    where, by_name = f'"{url}"', ""
    if named is not None:
        where, by_name = f'"{named[0]}", nameserver="{named[1]}"', f" as {named[0]}"
    served = [f"  {_title(name)}: {_counts(name, objects)}" for name in packages]
    return "\n".join(
        [
            f"wsremote {__version__} serving at {url}{by_name} (pid {os.getpid()})",
            *served,
            "  From Python on the client:",
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
