"""Iterators that run ahead, and those that do not: nobody can tell which, but by their speed.

Each program here runs against the package itself and against the served one; both must see the
same. `wsremote.ahead` stands in for the word of a user who does not mind.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samplepkg import streams as at_home

import wsremote


@pytest.fixture
def streams(pkg: Any) -> Iterator[Any]:
    """The served module of iterators."""
    pkg.streams.log()
    yield pkg.streams
    at_home.log()


def messages(session: wsremote.Session) -> int:
    """How many messages the client has sent."""
    return session._driver.messages


def held(session: wsremote.Session) -> tuple[str, ...]:
    """What the client holds of the server."""
    gc.collect()
    return session._driver.held()


# ---- how many messages ---------------------------------------------------------------


def test_many_items_come_with_one_message(streams: Any, remote: wsremote.Session) -> None:
    """Of what nobody can see; a list, a loop and a sum alike."""
    for use in (list, sum, lambda items: [*items], lambda items: max(*items)):
        items = streams.ints(5000)
        before = messages(remote)
        use(items)
        assert messages(remote) - before <= 20


def test_an_item_a_message_where_somebody_could_see(streams: Any, remote: wsremote.Session) -> None:
    """As before there was any running ahead."""
    for items in (streams.looking(), streams.Countdown(99)):
        before = messages(remote)
        for _ in range(20):
            next(items)
        assert messages(remote) - before == 20


def test_the_user_may_say_that_it_does_not_matter(streams: Any, remote: wsremote.Session) -> None:
    """`wsremote.ahead`, of an iterator of either side, of any class."""
    for made in (streams.rows(500), streams.Countdown(500), streams.make("lists", 500)):
        before = messages(remote)
        assert len(list(wsremote.ahead(made))) == 500
        assert messages(remote) - before <= 20
    before = messages(remote)
    mine = iter([[number] for number in range(500)])
    assert streams.take(wsremote.ahead(mine), 600) == [[number] for number in range(500)]
    assert messages(remote) - before <= 20
    before = messages(remote)
    assert streams.take(wsremote.ahead(at_home.Countdown(500)), 600) == [*range(499, -1, -1)]
    assert messages(remote) - before <= 20


def test_what_is_read_ahead_is_what_it_would_be(streams: Any) -> None:
    """Fresh containers are the user's own; objects are themselves; prints come before them."""
    rows = list(wsremote.ahead(streams.rows(10)))
    assert rows == list(at_home.rows(10))
    assert {type(row) for row in rows} == {dict}
    shared = streams.Countdown(3)
    assert all(each is shared for each in wsremote.ahead(streams.over([shared] * 5)))


