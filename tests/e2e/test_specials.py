"""The whole table of special methods: what a class does at home, it does served."""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from samplepkg import operands as home

from wsremote.protocol.operators import SPECIALS, WHOLE
from wsremote.protocol.specials import FORWARDED, LOCAL, NEVER

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, f"{name}_" if name in ("and", "or") else name)
    for name in home.BINARY
    if name != "divmod"
} | {"divmod": divmod}
IN_PLACE = {name: getattr(operator, f"i{name}") for name in home.BINARY if name != "divmod"}
COMPARING = {name: getattr(operator, name) for name in home.COMPARING}


class Mine:
    """A class of the client that knows every operator."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []


class Refusing:
    """A class of the client that knows every operator, and no operand."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []

    __hash__ = object.__hash__


class Bare:
    """A class of the client that knows no operator."""

    def __init__(self, number: int) -> None:
        self.number = number


for _name in home.BINARY:
    for _prefix in ("", "r"):
        _whole = f"__{_prefix}{_name}__"
        setattr(Mine, _whole, home._answering(f"mine {_whole}"))
        setattr(Refusing, _whole, home._refusing(_whole))
for _name in home.COMPARING:
    setattr(Mine, f"__{_name}__", home._answering(f"mine __{_name}__"))
    setattr(Refusing, f"__{_name}__", home._refusing(f"__{_name}__"))


@pytest.fixture
def served(pkg: Any) -> Any:
    """`samplepkg.operands` of the server."""
    return pkg.operands


def outcome(compute: Callable[[], Any]) -> Any:
    """What an expression gives, as text; or what it raises."""
    try:
        value = compute()
    except Exception as error:
        return type(error).__name__, str(error)
    return type(value).__name__, home.shown(value)


UNARY: dict[str, Callable[[Any], Any]] = {
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": abs,
    "__invert__": operator.invert,
    "__hash__": hash,
    "__bool__": bool,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__index__": operator.index,
    "__round__": lambda x: (round(x), round(x, 2)),
    "__trunc__": math.trunc,
    "__floor__": math.floor,
    "__ceil__": math.ceil,
    "__len__": len,
    "__length_hint__": lambda x: type(x).__length_hint__(x),
    "__contains__": lambda x: (1 in x, 9 in x),
    "__missing__": lambda x: x.__missing__("k"),
    "__getitem__": lambda x: (x["k"], x[1:2]),
    "__setitem__": lambda x: operator.setitem(x, "k", 3) or x.calls,
    "__delitem__": lambda x: operator.delitem(x, "k") or x.calls,
    "__iter__": list,
    "__next__": lambda x: (next(x), next(x), x.number),
    "__reversed__": lambda x: list(reversed(x)),
    "__repr__": repr,
    "__str__": str,
    "__format__": lambda x: f"{x:>3} {x}",
    "__bytes__": bytes,
    "__fspath__": os.fspath,
    "__sizeof__": lambda x: x.__sizeof__(),
    "__call__": lambda x: (x(), x(1, 2, a=3)),
    "__copy__": lambda x: copy.copy(x).number,
    "__deepcopy__": lambda x: copy.deepcopy([x])[0].number,
    "__pow__": lambda x: pow(x, 2, 5),
    "__html__": lambda x: x.__html__(),
    "indexing": lambda x: "abcd"[x],
    "range": lambda x: range(x, 3),
    "complex division": lambda x: math.sqrt(x),
    "truth": lambda x: not x,
    "unpacking": lambda x: [*x],
    "hashing": lambda x: {hash(x): 1}[1001],
    "attribute of none": lambda x: x.nothing,
}


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(served: Any, name: str) -> None:
    """Each gives what it gives at home."""
    here, there = home.Everything(1), served.Everything(1)
    assert outcome(lambda: UNARY[name](there)) == outcome(lambda: UNARY[name](here))


def test_the_table_is_whole() -> None:
    """Each forwarded name is in this file, runs on the server, and has one place in the table."""
    asynchronous = {n for n in FORWARDED if n.startswith("__a") and n[3:] in ("iter__", "next__")}
    asynchronous |= {"__aiter__", "__anext__", "__await__", "__aenter__", "__aexit__"}
    elsewhere = {"__enter__", "__exit__", "__get__", "__set__", "__delete__", "__set_name__"}
    tested = set(UNARY) | {f"__{name}__" for name in (*BINARY, *COMPARING)}
    tested |= {f"__r{name}__" for name in BINARY} | {f"__i{name}__" for name in IN_PLACE}
    assert FORWARDED - tested - elsewhere - asynchronous == set()
    # Whole operators are for pipelines, and have names of no method.
    assert FORWARDED <= set(SPECIALS) - set(WHOLE) <= FORWARDED | LOCAL
    assert not FORWARDED & LOCAL and not FORWARDED & NEVER and not LOCAL & NEVER
    assert all(name in vars(home.Everything) for name in FORWARDED)


