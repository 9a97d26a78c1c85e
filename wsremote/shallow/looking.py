"""Who looks: completers and documentation tools, whom an object answers without a message.

They ask every object for its names, its text and what it wraps, often at each key. So what
only the other side knows is not asked for while one of them is on the stack. None of them
runs code of the user's in between.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["is_inspected", "is_looked_at", "is_signature_asked"]

_PACKAGES: Final = frozenset(["jedi", "parso", "rlcompleter", "pydoc", "ptpython", "bpython"])
_MODULES: Final = frozenset(
    [
        *("IPython.core.completer", "IPython.core.oinspect", "IPython.utils.dir2"),
        *("IPython.core.guarded_eval", "IPython.core.formatters"),
    ]
)


def is_looked_at() -> bool:
    """Whether a completer or a documentation tool asks."""
    frame = _asker()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name in _MODULES or name.partition(".")[0] in _PACKAGES:
            return True
        frame = frame.f_back
    return False


def is_inspected() -> bool:
    """Whether `inspect` asks: what it probes for, most objects do not have."""
    return _is_of_inspect(_asker())


def is_signature_asked() -> bool:
    """Whether `inspect` follows `__wrapped__` to a signature, which is true as it is."""
    frame = _asker()
    while frame is not None and _is_of_inspect(frame):
        if frame.f_code.co_name == "_signature_from_callable":
            return True
        frame = frame.f_back
    return False


def _asker() -> FrameType | None:
    """The frame that reads the attribute of an object of ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame


def _is_of_inspect(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_globals.get("__name__") == "inspect"
