"""What a call prints comes out where the call was made."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import pytest


def test_prints_come_in_order_with_the_result(pkg: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the call returns, between the caller's own prints."""
    print("before")
    pkg.functions.say("one")
    print("between")
    assert pkg.functions.talk_and_wait() == 3
    print("after")
    assert capsys.readouterr().out.split() == ["before", "one", "between", "one", "two", "after"]


def test_stderr_is_kept_apart(pkg: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stream to its own."""
    pkg.functions.say("out")
    pkg.functions.say("err", "stderr")
    assert capsys.readouterr() == ("out\n", "err\n")


def test_prints_of_a_call_that_raises_are_not_lost(
    pkg: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come before the exception."""

    def say_and_fail() -> None:
        pkg.functions.say("last words")
        raise KeyError

    with pytest.raises(KeyError):
        pkg.functions.apply(say_and_fail)
    assert capsys.readouterr().out == "last words\n"


def test_prints_of_callbacks_and_of_the_server_interleave(
    pkg: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order in which they were printed, on whichever side."""

    def talk() -> None:
        print("here")
        pkg.functions.say("there")
        print("here again")

    pkg.functions.say("first")
    pkg.functions.apply(talk)
    assert capsys.readouterr().out.splitlines() == ["first", "here", "there", "here again"]


def test_text_of_any_kind_and_size(pkg: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a newline, with other alphabets, and a megabyte of it."""
    for text in ("", "grüß dich 🌍", "x" * 1_000_000):
        pkg.functions.say(text)
        assert capsys.readouterr().out == f"{text}\n"


class _ByThread(io.TextIOBase):
    """A stream that keeps what each thread writes."""

    def __init__(self) -> None:
        self.written: dict[int, list[str]] = {}

    def write(self, text: str, /) -> int:
        self.written.setdefault(threading.get_ident(), []).append(text)
        return len(text)


def test_each_thread_gets_its_own_output(pkg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that print at once: the thread that called is the one that writes."""
    stream = _ByThread()
    monkeypatch.setattr(sys, "stdout", stream)
    expected: dict[int, str] = {}
    start = threading.Barrier(4)

    def work(name: str) -> None:
        start.wait()
        for number in range(50):
            pkg.functions.say(f"{name} {number}")
        expected[threading.get_ident()] = "".join(f"{name} {number}\n" for number in range(50))
        start.wait()  # so that no identifier is used twice

    threads = [threading.Thread(target=work, args=[f"thread {n}"]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {ident: "".join(texts) for ident, texts in stream.written.items()} == expected
    assert len(expected) == 4


def test_a_closed_or_replaced_stdout_is_seen_at_the_time_of_the_print(
    pkg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Output goes to what `sys.stdout` is when it comes, as `print` does."""
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", first)
    pkg.functions.say("one")
    monkeypatch.setattr(sys, "stdout", second)
    pkg.functions.say("two")
    assert (first.getvalue(), second.getvalue()) == ("one\n", "two\n")
