"""What a call tells its user, in the thread that made it: output and warnings."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

from ..codec.frames import is_own_frame
from ..codec.writeback import WRITE_BACK_LIMIT

if TYPE_CHECKING:
    from types import FrameType

    from ..codec.warned import ReceivedWarning
    from ..protocol.messages import Output

__all__ = ["NOTICEABLE", "Outage", "show", "warn_again", "warn_too_large"]

NOTICEABLE: Final = 2.0
"""Seconds without a connection after which a waiting call says so."""

# What has been shown of each file of the server; Python keeps this in the globals of its module.
_shown: Final[dict[str, dict[Any, Any]]] = {}


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


class Outage:
    """Says, in the thread of a call that waits, that there is no connection.

    Args:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._seconds = 0.0
        self._told = False

    def goes_on(self, seconds: float) -> None:
        """There has been none for `seconds`."""
        self._seconds = seconds
        if seconds >= NOTICEABLE and not self._told:
            self._told = True
            self._say(
                f"the connection to {self._url} is lost; waiting for it (Ctrl-C stops waiting)"
            )

    def ended(self) -> None:
        """The wait is over."""
        if self._told:
            self._say(f"no longer waiting for {self._url}, after {self._seconds:.0f} s")

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"wsremote: {text}\n")
        sys.stderr.flush()


def warn_again(received: ReceivedWarning) -> None:
    """Warn as the server did, in the thread that made the call, under the filters here.

    Raises:
        Warning: A filter makes it an error.
    """
    warning, depth = received.warning, received.depth
    if depth is None:
        warnings.warn_explicit(
            warning,
            type(warning),
            received.file,
            received.line,
            module=received.module or None,
            registry=_shown.setdefault(received.file, {}),
        )
        return
    frame = _calling_frame()
    for _ in range(depth):
        frame = frame.f_back or frame
    scope = frame.f_globals
    warnings.warn_explicit(
        warning,
        type(warning),
        frame.f_code.co_filename,
        frame.f_lineno,
        module=scope.get("__name__") or "<string>",
        registry=scope.setdefault("__warningregistry__", {}),
    )


def warn_too_large(argument: str) -> None:
    """Changes to a large container argument will not be seen: say so where the call is."""
    frame = _calling_frame()
    warnings.warn_explicit(
        f"{argument} is a container of more than {WRITE_BACK_LIMIT} elements: what the call changes"
        " in it will not be seen here. Pass wsremote.inout(x) if it should be, or a tuple if not",
        UserWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__") or "<string>",
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _calling_frame() -> FrameType:
    """The frame of the user's code that made the call of this thread."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        is_own_frame(frame)
        # The shallow function, which says that it is the server's.
        or frame.f_code.co_filename.startswith("<wsremote")
    ):
        frame = frame.f_back
    return frame
