"""Classes of the client that derive from served ones, used by both sides."""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import functools
import gc
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest

from wsremote.errors import EncodeError


@pytest.fixture
def d(pkg: Any) -> Any:
    """The served module of classes to derive from."""
    return pkg.derivable


def test_server_code_calls_an_override(d: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return amount + 100

    assert Mine().run(3) == [100, 101, 102]
    assert Mine().run_with_default() == 101


def test_instances_are_of_the_class_on_both_sides(d: Any) -> None:
    class Mine(d.Engine):
        pass

    mine = Mine("one")
    assert type(mine) is Mine
    assert isinstance(mine, d.Engine) and issubclass(Mine, d.Engine)
    assert d.is_instance(mine, Mine) and d.is_instance(mine, d.Engine)
    assert d.is_subclass(Mine, d.Engine)
    assert not d.is_instance(d.Engine(), Mine)
    assert not isinstance(d.Engine(), Mine)


def test_super_leads_to_the_server(d: Any) -> None:
    class Mine(d.Engine):
        def __init__(self, name: str, extra: int) -> None:
            super().__init__(name.upper())
            self.extra = extra

        def step(self, amount: int = 1) -> int:
            return super().step(amount) + self.extra

    mine = Mine("x", 5)
    assert (mine.name, mine.extra) == ("X", 5)
    assert mine.step(2) == 25
    assert mine.run(2) == [5, 15]


def test_properties_override_and_are_overridden(d: Any) -> None:
    class Mine(d.Engine):
        @property
        def speed(self) -> int:
            return super().speed + 10

    class Settable(d.Engine):
        @property
        def name(self) -> str:
            return self._name

        @name.setter
        def name(self, value: str) -> None:
            self._name = f"<{value}>"

    assert Mine().speed == 11
    assert Mine().faster() == 12
    assert d.Engine.speed.fget(Mine()) == 1
    assert Settable("n").name == "<n>"
    assert Settable("n").twin().name == "<<n>>"


def test_class_attributes_are_seen_by_the_server(d: Any) -> None:
    class Mine(d.Engine):
        power = 3

    mine = Mine()
    assert mine.step(2) == 6
    assert mine.read_power() == 3 == Mine.power == mine.power
    Mine.power = 4
    assert mine.step(2) == 8
    mine.set_power(5)
    assert Mine.power == 5
    assert d.Engine.power == 10
    del Mine.power
    assert Mine.power == 10


def test_super_gives_class_attributes_of_the_base(d: Any) -> None:
    class Mine(d.Engine):
        power = 3

        def both(self) -> tuple[int, int]:
            return self.power, super().power

    assert Mine().both() == (3, 10)


def test_class_and_static_methods(d: Any) -> None:
    class Mine(d.Engine):
        @classmethod
        def build(cls, name: str) -> Any:
            return super().build(name + "!")

        @staticmethod
        def unit() -> str:
            return "PS"

    mine = Mine.build("x")
    assert type(mine) is Mine
    assert mine.name == "x!"
    assert mine.in_units() == "PS" == Mine.unit()
    assert type(mine.twin()) is Mine


def test_private_methods_are_overridden_and_called_by_super(d: Any) -> None:
    class Mine(d.Engine):
        def _shift(self) -> int:
            return super()._shift() * 10

    assert Mine().shifted() == 20


def test_a_class_of_a_class(d: Any) -> None:
    class First(d.Engine):
        def step(self, amount: int = 1) -> int:
            return super().step(amount) + 1

    class Second(First):
        def step(self, amount: int = 1) -> int:
            return super().step(amount) + 2

    second = Second()
    assert second.step(1) == 13
    assert second.run(1) == [3]
    assert type(second.twin()) is Second
    assert d.mro_of(Second) == ["Second", "First", "Engine", "object"]


def test_two_served_bases_cooperate(d: Any) -> None:
    class Both(d.Left, d.Right):
        def who(self) -> list[str]:
            return ["Both", *super().who()]

    assert Both().who() == ["Both", "Left", "Right"]


def test_a_local_class_between_served_ones(d: Any) -> None:
    class Between:
        def who(self) -> list[str]:
            return ["Between", *super().who()]  # type: ignore[misc]

    class All(d.Left, Between, d.Right):
        pass

    assert All().who() == ["Left", "Between", "Right"]
    assert d.mro_of(All) == ["All", "Left", "Between", "Right", "object"]


def test_a_local_mixin_overrides(d: Any) -> None:
    class Double:
        factor = 2

        def step(self, amount: int = 1) -> int:
            step: int = super().step(amount)  # type: ignore[misc]
            return step * self.factor

    class Mine(Double, d.Engine):
        pass

    mine = Mine()
    assert mine.run(2) == [0, 20]
    mine.factor = 3
    assert mine.run(2) == [0, 30]
    assert mine.factor == 3
    assert isinstance(mine, Double)


def test_a_local_abstract_class_beside_a_served_one(d: Any) -> None:
    class Stepping(ABC):
        @abstractmethod
        def step(self, amount: int = 1) -> int: ...

        @abstractmethod
        def more(self) -> int: ...

    class Partly(d.Engine, Stepping):
        pass

    class Fully(Partly):
        def more(self) -> int:
            return self.step(1)

    with pytest.raises(TypeError, match=r"abstract class Partly.* more"):
        Partly()
    assert Fully().more() == 10


def test_a_served_abstract_class(d: Any) -> None:
    class Half(d.Shape):
        def area(self) -> float:
            return 2.5

    class Whole(Half):
        @property
        def sides(self) -> int:
            return 3

    with pytest.raises(TypeError, match=r"abstract class Half.* sides"):
        Half()
    assert Whole().describe() == "3 sides, area 2.5"


def test_hooks_of_the_base_run_once(d: Any) -> None:
    class Mine(d.Plugin, tag="mine"):
        pass

    assert Mine.tag == "mine"
    assert d.Plugin.registry["Mine"] is Mine


def test_own_hooks_run_once(d: Any) -> None:
    seen = []

    class Base(d.Plugin):
        def __init_subclass__(cls, *, level: int = 0, **kwargs: Any) -> None:
            seen.append((cls.__name__, level))
            super().__init_subclass__(**kwargs)

    class Mine(Base, level=3, tag="deep"):
        pass

    assert seen == [("Mine", 3)]
    assert Mine.tag == "deep"


def test_hooks_of_a_mixin_run_once(d: Any) -> None:
    seen = []

    class Mixin:
        def __init_subclass__(cls, *, level: int = 0, **kwargs: Any) -> None:
            seen.append((cls.__name__, level))
            super().__init_subclass__(**kwargs)

    class Mine(Mixin, d.Plugin, level=3, tag="deep"):
        pass

    assert seen == [("Mine", 3)]
    assert Mine.tag == "deep"


def test_a_served_metaclass_makes_the_class(d: Any) -> None:
    class Mine(d.Made, option=1):
        pass

    assert Mine.given == {"option": 1}
    assert "Mine" in d.Meta.made


def test_served_descriptors_in_the_body(d: Any) -> None:
    class Mine(d.Engine):
        title = d.Field()

    mine = Mine()
    assert mine.title == "empty"
    mine.title = "t"
    assert mine.title == "<t>"


def test_own_descriptors_in_the_body(d: Any) -> None:
    class Doubled:
        def __set_name__(self, owner: Any, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return self if instance is None else getattr(instance, "_" + self.name, 0) * 2

        def __set__(self, instance: Any, value: int) -> None:
            setattr(instance, "_" + self.name, value)

    class Mine(d.Engine):
        speed = Doubled()

    mine = Mine()
    mine.speed = 4
    assert mine.speed == 8
    assert mine.faster() == 9


def test_cached_properties_are_computed_once(d: Any) -> None:
    counted = []

    class Mine(d.Engine):
        @functools.cached_property
        def speed(self) -> int:
            counted.append(1)
            return 20

    mine = Mine()
    assert (mine.faster(), mine.speed, mine.faster()) == (21, 20, 21)
    assert len(counted) == 1
    del mine.speed
    assert mine.speed == 20
    assert len(counted) == 2


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("len", 4),
        ("str", "a Mine"),
        ("repr", "Mine()"),
        ("hash", 77),
        ("bool", False),
        ("call", 20),
        ("get", "got key"),
        ("in", True),
        ("add", "+1"),
        ("radd", "1+"),
        ("attribute", "no missing"),
    ],
)
def test_special_methods_are_used_by_the_server(d: Any, what: str, expected: object) -> None:
    class Mine(d.Engine):
        def __len__(self) -> int:
            return 4

        def __str__(self) -> str:
            return "a Mine"

        def __repr__(self) -> str:
            return "Mine()"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 77

        def __bool__(self) -> bool:
            return False

        def __call__(self, value: int) -> int:
            return value * 10

        def __getitem__(self, key: str) -> str:
            return f"got {key}"

        def __contains__(self, key: str) -> bool:
            return key == "key"

        def __add__(self, other: int) -> str:
            return f"+{other}"

        def __radd__(self, other: int) -> str:
            return f"{other}+"

        def __getattr__(self, name: str) -> str:
            return f"no {name}"

    mine = Mine()
    assert d.ask(mine, what) == expected
    assert mine.name == "engine", "what the object has comes before __getattr__"
    assert mine.missing == "no missing"


