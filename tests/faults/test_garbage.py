"""Bytes that mean nothing: the connection is given up, the session goes on."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from faults.flow import Flow
from faults.proxy import FaultProxy

import wsremote
from wsremote.codec import wire
from wsremote.protocol.messages import Ack, Pong

CLOSE_FRAME = 0x88


def frame(content: bytes, *, masked: bool) -> bytes:
    """A whole WebSocket message, with a mask of zeros."""
    bit = 0x80 if masked else 0
    assert len(content) < 65536
    size = (
        bytes([bit | len(content)])
        if len(content) < 126
        else bytes([bit | 126]) + struct.pack("!H", len(content))
    )
    return b"\x82" + size + (bytes(4) if masked else b"") + content


GARBAGE = {
    "no frame": lambda masked: b"\xff" * 40,
    "no message": lambda masked: frame(b"\xc1\xc1\xc1", masked=masked),
    "not msgpack": lambda masked: frame(b"\x92\x01", masked=masked),
    "unknown type": lambda masked: frame(b"\x91\x7d", masked=masked),
    "ack of the future": lambda masked: frame(wire.write(Ack(10**6)), masked=masked),
    "a gap": lambda masked: frame(b"\x95\x15\xcd\x27\x10\x00\x90", masked=masked),
    "text": lambda masked: b"\x81" + frame(b"hello", masked=masked)[1:],
}


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_garbage_costs_a_connection_and_no_session(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direction: str, kind: str
) -> None:
    """Whoever hears it closes; the next call goes over another connection."""
    counter = pkg.Counter()
    assert counter.step() == 1
    line = proxy.line
    flow: Flow = getattr(line, direction)
    flow.inject(GARBAGE[kind](direction == "up"))
    for number in range(2, 5):
        assert counter.step() == number
    proxy.wait_for_line(1)
    line.wait_closed()
    assert not remote.closed


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_violation_is_told_with_code_4400(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direction: str
) -> None:
    """The other side hears why its connection was closed."""
    assert pkg.add(1) == 2
    line = proxy.line
    hurt, told = (line.up, line.down) if direction == "up" else (line.down, line.up)
    said = bytearray()
    told.edit(told.taken, 10**6, lambda piece: said.extend(piece) or piece)  # type: ignore[func-returns-value]
    hurt.inject(frame(wire.write(Pong(1, 10**6)), masked=direction == "up"))
    line.wait_closed()
    assert code_in(bytes(said), masked=direction == "down") == 4400
    assert pkg.add(2) == 3


def code_in(data: bytes, *, masked: bool) -> int | None:
    """The close code of a closing frame."""
    at = 0
    while at < len(data):
        first, size = data[at], data[at + 1] & 0x7F
        at += 2
        if size == 126:
            size = int.from_bytes(data[at : at + 2])
            at += 2
        key = data[at : at + 4] if masked else bytes(4)
        at += 4 * masked
        if first == CLOSE_FRAME:
            return int.from_bytes(bytes(a ^ b for a, b in zip(data[at : at + 2], key)))  # noqa: B905
        at += size
    return None


@pytest.mark.parametrize("direction", ["up", "down"])
def test_garbage_now_and_then_never_ends_the_session(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direction: str
) -> None:
    """A bad line of days is many single faults, with good work in between."""
    counter = pkg.Counter()
    for number in range(1, 13):
        assert counter.step() == number
        line = proxy.line
        getattr(line, direction).inject(GARBAGE["not msgpack"](direction == "up"))
        line.wait_closed()
    assert counter.step() == 13
    assert not remote.closed


@pytest.mark.parametrize("direction", ["up", "down"])
def test_garbage_in_front_of_much_else(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direction: str
) -> None:
    """What comes behind it is not read as a hundred thousand frames: it is thrown away."""
    array = np.zeros(500_000)

    def spoil(flow: Flow, begins: int, ends: int) -> None:
        if ends - begins > 100_000 and flow.line.number == 0:
            flow.on_message = None
            flow.inject(b"\xff" * 31, ends)

    assert pkg.add(1) == 2
    getattr(proxy.line, direction).on_message = spoil
    assert pkg.negative(array).sum() == 0
    assert len(proxy.lines) == 2
    assert not remote.closed
