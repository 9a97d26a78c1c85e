"""Tests of server/output.py."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from wsremote.server.output import STDERR, STDOUT, OutputBuffer, OutputRouter, current_sink


class Terminal(io.TextIOWrapper):
    """Stands for the server's own stream."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    @property
    def shown(self) -> str:
        """What has been written."""
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode()

    def fileno(self) -> int:
        return 77


@contextlib.contextmanager
def serving() -> Iterator[Terminal]:
    """The server's stdout, while a router is installed.

    No fixture: pytest swaps the streams between the phases of a test.
    """
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(contextlib.redirect_stdout(Terminal()))
        stack.enter_context(contextlib.redirect_stderr(Terminal()))
        router = OutputRouter()
        router.install()
        stack.callback(router.uninstall)
        yield terminal


def output_of(function: Callable[[], Any]) -> list[tuple[int, str]]:
    """What a function prints when it runs as a call does, in the context of a lane."""
    buffer = OutputBuffer(lambda: None)

    def run() -> None:
        current_sink.set(buffer)
        function()

    contextvars.copy_context().run(run)
    return buffer.take()


# ---- the streams -------------------------------------------------------------------------


def test_prints_of_a_call_go_to_its_sink() -> None:
    """stdout and stderr arrive in order, runs of one stream merged, nothing at the server."""
    with serving() as terminal:

        def call() -> None:
            print("one", 2)
            print("three")
            print("oops", file=sys.stderr)
            sys.stdout.writelines(["a", "b"])

        assert output_of(call) == [(STDOUT, "one 2\nthree\n"), (STDERR, "oops\n"), (STDOUT, "ab")]
        assert terminal.shown == ""


def test_prints_outside_of_calls_stay_at_the_server() -> None:
    """Without a sink the server's own stream gets the text, bytes included and in order."""
    with serving() as terminal:
        print("hello")
        sys.stdout.buffer.write("é".encode())
        print("!")
        assert terminal.shown == "hello\né!\n"


