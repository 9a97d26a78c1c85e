"""Attributes of served objects and functions: made at run time, read, set, deleted, listed."""

from __future__ import annotations

import functools
import inspect
import pydoc
import rlcompleter
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wsremote


@pytest.fixture
def posing(pkg: Any) -> Any:
    """`samplepkg.posing` of the server."""
    return pkg.posing


def area(width: int, height: int = 2) -> int:
    """Multiply."""
    return width * height


@pytest.fixture
def count(remote: wsremote.Session) -> Callable[[Callable[[], Any]], int]:
    """How many calls something makes."""
    numbers = remote._driver._call_numbers

    def counted(action: Callable[[], Any]) -> int:
        before = next(numbers)
        action()
        return next(numbers) - before - 1

    return counted


# ---- objects -----------------------------------------------------------------------------


def test_what_an_object_gets_at_run_time_is_seen(posing: Any) -> None:
    """By `getattr`, `hasattr`, `dir` and `vars`, whoever has set it."""
    bag = posing.Bag(a=1)
    assert not hasattr(bag, "b")
    bag.grow("b", 2)
    bag.c = 3
    assert (bag.a, bag.b, bag.c) == (1, 2, 3)
    assert {"a", "b", "c", "grow"} <= set(dir(bag))
    assert vars(bag) == {"a": 1, "b": 2, "c": 3} == bag.__dict__
    del bag.a
    assert not hasattr(bag, "a")
    assert "a" not in dir(bag) and "a" not in vars(bag)
    with pytest.raises(AttributeError, match="'Bag' object has no attribute 'a'"):
        del bag.a


def test_nothing_of_ours_is_seen(posing: Any) -> None:
    """The handle is no attribute of the object."""
    bag = posing.Bag()
    assert vars(bag) == {}
    assert not [name for name in dir(bag) if "wsremote" in name]


def test_an_object_without_dict_has_none(posing: Any) -> None:
    """As at home."""
    bare = posing.Bare()
    assert not hasattr(bare, "__dict__")
    with pytest.raises(TypeError, match="__dict__"):
        vars(bare)
    with pytest.raises(AttributeError):
        bare.other = 1
    assert "only" in dir(bare)


def test_listing_is_one_message(posing: Any, count: Any) -> None:
    """So are `vars`, a read, a write, and a question for what is not there."""
    bag = posing.Bag(a=1)
    assert count(lambda: dir(bag)) == 1
    assert count(lambda: vars(bag)) == 1
    assert count(lambda: bag.a) == 1
    assert count(lambda: hasattr(bag, "nothing")) == 1
    assert count(lambda: setattr(bag, "a", 2)) == 1


def test_data_of_the_class_with_two_underscores(posing: Any) -> None:
    """A property `__name__` is the object's; so is what numpy looks for."""
    named = posing.Named("tea")
    assert named.__name__ == "TEA"
    assert named.__array_priority__ == 15.5
    assert posing.Named.__name__ == "Named"
    with pytest.raises(AttributeError):
        posing.Bag().__name__


# ---- functions ---------------------------------------------------------------------------


def test_a_function_that_was_made_at_run_time(posing: Any) -> None:
    """A closure is named, documented and signed like the function that it is."""
    scale = posing.scaled(5)
    assert scale(2) == 10
    assert scale.__name__ == "scale"
    assert scale.__qualname__ == "scaled.<locals>.scale"
    assert scale.__module__ == "samplepkg.posing"
    assert scale.__doc__ == "Scale it."
    assert scale.__defaults__ == (3,)
    assert scale.__kwdefaults__ == {"precise": None}
    assert scale.__annotations__ == {"y": int, "return": float}
    assert inspect.isfunction(scale) and callable(scale)
    assert str(inspect.signature(scale)) == "(x, y: int = 3, *rest, precise=None, **more) -> float"
    assert inspect.signature(scale).parameters["y"].default == 3
    assert inspect.getfullargspec(scale).args == ["x", "y"]
    assert scale.__code__.co_varnames[:2] == ("x", "y")
    assert not inspect.iscoroutinefunction(scale)
    assert not hasattr(scale, "__wrapped__")
    assert "scale" in repr(scale)


def test_the_code_of_a_function_stays_on_the_server(posing: Any) -> None:
    """Its globals, its closure and its code are not there."""
    scale = posing.scaled()
    for name in ("__globals__", "__closure__", "__builtins__"):
        assert not hasattr(scale, name)
    assert scale.__code__.co_consts == posing.scaled(3).__code__.co_consts


def test_attributes_of_a_function_can_be_read_and_set(posing: Any) -> None:
    """Its own are the server's, its names too."""
    scale = posing.scaled(5)
    assert scale.factor == 5
    scale.factor = 6
    scale.note = "x"
    assert vars(scale) == {"factor": 6, "note": "x"}
    assert {"factor", "note", "__name__"} <= set(dir(scale))
    del scale.note
    assert not hasattr(scale, "note")
    scale.__name__ = "other"
    scale.__doc__ = "Another."
    assert (scale.__name__, scale.__doc__) == ("other", "Another.")
    with pytest.raises(wsremote.NotExposed):
        scale.__code__ = None


