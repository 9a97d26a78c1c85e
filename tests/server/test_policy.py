"""Tests of server/policy.py, with the real inventory of a small package."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import os
import string
import sys
import types
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wsremote.errors import NotExposed
from wsremote.server import policy as policy_module
from wsremote.server.policy import Policy
from wsremote.tree.inspector import inspect_packages

SHOP = '''
"""A shop."""
import os
import random
import subprocess as _subprocess
from collections import OrderedDict
from os import system
from threading import Thread
from . import till
from .till import Till as Cashbox

__version__ = "1.2"
__licence_texts__ = ["MIT"]
EXCLUDED_VARIABLES = ["SECRET"]
EXCLUDED_FUNCTIONS = ["audit"]
EXCLUDED_CLASSES = ["Vault"]
SECRET = "s3cret"
LIMIT = 10
_floor = 3

def price(name):
    return len(name)

def _discount():
    return 5

def audit(): ...

class Vault:
    def open(self):
        return "gold"

class Meta(type):
    def registry(cls):
        return [cls.__name__]

class Item(metaclass=Meta):
    rate = 0.2
    lookup = getattr

    def __init__(self, name):
        self.name = name
        self._cost = 1
        self.os = os

    @classmethod
    def free(cls): return cls("free")

    @staticmethod
    def sizes(): return [1, 2]

    @property
    def label(self): return f"<{self.name}>"

    @property
    def broken(self):
        return self.nothing_here

    def _internal(self): return "inner"

    class Tag:
        def show(self): return "tag"

class Slotted:
    __slots__ = ("a", "b")

    def __init__(self): self.a = 1

class Open:
    def __getattr__(self, name):
        if name == "anything": return 42
        raise AttributeError(name)

class Name(str):
    pass

def make_local():
    class Local:
        kind = "local"
    return Local

def make_homeless(*bases):
    return type("Homeless", bases, {"__module__": None, "kind": "homeless"})

_dice = random.Random(1)
roll = _dice.randint
stock = random.randint

def __getattr__(name):
    if name == "lazy":
        return price
    if name == "shell":
        return os.system
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
'''
TILL = """
LIMITS = [1, 2]

class Till:
    def count(self): return 0
"""


class Frames:
    """Holds what must not be handed out."""

    def __init__(self) -> None:
        self.frame = sys._getframe()
        self.code = Frames.__init__.__code__
        self.module = os


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the package on the import path."""
    folder = tmp_path_factory.mktemp("packages")
    package = folder / "policy_shop"
    package.mkdir()
    (package / "__init__.py").write_text(SHOP)
    (package / "till.py").write_text(TILL)
    (package / "wrecked.py").write_text("raise RuntimeError('no disk')")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "policy_shop"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def policy(folder: Path) -> Policy:
    """The default policy for it."""
    return Policy(inspect_packages(["policy_shop"]))


def make(policy: Policy, *args: Any, cls: str = "Item") -> Any:
    """An object of the package."""
    built: Callable[..., Any] = policy.resolve(f"policy_shop:{cls}")  # type: ignore[assignment]
    return built(*args)


# ---- paths -------------------------------------------------------------------------------


def test_what_the_tree_names_is_found(policy: Policy) -> None:
    """Modules, functions, classes and re-exports resolve to the objects themselves."""
    shop = sys.modules["policy_shop"]
    assert policy.resolve("policy_shop") is shop
    assert policy.resolve("policy_shop:price") is shop.price
    assert policy.resolve("policy_shop:Item.Tag") is shop.Item.Tag
    assert policy.resolve("policy_shop:Cashbox") is shop.till.Till
    assert policy.resolve("policy_shop.till:Till") is shop.till.Till


