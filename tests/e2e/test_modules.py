"""Modules of a real server: imports, namespaces, what is made late, files and source."""

from __future__ import annotations

import builtins
import collections
import functools
import importlib
import importlib.metadata
import importlib.resources
import inspect
import itertools
import linecache
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from harness import ROOT, ServedProcess, start_server

import wsremote


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of nothing else: what is served is hidden here."""
    served = start_server(
        "samplepkg", folder=tmp_path_factory.mktemp("server"), path=(ROOT / "tests",)
    )
    yield served
    served.stop()


@pytest.fixture
def installed(remote: wsremote.Session) -> Iterator[wsremote.Session]:
    """The session, whose packages `import` finds."""
    with remote.install(override=["samplepkg"]):
        yield remote


@pytest.fixture
def lately(installed: wsremote.Session) -> Any:
    """`samplepkg.lately`, imported."""
    return importlib.import_module("samplepkg.lately")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., wsremote.Session]]:
    """Sessions with servers of the sample package that were given more arguments."""
    servers: list[ServedProcess] = []
    sessions: list[wsremote.Session] = []

    def begin(*arguments: str) -> wsremote.Session:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        served = start_server("samplepkg", *arguments, folder=folder, path=(ROOT / "tests",))
        servers.append(served)
        sessions.append(wsremote.connect(served.url, token=served.token, new=True))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()
    for served in servers:
        served.stop()


# ---- imports -----------------------------------------------------------------------------


def test_lazy_modules_are_imported_and_are_attributes(lately: Any) -> None:
    """Made by a module-level `__getattr__`, registered under a second name, made by code."""
    slow = importlib.import_module("samplepkg.lately.slow")
    assert lately.slow is slow
    assert importlib.import_module("samplepkg.lately.second") is slow
    assert slow.__spec__.name == "samplepkg.lately.slow"
    assert sys.modules["samplepkg.lately.second"] is slow
    assert slow.Snail().crawl(2.0) == 2.0
    made = importlib.import_module("samplepkg.lately.made")
    assert lately.made is made
    assert made.answer == 42


def test_modules_that_nobody_can_list_are_imported_on_demand(lately: Any) -> None:
    """The server imports them as it imported the others at its start; what fails there says so."""
    short = importlib.import_module("samplepkg.lately.auto_abc")
    assert (short.NUMBER, short.__doc__) == (3, "Made when asked for.")
    assert lately.auto_abc is short
    assert short.__package__ == "samplepkg.lately"
    assert not hasattr(short, "__path__")
    with pytest.raises(ModuleNotFoundError, match=r"No module named .*lately\.nothing"):
        importlib.import_module("samplepkg.lately.nothing")
    with pytest.raises(RuntimeError, match="no such luck"):
        importlib.import_module("samplepkg.lately.auto_broken")


def test_tests_are_imported_on_demand_and_programs_are_not(installed: wsremote.Session) -> None:
    """What the server leaves out at its start because it is slow is there when it is named."""
    assert importlib.import_module("samplepkg.tests.check").SEEN is not None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("samplepkg.__main__")


def test_a_missing_name_is_an_import_error_that_says_which_was_meant(lately: Any) -> None:
    """Of packages and of plain modules; as an attribute it is an AttributeError."""
    with pytest.raises(ImportError, match=r"cannot import name 'limti' from .*'limit'\?"):
        exec("from samplepkg.lately import limti")
    with pytest.raises(ImportError, match=r"cannot import name 'Snial' from .*'Snail'\?"):
        exec("from samplepkg.lately.slow import Snial")
    with pytest.raises(AttributeError, match=r"has no attribute 'limti'.*'limit'\?"):
        lately.limti


def test_import_star_follows_a_computed_list(lately: Any) -> None:
    """And brings what is lazy."""
    scope: dict[str, Any] = {}
    exec("from samplepkg.lately import *", scope)
    del scope["__builtins__"]
    assert set(scope) == {"slow", "hypot", "LIMIT", "limit"}
    assert scope["hypot"](3, 4) == 5.0
    exec("from samplepkg.functions import *", scope)
    assert scope["identity"](3) == 3


def test_modules_that_classes_are_from_are_there(installed: wsremote.Session) -> None:
    """`sys.modules` has them without an import of theirs, as at home."""
    samplepkg = importlib.import_module("samplepkg")
    assert samplepkg.Engine.__module__ == "samplepkg._impl"
    assert sys.modules["samplepkg._impl"].Engine is samplepkg.Engine
    assert inspect.getmodule(samplepkg.Engine) is sys.modules["samplepkg._impl"]
    assert importlib.import_module("samplepkg._impl").Engine is samplepkg.Engine


def test_reload_gives_the_same_module(lately: Any) -> None:
    """Nothing runs on the server, whose module others use as well."""
    lately.LIMIT = 4
    assert importlib.reload(lately) is lately
    assert lately.LIMIT == 4
    lately.LIMIT = 3


# ---- what modules hold -------------------------------------------------------------------


def test_what_a_module_has_from_python_is_the_clients_own(lately: Any) -> None:
    """Modules, classes and functions that compute; the others say why not."""
    assert lately.itertools is itertools
    assert lately.functools is functools
    assert lately.builtins is builtins
    assert lately.groupby is itertools.groupby
    for name in ("os", "random"):
        with pytest.raises(wsremote.NotExposed, match=f"'{name}' is not served, .* its machine"):
            getattr(lately, name)


def test_a_namespace_holds_what_the_server_holds(lately: Any) -> None:
    """As a dict: names, values of the moment, private names, what came at run time."""
    namespace = vars(lately)
    assert isinstance(namespace, dict)
    assert namespace is lately.__dict__
    assert namespace["LIMIT"] == 3
    assert namespace["limit"] is lately.limit
    assert {"LIMIT", "limit", "_LAZY", "itertools", "__name__", "__spec__"} <= set(namespace)
    assert "os" not in namespace
    assert "keys" not in namespace
    assert len(namespace) == len(list(namespace)) == len(namespace.items())
    with pytest.raises(KeyError):
        namespace["nothing"]
    assert namespace.get("nothing", 5) == 5
    lately.NEW = [1]
    assert namespace["NEW"] == [1]
    assert "NEW" in {**namespace}
    del namespace["NEW"]
    assert "NEW" not in namespace
    assert not hasattr(lately, "NEW")


def test_a_namespace_is_an_argument(pkg: Any) -> None:
    """A copy of what it holds: the values are the server's own."""
    kind, content = pkg.mappings.kind(vars(pkg.lately))
    assert kind == "dict"
    assert content["LIMIT"] == 3
    assert content["limit"] is pkg.lately.limit