def test_a_served_decorator_on_a_local_function(posing: Any) -> None:
    """The wrapper poses as the function, and gives it back."""
    wrapped = posing.logged(area)
    assert (wrapped(2), wrapped(2, height=5), wrapped.calls) == (4, 10, 2)
    assert wrapped.__wrapped__ is area
    assert inspect.unwrap(wrapped) is area
    assert (wrapped.__name__, wrapped.__doc__) == ("area", "Multiply.")
    assert (wrapped.__qualname__, wrapped.__module__) == ("area", __name__)
    assert str(inspect.signature(wrapped)) == str(inspect.signature(area))


def test_a_local_wrapper_of_a_served_function(posing: Any) -> None:
    """`functools.wraps` finds what it takes over."""
    scale = posing.scaled(5)

    @functools.wraps(scale)
    def wrapper(x: int) -> Any:
        return scale(x)

    assert wrapper(1) == 5
    assert (wrapper.__name__, wrapper.__doc__) == ("scale", "Scale it.")
    assert wrapper.__wrapped__ is scale
    assert wrapper.factor == 5  # type: ignore[attr-defined]


def test_served_decorators_on_methods(posing: Any) -> None:
    """Functions bind to instances; objects do what their `__get__` says."""

    class Local:
        @posing.logged
        def method(self, x: int) -> Any:
            return type(self).__name__, x

        @posing.Wrapper
        def other(self, x: int) -> Any:
            return type(self).__name__, x

        @classmethod
        @posing.logged
        def kind(cls, x: int) -> Any:
            return cls.__name__, x

        @property
        @posing.logged
        def value(self) -> int:
            return 7

    local = Local()
    assert local.method(1) == local.other(1) == Local.kind(1) == ("Local", 1)
    assert local.value == 7
    assert local.method.__self__ is local
    assert Local.method.calls == 1


def test_bound_methods_and_caches(posing: Any) -> None:
    """Methods of C code's kinds have what theirs have."""
    method = posing.bound()
    assert (method(), method.__name__) == ("a wrapper", "describe")
    assert isinstance(method, types.MethodType)
    assert type(method.__self__) is posing.Wrapper
    cached = posing.cached(area)
    assert (cached(2), cached(2)) == (4, 4)
    assert cached.cache_info().hits == 1
    assert cached.__wrapped__ is area


def test_an_object_that_poses_as_a_function(posing: Any) -> None:
    """What its class sets on it is its own; the class keeps its own."""
    wrapper = posing.Wrapper(area)
    assert (wrapper.__name__, wrapper.__doc__) == ("area", "Multiply.")
    assert (wrapper.__module__, wrapper.__qualname__) == (__name__, "area")
    assert wrapper.__wrapped__ is area
    assert str(inspect.signature(wrapper)) == str(inspect.signature(area))
    assert (posing.Wrapper.__doc__, posing.Wrapper.__module__) == (
        "Wraps a function, as a class.",
        "samplepkg.posing",
    )


def test_a_function_is_itself(posing: Any) -> None:
    """One function is one object; it is a key, and can be referred to weakly."""
    bag = posing.Bag(f=posing.scaled())
    assert bag.f is bag.f
    assert bag.f == bag.f and bag.f != posing.scaled()
    assert {bag.f: 1}[bag.f] == 1
    function = bag.f
    assert weakref.ref(function)() is function


def test_looking_at_a_function_costs_its_signature_alone(posing: Any, count: Any) -> None:
    """And what is asked for by name."""
    scale = posing.scaled()
    assert count(lambda: inspect.signature(scale)) == 1
    assert count(lambda: scale.__name__) == 1
    assert count(lambda: inspect.isfunction(scale)) == 0
    assert count(lambda: callable(scale)) == 0
    assert count(lambda: hasattr(scale, "_repr_html_")) == 0


@pytest.mark.parametrize("kind", ["function", "wrapper", "bag"])
def test_completion_and_help_cost_nothing(posing: Any, count: Any, kind: str) -> None:
    """Who completes names or shows documentation is answered here."""
    target = {
        "function": lambda: posing.scaled(),
        "wrapper": lambda: posing.Wrapper(area),
        "bag": lambda: posing.Bag(a=1),
    }[kind]()
    completer = rlcompleter.Completer({"target": target})
    assert count(lambda: completer.attr_matches("target.")) == 0
    assert count(lambda: pydoc.render_doc(target)) == 0


def test_what_a_client_sets_is_seen_though_it_looks_like_a_probe(posing: Any) -> None:
    """Names that nobody is asked for by default, until somebody has set them."""
    bag = posing.Bag()
    assert not hasattr(bag, "__wrapped__")
    bag.__wrapped__ = area
    assert bag.__wrapped__ is area
    bag._repr_html_ = 3
    assert bag._repr_html_ == 3
