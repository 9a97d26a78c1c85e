"""Instances: attributes, special methods, and what never fails."""

from __future__ import annotations

import copy
import inspect
import weakref
from typing import Any

import pytest


@pytest.fixture
def apple(goods: Any, caller: Any) -> Any:
    """A fruit, with nothing recorded yet."""
    made = goods.Apple("a")
    caller.log.clear()
    return made


def test_known_data_is_a_property(goods: Any, apple: Any, caller: Any) -> None:
    """Read and set at one message each; documented without any."""
    assert type(inspect.getattr_static(goods.Fruit, "weight")) is property
    assert goods.Fruit.weight.__doc__ == "In kilos."
    assert caller.log == []
    assert apple.weight == 1.0
    apple.weight = 2
    assert apple.weight == 2
    assert len(caller.log) == 3


def test_other_data_is_asked_for(apple: Any, caller: Any) -> None:
    """What only the instance has is read, set and deleted at one message each."""
    assert apple.name == "a"
    apple.name = "b"
    apple.extra = 1
    assert (apple.name, apple.extra) == ("b", 1)
    del apple.extra
    assert len(caller.log) == 6
    assert not hasattr(apple, "extra")
    assert len(caller.log) == 7


def test_an_attribute_error_inside_a_property_arrives_once(apple: Any, caller: Any) -> None:
    """Python asks `__getattr__` then; the server is not asked again, the error is the first."""
    with pytest.raises(AttributeError, match="inner trouble"):
        apple.broken
    assert len(caller.log) == 1
    with pytest.raises(AttributeError, match="inner trouble"):
        apple.broken
    assert len(caller.log) == 2


def test_special_methods_are_forwarded(apple: Any, goods: Any, caller: Any) -> None:
    """Operators, comparison, call and text, one message each."""
    assert apple + 1 == "a1"
    assert "1" + apple == "1a"
    assert apple == goods.Apple("a")
    assert apple != 3
    assert repr(apple) == str(apple) == "Fruit('a')"
    assert apple(1, y=2) == ("a", 1, 2)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        apple()
    with pytest.raises(TypeError, match="unhashable"):
        hash(apple)
    with pytest.raises(TypeError):
        len(apple)


def test_identity_is_enough_where_the_server_has_no_more(goods: Any, caller: Any) -> None:
    """Default equality and hash ask nobody."""
    one, two = goods.Loud(), goods.Loud()
    caller.log.clear()
    assert one == one
    assert one != two
    assert len({one, two, one}) == 2
    assert caller.log == []


def test_a_context_manager_sees_the_exception(goods: Any, caller: Any) -> None:
    """Its `__exit__` runs on the server, which is sent the exception alone; its answer counts."""
    with goods.Job() as job:
        raise KeyError("k")
    assert [entry[2] for entry in caller.log if entry[0] == "special"] == ["__enter__", "__exit__"]
    assert job.left == (KeyError, "'k'", None)


def test_text_of_a_proxy_never_fails(goods: Any, apple: Any, caller: Any) -> None:
    """With the session closed, it says so."""
    loud = goods.Loud()
    number = caller.shallow.handle_of(loud)
    assert repr(loud) == f"<shop.goods.Loud #{number} at ws://box:1>"
    caller.closed = True
    assert repr(loud) == f"<shop.goods.Loud #{number} at ws://box:1 (session closed)>"
    number = caller.shallow.handle_of(apple)
    assert (
        repr(apple) == str(apple) == f"<shop.goods.Apple #{number} at ws://box:1 (session closed)>"
    )
    error = caller.shallow.class_at("shop.errors:Loss")
    assert str(error.__new__(error, "it")) == "it"


def test_looking_costs_nothing(goods: Any, apple: Any, caller: Any) -> None:
    """Signatures and documentation come from the tree."""
    assert inspect.getdoc(apple.eat) == "Eat it."
    assert callable(apple)
    assert weakref.ref(apple)() is apple
    assert caller.log == []


def test_all_names_are_one_message(apple: Any, caller: Any) -> None:
    """With those that the object has got at run time; without those of ours."""
    assert {"eat", "weight", "kind", "who", "name", "_weight"} <= set(dir(apple))
    assert len(caller.log) == 1
    assert not [name for name in dir(apple) if "wsremote" in name]
    caller.closed = True
    assert {"eat", "weight", "kind"} <= set(dir(apple))


def test_what_an_object_holds_is_one_message(apple: Any, caller: Any) -> None:
    """`vars` gives the server's; nothing of ours is in it."""
    assert vars(apple) == {"name": "a", "_weight": 1.0}
    assert len(caller.log) == 1


def test_copies_are_made_on_the_server(apple: Any, caller: Any) -> None:
    """Each is a new object there; a deep copy keeps what is shared."""
    one, same = copy.deepcopy([apple, apple])
    assert one is same is not apple
    assert copy.copy(apple) == apple
    assert copy.copy(apple) is not apple
    assert [entry[0] for entry in caller.log[:2]] == ["special", "special"]


def test_a_rebuilt_exception_is_copied_here(caller: Any) -> None:
    """It has no object on the server."""
    failed = caller.shallow.class_at("shop.errors:Loss")
    error = failed.__new__(failed, "it")
    error.extra = [1]
    caller.log.clear()
    made = copy.copy(error)
    assert (type(made), made.args, made.extra) == (failed, ("it",), [1])
    assert caller.log == []


def test_a_class_cannot_be_changed_under_a_proxy(apple: Any, goods: Any) -> None:
    """The server has the object's class."""
    with pytest.raises(AttributeError, match="cannot be set"):
        apple.__class__ = goods.Loud


def test_a_misspelt_attribute_can_be_suggested(apple: Any) -> None:
    """The error knows object and name, so that Python's own hint works."""
    with pytest.raises(AttributeError) as caught:
        apple.wieght
    assert caught.value.obj is apple
    assert caught.value.name == "wieght"
