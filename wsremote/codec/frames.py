"""Frames of a traceback as data, and back as real frames that show the remote source.

A frame is rebuilt without compiling anything: one function of this file is given the
remote file, name and line numbers (`code.replace`), and its frame stands in the traceback.
The source lines that came along go into `linecache`, which `traceback`, IPython, pdb and
pytest read.
"""

from __future__ import annotations

import functools
import linecache
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final

from ..errors import DecodeError
from .uncaught import REMOTE, show_remote_source

__all__ = [
    "CALLER",
    "is_own_frame",
    "lower_traceback",
    "one_line",
    "rebuild_traceback",
    "remember_source",
    "remote_file",
    "short_path",
    "source_around",
]

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
_MOST_FILES: Final = 200

# Remote files that are in linecache, oldest first.
_cached: Final[dict[str, None]] = {}


def is_own_frame(frame: FrameType) -> bool:
    """Whether a frame is that of wsremote's code, or stands for the other side's caller."""
    module = frame.f_globals.get("__name__")
    if isinstance(module, str) and module.partition(".")[0] == "wsremote":
        return True
    return frame.f_code.co_filename == CALLER


def lower_traceback(traceback: TracebackType | None) -> list[list[Any]]:
    """The frames as `[file, name, first line, line, module, source]`, outermost first.

    Source is `[number of its first line, line, ...]`. Our own frames are left out, and the
    middle of a long traceback, which one frame stands for that says so.
    """
    entries = []
    while traceback is not None:
        frame = traceback.tb_frame
        if not is_own_frame(frame):
            entries.append((frame, traceback.tb_lineno, frame.f_globals.get("__name__")))
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
    source = source_around(code.co_filename, line, frame.f_globals)
    file = short_path(code.co_filename, module)
    return [file, code.co_qualname, code.co_firstlineno, line, module, source]


def source_around(file: str, line: int, scope: dict[str, Any]) -> list[Any]:
    """`[number of the first line, line, ...]` around a line of a file; empty if there is none.

    Args:
        file: Where it is on this machine.
        line: The line.
        scope: The globals of its module, which may have a loader that knows the source.
    """
    source: list[Any] = []
    for number in range(max(1, line - _BEFORE), line + _AFTER + 1):
        text = linecache.getline(file, number, scope)
        if not text:
            break
        source.append(text.rstrip("\n")[:_LONGEST_LINE])
    return [max(1, line - _BEFORE), *source] if source else []


def short_path(path: str, module: str) -> str:
    """The end of a path, from the folder that holds the top-level package: `pkg/sub/mod.py`."""
    if path.startswith("<"):
        return path
    parts = path.replace("\\", "/").split("/")
    depth = module.count(".") + 1 + (parts[-1] == "__init__.py")
    return "/".join(parts[-depth:])


def rebuild_traceback(
    frames: Any, host: str, following: TracebackType | None = None
) -> TracebackType | None:
    """A traceback of real frames, in files named `<wsremote HOST>/pkg/mod.py`.

    Args:
        frames: What `lower_traceback` gives.
        host: Names the other side.
        following: What was called by the last of these frames.

    Raises:
        DecodeError: These are no frames.
    """
    if type(frames) is not list or len(frames) > _FIRST + _LAST + 1:
        raise DecodeError("a traceback is a list of at most 101 frames")
    if frames:
        show_remote_source()
    traceback = following
    for entry in reversed(frames):
        file, name, first, line, module, source = entry
        if not (type(file) is type(name) is type(module) is str and type(source) is list):
            raise DecodeError("a frame has a file, a name, a module and source")
        if not (type(first) is type(line) is int and 0 <= first < 2**31 and 0 < line < 2**31):
            raise DecodeError("a frame has line numbers")
        file = remote_file(file, host)
        remember_source(file, source)
        code = _code(file, name[:200], first, line)
        # Its module is the remote one: whoever filters frames by module sees what ran.
        frame = FunctionType(code, {"__name__": module})().gi_frame
        traceback = TracebackType(traceback, frame, 0, line)
    return traceback


def remote_file(file: str, host: str) -> str:
    """The name that a file of the other side has here."""
    return file if file.startswith(REMOTE) else f"{REMOTE}{host}>/{file[:500]}"


def _frame() -> Iterator[None]:
    """What all remote frames are made of.

    The frame of a generator that has not begun: that of a function would keep the frames that
    it was called by, with all that they know.
    """
    yield


@functools.lru_cache(maxsize=1024)
def _code(file: str, name: str, first: int, line: int) -> CodeType:
    """The code of `_frame` as that of a function `name`, all of it on one line of `file`."""
    code = _frame.__code__
    return code.replace(
        co_filename=file,
        co_name=name.rpartition(".")[2],
        co_qualname=name,
        co_firstlineno=first,
        co_linetable=one_line(len(code.co_code) // 2, line - first),
    )


def one_line(units: int, delta: int) -> bytes:
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


def remember_source(file: str, source: list[Any]) -> None:
    """Put lines of a remote file where tracebacks look for them, beside those already there.

    Raises:
        DecodeError: This is not what `source_around` gives.
    """
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
