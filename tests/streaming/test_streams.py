"""Both halves of a stream against each other, with no session between them."""

from __future__ import annotations

import contextlib
import copy
import itertools
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsremote.codec.packing import pack
from wsremote.errors import RemoteProtocolError, StaleHandle
from wsremote.protocol.handles import HandleTable
from wsremote.protocol.pulling import AHEAD, ENDED, STEP, Pulled
from wsremote.streaming import producer
from wsremote.streaming.ahead import Ahead, ahead
from wsremote.streaming.consumer import Reader
from wsremote.streaming.independence import pace_of
from wsremote.streaming.producer import Streams


class Line:
    """A reader and the iterator that it reads, by pulls."""

    def __init__(self, make: Callable[[], Any], *, by_word: bool = False) -> None:
        self.handles = HandleTable(threading.RLock())
        self.streams = Streams(self.handles, pack)
        self.handle = self.handles.lend(make())
        if by_word:
            self.streams.allow(self.handle)
        self.reader = Reader(self.handle)
        self.pulls: list[Pulled] = []

    def pull(self) -> list[Any]:
        """One pull, and its answer as it comes over the wire."""
        pulled = self.streams.pull(self.handle, self.reader.request())
        self.pulls.append(pulled)
        return [*pulled[:2], list(pulled.items)]

    def lose(self) -> None:
        """A pull whose answer does not come, unless that is of an iterator without a proof.

        Then it is lost as that of any call is, and the reader would see that.
        """
        may_pull = self.reader.state not in (STEP, ENDED) and not self.reader.items
        if may_pull and pace_of([self.handles.lookup(self.handle)], 1):
            self.pull()

    def next(self) -> Any:
        """As a proxy does it."""
        while True:
            try:
                return self.reader.items.popleft()
            except IndexError:
                pass
            if self.reader.state == ENDED:
                raise StopIteration
            if self.reader.state == STEP:
                return next(self.handles.lookup(self.handle))  # type: ignore[call-overload]
            before, answer = self.reader.items, self.pull()
            if self.reader.stepping(answer):
                return answer[2][0]
            self.reader.take(answer, before)

    def hand_back(self) -> Any:
        """The iterator, for any other use."""
        used = self.reader.give_back()
        if used is not None:
            self.streams.unread(self.handle, used)
            self.reader.given_back()
        return self.handles.lookup(self.handle)

    def rest(self) -> list[Any]:
        """All that is left, as the reader gets it."""
        found = []
        while True:
            try:
                found.append(self.next())
            except StopIteration:
                return found


def ints(count: int) -> Iterator[int]:
    for number in range(count):  # noqa: UP028
        yield number


def test_a_reader_asks_for_more_each_time() -> None:
    """From 1 on, up to 1024; in the end it knows that there is no more."""
    line = Line(lambda: ints(5000))
    assert line.rest() == list(range(5000))
    asked = [len(pulled.items) for pulled in line.pulls]
    assert asked[0] == 1
    assert all(after <= 4 * before for before, after in itertools.pairwise(asked))
    assert max(asked) <= 1024
    assert line.pulls[-1].state == ENDED
    assert line.rest() == []


def test_what_has_no_proof_is_asked_for_one_by_one() -> None:
    """Its first pull says so, and nothing is kept of it."""
    shared = [1, 2, 3]
    line = Line(lambda: iter(shared))
    assert line.next() == 1
    assert line.pulls == [Pulled(STEP, 0, [1])]
    assert len(line.streams) == 0
    shared.append(4)
    assert line.rest() == [2, 3, 4]


def test_a_proof_that_is_lost_half_way_ends_it() -> None:
    """Somebody else has got the iterator: from then on one by one."""
    line = Line(lambda: ints(100))
    assert [line.next() for _ in range(3)] == [0, 1, 2]
    another = line.hand_back()
    assert line.next() == 3
    assert line.reader.state == STEP
    assert next(another) == 4
    assert line.rest() == list(range(5, 100))


