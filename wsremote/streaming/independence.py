"""The proof that nobody can see when an iterator runs.

Only such an iterator may run ahead of who reads it. Two things must hold. Nothing else can
reach it, or what it reads: the reference counts tell. And what it does until its next item
is bounded and touches nothing but immutable builtins, which its items are as well: of iterators
in C the table below knows that, of a generator its bytecode shows it.

A generator passes if all of its code that can still run is made of locals, constants,
arithmetic, comparisons, jumps, tuples, loops and a few pure builtins; if its locals are
exact scalars, strings, or tuples and ranges of those; if it makes nothing of what `send()`
gives; if no exception handler is around it; and if each loop comes past a `yield` each time
around, since an item that takes for ever must not hold up those before it.

What is not known here has no proof: the answer is None, and never a guess.
"""

from __future__ import annotations

import builtins
import gc
import itertools
import sys
import weakref
from collections.abc import Callable, Collection, Iterable
from sys import getrefcount
from types import CodeType, FrameType, FunctionType, GeneratorType, NoneType
from typing import Any, Final, NamedTuple

from .bytecode import facts_of
from .returning import RESUMED, rest_of

__all__ = ["CONSTANTS", "IN_C", "PROVABLE", "Pace", "is_constant", "is_small", "pace_of"]

CONSTANTS: Final[frozenset[type]] = frozenset([NoneType, bool, int, float, complex, str, bytes])
"""Exact types of values without parts, which nothing can change."""

_NUMBERS: Final[frozenset[type]] = frozenset([NoneType, bool, int, float, complex])

# What the same code sees of an object that one slot of a list refers to.
_ONE_SLOT: Final[int] = next(map(getrefcount, [[]]))

_DEEPEST: Final = 3
_LONGEST: Final = 1000
"""Elements of a tuple that are looked at one by one."""

_MOST_ROWS: Final = 10_000
"""The same of a container whose elements are no scalars, half a microsecond each."""

_LARGE: Final = 64
"""Length of a string or a tuple from which on one that grows is looked at after each item."""

_FAST: Final = 128
"""Items that are made before anybody looks at the clock, where each costs about the same."""

_GROWING: Final = 8
"""The same where each item may be twice as large as the one before."""


class Pace(NamedTuple):
    """How an iterator may run ahead.

    Attributes:
        most: Items to make between two looks at the clock.
        grows: Whether its values may grow: no more than one at a time, once they are large.
        gives: Whether it may give something with its end.
    """

    most: int
    grows: bool = False
    gives: bool = False


_STEADY: Final = Pace(_FAST)

# Without it, reference counts tell nothing.
_has_gil: Final[Callable[[], bool]] = getattr(sys, "_is_gil_enabled", lambda: True)


def _kinds(*examples: Any) -> frozenset[type]:
    return frozenset(map(type, examples))


_OF_CONSTANTS: Final = _kinds(iter(range(0)), iter(range(2**70)), iter(""), iter("é"), iter(b""))
_NUMERIC: Final = _kinds(iter(range(0)), iter(range(2**70))) | {itertools.count}
_OF_TUPLES: Final = _kinds(iter(()))
_OF_CONTAINERS: Final = _kinds(
    *(iter([]), reversed([]), iter(set())),
    *(iter({}), iter({}.values()), iter({}.items())),
    *(reversed({}), reversed({}.values()), reversed({}.items())),
)  # fmt: skip
_OF_POOLS: Final[frozenset[type]] = frozenset(
    [
        *(itertools.permutations, itertools.combinations, itertools.product, itertools.repeat),
        itertools.combinations_with_replacement,
    ]
)
_OF_ONE: Final[frozenset[type]] = frozenset([enumerate, itertools.islice])
_SEQUENCES: Final[frozenset[type]] = frozenset([tuple, str, bytes])
IN_C: Final[frozenset[type]] = (
    _OF_CONSTANTS | _OF_TUPLES | _OF_CONTAINERS | _OF_POOLS | _OF_ONE
    | {zip, map, reversed, itertools.count}
)  # fmt: skip
"""Iterators in C of which there can be a proof. They give nothing with the end."""

_ITERATORS: Final[frozenset[type]] = IN_C | {GeneratorType}
_PURE: Final[frozenset[Any]] = frozenset([abs, bool, chr, float, hex, int, len, oct, ord, str])

