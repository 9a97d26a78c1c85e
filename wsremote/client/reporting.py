"""What a call tells its user, in the thread that made it: output and warnings."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from ..codec.writeback import WRITE_BACK_LIMIT

if TYPE_CHECKING:
    from ..protocol.messages import Output

__all__ = ["show", "warn_too_large"]


def show(message: Output) -> None:
    """Write what a call has printed, in the thread that made the call."""
    stream = sys.stdout if message.stream == 1 else sys.stderr
    try:
        stream.write(message.text)
    except UnicodeEncodeError:
        # The stream's encoding lacks a character: the call is not to fail for that.
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(message.text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def warn_too_large(argument: str) -> None:
    """Changes to a large container argument will not be seen: say so where the call is."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_globals.get("__name__", "").startswith("wsremote")
        # The shallow function, which says that it is the server's.
        or frame.f_code.co_filename.startswith("<wsremote")
    ):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(
        f"{argument} is a container of more than {WRITE_BACK_LIMIT} elements: what the call changes"
        " in it will not be seen here. Pass wsremote.inout(x) if it should be, or a tuple if not",
        stacklevel=depth,
    )