def test_unlisted_names_are_reachable(policy: Policy) -> None:
    """One underscore, methods by their path, and what a module makes on demand."""
    shop = sys.modules["policy_shop"]
    assert policy.resolve("policy_shop:_discount") is shop._discount
    assert policy.resolve("policy_shop:Item._internal") is shop.Item._internal
    assert policy.resolve("policy_shop:Item.Tag.show") is shop.Item.Tag.show
    assert policy.resolve("policy_shop:lazy") is shop.price
    free: Any = policy.resolve("policy_shop:Item.free")
    sizes: Any = policy.resolve("policy_shop:Item.sizes")
    assert (free().name, sizes()) == ("free", [1, 2])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "policy_shop:prise",
            "served package 'policy_shop' has no 'policy_shop:prise'. Did you mean 'policy_shop:pr",
        ),
        ("policy_shop:Item.nowhere", "served package 'policy_shop' has no"),
        ("policy_shop:price.__globals__", "served package 'policy_shop' has no"),
        ("policy_shop:LIMIT.real", "served package 'policy_shop' has no"),
        ("policy_shop:", "served package 'policy_shop' has no 'policy_shop:'"),
        ("policy_shop:SECRET", "served package 'policy_shop' has no 'policy_shop:SECRET'"),
        ("policy_shop:audit", "served package 'policy_shop' has no 'policy_shop:audit'"),
        ("policy_shop:Vault.open", "served package 'policy_shop' has no 'policy_shop:Vault.open'"),
        ("policy_shop:EXCLUDED_VARIABLES", "served package 'policy_shop' has no"),
    ],
)
def test_names_that_are_not_there(policy: Policy, path: str, message: str) -> None:
    """Unknown and hidden names read alike, and a typing error is met with the right name."""
    with pytest.raises(AttributeError) as missing:
        policy.resolve(path)
    assert str(missing.value).startswith(message)
    assert ("Did you mean" in str(missing.value)) == ("Did you mean" in message)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("os:system", NotExposed, "'os:system' is not served: this server serves policy_shop"),
        ("subprocess", NotExposed, "'subprocess' is not served"),
        ("policy_shopper:f", NotExposed, "'policy_shopper:f' is not served"),
        ("", NotExposed, "'' is not served"),
        (
            "policy_shop.til:Till",
            ModuleNotFoundError,
            "no module 'policy_shop.til'. Did you mean 'policy_shop.till'?",
        ),
        ("policy_shop.wrecked:f", ImportError, "failed to import on the server: RuntimeError"),
        ("policy_shop:os.system", NotExposed, "'os' is not served, because it is a module"),
        ("policy_shop:_subprocess.Popen", NotExposed, "'_subprocess' is not served"),
        ("policy_shop:system", NotExposed, "'system' is not served, because it comes from"),
        ("policy_shop:shell", NotExposed, "'shell' is not served, because it comes from"),
        ("policy_shop:Thread", NotExposed, "comes from threading, which is not served"),
        ("policy_shop:Item.__getattribute__", NotExposed, "'__getattribute__' is never served"),
        ("policy_shop:Item.__setattr__", NotExposed, "'__setattr__' is served as a method only"),
        ("policy_shop:Item.mro", NotExposed, "'mro' is never served"),
        ("policy_shop:Item.lookup", NotExposed, "it reaches whatever its arguments reach"),
        ("policy_shop:Name.format", NotExposed, "it reaches whatever its arguments reach"),
        ("policy_shop:__builtins__", NotExposed, "'__builtins__' is never served"),
        ("policy_shop:__dict__.get", AttributeError, "has no 'policy_shop:__dict__.get'"),
    ],
)
def test_paths_do_not_lead_out(
    policy: Policy, path: str, kind: type[Exception], message: str
) -> None:
    """What is not served is refused, with what and why."""
    with pytest.raises(kind) as refused:
        policy.resolve(path)
    assert message in str(refused.value)


def test_what_computes_may_be_re_exported(policy: Policy) -> None:
    """Functions, classes and modules that the client takes from its own Python are given."""
    shop = policy.resolve("policy_shop")
    assert policy.get(shop, "OrderedDict") is OrderedDict
    with pytest.raises(NotExposed, match="'os' is not served, because it is a module"):
        policy.get(shop, "os")


