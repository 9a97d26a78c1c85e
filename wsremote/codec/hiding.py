"""Exceptions that leave our code for the user's: no frame of ours in their tracebacks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ..errors import WsRemoteError
from .frames import is_own_frame

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["hide_own_frames", "hiding", "raise_again", "without_own_frames"]

_OF_OURS: Final = (WsRemoteError, KeyboardInterrupt, AttributeError)

Function = TypeVar("Function", bound=Callable[..., Any])


def hide_own_frames() -> None:
    """Leave our frames out of the traceback of the exception that the caller handles.

    The caller's own frame goes too, whatever it says of itself. To be called in an `except`
    block that ends with a bare `raise`, which adds no frame:

        try:
            return call(target, args, kwargs)
        except BaseException:
            hide_own_frames()
            raise

    What looks like a bug of ours keeps its frames: an exception that is raised in our code, and
    is neither one of ours, nor an interrupt, nor about an attribute, nor from the other side.
    """
    error = sys.exc_info()[1]
    if error is None or error.__traceback__ is None:
        return
    caller = sys._getframe(1)
    kept, last = _split(error.__traceback__, caller)
    is_ours = last is not None and last is not caller and is_own_frame(last)
    # What came without a frame of the other side was raised by no code there: by the call itself.
    is_ours = is_ours and last.f_code is not raise_again.__code__  # type: ignore[union-attr]
    if is_ours and not isinstance(error, _OF_OURS):
        return
    error.__traceback__ = _joined(kept)


def without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the entries that are ours, which are taken out of it."""
    return traceback and _joined(_split(traceback, None)[0])


def hiding(function: Function) -> Function:
    """The same function, which hides its own and all our other frames where it raises."""

    def outermost(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException:
            hide_own_frames()
            raise

    functools.update_wrapper(outermost, function)
    # Nobody who looks at it is to find another function below.
    del outermost.__wrapped__  # type: ignore[attr-defined]
    return outermost  # type: ignore[return-value]


def _split(
    traceback: TracebackType | None, caller: FrameType | None
) -> tuple[list[TracebackType], FrameType | None]:
    """The entries of a traceback that are not ours, and the frame of its last entry."""
    kept = []
    last = caller
    while traceback is not None:
        last = traceback.tb_frame
        if last is not caller and not is_own_frame(last):
            kept.append(traceback)
        traceback = traceback.tb_next
    return kept, last


def _joined(entries: list[TracebackType]) -> TracebackType | None:
    """A traceback of these entries."""
    following = None
    for entry in reversed(entries):
        if entry.tb_next is not following:
            entry.tb_next = following
        following = entry
    return following


def raise_again(error: BaseException) -> NoReturn:
    """Raise what was raised on the other side, its own context kept.

    Python would put what is being handled here in its place. That comes at the end of the
    chain, as at home, where the first exception of the chain was raised in its presence.

    Raises:
        BaseException: `error`.
    """
    __tracebackhide__ = True
    handled, context = sys.exc_info()[1], error.__context__
    try:
        raise error
    finally:
        if context is not None:
            error.__context__ = context
            if handled is not None:
                _put_at_end(handled, error)
        # Their tracebacks have this frame.
        del error, handled, context


def _put_at_end(handled: BaseException, error: BaseException) -> None:
    """Make `handled` the context of the first exception of the chain that ends with `error`."""
    seen = {id(error)}
    while error.__context__ is not None:
        error = error.__context__
        if error is handled or id(error) in seen:
            return
        seen.add(id(error))
    # Neither may the chain of `handled` lead back here.
    other: BaseException | None = handled
    while other is not None:
        if id(other) in seen:
            return
        seen.add(id(other))
        other = other.__context__
    error.__context__ = handled