def test_few_items_at_a_time_if_they_take_long() -> None:
    """Then a pull asks for no more than what it needs."""
    ran: list[int] = []

    def slow() -> Iterator[int]:
        for number in range(100):
            ran.append(number)
            time.sleep(0.003)
            yield number

    line = Line(slow, by_word=True)
    assert [line.next() for _ in range(3)] == [0, 1, 2]
    assert len(ran) <= 4


def test_few_items_at_a_time_if_they_are_large() -> None:
    """An endless string that doubles costs no more than a few times what its reader has seen."""

    def doubling() -> Iterator[str]:
        text = "x"
        while True:
            yield text
            text += text

    line = Line(doubling)
    for power in range(22):
        assert len(line.next()) == 2**power
    assert sum(map(len, line.reader.items)) <= 2**22
    stream = line.streams._streams[line.handle]
    assert sum(map(len, stream.kept)) <= 2**23
    big = Line(lambda: iter(["x" * 40_000] * 1000))
    assert len(big.rest()) == 1000
    assert max(len(pulled.items) for pulled in big.pulls) <= 3


def test_what_grows_unseen_is_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of which only the generator knows: the clock is looked at after each step."""
    looks = 0

    def look() -> float:
        nonlocal looks
        looks += 1
        return 0.0

    def hiding() -> Iterator[int]:
        number, place = 3, 0
        while True:
            yield place
            number = number * number
            place = place + 1

    monkeypatch.setattr(producer, "time", types.SimpleNamespace(perf_counter=look))
    line = Line(hiding)
    assert len(line.streams.pull(line.handle, (8, 0)).items) == 8
    looks = 0
    assert len(line.streams.pull(line.handle, (8, 8)).items) == 8
    assert looks >= 8


def test_an_exception_comes_behind_the_items_before_it() -> None:
    """It is kept until they are used; then the generator has ended, as at home."""

    def fails() -> Iterator[float]:
        for number in (4, 3, 2, 1, 0, 5):
            yield 12 / number

    line = Line(fails)
    assert [line.next() for _ in range(4)] == [3.0, 4.0, 6.0, 12.0]
    with pytest.raises(ZeroDivisionError):
        line.next()
    assert line.rest() == []


@pytest.mark.parametrize("by_word", [False, True])
def test_what_comes_with_the_end(by_word: bool) -> None:
    """The value of `return` comes once, behind all items."""

    def gives() -> Iterator[int]:
        yield from range(20)
        return 7  # type: ignore[return-value]

    line = Line(gives, by_word=by_word)
    assert [line.next() for _ in range(20)] == list(range(20))
    with pytest.raises(StopIteration) as end:
        line.next()
    assert end.value.value == 7
    with pytest.raises(StopIteration) as end:
        line.next()
    assert end.value.value is None


def test_an_iterator_against_the_rules_goes_on_after_its_end() -> None:
    """By the user's word too: its end is no end."""

    class Tail:
        def __init__(self) -> None:
            self.items: list[int] = [1]

        def __iter__(self) -> Tail:
            return self

        def __next__(self) -> int:
            if not self.items:
                raise StopIteration
            return self.items.pop()

    tail = Tail()
    line = Line(lambda: tail, by_word=True)
    assert line.rest() == [1]
    tail.items.append(2)
    assert line.rest() == [2]


def test_an_exception_does_not_end_an_iterator_that_goes_on() -> None:
    """By the user's word: what is no generator may go on after one."""

    class Odd:
        count = 0

        def __iter__(self) -> Odd:
            return self

        def __next__(self) -> int:
            self.count += 1
            if self.count == 3:
                raise ValueError(3)
            if self.count == 6:
                raise StopIteration
            return self.count

    line = Line(Odd, by_word=True)
    assert [line.next(), line.next()] == [1, 2]
    with pytest.raises(ValueError, match="3"):
        line.next()
    assert line.rest() == [4, 5]


def test_a_lost_answer_is_given_again() -> None:
    """Items are kept until the next pull says that they have been used."""
    line = Line(lambda: ints(50))
    assert [line.next() for _ in range(3)] == [0, 1, 2]
    for _ in range(3):
        line.pull()
    assert line.rest() == list(range(3, 50))
    line = Line(lambda: ints(50))
    line.pull()
    assert line.rest() == list(range(50))


