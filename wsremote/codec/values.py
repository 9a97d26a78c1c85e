"""Values and payloads: the codec of one session.

What most calls send is packed in one step, without a look at more than the types; all
else goes through `encoder.py` and `decoder.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import DecodeError, EncodeError
from ..protocol.pulling import Pulled
from . import decoder, encoder, tags
from .faults import decode_exception, encode_exception
from .location import locate_argument
from .lowering import Terms
from .markers import Inout
from .nesting import forms
from .ownership import fresh_in, is_plain_tree, is_unshared, own
from .packing import Buffer, pack, unpack
from .scalars import PLAIN_TYPES

if TYPE_CHECKING:
    from .exchange import Exchange
    from .sizes import Room

__all__ = ["Arguments", "Buffer", "Encoded", "Origins", "ValueCodec"]

_NO_BUFFERS: Final[Sequence[Buffer]] = ()
_are_plain: Final = PLAIN_TYPES.issuperset
_SIZED: Final = frozenset([str, bytes])
_BRANCHES: Final = frozenset([list, dict])
_UNSIZED: Final = PLAIN_TYPES - _SIZED
_are_unsized: Final = _UNSIZED.issuperset
forms.write, forms.read = encode_exception, decode_exception
_new = tuple.__new__


def _are_flat(values: Sequence[Any]) -> bool:
    """Whether these are small scalars, and lists and dicts of scalars, each met once."""
    containers = 0
    for value in values:
        kind = type(value)
        if kind in _UNSIZED:
            continue
        if kind in _SIZED:
            # Not packed in vain: that takes three times its memory.
            if len(value) >= tags.BULK_LIMIT:
                return False
            continue
        if kind is dict:
            if not _are_plain(map(type, value)):
                return False
            if not _are_plain(map(type, value.values())):
                return False
        elif kind is not list or not _are_plain(map(type, value)):
            return False
        containers += 1
    if containers < 2:
        return True
    return len({id(value) for value in values if type(value) in (list, dict)}) == containers


class Encoded(NamedTuple):
    """A payload, and the buffers that travel before it.

    Buffers are views of living memory: of fresh values, of read-only copies, and of arguments,
    which nobody changes while their caller waits. Who does not wait calls `settled`.
    """

    payload: bytes
    buffers: Sequence[Buffer] = _NO_BUFFERS

    def settled(self) -> Encoded:
        """The same, with buffers that nobody writes to."""
        return Encoded(self.payload, [own(buffer) for buffer in self.buffers])


class Origins(NamedTuple):
    """What the receiver of arguments has to know of them, beside their values.

    Attributes:
        inout: The arguments that were marked `inout`.
        home: Objects of the receiver among them and inside them, which are no copies.
    """

    inout: list[object]
    home: list[object]


# Of plain payloads, which hold neither: never written to.
_NO_ORIGINS: Final = Origins([], [])


class Arguments(NamedTuple):
    """The arguments of a call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    origins: Origins = _NO_ORIGINS