def test_classes_that_are_made_of_served_ones(policy: Policy) -> None:
    """A class in no module is served if a served one is its base or its metaclass."""
    make_homeless = policy.resolve("policy_shop:make_homeless")
    derived = make_homeless(policy.resolve("policy_shop:Slotted"))
    assert policy.is_served_class(derived)
    assert policy.get(derived, "kind") == "homeless"
    of_metaclass = policy.resolve("policy_shop:Meta")("Made", (), {"__module__": "elsewhere"})
    assert policy.is_served_class(of_metaclass)
    for bases in ((), (OrderedDict,), (Frames,)):
        other = make_homeless(*bases)
        assert not policy.is_served_class(other)
        with pytest.raises(NotExposed, match="'kind' is not served"):
            policy.get(other, "kind")


def test_methods_of_objects_that_a_module_names(policy: Policy) -> None:
    """A module may name a method of an object: it gives what the object itself would give."""
    shop = policy.resolve("policy_shop")
    assert policy.get(shop, "roll")(6, 6) == 6
    # Bound to an object of its home module, and imported from there like any function of it.
    with pytest.raises(NotExposed, match="comes from random, which is not served"):
        policy.get(shop, "stock")


def test_a_path_is_looked_up_once(policy: Policy) -> None:
    """A path stands for what it stood for first, as `from pkg import f` binds it."""
    shop = sys.modules["policy_shop"]
    first = policy.resolve("policy_shop:_discount")
    policy.set(shop, "_discount", lambda: 0)
    try:
        assert policy.resolve("policy_shop:_discount") is first
        assert policy.get(shop, "_discount") is not first
    finally:
        policy.set(shop, "_discount", first)


# ---- attributes of objects ---------------------------------------------------------------


def test_attributes_of_objects(policy: Policy) -> None:
    """Methods, properties, class attributes, instance data and private names are open."""
    item = make(policy, "tea")
    for _ in range(2):
        assert policy.get(item, "name") == "tea"
        assert policy.get(item, "_cost") == 1
        assert policy.get(item, "label") == "<tea>"
        assert policy.get(item, "rate") == 0.2
        assert policy.bind(item, "_internal")() == "inner"
        assert policy.bind(item, "free")().name == "free"
    item.added_later = [1]
    assert policy.get(item, "added_later") is item.added_later
    slotted = make(policy, cls="Slotted")
    assert policy.get(slotted, "a") == 1
    with pytest.raises(AttributeError):
        policy.get(slotted, "b")


def test_names_added_to_a_class_later_are_seen(policy: Policy) -> None:
    """What a class gets after its first use is found, and what it loses is gone."""
    item = make(policy, "tea")
    policy.get(item, "rate")
    type(item).colour = "green"
    assert policy.get(item, "colour") == "green"
    del type(item).colour
    with pytest.raises(AttributeError):
        policy.get(item, "colour")


def test_missing_attributes_read_as_in_python(policy: Policy) -> None:
    """Python's words, the suggestion it would print, the name; and the object is not held."""
    item = make(policy, "tea")
    with pytest.raises(AttributeError) as missing:
        policy.get(item, "lable")
    assert str(missing.value) == "'Item' object has no attribute 'lable'. Did you mean: 'label'?"
    assert (missing.value.name, missing.value.obj) == ("lable", None)
    with pytest.raises(AttributeError) as missing:
        item.quantity  # what Python itself says
    with pytest.raises(AttributeError) as ours:
        policy.get(item, "quantity")
    assert str(ours.value) == str(missing.value)
    with pytest.raises(AttributeError, match=r"^type object 'Item' has no attribute 'quantity'$"):
        policy.get(type(item), "quantity")
    with pytest.raises(AttributeError, match=r"'list' object has no attribute 'apend'\. Did you"):
        policy.get([], "apend")


def test_errors_of_the_packages_code_pass_unchanged(policy: Policy) -> None:
    """An AttributeError from inside a property or `__getattr__` is the package's own."""
    with pytest.raises(AttributeError, match=r"^'Item' object has no attribute 'nothing_here'$"):
        policy.get(make(policy, "tea"), "broken")
    opened = make(policy, cls="Open")
    assert policy.get(opened, "anything") == 42
    with pytest.raises(AttributeError, match=r"^nothing$"):
        policy.get(opened, "nothing")


