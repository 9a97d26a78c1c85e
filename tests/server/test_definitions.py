"""Tests of server/definitions.py: what a definition may hold, and what comes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wsremote.codec.frames import CALLER
from wsremote.errors import NotExposed, RemoteProtocolError
from wsremote.protocol.messages import Op
from wsremote.server.definitions import Definitions, called_back, is_defined
from wsremote.server.dispatch import Dispatcher
from wsremote.server.policy import Policy
from wsremote.tree.documents import document_of
from wsremote.tree.inspector import inspect_packages
from wsremote.tree.nodes import ClassNode, FunctionNode, Parameter, Signature

PACKAGE = """
import abc

class Base:
    _hidden = 1
    kept = []

    def __init_subclass__(cls, **kwargs):
        Base.kept.append((cls.__name__, kwargs))

    def run(self): return self.step()
    def step(self): return "base"
    @property
    def size(self): return 1
    @classmethod
    def make(cls): return cls.__name__
"""


class Function:
    """Stands for a function of the client."""

    def __init__(self, handle: int) -> None:
        self.handle = handle


class Client:
    """Records the callbacks."""

    url = "a client"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.awaited = self

    def call(self, target: Any, args: Any, kwargs: Any) -> Any:
        self.calls.append((target, args, kwargs))
        return f"called {target}"

    call_method = special = inherited = call


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The policy and module of the package above."""
    folder = tmp_path_factory.mktemp("definitions")
    (Path(folder) / "defs.py").write_text(PACKAGE)
    sys.path.insert(0, str(folder))
    try:
        policy = Policy(inspect_packages(["defs"]))
        yield policy, sys.modules["defs"]
    finally:
        sys.path.remove(str(folder))
        del sys.modules["defs"]


@pytest.fixture
def made(served: Any) -> Any:
    """Definitions of a session without a client, which is `made.client`."""
    policy, module = served
    client = Client()
    handles: dict[int, type] = {}
    lending = SimpleNamespace(
        stand_ins=SimpleNamespace(caller=client),
        borrowed=lambda value: value.handle if isinstance(value, Function) else None,
        class_number=lambda cls: handles.setdefault(7, cls),
        name_of=lambda cls: "defs:Base" if cls is module.Base else None,
        lent=handles.__getitem__,
    )
    session = SimpleNamespace(lending=lending)
    definitions = Definitions(session, policy, Dispatcher(policy))  # type: ignore[arg-type]
    return SimpleNamespace(
        definitions=definitions, client=client, classes=handles, Base=module.Base
    )


STEP = FunctionNode(
    "f0", "Mine.step", "home", signature=Signature((Parameter("self", 1), Parameter("by", 1, "2")))
)
DOCUMENT = document_of(ClassNode("Mine", "Mine", "home", members={"f0": STEP}, doc="Mine."))
ENTRY = ("step", "function", ("f0", "step", Function(3), False, {}))


def define(made: Any, *entries: Any, bases: Any = None, **keywords: Any) -> Any:
    """Define a class; what the client is told."""
    bases = (made.Base,) if bases is None else bases
    args = (1, DOCUMENT, bases, entries)
    return made.definitions.execute(Op.DEFINE, "", None, args, keywords)


def test_methods_call_back_with_their_signatures(made: Any) -> None:
    """Defaults stay with the client; the function is a real one."""
    told = define(made, ENTRY, ("rate", "value", 5))
    cls = made.classes[7]
    assert (cls.__name__, cls.__module__, cls.__doc__, cls.rate) == ("Mine", "home", "Mine.", 5)
    mine = cls()
    assert mine.run() == "called 3"
    assert made.client.calls == [(3, (mine,), None)]
    with pytest.raises(TypeError, match=r"step\(\) takes from 1 to 2 positional"):
        mine.step(1, 2)
    assert cls.step.__code__.co_filename == CALLER
    assert told == [("defs:Base", [("_hidden", "variable")])]
    assert define(made, ENTRY) == [], "private names are told once"


def test_hooks_run_with_their_keywords(made: Any) -> None:
    """As in any `class` statement."""
    define(made, level=3)
    assert made.Base.kept[-1] == ("Mine", {"level": 3})


def test_a_wrapper_is_not_the_clients_function(made: Any) -> None:
    """`functools.wraps` copies what is in a function's dict."""
    define(made, ENTRY)
    step = made.classes[7].step

    def wrapper() -> None: ...

    wrapper.__dict__.update(step.__dict__)
    assert isinstance(called_back(step), Function)
    assert called_back(wrapper) is None  # type: ignore[arg-type]


def test_names_are_changed_by_who_has_defined_the_class(made: Any) -> None:
    """And on no class of the server's own."""
    define(made)
    change = made.definitions.execute
    change(Op.DEFINE, 7, "step", (DOCUMENT, ENTRY), {})
    assert made.classes[7]().run() == "called 3"
    change(Op.DEFINE, 7, "step", ((),), {})
    assert made.classes[7]().run() == "base"
    with pytest.raises(RemoteProtocolError, match="no class that this client defines"):
        change(Op.DEFINE, "defs:Base", "step", (DOCUMENT, ENTRY), {})
    assert made.Base().run() == "base"


def test_inherited_names(made: Any) -> None:
    """From the class on that is named: what overrides them is not asked."""
    define(made, ("size", "value", 2), ("make", "value", "mine"))
    mine = made.classes[7]()
    run = made.definitions.execute
    assert run(Op.INHERITED, "defs:Base", "size", (int(Op.GET), mine), {}) == 1
    assert run(Op.INHERITED, "defs:Base", "make", (int(Op.METHOD), type(mine)), {}) == "Mine"
    with pytest.raises(NotExposed):
        run(Op.INHERITED, "defs:Base", "__subclasses__", (int(Op.METHOD), type(mine)), {})
    with pytest.raises(AttributeError):
        run(Op.INHERITED, "defs:Base", "nothing", (int(Op.GET), mine), {})
    with pytest.raises(TypeError, match="does not derive"):
        run(Op.INHERITED, "defs:Base", "size", (int(Op.GET), 3), {})


@pytest.mark.parametrize(
    "args",
    [
        (),
        (1, DOCUMENT, ()),
        ("1", DOCUMENT, (), ()),
        (1, b"no document", (), ()),
        (1, DOCUMENT, ("of",), ()),
        (1, DOCUMENT, (99,), ()),
        (1, DOCUMENT, (), (("x",),)),
        (1, DOCUMENT, (), (("x", "unheard of"),)),
        (1, DOCUMENT, (), (("__wsremote_definition__", "value", 1),)),
        (1, DOCUMENT, (), (("__class__", "value", int),)),
        (1, DOCUMENT, (), (("x", "function", ("f9", "x", Function(3), False, {})),)),
        (1, DOCUMENT, (), (("x", "function", "f0"),)),
    ],
)
def test_nonsense_is_a_violation(made: Any, args: Any) -> None:
    """Whatever a client sends, nothing is half made."""
    with pytest.raises(RemoteProtocolError):
        made.definitions.execute(Op.DEFINE, "", None, args, {})


def test_who_has_defined_a_class_is_known(made: Any) -> None:
    """A class that derives from it is none, nor is the base."""
    define(made)
    cls = made.classes[7]
    assert is_defined(cls)
    assert made.definitions.path_of(cls) == ":1"
    derived: Any = type("Derived", (cls,), {})
    assert not is_defined(derived) and not is_defined(made.Base)