def test_names_of_special_methods_are_plain_names_of_a_module(lately: Any) -> None:
    """`operator` has such. They do not make the module behave in another way."""
    operators = importlib.import_module("samplepkg.lately.operators")
    assert operators.__eq__(1, 2) == ("eq", 1, 2)
    assert operators.__len__ == 5
    assert operators.__call__ == [1, 2]
    assert {"__eq__", "__len__", "add"} <= set(vars(operators))
    assert operators == operators
    assert operators != 1
    assert {operators: 1}[operators] == 1
    assert bool(operators)
    operators.__len__ = 6
    assert operators.__len__ == 6
    operators.__len__ = 5


def test_patches_are_seen_by_the_servers_code(lately: Any) -> None:
    """Functions and data, by name and by object; afterwards all is as before."""
    double = lately.double
    with mock.patch("samplepkg.lately.LIMIT", 10):
        assert lately.limit() == 20
    with mock.patch.object(lately, "double", lambda number: f"patched {number}"):
        assert lately.limit() == "patched 3"
        assert lately.double(1) == "patched 1"
    assert lately.limit() == 6
    assert lately.double is double
    with mock.patch("samplepkg.lately.NEW", 5, create=True):
        assert lately.NEW == 5
    assert not hasattr(lately, "NEW")
    with pytest.raises(TypeError, match="cannot be emptied"):
        vars(lately).clear()