def test_prints_of_what_runs_ahead_come(streams: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """With the pull that they were printed in."""
    assert next(wsremote.ahead(streams.printing(30))) == 0
    assert capfd.readouterr().out == "before 0\n"
    for number in streams.printing(3):
        print("after", number)
    printed = capfd.readouterr().out.split("\n")
    assert printed[:-1] == [f"{when} {n}" for n in range(3) for when in ("before", "after")]


# ---- as at home ----------------------------------------------------------------------

Program = Callable[[Any], Any]


def changed_by_the_body(m: Any) -> Any:
    m.set_count(0)
    seen = []
    for number in m.looking():
        seen.append(number)
        m.set_count(number + 3)
        if number > 20:
            return seen


def left_by_a_break(m: Any) -> Any:
    m.log()
    items = m.logging(50)
    for number in items:
        if number == 5:
            break
    before = m.log()
    del items, number
    gc.collect()
    return before


def handed_back(m: Any) -> Any:
    items = m.ints(100)
    return [next(items), next(items), next(items), m.take(items, 4), next(items), m.take(items, 2)]


def handed_back_and_kept(m: Any) -> Any:
    items = m.ints(100)
    seen = [*itertools.islice(items, 9)]
    m.keep(items)
    seen += [m.next_kept(), next(items), m.next_kept(), next(items), m.kept() is items]
    return [*seen, *itertools.islice(items, 9)]


def kept_after_it_was_used_up(m: Any) -> Any:
    items = m.ints(100)
    seen = [next(items), next(items), next(items)]
    m.keep(items)
    return [*seen, next(items), m.next_kept(), next(items), m.next_kept(), m.kept() is items]


def two_loops(m: Any) -> Any:
    items, seen = m.ints(30), []
    for number in items:
        seen.append(number)
        if number % 7 == 6:
            break
    return seen, next(items), [number for number in items if number % 2]


def zipped_with_itself(m: Any) -> Any:
    items = m.ints(20)
    return list(zip(items, items, strict=True))


def sent_to(m: Any) -> Any:
    items = m.answering()
    seen = [next(items), items.send(1), next(items), items.throw(KeyError("k")), items.send(2)]
    items.close()
    return seen, list(items)


def sent_to_what_runs_ahead(m: Any) -> Any:
    items = m.ints(50)
    seen = [*itertools.islice(items, 5), items.send(9), next(items), items.send(None)]
    try:
        items.throw(KeyError("k"))
    except KeyError as error:
        seen.append(str(error))
    return seen, list(items)


def closed_half_way(m: Any) -> Any:
    items = m.ints(50)
    seen = [*itertools.islice(items, 5)]
    items.close()
    return seen, list(items)


def an_exception_behind_items(m: Any) -> Any:
    items, seen = m.failing(5), []
    with contextlib.suppress(ZeroDivisionError):
        for number in items:
            seen.append(number)  # noqa: PERF402
    return seen, list(items)


def what_comes_with_the_end(m: Any) -> Any:
    def all_of(items: Any) -> Iterator[Any]:
        yield (yield from items)

    seen = list(all_of(m.returning(9)))
    items = m.returning(3)
    next(items)
    return seen, m.take(items, 1), list(all_of(items))


def an_exception_is_handed_back_too(m: Any) -> Any:
    items = m.failing(6)
    seen = [next(items), next(items), next(items)]
    try:
        m.take(items, 9)
    except ZeroDivisionError as error:
        seen.append(str(error))
    return seen, list(items)


def chained(m: Any) -> Any:
    return list(itertools.chain(m.ints(3), m.delegating(2), m.make("text", 1)))


def compared_and_asked(m: Any) -> Any:
    items = m.ints(9)
    next(items)
    return iter(items) is items, items == items, bool(items), next(items), m.same(items) is items


def of_the_list_iterator(m: Any) -> Any:
    items = m.make("list", 20)
    seen = [next(items) for _ in range(6)]
    return seen, items.__length_hint__(), next(items), list(copy.copy(items)), next(items)


def over_a_list_that_changes(m: Any) -> Any:
    numbers = [1, 2, 3]
    seen = []
    for number in m.over(iter(numbers)):
        seen.append(number)
        if number < 3:
            numbers.append(number * 10)
    return seen


def over_a_generator_of_mine(m: Any) -> Any:
    steps: list[int] = []

    def mine() -> Iterator[int]:
        for number in range(9):
            steps.append(number)
            yield number

    items, seen = m.over(mine()), []
    for number in items:
        seen.append((number, len(steps)))
        if number == 4:
            break
    return seen, steps


def a_generator_of_mine_goes_on(m: Any) -> Any:
    mine = (number * number for number in range(20))
    return m.take(mine, 3), next(mine), m.take(mine, 2), list(mine)


def a_generator_of_mine_that_is_kept(m: Any) -> Any:
    m.keep(number * number for number in range(50))
    seen = [m.next_kept() for _ in range(6)]
    mine = m.kept()
    return [*seen, next(mine), m.take(mine, 3), *itertools.islice(mine, 3)]


def between_calls_of_mine(m: Any) -> Any:
    count = itertools.count()
    return m.call_between(m.ints(9), lambda: next(count), 5)


def endless(m: Any) -> Any:
    items = m.endless()
    seen = list(itertools.islice(items, 200))
    return seen, m.take(items, 3), next(items)


def growing(m: Any) -> Any:
    items = m.doubling()
    return [len(next(items)) for _ in range(18)], [len(text) for text in m.take(items, 2)]


PROGRAMS = [
    changed_by_the_body, left_by_a_break, handed_back, handed_back_and_kept,
    kept_after_it_was_used_up, two_loops, zipped_with_itself, sent_to, sent_to_what_runs_ahead,
    closed_half_way, an_exception_behind_items, what_comes_with_the_end,
    an_exception_is_handed_back_too, chained, compared_and_asked, of_the_list_iterator,
    over_a_list_that_changes, over_a_generator_of_mine, a_generator_of_mine_goes_on,
    a_generator_of_mine_that_is_kept, between_calls_of_mine, endless, growing,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_sees_what_it_sees_at_home(program: Program, streams: Any) -> None:
    """Running ahead is never visible."""
    assert program(streams) == program(at_home)


@pytest.mark.parametrize("name", at_home.MAKERS)
def test_every_kind_is_read_and_handed_back(name: str, streams: Any) -> None:
    """Item by item, some on one side and some on the other."""

    def program(m: Any) -> Any:
        seen: list[Any] = []
        items = m.make(name, 8)
        for count in range(6):
            with contextlib.suppress(StopIteration, ZeroDivisionError):
                for _ in range(count):
                    seen.append(copy.copy(next(items)))  # noqa: PERF401
                seen.append(m.take(items, 1))
        return seen

    assert program(streams) == program(at_home)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 12)),
        st.tuples(st.sampled_from(["take", "send", "set"]), st.integers(0, 5)),
        st.tuples(st.sampled_from(["throw", "close", "iter", "keep", "kept", "log"]), st.just(0)),
    ),
    max_size=10,
)
KINDS = ["ints", "range", "list", "zip", "expression", "looking", "answering", "logging"]
KINDS += ["delegating", "returning", "failing", "countdown", "map", "dict"]


