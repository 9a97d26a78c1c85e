"""msgpack, with the options that every payload uses.

A `Packer` is not thread safe, and making one costs three times what packing a small
call does. So packers are taken from a pool and put back: both are one atomic step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from ..errors import DecodeError, EncodeError, WsRemoteError
from ..protocol.memory import Memory
from .tags import BIGINT, TAGGED

__all__ = ["Buffer", "pack", "pack_scalars", "pack_tagged", "unpack", "unpack_tagged"]

Buffer = bytes | bytearray | memoryview | Memory

# A packer keeps the memory of the largest value it has packed.
_KEEP_LIMIT: Final = 1024 * 1024
_PREFIX: Final = bytes([TAGGED])

pack_scalars: Final = msgpack.Packer(strict_types=True).pack
"""`pack_scalars([scalar, ...])`: a plain payload of exact scalars, for the hot path. Any thread:
with nothing but scalars inside, no Python code runs between its first byte and its last."""

_PLAIN: Final[list[Callable[[Any], bytes]]] = []
_BIG_INTEGERS: Final[list[Callable[[Any], bytes]]] = []


def pack(value: object) -> bytes | None:
    """A plain payload of exact scalars, lists and dicts; None if `value` needs a tagged one."""
    try:
        packer = _PLAIN.pop()
    except IndexError:
        packer = msgpack.Packer(strict_types=True, buf_size=4096).pack
    try:
        payload = packer(value)
    except UnicodeEncodeError:
        # Slower for every string, so it is tried for lone surrogates only.
        packer = msgpack.Packer(strict_types=True, unicode_errors="surrogatepass").pack
        try:
            return bytes(packer(value))
        except (OverflowError, TypeError, ValueError):
            return None
    except (OverflowError, TypeError, ValueError):
        return None
    if len(payload) < _KEEP_LIMIT:
        _PLAIN.append(packer)
    return payload


def pack_tagged(value: object) -> bytes:
    """A tagged payload.

    Raises:
        EncodeError: The value is nested too deep, or changed while it was written.
    """
    try:
        packer = _BIG_INTEGERS.pop()
    except IndexError:
        packer = msgpack.Packer(strict_types=True, default=_tag_integer, buf_size=4096).pack
    try:
        packed = packer(value)
    except UnicodeEncodeError:
        packer = msgpack.Packer(
            strict_types=True, default=_tag_integer, unicode_errors="surrogatepass"
        ).pack
        return _PREFIX + bytes(packer(value))
    except (OverflowError, TypeError, ValueError) as error:
        raise EncodeError(f"the value cannot be written: {error}") from error
    if len(packed) < _KEEP_LIMIT:
        _BIG_INTEGERS.append(packer)
    return _PREFIX + packed


def _tag_integer(value: object) -> object:
    """What stands for an int beyond 64 bits. All else was lowered before."""
    if type(value) is not int:
        raise TypeError(f"a {type(value).__name__} came into a container while it was written")
    return {None: [BIGINT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)]}


def _refuse(code: int, data: bytes) -> object:
    """No payload holds msgpack extension types."""
    raise DecodeError(f"the payload holds an unknown extension type ({code})")


def unpack(payload: Buffer) -> Any:
    """The value of a plain payload.

    Raises:
        DecodeError: The payload is malformed.
    """
    try:
        return msgpack.unpackb(
            payload, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=_refuse
        )
    except DecodeError:
        raise
    # msgpack raises six classes for malformed input; a MemoryError is none of our bugs either.
    except Exception as error:
        raise DecodeError(f"the payload is malformed: {error or type(error).__name__}") from error


def unpack_tagged(payload: Buffer, build: Callable[[dict[Any, Any]], object]) -> Any:
    """The value of a tagged payload; `build` gets every map and gives what stands for it.

    Raises:
        DecodeError: The payload is malformed.
        WsRemoteError: Raised by `build`, let through.
    """
    try:
        return msgpack.unpackb(
            memoryview(payload)[1:],
            object_hook=build,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            ext_hook=_refuse,
        )
    except WsRemoteError:
        raise
    # Any field may be anything: constructors of all value types see what the wire says.
    except Exception as error:
        raise DecodeError(f"the payload is malformed: {error or type(error).__name__}") from error