def test_members_are_found_by_inspect(lately: Any) -> None:
    """`inspect.getmembers` and `help` go over all of them."""
    functions = dict(inspect.getmembers(lately, inspect.isfunction))
    assert {"limit", "double"} <= set(functions)
    assert functions["limit"] is lately.limit
    assert dict(inspect.getmembers(lately))["LIMIT"] == 3


def test_annotations_become_types(lately: Any) -> None:
    """As far as they can be told here. No text of the server is run for it."""
    assert typing.get_type_hints(lately.double) == {"number": int, "return": int | None}
    crawl = lately.slow.Snail.crawl
    assert typing.get_type_hints(crawl) == {"way": float, "return": float}
    build = importlib.import_module("samplepkg").build
    assert typing.get_type_hints(build)["return"] is importlib.import_module("samplepkg").Engine
    meeting = importlib.import_module("samplepkg.meeting")
    assert meeting.Seat.__annotations__ == {"number": "int", "guest": "Keeper | None"}
    assert typing.get_type_hints(meeting.Seat) == {
        "number": int,
        "guest": typing.Optional[meeting.Keeper],  # noqa: UP045
    }
    assert meeting.Keeper.__annotations__ == {}


# ---- files and source --------------------------------------------------------------------


def test_files_inside_a_package_are_read(lately: Any) -> None:
    """`importlib.resources` and `pkgutil.get_data`; nothing outside, nothing written."""
    files = importlib.resources.files(lately)
    words = files / "data" / "words.txt"
    assert words.read_text() == "one\ntwo\n"
    assert words.read_bytes() == b"one\ntwo\n"
    assert (words.is_file(), words.is_dir(), words.name) == (True, False, "words.txt")
    assert [each.name for each in (files / "data").iterdir()] == ["words.txt"]
    assert {"data", "slow.py"} <= {each.name for each in files.iterdir()}
    assert "__pycache__" not in {each.name for each in files.iterdir()}
    with importlib.resources.as_file(words) as path:
        assert path.read_text() == "one\ntwo\n"
    assert pkgutil.get_data("samplepkg.lately", "data/words.txt") == b"one\ntwo\n"
    for outside in ("../__init__.py", "..", "/etc/passwd", ".hidden", "nothing.txt"):
        assert not (files / outside).is_file()
        with pytest.raises(FileNotFoundError):
            files.joinpath(outside).read_bytes()
    with pytest.raises(PermissionError, match="can only be read"):
        words.open("w")


def test_source_is_fetched_when_inspect_asks(lately: Any) -> None:
    """Of functions, classes, methods and modules."""
    assert inspect.getsource(lately.double).startswith("def double(number: int)")
    snail = lately.slow.Snail
    assert inspect.getsource(snail).startswith("class Snail:")
    assert inspect.getsource(snail.crawl).startswith("    def crawl(self")
    assert inspect.getsource(lately.slow).startswith('"""Loaded when it is asked for."""')
    assert lately.__file__.endswith("/samplepkg/lately/__init__.py")


def test_source_works_without_the_import_hook(remote: wsremote.Session) -> None:
    """`session.modules` is as good."""
    lately = remote.modules.samplepkg.lately
    assert inspect.getsource(lately.double).startswith("def double(number: int)")


def test_a_traceback_fetches_no_source(lately: Any) -> None:
    """Drawing one sends no message: it may be drawn in any state."""
    linecache.clearcache()
    name = lately.limit.__code__.co_filename
    assert linecache.getline(name, 1, vars(lately)) == ""


