"""How items that were not used come first again: an iterator is set back, or replaced.

Nothing but the table of handles refers to an iterator that has run ahead by proof. So another
object of the same class that stands where it stood cannot be told from it. Where there is no
such object, `itertools.chain` takes its place, and a generator that of a generator.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, Final, NamedTuple

__all__ = ["COUNTED", "RESUMED", "Kept", "Rest", "Return", "rest_of", "return_of"]


class Kept(NamedTuple):
    """What is kept of an iterator, and was not used.

    Attributes:
        items: Its items.
        failure: What it has raised behind them.
        ends: What it gave with its end, if that was seen.
        forgets_sent: Whether it makes nothing of what it is sent.
    """

    items: list[Any]
    failure: BaseException | None = None
    ends: tuple[Any, ...] = ()
    forgets_sent: bool = True


class Rest(deque[Any]):
    """The items that a generator gives before those of its iterator.

    Args:
        iterator: That iterator.
        kept: The items, and what comes behind them.

    Attributes:
        iterator: That iterator.
        kept: What comes behind the items.
        me: A weak reference to the generator.
    """

    __slots__ = ("iterator", "kept", "me")

    def __init__(self, iterator: Any, kept: Kept) -> None:
        super().__init__(kept.items)
        self.iterator = iterator
        self.kept = kept._replace(items=[])
        self.me: weakref.ref[Any] | None = None


class Return(NamedTuple):
    """How an iterator returns to where it was: what can be done again, after an interrupt.

    Attributes:
        stands: What stands for it from then on.
        indices: Iterators that are set to an index.
        rest: Gets items in front again, if it has had some before.
        items: All that it has then.
    """

    stands: Any
    indices: tuple[tuple[Any, int], ...] = ()
    rest: Rest | None = None
    items: tuple[Any, ...] = ()

    def set(self) -> None:
        """Set the iterators."""
        for iterator, index in self.indices:
            iterator.__setstate__(index)
        if self.rest is not None:
            self.rest.clear()
            self.rest.extend(self.items)


def _index_of(iterator: Any) -> int | None:
    """Where an iterator stands; None if it is past its end, or does not tell."""
    state = iterator.__reduce__()
    return state[2] if len(state) == 3 and type(state[2]) is int else None


def _direction(make: Callable[[], Any]) -> int:
    """How the index of an iterator changes with each item; 0 if it cannot be set back.

    Tried, since Pythons differ: the iterator over a range has no index from 3.12 on.
    """
    iterator = make()
    first = _index_of(iterator)
    item = next(iterator)
    second = _index_of(iterator)
    if first is None or second is None:
        return 0
    iterator.__setstate__(first)
    return second - first if next(iterator) == item and _index_of(iterator) == second else 0


_MAKERS: Final[list[Callable[[], Any]]] = [
    lambda: iter(range(3)),
    lambda: iter(range(2**70, 2**70 + 3)),
    lambda: iter([1, 2, 3]),
    lambda: iter((1, 2, 3)),
    lambda: iter("123"),
    lambda: iter("äöü"),
    lambda: iter(b"123"),
    lambda: reversed([1, 2, 3]),
    lambda: reversed((1, 2, 3)),
]
_DIRECTIONS: Final[dict[type, int]] = {
    type(make()): direction for make in _MAKERS if (direction := _direction(make))
}
COUNTED: Final = _DIRECTIONS.keys()
"""Iterators that can be set back until they have been at their end, and know what is left."""


def return_of(iterator: Any, kept: Kept, *, has_ended: bool, has_begun: bool) -> Return:
    """How an iterator is to give again what was kept of it.

    Args:
        iterator: It.
        kept: What is kept.
        has_ended: Whether it has been at its end.
        has_begun: Whether others of its items were used.
    """
    if kept.failure is None and not kept.ends:
        # By the user's word others may have it, or one that it goes through.
        if kept.forgets_sent or type(iterator) in COUNTED:
            found = _set_back(iterator, len(kept.items), has_ended=has_ended)
            if found is not None:
                return found
        rest = rest_of(iterator)
        if rest is not None and not has_ended:
            return Return(iterator, rest=rest, items=(*kept.items, *rest))
    return Return(_in_front(iterator, kept, has_begun=has_begun))


def _set_back(iterator: Any, count: int, *, has_ended: bool) -> Return | None:
    """Set it back exactly, if that is possible."""
    kind = type(iterator)
    if kind in _DIRECTIONS:
        index = _index_of(iterator)
        if index is None:
            return None
        return Return(iterator, ((iterator, index - count * _DIRECTIONS[kind]),))
    if kind is enumerate and not has_ended:
        inner, number = iterator.__reduce__()[1]
        found = _set_back(inner, count, has_ended=False)
        if found is not None and found.stands is inner:
            return Return(enumerate(inner, number - count), found.indices)
    # At its end `zip` has taken more of some of its iterators than of others.
    if (kind is zip or kind is map) and not has_ended:
        parts = gc.get_referents(iterator)[0]
        steps = [_set_back(part, count, has_ended=False) for part in parts]
        if len({*map(id, parts)}) == len(parts) and all(
            step is not None and step.stands is part
            for part, step in zip(parts, steps, strict=True)
        ):
            return Return(iterator, tuple(pair for step in steps if step for pair in step.indices))
    return None


def _in_front(iterator: Any, kept: Kept, *, has_begun: bool) -> Any:
    """What gives the items that are kept, and then goes on as an iterator."""
    # By proof alone, where it happens once: chains of chains would become ever longer.
    if type(iterator) is not GeneratorType and kept.failure is None and kept.forgets_sent:
        return itertools.chain(kept.items, iterator)
    rest = Rest(iterator, kept)
    made: Any = _resumed(rest, has_begun=has_begun)
    if type(iterator) is GeneratorType:
        made.__name__, made.__qualname__ = iterator.__name__, iterator.__qualname__
    if has_begun:
        # To its first `yield`, as one that has begun: it may be sent something.
        next(made)
    # With a callback: such a reference is not shared with others who make one.
    rest.me = weakref.ref(made, _ignore)
    return made


def _ignore(_: object) -> None:
    """It is gone."""


def rest_of(iterator: Any) -> Rest | None:
    """What is left to give first, of a generator that gives it; None of any other iterator."""
    if type(iterator) is GeneratorType and iterator.gi_code is RESUMED:
        return next((part for part in gc.get_referents(iterator) if type(part) is Rest), None)
    return None


def _resumed(rest: Rest, *, has_begun: bool) -> Generator[Any, Any, Any]:
    """Takes the place of a generator: first the items that were not used, then its own.

    No `yield from`: if this is dropped, the generator is not to be closed. Somebody may have it.

    Args:
        rest: The items, which may become more again.
        has_begun: Whether its first `next()` gets it only to where it may be sent something.
    """
    item: Any = None
    is_first = has_begun
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        if not is_first:
            try:
                item = _next_of(rest, sent, thrown)
            except StopIteration as end:
                return rest.kept.ends[0] if rest.kept.ends else end.value
        is_first, thrown = False, None
        try:
            sent = yield item
        except GeneratorExit:
            if rest.me is not None and rest.me() is not None and hasattr(rest.iterator, "close"):
                rest.iterator.close()
            raise
        except BaseException as error:
            thrown = error


def _next_of(rest: Rest, sent: Any, thrown: BaseException | None) -> Any:
    """The next item; what is sent or thrown reaches the generator where no item is left."""
    if rest:
        if thrown is not None:
            raise thrown
        if sent is not None and not rest.kept.forgets_sent:
            raise RuntimeError(
                "what is sent to this generator comes too late: it has run ahead of the items that"
                " were used of it; read it without wsremote.ahead"
            )
        return rest.popleft()
    failure = rest.kept.failure
    if failure is not None:
        rest.kept = rest.kept._replace(failure=None)
        raise failure
    if thrown is not None:
        if not hasattr(rest.iterator, "throw"):
            raise thrown
        return rest.iterator.throw(thrown)
    return next(rest.iterator) if sent is None else rest.iterator.send(sent)


RESUMED: Final = _resumed.__code__
"""The code of such generators."""