@pytest.mark.parametrize(
    "name",
    ["__class__", "__subclasshook__", "__getattribute__", "__weakref__", "__missing__", "__mro__"],
)
def test_dunders_that_open_the_process_are_no_names(policy: Policy, name: str) -> None:
    """They are refused, on objects and their classes, read or called."""
    item = make(policy, "tea")
    for target in (item, type(item)):
        expected = NotExposed if hasattr(target, name) else AttributeError
        for ask in (policy.get, policy.bind):
            with pytest.raises(expected):
                ask(target, name)
    for target in (item, type(item)):
        if name != "__missing__" or target is item:
            with pytest.raises(NotExposed):
                policy.set(target, name, 1)
            with pytest.raises(NotExposed):
                policy.delete(target, name)


def test_what_python_calls_on_a_base_class_is_open(policy: Policy) -> None:
    """`Base.__init__(x)` and its like, of served classes; of others not."""
    item = make(policy, "tea")
    cls = type(item)
    policy.bind(cls, "__init__")(item, "milk")
    assert item.name == "milk"
    assert policy.bind(item, "__getstate__")()["name"] == "milk"
    assert policy.bind(cls, "__eq__")(item, item) is True
    assert type(policy.bind(cls, "__new__")(cls)) is cls
    frames = Frames()
    for name in ("__init__", "__reduce__", "__setstate__", "__getstate__"):
        with pytest.raises(NotExposed if hasattr(frames, name) else AttributeError):
            policy.bind(frames, name)


def test_new_makes_no_other_class(policy: Policy) -> None:
    """`object.__new__` would make an object of any class."""
    new = policy.bind(type(make(policy, "tea")), "__new__")
    with pytest.raises(TypeError, match="Frames is not a subtype of Item"):
        new(Frames)
    with pytest.raises(TypeError, match="is not a subtype of Item"):
        new(3)


def test_attribute_methods_ask_the_policy_for_the_attribute(policy: Policy) -> None:
    """`Base.__setattr__(x, name, value)` sets what `x.name = value` may set."""
    item = make(policy, "tea")
    for target, first in ((type(item), (item,)), (item, ())):
        policy.bind(target, "__setattr__")(*first, "name", "milk")
        assert item.name == "milk"
        policy.bind(target, "__delattr__")(*first, "name")
        assert not hasattr(item, "name")
        for name in ("__class__", "__dict__", "mro"):
            with pytest.raises(NotExposed):
                policy.bind(target, "__setattr__")(*first, name, Frames)
            with pytest.raises(NotExposed):
                policy.bind(target, "__delattr__")(*first, name)
        with pytest.raises(TypeError, match="takes the name of an attribute"):
            policy.bind(target, "__setattr__")(*first, 3, 4)
    opened = make(policy, cls="Open")
    assert policy.bind(type(opened), "__getattr__")(opened, "anything") == 42
    with pytest.raises(AttributeError):
        policy.bind(type(opened), "__getattr__")(opened, "__globals__")


def test_own_data_are_given_whole_or_as_a_view(folder: Path, policy: Policy) -> None:
    """`vars(x)` is the object's own dict; a view where something of it stays here."""
    sold = make(policy, cls="Open")
    sold.count = 1
    assert policy.get(sold, "__dict__") is vars(sold)
    item = make(policy, "tea")
    view = policy.get(item, "__dict__")
    assert type(view) is types.MappingProxyType
    assert dict(view) == {"name": "tea", "_cost": 1}
    read_only = Policy(inspect_packages(["policy_shop"]), read_only=True)
    assert type(read_only.get(sold, "__dict__")) is types.MappingProxyType
    public = Policy(inspect_packages(["policy_shop"]), public_only=True)
    assert dict(public.get(item, "__dict__")) == {"name": "tea"}
    with pytest.raises(AttributeError):
        policy.get(make(policy, cls="Slotted"), "__dict__")
    with pytest.raises(NotExposed):
        policy.get(type(item), "__dict__")


