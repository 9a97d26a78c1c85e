"""Exceptions: their class, content, chain and traceback on the other side."""

from __future__ import annotations

import copy
import json
import linecache
import pickle
import sqlite3
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest
from IPython.core.ultratb import VerboseTB

from wsremote.codec.faults import REMOTE_TEXT, decode_fault, encode_fault
from wsremote.errors import DecodeError, NotExposed, RemoteError


class PickyError(ValueError):
    """Its constructor takes what its args are not."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self._private = [1]


class TalkingError(Exception):
    """Has a text of its own."""

    def __str__(self) -> str:
        return f"talking about {self.args}"


class SlottedError(KeyError):
    """Keeps things outside of `__dict__`, and has a `__new__` that must not run again."""

    __slots__ = ("empty", "where")

    def __new__(cls, where: str, fine: bool = False) -> SlottedError:
        assert fine
        made = super().__new__(cls, where)
        made.where = where
        return made


class PickyGroup(ExceptionGroup[Exception]):
    """A group with a constructor of its own."""

    def derive(self, excs: Any) -> PickyGroup:
        return PickyGroup(self.message, excs)


def raised(error: BaseException) -> BaseException:
    """The error with a traceback of this file."""
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1, (2, [3])),
        KeyError("missing"),
        StopIteration(5),
        FileNotFoundError(2, "No such file", "/x"),
        OSError(18, "cross", "/a", None, "/b"),
        OSError("only text"),
        BlockingIOError(11, "again", 3),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "bad"),
        SyntaxError("bad", ("f.py", 1, 2, "text", 1, 3)),
        ImportError("no", name="pkg", path="/p"),
        AttributeError("no", name="x", obj=3),
        NameError("no", name="n"),
        ZeroDivisionError(),
        KeyboardInterrupt(),
        ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError("k")])]),
        BaseExceptionGroup("b", [KeyboardInterrupt()]),
        PickyGroup("p", [ValueError(1)]),
        PickyError(3, detail="d"),
        SlottedError("here", True),
        NotExposed("hidden"),
        json.JSONDecodeError("bad", "doc", 1),
        subprocess.CalledProcessError(3, ["cmd"]),
        sqlite3.OperationalError("locked"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_arrive_as_they_were(pair: Any, error: BaseException) -> None:
    """Class, args, text, and every attribute that one could read."""
    arrived = pair.raised(raised(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert repr(arrived) == repr(error)
    for name in dir(error):
        # Exceptions are equal only to themselves: groups have a test of their own.
        if name.startswith("__") or isinstance(error, BaseExceptionGroup):
            continue
        value = getattr(error, name, "nothing")
        if not callable(value):
            assert getattr(arrived, name, "nothing") == value, name


def test_group_members_are_rebuilt(pair: Any) -> None:
    """Each with its own notes and frames; shared ones stay shared."""
    inner = raised(KeyError("k"))
    inner.add_note("inner")
    group = raised(ExceptionGroup("g", [inner, ExceptionGroup("h", [inner])]))
    arrived = pair.raised(group)
    first, second = arrived.exceptions
    assert first is second.exceptions[0]
    assert first.__notes__ == ["inner"]
    assert first.__traceback__ is not None


def test_cause_context_and_notes(pair: Any) -> None:
    """The chain, its suppression, and one note that says where it ran."""
    try:
        try:
            {}["x"]
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        error.add_note("mine")
        arrived = pair.raised(error)
    assert type(arrived.__cause__) is KeyError
    assert arrived.__cause__ is arrived.__context__
    assert arrived.__suppress_context__
    assert arrived.__notes__ == ["mine"]
    text = "".join(traceback.format_exception(arrived))
    assert "direct cause" in text
    hidden = raised(ValueError())
    hidden.__context__, hidden.__suppress_context__ = KeyError(), True
    assert "KeyError" not in "".join(traceback.format_exception(pair.raised(hidden)))


def test_cycles_and_long_chains(pair: Any) -> None:
    """A cycle of contexts is kept, a chain of 1000 is cut."""
    first, second = ValueError(1), KeyError(2)
    first.__context__, second.__context__ = second, first
    arrived = pair.raised(first)
    assert arrived.__context__.__context__ is arrived
    chain: BaseException = ValueError(0)
    for number in range(1000):
        longer = ValueError(number)
        longer.__context__ = chain
        chain = longer
    arrived = pair.raised(chain)
    links = 0
    while arrived.__context__ is not None:
        arrived, links = arrived.__context__, links + 1
    assert links == 49


def test_a_text_of_its_own(pair: Any) -> None:
    """`str` on the other side travels for classes whose `__str__` may not be there."""
    assert pair.raised(TalkingError(1)).__dict__[REMOTE_TEXT] == "talking about (1,)"
    assert REMOTE_TEXT not in pair.raised(ValueError(1)).__dict__


def test_objects_in_exceptions(pair: Any) -> None:
    """Objects of the server become handles; what the client cannot send becomes text."""
    thing = object()
    error = raised(ValueError(thing, [thing]))
    error.thing = thing  # type: ignore[attr-defined]
    arrived = pair.raised(error)
    assert arrived.args[0] is arrived.args[1][0] is arrived.thing
    assert pair.there(arrived.thing) is thing
    answer = encode_fault(error, pair.client_codec)
    received = decode_fault(answer, pair.server_codec)
    assert received.args == (repr(thing), [repr(thing)])
    assert not hasattr(received, "thing")


def test_a_class_that_the_client_cannot_have(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `RemoteError` that names the class and says what the exception said."""
    payload = encode_fault(raised(PickyError(3, detail="d")), pair.server_codec)
    for number in pair.server.classes:
        monkeypatch.setitem(pair.server.classes, number, int)
    arrived = decode_fault(payload, pair.client_codec)
    assert type(arrived) is RemoteError
    assert arrived.remote_type == f"{PickyError.__module__}.PickyError"
    assert str(arrived) == f"{PickyError.__module__}:PickyError: 3: d"


