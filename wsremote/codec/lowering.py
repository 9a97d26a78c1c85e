"""A value is lowered to what msgpack writes: exact scalars, lists, dicts, tagged values.

Lowering changes nothing outside: what must be lent or pickled for the payload is
noted, and done by the encoder when the whole value has been lowered.

`Lowering` gives the tree form. It remembers the containers that it meets; those met more
than once are in `shared` afterwards, and the value must be lowered as a graph instead.
"""

from __future__ import annotations

import array
import collections
import itertools
import sys
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import EncodeError
from . import (
    arrays,
    by_class,
    carried,
    contents,
    mappings,
    names,
    pickling,
    registry,
    scalars,
    tags,
)
from .markers import Inout, Kept, Large, Ref, Ship
from .originals import original_of
from .scalars import PLAIN_TYPES

if TYPE_CHECKING:
    from .exchange import Exchange
    from .packing import Buffer
    from .sizes import Room

__all__ = ["Lowering", "Pending", "Refusal", "Terms", "TooDeep", "flat"]


class Terms(NamedTuple):
    """What holds for one payload.

    Attributes:
        exchange: The session.
        fresh: Ids of the containers and arrays that nothing else refers to; the others are
            written as owned. None: all are copied.
        known: Indices of the containers that both sides have, by id.
        inline: Whether all buffers go into the payload.
        copies_data: Whether arrays and other data are copied, fresh or not.
        inside: Ids of the exceptions that this is a part of.
        mirrored: Ids of containers that are not copied though the others are: the receiver has
            mirrors of them.
        room: How much the payload may have; None for no bound.
        shared: Whether others may write to any array, though none is written as owned.
    """

    exchange: Exchange
    fresh: set[int] | None = None
    known: Mapping[int, int] = {}
    inline: bool = False
    copies_data: bool = False
    inside: frozenset[int] = frozenset()
    mirrored: Collection[int] = ()
    room: Room | None = None
    shared: bool = False


class Pending(NamedTuple):
    """A tagged value that gets its last fields when all is lowered."""

    body: list[Any]
    value: object
    required: bool
    # What a container that is mirrored held when it was lowered; of a value that is pickled,
    # whether somebody else may write to its memory.
    content: Any = None


class Refusal(EncodeError):
    """A value cannot travel. Where it sits is looked up afterwards, by the value itself."""

    def __init__(self, value: object, text: str) -> None:
        super().__init__(text)
        self.value = value


class TooDeep(Exception):
    """The value is nested deeper than a nested form may be."""


