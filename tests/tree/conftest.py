"""Packages to look into: the sample package, and packages written by a test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wsremote.tree.inspector import inspect_packages
from wsremote.tree.inventory import Inventory

MakePackage = Callable[[dict[str, str]], Path]


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes `samplepkg` importable; gives the folder that holds it."""
    folder = Path(__file__).parents[1]
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def sample(importable: Path) -> Inventory:
    """The inventory of `samplepkg`."""
    return inspect_packages(["samplepkg"])


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePackage]:
    """Write modules, given by path and source; they are importable until the test ends."""
    roots: set[str] = set()
    folder = tmp_path / "written"

    def make(files: dict[str, str]) -> Path:
        for name, source in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
            roots.add(name.partition("/")[0].removesuffix(".py"))
        monkeypatch.syspath_prepend(folder)
        importlib.invalidate_caches()
        return folder

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
        del sys.modules[name]
