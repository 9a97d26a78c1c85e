"""What is kept of the output of calls while nobody is attached."""

from __future__ import annotations

from wsremote.server.printed import PrintedApart


def test_it_is_taken_once_and_in_order() -> None:
    """Calls and streams keep apart."""
    printed = PrintedApart(100)
    assert not printed
    printed.add(1, 1, "one\n")
    printed.add(2, 2, "two\n")
    assert printed
    assert printed.take() == [(1, 1, "one\n"), (2, 2, "two\n")]
    assert not printed
    assert printed.take() == []


def test_the_latest_is_kept_and_a_mark_says_what_is_not() -> None:
    """The oldest pieces go, whole; what is left is within the bound."""
    printed = PrintedApart(10)
    for number in range(5):
        printed.add(1, 1, f"{number}..\n")
    mark, *kept = printed.take()
    assert kept == [(1, 1, "3..\n"), (1, 1, "4..\n")]
    assert mark == (1, 2, "[12 characters were printed without a connection and dropped]\n")
    printed.add(1, 1, "more\n")
    assert printed.take() == [(1, 1, "more\n")]


def test_one_piece_above_the_bound_keeps_its_end() -> None:
    """Not more than the bound, however it comes."""
    printed = PrintedApart(10)
    printed.add(7, 1, "x" * 95 + "the end")
    mark, kept = printed.take()
    assert kept == (7, 1, "xxxthe end")
    assert "[92 characters" in mark[2]