def test_names_are_listed_without_the_hidden_ones(policy: Policy) -> None:
    """`dir(x)` has what the object got at run time."""
    item = make(policy, "tea")
    item.extra = 1
    listed = policy.bind(item, "__dir__")()
    assert {"name", "extra", "label", "_cost", "__init__"} <= set(listed)
    public = Policy(inspect_packages(["policy_shop"]), public_only=True)
    assert "_cost" not in public.bind(item, "__dir__")()
    assert "extra" in public.bind(item, "__dir__")()


def test_harmless_dunders_are_open(policy: Policy) -> None:
    """Documentation, names and notes can be read."""
    item = make(policy, "tea")
    assert policy.get(item, "__module__") == "policy_shop"
    assert policy.get(type(item), "__qualname__") == "Item"
    error = ValueError("x")
    error.add_note("note")
    assert policy.get(error, "__notes__") == ["note"]
    policy.set(error, "__cause__", KeyError())
    assert isinstance(policy.get(error, "__cause__"), KeyError)
    shop = policy.resolve("policy_shop")
    assert policy.get(shop, "__version__") == "1.2"
    assert policy.get(shop, "__licence_texts__") == ["MIT"]
    for name in ("__file__", "__path__", "__dict__", "__builtins__", "__spec__", "__loader__"):
        with pytest.raises((NotExposed, AttributeError)):
            policy.get(shop, name)


@pytest.mark.parametrize("name", ["not an identifier", "a.b", "", "9"])
def test_names_are_identifiers(policy: Policy, name: str) -> None:
    """Anything else is refused, also where the object has it."""
    item = make(policy, "tea")
    with pytest.raises(AttributeError):
        policy.get(item, name)
    vars(item)[name] = 1
    with pytest.raises(NotExposed, match="is no Python identifier"):
        policy.get(item, name)


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.fixture
def suspended() -> Iterator[Any]:
    """A coroutine that has not run."""
    waiting = coroutine()
    yield waiting
    waiting.close()


def test_nothing_leads_into_the_interpreter(policy: Policy, suspended: Any) -> None:
    """Frames, code and namespaces are out of reach from everything that knows them."""
    frame = sys._getframe()
    try:
        raise ValueError
    except ValueError as error:
        trace = error.__traceback__
    ways = {
        generator(): ("gi_frame", "gi_code", "gi_running"),
        suspended: ("cr_frame", "cr_code", "cr_origin"),
        async_generator(): ("ag_frame", "ag_code"),
        frame: ("f_back", "f_globals", "f_locals", "f_builtins", "f_lineno", "clear"),
        frame.f_code: ("co_code", "co_consts", "co_name", "replace"),
        trace: ("tb_frame", "tb_next", "tb_lineno"),
        generator: ("__globals__", "__code__", "__closure__", "__builtins__"),
        make(policy, "tea")._internal.__func__: ("__code__", "__globals__"),
        functools.partial(print): ("func",),
        types: ("FunctionType", "__builtins__"),
    }
    for target, names in ways.items():
        for name in names:
            assert hasattr(target, name), (target, name)
            for ask in (policy.get, policy.bind):
                with pytest.raises(NotExposed):
                    ask(target, name)
    with pytest.raises(NotExposed, match="it is a module"):
        policy.get(os.getpid, "__self__")


def test_no_attribute_hands_out_frames_code_or_foreign_modules(policy: Policy) -> None:
    """Such values are refused wherever they are found."""
    for name in ("frame", "code", "module"):
        with pytest.raises(NotExposed, match=f"'{name}' is not served, because it is a"):
            policy.get(Frames(), name)
    with pytest.raises(NotExposed, match="'os' is not served"):
        policy.get(make(policy, "tea"), "os")


def test_functions_give_what_the_package_put_there(policy: Policy) -> None:
    """Names and documentation, own data, and the cache methods of `lru_cache`."""

    @functools.lru_cache
    def cached() -> int:
        """Counts."""
        return 1

    def plain() -> None: ...

    plain.calls = 3  # type: ignore[attr-defined]
    assert policy.get(plain, "__name__") == "plain"
    assert policy.get(plain, "calls") == 3
    assert policy.get(cached, "__doc__") == "Counts."
    assert policy.bind(cached, "cache_info")().hits == 0
    policy.set(plain, "calls", 4)
    assert plain.calls == 4  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'function' object has no attribute 'nothing'"):
        policy.get(plain, "nothing")


