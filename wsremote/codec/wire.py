"""Messages to the bytes of WebSocket messages and back.

One WebSocket message carries one of ours, `[type, field, ...]`, or several of them in
order, `[[type, field, ...], ...]`.

A small call and its answer have a short form, in which arguments and result are fields of the
message and not a payload inside it: one pass of msgpack where there were two. The hot paths write
and read these themselves; here they are read as the messages that they stand for.
"""

from __future__ import annotations

import struct
import zlib
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import msgpack

from ..errors import LocalProtocolError, RemoteProtocolError
from ..protocol.messages import (
    NUMBERS,
    SHAPES,
    SMALL_EXEC,
    SMALL_RESULT,
    TYPES,
    Chunk,
    Exec,
    Result,
)
from .scalars import PLAIN_TYPES, SHORT_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocol.messages import Message

__all__ = [
    "chunk_head",
    "joined",
    "pack",
    "pack_documents",
    "read",
    "read_chunk_head",
    "short_result",
    "unpack",
    "unpack_documents",
    "write",
    "write_fields",
    "write_many",
]

_CHUNK: Final = NUMBERS[Chunk]
# msgpack's first bytes of an array of five, and of bytes whose length has four.
_OF_FIVE: Final = 0x95
_BINARY: Final = 0xC6
_BEGINNING: Final = bytes([_OF_FIVE, _CHUNK])

pack: Final = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack
unpack: Final = msgpack.unpackb
# The types of the fields of the short forms; of an exec without those of its arguments.
_SMALL: Final = (SMALL_EXEC, SMALL_RESULT)
_SMALL_EXEC: Final = frozenset(
    (int, int, int, int, int, int, target, name)
    for target in (str, int)
    for name in (str, NoneType)
)
_SMALL_RESULT: Final = frozenset((int, int, int, int, value) for value in SHORT_TYPES)
_are_plain: Final = PLAIN_TYPES.issuperset
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


def joined(first: bytes, second: bytes) -> bytes:
    """Two messages, as `write` gives them, as one WebSocket message."""
    return b"\x92%b%b" % (first, second)


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
        if fields[0] in _SMALL:
            return (_small_message(fields),)
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
    if fields[0] in _SMALL:
        return _small_message(fields)
    if fields[0] not in _READ:
        raise RemoteProtocolError(f"unknown message type {fields[0]}")
    cls, shapes = _READ[fields[0]]
    if tuple(map(type, fields)) not in shapes:
        raise RemoteProtocolError(f"malformed {cls.__name__} message")
    message: Message = tuple.__new__(cls, fields[1:])
    return message


def _small_message(fields: Any) -> Message:
    """The message that a short form stands for."""
    if type(fields) is list:
        types = tuple(map(type, fields[:8]))
        if fields[0] == SMALL_RESULT:
            if types in _SMALL_RESULT:
                _, seq, ack, call, value = fields
                try:
                    return Result(seq, ack, call, pack(value), None, None)
                except ValueError:
                    pass  # deeper than msgpack 1.1 writes, though it has read it
        elif types in _SMALL_EXEC and _are_plain(map(type, fields[8:])):
            _, seq, ack, call, lane, op, target, name, *args = fields
            payload = pack([*args, None])
            return Exec(seq, ack, call, lane, None, op, target, name, payload, None)
    raise RemoteProtocolError("malformed small message")


def short_result(seq: int, ack: int, call: int, packed: bytes) -> bytes:
    """The short form of a result whose value is packed already."""
    # An array of four, which becomes one of five.
    return b"%c%b%b" % (_OF_FIVE, pack((SMALL_RESULT, seq, ack, call))[1:], packed)


def chunk_head(transfer: int, total: int, offset: int, size: int) -> bytes:
    """The bytes of a `Chunk` up to its data, of which there are `size`."""
    # An array of four, which becomes one of five.
    fields = pack((_CHUNK, transfer, total, offset))
    return b"%c%b%b" % (_OF_FIVE, fields[1:], struct.pack("!BI", _BINARY, size))


def read_chunk_head(data: bytes, size: int) -> tuple[int, int, int, int] | None:
    """Transfer, total, offset and size of a `Chunk`, by the first bytes of its message.

    Args:
        data: The first bytes.
        size: Of the message.

    Returns:
        None if it is none, or not as `chunk_head` writes one: then `read` says what it is.
    """
    if data[:2] != _BEGINNING:
        return None
    numbers = msgpack.Unpacker()
    numbers.feed(data)
    try:
        numbers.read_array_header()
        _, transfer, total, offset = (numbers.unpack() for _ in range(4))
        at = numbers.tell()
        kind, length = struct.unpack_from("!BI", data, at)
    except Exception:  # of msgpack's family, or struct.error
        return None
    if kind != _BINARY or at + 5 + length != size:
        return None
    if not type(transfer) is type(total) is type(offset) is int:
        return None
    return transfer, total, offset, length


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
