"""Bad input: a clear error at the right side, and server, session and others go on."""

from __future__ import annotations

import contextlib
import http.server
import io
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, SERVE, Serve, ServedProcess, start_server

import wsremote
from wsremote.errors import (
    AuthenticationFailed,
    CallCancelled,
    ConnectionFailed,
    EncodeError,
    LimitExceeded,
    NotExposed,
    RemoteError,
    SessionClosed,
    SessionLost,
    StaleHandle,
)

MIB = 1024 * 1024
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of code that misbehaves, with low limits."""
    limits = ["--max-message-size", "1M", "--max-transfer-size", "2M", "--max-calls", "8"]
    limits += ["--max-handles", "50", "--max-sessions", "3"]
    served = start_server(
        "unruly", "json", *limits, folder=tmp_path_factory.mktemp("server"), path=(HERE,)
    )
    yield served
    served.stop()


@pytest.fixture
def remote(unruly: ServedProcess) -> Iterator[wsremote.Session]:
    """The session that gets the bad input. Afterwards it, and another one, still work."""
    with (
        wsremote.connect(unruly.url, token=unruly.token, new=True) as bystander,
        wsremote.connect(unruly.url, token=unruly.token, new=True) as session,
    ):
        assert bystander.modules.unruly.add(1, 2) == 3
        yield session
        assert session.modules.unruly.add(1, 2) == 3
        assert bystander.modules.unruly.add(1, 2) == 3


@pytest.fixture
def pkg(remote: wsremote.Session) -> Any:
    """The served package."""
    return remote.modules.unruly


@contextlib.contextmanager
def nothing_sent(session: wsremote.Session) -> Iterator[None]:
    """Assert that the block sends no message."""
    before = session._driver.messages
    yield
    assert session._driver.messages == before


# ---- names ---------------------------------------------------------------------------


def test_serving_an_unknown_package_is_one_line(tmp_path: Path) -> None:
    """It names the package and one that was meant; exit code 1."""
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*SERVE, "jsn", "--port", "0"],
        capture_output=True,
        env=environment,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == "Error: no module named 'jsn' is installed here. Did you mean 'json'?\n"


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (
            lambda session: session.modules.unrly,
            r"no package 'unrly' is served at ws://.*\. Did you mean: 'unruly'\?",
        ),
        (
            lambda session: session.modules.unruly.ad,
            r"served module 'unruly' has no attribute 'ad'\. Did you mean: 'add'\?",
        ),
        (
            lambda session: session.modules.unruly.Thing().nam,
            r"'Thing' object has no attribute 'nam'\. Did you mean: 'name'\?",
        ),
        (
            lambda session: session.modules.unruly.Thing().gret(),
            r"'Thing' object has no attribute 'gret'\. Did you mean: 'greet'\?",
        ),
        (
            lambda session: session.modules.unruly.Thing.labl,
            r"type object 'Thing' has no attribute 'labl'\. Did you mean: 'label'\?",
        ),
    ],
    ids=["package", "function", "attribute", "method", "class attribute"],
)
def test_an_unknown_name_says_what_was_meant(
    remote: wsremote.Session, use: Callable[[wsremote.Session], object], text: str
) -> None:
    """AttributeError, worded as Python words it."""
    with pytest.raises(AttributeError, match=text):
        use(remote)


def test_an_unknown_module_says_what_was_meant(remote: wsremote.Session) -> None:
    """KeyError for a look-up by full name."""
    with pytest.raises(KeyError, match=r"no module 'unrly'.* Did you mean: 'unruly'\?"):
        remote.modules["unrly"]


@pytest.mark.parametrize("name", ["ad\0d", "ad\ud800d", "a.b", "", "é" * 10_000])
def test_an_odd_name_is_an_error_like_any_other(pkg: Any, name: str) -> None:
    """NUL, a lone surrogate, a dot, nothing, and a long one: for modules and objects."""
    thing = pkg.Thing()
    for owner in (pkg, thing, pkg.Thing):
        with pytest.raises(AttributeError):
            getattr(owner, name)
    for owner in (pkg, thing):
        if not name.isidentifier():
            with pytest.raises((NotExposed, AttributeError)):
                setattr(owner, name, 1)


@pytest.mark.parametrize("path", ["os:system", "unruly:add.__globals__", "unruly:\0", "\ud800:f"])
def test_a_path_that_is_not_served_is_refused(remote: wsremote.Session, path: str) -> None:
    """Also when the client's own checks are passed by."""
    with pytest.raises((NotExposed, AttributeError, ImportError)):
        remote._driver.call(path, (), None)