def test_an_answer_that_comes_twice_counts_once() -> None:
    """Of two threads that have asked at the same moment; in either order."""
    line = Line(lambda: ints(50))
    assert [line.next() for _ in range(3)] == [0, 1, 2]
    before = line.reader.items
    first, second = line.pull(), line.pull()
    line.reader.take(second, before)
    assert line.reader.items.popleft() == 3
    line.reader.take(first, before)
    assert line.reader.items.popleft() == 4
    assert line.rest() == list(range(5, 50))


def test_an_answer_that_is_overtaken_is_of_no_use() -> None:
    """What it brings was put back meanwhile, for whoever reads it first."""
    line = Line(lambda: ints(50))
    assert [line.next() for _ in range(3)] == [0, 1, 2]
    line.reader.items.clear()
    before, answer = line.reader.items, line.pull()
    iterator = line.hand_back()
    line.reader.take(answer, before)
    assert not line.reader.items
    first = next(iterator)
    del iterator
    assert [first, *line.rest()] == list(range(first, 50))


def test_an_answer_that_leaves_items_out_is_refused() -> None:
    """It would be silently wrong."""
    reader = Reader(1)
    for answer in ([AHEAD, 3, [1]], [AHEAD, 0], None, [7, 0, [1]], [AHEAD, 0, (1,)]):
        with pytest.raises(RemoteProtocolError):
            reader.take(answer, reader.items)


def test_a_pull_that_makes_no_sense_is_refused() -> None:
    """What comes from the wire is checked: it names a place and a number within bounds."""
    line = Line(lambda: ints(9))
    line.next()
    wrong: list[Any] = [
        (),
        (1,),
        (0, 0),
        (1025, 0),
        (1, -1),
        (1, 9),
        ("1", 0),
        (1, 0, 0),
        (1, 0, True, 0),
    ]
    for args in wrong:
        with pytest.raises(RemoteProtocolError):
            line.streams.pull(line.handle, args)
    with pytest.raises(RemoteProtocolError):
        line.streams.pull("pkg.mod", (1, 0))
    with pytest.raises(StaleHandle):
        line.streams.pull(99, (1, 0))
    assert line.rest() == list(range(1, 9))


# ---- handed back ---------------------------------------------------------------------

SET_BACK: dict[str, Callable[[], Any]] = {
    "range": lambda: iter(range(40)),
    "long range": lambda: iter(range(2**70, 2**70 + 40)),
    "list": lambda: iter([*range(40)]),
    "tuple": lambda: iter((*range(40),)),
    "text": lambda: iter("abcdefghij" * 4),
    "bytes": lambda: iter(bytes(range(40))),
    "backwards": lambda: reversed([*range(40)]),
    "text backwards": lambda: reversed("abcdefghij" * 4),
    "zip": lambda: zip(range(45), [*"ab" * 20, *"abcde"], strict=True),
    "map": lambda: map(str, range(45)),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "generator": lambda: ints(40),
    "expression": lambda: (number * 2 for number in range(40)),
    "grouping": lambda: zip(*[iter(range(80))] * 2, strict=True),
    "zip of zip": lambda: zip(zip(range(40), "ab" * 20, strict=True), range(40), strict=True),
    "zip of others": lambda: zip(range(99), {*range(40)}, strict=False),
    "failing map": lambda: map(int, ["1"] * 39 + ["2"]),
    "enumerate": lambda: enumerate(iter("ab" * 20)),
    "dict": lambda: iter(dict.fromkeys(range(40))),
    "set": lambda: iter({*range(40)}),
    "count": lambda: itertools.islice(itertools.count(), 40),
}