def test_equality_and_iteration_by_the_server(d: Any) -> None:
    class Mine(d.Engine):
        def __eq__(self, other: Any) -> bool:
            return isinstance(other, Mine) and self.name == other.name

        def __hash__(self) -> int:
            return hash(self.name)

        def __iter__(self) -> Any:
            yield from (1, 2, 3)

    assert d.compare(Mine("a"), Mine("a")) == [True, False, 1]
    assert d.compare(Mine("a"), Mine("b")) == [False, True, 2]
    assert d.items_of(Mine()) == [1, 2, 3]


def test_the_hash_of_the_base(d: Any) -> None:
    class Mine(d.Engine):
        def __hash__(self) -> int:
            return super().__hash__()

    mine = Mine()
    assert d.ask(mine, "hash") == d.ask(mine, "hash")


def test_context_managers(d: Any) -> None:
    seen: list[object] = []

    class Mine(d.Engine):
        def __enter__(self) -> Any:
            return "inside"

        def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
            seen.append((kind, type(error)))
            return True

    assert d.enter(Mine()) == "inside"
    assert d.enter(Mine(), KeyError("k")) == "swallowed"
    assert seen == [(None, type(None)), (KeyError, KeyError)]


def test_setting_attributes_goes_through_the_override(d: Any) -> None:
    class Mine(d.Engine):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, (name, value))

        def __delattr__(self, name: str) -> None:
            super().__setattr__("deleted", name)
            super().__delattr__(name)

    mine = Mine("n")
    assert mine.name == ("name", "n")
    mine.other = 1
    assert mine.other == ("other", 1)
    del mine.other
    assert mine.deleted == "other"
    assert not hasattr(mine, "other")