def test_source_may_be_kept_back(start: Callable[..., wsremote.Session]) -> None:
    """With `--no-source`, and of a module that hides something; data files stay."""
    lately = start("--no-source").modules.samplepkg.lately
    with pytest.raises(OSError, match="could not get source code"):
        inspect.getsource(lately.double)
    files = importlib.resources.files(lately)
    assert not (files / "slow.py").is_file()
    assert (files / "data" / "words.txt").is_file()
    hiding = start("--hide", "samplepkg.lately:LIMIT", "--hide", "samplepkg.lately.data")
    lately = hiding.modules.samplepkg.lately
    with pytest.raises(OSError, match="could not get source code"):
        inspect.getsource(lately.double)
    assert inspect.getsource(lately.slow.Snail.crawl)
    files = importlib.resources.files(lately)
    assert "data" not in {each.name for each in files.iterdir()}
    assert not (files / "data" / "words.txt").is_file()


def test_metadata_of_a_served_distribution(start: Callable[..., wsremote.Session]) -> None:
    """`importlib.metadata.version` asks the server; a package without says so."""
    session = start("click")
    with session.install(override=["click", "samplepkg"]):
        assert importlib.metadata.version("click") == importlib.metadata.version("click")
        found = importlib.metadata.distribution("click")
        assert type(found).__name__ == "_ServedDistribution"
        assert found.metadata["Name"] == "click"
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("samplepkg")


# ---- mappings ----------------------------------------------------------------------------


def test_mappings_of_the_library_travel_as_what_they_are(pkg: Any) -> None:
    """By value, exact type, both directions."""
    for made in (
        collections.OrderedDict(b=1, a=2),
        collections.Counter("aab"),
        collections.defaultdict(int, a=1),
        collections.ChainMap({"a": 1}, {"b": 2}),
        types.MappingProxyType({"a": 1}),
    ):
        assert pkg.mappings.kind(made) == (type(made).__name__, dict(made))
    counted = pkg.mappings.count(["a", "b", "a"])
    assert type(counted) is collections.Counter
    assert counted.most_common(1) == [("a", 2)]
    grouped = pkg.mappings.group(["apple", "bean", "avocado"])
    assert type(grouped) is collections.defaultdict
    assert grouped.default_factory is list
    assert grouped == {"a": ["apple", "avocado"], "b": ["bean"]}


def test_mappings_of_the_library_are_written_back(pkg: Any) -> None:
    """What a call does to them is done to the caller's own."""
    asked: list[None] = []
    made = collections.defaultdict(lambda: asked.append(None) or "new", a="old")
    assert pkg.mappings.fill(made, "a", "b") == ["old", "new"]
    assert made == {"a": "old", "b": "new"}
    assert asked == [None]
    ordered = collections.OrderedDict(a=1, b=2)
    pkg.mappings.first_last(ordered)
    assert list(ordered) == ["b", "a"]
    counter = collections.Counter(a=1)
    assert pkg.mappings.fill(counter, "a", "z") == [1, 0]
    first: dict[str, int] = {}
    chain = collections.ChainMap(first, {"b": 1})
    assert pkg.mappings.set_in(chain, "x", 5) == (True, 2)
    assert first == {"x": 5}
    assert pkg.mappings.can_write(types.MappingProxyType({"a": 1})) is False


def test_a_view_of_what_the_server_keeps_stays_there(pkg: Any) -> None:
    """It shows what changes later."""
    view = pkg.mappings.view()
    assert view["a"] == 1
    pkg.mappings.KEPT["b"] = 2
    assert view["b"] == 2
    del pkg.mappings.KEPT["b"]


def test_a_document_that_comes_late_is_checked(remote: wsremote.Session) -> None:
    """One that the cache has lost is fetched again, and must be the one that was asked for."""
    with (
        mock.patch.object(remote._driver, "fetch", return_value={"0" * 64: b"other"}),
        pytest.raises(wsremote.errors.RemoteProtocolError, match="not what it announced"),
    ):
        remote.tree._load("0" * 64)
