"""Which iterators may run ahead: each case that may not is a way in which somebody would see it."""

from __future__ import annotations

import builtins
import gc
import io
import itertools
import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from wsremote.streaming import independence
from wsremote.streaming.independence import is_constant, is_small, pace_of

SHARED = [1, 2, 3]
FACTOR = 2


def may_run(make: Callable[[], Any], steps: int = 0) -> bool:
    """Whether what is made may run ahead, after so many items."""
    holder = [make()]
    for _ in range(steps):
        next(holder[0])
    return pace_of(holder) is not None


# ---- iterators in C ------------------------------------------------------------------

UNSEEN: dict[str, Callable[[], Any]] = {
    "range": lambda: iter(range(9)),
    "long range": lambda: iter(range(2**80)),
    "text": lambda: iter("text"),
    "wide text": lambda: iter("täxt"),
    "bytes": lambda: iter(b"data"),
    "tuple": lambda: iter((1, "a", None, (2, 3))),
    "own list": lambda: iter([1, 2, 3]),
    "own list backwards": lambda: reversed([1, 2, 3]),
    "own set": lambda: iter({1, 2}),
    "own dict": lambda: iter({1: 2}),
    "values": lambda: iter({1: 2}.values()),
    "items": lambda: iter({1: 2, 3: 4}.items()),
    "reversed": lambda: reversed((1, 2)),
    "enumerate": lambda: enumerate(iter([1, 2]), 5),
    "zip": lambda: zip(range(3), "abc", [1, 2, 3], strict=True),
    "the same twice in zip": lambda: zip(*[iter([1, 2, 3, 4])] * 2, strict=True),
    "map": lambda: map(str, range(3)),
    "count": lambda: itertools.count(3, 2),
    "repeat": lambda: itertools.repeat("x"),
    "slice": lambda: itertools.islice(itertools.count(), 2, 8, 2),
    "permutations": lambda: itertools.permutations("abc"),
    "product": lambda: itertools.product("ab", range(2)),
    "combinations": lambda: itertools.combinations([1, 2, 3], 2),
    "enumerate over zip": lambda: enumerate(zip(range(3), [1, 2, 3], strict=True)),
}


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_goes_through_constants_alone_may_run_ahead(name: str, steps: int) -> None:
    """New, and when it stands at its second item."""
    assert may_run(UNSEEN[name], steps)


class OwnText(str):
    """A class of its own may do anything."""

    __slots__ = ()


class Own:
    """An iterator and an iterable of a class of its own."""

    def __iter__(self) -> Own:
        return self

    def __next__(self) -> int:
        return 1

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        return index