def test_a_derived_mapping_from_both_sides(d: Any) -> None:
    class Upper(d.Table):
        def __getitem__(self, key: str) -> Any:
            return super().__getitem__(key).upper()

        def get(self, key: str, default: Any = None) -> Any:
            return super().get(key, default)

    table = Upper({"key": "value"})
    assert isinstance(table, collections.abc.Mapping)
    assert dict(table) == {"key": "VALUE"}
    assert table.get("key") == "VALUE"
    assert d.ask(table, "get") == "VALUE"
    assert table == {"key": "VALUE"}


def test_exceptions_raised_here_are_caught_there(d: Any) -> None:
    class Mine(d.DerivableError):
        code = 42

    def fail() -> None:
        raise Mine("no", 1)

    assert d.catch(fail) == ("Mine", True, 42, ("no", 1))


def test_exceptions_raised_there_are_caught_here(d: Any) -> None:
    class Mine(d.DerivableError):
        def __init__(self, text: str, *, more: int = 0) -> None:
            super().__init__(text)
            self.more = more

        def __str__(self) -> str:
            return f"{self.args[0]} and more"

    with pytest.raises(Mine, match="no and more") as caught:
        d.raise_one(Mine, "no")
    assert type(caught.value) is Mine
    assert caught.value.more == 0
    with pytest.raises(ValueError):
        d.raise_one(Mine, "no")


def test_generic_bases(d: Any) -> None:
    T = TypeVar("T")

    class Ints(d.Box[int]):
        def wrap(self, content: int) -> str:
            return f"[{content}]"

    class Other(d.Box[T], Generic[T]):
        pass

    assert Ints(3).opened() == "[3]"
    assert Other[int](4).opened() == 4
    assert issubclass(Ints, d.Box)


