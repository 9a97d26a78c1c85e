"""A served package and a session to it without a wire: the caller runs on the real objects."""

from __future__ import annotations

import enum
import importlib
import pickle
import sys
import textwrap
from typing import Any

import pytest

from wsremote.client.package import ShallowPackage
from wsremote.codec.carried import content_base, content_of
from wsremote.codec.contents import kind_of
from wsremote.errors import SessionClosed
from wsremote.protocol.operators import SPECIALS
from wsremote.protocol.pulling import STEP
from wsremote.server.browsing import Browsing
from wsremote.server.policy import Policy
from wsremote.shallow.metaclass import ShallowClass
from wsremote.tree.describing import describe_class
from wsremote.tree.info import InfoTree
from wsremote.tree.inspector import inspect_packages

SHOP = {
    "shop/__init__.py": '''
        """A shop."""
        from .goods import Fruit, price as cost
        from .errors import ShopError, BadPrice
        import json

        __version__ = "1.2"
        OPEN = True
        COUNT = 3

        def greet(name, greeting="hello", *, loud=False):
            """Say it."""
            text = f"{greeting} {name}"
            return text.upper() if loud else text

        def __getattr__(name):
            if name == "computed":
                return 42
            raise AttributeError(f"module 'shop' has no attribute {name!r}")
        ''',
    "shop/goods.py": '''
        """Goods."""
        import abc
        import collections
        import collections.abc
        import enum
        import functools
        from typing import Generic, NamedTuple, TypeVar

        __all__ = ["Fruit", "price", "LIMIT"]
        T = TypeVar("T")
        LIMIT = 10

        def price(kilos: float, per_kilo: float = 2.5, /, *extras: int, tax=0, **notes) -> float:
            """What it costs."""
            return (kilos, per_kilo, extras, tax, notes)

        def gaps(a, b=2, c=3, d=4):
            return (a, b, c, d)

        def plain(a, b):
            return a + b

        def anything(*args, **kwargs):
            return (args, kwargs)

        def deco(f):
            @functools.wraps(f)
            def wrapper(*args, **kwargs):
                return f(*args, **kwargs)
            return wrapper

        @deco
        def wrapped(x, y=1):
            return (x, y)

        class Fruit:
            """A fruit."""
            kind = "fruit"
            made = 0

            class Stone:
                """Inside."""
                def __init__(self, size):
                    self.size = size

            def __init__(self, name, weight=1.0):
                self.name = name
                self._weight = weight

            @property
            def weight(self):
                """In kilos."""
                return self._weight

            @weight.setter
            def weight(self, value):
                self._weight = value

            @property
            def broken(self):
                raise AttributeError("inner trouble")

            def eat(self, bites, *, fast=False):
                """Eat it."""
                return f"{self.name}:{bites}:{fast}"

            def who(self):
                return "fruit"

            def itself(self):
                return self

            @classmethod
            def named(cls, name):
                return cls(name)

            @staticmethod
            def double(x):
                return 2 * x

            def __add__(self, other):
                return self.name + str(other)

            def __radd__(self, other):
                return str(other) + self.name

            def __eq__(self, other):
                return isinstance(other, Fruit) and self.name == other.name

            def __repr__(self):
                return f"Fruit({self.name!r})"

            def __call__(self, x, y=0):
                return (self.name, x, y)

        class Apple(Fruit):
            sort = "Boskoop"

            def who(self):
                return "apple"

        class Loud:
            def shout(self):
                return "!"

        class LoudApple(Apple, Loud):
            pass

        class Color(enum.Enum):
            RED = 1
            GREEN = 2

        class Box(Generic[T]):
            def __init__(self, content=None):
                self.content = content

        class Shelf(collections.abc.Mapping):
            def __init__(self):
                self._data = {"a": 1, "b": 2}
            def __getitem__(self, key):
                return self._data[key]
            def __iter__(self):
                return iter(self._data)
            def __len__(self):
                return len(self._data)

        class Stock(dict):
            def total(self):
                return sum(self.values())

        class Base(abc.ABC):
            @abc.abstractmethod
            def run(self): ...

        class Job(Base):
            def run(self):
                return "ran"
            def __enter__(self):
                return self
            def __exit__(self, kind, error, trace):
                self.left = (kind, str(error), trace)
                return True

        class Place(NamedTuple):
            row: int
            shelf: int = 0

            def far(self):
                return self.row > 9

        PLACE = Place(3, 4)

        class Label(str):
            def __add__(self, other):
                return "label " + str(other)

        class Counting(type):
            def __len__(cls):
                return 3

            @property
            def plural(cls):
                return cls.__name__ + "s"

        class Counted(metaclass=Counting):
            pass

        class Keyed(collections.OrderedDict):
            pass

        def keyed():
            return Keyed(a=1)

        def numbers():
            return iter([1, 2, 3])
        ''',
    "shop/errors.py": '''
        class ShopError(Exception):
            """Trouble."""

        class BadPrice(ShopError, ValueError):
            def __init__(self, price):
                super().__init__(f"bad price {price}")
                self.price = price
            def tip(self):
                return "pay less"

        class Loss(Exception):
            def __str__(self):
                return "lost " + str(self.args[0])

        def fail(price):
            raise BadPrice(price)
        ''',
    "shop/broken.py": "import no_such_module_anywhere\n",
    "shop/back/__init__.py": "from . import office\n",
    "shop/back/office.py": """
        from ..goods import Fruit as Produce
        TAXES = [1, 2]
        def staff():
            return 7
        """,
}


