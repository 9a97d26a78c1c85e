"""The immutable value types of the standard library: how each is written and read.

`LOWER` gives the fields of a tagged value for each exact type, `BUILD` the value for
each tag. Types that msgpack has itself (None, bool, int, float, str, bytes) are not here.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from types import EllipsisType, NoneType, NotImplementedType
from typing import Any, Final

from ..errors import DecodeError
from . import tags

__all__ = ["BUILD", "LOWER", "PLAIN_TYPES", "SHORT_TYPES", "UNSIZED_TYPES"]

PLAIN_TYPES: Final[frozenset[type]] = frozenset([NoneType, bool, int, float, str, bytes])
"""What msgpack writes exactly as it is."""

UNSIZED_TYPES: Final = PLAIN_TYPES - {str, bytes}
"""Those of them that are always small."""

SHORT_TYPES: Final = PLAIN_TYPES | {list, dict}
"""Of results that have the short form: those, and lists and dicts of them with text as keys."""

Lower = Callable[[Any, Callable[[object], Any]], list[Any]]
Build = Callable[[list[Any]], object]

_ELLIPSIS: Final = [tags.ELLIPSIS]
_NOT_IMPLEMENTED: Final = [tags.NOT_IMPLEMENTED]
_FLAVOURS: Final[tuple[type[pathlib.PurePath], ...]] = (
    pathlib.Path,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)
_SAFE_UUID: Final = {member.value: member for member in uuid.SafeUUID}


def _date(value: datetime.date, lower: object) -> list[Any]:
    return [tags.DATE, value.year, value.month, value.day]


def _time(value: datetime.time, lower: Callable[[object], Any]) -> list[Any]:
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return [tags.TIME, *clock, value.fold, lower(value.tzinfo)]


def _datetime(value: datetime.datetime, lower: Callable[[object], Any]) -> list[Any]:
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return [tags.DATETIME, *day, *clock, value.fold, lower(value.tzinfo)]


def _timedelta(value: datetime.timedelta, lower: object) -> list[Any]:
    return [tags.TIMEDELTA, value.days, value.seconds, value.microseconds]


def _timezone(value: datetime.timezone, lower: object) -> list[Any]:
    # The only place that tells a timezone that was given a name from one that was not.
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]
    return [tags.TIMEZONE, offset.days, offset.seconds, offset.microseconds, *name]


def _path(value: pathlib.PurePath, lower: object) -> list[Any]:
    flavour = 0 if isinstance(value, pathlib.Path) else _FLAVOURS.index(type(value))
    return [tags.PATH, flavour, str(value)]


LOWER: Final[dict[type, Lower]] = {
    complex: lambda value, lower: [tags.COMPLEX, value.real, value.imag],
    range: lambda value, lower: [tags.RANGE, value.start, value.stop, value.step],
    slice: lambda value, lower: [
        tags.SLICE,
        lower(value.start),
        lower(value.stop),
        lower(value.step),
    ],
    EllipsisType: lambda value, lower: _ELLIPSIS,
    NotImplementedType: lambda value, lower: _NOT_IMPLEMENTED,
    datetime.date: _date,
    datetime.time: _time,
    datetime.datetime: _datetime,
    datetime.timedelta: _timedelta,
    datetime.timezone: _timezone,
    zoneinfo.ZoneInfo: lambda value, lower: [tags.ZONE, value.key],
    decimal.Decimal: lambda value, lower: [tags.DECIMAL, str(value)],
    fractions.Fraction: lambda value, lower: [tags.FRACTION, value.numerator, value.denominator],
    uuid.UUID: lambda value, lower: [tags.UUID, value.bytes, value.is_safe.value],
    type(pathlib.Path()): _path,
    pathlib.PurePosixPath: _path,
    pathlib.PureWindowsPath: _path,
}


def _build_timezone(body: list[Any]) -> datetime.timezone:
    _, days, seconds, microseconds, *name = body
    return datetime.timezone(datetime.timedelta(days, seconds, microseconds), *name)


def _build_decimal(body: list[Any]) -> decimal.Decimal:
    _, text = body
    value = decimal.Decimal(text)
    # Where the context does not trap InvalidOperation, any text gives a NaN.
    if str(value) != text:
        raise DecodeError(f"{text!r} is no decimal number")
    return value


def _build_path(body: list[Any]) -> pathlib.PurePath:
    _, flavour, text = body
    if type(flavour) is not int or not 0 <= flavour < len(_FLAVOURS) or type(text) is not str:
        raise DecodeError(f"a path of unknown flavour {flavour!r}")
    return _FLAVOURS[flavour](text)


def _exactly(make: Callable[..., object], count: int) -> Build:
    """A builder of values that are made of `count` fields, in the constructor's order."""

    def build(body: list[Any]) -> object:
        if len(body) != count + 1:
            raise DecodeError(f"tag {body[0]} has {count} fields, not {len(body) - 1}")
        return make(*body[1:])

    return build


def _exact_type(cls: type) -> Callable[[object], object]:
    """Check one field, where the constructor would take too much."""

    def check(value: object) -> object:
        if type(value) is not cls:
            raise DecodeError(f"{cls.__name__} expected, not {type(value).__name__}")
        return value

    return check


_bytes = _exact_type(bytes)


def _integer(data: bytes) -> int:
    return int.from_bytes(_bytes(data), "little", signed=True)  # type: ignore[arg-type]


def _clock(*fields: Any) -> datetime.time:
    hour, minute, second, microsecond, fold, zone = fields
    return datetime.time(hour, minute, second, microsecond, zone, fold=fold)


def _moment(*fields: Any) -> datetime.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = fields
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _uuid(data: bytes, safe: object) -> uuid.UUID:
    return uuid.UUID(bytes=_bytes(data), is_safe=_SAFE_UUID[safe])  # type: ignore[arg-type]


BUILD: Final[dict[int, Build]] = {
    tags.BIGINT: _exactly(_integer, 1),
    tags.COMPLEX: _exactly(complex, 2),
    tags.RANGE: _exactly(range, 3),
    tags.SLICE: _exactly(slice, 3),
    tags.ELLIPSIS: _exactly(lambda: ..., 0),
    tags.NOT_IMPLEMENTED: _exactly(lambda: NotImplemented, 0),
    tags.DATE: _exactly(datetime.date, 3),
    tags.TIME: _exactly(_clock, 6),
    tags.DATETIME: _exactly(_moment, 9),
    tags.TIMEDELTA: _exactly(datetime.timedelta, 3),
    tags.TIMEZONE: _build_timezone,
    tags.ZONE: _exactly(zoneinfo.ZoneInfo, 1),
    tags.DECIMAL: _build_decimal,
    tags.FRACTION: _exactly(fractions.Fraction, 2),
    tags.UUID: _exactly(_uuid, 2),
    tags.PATH: _build_path,
}
