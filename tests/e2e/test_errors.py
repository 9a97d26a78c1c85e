"""Exceptions that served code raises arrive as themselves."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sqlite3
import time
import traceback
from typing import Any

import pytest

import wsremote


def caught(function: Any, *args: Any, **kwargs: Any) -> BaseException:
    """What a call raises."""
    with pytest.raises(BaseException) as failed:
        function(*args, **kwargs)
    return failed.value


def test_the_class_is_the_packages_and_the_builtin_one(pkg: Any) -> None:
    """Caught as either; a class of its own, with its bases."""
    errors = pkg.errors
    with pytest.raises(errors.NotFound) as failed:
        errors.fail("lookup", "key")
    assert isinstance(failed.value, errors.PackageError)
    assert isinstance(failed.value, LookupError)
    assert type(failed.value) is errors.NotFound is pkg.errors.NotFound
    with pytest.raises(LookupError):
        errors.fail("lookup")
    with pytest.raises(ValueError, match="plain"):
        errors.fail("else", "plain")
    assert type(caught(errors.fail, "else")) is ValueError


def test_arguments_attributes_and_text(pkg: Any) -> None:
    """Of a class whose constructor takes others, and of one with its own `__str__`."""
    coded = caught(pkg.errors.fail, "coded", "try again")
    assert (coded.args, coded.code, coded.hint) == (("code 7",), 7, "try again")
    assert str(coded) == "code 7"
    assert repr(coded) == "CodedError('code 7')"
    missing = caught(pkg.errors.fail, "lookup", "key")
    assert str(missing) == "not found: key"
    assert missing.args == ("key",)


def test_notes(pkg: Any) -> None:
    """Those of the server, and no others: `pytest.raises(match=...)` looks at them."""
    error = caught(pkg.errors.fail, "note")
    assert error.__notes__ == ["look here"]
    with pytest.raises(ValueError, match=r"^broken$"):
        pkg.errors.fail("value")


def test_cause_and_context(pkg: Any) -> None:
    """The chain of exceptions, each with its frames."""
    error = caught(pkg.errors.fail, "cause", "broken")
    assert type(error) is pkg.errors.PackageError
    assert type(error.__cause__) is KeyError
    assert error.__cause__.args == ("missing",)
    assert error.__context__ is error.__cause__
    assert error.__suppress_context__
    text = "".join(traceback.format_exception(error))
    assert "The above exception was the direct cause" in text
    # The cause's frame and the error's own.
    assert len(re.findall(r"<wsremote \S+/samplepkg/errors.py", text)) == 2


def test_a_local_exception_is_the_context_of_a_remote_one(pkg: Any) -> None:
    """What was being handled here when the call was made."""
    with pytest.raises(pkg.errors.PackageError) as failed:
        try:
            raise OSError("here")
        except OSError:
            pkg.errors.fail()
    assert type(failed.value.__context__) is OSError


def test_groups(pkg: Any) -> None:
    """Taken apart by `except*`, members of the package's classes included."""
    seen = []
    try:
        pkg.errors.fail("group", "several")
    except* pkg.errors.NotFound as group:
        seen += group.exceptions
    except* ValueError as group:
        seen += group.exceptions
    found = {type(each): each.args for each in seen}
    assert found == {ValueError: (1,), pkg.errors.NotFound: ("x",)}


def test_the_frames_of_the_server_with_their_source(pkg: Any) -> None:
    """Where it happened: file, line, function and source line, the innermost last."""
    error = caught(pkg.functions.apply, pkg.errors.fail, "package", "broken")
    frames = traceback.extract_tb(error.__traceback__)
    remote = [frame for frame in frames if frame.line and "samplepkg" in frame.filename]
    assert [frame.name for frame in remote[-2:]] == ["apply", "fail"]
    assert remote[-1].line == "raise PackageError(detail)"
    assert remote[-1].filename.startswith("<wsremote 127.0.0.1:")
    assert remote[-1].filename.endswith(">/samplepkg/errors.py")
    text = "".join(traceback.format_exception(error))
    assert "return function(*args)" in text
    assert text.rstrip().splitlines()[-1] == "samplepkg.errors.PackageError: broken"
    # No frame of the server's own code, and no path of its machine.
    assert "dispatch.py" not in text
    assert "server/session.py" not in text


