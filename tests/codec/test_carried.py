"""Objects whose class derives from an immutable builtin: a handle, and the content beside it."""

from __future__ import annotations

import datetime
import decimal
import enum
import http
from typing import Any, NamedTuple

import pytest

from wsremote.codec.carried import blank_of, content_base, content_of, made_of
from wsremote.errors import DecodeError


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int


class Loud(str):
    """Text whose own methods say something else."""

    def __str__(self) -> str:
        return "not the content"

    def __len__(self) -> int:
        return 99


class Odd(tuple[Any, ...]):
    """A tuple that iterates in its own way."""

    def __iter__(self) -> Any:
        return iter(["changed"])

    def __getitem__(self, index: Any) -> Any:
        return "changed"


class Number(int):
    """An integer."""

    def __int__(self) -> int:
        return -1


class Ratio(float):
    """A float."""

    def __float__(self) -> float:
        return -1.0


class Wave(complex):
    """A complex number."""


class Blob(bytes):
    """Bytes."""


class Few(frozenset[Any]):
    """A frozen set."""

    def __iter__(self) -> Any:
        return iter([])


class Day(datetime.date):
    """A date whose year is another."""

    year = 1900  # type: ignore[assignment]


class Moment(datetime.datetime):
    """A moment."""


class Hour(datetime.time):
    """A time."""


class Span(datetime.timedelta):
    """A duration whose days are others."""

    days = 7  # type: ignore[assignment]


class Price(decimal.Decimal):
    """A number of digits."""

    def __str__(self) -> str:
        return "expensive"


VALUES = [
    (Point(1, 2), (1, 2)),
    (Loud("text"), "text"),
    (Odd([1, 2]), (1, 2)),
    (Number(5), 5),
    (Ratio(2.5), 2.5),
    (Wave(1, 2), 1 + 2j),
    (Blob(b"ab"), b"ab"),
    (Few([1]), frozenset([1])),
    (Day(2024, 5, 4), datetime.date(2024, 5, 4)),
    (
        Moment(2024, 5, 4, 10, 30, fold=1, tzinfo=datetime.UTC),
        datetime.datetime(2024, 5, 4, 10, 30, fold=1, tzinfo=datetime.UTC),
    ),
    (Hour(7, 15), datetime.time(7, 15)),
    (Span(3, 4), datetime.timedelta(3, 4)),
    (Price("1.50"), decimal.Decimal("1.50")),
]


@pytest.mark.parametrize(("value", "content"), VALUES)
def test_content_is_what_c_code_sees(value: Any, content: Any) -> None:
    """Exactly of the builtin, past all that the class overrides, and back again."""
    base = content_base(type(value))
    assert base is type(content)
    found: Any = content_of(value, base)
    assert type(found) is base
    assert found == content
    made = made_of(type(value), found)
    assert type(made) is type(value)
    assert content_of(made, base) == content
    assert type(blank_of(type(value))) is type(value)


@pytest.mark.parametrize(("value", "content"), VALUES)
def test_it_travels_beside_the_handle(value: Any, content: Any, pair: Any) -> None:
    """The receiver gets both."""
    received = pair.back(value)
    assert (received.content, received.cls) == (content, type(value))
    assert pair.server.table[received.handle] is value
    assert pair.there(received) is value


def test_content_of_exact_builtins_is_by_value(pair: Any) -> None:
    """No handle is lent of them, nor of classes without content."""
    assert content_base(dict) is None
    assert content_base(http.HTTPStatus) is int
    assert pair.back(("a", 1)) == ("a", 1)
    assert pair.server.table == {}
    with pytest.raises(DecodeError, match="has no content of type int"):
        made_of(Point, 3)
    with pytest.raises(DecodeError, match="has no content"):
        blank_of(dict)


def test_content_is_written_once(pair: Any) -> None:
    """What shares one value a thousand times is not a thousand times as large."""
    name = Loud("n" * 1000)
    payload = pair.server_codec.encode_result([[name, name, {"k": name}, (name,)]]).payload
    assert len(payload) < 1500
    first, second, mapping, (last,) = pair.client_codec.decode(payload)
    assert first is second is mapping["k"] is last
    assert first.content == "n" * 1000


def test_nested_content(pair: Any) -> None:
    """Each part by its own rule."""
    received = pair.back(Odd([Point(1, 2), "x", Loud("y")]))
    point, text, loud = received.content
    assert (point.content, text, loud.content) == ((1, 2), "x", "y")


def test_a_member_whose_class_the_receiver_has_not_brings_its_content(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HTTPStatus.OK` is 200 also where `http` was never imported."""
    encoded = pair.server_codec.encode_result([http.HTTPStatus.NOT_FOUND])
    monkeypatch.delitem(__import__("sys").modules, "http")
    received = pair.client_codec.decode(*encoded)
    assert (received.content, received.cls) == (404, http.HTTPStatus)


def test_members_of_other_enumerations_carry_their_mixed_in_content(pair: Any) -> None:
    """And plain ones nothing."""

    class Size(enum.IntEnum):
        SMALL = 1

    class Color(enum.Enum):
        RED = 1

    assert pair.back(Size.SMALL).content == 1
    assert pair.back(Color.RED).content is None
