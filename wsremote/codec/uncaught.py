"""Uncaught exceptions with remote frames, shown with their source.

Up to Python 3.12 what prints an uncaught exception is C code, which looks for source in files
only: for `<wsremote host>/pkg/errors.py` it would show a line of any `errors.py` in `sys.path`.
The `traceback` module, which it uses from 3.13 on, knows `linecache`.
"""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["REMOTE", "show_remote_source"]

REMOTE: Final = "<wsremote "
"""How the names of remote files begin."""


def show_remote_source() -> None:
    """See to it that uncaught exceptions show the source of remote frames. Safe to call often.

    A hook that somebody has set is left alone.
    """
    if sys.version_info < (3, 13):
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _excepthook
        if threading.excepthook is threading.__excepthook__:
            threading.excepthook = _thread_excepthook


def _excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Of the main thread."""
    if not _is_remote(error):
        sys.__excepthook__(kind, error, trace)
    elif sys.stderr is not None:
        traceback.print_exception(kind, error, trace)


def _thread_excepthook(arguments: threading.ExceptHookArgs, /) -> None:
    """Of other threads."""
    kind, error, trace, thread = arguments
    if error is None or not _is_remote(error):
        threading.__excepthook__(arguments)
    elif sys.stderr is not None:
        name = threading.get_ident() if thread is None else thread.name
        sys.stderr.write(f"Exception in thread {name}:\n")
        traceback.print_exception(kind, error, trace)


def _is_remote(error: BaseException) -> bool:
    """Whether a remote frame is in the traceback of an exception, or of one that led to it."""
    found = [error]
    seen = {id(error)}
    for each in found:
        trace = each.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.startswith(REMOTE):
                return True
            trace = trace.tb_next
        near = [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            near += each.exceptions
        for other in near:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                found.append(other)
    return False
