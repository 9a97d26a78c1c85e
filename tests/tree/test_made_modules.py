"""Modules that no file stands for: made by code, with second names, put into packages."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from wsremote.tree.info import InfoTree
from wsremote.tree.inspector import inspect_packages

PACKAGE = {
    "makes/__init__.py": """
        import importlib
        import json
        import sys
        import types

        class Special(types.ModuleType):
            pass

        put = Special("makes.put", "Only in the package.")
        put.number = 5
        registered = sys.modules["makes.registered"] = Special("makes.registered")
        registered.function = lambda: 1
        real = importlib.import_module("makes._real")
        sys.modules["makes.alias"] = sys.modules["makes.itself"] = real
        sys.modules["makes.package"] = sys.modules[__name__]
        sys.modules["makes.foreign"] = json
        other_name = types.ModuleType("makes.another")
        """,
    "makes/_real.py": "class C: ...\nX = 1\n",
}


def test_modules_that_code_makes_are_served(make_package: Any) -> None:
    """Of any class, in `sys.modules` or in the package only; those of others are not."""
    make_package(PACKAGE)
    inventory = inspect_packages(["makes"])
    assert set(inventory.tree) == {
        *("makes", "makes._real", "makes.alias", "makes.itself", "makes.package"),
        *("makes.put", "makes.registered"),
    }
    assert inventory.objects["makes.put"] is sys.modules["makes"].put
    assert [*inventory.tree["makes.put"].members] == ["number"]
    assert inventory.tree["makes.put"].doc == "Only in the package."
    assert "makes.put" not in sys.modules
    assert inventory.failures == {}


def test_a_second_name_has_the_document_of_the_first(make_package: Any) -> None:
    """Objects have one path, and nothing is imported twice."""
    make_package(PACKAGE)
    inventory = inspect_packages(["makes"])
    digests = dict(inventory.index["modules"])
    assert digests["makes.alias"] == digests["makes.itself"] == digests["makes._real"]
    assert digests["makes.package"] == digests["makes"]
    assert inventory.path_of(sys.modules["makes._real"]) == "makes._real"
    assert inventory.path_of(sys.modules["makes._real"].C) == "makes._real:C"
    assert inventory.objects["makes.alias"] is inventory.objects["makes._real"]
    assert "makes.package._real" not in sys.modules
    tree = InfoTree(inventory.index, inventory.documents.__getitem__)
    assert tree["makes.alias"].name == "makes._real"
    assert tree.find("makes.alias:C") == tree.find("makes._real:C")


def test_hiding_a_module_hides_its_other_names(make_package: Any) -> None:
    """And what is in it."""
    make_package(PACKAGE)
    inventory = inspect_packages(["makes"], hide=["makes._real"])
    alias = importlib.import_module("makes.alias")
    assert inventory.is_hidden_object(alias)
    assert inventory.is_hidden_object(alias.C)
    assert "makes._real" not in inventory.tree


def test_functions_with_two_underscores_are_listed(make_package: Any) -> None:
    """`operator` has such; those that Python calls itself are none."""
    make_package(
        {
            "under.py": """
            def __add__(a, b): return a + b
            def __getattr__(name): raise AttributeError(name)
            def __dir__(): return []
            def __private(): ...
            """
        }
    )
    assert [*inspect_packages(["under"]).tree["under"].members] == ["__add__"]