def test_dataclasses(d: Any) -> None:
    @dataclasses.dataclass
    class Point(d.Engine):
        x: int
        y: int = 2
        tags: list[str] = dataclasses.field(default_factory=list)

        def step(self, amount: int = 1) -> int:
            return self.x + self.y

    point = Point(1)
    assert (point.x, point.y, point.tags) == (1, 2, [])
    assert point.run(1) == [3]
    assert repr(point).endswith("Point(x=1, y=2, tags=[])")
    assert point == Point(1) and point != Point(2)
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "tags": []}
    assert d.compare(point, Point(1))[:1] == [True] if Point.__hash__ else True


def test_frozen_dataclasses(d: Any) -> None:
    @dataclasses.dataclass(frozen=True)
    class Point(d.Left):
        x: int

    point = Point(1)
    assert point.x == 1
    d.keep(point)
    again = d.kept()
    assert again.x == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2


def test_slots(d: Any) -> None:
    class Mine(d.Slotted):
        __slots__ = ("b",)

    mine = Mine()
    mine.a, mine.b = 1, 2
    assert (mine.a, mine.b) == (1, 2)
    with pytest.raises(AttributeError):
        mine.c = 3


def test_own_new(d: Any) -> None:
    class Mine(d.Engine):
        def __new__(cls, *args: Any) -> Any:
            made = super().__new__(cls)
            made.early = True
            return made

    mine = Mine("n")
    assert (mine.early, mine.name) == (True, "n")
    assert type(mine) is Mine