def seen_by(m: Any, name: str, operations: Any) -> list[Any]:
    """What a program of such operations sees."""
    m.log()
    m.set_count(0)
    makers: dict[str, Any] = {"looking": m.looking, "answering": m.answering}
    items: Any = makers[name]() if name in makers else m.make(name, 30)
    seen: list[Any] = []
    for operation, count in operations:
        try:
            if operation == "next":
                for _ in range(count):
                    seen.append(next(items))  # noqa: PERF401
            elif operation == "take":
                seen.append(m.take(items, count))
            elif operation == "set":
                m.set_count(count)
            elif operation == "iter":
                seen.append(iter(items) is items)
            elif operation == "keep":
                m.keep(items)
                seen += [m.next_kept(), next(items)]
            elif operation == "kept":
                m.keep(items)
                seen.append(m.kept() is items)
            elif operation == "log":
                seen.append(list(m.log()))
            elif hasattr(items, "send"):
                arguments = {"send": (count,), "throw": (KeyError("k"),), "close": ()}[operation]
                seen.append(getattr(items, operation)(*arguments))
        except (StopIteration, KeyError, ZeroDivisionError, TypeError, AttributeError) as error:
            seen.append((type(error), getattr(error, "value", None)))
    return seen


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(KINDS), operations=OPERATIONS)
def test_any_program_sees_what_it_sees_at_home(streams: Any, name: str, operations: Any) -> None:
    """Random programs of next, send, throw, close, changes, and uses on the other side."""
    assert seen_by(streams, name, operations) == seen_by(at_home, name, operations)


READING = st.lists(
    st.tuples(st.sampled_from(["next", "take", "keep", "next_kept", "kept"]), st.integers(1, 9)),
    max_size=10,
)
AWAY_AND_HERE = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_by(m: Any, items: Any, operations: Any) -> list[Any]:
    """What is read of an iterator, on this side and on the other."""
    m.log()
    m.keep(items)
    seen: list[Any] = []
    for operation, count in operations:
        for _ in range(count):
            try:
                if operation == "next":
                    seen.append(copy.copy(next(items)))
                elif operation == "take":
                    seen.append(copy.copy(m.take(items, 1)))
                elif operation == "next_kept":
                    seen.append(copy.copy(m.next_kept()))
                elif operation == "kept":
                    items = m.kept()
                    m.keep(items)
            except (StopIteration, ZeroDivisionError) as error:
                seen.append((type(error), getattr(error, "value", None)))
    m.log()
    return seen


@AWAY_AND_HERE
@given(name=st.sampled_from([*at_home.MAKERS]), operations=READING)
def test_by_the_users_word_the_items_are_the_same(streams: Any, name: str, operations: Any) -> None:
    """It only comes to them earlier, and both sides go on where the other stopped.

    Unless the server has it already: then that reads on where it has come to.
    """
    operations = [each for each in operations if each[0] in ("next", "take")]
    theirs = wsremote.ahead(streams.make(name, 30))
    assert read_by(streams, theirs, operations) == read_by(
        at_home, at_home.make(name, 30), operations
    )