@pytest.mark.parametrize(
    ("expected", "expression"),
    [
        (KeyError, lambda pkg: pkg.constants.TABLE["nope"]),
        (IndexError, lambda pkg: pkg.containers.Sequence()[9]),
        (StopIteration, lambda pkg: next(pkg.containers.Countdown(0))),
        (AttributeError, lambda pkg: pkg.classes.Account("me").nope),
        (TypeError, lambda pkg: pkg.containers.Vector(1) + 1),
        (TypeError, lambda pkg: pkg.constants.first(0)),
        (RecursionError, lambda pkg: pkg.functions.recurse()),
        (ValueError, lambda pkg: pkg.values.Colour(99)),
    ],
)
def test_builtin_errors_of_operators_and_attributes(
    pkg: Any, expected: type[Exception], expression: Any
) -> None:
    """Each as Python raises it at home."""
    error = caught(expression, pkg)
    assert type(error) is expected


def test_a_missing_attribute_says_what_was_meant(pkg: Any) -> None:
    """Of an object, a module, and a package."""
    with pytest.raises(AttributeError, match="deposti"):
        pkg.classes.Account("me").deposti
    with pytest.raises(AttributeError, match=r"Did you mean: 'identity'\?"):
        pkg.functions.identitiy


def test_an_error_can_be_raised_again_and_sent_back(pkg: Any) -> None:
    """It is an ordinary exception object here, also as an argument of `with_traceback`."""
    error = caught(pkg.errors.fail, "coded")
    with pytest.raises(pkg.errors.CodedError) as failed:
        raise error.with_traceback(None)
    assert failed.value is error
    local = pkg.errors.PackageError("made here")
    assert str(local) == "made here"
    with pytest.raises(pkg.errors.PackageError, match="made here"):
        raise local


def test_exceptions_in_the_body_of_a_remote_context_manager(pkg: Any) -> None:
    """`__exit__` sees the exception, and may swallow it."""
    guard = pkg.containers.Guard(swallow=True)
    with guard:
        raise pkg.errors.PackageError("inside")
    assert guard.events == ["enter", "PackageError"]
    strict = pkg.containers.Guard()
    with pytest.raises(KeyError), strict:
        raise KeyError("out")
    assert strict.events == ["enter", "KeyError"]


# ---- callbacks ---------------------------------------------------------------------------


def test_a_callback_that_raises_shows_both_sides(pkg: Any) -> None:
    """The frame of the callback, that of the server between, and that of the caller."""

    def callback() -> None:
        raise ValueError("from the callback")

    error = caught(pkg.functions.apply, callback)
    assert type(error) is ValueError
    assert error.args == ("from the callback",)
    text = "".join(traceback.format_exception(error))
    assert "/samplepkg/functions.py" in text
    assert "return function(*args)" in text
    assert "in callback" in text
    assert 'raise ValueError("from the callback")' in text


def test_an_error_of_the_package_goes_through_a_callback(pkg: Any) -> None:
    """Raised on the server by a call of the callback, and seen by the caller as itself."""
    error = caught(pkg.functions.apply, lambda: pkg.errors.fail("coded", "deep"))
    assert (type(error), error.hint) == (pkg.errors.CodedError, "deep")


def test_a_callback_may_raise_what_the_package_defines(pkg: Any) -> None:
    """Made by the client, caught here and by the server's code as the package's own class."""
    missing = caught(pkg.errors.fail, "lookup", "key")

    def raise_again() -> None:
        raise missing

    error = caught(pkg.functions.apply, raise_again)
    assert error is missing
    assert type(error) is pkg.errors.NotFound
    assert str(error) == "not found: key"
    guard = pkg.containers.Guard(swallow=True)
    with guard:
        raise missing
    assert guard.events == ["enter", "NotFound"]


def test_an_exception_of_the_client_is_an_argument(pkg: Any) -> None:
    """A copy with class and args, which comes back as itself."""

    class Mine(Exception):
        pass

    error = ValueError("here", 1)
    assert pkg.functions.identity(error) is error
    guard = pkg.containers.Guard(swallow=True)
    with guard:
        raise Mine("only here")
    assert guard.events == ["enter", "Mine"]


def test_a_refusal_of_the_server_is_no_error_of_the_package(pkg: Any) -> None:
    """A module of Python's own that works on its machine is not served with what imports it."""
    with pytest.raises(wsremote.NotExposed, match="works on its machine"):
        pkg.functions.asyncio


# ---- originals and copies ----------------------------------------------------------------


