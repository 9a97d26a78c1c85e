"""A tagged payload, and what each tagged value of it stands for.

msgpack calls for every map when its content is complete, so values are built from the
inside out and nothing here recurses, however deep the payload is.
"""

from __future__ import annotations

import array
import collections
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import DecodeError
from . import arrays, by_class, carried, mappings, names, pickling, scalars, tags
from .graph import Shells
from .nesting import forms
from .packing import Buffer, unpack_tagged
from .records import OWN_CLASS

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["Unsent", "decode"]


class Unsent(str):
    """The text of a part of an exception that could not travel."""

    __slots__ = ()


def decode(
    payload: Buffer,
    buffers: Sequence[Buffer],
    exchange: Exchange,
    known: Sequence[object] = (),
    home: list[object] | None = None,
) -> Any:
    """The value of a tagged payload.

    Args:
        payload: The bytes, of any origin.
        buffers: The out-of-band buffers, each read-only or ours to keep.
        exchange: The session.
        known: The containers that both sides have.
        home: Gets the objects of this side that came home, and those that came as code:
            not copies of anything that the sender has.

    Raises:
        DecodeError: The payload is malformed, or not permitted here.
        StaleHandle: It names an object of this side that is released.
        NotExposed: It names something that is not served.
    """
    return unpack_tagged(payload, _Decoder(buffers, exchange, known, home).build)


class _Decoder:
    """The state of one payload that is being read."""

    def __init__(
        self,
        buffers: Sequence[Buffer],
        exchange: Exchange,
        known: Sequence[object],
        home: list[object] | None,
    ) -> None:
        self.exchange = exchange
        self.known = known
        self._home = home
        self.shells = Shells()
        self._buffers = buffers

    def build(self, content: dict[Any, Any]) -> object:
        """What stands for a map: itself, or the tagged value that it is."""
        if len(content) != 1 or None not in content:
            return content
        body = content[None]
        if type(body) is not list or not body or type(body[0]) is not int:
            raise DecodeError("a tagged value starts with its tag")
        builder = _BUILDERS.get(body[0])
        if builder is None:
            raise DecodeError(f"unknown tag {body[0]}")
        return builder(self, body)

    def at_home(self, value: object) -> object:
        """Note a value that is no copy of anything that the sender has."""
        if self._home is not None:
            self._home.append(value)
        return value

    def buffer(self, data: bytes | int) -> Buffer:
        """Bytes that are in the payload, or those of an out-of-band buffer."""
        if type(data) is bytes:
            return data
        return self._buffers[_natural(data)]


def _natural(value: Any) -> int:
    """An int of the wire that counts from 0."""
    if type(value) is not int or value < 0:
        raise DecodeError(f"{value!r} is no number of anything")
    return value


def _fallback(
    decoder: _Decoder, handle: object, number: object, error: Exception, content: object = None
) -> object:
    """The handle that came with a value that cannot be built here, and what it carries."""
    if handle is None:
        raise DecodeError(str(error)) from error
    if content is not None:
        return decoder.exchange.carry(_natural(handle), _natural(number), content)
    if carried.content_base(decoder.exchange.class_numbered(_natural(number))) is not None:
        _release(decoder, handle, number)
        raise DecodeError(str(error)) from error
    return decoder.exchange.borrow(_natural(handle), _natural(number))


def _release(decoder: _Decoder, handle: object, number: object) -> None:
    """Give back the handle that came with a value: a proxy that nobody keeps is released."""
    if handle is not None:
        decoder.exchange.borrow(_natural(handle), _natural(number))


def _dict(decoder: _Decoder, body: list[Any]) -> object:
    return dict(zip(body[1::2], body[2::2], strict=True))


def _rows(decoder: _Decoder, body: list[Any]) -> object:
    _, rows = body
    if not all(type(row) is list for row in rows):
        raise DecodeError("a row is an array")
    return list(map(tuple, rows))


def _deque(decoder: _Decoder, body: list[Any]) -> object:
    if body[1] is not None:
        _natural(body[1])
    return collections.deque(body[2:], body[1])


def _array(decoder: _Decoder, body: list[Any]) -> object:
    _, typecode, size, order, data = body
    made: array.array[Any] = array.array(typecode)
    if made.itemsize != size or order not in ("little", "big"):
        raise DecodeError(f"array items of type {typecode!r} have {made.itemsize} bytes here")
    made.frombytes(decoder.buffer(data))
    if order != sys.byteorder:
        made.byteswap()
    return made


def _text(decoder: _Decoder, body: list[Any]) -> object:
    _, index = body
    return str(decoder.buffer(_natural(index)), "utf-8", "surrogatepass")


def _bytes(decoder: _Decoder, body: list[Any]) -> object:
    _, index = body
    return bytes(decoder.buffer(_natural(index)))


def _bytearray(decoder: _Decoder, body: list[Any]) -> object:
    _, data = body
    return bytearray(decoder.buffer(data))


def _named(decoder: _Decoder, body: list[Any]) -> object:
    _, path = body
    if type(path) is not str:
        raise DecodeError(f"{path!r} is no path")
    return decoder.exchange.named(path)


def _builtin(decoder: _Decoder, body: list[Any]) -> object:
    _, name = body
    return names.builtin_named(name)


def _module(decoder: _Decoder, body: list[Any]) -> object:
    _, name = body
    if decoder.exchange.keeps_owned:
        raise DecodeError("modules do not go to the server by name")
    return names.library_module(name)


def _theirs(decoder: _Decoder, body: list[Any]) -> object:
    _, handle = body
    if type(handle) is not int:
        raise DecodeError(f"{handle!r} is no handle")
    # Below zero it is what a call of a pipeline gave.
    return decoder.at_home(decoder.exchange.lent(handle))


