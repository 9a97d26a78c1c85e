"""The mappings of the standard library beside `dict`, by exact type: how each is written and read.

`OrderedDict`, `defaultdict` and `Counter` are containers as `dict` is: copied as arguments and
written back. A `ChainMap`, a read-only view (`MappingProxyType`) and the views of a dict
(`d.keys()`) show mappings that others have too; as arguments they are copied with these, since
C code knows the views of dicts by their exact types, and as results they stay with the server.
"""

from __future__ import annotations

import collections
import gc
import itertools
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import DecodeError
from . import tags

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["BUILD", "DICTS", "LOWER", "replace", "travels_as_dict", "viewed"]

DICTS: Final[frozenset[type]] = frozenset(
    [dict, collections.OrderedDict, collections.defaultdict, collections.Counter]
)
"""The exact types that hold keys and values as a dict does."""


def replace(container: Any, content: Any) -> None:
    """Give one of `DICTS` a new content, whatever its own `update` means."""
    if type(container) is collections.OrderedDict:
        container.clear()
        container.update(content)
    else:
        dict.clear(container)
        dict.update(container, content)


def viewed(view: MappingProxyType[Any, Any]) -> Any:
    """The mapping that a read-only view shows."""
    return gc.get_referents(view)[0]


def _pairs(lowering: Lowering, value: dict[Any, Any]) -> list[Any]:
    return lowering.items(itertools.chain.from_iterable(value.items()))


def _ordered(lowering: Lowering, value: Any) -> Any:
    return {None: [tags.ORDERED_DICT, *_pairs(lowering, value)]}


def _counter(lowering: Lowering, value: Any) -> Any:
    return {None: [tags.COUNTER, *_pairs(lowering, value)]}


def _default(lowering: Lowering, value: Any) -> Any:
    factory = lowering.items([value.default_factory])
    return {None: [tags.DEFAULT_DICT, *factory, *_pairs(lowering, value)]}


def _chain(lowering: Lowering, value: Any) -> Any:
    return {None: [tags.CHAIN_MAP, *lowering.items(value.maps)]}


def _view(lowering: Lowering, value: MappingProxyType[Any, Any]) -> Any:
    return {None: [tags.MAPPING_PROXY, *lowering.items([viewed(value)])]}


def _dict_view(lowering: Lowering, value: Any) -> Any:
    # The very dict: it may be in the same message, or the receiver's own.
    held = gc.get_referents(value)[0]
    return {None: [tags.VIEW, _VIEWS[type(value)], *lowering.items([held])]}


def _contained(content: Callable[[Lowering, Any], Any]) -> Callable[[Lowering, Any], Any]:
    return lambda lowering, value: lowering.container(value, content)


def _copied(content: Callable[[Lowering, Any], Any]) -> Callable[[Lowering, Any], Any]:
    """The lowerer of what is copied as an argument, and never as a result."""

    def lower(lowering: Lowering, value: Any) -> Any:
        if lowering.keeps_results:
            return lowering.lend(value)
        return lowering.place(value, content)

    return lower


_METHODS: Final = ("keys", "values", "items")
_VIEWS: Final[dict[type, int]] = {
    type(getattr(kind(), name)()): index
    for kind in (dict, collections.OrderedDict)
    for index, name in enumerate(_METHODS)
}

LOWER: Final[dict[type, Callable[[Lowering, Any], Any]]] = {
    collections.OrderedDict: _contained(_ordered),
    collections.defaultdict: _contained(_default),
    collections.Counter: _contained(_counter),
    collections.ChainMap: _copied(_chain),
    MappingProxyType: _copied(_view),
    **dict.fromkeys(_VIEWS, _copied(_dict_view)),
}


def travels_as_dict(kind: type, content: Callable[[Any], dict[Any, Any]]) -> None:
    """Send objects of a class of ours, which shows something as a dict, as a dict of that.

    Args:
        kind: The class.
        content: Gives what an object shows, which the object keeps alive: released handles must
            not be sent.
    """

    def shown(lowering: Lowering, value: Any) -> Any:
        return {None: [tags.SHOWN, *_pairs(lowering, content(value))]}

    LOWER[kind] = lambda lowering, value: lowering.place(value, shown)


def _build_ordered(body: list[Any]) -> object:
    return collections.OrderedDict(zip(body[1::2], body[2::2], strict=True))


def _build_counter(body: list[Any]) -> object:
    made: collections.Counter[Any] = collections.Counter()
    # The counter's own `update` would add up.
    dict.update(made, zip(body[1::2], body[2::2], strict=True))
    return made


def _build_default(body: list[Any]) -> object:
    factory = body[1]
    if factory is not None and not callable(factory):
        raise DecodeError("the factory of a defaultdict is a function, or nothing")
    return collections.defaultdict(factory, zip(body[2::2], body[3::2], strict=True))


def _build_chain(body: list[Any]) -> object:
    return collections.ChainMap(*body[1:])


def _build_view(body: list[Any]) -> object:
    _, shown = body
    return MappingProxyType(shown)


def _build_dict_view(body: list[Any]) -> object:
    _, index, shown = body
    if index not in (0, 1, 2) or not isinstance(shown, dict):
        raise DecodeError("a view is one of the keys, values or items of a dict")
    # Of the builtin: the dict may be of a class that has methods of its own.
    ordered = isinstance(shown, collections.OrderedDict)
    kind = collections.OrderedDict if ordered else dict
    view: object = getattr(kind, _METHODS[index])(shown)
    return view


BUILD: Final[dict[int, Callable[[list[Any]], object]]] = {
    tags.ORDERED_DICT: _build_ordered,
    tags.DEFAULT_DICT: _build_default,
    tags.COUNTER: _build_counter,
    tags.CHAIN_MAP: _build_chain,
    tags.MAPPING_PROXY: _build_view,
    tags.VIEW: _build_dict_view,
}
