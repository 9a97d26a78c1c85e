"""A warning as data, and back: the warning itself, and the place that it points at.

A warning points at a line of served code, or at its caller: then the other side takes a line
of its own, so many frames above the call.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import DecodeError
from .faults import decode_exception, encode_fault
from .frames import is_own_frame, remember_source, remote_file, short_path, source_around
from .packing import pack, unpack

if TYPE_CHECKING:
    from .packing import Buffer
    from .values import ValueCodec

__all__ = ["ReceivedWarning", "decode_warning", "encode_warning"]

_LARGEST: Final = 1024 * 1024
"""Bytes of a warning, its place not counted."""


class ReceivedWarning(NamedTuple):
    """A warning of the other side.

    Attributes:
        warning: What was passed to `warnings.warn`, or made of it.
        depth: Frames above the one that made the call, if the warning points there; then the
            other fields are empty. None if it points at the other side's code.
        file: The file, under the name that tracebacks show.
        line: The line.
        module: The name of its module.
    """

    warning: Warning
    depth: int | None
    file: str
    line: int
    module: str


def encode_warning(warning: Warning, file: str, line: int, codec: ValueCodec) -> bytes:
    """The payload of a warning, in the thread and below the frames that it was raised in.

    Args:
        warning: As `warnings.showwarning` gets it.
        file: Where it points.
        line: Where it points.
        codec: The codec of the session.

    Raises:
        KeyboardInterrupt: It came meanwhile.
    """
    content = encode_fault(warning, codec, limit=_LARGEST)
    depth = _depth(file, line)
    if depth is not None:
        fields: list[Any] = [content, depth, "", 1, "", []]
    else:
        module, scope = _module_of(file)
        source = source_around(file, line, scope)
        fields = [content, None, short_path(file, module), line, module, source]
    payload = pack(fields)
    assert payload is not None, "these are types that msgpack knows"
    return payload


def decode_warning(payload: Buffer, codec: ValueCodec, host: str) -> ReceivedWarning:
    """The warning of a payload.

    Args:
        payload: Bytes of any origin.
        codec: The codec of the session.
        host: Names the other side in file names.

    Raises:
        DecodeError: The payload is malformed.
    """
    fields = unpack(payload)
    if type(fields) is not list or len(fields) != 6:
        raise DecodeError("a warning has six fields")
    content, depth, file, line, module, source = fields
    if not (type(content) is bytes and type(file) is type(module) is str):
        raise DecodeError("a warning has a payload, a file and a module")
    if type(line) is not int or type(source) is not list:
        raise DecodeError("a warning has a line and its source")
    if depth is not None and (type(depth) is not int or depth < 0):
        raise DecodeError("a warning points a number of frames above its call")
    warning = decode_exception(content, codec.exchange)
    if not isinstance(warning, Warning):
        # A class that is not known here.
        warning = UserWarning(str(warning))
    if depth is None:
        file = remote_file(file, host)
        remember_source(file, source)
    return ReceivedWarning(warning, depth, file, line, module)


def _depth(file: str, line: int) -> int | None:
    """How far above the served code a place is; None if it is inside of it, or elsewhere."""
    frame = sys._getframe(1)
    # Up to the served code that warns, and through it.
    while frame.f_back is not None and is_own_frame(frame):
        frame = frame.f_back
    while frame.f_back is not None and not is_own_frame(frame):
        frame = frame.f_back
    depth = 0
    while True:
        if frame.f_lineno == line and frame.f_code.co_filename == file:
            return depth
        if frame.f_back is None:
            # `warnings` itself says so where there are fewer frames than were asked for.
            return depth if file in ("sys", "<sys>") else None
        frame, depth = frame.f_back, depth + 1


def _module_of(file: str) -> tuple[str, dict[str, Any]]:
    """The name of the loaded module that a file belongs to, and its globals."""
    for name, module in list(sys.modules.items()):
        scope = getattr(module, "__dict__", None)
        if type(scope) is dict and scope.get("__file__") == file:
            return name, scope
    return "", {}
