"""Shallow classes."""

from __future__ import annotations

import collections.abc
import enum
import gc
import inspect
import json
from typing import Any, get_origin

import pytest

from wsremote.tree.describing import describe_class
from wsremote.tree.nodes import ClassNode, ReferenceNode


def test_construction_is_one_message_and_gives_a_proxy(goods: Any, caller: Any) -> None:
    """Through the class, a class method or a factory: the same class."""
    apple = goods.Apple("a", weight=2)
    assert type(apple) is goods.Apple
    assert caller.log == [("call", "shop.goods:Apple", None, ("a",), {"weight": 2})] or (
        caller.log[0][3] == ("a", 2)
    )
    assert len(caller.log) == 1
    assert type(goods.Apple.named("b")) is goods.Apple
    assert type(goods.Fruit.__new__(goods.Fruit)) is goods.Fruit


def test_bases_are_kept(goods: Any, caller: Any) -> None:
    """The MRO is the server's, and `isinstance` asks nobody."""
    assert goods.LoudApple.__mro__ == (
        goods.LoudApple,
        goods.Apple,
        goods.Fruit,
        goods.Loud,
        object,
    )
    assert goods.LoudApple.__bases__ == (goods.Apple, goods.Loud)
    apple = goods.Apple("a")
    caller.log.clear()
    assert isinstance(apple, goods.Fruit)
    assert not isinstance(apple, goods.Loud)
    assert issubclass(goods.LoudApple, goods.Loud)
    assert not isinstance(3, goods.Fruit)
    assert caller.log == []


def test_class_attributes_are_read_and_set_on_the_server(goods: Any, caller: Any) -> None:
    """From the class, from a subclass and from an instance, one message each."""
    apple = goods.Apple("a")
    caller.log.clear()
    assert goods.Fruit.kind == "fruit"
    assert goods.Apple.kind == "fruit"
    assert apple.kind == "fruit"
    goods.Fruit.made = 7
    assert goods.Apple.made == 7
    goods.Fruit.made = 0
    assert [entry[:3] for entry in caller.log] == [
        ("get", "shop.goods:Fruit", "kind"),
        ("get", "shop.goods:Apple", "kind"),
        ("get", caller.shallow.handle_of(apple), "kind"),
        ("set", "shop.goods:Fruit", "made"),
        ("get", "shop.goods:Apple", "made"),
        ("set", "shop.goods:Fruit", "made"),
    ]


def test_a_new_class_attribute_is_the_servers(goods: Any, caller: Any) -> None:
    """Also where a shallow method had the name."""
    goods.Loud.size = 3
    assert goods.Loud.size == 3
    assert goods.LoudApple("x").size == 3
    del goods.Loud.size
    with pytest.raises(AttributeError, match="has no attribute 'size'"):
        goods.Loud.size
    original = goods.Loud.shout
    goods.Loud.shout = 4
    assert goods.LoudApple("x").shout == 4
    caller.inventory.objects["shop.goods:Loud"].shout = lambda self: "!"
    del original


def test_methods_run_on_the_server(goods: Any, caller: Any) -> None:
    """Instance, class and static methods, one message each."""
    apple = goods.Apple("a")
    caller.log.clear()
    assert apple.eat(2, fast=True) == "a:2:True"
    assert goods.Fruit.double(4) == 8
    assert apple.double(4) == 8
    assert len(caller.log) == 3
    assert str(inspect.signature(apple.eat)) == "(bites, *, fast=False)"
    assert goods.Fruit.eat.__qualname__ == "Fruit.eat"


def test_a_base_method_called_on_its_class_is_the_base_method(goods: Any) -> None:
    """`Base.m(derived)` does not run the override."""
    apple = goods.Apple("a")
    assert apple.who() == "apple"
    assert goods.Fruit.who(apple) == "fruit"
    assert goods.Fruit.who(goods.LoudApple("b")) == "fruit"


def test_a_class_tells_what_it_is(goods: Any, caller: Any) -> None:
    """Signature, documentation, name, members: nothing is asked."""
    assert str(inspect.signature(goods.Fruit)) == "(name, weight=1.0)"
    assert str(inspect.signature(goods.Apple)) == "(name, weight=1.0)"
    assert goods.Fruit.__doc__ == "A fruit."
    assert repr(goods.Fruit.Stone) == "<class 'shop.goods.Fruit.Stone'>"
    assert {"eat", "weight", "kind", "named", "Stone"} <= set(dir(goods.Apple))
    assert not [name for name in dir(goods.Apple) if "wsremote" in name]
    assert caller.log == []


def test_nested_classes_work(goods: Any) -> None:
    """They are members of their class, by the same name as on the server."""
    stone = goods.Fruit.Stone(3)
    assert stone.size == 3
    assert type(stone) is goods.Fruit.Stone
    assert goods.Apple("a").Stone is goods.Fruit.Stone


