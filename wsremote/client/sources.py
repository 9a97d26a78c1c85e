"""Source of served packages, in the places where Python looks for source.

Files of the server are called `<wsremote://host:9090>/pkg/mod.py` here. `inspect.getsource`
reads them from `linecache`, which asks us when somebody wants one for the first time: one
message. It is not sent to draw a traceback, nor when a notebook or an editor looks around.
"""

from __future__ import annotations

import linecache
import sys
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING

from ..shallow.looking import is_looked_at
from ..shallow.names import host_of

if TYPE_CHECKING:
    from ..shallow.caller import ServerCaller
    from ..tree.info import InfoTree

__all__ = ["Sources"]

_NOT_ASKED_FOR = (CodeType, FrameType, TracebackType)


class Sources:
    """The source files of one session.

    Args:
        caller: The session.
        tree: What its server serves.
    """

    def __init__(self, caller: ServerCaller, tree: InfoTree) -> None:
        self._caller = caller
        self._prefix = f"<wsremote://{host_of(caller.url)}>/"
        # A served package of each top-level package: whom to ask.
        self._packages = {name.partition(".")[0]: name for name in reversed(tree.packages)}
        # Names of files here by their name in the tree.
        self._names: dict[str, str] = {}
        # The same server may have been started again since, with other files.
        for name in [name for name in linecache.cache if name.startswith(self._prefix)]:
            linecache.cache.pop(name, None)

    def name_of(self, file: str) -> str:
        """The name here of a file of the tree. From now on its source can be asked for."""
        name = self._names.get(file)
        if name is None:
            name = self._names[file] = self._prefix + file
            lazy: tuple[object] = (lambda: self.text(file),)
            linecache.cache[name] = lazy  # type: ignore[assignment]
        return name

    def text(self, file: str) -> str:
        """The source of a file of the tree: one message, if somebody wants to read it.

        Raises:
            ImportError: It cannot be had. That is what Python's tools expect.
        """
        if is_looked_at() or not _is_wanted():
            raise ImportError(f"the source of {file} is not fetched for that")
        package = self._packages.get(file.partition("/")[0].removesuffix(".py"))
        if package is None or self._caller.closed:
            raise ImportError(f"the source of {file} cannot be asked for")
        try:
            text: str = self._caller.browse(package, "source", file)
        except Exception as error:
            raise ImportError(f"the source of {file} is not there: {error}") from error
        return text

    def inside(self, path: str) -> str | None:
        """The name in the tree of a file that has a name here; None for any other."""
        return path.removeprefix(self._prefix) if path.startswith(self._prefix) else None


def _is_wanted() -> bool:
    """Whether a loader is asked, or `inspect` for the source of a function, class or module.

    Tracebacks ask `linecache` themselves, or `inspect` for the source of code and frames; in
    the middle of an interrupt, say, no message must be sent to draw one.
    """
    frame: FrameType | None = sys._getframe(2)
    is_cached = False
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "inspect" and frame.f_code.co_name == "findsource":
            return not isinstance(frame.f_locals.get("object"), _NOT_ASKED_FOR)
        is_cached = is_cached or module == "linecache"
        frame = frame.f_back
    return not is_cached