# ---- arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, r"add\(\) missing 1 required positional argument: 'a'"),
        ((1, 2, 3), {}, r"add\(\) takes from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"c": 2}, r"add\(\) got an unexpected keyword argument 'c'"),
        ((1,), {"a": 2}, r"add\(\) got multiple values for argument 'a'"),
    ],
)
def test_wrong_arguments_are_not_sent(
    remote: wsremote.Session, pkg: Any, args: tuple[Any, ...], kwargs: dict[str, Any], text: str
) -> None:
    """Python's own TypeError, at no message."""
    with nothing_sent(remote), pytest.raises(TypeError, match=text):
        pkg.add(*args, **kwargs)


def nested(kind: Callable[..., Any], levels: int) -> Any:
    """A container inside a container inside..."""
    made = kind()
    for _ in range(levels):
        made = kind([made])
    return made


@pytest.mark.parametrize(
    ("args", "where"),
    [
        ((wsremote.ship(threading.Lock()),), "argument 1: "),
        ((1, [2, {"key": wsremote.inout([])}]), "argument 2, item 1, key 'key': "),
        (({wsremote.ship(threading.Lock())},), "argument 1, a member of the set: "),
        ((1, nested(tuple, 5_000)), "argument 2: .* nested more than"),
    ],
)
def test_an_argument_that_cannot_travel_is_named(
    remote: wsremote.Session, pkg: Any, args: tuple[Any, ...], where: str
) -> None:
    """EncodeError, a TypeError, says which argument and where in it; nothing is sent."""
    assert pkg.add(1, 2) == 3
    with nothing_sent(remote), pytest.raises(EncodeError, match=where) as caught:
        pkg.add(*args)
    assert isinstance(caught.value, TypeError)


def test_a_deep_list_travels(pkg: Any) -> None:
    """There and back: lists may nest to any depth."""
    assert pkg.depth(nested(list, 5_000)) == 5_000
    assert pkg.depth(pkg.deep(5_000, list)) == 5_000


def test_an_argument_above_the_limit_is_not_sent(remote: wsremote.Session, pkg: Any) -> None:
    """LimitExceeded at the caller: what, how large, the limit, and the flag that sets it."""
    with (
        nothing_sent(remote),
        pytest.raises(LimitExceeded, match=r"unruly:size .* takes 10444\d\d .*--max-message-size"),
    ):
        pkg.size(frozenset(range(2**60, 2**60 + 200_000)))
    with nothing_sent(remote), pytest.raises(LimitExceeded, match=r"--max-transfer-size"):
        pkg.size(b"x" * 3 * MIB)
    assert pkg.size(b"x" * MIB) == MIB


def test_the_result_of_a_callback_above_the_limit_is_its_error(pkg: Any) -> None:
    """It arrives in the served code, and from there at the caller."""
    with pytest.raises(LimitExceeded, match="a function called back"):
        pkg.call(lambda: [2**60] * 200_000)
    with (
        pytest.raises(LimitExceeded, match="a function of the client is called with"),
        pytest.warns(UserWarning, match="more than 10000 elements"),
    ):
        pkg.call_with_numbers(lambda numbers: None, 200_000)


# ---- results -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["unprintable", "lock", "killing"])
def test_a_result_that_cannot_travel_is_a_handle(pkg: Any, what: str) -> None:
    """It stays on the server and can be sent back."""
    thing = pkg.give(what)
    assert pkg.call(lambda same: same is thing, thing)


def test_a_part_of_a_result_that_cannot_travel_is_a_handle(pkg: Any) -> None:
    """What is around it is copied."""
    number, table = pkg.give("nested")
    assert number == 1
    with table["lock"]:
        assert table["lock"].locked()


