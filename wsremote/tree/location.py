"""Where the source of functions, classes and modules is, relative to their package's folder."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from .introspection import (
    is_module,
    module_dict,
    module_of,
    namespace_of,
    qualname_of,
)

__all__ = ["Place", "SourceMap", "folder_of"]

_MAX_HOPS = 100  # of `__wrapped__`; a longer chain is a circle
_CLASS = re.compile(rb"class[ \t]+(\w+)")


class Place(NamedTuple):
    """A source file, relative and with forward slashes, and a line in it; or two times None."""

    file: str | None
    line: int | None


_NOWHERE = Place(None, None)


def folder_of(module: ModuleType) -> list[str]:
    """The folders that hold a top-level module: several for a namespace package."""
    held = module_dict(module)
    file, path = held.get("__file__"), held.get("__path__")
    if path is not None:
        return [os.path.dirname(os.path.abspath(portion)) for portion in path]
    return [os.path.dirname(os.path.abspath(file))] if type(file) is str else []


class SourceMap:
    """Finds places; reads each source file once, and only to find classes in it.

    Paths outside the folders of the packages, which could tell about the server's machine,
    are never given.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        found = dict.fromkeys(folders)
        # A package may be imported through a link and its code compiled from the real path.
        found.update(dict.fromkeys(os.path.realpath(folder) for folder in [*found]))
        # Folders that hold packages, longest first, each with its separator.
        self._folders = sorted((os.path.join(f, "") for f in found), key=len, reverse=True)
        # Relative path by file name; None for what is no source file of the packages.
        self._relative: dict[str, str | None] = {}
        # Line and indentation of every `class` statement by name, by file name.
        self._classes: dict[str, dict[str, list[tuple[int, int]]]] = {}

    def file(self, name: object) -> str | None:
        """The relative path of a source file; None for anything else."""
        if type(name) is not str:
            return None
        if name not in self._relative:
            self._relative[name] = self._find(name)
        return self._relative[name]

    def _find(self, name: str) -> str | None:
        path = os.path.abspath(name)
        for folder in self._folders:
            if path.startswith(folder):
                if not path.endswith(".py") or not os.path.isfile(path):
                    return None
                return PurePath(path[len(folder) :]).as_posix()
        return None

    def of_module(self, module: ModuleType) -> str | None:
        """The file of a module."""
        return self.file(module_dict(module).get("__file__"))

    def of_function(self, function: Any) -> Place:
        """The place of a function: of what it wraps, if it does."""
        for _ in range(_MAX_HOPS):
            if type(function) is not FunctionType:
                break
            wrapped = function.__dict__.get("__wrapped__") if function.__dict__ else None
            if wrapped is None:
                code = function.__code__
                file = self.file(code.co_filename)
                return _NOWHERE if file is None else Place(file, code.co_firstlineno)
            function = wrapped
        return _NOWHERE

    def of_class(self, cls: type) -> Place:
        """The place of a class statement."""
        qualname = qualname_of(cls)
        name = self._file_name(cls, qualname)
        file = self.file(name)
        if file is None or name is None:
            return _NOWHERE
        line = namespace_of(cls).get("__firstlineno__")  # Python 3.13 and later
        if type(line) is not int:
            line = self._line_of(name, qualname.split("."))
        return _NOWHERE if line is None else Place(file, line)

    def _file_name(self, cls: type, qualname: str) -> str | None:
        """The file a class is in: that of its methods, since `__module__` is often set."""
        prefix = qualname + "."
        for value in namespace_of(cls).values():
            if type(value) is FunctionType and value.__qualname__.startswith(prefix):
                if value.__code__.co_filename[:1] != "<" and not value.__dict__:
                    return value.__code__.co_filename
        module = sys.modules.get(module_of(cls) or "")
        found = module_dict(module).get("__file__") if is_module(module) else None
        return found if type(found) is str else None

    def _line_of(self, name: str, qualname: list[str]) -> int | None:
        """Line of a class statement: each class is inside the one before."""
        statements = self._statements(name)
        start, indent = 0, -1
        for part in qualname:
            found = [
                place
                for place in statements.get(part, ())
                if place[0] > start and place[1] > indent
            ]
            if not found:
                return None
            # Of alternatives, or text in a docstring, the least indented one counts: at the top
            # the last, as when it runs; inside a class the first, the next class may have it too.
            sign = 1 if start else -1
            start, indent = min(found, key=lambda place: (place[1], sign * place[0]))
        return start

    def _statements(self, name: str) -> dict[str, list[tuple[int, int]]]:
        if name not in self._classes:
            self._classes[name] = _class_statements(name)
        return self._classes[name]


def _class_statements(name: str) -> dict[str, list[tuple[int, int]]]:
    """Line and indentation of all class statements of a file, quicker than a parser by far."""
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        with open(name, "rb") as file:
            source = file.read()
    except OSError:
        return found
    line, counted = 1, 0
    for match in _CLASS.finditer(source):
        start = source.rfind(b"\n", 0, match.start()) + 1
        if source[start : match.start()].strip():
            continue
        line += source.count(b"\n", counted, start)
        counted = start
        class_name = match[1].decode("utf-8", "replace")
        found.setdefault(class_name, []).append((line, match.start() - start))
    return found
