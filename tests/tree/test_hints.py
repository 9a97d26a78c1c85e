"""What annotations mean, found without running their text."""

from __future__ import annotations

import collections.abc
import inspect
import pickle
import typing
from typing import Any, Literal, Optional

import pytest

from wsremote.tree.hints import Annotation

ran: list[str] = []


def note(text: str) -> type:
    """Called by text that is run."""
    ran.append(text)
    return int


def hinted(text: str, **scope: Any) -> Any:
    """What `typing.get_type_hints` makes of an annotation."""

    def function() -> None: ...

    function.__annotations__ = {"x": Annotation(text)}
    return typing.get_type_hints(function, {"note": note, "ran": ran, **scope})["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int", int),
        ("None", type(None)),
        ("'str'", str),
        ("list[int]", list[int]),
        ("dict[str, list[int]]", dict[str, list[int]]),
        ("int | None", int | None),
        ("Optional[int]", Optional[int]),  # noqa: UP045
        ("typing.Any", Any),
        ("Callable[[int], str]", typing.Callable[[int], str]),
        ("list['int']", list[int]),
        ("collections.abc.Iterator[int]", collections.abc.Iterator[int]),
        ("Literal['a', -1, None]", Literal["a", -1, None]),
        ("tuple[int, ...]", tuple[int, ...]),
        ("Mine", Annotation),
    ],
)
def test_types_are_found(text: str, expected: Any) -> None:
    """Names of the scope, of Python and of `typing`."""
    assert hinted(text, Mine=Annotation) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("note('ran')", "[note('ran') for _ in (1,)]", "(lambda: note('ran'))()", "note.__call__"),
        *("__import__('os')", "typing.sys", "typing.sys.modules", "int.__subclasses__", "eval"),
        *("{**ran}", "ran.append", "f'{note(1)}'", "x := note('ran')", "Nobody", "((", "a" * 3000),
    ],
)
def test_nothing_is_run(text: str) -> None:
    """What is no plain type cannot be told."""
    with pytest.raises((NameError, TypeError)):
        hinted(text)
    assert ran == []


def test_an_annotation_reads_as_its_text() -> None:
    """It is equal to that, and shown without quotes."""
    note = Annotation("list[int]")
    assert note == "list[int]"
    assert note == Annotation("list[int]")
    assert note != Annotation("int")
    assert {note: 1}["list[int]"] == 1
    assert str(note) == repr(note) == "list[int]"
    assert not isinstance(note, str)
    assert pickle.loads(pickle.dumps(note)) == note
    assert inspect.formatannotation(note) == "list[int]"