def test_generators_can_be_driven(policy: Policy) -> None:
    """`send`, `throw` and `close` are what handles of generators give."""
    running = generator()
    assert policy.bind(running, "send")(None) == 1
    policy.bind(running, "close")()
    with pytest.raises(NotExposed, match="cannot be changed"):
        policy.set(running, "__name__", "other")


def test_event_loops_start_no_processes(policy: Policy) -> None:
    """What tasks and futures lead to makes tasks and timers, and nothing that the system has."""
    loop = asyncio.new_event_loop()
    try:
        future = policy.bind(loop, "create_future")()
        assert policy.bind(future, "get_loop")() is loop
        for name in ("subprocess_exec", "subprocess_shell", "create_server", "run_in_executor"):
            for ask in (policy.get, policy.bind):
                with pytest.raises(NotExposed):
                    ask(loop, name)
    finally:
        loop.close()


def test_functions_that_reach_anything_are_not_handed_out(policy: Policy) -> None:
    """`getattr` and `str.format` take a client's text for attributes of their arguments."""
    item = make(policy, "tea")
    name = make(policy, "{0.__init__.__globals__[SECRET]}", cls="Name")
    item.reader, item.template = getattr, "{0.__init__}".format
    for target, forbidden in [
        (item, "lookup"),
        (item, "reader"),
        (item, "template"),
        (type(item), "lookup"),
        (name, "format"),
        (name, "format_map"),
        (type(name), "format"),
        (string.Formatter(), "vformat"),
        (string.Formatter(), "get_field"),
    ]:
        for ask in (policy.get, policy.bind):
            with pytest.raises(NotExposed, match="reaches whatever its arguments reach"):
                ask(target, forbidden)
    assert policy.bind(name, "upper")() == "{0.__INIT__.__GLOBALS__[SECRET]}"


def test_memory_is_out_of_reach(policy: Policy) -> None:
    """Pointers of `ctypes` can be held and passed on, not read."""
    pointer = ctypes.pointer(ctypes.c_int(3))
    with pytest.raises(NotExposed):
        policy.get(pointer, "contents")
    with pytest.raises(NotExposed):
        policy.check_special(pointer, "__getitem__")
    policy.check_special(pointer, "__repr__")


def test_the_servers_own_objects_are_closed(policy: Policy) -> None:
    """Served code may hand out an object of the server: it gives nothing away."""
    with pytest.raises(NotExposed, match="'_inventory' is not served"):
        policy.get(policy, "_inventory")
    with pytest.raises(NotExposed):
        policy.bind(policy, "resolve")


def test_special_methods_of_inert_types_are_closed(policy: Policy) -> None:
    """Frames and modules can be compared and shown; a list can do what lists do."""
    with pytest.raises(NotExposed, match="'frame' object: __getitem__ is not served"):
        policy.check_special(sys._getframe(), "__getitem__")
    policy.check_special(sys._getframe(), "__eq__")
    policy.check_special([], "__getitem__")


# ---- classes -----------------------------------------------------------------------------


def test_attributes_of_served_classes(policy: Policy) -> None:
    """Class attributes, class and static methods, functions, and its metaclass's own methods."""
    item = type(make(policy, "tea"))
    assert policy.get(item, "rate") == 0.2
    assert policy.bind(item, "free")().name == "free"
    assert policy.bind(item, "sizes")() == [1, 2]
    assert policy.bind(item, "_internal")(item("x")) == "inner"
    assert policy.bind(item, "registry")() == ["Item"]
    policy.set(item, "rate", 0.3)
    assert item.rate == 0.3
    policy.set(item, "rate", 0.2)


def test_classes_made_by_served_code_are_served(policy: Policy) -> None:
    """A class defined inside a served function gives its attributes."""
    make_local: Any = policy.resolve("policy_shop:make_local")
    assert policy.get(make_local(), "kind") == "local"


