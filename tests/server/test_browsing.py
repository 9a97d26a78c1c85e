"""What can be asked of modules, and what cannot."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wsremote.errors import NotExposed, RemoteProtocolError
from wsremote.server.browsing import Browsing
from wsremote.server.policy import Policy
from wsremote.tree.inspector import inspect_packages

FILES = {
    "library/__init__.py": "import os\nfrom .shelf import Book\n_private = 1\n",
    "library/shelf.py": "class Book:\n    pass\n",
    "library/vault.py": "EXCLUDED_VARIABLES = ['CODE']\nCODE = 42\nOPEN = 1\n",
    "library/secret/__init__.py": "",
    "library/secret/plans.txt": "plans",
    "library/data/a.txt": "a",
    "library/data/deep/b.bin": "b",
    "library/data/.env": "password",
    "library/data/tool.so": "code",
    "library/tests/__init__.py": "",
    "outside.txt": "outside",
}


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`look("pkg.mod", "what", ...)` at a package that hides a little."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "library" / "data" / "link.txt").symlink_to(tmp_path / "outside.txt")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    inventory = inspect_packages(["library"], hide=["library.secret"])
    policy = Policy(inventory)
    browsing = Browsing(policy, inventory, no_source=False)
    yield lambda module, what, *args: browsing.browse(policy.resolve(module), what, args)
    for name in [name for name in sys.modules if name.partition(".")[0] == "library"]:
        del sys.modules[name]


def test_names_are_those_that_the_policy_gives(look: Callable[..., Any]) -> None:
    """Private ones too; neither modules of others nor what is hidden."""
    names = look("library", "names")
    assert {"Book", "shelf", "_private", "__name__", "__doc__"} <= set(names)
    assert not {"os", "secret", "__spec__", "__loader__", "__builtins__"} & set(names)
    assert "CODE" not in look("library.vault", "names")


def test_files_are_those_of_the_package(look: Callable[..., Any]) -> None:
    """Folders and data; code only as source that is shown, nothing hidden."""
    assert look("library", "list", "data") == [["a.txt", False], ["deep", True]]
    assert look("library", "read", "data", "a.txt") == b"a"
    assert look("library", "read", "data", "deep", "b.bin") == b"b"
    top = dict(look("library", "list"))
    assert {"data", "shelf.py", "__init__.py"} <= set(top)
    assert not {"secret", "vault.py", "__pycache__"} & set(top)
    assert look("library", "list", "shelf.py") is None
    assert look("library", "list", "nothing") is False


@pytest.mark.parametrize(
    "parts",
    [
        ("..", "outside.txt"),
        ("data", "..", "..", "outside.txt"),
        ("data/../../outside.txt",),
        ("/etc/passwd",),
        ("data", "link.txt"),
        ("data", ".env"),
        ("data", "tool.so"),
        ("secret", "plans.txt"),
        ("vault.py",),
        ("data", ""),
        ("a\0b",),
    ],
    ids=str,
)
def test_nothing_else_is_read(look: Callable[..., Any], parts: tuple[str, ...]) -> None:
    """Neither above the package nor through links, nor what is hidden; it is not even there."""
    assert look("library", "list", *parts) is False
    with pytest.raises(FileNotFoundError):
        look("library", "read", *parts)


def test_only_packages_hold_files(look: Callable[..., Any]) -> None:
    """A module has no folder."""
    with pytest.raises(NotADirectoryError, match="only packages hold files"):
        look("library.shelf", "list")


def test_source_is_that_of_whole_modules(look: Callable[..., Any]) -> None:
    """One that hides a name would show it."""
    assert look("library", "source", "library/shelf.py") == "class Book:\n    pass\n"
    with pytest.raises(NotExposed, match="hides some names"):
        look("library", "source", "library/vault.py")
    for file in ("library/secret/__init__.py", "../outside.txt", "outside.txt", "library"):
        with pytest.raises(FileNotFoundError):
            look("library", "source", file)


def test_submodules_that_are_left_out_are_not_imported(look: Callable[..., Any]) -> None:
    """Hidden ones, programs, those that do not exist, those of a plain module."""
    assert look("library", "submodule", "shelf") == ["library.shelf", False, None]
    for name in ("secret", "nothing", "__main__", "a.b", "class"):
        with pytest.raises(ModuleNotFoundError):
            look("library", "submodule", name)
    with pytest.raises(ModuleNotFoundError):
        look("library.shelf", "submodule", "x")
    assert "library.secret" not in sys.modules


def test_tests_are_imported_when_they_are_named(look: Callable[..., Any]) -> None:
    """They are left out at the start because they are slow to import."""
    assert "library.tests" not in sys.modules
    assert look("library", "submodule", "tests") == ["library.tests", True, None]


@pytest.mark.parametrize(
    ("what", "args"),
    [("names", ("x",)), ("read", ()), ("source", ()), ("globals", ()), ("list", (5,))],
)
def test_questions_without_sense_are_violations(
    look: Callable[..., Any], what: str, args: tuple[Any, ...]
) -> None:
    """The client does not ask them."""
    with pytest.raises(RemoteProtocolError):
        look("library", what, *args)


def test_only_served_modules_are_asked(look: Callable[..., Any]) -> None:
    """Not classes, and no other modules."""
    with pytest.raises(NotExposed, match="only modules that are served"):
        look("library.shelf:Book", "names")