PROVABLE: Final[frozenset[str]] = frozenset(
    f"{kind.__module__}:{kind.__qualname__}" for kind in _ITERATORS
)
"""The classes of iterators of which there can be a proof, by the paths they have on the wire."""


def is_constant(value: object, depth: int = 0) -> bool:
    """Whether nothing can change a value: a scalar, a string, or a tuple or range of such."""
    kind = type(value)
    if kind in CONSTANTS or kind is range:
        return True
    if kind is not tuple or depth == _DEEPEST or len(value) > _LONGEST:  # type: ignore[arg-type]
        return False
    return all(is_constant(part, depth + 1) for part in value)  # type: ignore[attr-defined]


def pace_of(holder: list[Any], elsewhere: int = 0, checked: set[int] | None = None) -> Pace | None:
    """How an iterator may run ahead; None if there is no proof that it may.

    Args:
        holder: A list with the iterator, which no local variable of a caller may name.
        elsewhere: References to it besides that are known, and do not use it.
        checked: Ids of the containers that it goes through and that an earlier proof has looked
            through; takes more of them.
    """
    if not _has_gil() or next(map(getrefcount, holder)) != _ONE_SLOT + elsewhere:
        return None
    return _pace(holder[0], set() if checked is None else checked)


def is_small(value: Any) -> bool:
    """Whether a value, or all that a generator goes on with, is of ordinary size."""
    kind = type(value)
    if kind is int:
        return bool(-(2**63) < value < 2**63)
    if kind is str or kind is bytes:
        return len(value) < _LARGE
    if kind is tuple:
        return len(value) < _LARGE and all(map(is_small, value))
    return kind not in _ITERATORS or all(map(is_small, gc.get_referents(value)))


def _pace(iterator: Any, checked: set[int]) -> Pace | None:
    """The pace of an iterator that nothing else can reach."""
    kind = type(iterator)
    if kind is GeneratorType:
        return _pace_of_generator(iterator, checked)
    if kind not in IN_C:
        return None
    if kind in _OF_CONSTANTS:
        return _STEADY
    # From Python 3.12 on those of itertools refer to their class.
    parts = [part for part in gc.get_referents(iterator) if part is not kind]
    if kind in _OF_CONTAINERS:
        return _STEADY if _is_of_own_container(parts, checked) else None
    if kind in _OF_TUPLES or kind in _OF_POOLS or kind is reversed:
        is_known = kind is not reversed or all(type(part) in _SEQUENCES for part in parts)
        return _STEADY if is_known and all(map(is_constant, parts)) else None
    if kind is itertools.count:
        return _STEADY if all(type(part) in _NUMBERS for part in parts) else None
    if kind in _OF_ONE:
        # Beside the iterator itself: the number, and the tuple that is used again.
        inner = [part for part in parts if type(part) not in (int, tuple)]
        del parts
        return _slowest(inner, checked)
    # `zip` and `map` have a tuple of iterators first.
    if not parts or type(parts[0]) is not tuple or next(map(getrefcount, parts)) != _ONE_SLOT + 1:
        return None
    if kind is map and not any(parts[-1] is function for function in _PURE):
        return None
    return _slowest(list(parts[0]), checked)


def _is_of_own_container(parts: list[Any], checked: set[int]) -> bool:
    """Whether nothing but an iterator refers to the container of constants that it goes through.

    Args:
        parts: What the iterator refers to.
        checked: As `pace_of`.
    """
    counts = list(map(getrefcount, parts))
    for part, count in zip(parts, counts, strict=True):
        if type(part) is tuple:
            continue  # what the iterator over items of a dict uses again
        if not isinstance(part, (list, dict, set, frozenset)) or count != _ONE_SLOT + 1:
            return False
        if type(part).__weakrefoffset__ and weakref.getweakrefcount(part):
            return False
        if id(part) not in checked:
            if not _are_constant(part) or (
                isinstance(part, dict) and not _are_constant(part.values())
            ):
                return False
            checked.add(id(part))
    return True


def _are_constant(values: Collection[Any]) -> bool:
    """Whether all of these are constants: scalars at the speed of C, rows of them if few."""
    if CONSTANTS.issuperset(map(type, values)):
        return True
    return len(values) <= _MOST_ROWS and all(map(is_constant, values))