def test_other_classes_can_only_be_called(policy: Policy) -> None:
    """A foreign class that served code handed out tells its name and nothing more."""
    assert policy.get(ctypes.c_int, "__name__") == "c_int"
    for target, name in [(ctypes.c_int, "from_address"), (dict, "fromkeys"), (type, "mro")]:
        with pytest.raises(NotExposed):
            policy.get(target, name)
    with pytest.raises(NotExposed, match="cannot be changed"):
        policy.set(Frames, "x", 1)


# ---- modules -----------------------------------------------------------------------------


def test_variables_of_modules(policy: Policy) -> None:
    """Read again each time, set and deleted; submodules come as they are."""
    shop: Any = policy.resolve("policy_shop")
    for value in (10, 11, shop.price, 10):
        policy.set(shop, "LIMIT", value)
        assert policy.get(shop, "LIMIT") == value
    policy.set(shop, "fresh", [1])
    assert policy.get(shop, "fresh") is shop.fresh
    policy.delete(shop, "fresh")
    with pytest.raises(AttributeError, match="module 'policy_shop' has no attribute 'fresh'"):
        policy.get(shop, "fresh")
    assert policy.get(shop, "till") is sys.modules["policy_shop.till"]
    assert policy.get(shop, "lazy") is shop.price
    assert policy.get(shop, "_floor") == 3


def test_a_builtin_under_another_name_is_given(policy: Policy) -> None:
    """A class that both sides have (`socket.error` is OSError) becomes the client's own."""
    shop: Any = policy.resolve("policy_shop")
    for value in (OSError, int):
        shop.thing = value
        assert policy.get(shop, "thing") is value
    del shop.thing


def test_a_variable_that_turns_into_a_module_is_refused(policy: Policy) -> None:
    """What a name holds is looked at every time, not only the first."""
    shop: Any = policy.resolve("policy_shop")
    shop.thing = 1
    assert policy.get(shop, "thing") == 1
    for value in (os, type, shop.os.system):
        shop.thing = value
        with pytest.raises(NotExposed, match="'thing' is not served"):
            policy.get(shop, "thing")
    del shop.thing


def test_hidden_names_read_like_missing_ones(policy: Policy) -> None:
    """Variables, functions and classes of the EXCLUDED lists, and the lists, do not exist."""
    shop = policy.resolve("policy_shop")
    for name in ("SECRET", "audit", "Vault", "EXCLUDED_CLASSES"):
        for ask in (policy.get, policy.bind, policy.delete):
            with pytest.raises(AttributeError) as hidden:
                ask(shop, name)
            assert str(hidden.value) == f"module 'policy_shop' has no attribute {name!r}"
        with pytest.raises(AttributeError):
            policy.set(shop, name, 1)
    with pytest.raises(AttributeError) as near:
        policy.get(shop, "SECRT")
    assert "SECRET" not in str(near.value)


def test_a_hidden_object_is_hidden_under_other_names(policy: Policy) -> None:
    """Another name for a hidden function or class does not bring it back."""
    shop: Any = policy.resolve("policy_shop")
    shop.other, shop.box = shop.audit, shop.Vault
    try:
        for name in ("other", "box"):
            with pytest.raises(AttributeError, match="has no attribute"):
                policy.get(shop, name)
    finally:
        del shop.other, shop.box


def test_objects_of_hidden_classes_work(policy: Policy) -> None:
    """What served code hands out can be used, whatever its class."""
    vault = sys.modules["policy_shop"].Vault()
    assert policy.bind(vault, "open")() == "gold"


# ---- flags -------------------------------------------------------------------------------


def test_hide_takes_members_out(folder: Path) -> None:
    """`--hide` reaches methods and data of classes, on objects, classes and by path."""
    policy = Policy(inspect_packages(["policy_shop"], hide=["policy_shop:Item.na*"]))
    hiding = Policy(inspect_packages(["policy_shop"], hide=["*:Item.label", "*.till:*"]))
    item = make(policy, "tea")
    for chosen, target, name in [
        (policy, item, "name"),
        (hiding, item, "label"),
        (hiding, type(item), "label"),
        (hiding, hiding.resolve("policy_shop.till"), "LIMITS"),
    ]:
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            chosen.get(target, name)
    with pytest.raises(AttributeError):
        policy.set(item, "name", "other")
    assert hiding.get(item, "name") == "tea"
    with pytest.raises(AttributeError) as near:
        hiding.get(item, "labl")
    assert "label" not in str(near.value)