def test_constructors_slots_properties_and_methods(pkg: Any) -> None:
    """An exception has here what it has there, and its class computes the rest there."""
    picky = caught(pkg.raising.fail, "there")
    assert type(picky) is pkg.raising.Picky
    assert (picky.args, picky.where, picky.seen, str(picky)) == ((7,), "there", [], "7 at there")
    assert picky.summary == "summary of there"
    assert [picky.note("a"), picky.note("b")] == [1, 2]
    with pytest.raises(AttributeError, match="nothing_such"):
        picky.nothing_such
    assert "where" in vars(picky)
    assert not [name for name in dir(picky) if "wsremote" in name]
    slotted = caught(pkg.raising.fail_slotted)
    assert (slotted.place, slotted.args) == ("drawer", ("drawer",))
    made = pkg.raising.Picky(9, where="made here")
    assert (str(made), made.summary) == ("9 at made here", "summary of made here")
    with pytest.raises(pkg.raising.Picky) as failed:
        raise made
    assert failed.value is made


def test_errors_of_the_operating_system(pkg: Any) -> None:
    """The class by its number, and the name of the file."""
    error = caught(pkg.raising.open_missing, "/no/such/file")
    assert type(error) is FileNotFoundError
    assert (error.errno, error.filename) == (2, "/no/such/file")


def test_a_group_of_a_class_of_its_own(pkg: Any) -> None:
    """Parts of it are of that class, as its `derive` says."""
    seen: list[object] = []
    try:
        pkg.raising.fail_several()
    except* pkg.raising.Picky as group:
        seen.append([type(group) is pkg.raising.Several, len(group.exceptions)])
    except* ValueError as group:
        seen.append([type(group) is pkg.raising.Several, len(group.exceptions)])
    except* KeyError as group:
        seen.append([type(group) is pkg.raising.Several, len(group.exceptions)])
    assert seen == [[True, 1], [True, 1], [True, 1]]


def test_a_whole_chain(pkg: Any) -> None:
    """With what was being handled here at its far end."""
    with pytest.raises(RuntimeError) as failed:
        try:
            raise OSError("here")
        except OSError:
            pkg.raising.raise_from("last")
    chain: list[str] = []
    error: BaseException | None = failed.value
    while error is not None:
        chain.append(type(error).__name__)
        error = error.__context__
    assert chain == ["RuntimeError", "Picky", "KeyError", "OSError"]
    assert type(failed.value.__context__.__cause__) is KeyError


def test_results_and_attributes(pkg: Any) -> None:
    """Exceptions that nobody raises here have all of it too, and go home as themselves."""
    error = pkg.raising.made("text")
    assert type(error) is ValueError
    assert (error.args, error.__notes__) == (("text",), ["made on the server"])
    assert type(error.__cause__) is KeyError
    assert "raise ValueError(text) from" in "".join(traceback.format_exception(error))
    assert pkg.raising.is_kept(error)
    assert not pkg.raising.is_kept(ValueError("text"))
    (again,) = pkg.raising.the_kept()
    assert pkg.raising.is_kept(again)
    pkg.raising.forget()
    held = pkg.raising.Holder()
    assert type(held.error) is pkg.raising.Picky
    assert held.error is held.error
    assert held.error.__notes__ == ["held"]
    with pytest.raises(pkg.raising.Picky) as failed:
        raise held.error
    assert failed.value is held.error


def test_an_exception_of_the_client_is_the_same_object_everywhere(pkg: Any) -> None:
    """Through the server and back, whatever its class, with both tracebacks."""

    class Mine(Exception):
        def __init__(self, *, where: str) -> None:
            super().__init__()
            self.where = where
            self.data = [1]

        def __str__(self) -> str:
            return f"mine {self.where}"

    for error in [Mine(where="here"), ValueError("x"), KeyError(1), SystemExit(3), Exception()]:
        kept = dict(vars(error))

        def fail(error: BaseException = error) -> None:
            raise error

        for _ in range(2):
            came = caught(pkg.raising.through, fail)
            # Python itself adds to the traceback of what is raised again.
            error.__traceback__, text = None, "".join(traceback.format_exception(error))
            assert came is error
            assert vars(came) == kept
            assert not hasattr(came, "__notes__")
            assert re.findall(r"in (\w+)\n", text) == ["caught", "through", "fail"]
        assert pkg.raising.caught(fail) is error
        assert caught(pkg.raising.raise_it, error) is error
    assert (
        pkg.raising.handled(lambda: pkg.raising.raise_it(Mine(where="x")), Exception) == "Mine ()"
    )


def test_what_the_server_does_to_an_exception_of_the_client(pkg: Any) -> None:
    """Notes, causes and contexts are there when it comes back."""
    error = ValueError("mine")

    def fail() -> None:
        raise error

    came = caught(pkg.raising.noting, fail, "seen there")
    assert came is error
    assert error.__notes__ == ["seen there"]
    wrapped = caught(pkg.raising.wrapping, fail)
    assert type(wrapped) is RuntimeError
    assert wrapped.__cause__ is error
    assert wrapped.__context__ is error


