"""How far large values have come, told to the user in a thread that waits for them.

Receivers only count. Whoever waits for a call looks at the counts now and then, with no lock
held and no right to read: it calls `Session.on_progress`, or draws a bar where somebody sees it.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from . import notebook
from .loss import call_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..protocol.messages import Target

__all__ = ["Progress", "ProgressReporter"]

logger = logging.getLogger("wsremote.client")

PERIOD: Final = 0.1
"""Seconds between two reports."""

_NOTICEABLE: Final = 1.0
"""Seconds after which a transfer has a bar."""

_WIDTH: Final = 24

_ARROWS: Final = {"up": "sending", "down": "receiving"}


class Progress(NamedTuple):
    """How far what is large has come: given to `Session.on_progress`.

    Attributes:
        direction: `up`, to the server, or `down`, from it.
        done: Bytes that are there, of all that travels in that direction now.
        total: Bytes of all that, as far as it is known. Equal to `done` at the end.
        call: What is called, `pkg.mod:f`; None if that is not known.
    """

    direction: str
    done: int
    total: int
    call: str | None


class Bar(Protocol):
    """Where a bar is drawn."""

    def draw(self, text: str) -> None:
        """Show this in the place of what was shown."""

    def remove(self) -> None:
        """Show nothing, and leave no trace."""


class _TerminalBar:
    """One line of a terminal."""

    def draw(self, text: str) -> None:
        """Of `Bar`."""
        # A longer line would leave its first half behind.
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:room]}")
        sys.stderr.flush()

    def remove(self) -> None:
        """Of `Bar`."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _bar() -> Bar | None:
    """Where somebody sees a bar; None if nobody does."""
    if notebook.is_notebook():
        return notebook.NotebookBar()
    with contextlib.suppress(Exception):  # stderr may be anything, or nothing
        return _TerminalBar() if sys.stderr.isatty() else None
    return None


class _Way:
    """One direction, while something large travels in it."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.done = 0
        self.total = 0
        self.call: str | None = None


class ProgressReporter:
    """Tells of the large transfers of one session.

    Args:
        received: Bytes that are there and that are expected, of what is being received.

    Attributes:
        callback: What is told; None for a bar.
    """

    def __init__(self, received: Callable[[], tuple[int, int]]) -> None:
        self.callback: Callable[[Progress], object] | None = None
        self._received = received
        self._ways: dict[str, _Way] = {}
        # Bytes of each sender, gone and to go, with what it calls.
        self._sending: dict[int, tuple[int, int, str | None]] = {}
        # One thread at a time reports; the others go on.
        self._reporting = threading.Lock()
        self._last = 0.0
        self._bar: Bar | None = None
        self._has_failed = False

    # ---- by those who wait, with no lock held ----------------------------------------

    @contextlib.contextmanager
    def sending(self, what: tuple[Target, str | None] | None, total: int) -> Iterator[None]:
        """The calling thread sends so many bytes within this block."""
        me = threading.get_ident()
        outer = self._sending.get(me)
        self._sending[me] = 0, total, None if what is None else call_name(*what)
        try:
            yield
        finally:
            if outer is None:
                self._sending.pop(me, None)
            else:
                self._sending[me] = outer
            if "up" in self._ways:
                self.report()

    def sent(self, size: int) -> None:
        """The calling thread has sent so many bytes more."""
        me = threading.get_ident()
        if me in self._sending:
            done, total, call = self._sending[me]
            self._sending[me] = done + size, total, call
            if self.is_due():
                self.report()

    def is_due(self, period: float = PERIOD) -> bool:
        """Whether it is time to report, if there is something to tell of, and nobody does."""
        return time.monotonic() - self._last >= period and not self._reporting.locked()

    @property
    def is_telling(self) -> bool:
        """Whether a transfer has been told of and has not been said to have ended."""
        return bool(self._ways)

    def report(self, what: tuple[Target, str | None] | None = None) -> None:
        """Tell how far it has come. User code runs here, whose failure is logged once.

        Args:
            what: What the calling thread has called and waits for.
        """
        if not self._reporting.acquire(blocking=False):
            return
        try:
            self._last = now = time.monotonic()
            sending = list(self._sending.values())
            gone, going = sum(each[0] for each in sending), sum(each[1] for each in sending)
            self._look("up", gone, going, sending[0][2] if len(sending) == 1 else None, now)
            came, coming = self._received()
            self._look("down", came, coming, None if what is None else call_name(*what), now)
            self._draw(now)
        finally:
            self._reporting.release()

    def hide(self) -> None:
        """Something else is printed now, or nothing more is waited for: no bar stays there."""
        if self._bar is not None and self._reporting.acquire(blocking=False):
            try:
                bar, self._bar = self._bar, None
                if bar is not None:
                    self._try(bar.remove)
            finally:
                self._reporting.release()

    # ---- requires `_reporting` -------------------------------------------------------

    def _look(self, direction: str, done: int, total: int, call: str | None, now: float) -> None:
        """One direction: begin, go on or end."""
        way = self._ways.get(direction)
        if not total:
            if way is not None:
                del self._ways[direction]
                self._tell(Progress(direction, way.total, way.total, way.call))
            return
        if way is None:
            way = self._ways[direction] = _Way(now)
        way.done, way.total, way.call = done, total, call or way.call
        if done < total:
            self._tell(Progress(direction, done, total, way.call))

    def _tell(self, progress: Progress) -> None:
        if (callback := self.callback) is not None:
            self._try(lambda: callback(progress))

    def _draw(self, now: float) -> None:
        """The bar of the way that has gone on for longest, if any for long."""
        way: _Way | None = min(self._ways.values(), key=lambda each: each.since, default=None)
        if way is None or self.callback is not None:
            bar, self._bar = self._bar, None
            if bar is not None:
                self._try(bar.remove)
            return
        if self._bar is None:
            if now - way.since < _NOTICEABLE:
                return
            self._bar = _bar()
        if (drawn := self._bar) is not None:
            direction = next(name for name, each in self._ways.items() if each is way)
            text = _text(direction, way, now)
            self._try(lambda: drawn.draw(text))

    def _try(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:
            # Told once: it would fail ten times a second.
            if not self._has_failed:
                logger.exception("! telling of progress has failed; the transfer goes on")
            self._has_failed = True


def _text(direction: str, way: _Way, now: float) -> str:
    """The bar of one way."""
    share = way.done / way.total
    filled = round(share * _WIDTH)
    rate = way.done / max(now - way.since, PERIOD)
    what = "" if way.call is None else f" {way.call}:"
    left = f", {(way.total - way.done) / rate:.0f} s left" if rate else ""
    return (
        f"wsremote:{what} {_ARROWS[direction]} [{'#' * filled}{'.' * (_WIDTH - filled)}]"
        f" {way.done / 1e6:.0f} of {way.total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s{left}"
    )