def test_the_server_derives_further(d: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return amount + 7

    Derived = d.derive(Mine)
    assert issubclass(Derived, Mine)
    made = Derived("n")
    assert isinstance(made, Mine)
    assert made.step(1) == 8.5
    assert made.run(1) == [7.5]


def test_deriving_from_what_the_server_derived(d: Any) -> None:
    class Mine(d.Engine):
        power = 2

    class Again(d.derive(Mine)):
        def step(self, amount: int = 1) -> float:
            step: float = super().step(amount)
            return step * 2

    assert Again().run(2) == [1.0, 5.0]


def test_copies(d: Any) -> None:
    class Mine(d.Engine):
        pass

    mine = Mine("n")
    mine.log.append(1)
    for each in (*d.copies(mine), copy.copy(mine), copy.deepcopy(mine)):
        assert type(each) is Mine
        assert (each.name, list(each.log)) == ("n", [1])
        assert each is not mine


def test_identity_after_a_round_trip(d: Any) -> None:
    class Mine(d.Engine):
        pass

    mine = Mine()
    assert d.call(lambda value: value is mine, mine) is True
    assert d.call(lambda: Mine) is Mine
    d.keep(Mine())
    gc.collect()
    assert type(d.kept()) is Mine


def test_true_names_and_signatures(d: Any) -> None:
    class Mine(d.Engine):
        """Mine."""

        def step(self, amount: int = 1, *, exactly: bool = False) -> int:
            """Step."""
            return 0

    assert d.name_of(Mine) == ["Mine", __name__, Mine.__qualname__, "Mine."]
    assert d.signature_of(Mine, "step") == (
        "(self, amount: int = 1, *, exactly: bool = False) -> int"
    )
    assert str(inspect.signature(Mine)) == "(name='engine')"
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        Mine().step(wrong=1)


def test_the_body_is_changed_later(d: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return 1

    mine = Mine()
    assert mine.run(1) == [1]
    Mine.step = lambda self, amount=1: 2
    assert mine.run(1) == [2]
    del Mine.step
    assert mine.run(2) == [0, 10]


def test_what_an_override_raises_reaches_the_caller(d: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        Mine().run(1)


def test_an_object_that_only_the_server_holds_keeps_its_class(d: Any) -> None:
    def plug() -> None:
        class Local(d.Engine):
            def step(self, amount: int = 1) -> int:
                return 5

        d.keep(Local())

    plug()
    gc.collect()
    assert d.run_kept() == [5, 5]
    assert d.kept().step() == 5


def test_many_classes(d: Any) -> None:
    for index in range(300):

        class Mine(d.Engine):
            power = index

        assert Mine().step(1) == index


def test_getattribute_is_refused(d: Any) -> None:
    with pytest.raises(TypeError, match="__getattribute__"):

        class Mine(d.Engine):
            def __getattribute__(self, name: str) -> Any: ...


def messages_of(remote: Any, work: Callable[[], object]) -> int:
    """How many messages something costs: an acknowledgement or a ping may be among some of them."""
    counts = []
    for _ in range(5):
        before = remote._driver.connection.messages_sent
        work()
        counts.append(remote._driver.connection.messages_sent - before)
    return min(counts)


def test_a_definition_is_one_message(d: Any, remote: Any) -> None:
    base = d.Engine

    def define() -> type:
        class Mine(base):
            power = 2

            def step(self, amount: int = 1) -> int:
                return 1

        return Mine

    assert messages_of(remote, define) == 1


def test_an_instance_replaces_a_method(d: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return 1

    mine, other = Mine(), Mine()
    mine.step = lambda amount: 50
    assert mine.step(1) == 50
    assert mine.run(1) == [50]
    assert other.step() == 1


def test_shipped_classes_run_on_the_server(d: Any, remote: Any) -> None:
    import wsremote

    offset = 100
    unit = d.Engine.unit

    @wsremote.ship
    class Mine(d.Engine):
        def __init__(self, name: str = "shipped") -> None:
            super().__init__(name)
            self.process = __import__("os").getpid()

        def step(self, amount: int = 1) -> int:
            return super().step(amount) + offset

        @property
        def speed(self) -> str:
            return f"{super().speed} {unit()}"

        @classmethod
        def make(cls) -> Any:
            return cls("made")

    import os

    mine = Mine()
    assert mine.process != os.getpid()
    assert mine.run(3) == [100, 110, 120]
    assert mine.step(1) == 110
    assert messages_of(remote, lambda: (mine.run(3), mine.step(1))) == 2
    assert mine.speed == "1 kW"
    assert type(Mine.make()) is Mine
    assert str(inspect.signature(Mine)) == "(name: 'str' = 'shipped') -> 'None'"


def test_a_class_that_derives_from_a_shipped_one(d: Any) -> None:
    import wsremote

    @wsremote.ship
    class First(d.Engine):
        def step(self, amount: int = 1) -> int:
            return super().step(amount) + 1

    class Second(First):
        def step(self, amount: int = 1) -> int:
            return super().step(amount) + 2

    assert Second().run(2) == [3, 13]


def test_hashes_are_the_servers(d: Any) -> None:
    class Mine(d.Engine):
        def __hash__(self) -> int:
            return super().__hash__()

    d.keep(Mine())
    first = d.ask(d.KEPT[-1], "hash")
    gc.collect()
    assert d.ask(d.KEPT[-1], "hash") == first
    d.drop_kept()


def test_pickles(d: Any) -> None:
    import pickle

    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return 3

    mine = Mine("n")
    again = pickle.loads(pickle.dumps(mine))
    assert type(again) is Mine
    assert again is not mine
    assert (again.name, again.run(1)) == ("n", [3])


def test_enumerations(d: Any) -> None:
    import enum

    class Color(d.Kind):
        RED = 1
        GREEN = enum.auto()

        def shout(self) -> str:
            return self.name + "!"

    assert [member.name for member in Color] == ["RED", "GREEN"]
    assert Color.RED is Color(1) and Color["GREEN"].value == 2
    assert Color.RED.describe() == "RED is 1"
    assert Color.GREEN.shout() == "GREEN!"
    assert isinstance(Color.RED, d.Kind)


def test_classes_with_content(d: Any) -> None:
    class Mine(d.Pair):
        def extra(self) -> int:
            return 10

    pair = Mine(1)
    assert pair.total() == 13
    assert tuple(pair) == (1, 2)
    first, second = pair
    assert (first, second, pair.first) == (1, 2, 1)
    assert type(pair) is Mine and isinstance(pair, tuple)


def test_dicts(d: Any) -> None:
    class Mine(d.Loud):
        def __setitem__(self, key: str, value: object) -> None:
            super().__setitem__(key.upper(), value)

    mine = Mine()
    mine.put("a", 1)
    mine["b"] = 2
    assert mine == {"A": 1, "B": 2}
    assert d.items_of(mine) == ["A", "B"]


def test_finalizers(d: Any) -> None:
    import threading

    gone = threading.Event()

    class Mine(d.Finalized):
        def __del__(self) -> None:
            gone.set()

    d.keep(Mine())
    gc.collect()
    assert not gone.is_set()
    d.drop_kept()
    d.call(len, "")
    assert gone.wait(10)


def test_registering_with_a_served_abstract_class(d: Any) -> None:
    class Local:
        pass

    d.Shape.register(Local)
    assert issubclass(Local, d.Shape)
    assert isinstance(Local(), d.Shape)


def test_what_costs_no_message(d: Any, remote: Any) -> None:
    class Mine(d.Engine):
        def step(self, amount: int = 1) -> int:
            return amount

    mine = Mine()

    def use() -> None:
        assert mine.step(4) == 4
        assert isinstance(mine, Mine) and issubclass(Mine, d.Engine)
        assert Mine.__name__ == "Mine"

    assert messages_of(remote, use) == 0


def test_bases_of_two_sessions_are_refused(d: Any, sample: Any) -> None:
    import wsremote

    with wsremote.connect(sample.url, token=sample.token, new=True) as other:
        theirs = other.modules.samplepkg.derivable.Left
        with pytest.raises(TypeError, match="two sessions"):

            class Mine(d.Engine, theirs):
                pass


def test_a_base_that_only_this_side_has(d: Any) -> None:
    import random
    import threading

    class Mine(d.Engine, threading.Thread):
        pass

    assert issubclass(Mine, threading.Thread)
    with pytest.raises(EncodeError, match="cannot be a base beside"):

        class Other(d.Engine, random.Random):
            pass


def test_a_failed_definition_leaves_nothing(d: Any) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword|no keyword|takes no"):

        class Mine(d.Engine, wrong=1):
            pass


def test_a_dataclass_with_slots_is_made_again(d: Any) -> None:
    @dataclasses.dataclass(slots=True)
    class Point(d.Left):
        x: int
        y: int = 2

    point = Point(1)
    assert (point.x, point.y) == (1, 2)
    assert type(point) is Point and point == Point(1)


def test_what_functools_makes_of_methods(d: Any) -> None:
    @functools.total_ordering
    class Mine(d.Engine):
        def __lt__(self, other: Any) -> bool:
            return bool(self.name < other.name)

        def __eq__(self, other: Any) -> bool:
            return bool(self.name == other.name)

        def power_of(self, base: int, exponent: int) -> int:
            return int(base**exponent)

        square = functools.partialmethod(power_of, exponent=2)

        @functools.lru_cache  # noqa: B019
        def step(self, amount: int = 1) -> int:
            return amount + 1

        __hash__ = d.Engine.__hash__

    assert d.call(sorted, [Mine("b"), Mine("a")])[0].name == "a"
    assert Mine("b") >= Mine("a")
    assert Mine().square(3) == 9
    assert Mine().run(2) == [1, 2]


def test_abstract_mixin_methods_run_on_both_sides(d: Any) -> None:
    class Mine(collections.abc.Sequence, d.Engine):  # type: ignore[type-arg,misc]
        def __getitem__(self, index: Any) -> Any:
            return [1, 2, 3][index]

        def __len__(self) -> int:
            return 3

    mine = Mine("n")
    assert (list(mine), mine.index(2), 3 in mine, mine.name) == ([1, 2, 3], 1, True, "n")
    assert d.items_of(mine) == [1, 2, 3]


def test_a_class_may_be_defined_again(d: Any) -> None:
    """As a notebook's cell does: each has its own."""
    made = []
    for index in range(2):

        class Mine(d.Engine):
            power = index

        made.append(Mine)
    derived = [d.derive(cls) for cls in made]
    assert [cls.__mro__[1] for cls in derived] == made
    assert [cls().step(1) for cls in derived] == [0.5, 1.5]


def test_data_is_there_while_the_class_is_made(d: Any) -> None:
    """`__set_name__` runs before the server knows the class."""

    class Named:
        def __set_name__(self, owner: Any, name: str) -> None:
            self.seen = (name, owner.power)

    named = Named()

    class Mine(d.Engine):
        power = 6
        field = named

    assert named.seen == ("field", 6)
    assert Mine.field is named