def test_expose_takes_the_rest_out(folder: Path) -> None:
    """With `--expose` only what matches is reachable; what it hands out can be used."""
    policy = Policy(inspect_packages(["policy_shop"], expose=["policy_shop:Item"]))
    item = make(policy, "tea")
    assert policy.get(item, "label") == "<tea>"
    for path in ("policy_shop:price", "policy_shop:_discount", "policy_shop:Slotted"):
        with pytest.raises(AttributeError):
            policy.resolve(path)
    assert policy.get(sys.modules["policy_shop"].Slotted(), "a") == 1


def test_read_only_refuses_every_change(folder: Path) -> None:
    """`--read-only` closes setting and deleting, and says so."""
    policy = Policy(inspect_packages(["policy_shop"]), read_only=True)
    item = make(policy, "tea")
    for target in (item, type(item), policy.resolve("policy_shop")):
        with pytest.raises(NotExposed, match="--read-only"):
            policy.set(target, "rate", 1)
        with pytest.raises(NotExposed, match="--read-only"):
            policy.delete(target, "rate")
    assert policy.get(item, "rate") == 0.2


def test_public_only_refuses_underscores(folder: Path) -> None:
    """`--public-only` closes names with one underscore, everywhere, and says so."""
    policy = Policy(inspect_packages(["policy_shop"]), public_only=True)
    item = make(policy, "tea")
    shop = policy.resolve("policy_shop")
    for target, name in [(item, "_cost"), (item, "_internal"), (shop, "_floor")]:
        for ask in (policy.get, policy.bind, policy.delete):
            with pytest.raises(NotExposed, match="--public-only"):
                ask(target, name)
    with pytest.raises(NotExposed, match="--public-only"):
        policy.resolve("policy_shop:_discount")
    with pytest.raises(NotExposed, match="--public-only"):
        policy.set(item, "_new", 1)
    assert policy.get(item, "name") == "tea"


# ---- manners -----------------------------------------------------------------------------


def test_deciding_runs_no_code_of_the_package(policy: Policy) -> None:
    """Refusals look at objects statically: no descriptor, repr, hash or `__class__` runs."""

    class Meta(type):
        def __hash__(cls) -> int:
            raise AssertionError("hashed")

        def __eq__(cls, other: object) -> bool:
            raise AssertionError("compared")

    class Touchy(metaclass=Meta):
        @property
        def __class__(self) -> Any:  # type: ignore[misc]
            raise AssertionError("asked for its class")

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise AssertionError("asked for its dict")

        def __repr__(self) -> str:
            raise AssertionError("shown")

        def open(self) -> int:
            return 1

    touchy = Touchy()
    assert policy.bind(touchy, "open")() == 1
    for name in ("opn", "__init__", "__nope__", "gi_frame"):
        with pytest.raises((AttributeError, NotExposed)):
            policy.get(touchy, name)


def test_classes_made_at_run_time_are_not_kept(policy: Policy) -> None:
    """The tables hold no class alive, and go with it."""
    gc.collect()
    before = len(policy._tables), len(policy._tables_of_classes)
    made = type("Made", (), {"x": 1, "__module__": "policy_shop"})
    assert policy.get(made(), "x") == policy.get(made, "x") == 1
    assert len(policy._tables) == before[0] + 1
    alive = weakref.ref(made)
    del made
    gc.collect()
    assert alive() is None
    assert (len(policy._tables), len(policy._tables_of_classes)) == before


def test_names_that_clients_invent_are_not_remembered(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Misses leave nothing behind, and new names only up to a bound."""
    monkeypatch.setattr(policy_module, "_REMEMBERED_NAMES", 100)
    item = make(policy, "tea")
    for number in range(300):
        with pytest.raises(AttributeError):
            policy.get(item, f"missing_{number}")
        policy.set(item, f"new_{number}", number)
        assert policy.get(item, f"new_{number}") == number
    assert len(policy._tables[id(type(item))].open) <= 100
