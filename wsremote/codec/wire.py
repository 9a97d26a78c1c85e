"""Messages to the bytes of WebSocket messages and back.

One WebSocket message carries one of ours, `[type, field, ...]`, or several of them in
order, `[[type, field, ...], ...]`.
"""

from __future__ import annotations

import zlib
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import msgpack

from ..errors import LocalProtocolError, RemoteProtocolError
from ..protocol.messages import NUMBERS, SHAPES, TYPES, Exec, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocol.messages import Message

__all__ = [
    "EXEC",
    "RESULT",
    "SMALL_EXEC",
    "SMALL_RESULT",
    "pack",
    "pack_documents",
    "read",
    "unpack",
    "unpack_documents",
    "write",
    "write_fields",
    "write_many",
]

# For the hot paths, which write and read the two messages of a small call themselves.
EXEC: Final = NUMBERS[Exec]
RESULT: Final = NUMBERS[Result]
SMALL_RESULT: Final = (int, int, int, int, bytes, NoneType, NoneType)
SMALL_EXEC: Final = frozenset(
    (int, int, int, int, int, NoneType, int, target, name, bytes, NoneType)
    for target in (str, int)
    for name in (str, NoneType)
)

pack: Final = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack
unpack: Final = msgpack.unpackb
# Class and accepted field types, the number's own included, by type number.
_READ: Final = {
    number: (cls, frozenset((int, *shape) for shape in SHAPES[number]))
    for number, cls in TYPES.items()
}


def write(message: Message) -> bytes:
    """One message as the bytes of one WebSocket message.

    Raises:
        LocalProtocolError: A field holds what the wire has no form for.
    """
    return write_fields(type(message), *message)


def write_fields(cls: type[Message], *fields: Any) -> bytes:
    """A message of class `cls` that is not made for it: half a microsecond saved a call."""
    try:
        # Never two at once: msgpack's packer holds the GIL from its first byte to its last.
        data: bytes = pack((NUMBERS[cls], *fields))
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"cannot write {cls.__name__}: {error}") from error
    return data


def write_many(messages: Sequence[Message]) -> bytes:
    """Several messages as one WebSocket message."""
    if len(messages) == 1:
        return write(messages[0])
    try:
        data: bytes = pack([(NUMBERS[type(message)], *message) for message in messages])
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"cannot write a batch: {error}") from error
    return data


def read(data: bytes) -> Sequence[Message]:
    """The messages of one WebSocket message, each checked for type and shape.

    Raises:
        RemoteProtocolError: These are not wsremote messages.
    """
    try:
        fields = unpack(data)
    except UnicodeDecodeError:
        fields = _unpack_surrogates(data)
    except Exception as error:  # msgpack raises a family of its own, and ValueError
        raise RemoteProtocolError(f"not a wsremote message: {type(error).__name__}") from error
    try:
        # One message, as nearly always: a look-up by its number, one by its field types.
        cls, shapes = _READ[fields[0]]
        if tuple(map(type, fields)) in shapes:
            # What `cls._make` does, less its own check of the number of fields.
            return (tuple.__new__(cls, fields[1:]),)
    except (LookupError, TypeError):
        if type(fields) is list and fields and type(fields[0]) is list:
            return [_message(each) for each in fields]
    return (_message(fields),)


def _unpack_surrogates(data: bytes) -> Any:
    """Text may hold lone surrogates, as Python's may. Slower, so only where it must be."""
    try:
        return msgpack.unpackb(data, unicode_errors="surrogatepass")
    except Exception as error:  # as in read()
        raise RemoteProtocolError(f"not a wsremote message: {type(error).__name__}") from error


def _message(fields: Any) -> Message:
    """One message of its unpacked array, with an error that says what is wrong with it."""
    if type(fields) is not list or not fields or type(fields[0]) is not int:
        raise RemoteProtocolError("not a wsremote message: no type number")
    if fields[0] not in _READ:
        raise RemoteProtocolError(f"unknown message type {fields[0]}")
    cls, shapes = _READ[fields[0]]
    if tuple(map(type, fields)) not in shapes:
        raise RemoteProtocolError(f"malformed {cls.__name__} message")
    message: Message = tuple.__new__(cls, fields[1:])
    return message


def pack_documents(documents: Mapping[str, bytes]) -> bytes:
    """Module documents by digest, compressed: they are text, and many are much alike."""
    return zlib.compress(pack(dict(documents)), 1)


def unpack_documents(data: bytes, limit: int) -> dict[str, bytes]:
    """The documents of `pack_documents`.

    Args:
        data: What it gave.
        limit: Most bytes they may have uncompressed.

    Raises:
        RemoteProtocolError: They are malformed, or larger.
    """
    unzip = zlib.decompressobj()
    try:
        plain = unzip.decompress(data, limit)
        documents = msgpack.unpackb(plain)
    except Exception as error:  # zlib.error, msgpack's family, ValueError
        raise RemoteProtocolError(f"malformed documents: {type(error).__name__}") from error
    if unzip.unconsumed_tail or not isinstance(documents, dict):
        raise RemoteProtocolError(f"the documents have more than {limit} bytes")
    if not all(type(key) is str and type(value) is bytes for key, value in documents.items()):
        raise RemoteProtocolError("malformed documents")
    return documents
