"""Messages and bytes."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.codec import wire
from wsremote.errors import LocalProtocolError, RemoteProtocolError
from wsremote.protocol.messages import (
    SMALL_EXEC,
    SMALL_RESULT,
    Exec,
    Hello,
    Message,
    Open,
    Output,
    Ping,
    Release,
    Result,
)

MESSAGES: list[Message] = [
    Hello(1, 1, "id", b"nonce"),
    Open(b"proof", b"nonce", 1, "", {"numpy": "2.4"}, {"pid": 7}),
    Exec(1, 0, 1, 1, None, 0, "pkg.mod:f", None, b"payload", None),
    Exec(2**63, 7, 1, 1, 9, 1, 12, "m", b"payload", [1, 2]),
    Output(1, 0, 3, 1, "half a character: \ud83d"),
    Release(1, 0, [[1, 2], [3, 4]]),
    Ping(0, 0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_one_message_comes_back_as_it_was(message: Message) -> None:
    """The same class, the same fields."""
    [back] = wire.read(wire.write(message))
    assert type(back) is type(message)
    assert back == message


def test_many_messages_travel_as_one() -> None:
    """In order; one alone is written as one."""
    assert list(wire.read(wire.write_many(MESSAGES))) == MESSAGES
    assert wire.write_many(MESSAGES[:1]) == wire.write(MESSAGES[0])


@given(st.binary(max_size=200))
def test_garbage_is_never_anything_but_a_protocol_error(data: bytes) -> None:
    """Whatever bytes come, reading gives messages or RemoteProtocolError."""
    try:
        wire.read(data)
    except RemoteProtocolError:
        return


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_truncated_and_flipped_messages_are_protocol_errors(message: Message) -> None:
    """Every prefix is refused; every flipped byte gives a message or the error."""
    data = wire.write(message)
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            wire.read(data[:end])
    for position in range(len(data)):
        for bit in (1, 16, 128):
            flipped = bytearray(data)
            flipped[position] ^= bit
            try:
                wire.read(bytes(flipped))
            except RemoteProtocolError:
                continue


@pytest.mark.parametrize(
    "value",
    [
        [],
        7,
        {"a": 1},
        [99, 1],
        ["16", 1],
        [34, 1],
        [34, 1, 2, 3],
        [34, "1", 2],
        [34, True, 2],
        [[34, 1, 2], 7],
        [[34, 1, 2], []],
    ],
)
def test_wrong_shapes_are_refused(value: object) -> None:
    """Wrong type number, field count, or field type; True is no int."""
    with pytest.raises(RemoteProtocolError):
        wire.read(msgpack.packb(value))


@pytest.mark.parametrize("target", ["pkg.mod:f", 7])
@pytest.mark.parametrize("name", [None, "m"])
@pytest.mark.parametrize("args", [[], [None], [1, "x", b"y", 2.5, True, None], ["\ud83d"]])
def test_short_forms_are_read_as_what_they_stand_for(
    target: str | int, name: str | None, args: list[object]
) -> None:
    """Also several in one WebSocket message, also text with lone surrogates."""
    fields = [SMALL_EXEC, 3, 2, 9, 1, 0, target, name, *args]
    payload = msgpack.packb([*args, None], unicode_errors="surrogatepass")
    exec_message = Exec(3, 2, 9, 1, None, 0, target, name, payload, None)
    data = msgpack.packb(fields, unicode_errors="surrogatepass")
    assert list(wire.read(data)) == [exec_message]
    values = [*args, args, {"a": args, "b": [{}, []]}]
    results = [[SMALL_RESULT, 4, 3, 9, value] for value in values]
    packed = [msgpack.packb(value, unicode_errors="surrogatepass") for value in values]
    expected = [Result(4, 3, 9, payload, None, None) for payload in packed]
    data = msgpack.packb([fields, *results], unicode_errors="surrogatepass")
    assert list(wire.read(data)) == [exec_message, *expected]


@pytest.mark.parametrize(
    "fields",
    [
        [SMALL_EXEC],
        [SMALL_EXEC, 1, 0, 1, 1, 0, "m:f"],
        [SMALL_EXEC, 1, 0, 1, 1, 0, None, None],
        [SMALL_EXEC, 1, 0, 1, True, 0, "m:f", None],
        [SMALL_EXEC, 1, 0, 1, 1, 0, "m:f", 5],
        [SMALL_EXEC, 1, 0, 1, 1, 0, "m:f", None, [1]],
        [SMALL_EXEC, 1, 0, 1, 1, 0, "m:f", None, 1, {}],
        [float(SMALL_EXEC), 1, 0, 1, 1, 0, "m:f", None],
        {SMALL_EXEC: 1, 0: SMALL_EXEC},
        [SMALL_RESULT, 1, 0, 1],
        [SMALL_RESULT, 1, 0, 1, {5: 3}],
        [SMALL_RESULT, 1, 0, 1, [{None: [0]}]],
        [SMALL_RESULT, 1, 0, 1, 5, None],
        [SMALL_RESULT, 1, None, 1, 5],
        bytes([SMALL_RESULT, 1, 2, 3, 4]),
    ],
)
def test_short_forms_of_a_wrong_shape_are_refused(fields: object) -> None:
    """Too few fields, containers among arguments, wrong types or keys; also among several."""
    for value in (fields, [[34, 1, 2], fields]):
        with pytest.raises(RemoteProtocolError):
            wire.read(msgpack.packb(value, strict_types=False))


def test_a_field_that_has_no_form_is_this_sides_error() -> None:
    """It is a bug here, and says so."""
    with pytest.raises(LocalProtocolError, match="Ping"):
        wire.write(Ping(2**64, 0))


def test_documents_survive_and_bombs_do_not() -> None:
    """What unpacks to more than the limit is refused before it is unpacked."""
    documents = {"a": b"x" * 1000, "b": b""}
    packed = wire.pack_documents(documents)
    assert wire.unpack_documents(packed, 10_000) == documents
    with pytest.raises(RemoteProtocolError, match=r"more than 500 bytes|malformed"):
        wire.unpack_documents(packed, 500)
    with pytest.raises(RemoteProtocolError):
        wire.unpack_documents(b"garbage", 500)