class ValueCodec:
    """Writes and reads the values of one session.

    Args:
        exchange: What the session lends, borrows and serves.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def encode(self, value: object) -> Encoded:
        """Write a value; containers in it are copied.

        Raises:
            EncodeError: A part of the value cannot travel; the message names it.
        """
        if _are_flat((value,)):
            payload = pack(value)
            if payload is not None and len(payload) < tags.BULK_LIMIT:
                return _new(Encoded, (payload, _NO_BUFFERS))
        return Encoded(*encoder.encode(value, Terms(self.exchange)))

    def encode_result(
        self,
        holder: list[Any],
        containers: Sequence[object] = (),
        *,
        of_client: bool = False,
        room: Room | None = None,
        lends: list[int] | None = None,
    ) -> Encoded:
        """Write the result of a call: what nothing else refers to is copied, the rest is owned.

        Args:
            holder: A list of one element, the result. Nothing else may refer to the
                result on behalf of the call: no local variable, no arguments, no frame.
            containers: Those of the arguments that are written back. Where the result
                holds one of them, the caller gets its own container.
            of_client: Whether the client answers to the server: then what it owns stays here
                as well, but for data of other packages, such as arrays.
            room: How much it may have; None for no bound.
            lends: Gets the handles that it brings, for who may not send it.

        Raises:
            EncodeError: A part of the result cannot travel; the message names it.
            TooLarge: It has more. No copy of an array was made for it.
        """
        if (
            type(holder[0]) in _UNSIZED
            or (_are_flat(holder) and (type(holder[0]) in _SIZED or is_unshared(holder)))
            or (type(holder[0]) in _BRANCHES and is_plain_tree(holder))
        ):
            payload = pack(holder[0])
            if payload is not None and len(payload) < tags.BULK_LIMIT:
                if room is not None:
                    room.take(len(payload))
                return _new(Encoded, (payload, _NO_BUFFERS))
        if type(holder[0]) is Pulled:
            return self._encode_items(holder[0], of_client=of_client, lends=lends)
        known = {id(each): index for index, each in enumerate(containers)}
        keeps = of_client or self.exchange.keeps_owned
        fresh = fresh_in(holder, known=known) if keeps else None
        terms = Terms(self.exchange, fresh, known, copies_data=of_client, room=room)
        return Encoded(*encoder.encode(holder[0], terms, lends=lends))

    def _encode_items(self, pulled: Pulled, *, of_client: bool, lends: list[int] | None) -> Encoded:
        """Write items of an iterator, each as if it were a result of its own."""
        state, start, items, is_plain = pulled
        batch = [state, start, items]
        if is_plain or _are_plain(map(type, items)):
            payload = pack(batch)
            if payload is not None and len(payload) < tags.BULK_LIMIT:
                return _new(Encoded, (payload, _NO_BUFFERS))
        fresh = None
        if of_client or self.exchange.keeps_owned:
            # Who keeps the items does so in this very list.
            fresh = fresh_in(items) | {id(items), id(batch)}
        terms = Terms(self.exchange, fresh, copies_data=of_client)
        return Encoded(*encoder.encode(batch, terms, lends=lends))

    def encode_copy(self, value: object, room: Room | None = None) -> Encoded:
        """Write a value that this side goes on using: a copy, of one state.

        Raises:
            EncodeError: A part of it cannot travel; the message names it.
            TooLarge: There is no room for it.
        """
        return Encoded(*encoder.encode(value, Terms(self.exchange, room=room, shared=True)))

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        mirrored: Collection[int] = (),
    ) -> Encoded:
        """Write the arguments of a call.

        Args:
            args: Positional ones.
            kwargs: Those by name.
            mirrored: Ids of containers that the receiver has mirrors of; the others are copied.

        Raises:
            EncodeError: An argument cannot travel; the message names it.
        """
        if (_are_unsized(map(type, args)) and not kwargs) or (
            not mirrored and _are_flat((*args, *kwargs.values()))
        ):
            payload = pack([*args, kwargs or None])
            if payload is not None and len(payload) < tags.BULK_LIMIT:
                return _new(Encoded, (payload, _NO_BUFFERS))
        return self._encode_arguments(args, kwargs, mirrored)

    def _encode_arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], mirrored: Collection[int]
    ) -> Encoded:
        """Arguments of any kind: the positional ones, then `[kwargs, inout]`, kwargs or nil."""
        marked: list[int | str] = []
        values = []
        named = dict(kwargs)
        for index, value in enumerate(args):
            if type(value) is Inout:
                marked.append(index)
                value = value.value
            values.append(value)
        for name, value in kwargs.items():
            if type(value) is Inout:
                marked.append(name)
                named[name] = value.value
            else:
                named[name] = value
        tail: Any = [named, marked] if marked else named or None
        terms = Terms(self.exchange, mirrored=mirrored)
        try:
            payload, buffers = encoder.encode(
                [*values, tail], terms, where=lambda part: locate_argument(args, kwargs, part)
            )
        except EncodeError as error:
            for part in (*values, *named.values()):
                if encoder.is_too_deep(part, terms):
                    where = locate_argument(args, kwargs, part)
                    raise EncodeError(f"{where}: {error}") from None
            raise
        return Encoded(payload, buffers)

    def decode(
        self,
        payload: Buffer,
        buffers: Sequence[Buffer] = _NO_BUFFERS,
        containers: Sequence[object] = (),
    ) -> Any:
        """Read a value.

        Args:
            payload: Bytes of any origin.
            buffers: The buffers that came before it. A writable one becomes the memory of
                the value that it belongs to.
            containers: The containers that both sides have, for a result: those of the
                arguments that are written back.

        Raises:
            DecodeError: The payload is malformed, or not permitted here.
            StaleHandle: It names an object of this side that is released.
            NotExposed: It names something that is not served.
        """
        if payload and payload[0] == tags.TAGGED:
            return decoder.decode(payload, buffers, self.exchange, containers)
        return unpack(payload)

    def decode_call(self, payload: Buffer, buffers: Sequence[Buffer] = _NO_BUFFERS) -> Arguments:
        """Read the arguments of a call.

        Raises:
            DecodeError: The payload is malformed, not permitted here, or no arguments.
            StaleHandle: It names an object of this side that is released.
            NotExposed: It names something that is not served.
        """
        origins = _NO_ORIGINS
        if payload and payload[0] == tags.TAGGED:
            origins = Origins([], [])
            values = decoder.decode(payload, buffers, self.exchange, home=origins.home)
        else:
            values = unpack(payload)
        if type(values) is not list or not values:
            raise DecodeError("the arguments of a call are a list")
        tail = values.pop()
        if tail is None:
            return _new(Arguments, (tuple(values), {}, origins))
        marked: list[Any] = []
        if type(tail) is list and len(tail) == 2 and type(tail[1]) is list:
            tail, marked = tail
        if type(tail) is not dict or not all(type(name) is str for name in tail):
            raise DecodeError("keyword arguments are a dict of names")
        if marked and origins is _NO_ORIGINS:
            origins = Origins([], [])
        for place in marked:
            if type(place) is int and 0 <= place < len(values):
                origins.inout.append(values[place])
            elif type(place) is str and place in tail:
                origins.inout.append(tail[place])
            else:
                raise DecodeError(f"there is no argument {place!r}")
        return Arguments(tuple(values), tail, origins)
