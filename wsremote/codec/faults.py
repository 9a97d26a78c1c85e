"""A remote exception as data, and back as an exception of its own class.

All exceptions that hang together (`__cause__`, `__context__`, members of a group) travel as
one list, the one that was raised first, and refer to each other by index; so cycles and
shared causes are kept. An exception is built without running an `__init__` or `__new__`
of its class, whose parameters nobody knows: the builtin exception below it is
initialised, then attributes are set. One that comes home to its own side is not built: it
gets what has happened to it meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    DecodeError,
    EncodeError,
    LimitExceeded,
    NotExposed,
    RemoteError,
    StaleHandle,
    WsRemoteError,
)
from . import encoder, names
from .decoder import Unsent, decode
from .frames import rebuild_traceback
from .hiding import without_own_frames
from .lowering import Terms
from .originals import copy_of, own_dict, remember_original
from .packing import unpack
from .pickling import text_of
from .records import (
    NOT_ATTRIBUTES,
    OWN_CLASS,
    REMOTE_TEXT,
    Record,
    builtin_base,
    read_record,
    record_of,
)
from .scalars import PLAIN_TYPES
from .tags import TAGGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exchange import Exchange
    from .packing import Buffer
    from .values import ValueCodec

__all__ = ["REMOTE_TEXT", "decode_exception", "decode_fault", "encode_exception", "encode_fault"]

_MOST_EXCEPTIONS: Final = 50
"""Exceptions of one fault: a loop that chains each on the last one may have thousands."""

_DEEPEST: Final = 20
"""Exceptions in attributes of exceptions."""

_LARGEST: Final = 32 * 1024 * 1024
_SMALLEST: Final = 1024 * 1024
"""Bytes that the text, the frames and their source always fit into."""

# What iterators and tasks end with, exactly these, is raised often and never looked at.
_OF_NO_IDENTITY: Final = frozenset([StopIteration, StopAsyncIteration, GeneratorExit])

_C: Final = "<C code>"
"""Stands in the traceback, to say on which side it was, where an exception has no other frame."""

logger = logging.getLogger("wsremote.codec")


def encode_fault(error: BaseException, codec: ValueCodec, *, limit: int = _LARGEST) -> bytes:
    """The payload of a raised exception. Whatever the exception is, this gives one.

    What is too large or cannot be read is left out: first arguments, attributes and
    neighbours, at last all but the name of the class.

    Args:
        error: Anything that was raised. Our frames leave its traceback.
        codec: The codec of the session.
        limit: Bytes of the payload, at least `_SMALLEST`.

    Raises:
        KeyboardInterrupt: It came meanwhile.
    """
    return _encode(error, codec.exchange, limit, frozenset(), is_raised=True)


def encode_exception(
    error: BaseException, exchange: Exchange, inside: frozenset[int] = frozenset()
) -> bytes:
    """The payload of an exception that is a value: an argument, a result, a part of one.

    Args:
        error: The exception.
        exchange: The session.
        inside: Ids of the exceptions that it is being written as a part of.

    Raises:
        EncodeError: It holds itself in its attributes.
    """
    if id(error) in inside or len(inside) > _DEEPEST:
        raise EncodeError("an exception holds itself in its attributes")
    return _encode(error, exchange, _LARGEST, inside, is_raised=False)


def _encode(
    error: BaseException,
    exchange: Exchange,
    limit: int,
    inside: frozenset[int],
    *,
    is_raised: bool,
) -> bytes:
    """The payload of an exception, as much of it as can be written."""
    for whole in (True, False):
        lent: list[int] = []
        try:
            found = _connected(error) if whole else [error]
            numbers = {id(each): index for index, each in enumerate(found)}
            records = []
            for each in found:
                record = record_of(each, numbers, exchange)
                if not whole:
                    record = record._replace(
                        args=[record.text], attributes={}, notes=[], members=None
                    )
                elif record.original is None and _may_come_back(each, exchange, is_raised):
                    handle = _lend(each, exchange)
                    lent += [handle] if handle is not None else []
                    record = record._replace(original=handle)
                records.append(list(record))
            terms = Terms(exchange, inline=True, inside=inside.union(map(id, found)))
            payload = encoder.encode(records, terms, lenient=True)[0]
            if len(payload) <= limit:
                for each in found:
                    # Their variables would stay alive here as long as the other side has it.
                    each.__traceback__ = without_own_frames(each.__traceback__)
                return payload
        except KeyboardInterrupt:
            _unlend(lent, exchange)
            raise
        # Attributes and texts of an exception are code of any class.
        except BaseException as failure:
            logger.debug("! an exception cannot be sent whole: %s", type(failure))
        _unlend(lent, exchange)
    kind: type = type(error)
    module, name = (type.__dict__[each].__get__(kind) for each in ("__module__", "__qualname__"))
    class_name = f"{module if type(module) is str else '?'}:{name}"
    text = "nothing more of this exception could be sent"
    bare = Record(class_name, None, [text], {}, [], None, None, False, None, text, False, [], None)
    return encoder.encode([list(bare)], Terms(exchange, inline=True), lenient=True)[0]


def _may_come_back(error: BaseException, exchange: Exchange, is_raised: bool) -> bool:
    """Whether an exception is lent: the other side may give it back, and expect it to be the same.

    A server's own exceptions of Python's classes are made for their caller, and are many.
    """
    if type(error) in _OF_NO_IDENTITY:
        return False
    return not (is_raised and exchange.keeps_owned and names.builtin_name(type(error)) is not None)


def _lend(error: BaseException, exchange: Exchange) -> int | None:
    """The handle of an exception; None if the other side holds as much as it may."""
    try:
        return exchange.lend_original(error)
    except (LimitExceeded, EncodeError):
        return None


def _unlend(handles: list[int], exchange: Exchange) -> None:
    for handle in handles:
        exchange.unlend(handle)


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


def decode_fault(payload: Buffer, codec: ValueCodec, host: str = "the other side") -> BaseException:
    """The exception, with its traceback, ready to be raised.

    A server's `SystemExit` would end the client; it becomes a `RemoteError` that says so.

    Args:
        payload: Bytes of any origin.
        codec: The codec of the session.
        host: Names the other side in file names.

    Raises:
        DecodeError: The payload is malformed.
    """
    raised, is_home = _decode(payload, codec.exchange, host)
    if is_home:
        return raised
    if isinstance(raised, SystemExit) and not codec.exchange.keeps_owned:
        raised = _exit_reported(raised)
    # Not on the server: served code that looks whether its own call was refused (with wrong
    # arguments, say) finds it to be the last, as at home.
    if (
        raised.__traceback__ is None
        and not codec.exchange.keeps_owned
        and type(raised) not in _OF_NO_IDENTITY
        and not isinstance(raised, WsRemoteError)
    ):
        # No note: `pytest.raises(match=...)` would see it.
        raised.__traceback__ = rebuild_traceback([[f"<wsremote {host}>", _C, 1, 1, "", []]], host)
    return raised


def decode_exception(payload: Buffer, exchange: Exchange) -> BaseException:
    """An exception that is a value, not to be raised here.

    Args:
        payload: Bytes of any origin.
        exchange: The session.

    Raises:
        DecodeError: The payload is malformed.
    """
    return _decode(payload, exchange, exchange.peer)[0]


def _decode(payload: Buffer, exchange: Exchange, host: str) -> tuple[BaseException, bool]:
    """The first exception of a fault, and whether it is one of this side."""
    if payload and payload[0] == TAGGED:
        document = decode(payload, (), exchange)
    else:
        document = unpack(payload)
    try:
        if type(document) is not list or not 0 < len(document) <= _MOST_EXCEPTIONS:
            raise DecodeError("a fault is a list of at most 50 exceptions")
        records = [read_record(entry, len(document)) for entry in document]
        home = _at_home(records, exchange)
        originals = {
            number: exchange.borrow_original(record.original)
            for number, record in enumerate(records)
            if record.original is not None and record.original > 0
        }
        copies = {number: copy_of(original) for number, original in originals.items()}
        known = {number: copy for number, copy in copies.items() if copy is not None}
        built = _build_all(records, {**home, **known}, exchange)
        for number, (error, record) in enumerate(zip(built, records, strict=True)):
            if number in home:
                _update(error, record, built, host)
                continue
            _complete(error, record, built, host)
            if number in originals:
                remember_original(error, originals[number], exchange)
    except WsRemoteError:
        raise
    # Any field may be anything, and classes of any package are being made.
    except Exception as failure:
        raise DecodeError(f"the fault is malformed: {failure!r}") from failure
    return built[0], 0 in home


def _at_home(records: Sequence[Record], exchange: Exchange) -> dict[int, BaseException]:
    """The exceptions of this side among the records, by number."""
    found = {}
    for number, record in enumerate(records):
        if record.original is not None and record.original < 0:
            # Else its copy is as good.
            with contextlib.suppress(StaleHandle):
                own = exchange.lent(-record.original)
                if isinstance(own, BaseException):
                    found[number] = own
    return found


def _build_all(
    records: Sequence[Record], home: dict[int, BaseException], exchange: Exchange
) -> list[BaseException]:
    """The exceptions, members of groups before their groups, each without neighbours."""
    built = dict(home)
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
        built[number] = _build(records[number], inner, exchange)
    return [built[number] for number in range(len(records))]


def _build(
    record: Record, members: list[BaseException] | None, exchange: Exchange
) -> BaseException:
    """One exception; a `RemoteError` where its own class cannot be used here."""
    args = [str(each) if type(each) is Unsent else each for each in record.args]
    kind = _class_of(record, exchange)
    if kind is not None:
        base = builtin_base(kind)
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


def _class_of(record: Record, exchange: Exchange) -> type[BaseException] | None:
    """The class among what is known here; None if it is not, or is no exception class."""
    try:
        if record.class_number is None:
            found = _class_named(record.class_name, exchange)
        else:
            found = exchange.class_numbered(record.class_number)
            found = vars(found).get(OWN_CLASS) or found
    except LookupError:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _class_named(name: str, exchange: Exchange) -> object:
    """A class of the frozen table, or one that is served.

    Raises:
        LookupError: It is neither.
    """
    with contextlib.suppress(LookupError):
        return names.builtin_named(name)
    try:
        return exchange.named(name)
    except (NotExposed, AttributeError, ImportError) as error:
        raise LookupError(name) from error


def _complete(
    error: BaseException, record: Record, built: Sequence[BaseException], host: str
) -> None:
    """Attributes, notes, neighbours and traceback."""
    for name, value in record.attributes.items():
        if type(name) is str and name not in NOT_ATTRIBUTES and type(value) is not Unsent:
            # Read-only ones were set by the constructor; a property may refuse anything.
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                object.__setattr__(error, name, value)
    if record.own_text:
        own_dict(error)[REMOTE_TEXT] = record.text
    # A copy that was here before has some of them.
    known = getattr(error, "__notes__", ())
    for note in record.notes:
        if note not in known:
            error.add_note(note)
    error.__cause__ = None if record.cause is None else built[record.cause]
    error.__context__ = None if record.context is None else built[record.context]
    error.__suppress_context__ = record.suppress_context is True
    error.__traceback__ = rebuild_traceback(record.frames, host)


def _update(
    error: BaseException, record: Record, built: Sequence[BaseException], host: str
) -> None:
    """What has happened to an exception of this side on the other one."""
    for name, value in record.attributes.items():
        if type(name) is not str or name in NOT_ATTRIBUTES or type(value) is Unsent:
            continue
        own = own_dict(error)
        # What was a container here has come back as a copy of it.
        if name not in own or _has_changed(own[name], value):
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                object.__setattr__(error, name, value)
    if not isinstance(error, OSError | BaseExceptionGroup):
        args = error.args
        if len(args) != len(record.args) or any(map(_has_changed, args, record.args)):
            error.args = tuple(record.args)
    known = getattr(error, "__notes__", [])
    for note in record.notes[len([each for each in known if type(each) is str]) :]:
        error.add_note(note)
    if record.cause is not None:
        error.__cause__ = built[record.cause]
    if record.context is not None and built[record.context] is not error:
        error.__context__ = built[record.context]
    error.__suppress_context__ = record.suppress_context is True
    error.__traceback__ = rebuild_traceback(
        _before_ours(record.frames), host, without_own_frames(error.__traceback__)
    )


def _has_changed(ours: object, theirs: object) -> bool:
    """Whether a value is another one, as far as that can be told from a copy of it."""
    if type(ours) is not type(theirs):
        return type(theirs) in PLAIN_TYPES
    return type(ours) in PLAIN_TYPES and ours != theirs


def _before_ours(frames: list[Any]) -> list[Any]:
    """The frames of the other side, above those that its copy had from the beginning."""
    kept = []
    for entry in frames:
        if type(entry) is list and entry and str(entry[0]).startswith("<wsremote "):
            break
        kept.append(entry)
    return kept


def _exit_reported(error: SystemExit) -> RemoteError:
    """What stands for a `SystemExit`."""
    code = "" if error.code is None else text_of(error.code)
    reported = RemoteError(
        f"the served code called sys.exit({code}); the server and the session go on"
    )
    reported.remote_type = "builtins.SystemExit"
    reported.__cause__, reported.__context__ = error.__cause__, error.__context__
    return reported.with_traceback(error.__traceback__)