def test_exceptions_are_real(caller: Any) -> None:
    """Served and builtin bases both catch them; a rebuilt one is local and complete."""
    errors = caller.shallow.module("shop.errors")
    assert errors.BadPrice.__mro__[1:4] == (errors.ShopError, ValueError, Exception)
    for kind in (errors.BadPrice, errors.ShopError, ValueError):
        with pytest.raises(kind) as caught:
            errors.fail(7)
    error = caught.value
    caller.log.clear()
    assert type(error) is errors.BadPrice
    assert error.args == ("bad price 7",)
    assert error.price == 7
    assert str(error) == "bad price 7"
    error.add_note("n")
    assert error.__notes__ == ["n"]
    assert caller.shallow.handle_of(error) is None
    assert not hasattr(error, "nothing")
    assert caller.log == []


def test_an_exception_made_here_is_one_of_the_server(caller: Any) -> None:
    """It has a handle, can be raised, and its fields are read there."""
    errors = caller.shallow.module("shop.errors")
    made = errors.BadPrice(3)
    assert len(caller.log) == 1
    assert isinstance(made, ValueError)
    assert (made.price, made.tip()) == (3, "pay less")
    assert (str(made), repr(made)) == ("bad price 3", "BadPrice('bad price 3')")
    cause = ValueError()
    with pytest.raises(errors.ShopError) as caught:
        raise made from cause
    assert caught.value is made
    assert caught.value.__cause__ is cause
    assert str(errors.Loss("it")) == "lost it"


def test_a_rebuilt_exception_runs_its_methods_on_the_server(caller: Any) -> None:
    """Without a handle, the exception itself is what is sent."""
    errors = caller.shallow.module("shop.errors")
    with pytest.raises(errors.BadPrice) as caught:
        errors.fail(7)
    caller.log.clear()
    assert caught.value.tip() == "pay less"
    assert [entry[:3] for entry in caller.log] == [("method", "shop.errors:BadPrice", "tip")]


def test_enumerations(goods: Any) -> None:
    """Members keep their identity; the class is a container."""
    red = goods.Color.RED
    assert red is goods.Color.RED
    assert red is goods.Color["RED"]
    assert red is goods.Color(1)
    assert isinstance(red, goods.Color)
    assert (red.name, red.value) == ("RED", 1)
    assert [member.name for member in goods.Color] == ["RED", "GREEN"]
    assert len(goods.Color) == 2
    assert red in goods.Color
    assert list(goods.Color.__members__) == ["RED", "GREEN"]
    assert goods.Color.GREEN != red


def test_members_are_asked_for_once(goods: Any, caller: Any) -> None:
    """All of them together, and then no more; so are name and value of each."""
    caller.log.clear()
    for _ in range(2):
        assert [member.name for member in goods.Color] == ["RED", "GREEN"]
        assert goods.Color["RED"] is goods.Color.RED
        assert goods.Color.RED in goods.Color
        assert len(goods.Color) == 2
    assert [entry[:3:2] for entry in caller.log] == [
        ("get", "__members__"),
        ("method", "copy"),
        ("get", "_name_"),
        ("get", "_name_"),
    ]
    assert isinstance(goods.Color.RED, enum.Enum)
    assert isinstance(goods.Color, enum.EnumMeta)


def test_content_is_read_here(goods: Any, caller: Any) -> None:
    """What the class does not override costs no message."""
    place, label = goods.Place(3, 4), goods.Label("x")
    caller.log.clear()
    row, shelf = place
    assert (row, shelf, place.row, place[1], place == (3, 4)) == (3, 4, 3, 4, True)
    assert goods.Place._fields == goods.Place.__match_args__ == ("row", "shelf")
    assert json.dumps([place, label]) == '[[3, 4], "x"]'
    assert label.upper() == "X"
    assert {"x": 1}[label] == 1
    assert caller.log == []
    assert label + "y" == "label y"
    assert place.far() is False
    assert len(caller.log) == 2


@pytest.mark.parametrize("make", ["Place", "Label"])
def test_objects_with_content_are_released_once(goods: Any, caller: Any, make: str) -> None:
    """Also those that Python cannot refer to weakly; identity holds while they live."""
    proxy = getattr(goods, make)("7")
    handle = caller.shallow.handle_of(proxy)
    assert caller.here(caller.objects[handle]) is proxy
    del proxy
    gc.collect()
    assert caller.released == [(handle, 2)]


def test_metaclasses_are_real(goods: Any, caller: Any) -> None:
    """What it defines its classes do, with the class as the target."""
    assert type(goods.Counted) is goods.Counting
    assert issubclass(goods.Counting, type)
    assert isinstance(goods.Counted, goods.Counting)
    assert not isinstance(goods.Fruit, goods.Counting)
    caller.log.clear()
    assert len(goods.Counted) == 3
    assert goods.Counted.plural == "Counteds"
    assert [entry[:3] for entry in caller.log] == [
        ("special", "shop.goods:Counted", "__len__"),
        ("get", "shop.goods:Counted", "plural"),
    ]
    with pytest.raises(TypeError):
        len(goods.Fruit)
    assert type(goods.Counted()) is goods.Counted


