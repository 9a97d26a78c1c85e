"""Importing served packages."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wsremote.client.importer import Finder
from wsremote.client.package import ShallowPackage
from wsremote.errors import ShadowedPackage
from wsremote.tree.info import InfoTree


@pytest.fixture
def finder(caller: Any) -> Iterator[Finder]:
    """Installed, and gone afterwards."""
    with Finder(caller.shallow) as made:
        made.install()
        yield made


def _run(text: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(text, scope)
    return scope


def test_every_form_of_import_works(finder: Finder, caller: Any) -> None:
    """They all give the session's own modules and objects, at no message."""
    found = _run(
        "import shop, shop.back.office as office, importlib\n"
        "from shop.goods import Fruit, price\n"
        "from shop import goods, Fruit as Same, back\n"
        "again = importlib.import_module('shop.goods')\n"
        "reloaded = importlib.reload(shop.goods)\n"
    )
    assert caller.log == []
    assert found["shop"] is caller.shallow.module("shop")
    assert found["office"] is caller.shallow.module("shop.back.office")
    assert found["goods"] is found["again"] is found["reloaded"]
    assert found["Fruit"] is found["Same"] is found["goods"].Fruit
    assert found["back"].office is found["office"]
    assert repr(found["shop"]) == "<module 'shop' (wsremote://box:1/shop)>"
    assert found["shop"].__spec__.loader is found["goods"].__loader__ is caller.shallow.loader


def test_import_star_brings_all_public_names(finder: Finder, caller: Any) -> None:
    """Variables by value, at one message each; everything else at none."""
    found = _run("from shop import *")
    assert {"Fruit", "cost", "greet", "OPEN", "COUNT"} <= set(found)
    assert found["COUNT"] == 3
    assert [entry[0] for entry in caller.log].count("browse") == 1
    assert {entry[0] for entry in caller.log} == {"browse", "get"}
    caller.log.clear()
    found = _run("from shop.goods import *")
    assert {"Fruit", "price", "LIMIT"} == set(found) - {"__builtins__"}
    assert len(caller.log) == 1


def test_what_is_not_served_is_not_found(finder: Finder) -> None:
    """As at home; a module that failed on the server says why."""
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'shop.nothing'"):
        importlib.import_module("shop.nothing")
    with pytest.raises(ImportError, match=r"shop.broken .* ws://box:1: .*no_such_module_anywhere"):
        importlib.import_module("shop.broken")
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'shop'"):
        _run("from shop import nothing")


def test_uninstall_takes_everything_out(caller: Any) -> None:
    """Modules that are already imported go on working."""
    with Finder(caller.shallow) as finder:
        finder.install()
        goods = importlib.import_module("shop.goods")
    assert not [name for name in sys.modules if name.partition(".")[0] == "shop"]
    assert not finder.installed
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("shop")
    assert goods.plain(1, 2) == 3


def test_a_local_package_is_never_hidden_silently(
    caller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed or imported already: it raises, and `override` hides it until the end."""
    (tmp_path / "shop.py").write_text("local = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Finder(caller.shallow) as finder:
        with pytest.raises(ShadowedPackage) as caught:
            finder.install()
        assert "install(override=['shop'])" in str(caught.value)
        assert "session.modules.shop" in str(caught.value)
        local = importlib.import_module("shop")
        with pytest.raises(ShadowedPackage, match=r"shop\.py"):
            finder.install()
        finder.install(override=["shop"])
        assert importlib.import_module("shop") is caller.shallow.module("shop")
    assert sys.modules["shop"] is local
    del sys.modules["shop"]


def test_a_new_session_takes_over_and_says_so(
    finder: Finder, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """New imports are the new session's; what was imported before stays."""
    before = importlib.import_module("shop.goods")
    with Finder(other.shallow) as newer, caplog.at_level(logging.INFO, "wsremote.client"):
        assert newer.install() == ["shop"]
        assert "shop of an older session now come from ws://box:2" in caplog.text
        after = importlib.import_module("shop.goods")
        assert after is other.shallow.module("shop.goods")
        assert before is not after
        assert before.plain(1, 2) == 3
        finder.uninstall()
        assert sys.modules["shop.goods"] is after
        assert newer.install() == []


def test_a_served_subpackage_has_a_bare_parent(caller: Any) -> None:
    """Where only `pkg.sub` is served, `pkg` is a package with nothing else in it."""
    inventory = caller.inventory
    modules = [entry for entry in inventory.index["modules"] if entry[0].startswith("shop.back")]
    index = {"packages": ["shop.back"], "modules": modules, "failures": {}}
    shallow = ShallowPackage(caller, InfoTree(index, inventory.documents.__getitem__))
    with Finder(shallow) as finder:
        finder.install()
        found = _run("import shop.back.office\nfrom shop import back")
        assert found["shop"].back.office.__name__ == "shop.back.office"
        assert "back" in dir(found["shop"])
        assert "goods" not in dir(found["shop"])


def test_mock_patches_reach_the_server(finder: Finder, caller: Any) -> None:
    """Setting and restoring a name of a module goes to the server."""
    goods = importlib.import_module("shop.goods")
    original = goods.plain
    goods.plain = 3
    assert caller.inventory.objects["shop.goods"].plain == 3
    goods.plain = original
    assert goods.plain is original


def test_all_conflicts_are_named_at_once(
    caller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error, and one call that solves it."""
    for name in ("shop", "market"):
        (tmp_path / f"{name}.py").write_text("local = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    inventory = caller.inventory
    index = {**inventory.index, "packages": ["shop", "market"]}
    shallow = ShallowPackage(caller, InfoTree(index, inventory.documents.__getitem__))
    with Finder(shallow) as finder, pytest.raises(ShadowedPackage) as caught:
        finder.install()
    text = str(caught.value)
    assert "'market' (" in text
    assert "'shop' (" in text
    assert "install(override=['market', 'shop'])" in text
    assert not finder.installed


def test_data_packages_stay_local_unless_overridden(
    caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Their objects travel as values, which are built with what is installed here."""
    numpy, pandas = importlib.import_module("numpy"), importlib.import_module("pandas")
    inventory = caller.inventory
    index = {**inventory.index, "packages": ["shop", "numpy", "pandas"]}
    shallow = ShallowPackage(caller, InfoTree(index, inventory.documents.__getitem__))
    with Finder(shallow) as finder, caplog.at_level(logging.WARNING, "wsremote.client"):
        finder.install()
        assert importlib.import_module("numpy") is numpy
        assert importlib.import_module("pandas") is pandas
        assert importlib.import_module("shop") is shallow.module("shop")
        assert "numpy, pandas: installed here as well" in caplog.text
    with Finder(shallow) as finder:
        finder.install(override=["pandas"])
        assert sys.modules.get("pandas") is not pandas
        assert importlib.import_module("numpy") is numpy
        with pytest.raises(ShadowedPackage, match="'numpy' cannot be hidden"):
            finder.install(override=["numpy", "pandas"])
    assert sys.modules["pandas"] is pandas


def test_a_module_that_is_made_is_published(finder: Finder, caller: Any) -> None:
    """With the packages above it; not after the end."""
    office = caller.shallow.module("shop.back.office")
    assert sys.modules["shop.back.office"] is office
    assert sys.modules["shop.back"] is caller.shallow.module("shop.back")
    assert "shop" in sys.modules
    finder.uninstall()
    caller.shallow.module("shop.errors")
    assert "shop.errors" not in sys.modules
