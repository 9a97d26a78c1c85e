"""One message per operation, and none for looking."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import itertools
import operator
import pydoc
import rlcompleter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wsremote


@contextlib.contextmanager
def messages(session: wsremote.Session, expected: int) -> Iterator[None]:
    """Assert how many messages the block sends."""
    driver = session._driver
    before = driver.messages
    yield
    assert driver.messages - before == expected


@pytest.fixture
def counter(pkg: Any) -> Any:
    """A remote object."""
    return pkg.state.Recorder("counted")


@pytest.mark.parametrize(
    "operation",
    [
        lambda pkg, counter, vector: pkg.functions.add(1, 2),
        lambda pkg, counter, vector: pkg.state.Recorder(),
        lambda pkg, counter, vector: counter.record("x"),
        lambda pkg, counter, vector: counter.name,
        lambda pkg, counter, vector: setattr(counter, "name", "y"),
        lambda pkg, counter, vector: vector + vector,
        lambda pkg, counter, vector: vector[0],
        lambda pkg, counter, vector: operator.setitem(vector, 0, 5),
        lambda pkg, counter, vector: len(vector),
        lambda pkg, counter, vector: 3 in vector,
        lambda pkg, counter, vector: -vector,
        lambda pkg, counter, vector: repr(vector),
        lambda pkg, counter, vector: vector == vector,
        lambda pkg, counter, vector: (
            pkg.constants.SMALL_INT
            if hasattr(type(pkg.constants), "SMALL_INT")
            else pkg.functions.add(1)
        ),
        lambda pkg, counter, vector: pkg.functions.append_to([1], 2),
        lambda pkg, counter, vector: pkg.functions.apply(pkg.functions.add, 1),
    ],
)
def test_an_operation_is_one_message(
    operation: Callable[..., Any], remote: wsremote.Session, pkg: Any, counter: Any
) -> None:
    """A call, an instantiation, a method, an attribute, an operator: one message each."""
    vector = pkg.containers.Vector(1, 2, 3)
    with messages(remote, 1):
        kept = operation(pkg, counter, vector)
    del kept


def completions(text: str, names: dict[str, Any]) -> list[str]:
    """What the standard library's completer offers after `text`."""
    completer = rlcompleter.Completer(names)
    return list(itertools.takewhile(bool, (completer.complete(text, n) for n in range(100))))


def test_looking_is_no_message(remote: wsremote.Session, pkg: Any, counter: Any) -> None:
    """Completion, signature, docs, isinstance, hasattr of probes: all from the tree."""
    functions, state = pkg.functions, pkg.state
    with messages(remote, 0):
        assert "add" in dir(functions)
        assert "record" in dir(state.Recorder)
        assert "counter.record(" in completions("counter.re", {"counter": counter})
        assert str(inspect.signature(functions.add)) == "(a, b=1)"
        assert inspect.getdoc(functions.add)
        assert isinstance(counter, state.Recorder)
        assert issubclass(state.Recorder, object)
        assert not hasattr(counter, "_repr_html_")
        assert not hasattr(counter, "_ipython_display_")
        assert callable(functions.add)


def test_help_is_no_message(remote: wsremote.Session, pkg: Any, counter: Any) -> None:
    """Of classes, objects and functions; class variables included, which it reads three times."""
    recorder, add = pkg.state.Recorder, pkg.functions.add
    with messages(remote, 0):
        for thing in (recorder, counter, add):
            assert "wsremote" not in pydoc.render_doc(thing).partition("\n")[0]
            assert pydoc.getdoc(thing) is not None


def test_ipython_completes_and_inspects_without_a_message(
    remote: wsremote.Session, pkg: Any, counter: Any
) -> None:
    """Tab and `?` in IPython, with jedi, on module, function, class and object."""
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.user_ns.update(functions=pkg.functions, state=pkg.state, counter=counter)

    def complete(text: str) -> set[str]:
        with provisionalcompleter():
            return {found.text for found in shell.Completer.completions(text, len(text))}

    with messages(remote, 0):
        assert "add" in complete("functions.")
        assert "record" in complete("counter.")
        complete("state.Recorder.")
        complete("functions.add(")
        for name in ("functions", "functions.add", "state.Recorder", "counter"):
            assert shell.object_inspect(name, detail_level=1)["found"]
    atexit.unregister(shell.atexit_operations)


def test_wrong_arguments_are_refused_before_anything_is_sent(
    remote: wsremote.Session, pkg: Any
) -> None:
    """The TypeError is Python's own."""
    with (
        messages(remote, 0),
        pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'a'"),
    ):
        pkg.functions.add()


def test_releases_ride_along(remote: wsremote.Session, pkg: Any) -> None:
    """A hundred dropped objects cost one message, sent with the next call."""
    objects = [pkg.state.Recorder() for _ in range(100)]
    del objects
    with messages(remote, 2):
        pkg.functions.add(1)


@pytest.mark.parametrize("kwargs", [{}, {"b": 2}], ids=["small", "any"])
def test_a_release_and_the_next_call_are_one_sending(
    remote: wsremote.Session, pkg: Any, kwargs: dict[str, int]
) -> None:
    """One reception for the server, too."""
    connection = remote._driver.connection
    sent = []
    # Not each time: in a moment without a call it leaves alone.
    while 1 not in sent:
        thing = pkg.state.Recorder()
        before = connection.messages_sent
        del thing
        pkg.functions.add(1, **kwargs)
        sent.append(connection.messages_sent - before)