SEEN: dict[str, Callable[[], Any]] = {
    "a list that others have": lambda: iter(SHARED),
    "backwards through it": lambda: reversed(SHARED),
    "enumerate over it": lambda: enumerate(SHARED),
    "zip over it": lambda: zip(range(3), SHARED, strict=True),
    "a list of lists": lambda: iter([[1], [2]]),
    "a tuple of objects": lambda: iter((object(), object())),
    "a dict of objects": lambda: iter({1: object()}),
    "a class of its own": Own,
    "a sequence of its own": lambda: reversed(Own()),
    "the same in zip": lambda: zip(Own(), range(3), strict=False),
    "items of a class of its own": lambda: iter([OwnText("x")]),
    "a function of the user's": lambda: map(may_run, range(3)),
    "a function that prints": lambda: map(print, range(3)),
    "a search": lambda: filter(None, range(10**9)),
    "a search in itertools": lambda: itertools.dropwhile(bool, range(10**9)),
    "a group": lambda: itertools.groupby([1, 1, 2]),
    "two that share one": lambda: itertools.tee(iter([1, 2, 3]))[0],
    "repeated calls": lambda: iter(lambda: 1, 2),
    "a file": lambda: io.StringIO("text"),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_anybody_could_see_has_no_proof(name: str) -> None:
    """One such part is enough, however deep."""
    assert not may_run(SEEN[name])


def test_a_second_reference_takes_the_proof_away() -> None:
    """Whoever has it could look how far it is; also at one below it, or at its container."""
    holder = [enumerate(iter([1, 2, 3]))]
    assert pace_of(holder)
    assert not pace_of(holder, 1)
    another = holder[0]
    assert not pace_of(holder)
    assert pace_of(holder, 1)
    del another
    inner = gc.get_referents(holder[0])
    assert not pace_of(holder)
    del inner
    assert pace_of(holder)
    kept: list[Any] = [[1, 2]]
    assert not may_run(lambda: iter(kept[0]))
    container = {1, 2, 3}
    reference = weakref.ref(container)
    over = [iter(container)]
    del container
    assert not pace_of(over)
    assert reference() is not None


def test_a_weak_reference_to_a_generator_takes_the_proof_away() -> None:
    """It leads to the generator as well as another would."""
    holder = [ints(3)]
    reference = weakref.ref(holder[0])
    assert not pace_of(holder)
    del reference
    assert pace_of(holder)


def test_a_container_is_looked_through_once() -> None:
    """Its id is noted; nothing else can change it, or that would be seen."""
    checked: set[int] = set()
    holder = [iter([1, 2, 3])]
    assert pace_of(holder, 0, checked)
    assert len(checked) == 1
    assert pace_of(holder, 0, checked)


# ---- generators ----------------------------------------------------------------------


def ints(count: int) -> Iterator[int]:
    for number in range(count):  # noqa: UP028
        yield number


def fibonacci() -> Iterator[int]:
    first, second = 0, 1
    while True:
        yield first
        first, second = second, first + second


def labels(count: int) -> Iterator[str]:
    for number, letter in enumerate("abc" * count):
        yield f"{letter}{number}" + str(number)


def pairs(count: int) -> Iterator[tuple[int, int]]:
    for first, second in zip(range(count), range(count, 0, -1)):  # noqa: B905
        yield first // 2 if first > 3 else -first, max(first, second) & 5


def delegating() -> Iterator[int]:
    yield from range(3)
    yield from (7, 8)


def three() -> Iterator[int]:
    yield 1
    yield 2
    yield 3


def collatz(number: int) -> Iterator[int]:
    while number != 1:
        yield number
        number = 3 * number + 1 if number % 2 else number // 2
    yield 1


GOOD: dict[str, Callable[[], Generator[Any, None, None]]] = {
    "ints": lambda: ints(5),  # type: ignore[dict-item]
    "fibonacci": fibonacci,  # type: ignore[dict-item]
    "labels": lambda: labels(3),  # type: ignore[dict-item]
    "pairs": lambda: pairs(5),  # type: ignore[dict-item]
    "three": three,  # type: ignore[dict-item]
    "collatz": lambda: collatz(27),  # type: ignore[dict-item]
    "expression": lambda: (number * number for number in range(5)),
    "expression over own list": lambda: (number + 1 for number in [1, 2, 3]),
    "expression over zip": lambda: (a + b for a, b in zip("ab", "cd", strict=True)),
}


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("name", GOOD)
def test_generators_of_constants_may_run_ahead(name: str, steps: int) -> None:
    """New, and wherever they stand."""
    assert may_run(GOOD[name], steps)


def test_a_generator_that_has_ended_may() -> None:
    """There is nothing left to run."""
    assert may_run(lambda: iter(ints(2)), 0)
    generator = ints(0)
    assert list(generator) == []
    holder = [generator]
    del generator
    assert pace_of(holder)


def reads_a_global() -> Iterator[int]:
    for number in range(3):
        yield number * FACTOR


def reads_a_list() -> Iterator[int]:
    for number in range(3):
        yield SHARED[number]


def changes_a_global() -> Iterator[int]:
    global FACTOR
    for number in range(3):
        FACTOR = 2
        yield number


def takes_what_is_sent() -> Iterator[int]:
    for number in range(3):
        got = yield number
        yield got  # type: ignore[misc]


def notes_what_is_sent() -> Iterator[int]:
    got = 0
    while True:
        got = (yield 1) or got  # type: ignore[misc]


def prints() -> Iterator[int]:
    for number in range(3):
        print(number)
        yield number


def calls_at_its_end() -> Iterator[int]:
    yield 1
    sys.gettotalrefcount()  # type: ignore[attr-defined]


def cleans_up() -> Iterator[int]:
    try:
        yield 1
        yield 2
    finally:
        SHARED.append(4)


def catches() -> Iterator[int]:
    for number in range(3):
        try:
            yield number
        except ValueError:
            yield -1


def with_a_context() -> Iterator[int]:
    with open("/dev/null"):
        yield 1
        yield 2


def searches() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        if number % 3 == 0:
            yield number


def nested() -> Iterator[int]:
    for _ in range(10**9):
        for number in range(0):
            yield number + 1


def explodes(number: int) -> Iterator[int]:
    while True:
        yield number
        number = number**number


def shifts(number: int) -> Iterator[int]:
    while True:
        yield number
        number = 1 << number


def adds_up() -> Iterator[int]:
    yield 1
    yield max(range(10**9))


def looks_for() -> Iterator[bool]:
    numbers = range(10**9)
    for text in ("a", "b"):
        yield text in numbers


def formats(width: str) -> Iterator[str]:
    while True:
        yield width % 1


def pads(width: int) -> Iterator[str]:
    while True:
        yield f"{1:{width}}"


def decodes() -> Iterator[str]:
    for data in (b"a", b"b"):
        yield str(data, "a codec of the user's")


def keeps_an_iterator() -> Iterator[Any]:
    numbers = enumerate(range(5))
    for each in numbers:
        yield numbers
        yield each


def yields_a_list() -> Iterator[list[int]]:
    while True:
        yield [1]


def has_an_attribute(thing: Any) -> Iterator[Any]:
    while True:
        yield thing.real


def over_an_argument(numbers: Any) -> Iterator[Any]:
    for number in numbers:  # noqa: UP028
        yield number


def calls_an_argument(function: Any) -> Iterator[Any]:
    while True:
        yield function(1)


def closure() -> Iterator[int]:
    start = 0

    def raised() -> Iterator[int]:
        while True:
            yield start

    made = raised()
    start = 5
    return made


def imports() -> Iterator[int]:
    yield 1
    import json

    yield len(json.__name__)


def deletes() -> Iterator[int]:
    held = [1]
    yield 1
    del held
    yield 2


async def asynchronous() -> Any:
    yield 1


BAD: dict[str, Callable[[], Any]] = {
    "yield from, which hands on what is sent": delegating,
    "a global": reads_a_global,
    "a list of the module": reads_a_list,
    "a global that it sets": changes_a_global,
    "what is sent": takes_what_is_sent,
    "what is sent, in an expression": notes_what_is_sent,
    "prints": prints,
    "a call behind its last item": calls_at_its_end,
    "finally": cleans_up,
    "except": catches,
    "with": with_a_context,
    "a search without end": searches,
    "an inner loop that may be empty": nested,
    "powers": lambda: explodes(3),
    "shifts": lambda: shifts(3),
    "a maximum of many": adds_up,
    "a search in a range": looks_for,
    "formatting": lambda: formats("%9d"),
    "a width": lambda: pads(3),
    "a codec": decodes,
    "an iterator that it gives away": keeps_an_iterator,
    "a list": yields_a_list,
    "an attribute": lambda: has_an_attribute(1),
    "a list as argument": lambda: over_an_argument([1, 2]),
    "an iterator as argument": lambda: over_an_argument(iter([1, 2])),
    "an own object as argument": lambda: over_an_argument(Own()),
    "a function as argument": lambda: calls_an_argument(abs),
    "a closure": closure,
    "an import": imports,
    "a list that it drops": deletes,
    "a list of others in an expression": lambda: (number for number in SHARED),
    "an own class in an expression": lambda: (number for number in Own()),
    "objects in an expression": lambda: (each for each in [OwnText("a"), OwnText("b")]),
    "a condition": lambda: (number for number in range(10**9) if number < 0),
    "an async generator": asynchronous,
}


@pytest.mark.parametrize("name", BAD)
def test_generators_that_somebody_could_see_have_no_proof(name: str) -> None:
    """Each of these, run ahead, could be told from one that is not."""
    assert not may_run(BAD[name])


@pytest.mark.parametrize("name", [name for name in BAD if name != "an async generator"])
def test_nor_have_they_one_half_way(name: str) -> None:
    """What has run already is no reason: what is left must be harmless too."""
    if name in ("a condition", "what is sent, in an expression", "a call behind its last item"):
        pytest.skip("its next item takes for ever, or ends it")
    holder = [BAD[name]()]
    if name == "a list of others in an expression":
        next(holder[0])
    assert not pace_of(holder)


def test_code_that_has_run_does_not_count() -> None:
    """A generator whose harmful part is behind it; and one that stands in the middle of it."""

    def prints_first() -> Iterator[int]:
        len(SHARED)
        yield 1
        yield 2

    assert not may_run(prints_first)
    assert may_run(prints_first, 1)

    def asks() -> Iterator[Any]:
        got = yield 1
        yield got

    holder = [asks()]
    next(holder[0])
    assert not pace_of(holder), "what is sent now would be used"


def test_a_function_that_waits_to_be_called_is_seen() -> None:
    """It is on the stack of the generator, where no instruction names it any more."""
    called: list[Any] = []

    def waits(function: Any) -> Iterator[Any]:
        function((yield 1))

    holder = [waits(called.append)]
    next(holder[0])
    assert not pace_of(holder)


def test_a_builtin_that_is_hidden_is_none() -> None:
    """A module may have a `range` of its own."""
    scope: dict[str, Any] = {}
    exec("def own():\n for n in range(3):\n  yield n\n", scope)
    assert may_run(scope["own"])
    scope["range"] = lambda count: SHARED
    assert not may_run(scope["own"])
    del scope["range"]
    scope["__builtins__"] = {**vars(builtins), "range": lambda count: SHARED}
    exec("def other():\n for n in range(3):\n  yield n\n", scope)
    assert not may_run(scope["other"])


def test_who_has_the_frame_sees_the_generator() -> None:
    """A frame that somebody holds shows the line it stands at."""
    holder = [ints(3)]
    frame = holder[0].gi_frame  # type: ignore[attr-defined]
    assert not pace_of(holder)
    del frame
    assert pace_of(holder)


def test_the_proof_leaves_no_trace() -> None:
    """It holds nothing of the generator, and does not change how that goes on."""
    holder = [(number for number in [1, 2, 3])]
    before = sys.getrefcount(holder[0])
    for _ in range(5):
        assert pace_of(holder)
    after = sys.getrefcount(holder[0])
    assert after == before
    assert next(holder[0]) == 1
    assert pace_of(holder)
    assert list(holder[0]) == [2, 3]


def test_how_many_at_a_time() -> None:
    """Where values may double each time, few, and one by one once they are large."""
    steady, growing = [ints(3)], [GOOD["expression"]()]
    assert pace_of(steady) == (128, False, False)
    pace = pace_of(growing)
    assert pace is not None
    assert pace.grows
    assert pace.most <= 8

    def doubles() -> Iterator[str]:
        text = "x"
        while True:
            yield text
            text += text

    holder = [doubles()]
    next(holder[0])
    assert is_small(holder[0])
    for _ in range(8):
        next(holder[0])
    assert not is_small(holder[0])


def test_constants() -> None:
    """Exact scalars, and tuples and ranges of them, to a depth."""
    assert is_constant((1, "a", (b"", None, (2.5, range(3)))))
    assert not is_constant([1])
    assert not is_constant((1, []))
    assert not is_constant(OwnText("x"))
    assert not is_constant(True.__class__)
    assert not is_constant(((((1,),),),))


def test_without_a_gil_there_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference counts tell nothing there."""
    monkeypatch.setattr(independence, "_has_gil", lambda: False)
    assert not may_run(lambda: iter(range(3)))