def test_a_result_nested_too_deep_is_an_error(pkg: Any) -> None:
    """The call has run; the caller hears why there is no value."""
    with pytest.raises(EncodeError, match="nested more than"):
        pkg.deep(5_000, tuple)


def test_a_result_above_the_limit_is_an_error_at_the_caller(pkg: Any) -> None:
    """It names the function, the sizes and the flag."""
    with pytest.raises(
        LimitExceeded, match=r"the result of unruly:numbers .* 1048576 bytes.*--max-message-size"
    ):
        pkg.numbers(200_000)
    assert len(pkg.text(3 * MIB // 2)) == 3 * MIB // 2
    with pytest.raises(LimitExceeded, match=r"the result of unruly:text .*--max-transfer-size"):
        pkg.text(3 * MIB)


def test_changes_above_the_limit_are_an_error_at_the_caller(pkg: Any) -> None:
    """What the call has put into an argument is too large to come back."""
    items: list[int] = []
    with pytest.raises(LimitExceeded) as caught:
        pkg.extend(items, 200_000)
    assert "what the call changed in its arguments is lost" in "".join(caught.value.__notes__)
    assert items == []


def test_megabytes_of_prints_arrive(pkg: Any) -> None:
    """All of them, before the result."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert pkg.shout(20) == 20
    assert len(printed.getvalue()) == 20 * MIB


def test_a_print_that_the_terminal_cannot_show_is_escaped(pkg: Any) -> None:
    """The call does not fail because of the encoding of the client's stdout."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(terminal):
        assert pkg.shout(1, "\ud800") == 1
    terminal.seek(0)
    assert terminal.read(12) == r"\ud800\ud800"


# ---- served code that ends badly -----------------------------------------------------


def test_a_served_exception_is_its_own_class(pkg: Any) -> None:
    """With arguments and attributes."""
    with pytest.raises(pkg.Odd) as caught:
        pkg.fail("odd")
    assert caught.value.args == ("odd", 7)
    assert caught.value.code == 7


@pytest.mark.parametrize(("kind", "name"), [("speechless", "Speechless"), ("leaving", "Leaving")])
def test_an_exception_that_cannot_be_shown_arrives(pkg: Any, kind: str, name: str) -> None:
    """Its `__str__` raises, or exits."""
    with pytest.raises(getattr(pkg, name)) as caught:
        pkg.fail(kind)
    assert str(caught.value) == f"<{name} object>"


def test_an_exception_that_cannot_be_read_arrives_as_its_name(pkg: Any) -> None:
    """Every attribute of it raises."""
    with pytest.raises((RemoteError, pkg.Liar), match="nothing more of this exception could be"):
        pkg.fail("liar")


def test_a_huge_exception_is_shortened(pkg: Any) -> None:
    """It is below the limit for messages, and says how much is missing."""
    with pytest.raises(ValueError, match=r"^x{100000}\.\.\. \(4900000 characters left out\)"):
        pkg.fail_with_text(5_000_000)


def test_a_long_chain_of_exceptions_is_cut(pkg: Any) -> None:
    """The nearest causes arrive."""
    with pytest.raises(ValueError, match="9999") as caught:
        pkg.fail_with_chain(10_000)
    assert caught.value.__cause__.args == (9998,)


def test_recursion_for_ever_is_a_recursion_error(pkg: Any) -> None:
    """In Python code and through C code."""
    with pytest.raises(RecursionError):
        pkg.recurse()
    with pytest.raises(RecursionError):
        pkg.spiral()


def test_an_exit_ends_the_call_and_nothing_else(pkg: Any) -> None:
    """`sys.exit` is reported and ends neither side."""
    with pytest.raises(RemoteError, match=r"called sys\.exit\(3\); the server and the session go"):
        pkg.leave("exit")
    with pytest.raises(GeneratorExit):
        pkg.leave("generator")
    with pytest.raises(CallCancelled, match="unruly:leave was interrupted"):
        pkg.leave("interrupt")


def test_an_exit_in_a_thread_of_the_package_ends_that_thread(pkg: Any) -> None:
    """As in any Python."""
    assert pkg.leave_from_a_thread() == "left"


def test_an_exit_sent_to_the_thread_of_a_call_ends_the_call(pkg: Any) -> None:
    """The next call runs on the same thread."""
    with pytest.raises(RemoteError, match=r"sys\.exit"):
        pkg.kill_lane()


def test_an_exit_sent_to_an_idle_thread_changes_nothing(pkg: Any) -> None:
    """The thread of earlier calls goes on to the next ones."""
    ident = pkg.current_thread()
    for _ in range(20):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(pkg.kill_lane, ident).result(10)
        # It may still hit this call, which says so.
        with contextlib.suppress(RemoteError):
            assert pkg.current_thread() == ident
        assert pkg.current_thread() == ident


# ---- handles -------------------------------------------------------------------------


def test_an_object_of_another_session_is_refused(
    remote: wsremote.Session, unruly: ServedProcess, pkg: Any
) -> None:
    """StaleHandle says whose it is and what to do; nothing is sent."""
    with wsremote.connect(unruly.url, token=unruly.token, new=True) as other:
        theirs = other.modules.unruly.Thing()
        with (
            nothing_sent(remote),
            pytest.raises(StaleHandle, match=f"belongs to session {other.id} .* in this session"),
        ):
            pkg.name_of(theirs)


def test_a_handle_that_was_released_or_never_was_is_stale(remote: wsremote.Session) -> None:
    """The text does not tell which."""
    thing = remote.modules.unruly.Thing()
    handle, gone = thing._wsremote_handle, weakref.ref(thing)
    del thing
    assert gone() is None
    for number in (handle, 999_999):
        with pytest.raises(StaleHandle, match="released, or it belongs to another session; get it"):
            remote._driver.call_method(number, "greet", (), None)


def test_too_many_objects_are_an_error_and_dropping_some_helps(pkg: Any) -> None:
    """LimitExceeded names the bound and its flag."""
    things = [pkg.Thing() for _ in range(50)]
    with pytest.raises(LimitExceeded, match=r"50 remote objects.*--max-handles"):
        pkg.Thing()
    things.clear()
    assert pkg.Thing("again").greet() == "I am again"


# ---- too many ------------------------------------------------------------------------


def test_too_many_calls_at_once_are_refused_one_by_one(pkg: Any) -> None:
    """Those under way go on, the one too many is LimitExceeded and has not run."""
    pkg.close_gate()
    with ThreadPoolExecutor(8) as pool:
        waiting: list[Future[str]] = [pool.submit(pkg.wait) for _ in range(7)]
        pkg.await_waiting(7)
        # The eighth calls back, and inside of that the limit is reached.
        with pytest.raises(LimitExceeded, match=r"8 calls of this session .*--max-calls \(8 now\)"):
            pkg.call(lambda: pkg.add(1, 2))
        pkg.open_gate()
        assert [each.result(10) for each in waiting] == ["went on"] * 7


def test_too_many_sessions_are_refused(remote: wsremote.Session, unruly: ServedProcess) -> None:
    """ConnectionFailed names the server and the flag; when one ends there is room again."""
    with wsremote.connect(unruly.url, token=unruly.token, new=True):
        with pytest.raises(ConnectionFailed, match=rf"{unruly.url}: .*--max-sessions \(3 now\)"):
            wsremote.connect(unruly.url, token=unruly.token, new=True)
    with wsremote.connect(unruly.url, token=unruly.token, new=True) as session:
        assert session.modules.unruly.add(1) == 2


# ---- connecting ----------------------------------------------------------------------


def test_a_wrong_token_is_refused(remote: wsremote.Session, unruly: ServedProcess) -> None:
    """AuthenticationFailed names the server and the ways to give the right one."""
    with pytest.raises(AuthenticationFailed, match=rf"{unruly.url}: .*WSREMOTE_TOKEN"):
        wsremote.connect(unruly.url, token="wrong", new=True)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port where something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    """Where a client would look for it."""
    return f"ws://127.0.0.1:{listening.getsockname()[1]}"


def test_a_port_where_nobody_listens(listener: socket.socket) -> None:
    """It names the address and asks whether the server runs."""
    url = url_of(listener)
    listener.close()
    with pytest.raises(ConnectionFailed, match=f"Nothing listens at {url} .* Is 'wsremote serve'"):
        wsremote.connect(url, token="t")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", r"no wsremote server: it answered 'SSH-2\.0"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no wsremote server: its answer to the Web"),
        (b"\0" * 100, "no wsremote server: it answered"),
    ],
)
def test_a_plain_socket_at_the_other_end(listener: socket.socket, said: bytes, text: str) -> None:
    """What it says, or that it says nothing, is in the text."""

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(said)

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(ConnectionFailed, match=text):
        wsremote.connect(url_of(listener), token="t")
    thread.join()


