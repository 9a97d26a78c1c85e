"""Pipelines: calls that give promises at once, and leave together. Both ends in this process."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import json
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import ServedProcess, start_server
from local_server import PATIENCE, TOKEN, Local, barrier, serving

import wsremote
from wsremote.client.opening import poller as client_poller
from wsremote.client.promises import Promise
from wsremote.errors import CallCancelled, CallTimeout, EncodeError, LimitExceeded, SessionClosed
from wsremote.server.config import Limits

HERE = Path(__file__).parent
SOURCE = (HERE / "streamed.py").read_text()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A server in this process, of `streamed`."""
    with serving(tmp_path, limits=Limits(), source=SOURCE) as local:
        yield local


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session of its own."""
    session = wsremote.connect(local.url, token=TOKEN, new=True)
    yield session
    session.close()


@pytest.fixture
def module(local: Local, session: wsremote.Session) -> Any:
    """The served module, as the client has it."""
    return getattr(session.modules, local.name)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of `streamed` in a process of its own, whose output is not that of the test."""
    served = start_server("streamed", folder=tmp_path_factory.mktemp("server"), path=(HERE,))
    yield served
    served.stop()


@contextlib.contextmanager
def narrow(folder: Path, **limits: Any) -> Iterator[tuple[Local, wsremote.Session, Any]]:
    """A server with other bounds, a session with it, and the module that it serves."""
    with (
        serving(folder, limits=Limits(**limits), source=SOURCE) as local,
        wsremote.connect(local.url, token=TOKEN, new=True) as session,
    ):
        yield local, session, getattr(session.modules, local.name)


def kept(local: Local) -> int:
    """How much of pipelines the server keeps for its only session."""
    (on_server,) = local.server._sessions.values()
    return len(on_server.kept)


def server_tables(local: Local) -> list[Any]:
    """What the server keeps of its only session's calls; nothing before the first."""
    (on_server,) = local.server._sessions.values()
    return [getattr(on_server, name, ()) for name in ("kept", "_queued", "_running", "unsent")]


def expect_nothing_kept(session: wsremote.Session, local: Local) -> None:
    """In the end: no value, handle, call or thing on the server, no call here; and it works."""
    (on_server,) = local.server._sessions.values()
    driver = session._driver
    module = getattr(session.modules, local.name)
    while (
        len(on_server.kept)
        or len(on_server.lending.handles)
        or on_server._queued
        or on_server._running
        or driver._calls
        or local.module.alive()
    ):
        gc.collect()
        barrier(client_poller())
        module.thread()
        barrier(local.server.poller)
        if driver._calls.keys() <= {0}:
            barrier(local.server.poller)
    assert module.add(1, 1) == 2


@contextlib.contextmanager
def messages(session: wsremote.Session, most: int) -> Iterator[None]:
    """Assert that the block sends so many messages at most."""
    before = session._driver.messages
    yield
    assert session._driver.messages - before <= most


# ---- promises ----------------------------------------------------------------------------


def test_calls_give_promises_at_once(session: wsremote.Session, module: Any) -> None:
    """Nothing is sent before the end of the block; then the values are there."""
    with messages(session, 2):
        with session.pipeline():
            with messages(session, 0):
                first = module.add(1, 2)
                second = module.add(first, 10)
                third = module.add(second, first)
                assert type(first) is type(second) is type(third) is Promise
                assert "promise" in repr(third)
    assert [each.result() for each in (first, second, third)] == [3, 13, 16]
    assert third.result() is third.result()
    assert "16" in repr(third)