def pairs(module: Any) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Operands of two kinds each; those of the package as the module has them."""
    return {
        "package and package": lambda: (module.Everything(1), module.Everything(2)),
        "package and subclass": lambda: (module.Everything(1), module.Later(2)),
        "package and refusing package": lambda: (module.Everything(1), module.Stubborn(2)),
        "refusing package and package": lambda: (module.Stubborn(1), module.Everything(2)),
        "refusing packages": lambda: (module.Stubborn(1), module.Stubborn(2)),
        "plain packages": lambda: (module.Plain(1), module.Plain(2)),
        "package and int": lambda: (module.Everything(1), 5),
        "int and package": lambda: (5, module.Everything(1)),
        "refusing package and int": lambda: (module.Stubborn(1), 5),
        "int and refusing package": lambda: (5, module.Stubborn(1)),
        "plain package and str": lambda: (module.Plain(1), "x"),
        "list and package": lambda: ([1], module.Everything(1)),
        "list and refusing package": lambda: ([1], module.Stubborn(1)),
        "package and mine": lambda: (module.Everything(1), Mine(2)),
        "mine and package": lambda: (Mine(1), module.Everything(2)),
        "mine and refusing package": lambda: (Mine(1), module.Stubborn(2)),
        "refusing package and mine": lambda: (module.Stubborn(1), Mine(2)),
        "plain package and mine": lambda: (module.Plain(1), Mine(2)),
        "refusing mine and package": lambda: (Refusing(1), module.Everything(2)),
        "refusing mine and refusing package": lambda: (Refusing(1), module.Stubborn(2)),
        "refusing package and refusing mine": lambda: (module.Stubborn(1), Refusing(2)),
        "bare mine and refusing package": lambda: (Bare(1), module.Stubborn(2)),
        "package and bare mine": lambda: (module.Everything(1), Bare(2)),
    }


def both(
    compute: Callable[[Any, Any], Any], make: Callable[[], tuple[Any, Any]]
) -> tuple[Any, list[Any]]:
    """What an operator gives, and which methods of which operand it took for that."""
    left, right = make()
    found = outcome(lambda: compute(left, right))
    return found, [list(x.calls) for x in (left, right) if hasattr(x, "calls")]


@pytest.mark.parametrize("kind", pairs(home))
def test_two_operands(served: Any, kind: str) -> None:
    """Every operator, in place and not, gives what it gives at home, by the same methods."""
    for name, compute in {**BINARY, **COMPARING}.items():
        expected = both(compute, pairs(home)[kind])
        assert both(compute, pairs(served)[kind]) == expected, name
    for name, compute in IN_PLACE.items():
        expected = both(compute, pairs(home)[kind])
        assert both(compute, pairs(served)[kind]) == expected, f"{name} in place"


def test_an_explicit_call_gives_not_implemented(served: Any) -> None:
    """As a method that is called by its name does at home."""
    stubborn = served.Stubborn(1)
    assert stubborn.__add__(2) is NotImplemented
    assert stubborn.__eq__(2) is NotImplemented
    assert served.Base("a").__eq__(3) is NotImplemented


def test_context_managers(served: Any) -> None:
    """What `__enter__` gives, what `__exit__` is told, and what its answer does."""

    def use(module: Any) -> Any:
        manager = module.Everything(1)
        with manager as entered:
            raise KeyError("gone")
        return entered, manager.calls

    with contextlib.suppress(KeyError):
        assert outcome(lambda: use(served)) == outcome(lambda: use(home))


def test_served_descriptors_in_local_classes(served: Any) -> None:
    """A served object in the body of a local class is told its name, read, set and deleted."""

    def use(module: Any) -> Any:
        descriptor = module.Everything(1)
        kind = type("Local", (), {"field": descriptor})
        made = kind()
        read = made.field
        made.field = 3
        del made.field
        return read, kind.field is descriptor, descriptor.calls

    assert use(served) == use(home)


def test_equality_hash_and_identity_are_the_servers(served: Any) -> None:
    """Objects are keys and members as at home; what is unhashable stays so."""
    plain, other = served.Plain(1), served.Plain(1)
    assert plain == plain and plain != other
    assert len({plain, other, plain}) == 2
    assert {plain: "x"}[plain] == "x"
    assert served.Unhashable(1) == served.Unhashable(1)
    assert served.Unhashable(1) in [served.Unhashable(1)]
    with pytest.raises(TypeError, match="unhashable type: 'Unhashable'"):
        hash(served.Unhashable(1))


def test_a_method_is_called_on_the_class(served: Any) -> None:
    """`Base.__init__(x)` and its like run the method of that class, once."""

    def use(module: Any) -> Any:
        base = module.Base("a")
        module.Base.__init__(base, "b", size=4)
        state = base.__getstate__()
        base.__setstate__({"name": "c"})
        module.Base.__setattr__(base, "size", 6)
        blank = module.Base.__new__(module.Base)
        return (
            *(base.name, module.Base.__len__(base), state, module.Base.__eq__(base, base)),
            *(module.Base.__eq__(base, 3), module.Base.__repr__(base), hasattr(blank, "name")),
        )

    assert use(served) == use(home)


def test_one_message_each(served: Any, remote: Any) -> None:
    """An operator is one message, whichever side the other operand is on."""
    one, two = served.Everything(1), served.Everything(2)
    connection = remote._driver.connection
    for compute in (
        lambda: one + 1,
        lambda: 1 + one,
        lambda: one + two,
        lambda: one < 3,
        lambda: one[1],
        lambda: len(one),
    ):
        sent = []
        for _ in range(5):
            before = connection.messages_sent
            compute()
            sent.append(connection.messages_sent - before)
        # An acknowledgement that was due for long may go beside one.
        assert min(sent) == 1 and sum(sent) <= 6


def test_sizes_are_asked_for(served: Any) -> None:
    """`sys.getsizeof` of an object that says its size."""
    assert sys.getsizeof(served.Everything(1)) >= 4000


def test_names_that_are_never_there(served: Any) -> None:
    """What leads into the interpreter of the server is refused as it is not there."""
    everything = served.Everything(1)
    for name in NEVER:
        assert name in vars(object) or name in vars(type) or not hasattr(everything, name)