def test_a_silent_socket_at_the_other_end(listener: socket.socket) -> None:
    """It takes connections and never answers: the time limit ends the wait."""
    with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.2 s"):
        wsremote.connect(url_of(listener), token="t", timeout=0.2)


class Quiet(http.server.BaseHTTPRequestHandler):
    """Answers 404 to all and logs nothing."""

    def do_GET(self) -> None:
        """Of `BaseHTTPRequestHandler`."""
        self.send_error(404)

    def log_message(self, *args: Any) -> None:
        """Of `BaseHTTPRequestHandler`."""


def test_a_web_server_at_the_other_end() -> None:
    """It is called that."""
    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(
            ConnectionFailed, match=r"is a web server, no wsremote server \(HTTP 404"
        ):
            wsremote.connect(url_of(server.socket), token="t")
        thread.join()


# ---- the server ends -----------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill", "os._exit"])
def test_a_server_that_ends_during_a_call(serve: Serve, end: str) -> None:
    """SessionLost at the waiting calls, and at every later use: what, where, what next.

    One that says nothing may come back: its clients wait, and learn from its successor.
    """
    served = serve("unruly", path=(HERE,))
    served.expected_code = {"stop": 0, "kill": -9, "os._exit": 9}[end]
    session = wsremote.connect(served.url, token=served.token, new=True)
    pkg = session.modules.unruly
    thing = pkg.Thing()
    with ThreadPoolExecutor(2) as pool:
        waiting = {"unruly:wait": pool.submit(pkg.wait)}
        pkg.await_waiting(1)
        if end == "stop":
            served.process.terminate()
        elif end == "kill":
            served.process.kill()
        else:
            waiting["unruly:leave"] = pool.submit(pkg.leave, "process")
        assert served.process.wait(10) == served.expected_code
        reason, text = "shutdown", "the server is shutting down"
        if end != "stop":
            reason, text = "restart", "the server was restarted"
            serve("unruly", path=(HERE,), port=served.port)
        for call in waiting.values():
            with pytest.raises(
                SessionLost, match=rf"{served.url} is lost: {text}.*unruly:wait.*connect"
            ) as caught:
                call.result(20)
            assert caught.value.reason == reason
            assert sorted(caught.value.unknown) == sorted(waiting)
            assert [handle.partition(" ")[0] for handle in caught.value.handles] == ["Thing"]
    with pytest.raises(SessionLost, match=rf"is lost: {text}.*wsremote\.connect\(\.\.\.\)"):
        thing.greet()
    with pytest.raises(SessionLost):
        pkg.add(1)
    assert session.closed
    session.close()


def test_a_closed_session_says_so(remote: wsremote.Session, unruly: ServedProcess) -> None:
    """Not before it is closed, and ever after."""
    other = wsremote.connect(unruly.url, token=unruly.token, new=True)
    thing = other.modules.unruly.Thing()
    other.close()
    with pytest.raises(SessionClosed, match=r"it was closed here.*wsremote\.connect\(\.\.\.\)"):
        thing.greet()


def test_the_server_has_no_traceback_to_show(unruly: ServedProcess) -> None:
    """Nothing of the above was unforeseen, but for what was sent to an idle thread."""
    log = unruly.errors.read_text()
    assert "in the poller" not in log
    assert "cannot handle a message" not in log
    assert "while handling a message" not in log