@pytest.mark.parametrize("used", [1, 2, 4, 10, 39, 40])
@pytest.mark.parametrize("name", [*SET_BACK, *OTHERS])
def test_handed_back_it_goes_on_with_what_was_not_used(name: str, used: int) -> None:
    """However far it has run; and it can be read again, and handed back again."""
    make = {**SET_BACK, **OTHERS}[name]
    expected = list(make())
    line = Line(make)
    assert [line.next() for _ in range(used)] == expected[:used]
    iterator = line.hand_back()
    assert list(itertools.islice(iterator, 2)) == expected[used : used + 2]
    del iterator
    assert list(itertools.islice(iter(line.next, object()), 2)) == expected[used + 2 : used + 4]
    assert list(line.hand_back()) == expected[used + 4 :]
    assert line.rest() == []


@pytest.mark.parametrize("name", SET_BACK)
def test_iterators_in_c_are_set_back_in_place(name: str) -> None:
    """The same object, which nobody can tell from one that has never run ahead."""
    line = Line(SET_BACK[name])
    identity = id(line.handles.lookup(line.handle))
    assert [line.next() for _ in range(5)] == list(SET_BACK[name]())[:5]
    iterator = line.hand_back()
    assert id(iterator) == identity
    same = SET_BACK[name]()
    for _ in range(5):
        next(same)
    if name not in ("zip", "map"):  # which hold iterators, that are equal to no others
        assert iterator.__reduce__() == same.__reduce__()
    assert repr(list(copy.copy(iterator))) == repr(list(same))
    assert line.handles.lend(iterator) == line.handle


def test_a_generator_that_takes_its_place_is_one_object() -> None:
    """Under the same handle, with the same name; it can be sent to, and closed."""
    line = Line(lambda: ints(40))
    for _ in range(5):
        line.next()
    generator = line.hand_back()
    assert line.handles.lend(generator) == line.handle
    assert (generator.__name__, generator.__qualname__) == ("ints", "ints")
    assert generator.send("anything") == 5
    assert line.hand_back() is generator
    assert next(generator) == 6
    with pytest.raises(KeyError):
        generator.throw(KeyError("k"))
    assert list(generator) == []


@pytest.mark.parametrize("by_word", [False, True])
def test_handed_back_again_and_again_it_stays_what_it_is(by_word: bool) -> None:
    """No generator around a generator, a thousand deep; and it runs ahead again each time."""
    for make in (lambda: ints(20_000), lambda: zip(range(20_000), {*range(20_000)}, strict=True)):
        line = Line(make, by_word=by_word)
        found: list[Any] = []
        for _ in range(1500):
            found += [line.next() for _ in range(7)]
            found.append(next(line.hand_back()))
        found += line.rest()
        assert found == list(make())
        assert len(line.pulls) < 1500 * 4


def test_one_that_was_not_used_is_as_new() -> None:
    """It cannot be sent anything, as at home."""
    line = Line(lambda: ints(40))
    line.reader.take(line.pull(), line.reader.items)
    generator = line.hand_back()
    with pytest.raises(TypeError, match="just-started"):
        generator.send(1)
    assert next(generator) == 0


def test_what_is_kept_behind_the_items_is_put_back_too() -> None:
    """The exception, or the value that comes with the end."""

    def fails() -> Iterator[float]:
        for number in (4, 3, 2, 1, 0):
            yield 12 / number

    line = Line(fails)
    assert [line.next() for _ in range(2)] == [3.0, 4.0]
    generator = line.hand_back()
    assert [next(generator), next(generator)] == [6.0, 12.0]
    with pytest.raises(ZeroDivisionError):
        next(generator)

    def gives() -> Iterator[int]:
        yield from range(6)
        return 7  # type: ignore[return-value]

    line = Line(gives)
    assert [line.next() for _ in range(4)] == [0, 1, 2, 3]
    generator = line.hand_back()
    assert list(itertools.islice(generator, 2)) == [4, 5]
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == 7


def test_what_is_sent_too_late_is_refused() -> None:
    """By the user's word a generator has run ahead that does use what it is sent."""

    def takes() -> Iterator[Any]:
        got = None
        for _ in range(20):
            got = yield got

    line = Line(takes, by_word=True)
    for _ in range(4):
        line.next()
    generator = line.hand_back()
    with pytest.raises(RuntimeError, match="has run ahead"):
        generator.send(1)