def _ours(decoder: _Decoder, body: list[Any]) -> object:
    _, handle, number = body
    return decoder.exchange.borrow(_natural(handle), _natural(number))


def _carried(decoder: _Decoder, body: list[Any]) -> object:
    _, content, handle, number = body
    return decoder.exchange.carry(_natural(handle), _natural(number), content)


def _class(decoder: _Decoder, body: list[Any]) -> object:
    _, number, handle = body
    found = decoder.exchange.borrow_class(_natural(number), _natural(handle))
    # Exceptions of it are of the class that this side has under its name.
    return vars(found).get(OWN_CLASS) or found


def _large(decoder: _Decoder, body: list[Any]) -> object:
    _, preview, handle, number = body
    if decoder.exchange.keeps_owned or type(preview) is not str:
        raise DecodeError("large results stay on the server, with a text")
    return decoder.exchange.borrow_large(_natural(handle), _natural(number), preview)


def _owned(decoder: _Decoder, body: list[Any]) -> object:
    _, content, handle, number, version = body
    if type(version) is not int:
        raise DecodeError("the content of a mirror has a version")
    return decoder.exchange.mirror(_natural(handle), _natural(number), content, version)


def _known(decoder: _Decoder, body: list[Any]) -> object:
    _, index = body
    return decoder.known[_natural(index)]


def _by_class(decoder: _Decoder, body: list[Any]) -> object:
    *fields, handle, number = body
    try:
        value = by_class.build(fields)
    except LookupError as error:
        return _fallback(decoder, handle, number, error, by_class.content(fields))
    _release(decoder, handle, number)
    return value


def _pickle(decoder: _Decoder, body: list[Any]) -> object:
    _, data, parts, handle, number = body
    # Arrays of the value use the buffers as their memory, and are writable.
    buffers = [decoder.buffer(part) for part in parts]
    buffers = [bytearray(each) if memoryview(each).readonly else each for each in buffers]
    try:
        value = pickling.load(decoder.buffer(data), buffers, decoder.exchange)
    except DecodeError as error:
        return _fallback(decoder, handle, number, error)
    _release(decoder, handle, number)
    return value


def _shipped(decoder: _Decoder, body: list[Any]) -> object:
    _, data = body
    return decoder.at_home(pickling.load(data, (), decoder.exchange))


def _exception(decoder: _Decoder, body: list[Any]) -> object:
    _, payload = body
    if type(payload) is not bytes:
        raise DecodeError("an exception is the payload of a fault")
    return forms.read(payload, decoder.exchange)


def _shells(decoder: _Decoder, body: list[Any]) -> object:
    decoder.shells.make(body)
    return None


def _graph(decoder: _Decoder, body: list[Any]) -> object:
    _, _, root, *contents = body
    decoder.shells.fill(contents)
    return root


def _shell(decoder: _Decoder, body: list[Any]) -> object:
    _, number = body
    return decoder.shells.shell(number)


def _define(decoder: _Decoder, body: list[Any]) -> object:
    _, value, number = body
    return decoder.shells.define(value, number)


def _again(decoder: _Decoder, body: list[Any]) -> object:
    _, number = body
    return decoder.shells.again(number)


def _unsent(decoder: _Decoder, body: list[Any]) -> object:
    _, text = body
    return Unsent(text)


def _shown(decoder: _Decoder, body: list[Any]) -> object:
    # Not written back: the sender shows something else this way.
    return decoder.at_home(_dict(decoder, body))


def _scalar(build: scalars.Build) -> Callable[[_Decoder, list[Any]], object]:
    """The builder of a tag that needs the body only."""
    return lambda decoder, body: build(body)


_BUILDERS: Final[dict[int, Callable[[_Decoder, list[Any]], object]]] = {
    **{tag: _scalar(build) for tag, build in scalars.BUILD.items()},
    **{tag: _scalar(build) for tag, build in mappings.BUILD.items()},
    tags.DICT: _dict,
    tags.SHOWN: _shown,
    tags.TUPLE: lambda decoder, body: tuple(body[1:]),
    tags.ROWS: _rows,
    tags.SET: lambda decoder, body: set(body[1:]),
    tags.FROZENSET: lambda decoder, body: frozenset(body[1:]),
    tags.DEQUE: _deque,
    tags.BYTEARRAY: _bytearray,
    tags.ARRAY: _array,
    tags.BYTES: _bytes,
    tags.TEXT: _text,
    tags.NAMED: _named,
    tags.BUILTIN: _builtin,
    tags.MODULE: _module,
    tags.THEIRS: _theirs,
    tags.OURS: _ours,
    tags.CLASS: _class,
    tags.CARRIED: _carried,
    tags.OWNED: _owned,
    tags.KNOWN: _known,
    tags.LARGE: _large,
    tags.MEMBER: _by_class,
    tags.NAMEDTUPLE: _by_class,
    tags.DATACLASS: _by_class,
    tags.NDARRAY: lambda decoder, body: arrays.build_array(body, decoder.buffer),
    tags.OBJECTS: _scalar(arrays.build_objects),
    tags.NUMBER: _scalar(arrays.build_scalar),
    tags.DTYPE: _scalar(arrays.build_dtype),
    tags.PICKLE: _pickle,
    tags.SHIPPED: _shipped,
    tags.EXCEPTION: _exception,
    tags.GRAPH: _graph,
    tags.SHELLS: _shells,
    tags.SHELL: _shell,
    tags.DEFINE: _define,
    tags.AGAIN: _again,
    tags.UNSENT: _unsent,
}