def test_lanes_do_not_see_each_other() -> None:
    """Calls that print at the same time on many threads each get their own text."""
    with serving() as terminal:
        meet = threading.Barrier(4)
        printed: dict[int, list[tuple[int, str]]] = {}

        def lane(number: int) -> None:
            def call() -> None:
                for _ in range(50):
                    meet.wait()
                    print(number)

            printed[number] = output_of(call)

        threads = [threading.Thread(target=lane, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert printed == {number: [(STDOUT, f"{number}\n" * 50)] for number in range(4)}
        assert terminal.shown == ""


def test_logging_goes_to_the_calls_stderr() -> None:
    """Logging that nobody has configured, and a handler made in the call, are its stderr."""
    with serving():
        logger = logging.Logger("of the test")

        def call() -> None:
            logger.error("it failed")
            configured = logging.StreamHandler()
            configured.handle(logging.makeLogRecord({"msg": "by a handler", "levelno": 40}))

        ((stream, text),) = output_of(call)
        assert stream == STDERR
        assert "it failed\n" in text
        assert "by a handler\n" in text


def test_threads_of_a_call_print_to_the_call() -> None:
    """Worker threads, executors and asyncio belong to the call that started them."""
    with serving() as terminal:

        class Worker(threading.Thread):
            def run(self) -> None:
                print("subclass")

        async def main() -> None:
            print("task")
            await asyncio.to_thread(print, "to_thread")

        def call() -> None:
            for thread in (threading.Thread(target=print, args=["plain"]), Worker()):
                thread.start()
                thread.join()
                assert "run" not in vars(thread)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(print, "pool").result()
            asyncio.run(main())

        assert output_of(call) == [(STDOUT, "plain\nsubclass\npool\ntask\nto_thread\n")]
        assert terminal.shown == ""


def test_starting_threads_is_otherwise_unchanged() -> None:
    """A `run` of the instance's own is used and kept; a second start raises and leaves it."""
    with serving() as terminal:
        ran: list[str] = []

        def call() -> None:
            thread = threading.Thread()
            thread.run = own = lambda: ran.append("own")  # type: ignore[method-assign]
            thread.start()
            thread.join()
            with pytest.raises(RuntimeError, match="once"):
                thread.start()
            assert thread.run is own

        output_of(call)
        assert ran == ["own"]
        outside = threading.Thread(target=print, args=["outside"])
        outside.start()
        outside.join()
        assert terminal.shown == "outside\n"


def test_bytes_are_decoded_across_writes() -> None:
    """A character may come in two writes; other calls' bytes do not get in between."""
    with serving():

        def call() -> None:
            first, second = "é".encode()[:1], "é".encode()[1:]
            sys.stdout.buffer.write(first)
            assert output_of(lambda: sys.stdout.buffer.write(b"x")) == [(STDOUT, "x")]
            assert sys.stdout.buffer.write(memoryview(second + b"\xff")) == 2

        assert output_of(call) == [(STDOUT, "é\N{REPLACEMENT CHARACTER}")]


def test_streams_behave_like_text_streams() -> None:
    """What libraries ask of `sys.stdout` is answered as a real stream would, harmlessly."""
    with serving() as terminal:

        def call() -> None:
            stream: Any = sys.stdout
            assert stream.write("four") == 4
            with pytest.raises(TypeError, match="must be str, not bytes"):
                stream.write(b"bytes")
            stream.flush()
            stream.reconfigure(line_buffering=True)
            stream.close()
            assert (stream.closed, stream.writable(), stream.readable()) == (False, True, False)
            assert (stream.isatty(), stream.encoding, stream.fileno()) == (False, "utf-8", 77)
            assert (stream.name, sys.stderr.name) == ("<stdout>", "<stderr>")
            assert isinstance(stream, io.TextIOBase)
            with pytest.raises(io.UnsupportedOperation):
                stream.detach()
            with pytest.raises(io.UnsupportedOperation):
                stream.read()

        assert output_of(call) == [(STDOUT, "four")]
        print("still open")
        assert terminal.shown == "still open\n"


def test_subclasses_of_str_become_str() -> None:
    """Only exact text leaves a call, whatever is written."""
    with serving():

        class Loud(str):
            def __str__(self) -> str:
                return "LOUD"

        buffer = OutputBuffer(lambda: None)
        contextvars.copy_context().run(
            lambda: (current_sink.set(buffer), sys.stdout.write(Loud("quiet")))
        )
        ((_, text),) = buffer.take()
        assert type(text) is str
        assert text == "quiet"


# ---- the router --------------------------------------------------------------------------


def test_routers_share_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers of a process install once; the last that ends puts everything back."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    start = threading.Thread.start
    one, two = OutputRouter(), OutputRouter()
    one.install()
    routed = sys.stdout
    two.install()
    two.install()
    assert sys.stdout is routed is not terminal
    one.uninstall()
    one.uninstall()
    assert sys.stdout is routed
    two.uninstall()
    assert sys.stdout is terminal
    assert threading.Thread.start is start


def test_what_others_have_put_in_place_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that replaced ours meanwhile is not thrown away."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    router = OutputRouter()
    router.install()
    other = sys.stdout = Terminal()
    router.uninstall()
    assert sys.stdout is other


def test_a_process_without_console_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `sys.stdout` is None, prints outside of calls go nowhere, as before."""
    monkeypatch.setattr(sys, "stdout", None)
    router = OutputRouter()
    router.install()
    try:
        print("nobody reads this", flush=True)
        sys.stdout.buffer.write(b"nor this")
        assert output_of(lambda: print("call")) == [(STDOUT, "call\n")]
        with pytest.raises(io.UnsupportedOperation):
            sys.stdout.fileno()
    finally:
        router.uninstall()
    assert sys.stdout is None


# ---- the buffer --------------------------------------------------------------------------


def test_a_full_buffer_asks_to_be_taken() -> None:
    """`on_full` comes with the write that goes over the bound, not before."""
    taken: list[tuple[int, str]] = []
    buffer = OutputBuffer(lambda: taken.extend(buffer.take()), full=10)
    buffer.write(STDOUT, "12345")
    buffer.write(STDERR, "12345")
    assert taken == []
    buffer.write(STDERR, "6")
    assert taken == [(STDOUT, "12345"), (STDERR, "123456")]
    assert buffer.take() == []


def test_long_texts_come_in_pieces() -> None:
    """No piece is longer than PIECE, none is empty, nothing is lost."""
    buffer = OutputBuffer(lambda: None)
    text = "0123456789" * 15_000
    buffer.write(STDOUT, text)
    buffer.write(STDERR, "")
    pieces = buffer.take()
    assert "".join(piece for _, piece in pieces) == text
    assert [len(piece) for _, piece in pieces] == [65536, 65536, 18928]


def test_text_that_nobody_takes_goes_to_the_server() -> None:
    """A thread that prints on when its call is over cannot fill the memory."""
    with serving() as terminal:
        buffer = OutputBuffer(lambda: None, full=4, limit=9)

        def leftover() -> None:
            current_sink.set(buffer)
            for number in range(4):
                print(f"number {number}", end="")
            buffer.take()
            print("again", end="")
            buffer.close()
            print("closed", end="")

        contextvars.copy_context().run(leftover)
        assert terminal.shown == "number 2number 3closed"
        assert buffer.take() == [(STDOUT, "again")]


def test_no_text_is_lost_between_threads() -> None:
    """Threads that write while another takes lose nothing and keep their own order."""
    buffer = OutputBuffer(lambda: None, limit=10**9)
    taken: list[tuple[int, str]] = []

    def write(mark: str) -> None:
        for _ in range(5000):
            buffer.write(STDOUT, mark)

    threads = [threading.Thread(target=write, args=[mark]) for mark in "abc"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += buffer.take()
    taken += buffer.take()
    text = "".join(piece for _, piece in taken)
    assert sorted(text) == sorted("abc" * 5000)


def test_the_streams_keep_no_sink_alive() -> None:
    """A lane's buffer goes with its lane, also after it has written bytes."""
    with serving():
        buffer = OutputBuffer(lambda: None)

        def call(sink: OutputBuffer) -> None:
            current_sink.set(sink)
            sys.stdout.buffer.write(b"\xc3")

        contextvars.copy_context().run(call, buffer)
        alive = weakref.ref(buffer)
        del buffer
        assert alive() is None