class Lowering:
    """One pass over one value."""

    def __init__(self, terms: Terms) -> None:
        self.exchange = terms.exchange
        self._fresh = terms.fresh
        self._known = terms.known
        self._inline = terms.inline
        self._copies_data = terms.copies_data
        self._room = terms.room
        self._is_shared = terms.shared
        self.inside = terms.inside
        self._mirrored = terms.mirrored
        # Out-of-band buffers, in the order of their indices.
        self.buffers: list[Buffer] = []
        # To be pickled, and to be lent, when the pass is over.
        self.to_pickle: list[Pending] = []
        self.to_lend: list[Pending] = []
        # Ids of the containers met, and of those met again.
        self._seen: set[int] = set()
        self.shared: set[int] = set()
        # Whether all so far is what msgpack writes as it is.
        self.is_plain = True
        # Levels of nesting around the value that is being lowered.
        self._depth = 0

    def lower(self, value: Any) -> Any:
        """What stands for `value` in the payload."""
        kind = type(value)
        if kind in _UNSIZED:
            return value
        # The four that may stay as they are, most of them containers.
        if kind is list:
            return self.container(value, _list)
        if kind is dict:
            return self.container(value, _dict)
        if kind is str:
            return _str(self, value)
        if kind is bytes:
            return _bytes(self, value)
        self.is_plain = False
        lowerer = _LOWERERS.get(kind) or mappings.LOWER.get(kind)
        return self._other(value) if lowerer is None else lowerer(self, value)

    def items(self, values: Iterable[object]) -> list[Any]:
        """Lower the items of a container, one level further down."""
        if self._depth == tags.MAX_DEPTH:
            raise TooDeep
        self._depth += 1
        lower = self.lower
        lowered = [lower(value) for value in values]
        self._depth -= 1
        return lowered

    def container(self, value: Any, content: Callable[[Lowering, Any], Any]) -> Any:
        """A mutable container: known to both sides, owned by this one, or copied."""
        key = id(value)
        if key in self._known:
            self.is_plain = False
            return {None: [tags.KNOWN, self._known[key]]}
        if (self._fresh is None or key in self._fresh) and key not in self._mirrored:
            return self.place(value, content)
        return self.mirror(value, contents.MUTABLE[type(value)])

    def mirror(self, value: Any, kind: contents.Kind) -> Any:
        """A container that stays here: a handle, and what it holds unless the receiver knows."""
        self.is_plain = False
        key = id(value)
        if key in self._seen or self.exchange.is_watched(value):
            # Its content is there already; the handle says that it is the same.
            return self.lend(value)
        self._seen.add(key)
        # What is sent is what later changes are told from, so both are this copy.
        content = kind.copy(value)
        body = [tags.OWNED, _CONTENTS.get(type(content), _ndarray)(self, content)]
        self.to_lend.append(Pending(body, value, required=True, content=content))
        return {None: body}

    def owned(self, value: object) -> Any:
        """What stands for a value of which this side owns all that can be owned."""
        before, self._fresh = self._fresh, set()
        try:
            return self.lower(value)
        finally:
            self._fresh = before

    def place(self, value: Any, content: Callable[[Lowering, Any], Any]) -> Any:
        """Write something that must be the same object wherever the value holds it."""
        key = id(value)
        if key in self._seen:
            self.shared.add(key)
            return None
        self._seen.add(key)
        return content(self, value)

    def lend(self, value: object) -> Any:
        """A handle; with the content, if the value's class derives from an immutable builtin."""
        base = carried.content_base(type(value))
        # Met again, it is there already when the receiver comes to this place.
        if base in (None, type(value)) or id(value) in self._seen:
            body: list[Any] = [tags.OURS]
        else:
            self._seen.add(id(value))
            body = [tags.CARRIED, *self.items([carried.content_of(value, base)])]
        self.to_lend.append(Pending(body, value, required=True))
        return {None: body}

    def buffer(self, data: Any, limit: int = tags.INLINE_LIMIT) -> bytes | int:
        """Bytes to put into the payload, or the index of the buffer that they became."""
        if self._inline or len(data) < limit:
            return bytes(data)
        if self._room is not None:
            self._room.take(len(data))
        self.buffers.append(data)
        return len(self.buffers) - 1

    def take(self, size: int) -> None:
        """The payload itself has so many bytes. Raises as `Room`."""
        if self._room is not None:
            self._room.take(size)

    def expect(self, size: int) -> None:
        """So many bytes come next, of which a copy may have to be made. Raises as `Room`."""
        if self._room is not None and size >= tags.INLINE_LIMIT:
            self._room.expect(size)

    def is_shared(self, value: object) -> bool:
        """Whether something else on this side may write to `value` while it travels."""
        return self._is_shared or (self._fresh is not None and id(value) not in self._fresh)

    @property
    def keeps_results(self) -> bool:
        """Whether what something else may refer to stays on this side."""
        return self._fresh is not None

    def is_owned(self, value: object) -> bool:
        """Whether something else on this side may refer to `value` after this message."""
        if self._fresh is None or self._copies_data:
            return False
        return id(value) not in self._fresh

    def _other(self, value: object) -> Any:
        """A value whose type is not in the table of exact types."""
        exchange = self.exchange
        handle = exchange.borrowed(value)
        if handle is not None:
            return {None: [tags.THEIRS, handle]}
        if issubclass(type(value), BaseException):
            return self._exception(value)
        path = exchange.name_of(value)
        if path is not None:
            return {None: [tags.NAMED, path]}
        name = names.builtin_name(value)
        if name is not None:
            root = name.partition(":")[0]
            if root in registry.ROOT_PACKAGES and root not in exchange.receiver_has:
                return self.lend(value)
            return {None: [tags.BUILTIN, name]}
        kind = type(value)
        if issubclass(kind, type):
            return self._class(value)
        if kind is ModuleType and exchange.keeps_owned:
            name = names.library_module_name(value)
            if name is not None and (
                name not in registry.ROOT_PACKAGES or name in exchange.receiver_has
            ):
                return {None: [tags.MODULE, name]}
        root = names.root_package(kind)
        if root in registry.ROOT_PACKAGES:
            return self._registered(value, root)
        # An instance of a served class keeps its identity, whatever it derives from.
        if root in sys.stdlib_module_names and exchange.name_of(kind) is None:
            body = by_class.lower(value, self.items)
            if body is not None:
                self.to_lend.append(Pending(body, value, required=False))
                return {None: body}
        kind_of_content = contents.kind_of(kind)
        if kind_of_content is not None:
            return self.mirror(value, kind_of_content)
        return self.lend(value)

    def _exception(self, value: Any) -> Any:
        """An exception: a copy that knows its original, or the original if this is a copy."""
        handle = original_of(value, self.exchange)
        return self.place(value, _exception) if handle is None else {None: [tags.THEIRS, handle]}

    def _class(self, cls: object) -> Any:
        """A class of this side that has no name on the other: its number and its handle."""
        body = [tags.CLASS]
        self.to_lend.append(Pending(body, cls, required=True))
        return {None: body}

    def _registered(self, value: Any, root: str) -> Any:
        """A value of a package of the data type registry."""
        if root not in self.exchange.receiver_has:
            return self.lend(value)
        if root == "numpy":
            if arrays.is_array(value):
                if self.is_owned(value) and arrays.is_mirrored(value):
                    return self.mirror(value, contents.NDARRAYS)
                return self.place(value, _array)
            body = arrays.lower_scalar(value)
            if body is not None:
                return {None: body}
        if not registry.is_data(value, self.exchange):
            return self.lend(value)
        if registry.is_immutable(value):
            return _pickle(self, value)
        return self.lend(value) if self.is_owned(value) else self.place(value, _pickle)