def test_sys_exit_does_not_end_the_client(pair: Any) -> None:
    """It is reported, with its code and its frames."""
    arrived = pair.raised(raised(SystemExit(3)))
    assert type(arrived) is RemoteError
    assert arrived.remote_type == "builtins.SystemExit"
    assert "sys.exit(3)" in str(arrived)
    assert arrived.__traceback__ is not None
    assert "sys.exit()" in str(pair.raised(SystemExit()))


class Monster(Exception):
    """Everything about it raises."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    @property
    def attribute(self) -> int:
        raise RuntimeError


def test_exceptions_that_misbehave(pair: Any) -> None:
    """There is always a fault to send."""
    error = raised(Monster(Monster()))
    error.__notes__ = 7  # type: ignore[attr-defined]
    assert type(pair.raised(error)) is Monster
    deep: Any = ()
    for _ in range(1000):
        deep = (deep, [])
    arrived = pair.raised(ValueError(deep))
    assert type(arrived) is ValueError


def serve_division(a: int, b: int) -> float:
    """Raises below."""

    def inner() -> float:
        return a / b  # the line to show

    return inner()


def division_error(pair: Any) -> BaseException:
    """A ZeroDivisionError of the server, with this file's frames."""
    try:
        serve_division(1, 0)
    except ZeroDivisionError as error:
        return pair.raised(error)  # type: ignore[no-any-return]
    raise AssertionError


def test_tracebacks_show_remote_source(pair: Any) -> None:
    """File, line, function and source line of each remote frame."""
    arrived = division_error(pair)
    frames = traceback.extract_tb(arrived.__traceback__)
    code = serve_division.__code__
    assert frames[-1].filename.startswith("<wsremote gpu-1>/")
    assert frames[-1].filename.endswith("test_faults.py")
    assert str(Path(__file__).parents[1]) not in frames[-1].filename
    assert frames[-1].line == "return a / b  # the line to show"
    assert [frame.name for frame in frames] == ["division_error", "serve_division", "inner"]
    assert frames[-2].lineno is not None
    assert code.co_firstlineno < frames[-2].lineno
    text = "".join(traceback.format_exception(arrived))
    assert "    return a / b  # the line to show\n" in text
    tb = arrived.__traceback__
    while tb is not None:
        assert tb.tb_frame.f_lineno == tb.tb_lineno
        assert {line for _, _, line in tb.tb_frame.f_code.co_lines()} == {tb.tb_lineno}
        assert tb.tb_frame.f_globals["__name__"] == __name__
        tb = tb.tb_next


def test_ipython_points_at_the_remote_line(pair: Any) -> None:
    """Its arrow is on the line, its context lines are the remote ones."""
    arrived = division_error(pair)
    shown = VerboseTB(theme_name="nocolor").text(type(arrived), arrived, arrived.__traceback__)
    arrows = [line for line in shown.splitlines() if line.startswith("-")]
    assert any(line.endswith("return a / b  # the line to show") for line in arrows), shown
    assert "def inner() -> float:" in shown


def test_source_survives_checkcache(pair: Any) -> None:
    """`linecache` looks for no file of that name."""
    arrived = division_error(pair)
    linecache.checkcache()
    assert traceback.extract_tb(arrived.__traceback__)[-1].line


def test_frames_of_ours_are_left_out(pair: Any) -> None:
    """What was raised through the codec shows the caller's frames only."""
    try:
        pair.server_codec.decode(b"")
    except DecodeError as error:
        arrived = pair.raised(error)
    names = [frame.name for frame in traceback.extract_tb(arrived.__traceback__)]
    assert names == ["test_frames_of_ours_are_left_out"]


def test_runaway_recursion(pair: Any) -> None:
    """The outermost and innermost frames travel, with a mark between them."""

    def dive() -> None:
        dive()

    try:
        dive()
    except RecursionError as error:
        payload = encode_fault(error, pair.server_codec)
    assert len(payload) < 60_000
    arrived = decode_fault(payload, pair.client_codec)
    frames = traceback.extract_tb(arrived.__traceback__)
    assert len(frames) == 101
    assert "frames left out" in frames[20].filename


