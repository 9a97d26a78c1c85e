"""What a call prints goes to that call.

`sys.stdout` and `sys.stderr` of the server process are streams that ask a `ContextVar` where
the text belongs. Each lane sets it once, in its own context; what runs outside of a lane
prints to the server's own streams as before. Not `contextlib.redirect_stdout`, which swaps the
stream for the whole process and would mix the sessions' prints.

What this does not see: text that C code or a subprocess writes to the file descriptors, and
handlers that kept the stream they were made with before `install` (a `logging.StreamHandler`
made at import; `logging.lastResort` asks for `sys.stderr` each time).
"""

from __future__ import annotations

import codecs
import functools
import io
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, Protocol, TextIO

__all__ = ["STDERR", "STDOUT", "WARNING", "OutputBuffer", "OutputRouter", "Sink", "current_sink"]

STDOUT: Final = 1
"""Number of the standard output on the wire."""

STDERR: Final = 2
"""Number of the standard error stream on the wire."""

WARNING: Final = 3
"""Among what a call has printed: the payload of a warning."""


class Sink(Protocol):
    """Where text and warnings go. Hashable and weakly referable."""

    def write(self, stream: int, text: str) -> bool:
        """Take text of a stream, `STDOUT` or `STDERR`; False if this sink takes no more."""
        ...

    def warn(self, warning: Warning, file: str, line: int) -> bool:
        """Take a warning that points at a line of a file; False if this sink does not."""
        ...


current_sink: ContextVar[Sink | None] = ContextVar("wsremote.current_sink", default=None)
"""Where the prints of the running code go; None for the server's own streams."""


class OutputBuffer:
    """The sink of a lane: collects what calls print until it is sent.

    Written to by any number of threads; taken from by one at a time, since the pieces
    must be sent in the order in which they were taken.

    Args:
        on_full: Called by the thread that writes, after each write that leaves more than
            `full` characters: to take and send them.
        full: Characters that may wait for the next tick or the end of the call.
        limit: Characters after which nothing more is accepted, because nobody takes them (no
            call is running): a thread left behind must not fill the memory.
        encode: Gives the payload of a warning, a file and a line; None if it cannot at this moment.
    """

    PIECE: Final = 64 * 1024
    """Characters of one piece at most."""

    def __init__(
        self,
        on_full: Callable[[], object],
        *,
        full: int = 8 * 1024,
        limit: int = 1024 * 1024,
        encode: Callable[[Warning, str, int], bytes | None] = lambda *_: None,
    ) -> None:
        self._on_full = on_full
        self._encode = encode
        self._full = full
        self._limit = limit
        # What waits, for who asks whether anything does. A deque needs no lock, which a
        # finalizer that prints could meet in its own thread.
        self.pieces: deque[tuple[int, Any]] = deque()
        # About how many characters wait: threads that write at once may count too few.
        self._size = 0
        self._closed = False

    def write(self, stream: int, text: str) -> bool:
        """Keep text of a stream. False if the buffer is closed, or full and nobody takes."""
        return self._keep(stream, text)

    def warn(self, warning: Warning, file: str, line: int) -> bool:
        """Keep a warning. False if it cannot be written, or the buffer takes no more."""
        payload = self._encode(warning, file, line)
        return payload is not None and self._keep(WARNING, payload)

    def _keep(self, stream: int, piece: str | bytes) -> bool:
        if self._closed or self._size > self._limit:
            return False
        self.pieces.append((stream, piece))
        self._size += len(piece)
        if self._size > self._full:
            self._on_full()
        return True

    def __bool__(self) -> bool:
        """Whether anything waits to be taken."""
        return bool(self.pieces)

    def take(self) -> list[tuple[int, Any]]:
        """Give what has come since the last time, runs of one stream merged, in order."""
        self._size = 0
        taken: list[tuple[int, Any]] = []
        run: list[str] = []
        printing = STDOUT
        # Only what is here now: a thread that prints without end must not keep us.
        for _ in range(len(self.pieces)):
            stream, piece = self.pieces.popleft()
            if stream != printing:
                taken += [(printing, text) for text in self._split("".join(run))]
                run, printing = [], stream
            if stream == WARNING:
                taken.append((WARNING, piece))
            else:
                run.append(piece)
        return [*taken, *[(printing, text) for text in self._split("".join(run))]]

    def close(self) -> None:
        """Accept nothing more: later prints go to the server's own streams."""
        self._closed = True

    def _split(self, text: str) -> Iterable[str]:
        """A text in pieces of at most `PIECE` characters, none of them empty."""
        return (text[start : start + self.PIECE] for start in range(0, len(text), self.PIECE))


