"""One exception as a record: what a fault is a list of."""

from __future__ import annotations

import contextlib
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import DecodeError, EncodeError
from ..tree.introspection import namespace_of
from . import names
from .frames import lower_traceback
from .originals import ORIGINAL, original_of, own_dict
from .pickling import text_of

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = [
    "NOT_ATTRIBUTES",
    "OWN_CLASS",
    "REMOTE_TEXT",
    "Record",
    "builtin_base",
    "read_record",
    "record_of",
]

REMOTE_TEXT: Final = "__wsremote_text__"
"""Attribute of a rebuilt exception: `str` of it on the other side, where its class has a
`__str__` of its own. Shallow exception classes answer `str` from it."""

OWN_CLASS: Final = "_wsremote_own_class"
"""Attribute of a class that stands for one of the other side: the exception class of the same
name that this side has, and that an exception here is of."""

_LONGEST_TEXT: Final = 100_000
"""Characters of an exception's text."""

# What BaseException itself has, and what travels on its own.
NOT_ATTRIBUTES: Final = frozenset(
    [
        *("args", "__dict__", "__cause__", "__context__", "__traceback__", "__notes__"),
        *("__suppress_context__", "__module__", "__weakref__", "__class__", REMOTE_TEXT, ORIGINAL),
        # Of groups: they are the arguments of the constructor.
        *("message", "exceptions"),
    ]
)


class Record(NamedTuple):
    """One exception on the wire.

    Attributes:
        class_name: Of its class, `module:qualname` or a path of the tree.
        class_number: Of its class, if that is announced.
        args: Of its constructor.
        attributes: What was set on it.
        notes: Its notes.
        cause: Number of another exception of the fault.
        context: The same.
        suppress_context: Whether the context is not shown.
        members: Numbers of those that a group holds.
        text: `str` of it.
        own_text: Whether its class says how that is made.
        frames: Its traceback.
        original: The sender's handle of the exception, if it may come back; below zero that
            of the receiver's own exception, which comes home.
    """

    class_name: str
    class_number: int | None
    args: list[Any]
    attributes: dict[str, Any]
    notes: list[str]
    cause: int | None
    context: int | None
    suppress_context: bool
    members: list[int] | None
    text: str
    own_text: bool
    frames: list[list[Any]]
    original: int | None


def record_of(error: BaseException, numbers: dict[int, int], exchange: Exchange) -> Record:
    """One exception, its neighbours by number. Not its handle, unless it comes home."""
    kind = type(error)
    members = None
    args: list[Any] = list(BaseException.__dict__["args"].__get__(error))
    if isinstance(error, BaseExceptionGroup):
        members = [numbers[id(each)] for each in error.exceptions if id(each) in numbers]
        args = [error.message]
    elif isinstance(error, OSError):
        # Its args leave out the file names.
        args = list(builtin_base(kind).__reduce__(error)[1])
    class_name, class_number = _class_of(kind, exchange)
    notes = getattr(error, "__notes__", None)
    notes = [note for note in notes if type(note) is str] if type(notes) is list else []
    cause, context = error.__cause__, error.__context__
    home = original_of(error, exchange)
    return Record(
        class_name=class_name,
        class_number=class_number,
        args=args,
        attributes=_attributes(error),
        notes=notes,
        cause=None if cause is None else numbers.get(id(cause)),
        context=None if context is None else numbers.get(id(context)),
        suppress_context=error.__suppress_context__,
        members=members,
        text=_text(error),
        own_text=kind.__str__ is not builtin_base(kind).__str__,
        frames=lower_traceback(error.__traceback__),
        original=None if home is None else -home,
    )


def _class_of(kind: type[BaseException], exchange: Exchange) -> tuple[str, int | None]:
    """The name of an exception's class, and its number if it has one."""
    name = names.builtin_name(kind)
    if name is not None:
        return name, None
    number = None
    # A side that announces no classes sends the name alone: that of its original, if shallow.
    with contextlib.suppress(EncodeError):
        number = exchange.class_number(kind)
    path = None if number is not None else exchange.name_of(kind)
    return path or f"{kind.__module__}:{kind.__qualname__}", number


def _attributes(error: BaseException) -> dict[str, Any]:
    """What was set on the exception, and what its builtin class keeps outside of `__dict__`."""
    found: dict[str, Any] = {}
    for cls in type(error).__mro__:
        for name, member in namespace_of(cls).items():
            if name not in NOT_ATTRIBUTES and isinstance(
                member, MemberDescriptorType | GetSetDescriptorType
            ):
                # An empty slot raises, or reads as None; setting it to None would fill it.
                with contextlib.suppress(AttributeError):
                    value = member.__get__(error)
                    if value is not None:
                        found[name] = value
    found.update(
        (name, value)
        for name, value in own_dict(error).items()
        if type(name) is str and name not in NOT_ATTRIBUTES
    )
    return found


def _text(error: BaseException) -> str:
    """`str(error)`, whatever its class makes of that."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    # It is the code of any class.
    except BaseException:
        return text_of(error)
    more = len(text) - _LONGEST_TEXT
    return text if more <= 0 else f"{text[:_LONGEST_TEXT]}... ({more} characters left out)"


def builtin_base(kind: type[BaseException]) -> type[BaseException]:
    """The nearest class of builtins that an exception class derives from."""
    return next(cls for cls in kind.__mro__ if cls.__module__ == "builtins")


def read_record(entry: Any, count: int) -> Record:
    """One exception of the wire, with the types that it should have.

    Raises:
        DecodeError: It has others.
    """
    if type(entry) is not list or len(entry) != len(Record._fields):
        raise DecodeError(f"an exception has {len(Record._fields)} fields")
    record = Record(*entry)
    numbers = [record.cause, record.context, *(_list_of(record.members or [], int))]
    if not all(each is None or (type(each) is int and 0 <= each < count) for each in numbers):
        raise DecodeError("an exception refers to one that the fault does not have")
    _list_of(record.notes, str)
    if type(record.args) is not list or type(record.attributes) is not dict:
        raise DecodeError("an exception has arguments and attributes")
    if type(record.class_name) is not str or not isinstance(record.text, str):
        raise DecodeError("an exception has a class and a text")
    if record.original is not None and type(record.original) is not int:
        raise DecodeError("an exception has the handle of its original")
    return record


def _list_of(values: Any, kind: type) -> list[Any]:
    """A list of the wire whose items have one type."""
    if type(values) is not list or not all(type(value) is kind for value in values):
        raise DecodeError(f"a list of {kind.__name__} expected")
    return values