def test_abstract_classes_are_asked_when_the_order_says_no(goods: Any, caller: Any) -> None:
    """The server knows who is registered there; Python's own abstract classes ask nobody."""
    caller.inventory.objects["shop.goods:Base"].register(complex)
    caller.log.clear()
    assert issubclass(goods.Job, goods.Base)
    assert not isinstance(3, collections.abc.Mapping)
    assert isinstance(goods.Shelf, type)
    assert caller.log == []
    assert isinstance(3j, goods.Base)
    assert not issubclass(str, goods.Base)
    assert [entry[2] for entry in caller.log] == ["__subclasscheck__"] * 2
    assert goods.Base.__abstractmethods__ == {"run"}
    assert inspect.isabstract(goods.Base) and not inspect.isabstract(goods.Job)


def test_generic_classes_can_be_subscripted(goods: Any, caller: Any) -> None:
    """Locally, and what is made is an object of the class."""
    alias = goods.Box[int]
    assert get_origin(alias) is goods.Box
    assert caller.log == []
    assert alias(5).content == 5


def test_abstract_bases_of_python_are_bases(goods: Any, caller: Any) -> None:
    """Their mixin methods are the server's, one message each."""
    shelf = goods.Shelf()
    assert isinstance(shelf, collections.abc.Mapping)
    caller.log.clear()
    assert shelf.get("a") == 1
    assert "b" in shelf
    assert len(shelf) == 2
    assert len(caller.log) == 3
    assert sorted(shelf) == ["a", "b"]
    with pytest.raises(TypeError):
        hash(shelf)


def test_the_server_decides_what_is_abstract(goods: Any, caller: Any) -> None:
    """Its error arrives; a concrete subclass works."""
    with pytest.raises(TypeError, match="abstract"):
        goods.Base()
    assert len(caller.log) == 1
    assert goods.Job().run() == "ran"


def test_an_object_of_the_server_exists_whatever_its_class_lacks_here(caller: Any) -> None:
    """A class that looks abstract from here has objects all the same."""
    node = ClassNode("Odd", "Odd", "x", bases=("collections.abc:Sized",))
    cls = caller.shallow.class_from(node, caller.shallow.class_at)
    assert issubclass(cls, collections.abc.Sized)
    assert caller.shallow.handle_of(caller.shallow.proxy(cls, 5)) == 5


def test_what_derives_from_a_builtin_container_has_its_methods(goods: Any, caller: Any) -> None:
    """A served subclass of dict is one: it is read here, and written on the server."""
    stock = goods.Stock(a=1)
    caller.log.clear()
    assert isinstance(stock, dict)
    assert (stock["a"], len(stock), stock.get("b"), json.dumps(stock)) == (1, 1, None, '{"a": 1}')
    assert caller.log == []
    stock["b"] = 2
    stock.update(c=3)
    assert stock.total() == 6
    assert [entry[:3:2] for entry in caller.log] == [
        ("special", "__setitem__"),
        ("method", "update"),
        ("method", "total"),
    ]


def test_a_foreign_exception_is_caught_by_its_own_name(caller: Any) -> None:
    """Where this Python has the class as well, `except` of it works."""
    errors = caller.shallow.class_from(
        describe_class(json.JSONDecodeError), lambda path: caller.shallow.class_at(path)
    )
    assert issubclass(errors, json.JSONDecodeError)
    error = ValueError.__new__(errors, "it")
    with pytest.raises(json.JSONDecodeError):
        raise error


def test_methods_are_functions_for_whoever_lists_the_class(goods: Any, caller: Any) -> None:
    """They are made at first use; `dir` makes all of them, which editors look at statically."""
    dir(goods.LoudApple)
    for cls, name in [(goods.Fruit, "eat"), (goods.Loud, "shout"), (goods.Apple, "who")]:
        assert inspect.isfunction(inspect.getattr_static(cls, name))
    dir(goods)
    assert inspect.isfunction(inspect.getattr_static(goods, "plain"))
    assert caller.log == []


def test_aliases_in_classes(caller: Any, goods: Any) -> None:
    """An attribute that stands for a function or class is that one, or is asked for."""
    node = ClassNode(
        "Alias",
        "Alias",
        "shop.goods",
        members={
            "kind": ReferenceNode("kind", "shop.goods:Fruit"),
            "sum": ReferenceNode("sum", "shop.goods:plain"),
            "lost": ReferenceNode("lost", "elsewhere:f"),
            "limit": ReferenceNode("limit", "shop.goods:LIMIT"),
        },
    )
    cls: Any = caller.shallow.class_from(node, caller.shallow.class_at)
    assert cls.kind is goods.Fruit
    assert cls.sum is goods.plain
    assert cls.__dict__["kind"] is goods.Fruit
    caller.inventory = type("Inventory", (), {"objects": {"shop.goods:Alias": cls.__name__}})
    assert caller.log == []
    for name in ("lost", "limit"):
        with pytest.raises(AttributeError):
            getattr(cls, name)
    assert [entry[:3] for entry in caller.log] == [
        ("get", "shop.goods:Alias", "lost"),
        ("get", "shop.goods:Alias", "limit"),
    ]