def flat(content: Mapping[Any, Any]) -> Iterable[object]:
    """Keys and values of a dict, in turn."""
    return itertools.chain.from_iterable(content.items())


# What a list may be full of and still be written as it is.
_SIZED: Final = frozenset([str, bytes])
_UNSIZED: Final = PLAIN_TYPES - _SIZED
_TUPLE_ONLY: Final = {tuple}


def _is_plain(values: Iterable[Any], types: set[type]) -> bool:
    """Whether msgpack writes these values as they are, and none of them is bulk."""
    if not types <= PLAIN_TYPES:
        return False
    if types.isdisjoint(_SIZED):
        return True
    if types <= _SIZED:
        return max(map(len, values)) < tags.BULK_LIMIT
    return all(len(value) < tags.BULK_LIMIT for value in values if type(value) in _SIZED)


def _list(lowering: Lowering, value: list[Any]) -> Any:
    types = set(map(type, value))
    if _is_plain(value, types):
        return value
    if types == _TUPLE_ONLY:
        # Rows of a table, edges of a graph: at C speed.
        cells = list(itertools.chain.from_iterable(value))
        if _is_plain(cells, set(map(type, cells))):
            lowering.is_plain = False
            return {None: [tags.ROWS, list(map(list, value))]}
    return lowering.items(value)


def _dict(lowering: Lowering, value: dict[Any, Any]) -> Any:
    # A map with the single key nil is a tagged value.
    if not set(map(type, value)) <= PLAIN_TYPES or (len(value) == 1 and None in value):
        lowering.is_plain = False
        return {None: [tags.DICT, *lowering.items(flat(value))]}
    if _is_plain(value.values(), set(map(type, value.values()))):
        return value
    return dict(zip(value, lowering.items(value.values()), strict=True))


def _tuple(lowering: Lowering, value: tuple[Any, ...]) -> Any:
    if _is_plain(value, set(map(type, value))):
        return {None: [tags.TUPLE, *value]}
    return lowering.place(value, _tuple_items)


def _tuple_items(lowering: Lowering, value: tuple[Any, ...]) -> Any:
    return {None: [tags.TUPLE, *lowering.items(value)]}


def _set(lowering: Lowering, value: set[Any]) -> Any:
    return {None: [tags.SET, *lowering.items(value)]}


def _frozenset(lowering: Lowering, value: frozenset[Any]) -> Any:
    return {None: [tags.FROZENSET, *lowering.items(value)]}


def _deque(lowering: Lowering, value: collections.deque[Any]) -> Any:
    return {None: [tags.DEQUE, value.maxlen, *lowering.items(value)]}


def _bytearray(lowering: Lowering, value: bytearray) -> Any:
    lowering.expect(len(value))
    # A copy: a buffer that is being sent would keep its owner from resizing it.
    return {None: [tags.BYTEARRAY, lowering.buffer(bytes(value), tags.BULK_LIMIT)]}


def _array_array(lowering: Lowering, value: array.array[Any]) -> Any:
    lowering.expect(len(value) * value.itemsize)
    data = lowering.buffer(value.tobytes(), tags.BULK_LIMIT)
    return {None: [tags.ARRAY, value.typecode, value.itemsize, sys.byteorder, data]}


