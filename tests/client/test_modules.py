"""Modules of the server, and `session.modules`."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.client.modules import Modules


def test_variables_are_read_set_and_deleted_at_one_message_each(shop: Any, caller: Any) -> None:
    """A read is always a message: nothing is remembered."""
    assert shop.COUNT == 3
    shop.COUNT = 4
    assert shop.COUNT == 4
    del shop.COUNT
    with pytest.raises(AttributeError):
        shop.COUNT
    assert [entry[:3] for entry in caller.log] == [
        ("get", "shop", "COUNT"),
        ("set", "shop", "COUNT"),
        ("get", "shop", "COUNT"),
        ("delete", "shop", "COUNT"),
        ("get", "shop", "COUNT"),
    ]
    shop.COUNT = 3


def test_other_names_are_set_on_the_server(shop: Any, caller: Any) -> None:
    """A new name, and a function's, are the server's from then on."""
    shop.NEW = "x"
    assert shop.NEW == "x"
    del shop.NEW
    original = shop.greet
    shop.greet = 5
    assert shop.greet == 5
    shop.greet = original
    assert shop.greet("you") == "hello you"
    assert "NEW" not in shop.__dict__


def test_names_that_are_not_listed_are_asked_for(shop: Any, caller: Any) -> None:
    """A module's own `__getattr__` is reached, at one message."""
    assert shop.computed == 42
    assert caller.log == [("get", "shop", "computed", (), None)]


def test_an_unknown_name_says_which_was_meant(shop: Any) -> None:
    """The suggestion comes from the tree."""
    with pytest.raises(AttributeError) as caught:
        shop.gret
    text = "served module 'shop' has no attribute 'gret'. Did you mean: 'greet'?"
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "name",
    ["_ipython_display_", "_repr_html_", "__wrapped__", "__array__", "__iter__", "getdoc"],
)
def test_probes_cost_nothing(shop: Any, goods: Any, caller: Any, name: str) -> None:
    """What notebooks ask of every object is refused without a message."""
    job = goods.Job()
    caller.log.clear()
    for target in (shop, goods.Fruit, job):
        assert not hasattr(target, name)
    assert caller.log == []


def test_a_module_looks_like_one(shop: Any, goods: Any, caller: Any) -> None:
    """Everything that describes a module is there, and asks nothing."""
    assert repr(shop) == "<module 'shop' (wsremote://box:1/shop)>"
    assert shop.__doc__ == "A shop."
    assert shop.__package__ == "shop"
    assert goods.__package__ == "shop"
    assert shop.__path__ == ["wsremote://box:1/shop"]
    assert not hasattr(goods, "__path__")
    assert shop.__file__ == "<wsremote://box:1>/shop/__init__.py"
    assert set(goods.__all__) == {"Fruit", "price", "LIMIT"}
    assert {"Fruit", "BadPrice", "greet", "OPEN", "COUNT", "goods", "errors", "back"} <= set(
        dir(shop)
    )
    assert not [name for name in dir(shop) if name.startswith("_wsremote")]
    assert caller.log == []
    assert shop.__version__ == "1.2"


def test_a_list_of_exports_is_there_if_the_original_has_one(shop: Any, goods: Any) -> None:
    """Nobody asks the server for it."""
    assert not hasattr(shop, "__all__")
    assert goods.__all__ == ["Fruit", "LIMIT", "price"]


def test_submodules_are_attributes(caller: Any) -> None:
    """As on the server, where all of them are imported."""
    modules = caller.shallow.module("shop")
    assert modules.back.office.staff() == 7
    assert modules.back is caller.shallow.module("shop.back")


def test_modules_by_attribute_and_by_name(caller: Any) -> None:
    """`session.modules` gives the modules, lists them, and says which was meant."""
    shallow = caller.shallow
    modules = Modules(shallow)
    assert modules.shop is shallow.module("shop")
    assert modules["shop.goods"] is shallow.module("shop.goods")
    assert "shop" in dir(modules)
    assert "shop.goods" in modules
    assert set(modules) == set(shallow.tree)
    assert len(modules) == len(shallow.tree)
    with pytest.raises(AttributeError, match=r"no package 'shpo' .* Did you mean: 'shop'\?"):
        modules.shpo
    with pytest.raises(KeyError, match=r"no module 'shop.god' .* Did you mean: 'shop.goods'\?"):
        modules["shop.god"]
    assert "ws://box:1" in repr(modules)
