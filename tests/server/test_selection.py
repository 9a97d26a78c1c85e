"""From the words of a command line to import names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsremote.server.selection import importable_names, names_in


@pytest.fixture(autouse=True)
def own_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own working directory and `sys.path`; what it imports goes again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def package(folder: Path, *, source: str = "") -> Path:
    """An empty package, or a module if the name ends in `.py`."""
    file = folder if folder.suffix == ".py" else folder / "__init__.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return folder


def test_names_are_kept_in_order_and_once() -> None:
    """Import names pass unchanged, duplicates go."""
    assert importable_names(["json", "xml.etree", "json"]) == ["json", "xml.etree"]


def test_a_package_in_the_working_directory_has_its_plain_name(tmp_path: Path) -> None:
    """As with `python -m`, no path is needed for what lies in the working directory."""
    package(tmp_path / "orchard")
    assert importable_names(["orchard"]) == ["orchard"]


@pytest.mark.parametrize("word", ["./lib/orchard", "lib/orchard/", "lib/orchard/__init__.py"])
def test_a_path_puts_its_folder_on_the_import_path(tmp_path: Path, word: str) -> None:
    """The package that a path points to is imported under its own name."""
    package(tmp_path / "lib" / "orchard", source="TREES = 3")
    assert importable_names([word]) == ["orchard"]
    assert importlib.import_module("orchard").TREES == 3


def test_a_single_module_and_a_namespace_package(tmp_path: Path) -> None:
    """A path may point to a file, or to a folder without `__init__.py`."""
    package(tmp_path / "lib" / "pruning.py")
    (tmp_path / "lib" / "meadow").mkdir()
    assert importable_names(["lib/pruning.py", "./lib/meadow"]) == ["pruning", "meadow"]


def test_a_folder_inside_a_package_keeps_its_whole_name(tmp_path: Path) -> None:
    """A subpackage is served as a part of its package, so that relative imports work."""
    package(tmp_path / "lib" / "orchard")
    package(tmp_path / "lib" / "orchard" / "apples")
    assert importable_names(["./lib/orchard/apples"]) == ["orchard.apples"]


def test_a_path_hidden_by_another_package_is_refused(tmp_path: Path) -> None:
    """A folder named like a package that is already imported is never mistaken for it."""
    package(tmp_path / "json")
    with pytest.raises(
        ImportError, match=r"\./json cannot be served: 'import json' gives .*Rename"
    ):
        importable_names(["./json"])


def test_a_missing_path_is_told_as_a_path() -> None:
    """A path that leads nowhere names the whole path."""
    with pytest.raises(ImportError, match=r"no file or folder .*/lib/nothing"):
        importable_names(["./lib/nothing"])


def test_a_folder_that_python_cannot_import_is_told(tmp_path: Path) -> None:
    """A name with a dash is no import name."""
    package(tmp_path / "my-orchard")
    with pytest.raises(ImportError, match="cannot import; rename it"):
        importable_names(["./my-orchard"])


def test_a_packages_file_has_comments_and_blank_lines(tmp_path: Path) -> None:
    """One name a line; what follows # is for the reader."""
    file = tmp_path / "packages.txt"
    file.write_text("# ours\njson\n\n  xml.etree   # parsing\n")
    assert names_in(file) == ["json", "xml.etree"]
