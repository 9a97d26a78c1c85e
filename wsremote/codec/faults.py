"""A remote exception as data, and back as an exception of its own class.

All exceptions that hang together (`__cause__`, `__context__`, members of a group) travel as
one list, the one that was raised first, and refer to each other by index; so cycles and
shared causes are kept. An exception is built without running an `__init__` or `__new__`
of its class, whose parameters nobody knows: the builtin exception below it is
initialised, then attributes are set.
"""

from __future__ import annotations

import contextlib
import logging
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import DecodeError, EncodeError, NotExposed, RemoteError, WsRemoteError
from . import encoder, names
from .decoder import Unsent
from .frames import lower_traceback, rebuild_traceback
from .lowering import Terms
from .pickling import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .packing import Buffer
    from .values import ValueCodec

__all__ = ["REMOTE_TEXT", "decode_exception", "decode_fault", "encode_fault"]

REMOTE_TEXT: Final = "__wsremote_text__"
"""Attribute of a rebuilt exception: `str` of it on the other side, where its class has a
`__str__` of its own. Shallow exception classes answer `str` from it."""

_MOST_EXCEPTIONS: Final = 50
"""Exceptions of one fault: a loop that chains each on the last one may have thousands."""

_LONGEST_TEXT: Final = 100_000
"""Characters of an exception's text."""

_LARGEST: Final = 32 * 1024 * 1024
_SMALLEST: Final = 1024 * 1024
"""Bytes that the text, the frames and their source always fit into."""

logger = logging.getLogger("wsremote.codec")

# What BaseException itself has, and what travels on its own.
_NOT_ATTRIBUTES: Final = frozenset(
    [
        *("args", "__dict__", "__cause__", "__context__", "__traceback__", "__notes__"),
        *("__suppress_context__", "__module__", "__weakref__", "__class__", REMOTE_TEXT),
        # Of groups: they are the arguments of the constructor.
        *("message", "exceptions"),
    ]
)


class _Record(NamedTuple):
    """One exception on the wire."""

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


def encode_fault(error: BaseException, codec: ValueCodec, *, limit: int = _LARGEST) -> bytes:
    """The payload of a raised exception. Whatever the exception is, this gives one.

    What is too large or cannot be read is left out: first arguments, attributes and
    neighbours, at last all but the name of the class.

    Args:
        error: Anything that was raised.
        codec: The codec of the session.
        limit: Bytes of the payload, at least `_SMALLEST`.

    Raises:
        KeyboardInterrupt: It came meanwhile.
    """
    terms = Terms(codec.exchange, inline=True)
    for records_of in (_all_records, _one_record):
        try:
            records = [list(record) for record in records_of(error, codec)]
            payload = encoder.encode(records, terms, lenient=True)[0]
            if len(payload) <= limit:
                return payload
        except KeyboardInterrupt:
            raise
        # Attributes and texts of an exception are code of any class.
        except BaseException as failure:
            logger.debug("! an exception cannot be sent whole: %s", type(failure))
    kind: type = type(error)
    module, name = (type.__dict__[each].__get__(kind) for each in ("__module__", "__qualname__"))
    class_name = f"{module if type(module) is str else '?'}:{name}"
    text = "nothing more of this exception could be sent"
    bare = _Record(class_name, None, [text], {}, [], None, None, False, None, text, False, [])
    return encoder.encode([list(bare)], terms, lenient=True)[0]


def _all_records(error: BaseException, codec: ValueCodec) -> list[_Record]:
    """An exception and those it refers to."""
    found = _connected(error)
    numbers = {id(each): index for index, each in enumerate(found)}
    return [_record(each, numbers, codec) for each in found]


def _one_record(error: BaseException, codec: ValueCodec) -> list[_Record]:
    """The class, text and frames of an exception, and nothing that it holds."""
    text = _text(error)
    record = _record(error, {}, codec)
    return [record._replace(args=[text], attributes={}, notes=[], members=None, text=text)]


