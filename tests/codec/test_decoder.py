"""Malformed payloads: `DecodeError`, whatever the bytes are, and no bombs."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import fractions
import http
import pathlib
import re
import tracemalloc
import urllib.parse
import uuid
import zoneinfo
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsremote.codec import tags
from wsremote.codec.faults import decode_fault, encode_fault
from wsremote.errors import DecodeError, NotExposed, StaleHandle

CYCLE: list[Any] = [1, collections.deque(maxlen=3)]
CYCLE += [CYCLE, {"x": (CYCLE,), (1, 2): {1}}]
CORPUS = [
    [1, -1, 2**40, 1.5, None, True, "x" * 40, b"y" * 40, {"k": 1, 2: [3]}],
    [(1, 2), [(1,), (2,)], {(1,): 2}, {None: 1}, {1}, frozenset([1]), bytearray(b"ab")],
    [2**70, 1j, range(3), slice(1, 2), ..., NotImplemented, len, ValueError],
    [datetime.datetime(2024, 1, 2, 3, 4, 5, 6, zoneinfo.ZoneInfo("UTC"), fold=1)],
    [datetime.time(1, tzinfo=datetime.timezone(datetime.timedelta(1) / 3, "n")), datetime.date.max],
    [decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=1), pathlib.Path("/x")],
    [http.HTTPStatus.OK, re.I | re.M, urllib.parse.urlparse("http://x"), datetime.timedelta(1)],
    [np.arange(3), np.float32(1), np.dtype("i4,U3"), np.array([None, "x"]), np.zeros(1, "i4,U3")],
    [object(), print, CYCLE],
]
MAPS = st.recursive(
    st.integers(-2, 50) | st.none() | st.binary(max_size=3) | st.text(max_size=3) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.builds(lambda tag, fields: {None: [tag, *fields]}, st.integers(0, 50), st.lists(inner))
    ),
)


def decoded_or_refused(pair: Any, payload: bytes) -> None:
    """The payload is read or refused by an error of ours."""
    with contextlib.suppress(DecodeError, StaleHandle, NotExposed):
        pair.server_codec.decode(payload, [b"buffer"])
    with contextlib.suppress(DecodeError, StaleHandle, NotExposed):
        pair.server_codec.decode_call(payload, [b"buffer"])
    with contextlib.suppress(DecodeError, StaleHandle, NotExposed):
        decode_fault(payload, pair.server_codec)


def corpus(pair: Any) -> list[bytes]:
    """Payloads of everything, calls, and faults."""
    pair.client.lends_anything = True
    payloads = [pair.client_codec.encode(value).payload for value in CORPUS]
    payloads.append(pair.client_codec.encode_call((1, [2]), {"k": (3,)}).payload)
    try:
        raise ExceptionGroup("g", [KeyError(1), OSError(2, "no", "file")])
    except ExceptionGroup as error:
        error.add_note("n")
        payloads.append(encode_fault(error, pair.client_codec))
    return payloads


@pytest.mark.filterwarnings("ignore")
def test_every_truncation(new_pair: Any) -> None:
    """No prefix of a payload is a payload."""
    pair = new_pair(numpy=np.__version__)
    for payload in corpus(pair):
        for end in range(len(payload)):
            with pytest.raises(DecodeError):
                pair.server_codec.decode(payload[:end])
        with pytest.raises(DecodeError):
            pair.server_codec.decode(payload + b"\xc0")


@pytest.mark.filterwarnings("ignore")
def test_every_flip_of_a_byte(new_pair: Any) -> None:
    """Each byte with each of its bits flipped, and inverted."""
    pair = new_pair(numpy=np.__version__)
    for payload in corpus(pair):
        for index in range(len(payload)):
            for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
                flipped = bytearray(payload)
                flipped[index] ^= mask
                decoded_or_refused(pair, bytes(flipped))


@given(st.binary(max_size=60))
@example(b"")
@example(b"\xc1")
def test_any_bytes(new_pair: Any, payload: bytes) -> None:
    """Plain and tagged."""
    pair = new_pair()
    decoded_or_refused(pair, payload)
    decoded_or_refused(pair, b"\xc1" + payload)


@pytest.mark.filterwarnings("ignore")
@given(MAPS)
def test_any_tagged_values(new_pair: Any, document: Any) -> None:
    """Right msgpack, with any tags, and any fields in any number."""
    pair = new_pair(numpy=np.__version__)
    payload = b"\xc1" + msgpack.packb(document)
    decoded_or_refused(pair, payload)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xc0", b"\x81\xc0\x92\x01", b"\xc1\x91"])
def test_depth_bombs(pair: Any, opening: bytes) -> None:
    """A megabyte of opened containers is refused, not followed."""
    for payload in (opening * 300_000, b"\xc1" + opening * 300_000):
        with pytest.raises(DecodeError):
            pair.server_codec.decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc1\xdd\xff\xff\xff\xff",
    ],
)
def test_lying_lengths(pair: Any, payload: bytes) -> None:
    """A length beyond the payload allocates nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            pair.server_codec.decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "fields",
    [
        [999],
        [],
        ["x"],
        [True],
        [tags.BYTES, 7],
        [tags.BYTES, -1],
        [tags.BYTEARRAY, 10**9],
        [tags.SET, [1]],
        [tags.DICT, [1], 2],
        [tags.DICT, 1],
        [tags.ROWS, ["ab"]],
        [tags.KNOWN, 0],
        [tags.SHELL, 0],
        [tags.AGAIN, 0],
        [tags.GRAPH, None, 1, []],
        [tags.DEFINE, 1, 1],
        [tags.DECIMAL, "one"],
        [tags.ZONE, "../../../etc/passwd"],
        [tags.ARRAY, "d", 4, "little", b""],
        [tags.ARRAY, "d", 8, "little", b"123"],
        [tags.MEMBER, "os:system", "x", None, None],
        [tags.MEMBER, "wsremote.errors:CodecError", "x", None, None],
        [tags.MEMBER, "http:HTTPStatus.OK", "x", None, None],
        [tags.NAMEDTUPLE, "urllib.parse:ParseResult", [1], None, None],
        [tags.DATACLASS, "http:HTTPStatus", {}, None, None],
        [tags.THEIRS, "1"],
        [tags.PATH, 9, "x"],
        [tags.SHIPPED, b"garbage"],
    ],
)
def test_wrong_fields(pair: Any, fields: list[Any]) -> None:
    """Tags that do not exist, indices of nothing, types that are not what the tag says."""
    with pytest.raises(DecodeError):
        pair.server_codec.decode(b"\xc1" + msgpack.packb({None: fields}))


@pytest.mark.parametrize(
    "document",
    [1, [], {}, [[{}]], [1, 2], [1, [{1: 2}, []]], [1, [{}, [5]]], [1, [{}, ["x"]]], [{2: 3}]],
)
def test_arguments_that_are_none(pair: Any, document: Any) -> None:
    """Well-formed values that are no arguments of a call."""
    with pytest.raises(DecodeError):
        pair.server_codec.decode_call(msgpack.packb(document))


def test_extension_types(pair: Any) -> None:
    """No payload has them."""
    with pytest.raises(DecodeError):
        pair.server_codec.decode(msgpack.packb([msgpack.ExtType(3, b"x")]))
