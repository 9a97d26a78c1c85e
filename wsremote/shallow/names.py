"""Names: which ones the server is asked about, and which was meant.

Notebooks and editors probe every object for dozens of names (`_repr_html_`, `getdoc`,
`__wrapped__`). A probe of a name that the tree does not list is refused here, at no message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..protocol.reserved import is_reserved
from ..tree.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["INTERNAL", "closest", "host_of", "is_dunder", "is_probe"]

INTERNAL: Final = "_wsremote_"
"""What the attributes that wsremote itself keeps in classes and proxies start with."""

_PROBE_PREFIXES: Final = ("_ipython_", "_repr_", "_pytest", "_asyncio_", "_mock", INTERNAL)
_PROBES: Final = frozenset(["getdoc", "_is_coroutine", "_partialmethod", "_dir_additions"])
# What tools look for in any object. A class that has one lists it.
_TOOLS: Final = frozenset(
    ["__rich__", "__rich_repr__", "__rich_console__", "__html__", "__custom_documentations__"]
)


def is_dunder(name: str) -> bool:
    """Whether a name is of the form `__x__`."""
    return name.startswith("__") and name.endswith("__") and len(name) > 4


def is_probe(name: str) -> bool:
    """Whether to refuse an unlisted attribute without asking the server."""
    if not name.startswith("_"):
        return name in _PROBES
    if is_dunder(name):
        return is_reserved(name) or name in _TOOLS
    return name.startswith(_PROBE_PREFIXES) or name in _PROBES


def closest(name: str, known: Iterable[str]) -> str:
    """` Did you mean: 'fit'?` where a known name is near, else nothing."""
    near = nearest(name, known)
    return f" Did you mean: {near!r}?" if near else ""


def host_of(url: str) -> str:
    """`host:9090` of `ws://host:9090/path`."""
    return url.partition("://")[2].partition("/")[0] or url