def _array(lowering: Lowering, value: Any) -> Any:
    """A numpy array: by its buffer, item by item if it holds objects, else as a pickle."""
    owned, shared = lowering.is_owned(value), lowering.is_shared(value)
    lowering.expect(value.nbytes)
    body = arrays.lower_array(value, lowering.buffer, owned=owned, shared=shared)
    if body is not None:
        return {None: body}
    if arrays.holds_objects(value):
        if owned:
            return lowering.lend(value)
        return {None: [tags.OBJECTS, list(value.shape), *lowering.items(arrays.objects(value))]}
    if owned or not registry.is_data(value, lowering.exchange):
        return lowering.lend(value)
    return _pickle(lowering, value)


def _ndarray(lowering: Lowering, value: Any) -> Any:
    """The content of a numpy array that is mirrored: a copy that is nobody else's."""
    return {None: arrays.lower_array(value, lowering.buffer, owned=False, shared=False)}


def _pickle(lowering: Lowering, value: object) -> Any:
    body = [tags.PICKLE]
    # Of a fresh result, too, others may have the memory: a frame made of an array, for one.
    shared = lowering.keeps_results or lowering.is_shared(value)
    lowering.to_pickle.append(Pending(body, value, required=False, content=shared))
    return {None: body}


def _bytes(lowering: Lowering, value: bytes) -> Any:
    data = lowering.buffer(value, tags.BULK_LIMIT)
    if type(data) is bytes:
        return value
    lowering.is_plain = False
    return {None: [tags.BYTES, data]}


def _str(lowering: Lowering, value: str) -> Any:
    if len(value) < tags.BULK_LIMIT:
        return value
    lowering.expect(len(value))
    data = lowering.buffer(value.encode("utf-8", "surrogatepass"), tags.BULK_LIMIT)
    if type(data) is bytes:
        return value
    lowering.is_plain = False
    return {None: [tags.TEXT, data]}


def _zone(lowering: Lowering, value: zoneinfo.ZoneInfo) -> Any:
    if value.key is None:
        # Read from a file, which is on this side.
        return lowering.lend(value)
    return {None: scalars.LOWER[zoneinfo.ZoneInfo](value, lowering.lower)}


def _inout(lowering: Lowering, value: Inout) -> Any:
    raise Refusal(value, "inout() marks a whole argument of a call, not a part of one")


def _exception(lowering: Lowering, value: BaseException) -> Any:
    body = [tags.EXCEPTION]
    lowering.to_lend.append(Pending(body, value, required=True))
    return {None: body}


def _kept(lowering: Lowering, value: Kept) -> Any:
    return lowering.owned(value.value)


def _ref(lowering: Lowering, value: Ref) -> Any:
    handle = lowering.exchange.borrowed(value.value)
    if handle is not None:
        return {None: [tags.THEIRS, handle]}
    # The other side's own class, function or module.
    path = lowering.exchange.name_of(value.value)
    return lowering.lend(value.value) if path is None else {None: [tags.NAMED, path]}


def _large(lowering: Lowering, value: Large) -> Any:
    body = [tags.LARGE, value.preview]
    lowering.to_lend.append(Pending(body, value.value, required=True))
    return {None: body}


def _ship(lowering: Lowering, value: Ship) -> Any:
    if not lowering.exchange.pickle_out:
        raise Refusal(value, "the other side accepts no shipped code; pass the function itself")
    try:
        return {None: [tags.SHIPPED, pickling.dump_code(value.value, lowering.exchange)]}
    except EncodeError as error:
        raise Refusal(value, str(error)) from error


def _scalar(lower: scalars.Lower) -> Callable[[Lowering, Any], Any]:
    """The lowerer of a type of scalars.py."""
    return lambda lowering, value: {None: lower(value, lowering.lower)}


def _contained(content: Callable[[Lowering, Any], Any]) -> Callable[[Lowering, Any], Any]:
    """The lowerer of a mutable container."""
    return lambda lowering, value: lowering.container(value, content)


_LOWERERS: Final[dict[type, Callable[[Lowering, Any], Any]]] = {
    **{kind: _scalar(lower) for kind, lower in scalars.LOWER.items()},
    zoneinfo.ZoneInfo: _zone,
    tuple: _tuple,
    frozenset: lambda lowering, value: lowering.place(value, _frozenset),
    set: _contained(_set),
    collections.deque: _contained(_deque),
    bytearray: _contained(_bytearray),
    array.array: _contained(_array_array),
    Inout: _inout,
    Kept: _kept,
    Large: _large,
    Ref: _ref,
    Ship: _ship,
}

# What stands for the content of a mirrored container.
_CONTENTS: Final[dict[type, Callable[[Lowering, Any], Any]]] = {
    list: _list,
    dict: _dict,
    set: _set,
    bytearray: _bytearray,
    collections.deque: _deque,
    array.array: _array_array,
}