class OutputRouter:
    """Puts the streams in place while a server runs. Several servers in a process share them."""

    # What was there before the first router: (sys.stdout, sys.stderr, threading.Thread.start).
    _before: tuple[Any, Any, Any] | None = None
    # What the first router put there.
    _ours: tuple[Any, Any, Any] | None = None
    _installed = 0
    _installing = threading.Lock()

    def __init__(self) -> None:
        # Whether this router counts among the installed ones.
        self._is_installed = False

    def install(self) -> None:
        """Route the output from now on. Safe to call twice."""
        router = OutputRouter
        with router._installing:
            if self._is_installed:
                return
            self._is_installed = True
            router._installed += 1
            if router._installed > 1:
                return
            before = router._before = (sys.stdout, sys.stderr, threading.Thread.start)
            ours = router._ours = (
                _RoutedStream(before[0], STDOUT),
                _RoutedStream(before[1], STDERR),
                _start_with_sink(before[2]),
            )
            sys.stdout, sys.stderr = ours[:2]
            threading.Thread.start = ours[2]  # type: ignore[method-assign]

    def uninstall(self) -> None:
        """Put back what was there, unless somebody else has replaced it since."""
        router = OutputRouter
        with router._installing:
            if not self._is_installed:
                return
            self._is_installed = False
            router._installed -= 1
            before, ours = router._before, router._ours
            if router._installed or before is None or ours is None:
                return
            router._before = router._ours = None
            if sys.stdout is ours[0]:
                sys.stdout = before[0]
            if sys.stderr is ours[1]:
                sys.stderr = before[1]
            if threading.Thread.start is ours[2]:
                threading.Thread.start = before[2]  # type: ignore[method-assign]


def _start_with_sink(start: Callable[[threading.Thread], None]) -> Callable[..., None]:
    """A `Thread.start` whose threads print where the thread that starts them prints.

    Python up to 3.13 starts threads in an empty context, so that the prints of a call's worker
    threads would come out in the server's terminal. Only the sink is passed on: whether
    a thread inherits the rest of the context is for Python's own setting to say.
    """

    @functools.wraps(start)
    def start_with_sink(self: threading.Thread) -> None:
        sink = current_sink.get()
        if sink is None:
            return start(self)
        run, attributes = self.run, vars(self)
        before = attributes.get("run")

        def restore() -> None:
            attributes.pop("run", None)
            if before is not None:
                attributes["run"] = before

        def run_with_sink() -> None:
            restore()
            current_sink.set(sink)
            run()

        attributes["run"] = run_with_sink
        try:
            start(self)
        except BaseException:
            restore()
            raise

    return start_with_sink


class _RoutedStream(io.TextIOBase):
    """A text stream that writes to the current sink, else to the stream it stands for."""

    def __init__(self, original: TextIO | None, number: int) -> None:
        # None in a process without console, as Python has it there.
        self._original = original
        self._number = number
        self._buffer = _RoutedBuffer(self, original, number)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink = current_sink.get()
        # An exact str, since what a subclass does when it is joined is its own.
        exact = text if type(text) is str else str.__str__(text)
        if (sink is None or not sink.write(self._number, exact)) and self._original is not None:
            self._original.write(exact)
        return len(exact)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if current_sink.get() is None and self._original is not None:
            self._original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        """False: at the other end is a notebook cell, or anything."""
        return False

    def fileno(self) -> int:
        """That of the server's own stream: what C code and subprocesses write goes there."""
        if self._original is None:
            raise io.UnsupportedOperation("fileno")
        return self._original.fileno()

    def close(self) -> None:
        """Nothing: the stream belongs to the server and not to the call that closes it."""

    def reconfigure(self, **options: Any) -> None:
        """Nothing: text travels as text, whatever encoding or buffering the call wants."""

    def detach(self) -> Any:
        raise io.UnsupportedOperation("the buffer of a server's stream cannot be detached")

    @property
    def buffer(self) -> _RoutedBuffer:
        return self._buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    @property
    def line_buffering(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return "<stdout>" if self._number == STDOUT else "<stderr>"

    @property
    def mode(self) -> str:
        return "w"


class _RoutedBuffer(io.BufferedIOBase):
    """The bytes face of a routed stream: UTF-8, of which a character may come in two writes."""

    def __init__(self, text: _RoutedStream, original: TextIO | None, number: int) -> None:
        self._text = text
        self._original = original
        self._number = number
        # The bytes of an unfinished character, for each sink.
        self._decoders: weakref.WeakKeyDictionary[Sink, codecs.IncrementalDecoder] = (
            weakref.WeakKeyDictionary()
        )

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        sink = current_sink.get()
        if sink is not None:
            decoder = self._decoders.get(sink)
            if decoder is None:
                decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
                self._decoders[sink] = decoder
            self._text.write(decoder.decode(bytes(data)))
        elif self._original is not None:
            buffer = getattr(self._original, "buffer", None)
            if buffer is None:
                self._original.write(bytes(data).decode("utf-8", "replace"))
            else:
                # What was printed before must come out before.
                self._original.flush()
                buffer.write(data)
        return size

    def flush(self) -> None:
        self._text.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def close(self) -> None:
        """Nothing, as for the stream."""
