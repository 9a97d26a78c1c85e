"""Exceptions that served code raises arrive as themselves."""

from __future__ import annotations

import re
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
    """Those of the server, and one that says where it was raised."""
    error = caught(pkg.errors.fail, "note")
    assert error.__notes__[0] == "look here"
    assert error.__notes__[-1].startswith("raised on 127.0.0.1:")


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
    # The cause's frame and the error's own, and that of the shallow function that was called.
    assert len(re.findall(r"<wsremote \S+/samplepkg/errors.py", text)) == 3


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
    assert text.rstrip().splitlines()[-2] == "samplepkg.errors.PackageError: broken"
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
    assert type(error) is pkg.errors.NotFound
    assert str(error) == "not found: key"
    guard = pkg.containers.Guard(swallow=True)
    with guard:
        raise missing
    assert guard.events == ["enter", "NotFound"]


def test_an_exception_of_the_client_is_an_argument(pkg: Any) -> None:
    """A copy with class and args; one of a class that the server has not, as its text."""

    class Mine(Exception):
        pass

    back = pkg.functions.identity(ValueError("here", 1))
    assert isinstance(back, ValueError)
    assert (back.args, str(back)) == (("here", 1), "('here', 1)")
    guard = pkg.containers.Guard(swallow=True)
    with guard:
        raise Mine("only here")
    assert guard.events == ["enter", "RemoteError"]


def test_a_refusal_of_the_server_is_no_error_of_the_package(pkg: Any) -> None:
    """A module of another package that a served one imports is not served."""
    with pytest.raises(wsremote.NotExposed, match="another package"):
        pkg.functions.asyncio
