"""Frames of a traceback as data, and back as real frames that show the remote source.

A frame is rebuilt without compiling anything: one function of this file is given the
remote file, name and line numbers (`code.replace`), and its frame stands in the traceback.
The source lines that came along go into `linecache`, which `traceback`, IPython, pdb and
pytest read.
"""

from __future__ import annotations

import functools
import linecache
import sys
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final

from ..errors import DecodeError

__all__ = ["CALLER", "lower_traceback", "rebuild_traceback"]

CALLER: Final = "<wsremote>"
"""The file of code that stands for the caller on the other side. It has no source."""

_FIRST: Final = 20
_LAST: Final = 80
"""Frames of one traceback that travel: the outermost, and the innermost."""

_BEFORE: Final = 4
_AFTER: Final = 3
"""Lines of source that travel around the line of a frame, as many as IPython shows."""

_LONGEST_LINE: Final = 300
_LAST_LINE: Final = 30_000
_REMOTE: Final = "<wsremote "
_MOST_FILES: Final = 200

# Remote files that are in linecache, oldest first.
_cached: Final[dict[str, None]] = {}


def lower_traceback(traceback: TracebackType | None) -> list[list[Any]]:
    """The frames as `[file, name, first line, line, module, source]`, outermost first.

    Source is `[number of its first line, line, ...]`. Our own frames are left out, and the
    middle of a long traceback, which one frame stands for that says so.
    """
    entries = []
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__")
        is_ours = isinstance(module, str) and module.partition(".")[0] == "wsremote"
        if not is_ours and frame.f_code.co_filename != CALLER:
            entries.append((frame, traceback.tb_lineno, module))
        traceback = traceback.tb_next
    left_out = len(entries) - _FIRST - _LAST
    if left_out <= 0:
        return [_lower(*entry) for entry in entries]
    return [
        *[_lower(*entry) for entry in entries[:_FIRST]],
        [f"<{left_out} frames left out>", "...", 1, 1, "", []],
        *[_lower(*entry) for entry in entries[-_LAST:]],
    ]


def _lower(frame: FrameType, line: int | None, module: object) -> list[Any]:
    """One frame. Only the part of its path that names the module leaves this machine."""
    code = frame.f_code
    line = line or code.co_firstlineno
    module = module if isinstance(module, str) else ""
    source = []
    for number in range(max(1, line - _BEFORE), line + _AFTER + 1):
        text = linecache.getline(code.co_filename, number, frame.f_globals)
        if not text:
            break
        source.append(text.rstrip("\n")[:_LONGEST_LINE])
    if source:
        source.insert(0, max(1, line - _BEFORE))  # type: ignore[arg-type]
    file = _short_path(code.co_filename, module)
    return [file, code.co_qualname, code.co_firstlineno, line, module, source]


def _short_path(path: str, module: str) -> str:
    """The end of a path, from the folder that holds the top-level package: `pkg/sub/mod.py`."""
    if path.startswith("<"):
        return path
    parts = path.replace("\\", "/").split("/")
    depth = module.count(".") + 1 + (parts[-1] == "__init__.py")
    return "/".join(parts[-depth:])


def rebuild_traceback(frames: Any, host: str) -> TracebackType | None:
    """A traceback of real frames, in files named `<wsremote HOST>/pkg/mod.py`.

    Raises:
        DecodeError: These are no frames.
    """
    if type(frames) is not list or len(frames) > _FIRST + _LAST + 1:
        raise DecodeError("a traceback is a list of at most 101 frames")
    traceback = None
    for entry in reversed(frames):
        file, name, first, line, module, source = entry
        if not (type(file) is type(name) is type(module) is str and type(source) is list):
            raise DecodeError("a frame has a file, a name, a module and source")
        if not (type(first) is type(line) is int and 0 <= first < 2**31 and 0 < line < 2**31):
            raise DecodeError("a frame has line numbers")
        if not file.startswith(_REMOTE):
            file = f"{_REMOTE}{host}>/{file[:500]}"
        _remember_source(file, source)
        code = _code(file, name[:200], first, line)
        # Its module is the remote one: whoever filters frames by module sees what ran.
        frame = FunctionType(code, {"__name__": module, "sys": sys})()
        traceback = TracebackType(traceback, frame, frame.f_lasti, line)
    return traceback


def _frame() -> FrameType:
    """The frame that all remote frames are made of."""
    return sys._getframe()


@functools.lru_cache(maxsize=1024)
def _code(file: str, name: str, first: int, line: int) -> CodeType:
    """The code of `_frame` as that of a function `name`, all of it on one line of `file`."""
    code = _frame.__code__
    return code.replace(
        co_filename=file,
        co_name=name.rpartition(".")[2],
        co_qualname=name,
        co_firstlineno=first,
        co_linetable=_one_line(len(code.co_code) // 2, line - first),
    )


def _one_line(units: int, delta: int) -> bytes:
    """A location table (CPython's Objects/locations.md) that has one line and no columns.

    Args:
        units: Instructions to cover, of two bytes each. An entry covers up to 8.
        delta: The line, counted from the first line of the function.
    """
    number = (-delta << 1 | 1) if delta < 0 else delta << 1
    table = bytearray()
    while units > 0:
        length = min(units, 8)
        # Kind 13: a line, no columns.
        table.append(0x80 | 13 << 3 | length - 1)
        while number >= 0x40:
            table.append(0x40 | number & 0x3F)
            number >>= 6
        table.append(number)
        # The next entries stay on the line.
        units, number = units - length, 0
    return bytes(table)


def _remember_source(file: str, source: list[Any]) -> None:
    """Put lines of a remote file where tracebacks look for them, beside those already there."""
    if not source:
        return
    start, *lines = source
    if type(start) is not int or not 0 < start or not all(type(each) is str for each in lines):
        raise DecodeError("source is the number of a line, and lines")
    end = start + len(lines) - 1
    if end > _LAST_LINE or len(lines) > _BEFORE + _AFTER + 1:
        return
    entry = linecache.cache.get(file)
    # An entry without a time of change is not looked for on the disk.
    known = list(entry[2]) if entry is not None and len(entry) == 4 and not entry[1] else []
    known += ["\n"] * (end - len(known))
    known[start - 1 : end] = [f"{' '.join(line.splitlines())}\n" for line in lines]
    linecache.cache[file] = (0, None, known, file)
    _cached[file] = None
    while len(_cached) > _MOST_FILES:
        oldest = next(iter(_cached))
        _cached.pop(oldest, None)
        linecache.cache.pop(oldest, None)