def _slowest(iterators: list[Any], checked: set[int]) -> Pace | None:
    """The pace of what goes through several iterators.

    Args:
        iterators: Each as often as that refers to it; nothing else may, but this list.
        checked: As `pace_of`.
    """
    counts = list(map(getrefcount, iterators))
    found = _STEADY
    for index, count in enumerate(counts):
        times = sum(other is iterators[index] for other in iterators)
        if type(iterators[index]) not in _ITERATORS or count != _ONE_SLOT - 1 + 2 * times:
            return None
        pace = _pace(iterators[index], checked)
        if pace is None:
            return None
        found = Pace(min(found.most, pace.most), found.grows or pace.grows)
    return found


# ---- generators ----------------------------------------------------------------------


def _frame_of(generator: Any) -> tuple[FrameType | None, int]:
    """The frame of a generator, and how many references there are to it."""
    frame = generator.gi_frame
    return frame, getrefcount(frame)


_ALONE: Final = _frame_of((lambda: (yield))())[1]


def _pace_of_resumed(generator: Any, checked: set[int]) -> Pace | None:
    """The pace of one that gives items first which were given back, and then those of another."""
    rest = rest_of(generator)
    if rest is None or not rest.kept.forgets_sent or weakref.getweakrefcount(generator) != 1:
        return None
    inner = [rest.iterator]
    if rest.kept.failure is not None or next(map(getrefcount, inner)) != _ONE_SLOT + 1:
        return None
    pace = _pace(inner[0], checked)
    return None if pace is None else pace._replace(gives=True)


def _pace_of_generator(generator: Any, checked: set[int]) -> Pace | None:
    if not generator.gi_running and generator.gi_code is RESUMED:
        return _pace_of_resumed(generator, checked)
    if generator.gi_running or weakref.getweakrefcount(generator):
        return None
    frame, references = _frame_of(generator)
    if frame is None:
        return _STEADY  # it has ended
    facts = facts_of(frame.f_code, frame.f_lasti)
    if facts is None or frame.f_trace is not None or references != _ALONE:
        return None
    if not _are_builtins(facts.names, frame):
        return None
    kinds = _kinds_of_locals(frame)
    if kinds is None:
        return None
    others = _others_in(generator, frame.f_code)
    numeric = kinds | facts.constants <= _NUMBERS and not facts.names
    numeric = numeric and _NUMERIC.issuperset(map(type, others))
    found = _slowest(others, checked)
    if found is None:
        return None
    if facts.formats and not numeric:
        return None
    growths = facts.products if numeric else facts.growths
    most = max(1, min(found.most, _GROWING // growths if growths else _FAST))
    return Pace(most, growths > 0 or found.grows, facts.gives)


def _are_builtins(names: Iterable[str], frame: FrameType) -> bool:
    """Whether these names are those of Python's own functions in a frame."""
    scope, found = frame.f_globals, frame.f_builtins
    return all(
        name not in scope and found.get(name) is getattr(builtins, name, None) for name in names
    )


def _kinds_of_locals(frame: FrameType) -> set[type] | None:
    """The types of the local variables, which are all constants; None if they are not.

    The first of a generator expression is its iterator, which no other code can name.
    """
    held = frame.f_locals
    try:
        kinds = set()
        for name, value in held.items():
            if name == ".0":
                continue
            if not is_constant(value):
                return None
            kinds.add(type(value))
        return kinds
    finally:
        if type(held) is dict:
            held.clear()  # a snapshot, until Python 3.12: it would go on referring to them


def _others_in(generator: Any, code: CodeType) -> list[Any]:
    """What a generator refers to, as often as it does, but for constants and parts of its frame.

    That should be the iterators that its loops go through, and nothing else.
    """
    found: list[Any] = []
    functions = 0
    for part in gc.get_referents(generator):
        kind = type(part)
        functions += kind is FunctionType
        is_of_frame = kind is FrameType or part is code or (kind is FunctionType and functions == 1)
        # The snapshot of its locals, which was emptied; a set that is a constant of the code.
        is_of_frame = is_of_frame or (kind is dict and not part) or kind is frozenset
        if not is_of_frame and not is_constant(part):
            found.append(part)
    del part
    return found