def test_an_exception_of_the_server_is_the_same_object_there(pkg: Any) -> None:
    """Raised by a call inside a callback, or given back by hand."""
    error = caught(pkg.raising.fail)
    pkg.raising.the_kept()
    assert caught(pkg.raising.raise_it, error) is error
    with pytest.raises(pkg.raising.Picky) as failed:
        pkg.raising.through(lambda: pkg.raising.fail("nested"))
    assert failed.value.where == "nested"
    error.add_note("mine")
    assert caught(pkg.raising.noting, lambda: pkg.raising.raise_it(error), "yours") is error
    assert error.__notes__ == ["mine", "yours"]


def test_the_server_catches_what_the_client_raises(pkg: Any) -> None:
    """By the builtin class, by its own class, and by parts of a group."""

    def fail(error: BaseException) -> Any:
        def function() -> None:
            raise error

        return function

    class Mine(LookupError):
        pass

    handled = pkg.raising.handled
    assert handled(fail(Mine("x")), LookupError) == "Mine ('x',)"
    assert handled(fail(pkg.errors.NotFound("x")), pkg.errors.PackageError) == "NotFound ('x',)"
    assert handled(fail(StopIteration(3)), StopIteration) == "StopIteration (3,)"
    group = ExceptionGroup("g", [ValueError(1), Mine(2), ValueError(3)])
    assert pkg.raising.split(fail(group)) == (2, 1)


def test_the_library_has_one_class_of_each_name(pkg: Any) -> None:
    """What `except` here names is what the server raises, and the reverse."""
    error = caught(pkg.raising.cancelled)
    assert type(error) is asyncio.CancelledError
    assert error.args == ("stop",)

    def fail() -> None:
        raise asyncio.CancelledError("mine")

    assert pkg.raising.handled(fail, asyncio.CancelledError) == "CancelledError ('mine',)"


def test_a_served_module_of_the_library(remote: wsremote.Session) -> None:
    """Its classes derive from those here: `except` works with either."""
    with pytest.raises(json.JSONDecodeError) as failed:
        remote.modules.json.loads("{")
    assert isinstance(failed.value, remote.modules.json.JSONDecodeError)
    assert failed.value.pos == 1
    with pytest.raises(sqlite3.OperationalError):
        remote.modules.sqlite3.connect(":memory:").execute("nonsense")
    with pytest.raises(remote.modules.sqlite3.DatabaseError):
        remote.modules.sqlite3.connect(":memory:").execute("nonsense")


# ---- iterators and generators ------------------------------------------------------------


def test_the_end_of_iterators_of_the_client(pkg: Any) -> None:
    """StopIteration ends a loop there, and comes out of `next`."""
    items = iter([1])
    assert pkg.raising.consume(items) == [1]
    assert type(caught(pkg.raising.step, items)) is StopIteration

    def failing() -> Any:
        yield 1
        raise KeyError("inside")

    error = caught(pkg.raising.consume, failing())
    assert (type(error), error.args) == (KeyError, ("inside",))

    def stopping() -> None:
        raise StopIteration("early")

    assert caught(pkg.raising.through, stopping).args == ("early",)


def test_generators_of_the_server(pkg: Any) -> None:
    """Return values, `throw` and `close`, as at home."""
    generator = pkg.raising.counting(1)
    assert next(generator) == 0
    assert caught(next, generator).value == "the end"
    generator = pkg.raising.counting(5)
    next(generator)
    assert generator.throw(KeyError("k")) == "thrown ('k',)"
    assert list(generator) == []
    generator = pkg.raising.counting(5)
    next(generator)
    generator.close()
    assert list(pkg.raising.log) == ["returned", "thrown ('k',)", "closed"]


def test_nothing_is_kept_of_exceptions_that_are_gone(remote: wsremote.Session, pkg: Any) -> None:
    """Both sides let go of originals when the copies are gone."""

    def fail() -> None:
        raise ValueError("mine")

    for _ in range(20):
        caught(pkg.raising.fail)
        caught(pkg.raising.through, fail)
        pkg.raising.made("x")
    pkg.raising.forget()
    gc.collect()
    deadline = time.monotonic() + 10
    while len(remote._driver.lending.handles) > 1 and time.monotonic() < deadline:
        pkg.functions.add(1, 1)
    assert len(remote._driver.lending.handles) <= 1