@AWAY_AND_HERE
@given(name=st.sampled_from([*at_home.MAKERS]), operations=READING, is_kept=st.booleans())
def test_of_an_iterator_of_mine_both_sides_read_the_same(
    streams: Any, name: str, operations: Any, is_kept: bool
) -> None:
    """As an argument; and one that the server alone holds, which may run ahead here."""
    programs = []
    for m in (streams, at_home):
        if is_kept:
            m.keep(at_home.make(name, 30))
            first = [copy.copy(m.next_kept()) for _ in range(5)]
            programs.append((first, read_by(m, m.kept(), operations)))
        else:
            programs.append(([], read_by(m, at_home.make(name, 30), operations)))
    assert programs[0] == programs[1]


# ---- the end of it -------------------------------------------------------------------


def test_a_generator_that_is_dropped_is_closed(streams: Any, remote: wsremote.Session) -> None:
    """Half-read, also by the user's word: its `finally` runs, and nothing is left of it."""
    before = held(remote)
    for items in (streams.logging(50), wsremote.ahead(streams.logging(50))):
        for _ in range(4):
            next(items)
    del items
    gc.collect()
    deadline = time.monotonic() + 20
    found: list[Any] = []
    while found.count("closed") < 2 and time.monotonic() < deadline:
        found += streams.log()
    assert found.count("closed") == 2
    assert held(remote) == before


def test_nothing_is_left_of_an_iterator_of_mine(streams: Any, remote: wsremote.Session) -> None:
    """When the server lets go of it, what was kept of it here goes as well."""
    assert streams.take(wsremote.ahead(at_home.rows(500)), 3)[2]["number"] == 2
    deadline = time.monotonic() + 20
    while len(remote._driver.lending.streams) and time.monotonic() < deadline:
        streams.log()
    assert len(remote._driver.lending.streams) == 0
    assert len(remote._driver.lending.handles) == 0


def test_an_endless_one_costs_bounded_memory(streams: Any) -> None:
    """On both sides: what is read ahead is at most 1024 items."""
    items = streams.endless()
    for _ in range(3000):
        next(items)
    reader = items._wsremote_reader
    assert len(reader.items) <= 1024
    mine = wsremote.ahead(itertools.count())
    taken = 5000
    assert streams.take(mine, taken)[-1] == taken - 1
    assert next(mine) <= taken + 2 * 1024


def test_handles_in_unread_items_are_released(streams: Any, remote: wsremote.Session) -> None:
    """Given back, they are the server's again."""
    items = wsremote.ahead(streams.make("countdown", 3))
    assert list(items) == [2, 1, 0]
    del items
    before = held(remote)
    things = [streams.Countdown(number) for number in range(40)]
    items = wsremote.ahead(streams.over(things))
    del things
    used = [next(items).left for _ in range(3)]
    assert used == [0, 1, 2]
    assert [each.left for each in streams.take(items, 2)] == [3, 4]
    assert [each.left for each in items] == [*range(5, 40)]
    del items
    assert held(remote) == before


def test_two_threads_get_each_item_once(streams: Any) -> None:
    """Of one remote iterator."""
    items = streams.ints(20_000)
    found: list[list[int]] = [[], [], []]

    def read(mine: list[int]) -> None:
        mine.extend(items)

    threads = [threading.Thread(target=read, args=[mine]) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(itertools.chain(*found)) == list(range(20_000))


def test_a_thread_that_hands_it_back_waits_for_one_that_pulls(streams: Any) -> None:
    """Each item comes once, wherever it is read."""
    items = streams.ints(20_000)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(itertools.islice(items, 9_000)))
    thread.start()
    theirs = [number for _ in range(20) for number in streams.take(items, 5)]
    thread.join(20)
    assert sorted(found + theirs + list(items)) == list(range(20_000))


def test_interrupts_lose_no_item(streams: Any) -> None:
    """Ctrl-C at many moments of a loop, most of them inside `next()`."""
    count = 400_000
    items = streams.make("range", count)
    found: list[int] = []
    interrupts, is_done = 0, threading.Event()
    me = threading.get_ident()

    def interrupt() -> None:
        for wait in [0.0031, 0.0012, 0.0047, 0.0083, 0.0005] * 12:
            if is_done.wait(wait):
                return
            signal.pthread_kill(me, signal.SIGUSR1)

    def raise_it(*_: Any) -> None:
        nonlocal interrupts
        interrupts += 1
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, raise_it)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        while len(found) < count:
            try:
                # In C: between two items there is nothing of ours but `next()`.
                found.extend(itertools.islice(items, 3000))
            except KeyboardInterrupt:
                continue
    finally:
        is_done.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert found == list(range(count))
    assert interrupts > 5