def test_closing_it_closes_the_generator() -> None:
    """By the user's word there may be something to clean up, though others refer to it."""
    cleaned: list[str] = []

    def cleans() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            cleaned.append("up")

    mine = cleans()
    line = Line(lambda: mine, by_word=True)
    for _ in range(4):
        line.next()
    line.hand_back().close()
    assert cleaned == ["up"]


def test_one_that_others_have_is_not_closed_by_dropping_it() -> None:
    """By the user's word: what stands for it goes, and it stays."""
    mine = ints(100)
    line = Line(lambda: mine, by_word=True)
    for _ in range(3):
        line.next()
    line.hand_back()
    line.handles.clear()
    assert next(mine) > 2


def test_what_others_have_stays_where_it_is() -> None:
    """By the user's word: of an iterator that goes through one of theirs nothing is set back."""
    theirs = iter(range(100))
    line = Line(lambda: zip(theirs, range(100), strict=False), by_word=True)
    assert [line.next() for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    given_back = line.hand_back()
    place = next(theirs)
    assert place > 3
    assert [first for first, _ in given_back][: place - 2] == [*range(3, place), place + 1]


def test_an_interrupted_return_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver handles the message a second time: nothing comes twice, and nothing is lost."""
    for name, make in {**SET_BACK, **OTHERS}.items():
        expected = list(make())
        for where in ("set", "replace"):
            line = Line(make)
            for _ in range(6):
                line.next()
            used = line.reader.give_back()
            assert used == 6

            def interrupted(*_: Any) -> None:
                raise KeyboardInterrupt

            with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
                if where == "set":
                    patch.setattr(HandleTable, "replace", interrupted)
                else:
                    patch.setattr(line.streams, "_streams", Forgetful(line.streams._streams))
                line.streams.unread(line.handle, used)
            line.streams.unread(line.handle, used)
            line.reader.given_back()
            assert list(line.handles.lookup(line.handle)) == expected[6:], (name, where)  # type: ignore[call-overload]


class Forgetful(dict[int, Any]):
    """Interrupts who takes something out."""

    def pop(self, *_: Any) -> Any:
        raise KeyboardInterrupt


def test_dropping_it_closes_the_generator() -> None:
    """What the stream keeps goes with the handle, and nothing else holds the generator."""
    cleaned: list[str] = []

    class Thing:
        pass

    def cleans() -> Iterator[Any]:
        try:
            while True:
                yield Thing()
        finally:
            cleaned.append("up")

    line = Line(cleans, by_word=True)
    reference = weakref.ref(line.next())
    for _ in range(4):
        line.next()
    assert line.handles.release(line.handle, 1)
    stream = line.streams.forget(line.handle)
    assert stream is not None
    line.reader.items.clear()
    line.pulls.clear()
    del stream
    assert cleaned == ["up"]
    assert reference() is None
    assert len(line.streams) == 0


def test_an_iterator_that_reads_itself_says_so() -> None:
    """By the user's word it may do anything: at home that is an error, too."""
    line = Line(lambda: iter(()), by_word=True)

    def itself() -> Iterator[Any]:
        yield 1
        yield line.streams.pull(handle, (1, 1))

    handle = line.handles.lend(itself())
    line.streams.allow(handle)
    assert line.streams.pull(handle, (1, 0)).items == [1]
    with pytest.raises(ValueError, match="already executing"):
        line.streams.pull(handle, (1, 1))


def test_given_back_while_it_runs_it_is_put_back_at_the_end() -> None:
    """Its reader has given the pull up; the receiver does not wait."""
    line = Line(lambda: iter(()), by_word=True)

    def given_back() -> Iterator[int]:
        for number in range(20):
            if number == 5:
                line.streams.unread(handle, 3)
            yield number

    handle = line.handles.lend(given_back())
    line.streams.allow(handle)
    assert line.streams.pull(handle, (3, 0)).items == [0, 1, 2]
    assert line.streams.pull(handle, (4, 3)).items == [3, 4, 5, 6]
    assert list(line.handles.lookup(handle)) == list(range(3, 20))  # type: ignore[call-overload]


@pytest.mark.parametrize("when", range(1, 40, 3))
def test_an_interrupt_of_a_pull_loses_no_item(when: int) -> None:
    """What had come until then is kept; the generator has ended by it, as at home."""
    count = 0

    def interrupted() -> Iterator[int]:
        nonlocal count
        for number in range(60):
            count += 1
            if count == when:
                raise KeyboardInterrupt
            yield number

    line = Line(interrupted, by_word=True)
    found = []
    while len(found) < when - 1:
        try:
            found.append(line.next())
        except KeyboardInterrupt:
            continue
    assert found == list(range(when - 1))


def test_two_threads_get_each_item_once() -> None:
    """They share the buffer, and one pull at a time fills it."""
    line = Line(lambda: ints(20_000))
    found: list[list[int]] = [[], []]

    def read(mine: list[int]) -> None:
        while True:
            try:
                mine.append(line.reader.items.popleft())
                continue
            except IndexError:
                pass
            with line.reader.lock:
                if line.reader.items:
                    continue
                if line.reader.state == ENDED:
                    return
                line.reader.take(line.pull(), line.reader.items)

    threads = [threading.Thread(target=read, args=[mine]) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found[0] + found[1]) == list(range(20_000))


# ---- the user's word -----------------------------------------------------------------


def test_the_word_leaves_an_iterator_usable_here() -> None:
    """So that code with `ahead` in it does the same without a session."""
    marked = ahead(ints(5))
    assert type(marked) is Ahead
    assert next(marked) == 0
    assert marked.gi_running is False
    assert ahead(marked) is marked or ahead(marked).iterator is marked.iterator
    assert list(marked) == [1, 2, 3, 4]
    assert list(ahead([1, 2])) == [1, 2]
    assert list(ahead(iter({1: 2}.items()))) == [(1, 2)]
    with pytest.raises(TypeError, match="not iterable"):
        ahead(5)


def test_of_other_classes_a_generator_is_lent() -> None:
    """The other side would ask them for one item at a time."""

    class Own:
        def __init__(self) -> None:
            self.left = [3, 2, 1]

        def __iter__(self) -> Own:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            return self.left.pop()

    marked = ahead(Own())
    line = Line(lambda: marked.iterator, by_word=True)
    assert line.rest() == [1, 2, 3]
    assert line.reader.state == ENDED


# ---- against iterators that never run ahead ----------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 20)),
        st.tuples(st.just("server"), st.integers(0, 3)),
        st.tuples(st.just("send"), st.integers(0, 9)),
        st.tuples(st.just("lost"), st.integers(1, 2)),
        st.tuples(st.just("throw"), st.just(0)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=12,
)


def seen_of(iterator: Any, operations: Any, line: Line | None) -> list[Any]:
    """What a program sees of an iterator, or of one that is read through a line."""
    seen: list[Any] = []
    for name, count in operations:
        for _ in range(max(1, count) if name in ("next", "server") else 1):
            try:
                if name == "lost":
                    if line is not None:
                        line.lose()
                elif name == "next":
                    seen.append(next(iterator) if line is None else line.next())
                else:
                    it = iterator if line is None else line.hand_back()
                    if name == "server":
                        seen.append(next(it))
                    elif hasattr(it, "send"):
                        method = getattr(it, name)
                        seen.append(
                            method(*{"send": (count,), "throw": (KeyError(3),)}.get(name, ()))
                        )
                    del it
            except BaseException as error:
                seen.append((type(error), str(error), getattr(error, "value", None)))
    return seen


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from([*SET_BACK, *OTHERS]), operations=STEPS)
@example(name="generator", operations=[("server", 2), ("lost", 2), ("send", 0)])
def test_any_program_sees_what_it_sees_at_home(name: str, operations: Any) -> None:
    """Random programs of next, lost answers, and uses by the side that has the iterator."""
    make = {**SET_BACK, **OTHERS}[name]
    if name not in ("generator", "expression"):
        operations = [each for each in operations if each[0] not in ("send", "throw", "close")]
    here = seen_of(make(), operations, None)
    assert seen_of(None, operations, Line(make)) == here