class LocalCaller:
    """A session whose server is this process. Records every message."""

    def __init__(self, inventory: Any, number: int) -> None:
        self.url = f"ws://box:{number}"
        self.id = f"s{number}"
        self.closed = False
        self.log: list[tuple[Any, ...]] = []
        # Nothing of the shop is awaited.
        self.awaited = self
        self.is_in_loop = False
        self.coroutine_classes: set[type] = set()
        self.released: list[tuple[int, int]] = []
        self.inventory = inventory
        self.shallow = ShallowPackage(
            self, InfoTree(inventory.index, inventory.documents.__getitem__)
        )
        self.objects: dict[int, object] = {}
        self.handles: dict[int, int] = {}
        self.classes: dict[type, type] = {}

    # What a session asks of its server.

    def call(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._run("call", target, None, lambda on, a, k: on(*a, **k), args, kwargs)

    def call_method(self, target: Any, name: str, args: Any, kwargs: Any) -> Any:
        return self._run(
            "method", target, name, lambda on, a, k: getattr(on, name)(*a, **k), args, kwargs
        )

    def get(self, target: Any, name: str) -> Any:
        return self._run("get", target, name, lambda on, a, k: getattr(on, name))

    def set(self, target: Any, name: str, value: Any) -> None:
        self._run("set", target, name, lambda on, a, k: setattr(on, name, *a), (value,))

    def delete(self, target: Any, name: str) -> None:
        self._run("delete", target, name, lambda on, a, k: delattr(on, name))

    def browse(self, module: str, what: str, *args: str) -> Any:
        self.log.append(("browse", module, what, args, None))
        if self.closed:
            raise SessionClosed("the session is closed")
        browsing = Browsing(Policy(self.inventory), self.inventory, no_source=False)
        return browsing.browse(self.inventory.objects[module], what, args)

    def special(self, target: Any, name: str, args: Any) -> Any:
        def run(on: Any, args: Any, _: Any) -> Any:
            if name == "__exit__" and args[0] is not None:
                args = (args[0].with_traceback(None),)
            return SPECIALS[name](on, *args)

        return self._run("special", target, name, run, args)

    def pull(self, handle: int, args: tuple[Any, ...]) -> Any:
        return [STEP, args[1], [self.special(handle, "__next__", ())]]

    def unread(self, handle: int, used: int) -> None:
        raise NotImplementedError

    def load(self, data: bytes) -> Any:
        return self.here(pickle.loads(data))

    def define(self, target: Any, name: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def inherited(self, op: int, target: Any, name: str, *_: Any) -> Any:
        raise NotImplementedError

    def release(self, handle: int, count: int) -> None:
        self.released.append((handle, count))

    # What the two sides make of it.

    def _run(
        self, op: str, target: Any, name: Any, run: Any, args: Any = (), kw: Any = None
    ) -> Any:
        self.log.append((op, target, name, args, kw))
        if self.closed:
            raise SessionClosed("the session is closed")
        on = self.objects[target] if isinstance(target, int) else self.inventory.objects[target]
        there = {key: self.there(value) for key, value in (kw or {}).items()}
        try:
            found = run(on, [self.there(value) for value in args], there)
        except Exception as error:
            raise self.rebuilt(error) from None
        return self.here(found)

    def there(self, value: Any) -> Any:
        """A value of the client as the server sees it."""
        handle = self.shallow.handle_of(value)
        if handle is not None:
            return self.objects[handle]
        path = self.shallow.name_of(value)
        if path is not None:
            return self.inventory.objects[path]
        if isinstance(value, BaseException) and isinstance(type(value), ShallowClass):
            made = self.there(type(value))(*value.args)
            made.__dict__.update(value.__dict__)
            return made
        return value

    def here(self, value: Any) -> Any:
        """A value of the server as the client sees it."""
        if value is None or value is NotImplemented or type(value) in (bool, int, float, str):
            return value
        if type(value) is dict and any(isinstance(each, enum.Enum) for each in value.values()):
            return {key: self.here(each) for key, each in value.items()}
        if type(value) in (tuple, list, dict):
            return value
        path = self.inventory.path_of(value)
        if path is not None:
            return self.shallow.named(path)
        if isinstance(value, type):
            return value
        handle = self.handles.setdefault(id(value), len(self.handles) + 1)
        self.objects[handle] = value
        base = content_base(type(value))
        content = None if base is None else content_of(value, base)
        made = self.shallow.proxy(self.class_of(type(value)), handle, content)
        if (kind := kind_of(type(value))) is not None:
            kind.fill(made, kind.copy(value))
        return made

    def class_of(self, cls: type) -> type:
        if cls not in self.classes:
            path = self.inventory.path_of(cls)

            def resolve(path: str) -> type:
                for known, shallow in self.classes.items():
                    if f"{known.__module__}:{known.__qualname__}" == path:
                        return shallow
                raise LookupError(path)

            if path is not None:
                self.classes[cls] = self.shallow.class_at(path)
            else:
                for base in cls.__mro__[-1:0:-1]:
                    if base.__module__ != "builtins":
                        self.class_of(base)
                self.classes[cls] = self.shallow.class_from(describe_class(cls), resolve)
        return self.classes[cls]

    def rebuilt(self, error: Exception) -> BaseException:
        """As the codec does it: no message, no handle."""
        path = self.inventory.path_of(type(error))
        if path is None:
            return type(error)(*error.args)
        cls = self.shallow.class_at(path)
        made: BaseException = cls.__new__(cls, *error.args)
        for name, value in error.__dict__.items():
            setattr(made, name, value)
        return made


@pytest.fixture(scope="session")
def shop_inventory(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The shop, imported as a server does it, and then gone from this process's imports."""
    root = tmp_path_factory.mktemp("served")
    for name, text in SHOP.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
        return inspect_packages(["shop"])
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


@pytest.fixture
def caller(shop_inventory: Any) -> LocalCaller:
    """A fresh session that serves the shop."""
    return LocalCaller(shop_inventory, 1)


@pytest.fixture
def other(shop_inventory: Any) -> LocalCaller:
    """A second session to the same server."""
    return LocalCaller(shop_inventory, 2)


@pytest.fixture
def goods(caller: LocalCaller) -> Any:
    """`shop.goods` of the session."""
    return caller.shallow.module("shop.goods")


@pytest.fixture
def shop(caller: LocalCaller) -> Any:
    """`shop` of the session."""
    return caller.shallow.module("shop")