def test_an_object_is_made_used_and_asked(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """`m = C(); m.put(x); r = m.score`: instances, methods, attributes and their chains."""
    with messages(session, 2):
        with session.pipeline():
            thing = module.Thing(1)
            thing.put(5)
            score = thing.score
            chained = thing.put(6).put(7).get()
            called = thing(3)
            made = module.Thing.of(9).value
            twice = module.Thing.twice(thing.value)
            method = thing.get
            later = method()
    values = [score, chained, called, made, twice, later]
    assert [each.result() for each in values] == [50, 7, 10, 9, 14, 7]
    assert local.module.log == ["put 5", "put 6", "put 7"]
    del thing, score, chained, called, made, twice, method, later, values
    expect_nothing_kept(session, local)


def test_operators(session: wsremote.Session, module: Any) -> None:
    """All of them, with plain numbers on either side, promises on both, and in-place."""
    with session.pipeline():
        six, four = module.identity(6), module.identity(4)
        found = [
            six + four, six - four, six * four, six / four, six // four, six % four, six**four,
            six << four, six >> four, six & four, six | four, six ^ four,
            six + 0.5, 0.5 + six, 10 - six, 2 * six, 3 / six, 20 // six, 20 % six, 2**six,
            1 << six, 1000 >> six, 3 & six, 1 | six, 1 ^ six,
            -six, +six, abs(-six), ~six,
            six < four, six <= 6, six == 6, six != 6, six >= four, six > 7, 5 < six, 7.5 > six,
            divmod(six, four), divmod(20, six),
        ]  # fmt: skip
        total = module.identity(1)
        total += six
        total *= 2
        total -= 0.5
    assert [each.result() for each in found] == [
        10, 2, 24, 1.5, 1, 2, 1296,
        96, 0, 4, 6, 2,
        6.5, 6.5, 4, 12, 0.5, 3, 2, 64,
        64, 15, 2, 7, 7,
        -6, 6, 6, -7,
        False, True, True, False, True, False, True, True,
        (1, 2), (3, 2),
    ]  # fmt: skip
    assert total.result() == 13.5


def test_reflected_operators_of_remote_objects(session: wsremote.Session, module: Any) -> None:
    """A method of the right operand, whichever side the promise is on."""
    real = module.Thing(3)
    with session.pipeline():
        thing = module.Thing(4)
        found = [1.5 + thing, thing + 1.5, "x" + thing, thing + thing, real + thing, thing + real]
        grown = module.Thing(1)
        same = grown
        same += 5
        value = grown.value
    assert [each.result() for each in found] == ["1.5+4", 5.5, "x+4", 8, 7, 7]
    assert value.result() == 6
    assert same.result() is grown.result()


def test_items_and_attributes_are_set_and_deleted(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """In program order, in one message; what is read sees what was set before it."""
    real = module.Table()
    local.module.log.clear()
    with messages(session, 3):
        with session.pipeline():
            table = module.Table()
            table["a"] = 1
            table["b"] = module.add(1, 1)
            first = table["a"] + table["b"]
            table["a"] += 10
            del table["b"]
            table.note = "text"
            note = table.note
            del table.note
            rows = table.rows
            real["x"] = first
            real.title = note
            again = real["x"]
    assert local.module.log == [
        "set a", "set b", "get a", "get b", "get a", "set a", "delete b", "set x", "get x",
    ]  # fmt: skip
    assert (first.result(), note.result(), again.result()) == (3, "text", 3)
    assert rows.result() == {"a": 11}
    assert not hasattr(local.module.Table(), "note")
    assert real.title == "text" and real.rows == {"x": 3}
    with pytest.raises(AttributeError):
        table.note


def test_side_effects_come_in_program_order(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Also with large arguments, which leave apart, and values that Python asks for at once."""
    large = "x" * 100_000
    with session.pipeline():
        module.note("first")
        module.note("large", large)
        module.note("third")
        assert len(module.note("asked", "1234")) == 4
        module.note("fifth", [large, 2])
        module.note("sixth", value=1)
        for number in range(300):
            module.note(number)
    expected = ["first", "large", "third", "asked", "fifth", "sixth", *range(300)]
    assert local.module.log == expected


def test_what_python_needs_at_once(session: wsremote.Session, module: Any) -> None:
    """`bool`, `len`, `str`, `int`, a loop, `in`, `format`: inside of the block, and after it."""

    def check(text: Any, seven: Any, table: Any, zero: Any) -> None:
        assert bool(seven) is True and not zero
        assert len(text) == 3 and str(text) == "abc" and f"{text:>5}" == "  abc"
        assert int(seven) == 7 and float(seven) == 7.0 and complex(seven) == 7
        assert [10, 20, 30, 40, 50, 60, 70, 80][seven] == 80
        assert list(text) == ["a", "b", "c"] and "b" in text and "z" not in text
        assert len(table) == 1 and list(table) == ["k"] and "k" in table and "l" not in table
        assert range(seven) == range(7)
        a, b, c = text
        assert (a, b, c) == ("a", "b", "c")

    with session.pipeline():
        text, seven, zero = module.identity("abc"), module.identity(7), module.identity(0)
        table = module.Table()
        table["k"] = 1
        check(text, seven, table, zero)
        more = seven + 1
        assert more.result() == 8
    check(text, seven, table, zero)
    assert round(float(seven)) == 7


def test_promises_after_the_block(session: wsremote.Session, module: Any) -> None:
    """They stand for their values: operators, attributes, items, arguments of plain calls."""
    with session.pipeline():
        thing, number = module.Thing(4), module.identity(5)
        table = module.Table()
    assert number + 1 == 6 and 1.5 + number == 6.5 and -number == -5 and number == 5
    assert number < 6 and number != 4
    assert thing.get() == 4 and thing.value == 4 and thing(1) == 5
    thing.value = 8
    assert thing.result().value == 8
    table["a"] = 1
    assert table["a"] == 1
    del table["a"]
    assert module.add(number, 1) == 6
    assert module.identity(thing) is thing.result()
    assert module.identity([number, {"k": thing}])[0] == 5
    assert session.submit(module.add, number, number).result(PATIENCE) == 10
    assert list(session.map(module.add, [number, 1], [1, number])) == [6, 6]
    with session.pipeline():
        again = module.add(number, 1)
        value = thing.value
    assert (again.result(), value.result()) == (6, 8)


def test_promises_inside_of_containers(session: wsremote.Session, module: Any) -> None:
    """They are replaced by their values on the server."""
    with session.pipeline():
        number = module.identity(5)
        thing = module.Thing(number)
        nested = module.identity([number, (number, {"k": thing})])
        by_name = module.add(a=number, b=number)
    first, (second, table) = nested.result()
    assert (first, second) == (5, 5)
    assert table["k"] is thing.result()
    assert by_name.result() == 10


def test_values_of_all_kinds(session: wsremote.Session, module: Any) -> None:
    """Arrays, large integers, odd and long text, objects, None."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0)
    values = [2**70, "\udcff", "x" * 100_000, b"y" * 100_000, None, 1.5, [1, 2], {"a": (1,)}]
    with session.pipeline():
        doubled = module.double(array)
        array[:] = 0
        twice = module.double(doubled)
        some = twice[3]
        same = [module.identity(value) for value in values]
        odd = module.surrogate(3)
        long = module.repeat(100_000)
    assert (twice.result() == numpy.arange(100_000.0) * 4).all()
    assert some.result() == 12
    assert [each.result() for each in same] == values
    assert odd.result() == "\udcff3"
    assert long.result() == "x" * 100_000


# ---- what is sent ------------------------------------------------------------------------


def test_what_nobody_asks_for_is_not_sent(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """A thousand megabyte texts travel nowhere, and do not stay on the server."""
    module.add(1, 1)
    (on_server,) = local.server._sessions.values()
    before = on_server._sequence.sent
    with session.pipeline():
        for _ in range(200):
            text = module.repeat(1_000_000)
            last = text[3]
    # Answers to batches, and nothing for each call.
    assert on_server._sequence.sent - before < 20
    assert last.result() == "x"
    assert kept(local) < 50
    del text, last
    expect_nothing_kept(session, local)


def test_small_values_come_together(session: wsremote.Session, module: Any) -> None:
    """A hundred results are asked for by few messages."""
    with session.pipeline():
        promises = [module.add(number, 1) for number in range(500)]
    with messages(session, 3):
        assert [each.result() for each in promises] == list(range(1, 501))


@pytest.mark.parametrize("order", [1, -1, 7])
def test_values_are_asked_for_in_any_order(
    session: wsremote.Session, module: Any, order: int
) -> None:
    """Many at a time; also those that lie between others that are no scalars, and much text."""
    with session.pipeline():
        promises = [module.add(number, 1) for number in range(3001)]
        texts = [module.repeat(4000) for _ in range(300)]
        mixed = [module.identity(each) for number in range(100) for each in (number, [number], "x")]
    with messages(session, 6):
        found = {place: promises[place].result() for place in sorted_by(order, 3001)}
    assert [found[place] for place in range(3001)] == list(range(1, 3002))
    with messages(session, 12):
        assert {texts[place].result() for place in sorted_by(order, 300)} == {"x" * 4000}
    with messages(session, 110):
        values = {place: mixed[place].result() for place in sorted_by(order, 300)}
    assert [values[place] for place in range(0, 300, 3)] == list(range(100))
    assert [values[place] for place in range(1, 300, 3)] == [[number] for number in range(100)]


def sorted_by(order: int, count: int) -> list[int]:
    """Numbers below a count: upwards, downwards, or mixed."""
    return sorted(range(count), key=lambda number: number * order % count)


def test_calls_that_leave_as_one_end_each_by_itself(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """They fail, need more than 64 bits, go on behind what has failed; in order."""
    with pytest.raises(ValueError, match=r"^7$") as caught:
        with session.pipeline():
            promises = [module.fail_if(number, 7) for number in range(20)]
            large = [module.add(2**62 * number, 2**62) for number in range(5)]
            things = [module.Thing(number) for number in range(5)]
            scores = [things[0].put(number) for number in range(3)]
            del things[1:]
    assert not hasattr(caught.value, "__notes__")
    assert local.module.log == [*range(20), "put 0", "put 1", "put 2"]
    for number, promise in enumerate(promises):
        if number == 7:
            with pytest.raises(ValueError, match=r"^7$"):
                promise.result()
        else:
            assert promise.result() == number
    assert [each.result() for each in large] == [2**62 * number for number in range(1, 6)]
    assert scores[1].result() is things[0].result()
    del promises, large, things, scores, promise, caught
    expect_nothing_kept(session, local)


def test_an_interrupt_ends_calls_that_leave_as_one(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """That which runs; those behind it never run, though they came with it."""
    with pytest.raises(KeyboardInterrupt):
        with session.pipeline() as pipeline:
            waits = [module.wait(name) for name in "aa"]
            local.module.open_door("a")
            waits += [module.wait("never") for _ in range(50)]
            pipeline.flush()
            while local.module.started.get(timeout=PATIENCE) != "never":
                pass
            raise_in_the_block()
    assert waits[0].result() == "a"
    for wait in waits[2:]:
        with pytest.raises(CallCancelled):
            wait.result()
    assert local.module.started.empty()
    del waits, wait, pipeline
    expect_nothing_kept(session, local)


def raise_in_the_block() -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


def test_promises_that_are_dropped_are_released(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Before they leave, in the block, after it; asked for or not."""
    with session.pipeline():
        for number in range(500):
            module.Thing(number)
        things = [module.Thing(number) for number in range(500)]
        values = [thing.value for thing in things]
        assert values[3].result() == 3
        del things[:250]
        values[4].result()
    assert values[499].result() == 499
    assert things[0].result().value == 250
    del things, values
    expect_nothing_kept(session, local)


def test_a_promise_and_its_value_are_one_object(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """The value outlives the promise, and the other way round."""
    with session.pipeline():
        thing = module.Thing(1)
        same = module.identity(thing)
    real = thing.result()
    assert same.result() is real
    del thing, same
    gc.collect()
    module.add(1, 1)
    assert real.value == 1
    del real
    expect_nothing_kept(session, local)


@pytest.mark.parametrize("max_calls", [2, 3, 4, 8, 64])
def test_more_calls_than_the_server_takes(tmp_path: Path, max_calls: int) -> None:
    """Whoever makes them waits for the server, now and then; none is refused."""
    with narrow(tmp_path, max_calls=max_calls) as (local, session, module):
        with session.pipeline():
            number = module.identity(0)
            for _ in range(1000):
                number = module.add(number, 1)
        assert number.result() == 1000
        del number
        with session.pipeline():
            promises = [module.add(n, 1) for n in range(1000)]
        assert sum(each.result() for each in promises) == sum(range(1, 1001))
        del promises
        expect_nothing_kept(session, local)


def test_a_long_pipeline_holds_little(local: Local, session: wsremote.Session, module: Any) -> None:
    """Twenty thousand calls: neither side keeps what has been done."""
    driver = session._driver
    most = 0
    with session.pipeline() as pipeline:
        number = module.identity(0)
        for step in range(20_000):
            number = module.add(number, 1)
            module.note("a")
            if step % 500 == 0:
                sizes = (
                    driver._calls, pipeline._runs, pipeline._barriers, pipeline._calls,
                    pipeline._needed, pipeline._containers, pipeline.answers,
                    driver._sequence.unacked, *server_tables(local),
                )  # fmt: skip
                most = max(most, *map(len, sizes))
    assert number.result() == 20_000
    assert most < 8000
    assert len(local.module.log) == 20_000
    del number, sizes
    expect_nothing_kept(session, local)


# ---- errors ------------------------------------------------------------------------------


def test_an_error_is_raised_at_the_end_of_the_block(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """With what depends on it; the others run; it is raised once."""
    with pytest.raises(module.Oops, match="first") as caught:
        with session.pipeline():
            wrong = module.fail("first")
            depends = module.add(wrong, 1)
            attribute = depends.real
            right = module.note("ran", 5)
    assert caught.value.detail == ["first"]  # type: ignore[attr-defined]
    assert caught.traceback[-1].name == "fail"
    assert not getattr(caught.value, "__notes__", None) or all(
        "another" not in note for note in caught.value.__notes__
    )
    assert right.result() == 5
    for each in (wrong, depends, attribute):
        with pytest.raises(module.Oops, match="first") as again:
            each.result()
        assert again.value is caught.value
    with pytest.raises(module.Oops, match="first"):
        module.add(depends, 1)
    with pytest.raises(module.Oops, match="first"):
        depends + 1
    with pytest.raises(module.Oops, match="first"):
        session.submit(module.add, wrong, 1).result(PATIENCE)
    assert module.add(1, 1) == 2
    del wrong, depends, attribute, right, caught, again, each
    expect_nothing_kept(session, local)


def test_several_errors(local: Local, session: wsremote.Session, module: Any) -> None:
    """The first is raised; its notes say what the others were; each promise has its own."""
    with pytest.raises(module.Oops, match="first") as caught:
        with session.pipeline():
            first, second = module.fail("first"), module.fail("second")
            third = module.add(1, "x")
            both = module.add(second, first)
    notes = caught.value.__notes__
    assert [note for note in notes if "second" in note and "Oops" in note]
    assert [note for note in notes if "TypeError" in note]
    for promise, text in ((first, "first"), (second, "second")):
        with pytest.raises(module.Oops, match=text):
            promise.result()
    with pytest.raises(TypeError):
        third.result()
    with pytest.raises(module.Oops, match=r"first|second"):
        both.result()
    del first, second, third, both, promise, caught
    expect_nothing_kept(session, local)


def test_an_error_that_was_seen_is_not_raised_again(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """By `result`, `bool`, a plain use; of the call itself or of one that depends on it."""
    with session.pipeline():
        wrong = module.fail("seen")
        depends = module.add(wrong, 1)
        with pytest.raises(module.Oops, match="seen"):
            depends.result()
        right = module.add(1, 1)
    assert right.result() == 2
    with session.pipeline():
        wrong = module.fail("seen")
        with pytest.raises(module.Oops, match="seen"):
            bool(wrong)
        with pytest.raises(module.Oops, match="seen"):
            module.add(wrong, 1).result()
    with pytest.raises(module.Oops, match="not seen"):
        with session.pipeline():
            wrong, other = module.fail("seen"), module.fail("not seen")
            with contextlib.suppress(ValueError):
                wrong.result()
    del wrong, depends, right, other
    expect_nothing_kept(session, local)


def test_errors_of_what_gives_no_promise(session: wsremote.Session, module: Any) -> None:
    """Setting and deleting: at the end of the block."""
    with pytest.raises(KeyError, match="missing"):
        with session.pipeline():
            table = module.Table()
            del table["missing"]
    with pytest.raises(AttributeError):
        with session.pipeline():
            module.Thing(1).score = 5
    with pytest.raises(AttributeError, match="nothing"):
        with session.pipeline():
            module.Thing(1).nothing
    with pytest.raises(AttributeError, match="nothing"):
        with session.pipeline():
            module.Thing(1).nothing()
    assert module.add(1, 1) == 2


def test_wrong_arguments_are_raised_where_they_are_given(
    session: wsremote.Session, module: Any
) -> None:
    """Python binds them here; the block goes on if that is caught."""
    with session.pipeline():
        with pytest.raises(TypeError, match="'b'"):
            module.add(1)
        right = module.add(1, 1)
    assert right.result() == 2


# ---- leaving the block -------------------------------------------------------------------


def test_a_block_that_is_left_by_an_exception(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """What was not sent never runs, and says so; what was sent has ended; its errors are noted."""
    with pytest.raises(ZeroDivisionError) as caught:
        with session.pipeline():
            early = module.note("early", 1)
            wrong = module.fail("noted")
            assert early.result() == 1
            late = module.note("late", 2)
            depends = module.add(late, 1)
            named = late.real
            raise ZeroDivisionError("mine")
    assert local.module.log == ["early"]
    assert [note for note in caught.value.__notes__ if "noted" in note]
    assert early.result() == 1
    with pytest.raises(module.Oops, match="noted"):
        wrong.result()
    for each in (late, depends, named):
        with pytest.raises(CallCancelled, match=r"never started.*ZeroDivisionError"):
            each.result()
        with pytest.raises(CallCancelled, match="never started"):
            module.add(each, 1)
    assert module.add(1, 1) == 2
    del early, wrong, late, depends, named, each, caught
    expect_nothing_kept(session, local)


def test_a_block_that_is_left_by_an_interrupt(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """It does not wait: what runs is interrupted, what was not sent never runs."""
    with pytest.raises(KeyboardInterrupt):
        with session.pipeline() as pipeline:
            running = module.wait("never")
            behind = module.note("behind")
            pipeline.flush()
            assert local.module.started.get(timeout=PATIENCE) == "never"
            late = module.note("late")
            raise KeyboardInterrupt
    assert local.module.finished.get(timeout=PATIENCE) == ("never", "interrupted")
    with pytest.raises(CallCancelled, match="never started"):
        late.result()
    with pytest.raises(CallCancelled):
        running.result()
    with pytest.raises(CallCancelled):
        behind.result()
    assert module.add(1, 1) == 2
    assert local.module.log == []
    del running, behind, late, pipeline
    expect_nothing_kept(session, local)


def test_returning_out_of_the_block(local: Local, session: wsremote.Session, module: Any) -> None:
    """`return`, `break` and `continue` end it as its last line does."""

    def work() -> Any:
        with session.pipeline():
            module.note("one")
            return module.note("two", 2)

    assert work().result() == 2
    for _ in range(3):
        with session.pipeline():
            module.note("loop")
            continue
    assert local.module.log == ["one", "two", "loop", "loop", "loop"]


def test_the_session_is_closed_in_the_block(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Each use says so; the end of the block does, too, if no other exception leaves it."""
    with pytest.raises(SessionClosed):
        with session.pipeline():
            first = module.add(1, 1)
            session.close()
    with pytest.raises(SessionClosed):
        first.result()
    with pytest.raises(SessionClosed):
        session.pipeline().__enter__()
    with wsremote.connect(local.url, token=TOKEN, new=True) as other:
        theirs = getattr(other.modules, local.name)
        with pytest.raises(ZeroDivisionError):
            with other.pipeline():
                theirs.add(1, 1)
                other.close()
                raise ZeroDivisionError
    with wsremote.connect(local.url, token=TOKEN, new=True) as other:
        theirs = getattr(other.modules, local.name)
        with pytest.raises(SessionClosed):
            with other.pipeline():
                number = theirs.add(1, 1)
                assert number.result() == 2
                other.close()
                theirs.add(number, 1)


def test_a_promise_outlives_its_session(local: Local) -> None:
    """Its value is kept here if it was asked for; else it says that the session is over."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        module = getattr(session.modules, local.name)
        with session.pipeline():
            asked, unasked, thing = module.add(1, 1), module.add(2, 2), module.Thing()
        assert asked.result() == 2
        with session.pipeline():
            other = module.repeat(100_000)
    assert asked.result() == 2
    assert str(asked) == "2"
    with pytest.raises(SessionClosed):
        other.result()
    with pytest.raises(SessionClosed):
        thing.value
    repr(other), repr(thing)
    del asked, unasked, thing, other
    gc.collect()


# ---- beside other things -----------------------------------------------------------------


def test_nested_pipelines(local: Local, session: wsremote.Session, module: Any) -> None:
    """The inner one's promises are ready at its end; all in program order."""
    with session.pipeline():
        outer = module.note("outer", 1)
        with session.pipeline():
            inner = module.note("inner", 2)
            both = module.add(inner, outer)
        assert both.result() == 3
        after = module.add(module.note("after", 4), both)
        with pytest.raises(module.Oops, match="inner"):
            with session.pipeline():
                module.fail("inner")
    assert after.result() == 7
    assert local.module.log == ["outer", "inner", "after"]
    del outer, inner, both, after
    expect_nothing_kept(session, local)


def test_pipelines_of_two_sessions(local: Local, session: wsremote.Session, module: Any) -> None:
    """Each takes its own calls; a promise of one is refused by the other, with what to do."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as other:
        theirs = getattr(other.modules, local.name)
        with session.pipeline(), other.pipeline():
            mine = module.note("mine", 1)
            hers = theirs.note("theirs", 2)
            with pytest.raises(EncodeError, match=r"another session.*result\(\)"):
                theirs.add(mine, 1)
            with pytest.raises(EncodeError, match="another session"):
                theirs.identity([mine])
        assert (mine.result(), hers.result()) == (1, 2)
        with pytest.raises(EncodeError, match="another session"):
            theirs.add(mine, 1)
        with pytest.raises(EncodeError, match="another session"):
            other.submit(theirs.add, mine, 1).result(PATIENCE)
        assert theirs.add(mine.result(), 1) == 2
    assert sorted(local.module.log) == ["mine", "theirs"]


def in_thread(function: Callable[[], Any]) -> Any:
    """What a function gives, or raises, in a thread of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    (value,) = found
    return value


def test_other_threads(session: wsremote.Session, module: Any) -> None:
    """They call as ever; a promise is theirs when the block has ended, and before that refused."""
    with session.pipeline():
        number = module.identity(5)
        assert in_thread(lambda: module.add(1, 1)) == 2
        for use in (lambda: module.add(number, 1), number.result, lambda: number + 1):
            error = in_thread(use)
            assert isinstance(error, (EncodeError, RuntimeError)), error
            assert "another thread" in str(error)
        submitted = in_thread(lambda: session.submit(module.add, 1, 2).result(PATIENCE))
        assert submitted == 3

        def own() -> int:
            with session.pipeline():
                mine = module.add(2, 2)
            value: int = mine.result()
            return value

        assert in_thread(own) == 4
    assert in_thread(number.result) == 5
    assert in_thread(lambda: module.add(number, 1)) == 6
    assert in_thread(lambda: number + 1) == 6


def test_submit_inside_of_the_block(session: wsremote.Session, module: Any) -> None:
    """A future, not a promise; it may take promises, whose calls come first."""
    with session.pipeline():
        number = module.identity(5)
        future = session.submit(module.add, number, 1)
        assert future.result(PATIENCE) == 6
        more = module.add(number, 2)
        results = list(session.map(module.add, [number, more], [1, 1]))
        assert results == [6, 8]
        wrong = module.fail("first")
        with pytest.raises(module.Oops, match="first"):
            session.submit(module.add, wrong, 1).result(PATIENCE)
    assert more.result() == 7


def test_containers_are_written_back(session: wsremote.Session, module: Any) -> None:
    """By the end of the block; in order; also if the call has raised."""
    items: list[Any] = []
    table: dict[str, int] = {}
    with session.pipeline():
        module.extend(items, "x")
        length = module.update(table, a=1)
    assert items == [0, "x"]
    assert table == {"a": 1}
    assert length.result() is None
    with contextlib.suppress(ValueError), session.pipeline():
        module.extend_and_fail(items)
    assert items == [0, "x", "changed"]
    with session.pipeline():
        first = module.extend(items)
        assert first.result() == 4
        second = module.extend(items)
    assert second.result() == len(items)


def test_a_call_sees_what_those_before_it_have_changed(
    session: wsremote.Session, module: Any
) -> None:
    """Also what one has changed that has failed, and if Python needs its own value at once."""
    items: list[Any] = []
    array = np.zeros(3)
    with pytest.raises(module.Oops, match="after a change"), session.pipeline():
        module.extend_and_fail(items)
        text = module.text_of(items)
        module.fill(wsremote.inout(array), 1)
        total = module.text_of(array)
    assert [text.result(), total.result()] == ["['changed']", "array([1., 1., 1.])"]
    holder = module.Holder()
    with session.pipeline():
        module.extend(items, "x")
        is_in = items in holder
    assert is_in


def test_callbacks(local: Local, session: wsremote.Session, module: Any) -> None:
    """Functions of the client as arguments: called back while nobody waits, or somebody does."""
    seen: list[Any] = []

    def record(*values: Any) -> int:
        seen.append(values)
        return len(seen)

    with session.pipeline():
        first = module.call(record, 1)
        second = module.call(record, first)
        nested = module.call(lambda: module.add(20, 1))
        piped = module.call(lambda: session.pipeline)
    assert (first.result(), second.result(), nested.result()) == (1, 2, 21)
    assert seen == [(1,), (1,)]
    assert piped.result() == session.pipeline
    with pytest.raises(KeyError, match="mine"):
        with session.pipeline():
            module.call(lambda: {}["mine"])
    del first, second, nested, piped
    gc.collect()
    assert module.add(1, 1) == 2


def test_a_pipeline_inside_of_a_callback(session: wsremote.Session, module: Any) -> None:
    """Nested in the call that calls back, which waits."""

    def callback(number: int) -> int:
        with session.pipeline():
            found = module.add(number, 1) + module.identity(10)
        value: int = found.result()
        return value

    assert module.call(callback, 5) == 16
    assert session.submit(module.call, callback, 6).result(PATIENCE) == 17
    with session.pipeline():
        found = module.call(callback, 7)
    assert found.result() == 18


def test_async_functions(session: wsremote.Session, module: Any) -> None:
    """They are awaited on the server, and a promise is their value."""
    with session.pipeline():
        found = module.wait_and_add(1, 2)
        more = module.add(found, 1)
        both = module.wait_and_add(found, more)
    assert (found.result(), more.result(), both.result()) == (3, 4, 7)
    with pytest.raises(module.Oops, match="later"):
        with session.pipeline():
            module.fail_later("later")


def test_in_a_thread_with_a_running_loop(session: wsremote.Session, module: Any) -> None:
    """As in a cell of a notebook; also with calls that are awaited beside it."""

    async def main() -> list[Any]:
        awaited = await module.wait_and_add(1, 1)
        with session.pipeline():
            first = module.add(awaited, 1)
            second = module.wait_and_add(first, 1)
            early = module.add(second, 1).result()
        return [first.result(), second.result(), early, await module.wait_and_add(second, 1)]

    assert asyncio.run(main()) == [3, 4, 5, 5]


def test_output_and_warnings(apart: ServedProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """Of calls that nobody waits for, by the end of the block, in order."""
    with wsremote.connect(apart.url, token=apart.token, new=True) as session:
        module = session.modules.streamed
        with session.pipeline():
            for number in range(300):
                module.say(f"line {number}")
            last = module.say("last")
        assert capsys.readouterr().out.splitlines() == [
            *(f"line {number}" for number in range(300)), "last",
        ]  # fmt: skip
        assert last.result() == "last"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with session.pipeline():
                module.warn("careful")
        assert [str(each.message) for each in caught] == ["careful"]


def test_one_block_each(session: wsremote.Session, module: Any) -> None:
    """A pipeline is used once; what is wrong says what to do."""
    pipeline = session.pipeline()
    with pipeline as same:
        assert same is pipeline
        with pytest.raises(RuntimeError, match=r"session\.pipeline\(\)"):
            pipeline.__enter__()
        number = module.add(1, 1)
    with pytest.raises(RuntimeError, match=r"session\.pipeline\(\)"):
        with pipeline:
            pass
    assert number.result() == 2
    with session.pipeline():
        pass


def test_too_much_is_kept(tmp_path: Path) -> None:
    """Over --max-handles: an error that says so, and the others go on."""
    with narrow(tmp_path, max_handles=50) as (local, session, module):
        with pytest.raises(LimitExceeded, match="max-handles"):
            with session.pipeline():
                things = [module.Thing(number) for number in range(60)]
        assert things[0].result().value == 0
        with pytest.raises(LimitExceeded):
            things[59].result()
        del things
        expect_nothing_kept(session, local)


def test_modules_and_classes_inside_of_the_block(
    local: Local, session: wsremote.Session, module: Any
) -> None:
    """Variables of modules and of classes are promises, too; what is looked at here is not."""
    with session.pipeline():
        kind = module.Thing.kind
        log = module.log
        assert module.Thing.__name__ == "Thing"
        assert isinstance(module.Thing, type)
        thing = module.Thing(2)
        assert not isinstance(thing, module.Thing)
        with pytest.raises(AttributeError):
            thing.__wrapped__
    assert kind.result() == "thing"
    assert list(log.result()) == []


@pytest.mark.parametrize("max_calls", [8, 32, 1024])
def test_pipelines_of_many_threads(tmp_path: Path, max_calls: int) -> None:
    """Beside submitted calls and plain ones: none is refused, each has its own values."""
    with narrow(tmp_path, max_calls=max_calls) as (_, session, module):
        start = threading.Barrier(7)

        def pipe(number: int) -> int:
            start.wait(PATIENCE)
            with session.pipeline():
                value = module.identity(number)
                for _ in range(1000):
                    value = module.add(value, 1)
            return int(value.result())

        def submit() -> int:
            start.wait(PATIENCE)
            made = [session.submit(module.add, number, 1) for number in range(2000)]
            return sum(each.result(PATIENCE) for each in made)

        threads: dict[int, Any] = {}

        def work(number: int) -> None:
            try:
                threads[number] = pipe(number) if number else submit()
            except BaseException as error:
                threads[number] = error

        running = [threading.Thread(target=work, args=[number]) for number in range(7)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(PATIENCE)
        assert threads == {0: sum(range(1, 2001)), **{n: n + 1000 for n in range(1, 7)}}


@pytest.mark.parametrize("max_calls", [8, 32])
def test_pipelines_of_very_many_threads_that_the_server_is_behind_of(
    tmp_path: Path, max_calls: int
) -> None:
    """All begin while none goes on: each may have fewer calls under way, and none is refused."""
    with narrow(tmp_path, max_calls=max_calls) as (local, session, module):
        failed: list[BaseException] = []
        values: dict[int, int] = {}
        made = dict.fromkeys(range(40), 0)

        def pipe(number: int) -> None:
            try:
                with session.pipeline():
                    module.wait("of all")
                    for count in range(200):
                        value = module.add(number, 1)
                        made[number] = count + 1
                values[number] = value.result()
            except BaseException as error:
                failed.append(error)

        running = [threading.Thread(target=pipe, args=[number]) for number in range(40)]
        for thread in running:
            thread.start()
        before = -1
        # Until none goes on, which makes no more calls than may be under way.
        while not failed and (not all(made.values()) or sum(made.values()) != before):
            before = sum(made.values())
            for _ in range(20):
                barrier(local.server.poller)
        local.module.door("of all").set()
        for thread in running:
            thread.join(PATIENCE)
        assert failed == []
        assert values == {number: number + 1 for number in range(40)}


def test_many_large_arguments(tmp_path: Path) -> None:
    """They leave in messages of their own, a few at a time: neither side holds all of them."""
    with narrow(tmp_path, max_calls=16) as (local, session, module):
        with session.pipeline() as pipeline:
            texts = []
            for number in range(100):
                texts.append(module.identity("x" * 100_000 + str(number)))
                assert len(session._driver._sequence.unacked) < 50
                assert len(pipeline._barriers) + len(pipeline._alone) < 10
            last = [text[-1] for text in texts]
        assert [each.result() for each in last] == [str(number)[-1] for number in range(100)]
        del texts, last
        expect_nothing_kept(session, local)


def test_what_a_promise_cannot(local: Local, session: wsremote.Session, module: Any) -> None:
    """Python's own TypeError, or one that says what to do; nothing is sent for it."""
    uses: list[Callable[[Any], Any]] = [
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        json.dumps,
        next,
        enter,
        lambda promise: asyncio.run(promise),
    ]
    with session.pipeline():
        table = module.Table()
        for use in uses:
            with pytest.raises((TypeError, ValueError, AttributeError)):
                use(table)
            with pytest.raises((TypeError, ValueError, AttributeError)):
                use([table] if use in (copy.deepcopy, json.dumps) else table)
        assert {table: 1}[table] == 1
        total = sum([module.identity(1), module.identity(2)])
    assert local.module.log == []
    assert total.result() == 3
    for use, said in ((next, r"next\(promise.result"), (enter, "with promise.result")):
        with pytest.raises(TypeError, match=said):
            use(table)


def enter(promise: Any) -> None:
    """Use it as a context manager."""
    with promise:
        pass


def test_results_above_a_bound_stay(tmp_path: Path) -> None:
    """As those of other calls: a handle with a preview comes, which is used as the value itself."""
    with (
        serving(tmp_path, limits=Limits(), source=SOURCE) as local,
        wsremote.connect(local.url, token=TOKEN, new=True, max_result=20_000) as session,
    ):
        module = getattr(session.modules, local.name)
        with session.pipeline():
            long, short = module.repeat(30_000), module.repeat(10_000)
            items, number = module.identity([0]) * 30_000, module.add(1, 1)
        assert short.result() == "x" * 10_000 and number.result() == 2
        assert type(long.result()) is not str and type(items.result()) is not list
        assert long.result() is long.result()
        assert len(items.result()) == 30_000 and items.result()[7] == 0
        assert session.fetch(long.result()) == "x" * 30_000
        assert module.add(long.result(), "y") is not None
        del long, short, items, number
        expect_nothing_kept(session, local)


@pytest.mark.parametrize(
    "where", ["__call__", "outermost", "__exit__", "_leave", "flush", "_wait_for_all", "_errors"]
)
@pytest.mark.parametrize("error", [None, ValueError])
def test_an_interrupt_at_the_end_of_the_block(
    local: Local,
    session: wsremote.Session,
    module: Any,
    where: str,
    error: type[Exception] | None,
) -> None:
    """Before any of `__exit__` has run, or in it: the thread is out of the block in any case."""

    def interrupt(frame: Any, event: str, argument: object) -> Any:
        # Where Python looks for signals, before the first instruction of a function.
        if frame.f_code.co_name == where and "wsremote" in frame.f_code.co_filename:
            sys.settrace(None)
            raise KeyboardInterrupt
        return None

    before = sys.gettrace()
    promises = []
    try:
        with pytest.raises((KeyboardInterrupt, ValueError)):
            with session.pipeline() as pipeline:
                promises.append(module.note("sent", 1))
                pipeline.flush()
                promises.append(module.note("perhaps", 2))
                sys.settrace(interrupt)
                if error is not None:
                    raise error
    finally:
        sys.settrace(before)
    assert module.add(1, 1) == 2
    for promise in promises:
        with contextlib.suppress(CallCancelled):
            assert promise.result() in (1, 2)
    with session.pipeline():
        three = module.add(1, 2)
    assert three.result() == 3
    assert session._driver.batchers == [session._driver.submitting._batcher]
    assert local.module.log in ([], ["sent"], ["sent", "perhaps"])
    del promises, promise, pipeline, three
    expect_nothing_kept(session, local)


def test_arguments_that_are_too_large(tmp_path: Path) -> None:
    """Where they are given, before anything is sent; the session goes on."""
    with narrow(tmp_path, max_message_size=2**20, max_transfer_size=2**21) as (_, session, module):
        for value in ("x" * 2**22, b"x" * 2**22, ["x" * 2**21] * 2):
            with pytest.raises(LimitExceeded), session.pipeline():
                module.identity(value)
            assert module.add(1, 1) == 2


def test_a_timeout_bounds_the_block(local: Local, session: wsremote.Session, module: Any) -> None:
    """A call that does not end is interrupted, and the thread goes on."""
    with pytest.raises(CallTimeout, match="pipeline"), session.timeout(0.2), session.pipeline():
        waiting = module.wait("never")
    assert local.module.finished.get(timeout=PATIENCE) == ("never", "interrupted")
    assert module.add(1, 1) == 2
    del waiting
    expect_nothing_kept(session, local)


def test_a_promise_hashes_as_its_value(session: wsremote.Session, module: Any) -> None:
    """What is equal to a key must find it."""
    with session.pipeline():
        three = module.add(1, 2)
    assert {3: "three"}[three] == "three"
    assert len({three, 3}) == 1


def test_tracebacks_of_streams_are_without_our_frames(
    session: wsremote.Session, module: Any
) -> None:
    """The line of the user, then those of the server: as of a plain call."""

    def at_the_end() -> None:
        with session.pipeline():
            module.fail("x")

    uses: list[Callable[[], Any]] = [
        at_the_end,
        lambda: session.submit(module.fail, "x").result(),
        lambda: list(session.map(module.fail, ["x"])),
    ]
    for use in uses:
        with pytest.raises(Exception, match="x") as caught:
            use()
        files = [Path(entry.path).name for entry in caught.traceback]
        assert not [name for name in files if name in OURS], files


OURS = ("pipelines.py", "promises.py", "futures.py", "executor.py", "mapping.py", "receiving.py")
