"""Functions made from nodes."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from wsremote.shallow.source import Functions
from wsremote.shallow.templates import given
from wsremote.tree.nodes import FunctionNode, Parameter, Signature
from wsremote.tree.signature import Placeholder


def test_arguments_are_sent_as_they_were_given(goods: Any, caller: Any) -> None:
    """Positional arguments go positionally, and a call is one message."""
    assert goods.plain(1, 2) == 3
    assert goods.plain(b=1, a=2) == 3
    assert caller.log == [
        ("call", "shop.goods:plain", None, (1, 2), None),
        ("call", "shop.goods:plain", None, (2, 1), None),
    ]


def test_defaults_are_not_sent(goods: Any, caller: Any) -> None:
    """What nobody gave stays away, and what follows a gap goes by keyword."""
    assert goods.gaps(1) == (1, 2, 3, 4)
    assert goods.gaps(1, 9) == (1, 9, 3, 4)
    assert goods.gaps(1, c=8) == (1, 2, 8, 4)
    assert goods.gaps(1, 9, d=7) == (1, 9, 3, 7)
    assert goods.gaps(1, 5, 6, 7) == (1, 5, 6, 7)
    assert [entry[3:] for entry in caller.log] == [
        ((1,), None),
        ((1, 9), None),
        ((1,), {"c": 8}),
        ((1, 9), {"d": 7}),
        ((1, 5, 6, 7), None),
    ]


def test_every_kind_of_parameter_arrives(goods: Any) -> None:
    """Positional-only, variable, keyword-only and free keywords end where they belong."""
    assert goods.price(1) == (1, 2.5, (), 0, {})
    assert goods.price(1, 2, 3, 4, tax=5, z=6) == (1, 2, (3, 4), 5, {"z": 6})
    assert goods.price(1, z=6) == (1, 2.5, (), 0, {"z": 6})
    assert goods.anything(1, a=2) == ((1,), {"a": 2})
    assert goods.anything() == ((), {})


def test_a_default_given_back_counts_as_not_given(goods: Any, caller: Any) -> None:
    """The placeholder that a signature shows stands for the server's default."""
    shown = inspect.signature(goods.gaps).parameters["b"].default
    assert goods.gaps(1, shown) == (1, 2, 3, 4)
    assert caller.log[0][3:] == ((1,), None)


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "plain() missing 2 required positional arguments: 'a' and 'b'"),
        ((1, 2, 3), {}, "plain() takes 2 positional arguments but 3 were given"),
        ((1, 2), {"c": 1}, "plain() got an unexpected keyword argument 'c'"),
    ],
)
def test_wrong_arguments_fail_before_anything_is_sent(
    goods: Any, caller: Any, args: Any, kwargs: Any, text: str
) -> None:
    """Python itself refuses them, in its own words."""
    with pytest.raises(TypeError) as caught:
        goods.plain(*args, **kwargs)
    assert str(caught.value) == text
    assert caller.log == []


def test_methods_and_constructors_refuse_wrong_arguments_as_at_home(
    goods: Any, caller: Any
) -> None:
    """The messages name the method and count `self`."""
    apple = goods.Apple("a")
    caller.log.clear()
    with pytest.raises(TypeError, match=r"^Fruit\.eat\(\) missing 1 required positional"):
        apple.eat()
    with pytest.raises(
        TypeError, match=r"__init__\(\) missing 1 required positional argument: 'name'"
    ):
        goods.Fruit()
    with pytest.raises(
        TypeError, match=r"^Fruit.__init__\(\) takes from 2 to 3 positional arguments but 4 were"
    ):
        goods.Fruit(1, 2, 3)
    assert caller.log == []


def test_a_signature_that_does_not_bind_is_shown_and_not_applied(goods: Any) -> None:
    """The server decides about the arguments of a wrapped function."""
    assert str(inspect.signature(goods.wrapped)) == "(x, y=1)"
    assert inspect.signature(goods.wrapped) == inspect.signature(goods.wrapped)
    assert str(inspect.signature(goods.wrapped).replace(return_annotation=int)) == "(x, y=1) -> int"
    assert goods.wrapped(1) == (1, 1)
    with pytest.raises(TypeError):
        goods.wrapped(1, 2, 3)


def test_a_function_tells_what_it_is(goods: Any, caller: Any) -> None:
    """Name, documentation, signature, annotations and place are the server's."""
    price = goods.price
    assert (price.__name__, price.__qualname__, price.__module__) == (
        "price",
        "price",
        "shop.goods",
    )
    assert price.__doc__ == "What it costs."
    assert str(inspect.signature(price)) == (
        "(kilos: float, per_kilo: float = 2.5, /, *extras: int, tax=0, **notes) -> float"
    )
    assert price.__annotations__["return"] == "float"
    assert price.__code__.co_filename == "<wsremote://box:1>/shop/goods.py"
    assert price.__code__.co_firstlineno == 14
    assert price.__globals__["__name__"] == goods.__dict__["__name__"] == "shop.goods"
    assert caller.log == []


def _made(parameters: list[Parameter], name: str = "f") -> Any:
    class Caller:
        url = "ws://h:1"
        call = special = call_method = inherited = staticmethod(lambda *args: args)
        awaited = SimpleNamespace(call=call, special=call, call_method=call, inherited=call)

    node = FunctionNode(name, name, "m", signature=Signature(tuple(parameters)))
    return Functions(Caller()).function(node, f"m:{name}", {"__name__": "m"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "parameters",
    [
        [Parameter("a, b=print('owned')", 1)],
        [Parameter("class", 1)],
        [Parameter("a", 1), Parameter("a", 1)],
        [Parameter("a", 1, "1"), Parameter("b", 1)],
        [Parameter("k", 3), Parameter("a", 1)],
        [Parameter("a", 2), Parameter("b", 2)],
    ],
)
def test_an_impossible_signature_binds_nothing(parameters: list[Parameter]) -> None:
    """What a hostile server sends in place of names is never used as such."""
    made = _made(parameters)
    assert made.__code__.co_varnames == ("args", "kwargs")
    assert made(1, x=2) == ("m:f", (1,), {"x": 2})


def test_parameters_may_have_the_names_that_the_body_uses() -> None:
    """The body's own words are no names of the function's scope."""
    made = _made([Parameter("_call", 1), Parameter("_given", 1, "0"), Parameter("args", 2)])
    assert made(1) == ("m:f", (1,), None)
    assert made(1, 2, 3) == ("m:f", (1, 2, 3), None)


def test_functions_of_one_shape_share_no_names() -> None:
    """A template serves many functions and keeps nothing of them."""
    one, two = _made([Parameter("a", 1)], "one"), _made([Parameter("b", 1)], "two")
    assert one(a=1) == ("m:one", (1,), None)
    assert two(b=1) == ("m:two", (1,), None)


def test_given_keeps_free_keywords_and_drops_placeholders() -> None:
    """`given` is the whole rule of what is sent."""
    absent = Placeholder("1")
    assert given((1,), (absent, 2, absent), ("b", "c", "d"), (), {"k": absent, "z": 3}) == (
        (1,),
        {"c": 2, "z": 3},
    )
    assert given((1,), (2, 3), ("b", "c"), (4,), {}) == ((1, 2, 3, 4), None)
