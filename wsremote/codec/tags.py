"""The form of a payload, and the table of its tagged values.

A payload is one msgpack value. It is *plain*, and means what msgpack says, or it is
*tagged*: its first byte is 0xc1, which msgpack never uses, and in the msgpack value
after it every map whose only key is nil is a tagged value `{nil: [tag, field, ...]}`.
A real dict of that shape travels as `DICT`.

Why not msgpack's extension types: what they nest is decoded by nested unpackers, each
with 40 KB on the C stack, so that a payload of 200 levels ends the process. Here one
unpacker reads the whole payload, whose depth msgpack itself bounds. Encoding a tuple
is also five times as fast as with an extension type (0.24 us for 1.1 us).

*Bytes or index*: bytes that are in the payload, or the index of an out-of-band buffer.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BULK_LIMIT",
    "INLINE_LIMIT",
    "MAX_DEPTH",
    "TAGGED",
]

TAGGED: Final = 0xC1
"""First byte of a tagged payload."""

INLINE_LIMIT: Final = 32 * 1024
"""Buffers of arrays and pickles of at least so many bytes travel out of band."""

BULK_LIMIT: Final = 256 * 1024
"""`bytes`, `bytearray` and `str` of at least so many bytes (characters) travel out of band."""

MAX_DEPTH: Final = 100
"""Levels of nesting written as nested; deeper lists and dicts travel as a graph, which is
flat. msgpack packs 511 levels, and one level of ours is up to four of msgpack's."""

# Containers. Items follow one after the other in the tagged array.
DICT: Final = 0  # key, value, key, value, ...: a dict with keys that msgpack has not
TUPLE: Final = 1  # items
ROWS: Final = 2  # [[item, ...], ...]: a list of tuples of scalars
SET: Final = 3  # items
FROZENSET: Final = 4  # items
DEQUE: Final = 5  # maxlen or nil, items
BYTEARRAY: Final = 6  # bytes or index
ARRAY: Final = 7  # typecode, item size, byte order, bytes or index

# Scalars.
BYTES: Final = 8  # index
TEXT: Final = 9  # index; UTF-8
BIGINT: Final = 10  # bytes, little-endian, two's complement
COMPLEX: Final = 11  # real, imaginary
RANGE: Final = 12  # start, stop, step
SLICE: Final = 13  # start, stop, step
ELLIPSIS: Final = 14
NOT_IMPLEMENTED: Final = 15
DATE: Final = 16  # year, month, day
TIME: Final = 17  # hour, minute, second, microsecond, fold, tzinfo
DATETIME: Final = 18  # year, month, day, hour, minute, second, microsecond, fold, tzinfo
TIMEDELTA: Final = 19  # days, seconds, microseconds
TIMEZONE: Final = 20  # offset (days, seconds, microseconds), name if it has one
ZONE: Final = 21  # IANA key
DECIMAL: Final = 22  # text
FRACTION: Final = 23  # numerator, denominator
UUID: Final = 24  # bytes, SafeUUID value
PATH: Final = 25  # flavour, text

# What has an identity. A fallback is a handle and a class number, or nil and nil.
NAMED: Final = 26  # path: a served module, class or function
BUILTIN: Final = 27  # name in the frozen table of names.py
THEIRS: Final = 28  # handle: the receiver's own object comes home
OURS: Final = 29  # handle, class number: stays with the sender
OWNED: Final = 30  # content, handle, class number, version: a container that the sender keeps
KNOWN: Final = 31  # index into the containers both sides know (writeback.py)
MEMBER: Final = 32  # class, name or value, content or nil, fallback: an Enum member
NAMEDTUPLE: Final = 33  # class, [items], fallback
DATACLASS: Final = 34  # class, {field: value}, fallback

# Data types of other packages.
NDARRAY: Final = 35  # dtype, shape, order, writable, bytes or index
OBJECTS: Final = 36  # shape, items in C order: an ndarray of objects
NUMBER: Final = 37  # dtype, bytes: a numpy scalar
DTYPE: Final = 38  # dtype
PICKLE: Final = 39  # bytes or index of the pickle, [bytes or index, ...], fallback
SHIPPED: Final = 40  # cloudpickle of code to run on the receiver

# References inside one payload.
GRAPH: Final = 41  # SHELLS, root, content of shell 0, content of shell 1, ...
SHELLS: Final = 42  # 0 (list), 1 (dict) or [maxlen] (deque) each: the containers of a graph
SHELL: Final = 43  # index of a shell
DEFINE: Final = 44  # value, index: may be met again
AGAIN: Final = 45  # index of a defined value

UNSENT: Final = 46  # text of a part of an exception that cannot travel
EXCEPTION: Final = 47  # payload of a fault: an exception of the sender, as a value
CLASS: Final = 48  # class number, handle: a class of the sender, as a value
CARRIED: Final = 49  # content, handle, class number: stays with the sender, content beside it

# Modules and containers of the standard library, by exact type.
MODULE: Final = 60  # name: a module that computes, which the receiver has as well
ORDERED_DICT: Final = 61  # key, value, key, value, ...
DEFAULT_DICT: Final = 62  # factory, key, value, key, value, ...
COUNTER: Final = 63  # key, count, key, count, ...
CHAIN_MAP: Final = 64  # maps
MAPPING_PROXY: Final = 65  # mapping
SHOWN: Final = 66  # key, value, key, value, ...: a dict that is not written back
LARGE: Final = 68  # preview, handle, class number: a result that stays because of its size
VIEW: Final = 67  # 0 (keys), 1 (values) or 2 (items), dict: a view of a dict of the sender's