def _connected(error: BaseException) -> list[BaseException]:
    """The exception and those it refers to, breadth first: the nearest ones are kept."""
    found = [error]
    seen = {id(error)}
    for each in found:
        near = [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            near += each.exceptions
        for other in near:
            if other is not None and id(other) not in seen and len(found) < _MOST_EXCEPTIONS:
                seen.add(id(other))
                found.append(other)
    return found


def _record(error: BaseException, numbers: dict[int, int], codec: ValueCodec) -> _Record:
    """One exception, its neighbours by number."""
    kind = type(error)
    members = None
    args: list[Any] = list(BaseException.__dict__["args"].__get__(error))
    if isinstance(error, BaseExceptionGroup):
        members = [numbers[id(each)] for each in error.exceptions if id(each) in numbers]
        args = [error.message]
    elif isinstance(error, OSError):
        # Its args leave out the file names.
        args = list(_builtin_base(kind).__reduce__(error)[1])
    number = None
    if names.builtin_name(kind) is None:
        # A side that announces no classes sends the name alone: that of its original, if shallow.
        with contextlib.suppress(EncodeError):
            number = codec.exchange.class_number(kind)
    path = codec.exchange.name_of(kind) if number is None else None
    class_name = path or f"{kind.__module__}:{kind.__qualname__}"
    notes = getattr(error, "__notes__", None)
    notes = [note for note in notes if type(note) is str] if type(notes) is list else []
    cause, context = error.__cause__, error.__context__
    return _Record(
        class_name=class_name,
        class_number=number,
        args=args,
        attributes=_attributes(error),
        notes=notes,
        cause=None if cause is None else numbers.get(id(cause)),
        context=None if context is None else numbers.get(id(context)),
        suppress_context=error.__suppress_context__,
        members=members,
        text=_text(error),
        own_text=kind.__str__ is not _builtin_base(kind).__str__,
        frames=lower_traceback(error.__traceback__),
    )


def _attributes(error: BaseException) -> dict[str, Any]:
    """What was set on the exception, and what its builtin class keeps outside of `__dict__`."""
    found: dict[str, Any] = {}
    for cls in type(error).__mro__:
        for name, member in vars(cls).items():
            if name not in _NOT_ATTRIBUTES and isinstance(
                member, MemberDescriptorType | GetSetDescriptorType
            ):
                # An empty slot raises, or reads as None; setting it to None would fill it.
                with contextlib.suppress(AttributeError):
                    value = member.__get__(error)
                    if value is not None:
                        found[name] = value
    own = BaseException.__dict__["__dict__"].__get__(error)
    found.update(
        (name, value)
        for name, value in own.items()
        if type(name) is str and name not in _NOT_ATTRIBUTES
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


def _builtin_base(kind: type[BaseException]) -> type[BaseException]:
    """The nearest class of builtins that an exception class derives from."""
    return next(cls for cls in kind.__mro__ if cls.__module__ == "builtins")


def decode_fault(payload: Buffer, codec: ValueCodec, host: str = "the other side") -> BaseException:
    """The exception, with its traceback, ready to be raised.

    `SystemExit` would end the process that called; it becomes a `RemoteError` that says so.

    Args:
        payload: Bytes of any origin.
        codec: The codec of the session.
        host: Names the other side in file names and in the note.

    Raises:
        DecodeError: The payload is malformed.
    """
    raised = decode_exception(payload, codec, host)
    if isinstance(raised, SystemExit):
        raised = _exit_reported(raised)
    raised.add_note(f"raised on {host}")
    return raised


def decode_exception(payload: Buffer, codec: ValueCodec, host: str) -> BaseException:
    """The exception as it was on the other side, not to be raised here.

    Args:
        payload: Bytes of any origin.
        codec: The codec of the session.
        host: Names the other side in file names.

    Raises:
        DecodeError: The payload is malformed.
    """
    document = codec.decode(payload)
    try:
        if type(document) is not list or not 0 < len(document) <= _MOST_EXCEPTIONS:
            raise DecodeError("a fault is a list of at most 50 exceptions")
        records = [_read(entry, len(document)) for entry in document]
        built = _build_all(records, codec)
        for error, record in zip(built, records, strict=True):
            _complete(error, record, built, host)
    except WsRemoteError:
        raise
    # Any field may be anything, and classes of any package are being made.
    except Exception as failure:
        raise DecodeError(f"the fault is malformed: {failure!r}") from failure
    return built[0]


def _read(entry: Any, count: int) -> _Record:
    """One exception of the wire, with the types that it should have."""
    if type(entry) is not list or len(entry) != len(_Record._fields):
        raise DecodeError(f"an exception has {len(_Record._fields)} fields")
    record = _Record(*entry)
    numbers = [record.cause, record.context, *(_list_of(record.members or [], int))]
    if not all(each is None or (type(each) is int and 0 <= each < count) for each in numbers):
        raise DecodeError("an exception refers to one that the fault does not have")
    _list_of(record.notes, str)
    if type(record.args) is not list or type(record.attributes) is not dict:
        raise DecodeError("an exception has arguments and attributes")
    if type(record.class_name) is not str or not isinstance(record.text, str):
        raise DecodeError("an exception has a class and a text")
    return record


def _list_of(values: Any, kind: type) -> list[Any]:
    """A list of the wire whose items have one type."""
    if type(values) is not list or not all(type(value) is kind for value in values):
        raise DecodeError(f"a list of {kind.__name__} expected")
    return values


def _build_all(records: Sequence[_Record], codec: ValueCodec) -> list[BaseException]:
    """The exceptions, members of groups before their groups, each without neighbours."""
    built: dict[int, BaseException] = {}
    pending = list(reversed(range(len(records))))
    started: set[int] = set()
    while pending:
        number = pending.pop()
        if number in built:
            continue
        members = records[number].members
        missing = [each for each in members or () if each not in built]
        if missing and number in started:
            raise DecodeError("a group of exceptions holds itself")
        started.add(number)
        if missing:
            pending += [number, *missing]
            continue
        inner = None if members is None else [built[each] for each in members]
        built[number] = _build(records[number], inner, codec)
    return [built[number] for number in range(len(records))]


def _build(
    record: _Record, members: list[BaseException] | None, codec: ValueCodec
) -> BaseException:
    """One exception; a `RemoteError` where its own class cannot be used here."""
    args = [str(each) if type(each) is Unsent else each for each in record.args]
    kind = _class_of(record, codec)
    if kind is not None:
        base = _builtin_base(kind)
        # A class with a memory layout of its own, or args that its builtin base refuses.
        with contextlib.suppress(TypeError, ValueError):
            if members is not None:
                return base.__new__(kind, *args, members)
            error = base.__new__(kind, *args)
            base.__init__(error, *args)
            return error
    fallback = RemoteError(f"{record.class_name.replace('builtins:', '')}: {record.text}")
    fallback.remote_type = record.class_name.replace(":", ".")
    return fallback


def _class_of(record: _Record, codec: ValueCodec) -> type[BaseException] | None:
    """The class among what is known here; None if it is not, or is no exception class."""
    try:
        if record.class_number is None:
            found = _class_named(record.class_name, codec)
        else:
            found = codec.exchange.class_numbered(record.class_number)
    except LookupError:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _class_named(name: str, codec: ValueCodec) -> object:
    """A class of the frozen table, or one that is served.

    Raises:
        LookupError: It is neither.
    """
    with contextlib.suppress(LookupError):
        return names.builtin_named(name)
    try:
        return codec.exchange.named(name)
    except (NotExposed, AttributeError, ImportError) as error:
        raise LookupError(name) from error


def _complete(
    error: BaseException, record: _Record, built: Sequence[BaseException], host: str
) -> None:
    """Attributes, notes, neighbours and traceback."""
    for name, value in record.attributes.items():
        if type(name) is str and name not in _NOT_ATTRIBUTES and type(value) is not Unsent:
            # Read-only ones were set by the constructor; a property may refuse anything.
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                object.__setattr__(error, name, value)
    if record.own_text:
        BaseException.__dict__["__dict__"].__get__(error)[REMOTE_TEXT] = record.text
    for note in record.notes:
        error.add_note(note)
    error.__cause__ = None if record.cause is None else built[record.cause]
    error.__context__ = None if record.context is None else built[record.context]
    error.__suppress_context__ = record.suppress_context is True
    error.__traceback__ = rebuild_traceback(record.frames, host)


def _exit_reported(error: SystemExit) -> RemoteError:
    """What stands for a `SystemExit`."""
    code = "" if error.code is None else text_of(error.code)
    reported = RemoteError(
        f"the served code called sys.exit({code}); the server and the session go on"
    )
    reported.remote_type = "builtins.SystemExit"
    reported.__cause__, reported.__context__ = error.__cause__, error.__context__
    return reported.with_traceback(error.__traceback__)