def test_a_remote_file_is_named_once(pair: Any) -> None:
    """Frames of a callback that come back keep the name they were given first."""
    arrived = division_error(pair)
    again = pair.raised(arrived)
    names = {frame.filename for frame in traceback.extract_tb(again.__traceback__)}
    assert all(name.count("<wsremote") == 1 for name in names)


# ---- from the client to the server -------------------------------------------------------


def test_an_exception_is_an_argument(pair: Any) -> None:
    """A whole argument that is an exception arrives as one, with what it holds and its cause."""
    error = PickyError(5, detail="late")
    error.__cause__ = KeyError("first")
    error.add_note("look here")
    arrived = pair.there(raised(error))
    assert type(arrived) is PickyError
    assert (arrived.args, arrived.code, arrived.__notes__) == (("5: late",), 5, ["look here"])
    assert arrived.__cause__.args == ("first",)
    assert arrived.__traceback__ is not None
    request = pair.client_codec.encode_call((1,), {"error": error})
    assert type(pair.server_codec.decode_call(*request).kwargs["error"]) is PickyError


def test_an_exception_inside_of_an_argument(pair: Any) -> None:
    """A copy with all it has, which comes home as the original; met twice it is one."""
    error = raised(KeyError("k"))
    error.add_note("here")
    error.__cause__ = raised(ValueError("why"))
    first, again = pair.there([error, error])
    assert first is again
    assert (type(first), first.args, first.__notes__) == (KeyError, ("k",), ["here"])
    assert first.__cause__.args == ("why",)
    assert first.__traceback__ is not None
    assert pair.back([first])[0] is error
    assert pair.back(copy.copy(first)) is not error


def test_an_exception_that_holds_itself(pair: Any) -> None:
    """In its arguments or attributes: its text stands there."""
    error = ValueError("outer")
    error.args = (error, 1)
    error.inner = KeyError("inner")  # type: ignore[attr-defined]
    error.inner.outer = error  # type: ignore[attr-defined]
    arrived = pair.there(error)
    assert type(arrived) is ValueError
    assert arrived.args[1] == 1
    assert type(arrived.inner) is KeyError


def test_an_exception_that_comes_home_is_the_same_object(pair: Any) -> None:
    """Raised by the client, seen by the server, raised through it: with what happened there."""
    error = raised(PickyError(3, detail="d"))
    kept = error._private
    there = decode_fault(encode_fault(error, pair.client_codec), pair.server_codec, "the client")
    assert type(there) is PickyError
    assert there is not error
    there.add_note("seen by the server")
    there.code = 4
    there.__cause__ = raised(OSError("cause"))
    home = decode_fault(encode_fault(raised(there), pair.server_codec), pair.client_codec, "gpu-1")
    assert home is error
    assert home.__notes__ == ["seen by the server"]
    assert home.code == 4
    assert home._private is kept
    assert type(home.__cause__) is OSError
    functions = [frame.name for frame in traceback.extract_tb(home.__traceback__)]
    assert functions == ["raised", "raised"]
    files = [frame.filename for frame in traceback.extract_tb(home.__traceback__)]
    assert files[0].startswith("<wsremote gpu-1>/")
    assert files[1] == __file__


def test_an_exception_that_comes_again_is_the_same_copy(pair: Any) -> None:
    """As any object of the server is, for classes whose instances can be referred to weakly."""
    error = PickyError(3, detail="d")
    first = pair.back([error])[0]
    error.add_note("later")
    assert pair.back([error])[0] is first
    assert first.__notes__ == ["later"]
    assert pickle.loads(pickle.dumps(KeyError(1))).args == (1,)


def record(name: str, attributes: dict[str, object]) -> list[object]:
    """One exception on the wire, of a class without number."""
    return [name, None, ["text"], attributes, [], None, None, False, None, "text", False, [], None]


def test_a_served_class_is_found_by_its_path(pair: Any) -> None:
    """A client announces no classes; it names those of the server."""
    pair.server.served = {"pkg:PickyError": PickyError, "pkg:print": print}
    for name, expected in [
        ("pkg:PickyError", PickyError),
        ("pkg:print", RemoteError),
        ("pkg:nothing", RemoteError),
        ("builtins:KeyError", KeyError),
    ]:
        payload = pair.client_codec.encode([record(name, {})]).payload
        assert type(decode_fault(payload, pair.server_codec)) is expected


def test_the_class_of_an_exception_is_no_attribute(pair: Any) -> None:
    """Neither sent as one nor taken as one: nobody changes the class of an object."""
    pair.client.served = pair.server.served = {"pkg:TalkingError": TalkingError}
    hostile = record("wsremote.errors:RemoteError", {"__class__": TalkingError, "fine": 1})
    payload = pair.client_codec.encode([hostile]).payload
    arrived = decode_fault(payload, pair.server_codec)
    assert type(arrived) is RemoteError
    assert arrived.fine == 1
    sent = pair.server_codec.decode(encode_fault(raised(TalkingError(1)), pair.client_codec))
    assert sent[0][3] == {}
    pair.client.unlend(sent[0][-1])
