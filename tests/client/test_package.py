"""The shallow package: names, identities, handles."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from wsremote.errors import StaleHandle


def test_building_asks_the_server_nothing(caller: Any) -> None:
    """Modules and classes come from the tree alone."""
    for name in caller.shallow.tree:
        module = caller.shallow.module(name)
        assert caller.shallow.module(name) is module
    caller.shallow.class_at("shop.goods:Fruit.Stone")
    assert caller.log == []


def test_a_re_export_is_the_very_same_object(caller: Any, shop: Any, goods: Any) -> None:
    """References resolve to what their home module has, and stay."""
    assert shop.Fruit is goods.Fruit
    assert shop.cost is goods.price
    assert shop.__dict__["Fruit"] is goods.Fruit
    office = caller.shallow.module("shop.back.office")
    assert office.Produce is goods.Fruit
    assert caller.shallow.class_at("shop.goods:Fruit") is goods.Fruit


def test_the_same_handle_is_the_same_proxy_and_is_counted(caller: Any, goods: Any) -> None:
    """Each receipt is counted, and released together when the proxy dies."""
    apple = goods.Fruit("a")
    assert apple.itself() is apple
    assert apple.itself() is apple
    handle = caller.shallow.handle_of(apple)
    assert caller.released == []
    del apple
    gc.collect()
    assert caller.released == [(handle, 3)]


def test_a_handle_received_again_after_its_proxy_died_is_counted_anew(
    caller: Any, goods: Any
) -> None:
    """Old and new receipts are released apart, and none is lost."""
    shallow, cls = caller.shallow, goods.Fruit
    first = shallow.proxy(cls, 77)
    del first
    second = shallow.proxy(cls, 77)
    assert shallow.proxy(cls, 77) is second
    del second
    gc.collect()
    assert caller.released == [(77, 1), (77, 2)]


def test_a_handle_received_while_its_proxy_is_made_has_one_proxy(caller: Any, goods: Any) -> None:
    """Whoever comes second takes the first one's proxy, and both receipts are counted."""
    shallow, cls = caller.shallow, goods.Fruit
    nested: list[Any] = []

    def blank(cls: type) -> Any:
        type.__setattr__(cls, "_wsremote_blank", object.__new__)
        nested.append(shallow.proxy(cls, 77))
        return object.__new__(cls)

    type.__setattr__(cls, "_wsremote_blank", blank)
    assert shallow.proxy(cls, 77) is nested[0]
    assert caller.released == []
    nested.clear()
    gc.collect()
    assert caller.released == [(77, 2)]


def test_a_late_death_does_not_take_the_next_proxy_along(caller: Any, goods: Any) -> None:
    """The collector may report a proxy dead after its handle was received again."""
    shallow, cls = caller.shallow, goods.Fruit
    first = shallow.proxy(cls, 77)
    late = shallow.proxies._receipts[77]
    del first
    shallow.proxies._dead.clear()
    second = shallow.proxy(cls, 77)
    shallow.proxies._dead.append(late)
    assert shallow.proxy(cls, 77) is second
    assert shallow.proxy(cls, 77) is second


def test_receipts_from_many_threads_add_up(caller: Any, goods: Any) -> None:
    """However threads receive and drop one handle, what is released is what was received."""
    shallow, cls, rounds = caller.shallow, goods.Fruit, 2000

    def receive() -> None:
        for index in range(rounds):
            proxy = shallow.proxy(cls, index % 3)
            assert shallow.handle_of(proxy) == index % 3

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert sum(count for _, count in caller.released) == 4 * rounds


def test_handle_of_knows_its_own_proxies_only(caller: Any, other: Any, goods: Any) -> None:
    """Anything else has no handle; a proxy of another session is refused, naming both."""
    apple = goods.Fruit("a")
    shallow = other.shallow
    assert isinstance(caller.shallow.handle_of(apple), int)
    assert caller.shallow.handle_of(3) is None
    assert caller.shallow.handle_of(goods.Fruit) is None
    with pytest.raises(StaleHandle, match=r"belongs to session s1 .* session s2 at ws://box:2"):
        shallow.handle_of(apple)


def test_sessions_share_no_class_state(caller: Any, other: Any, goods: Any) -> None:
    """Two sessions to servers of the same package have classes of their own."""
    theirs = other.shallow.class_at("shop.goods:Fruit")
    assert theirs is not goods.Fruit
    assert not isinstance(theirs("x"), goods.Fruit)


def test_names_and_back(caller: Any, other: Any, goods: Any) -> None:
    """Modules, classes and functions of the session have a name; all else has none."""
    shallow = caller.shallow
    for value, path in [
        (goods, "shop.goods"),
        (goods.Fruit, "shop.goods:Fruit"),
        (goods.Fruit.Stone, "shop.goods:Fruit.Stone"),
        (goods.price, "shop.goods:price"),
    ]:
        assert shallow.name_of(value) == path
        assert shallow.named(path) is value
        assert other.shallow.name_of(value) is None
    for value in (3, len, int, goods.Fruit("x"), lambda: 1):
        assert shallow.name_of(value) is None
    with pytest.raises(KeyError, match=r"shop.goods:Frut"):
        shallow.named("shop.goods:Frut")


def test_classes_outside_the_tree_come_with_their_node(caller: Any, goods: Any) -> None:
    """An iterator of the server iterates here, one message an item."""
    numbers = goods.numbers()
    assert type(numbers).__name__ == "list_iterator"
    assert list(numbers) == [1, 2, 3]
    keyed = goods.keyed()
    assert isinstance(keyed, goods.Keyed)
    assert len(keyed) == 1
    assert keyed["a"] == 1


def test_bases_that_are_not_served_are_classes_too(goods: Any) -> None:
    """A foreign base that cannot be taken from this Python is built from its node."""
    assert [cls.__name__ for cls in goods.Keyed.__mro__] == [
        "Keyed",
        "OrderedDict",
        "dict",
        "object",
    ]
    assert "move_to_end" in dir(goods.Keyed)
