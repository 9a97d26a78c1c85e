"""Signatures from functions, classes and callables, and back to `inspect`."""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import math
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.tree.introspection import is_name
from wsremote.tree.literals import annotation_text, constant_text, default_text
from wsremote.tree.nodes import Parameter, Signature
from wsremote.tree.signature import Annotation, Placeholder, signature_of, to_inspect

names = st.lists(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(is_name),
    unique=True,
    max_size=8,
)
defaults = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.tuples(st.integers(), st.text(max_size=5)),
)


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    """Any signature that a `def` can have."""
    parameters: list[inspect.Parameter] = []
    optional = False
    kinds = sorted(draw(st.lists(st.integers(0, 4), max_size=8)))
    for name, kind in zip(draw(names), kinds, strict=False):
        if kind in (2, 4) and any(parameter.kind == kind for parameter in parameters):
            continue
        default: Any = inspect.Parameter.empty
        if kind == 3:
            default = draw(st.one_of(st.just(default), defaults))
        elif kind < 2 and (optional or draw(st.booleans())):
            optional, default = True, draw(defaults)
        annotation = draw(st.sampled_from([inspect.Parameter.empty, "int", "list[str] | None"]))
        parameters.append(
            inspect.Parameter(
                name, inspect._ParameterKind(kind), default=default, annotation=annotation
            )
        )
    returns = draw(st.sampled_from([inspect.Signature.empty, "str"]))
    return inspect.Signature(parameters, return_annotation=returns)


def shown(signature: inspect.Signature) -> str:
    """As `inspect` shows it, without the quotes around annotations."""
    unquoted = [
        p if p.annotation is p.empty else p.replace(annotation=Annotation(p.annotation))
        for p in signature.parameters.values()
    ]
    returns = signature.return_annotation
    if returns is not signature.empty:
        returns = Annotation(returns)
    return str(inspect.Signature(unquoted, return_annotation=returns))


@given(signatures())
def test_signature_survives_rendering_and_inspect(signature: inspect.Signature) -> None:
    """def -> portable -> inspect keeps names, kinds, order, and the text of everything else."""
    given_parameters = signature.parameters.values()
    source = signature.replace(
        parameters=[
            p if p.default is p.empty else p.replace(default=Placeholder(f"DEFAULTS[{p.name!r}]"))
            for p in given_parameters
        ]
    )
    scope: dict[str, Any] = {"DEFAULTS": {p.name: p.default for p in given_parameters}}
    exec(f"from __future__ import annotations\ndef f{shown(source)}: pass", scope)

    portable = signature_of(scope["f"])

    assert portable is not None and portable.binds
    back = to_inspect(portable)
    assert [(p.name, p.kind) for p in back.parameters.values()] == [
        (p.name, p.kind) for p in given_parameters
    ]
    assert str(back) == shown(signature)
    assert str(portable) == str(back)


def positional(a, /, b, c=1):
    pass


def keywords(*args: int, a: str, b=2, **kwargs) -> None:
    pass


async def coroutine(a):
    pass


@functools.wraps(positional)
def wrapped(*args, **kwargs):
    pass


class WithInit:
    def __init__(self, a, b=1):
        pass


class WithNew:
    def __new__(cls, a):
        return super().__new__(cls)


class WithBoth(WithNew):
    def __init__(self, other):
        pass


class Meta(type):
    def __call__(cls, x, y=1):
        return super().__call__()


class WithMeta(metaclass=Meta):
    pass


class Callable:
    def __call__(self, a, b=1):
        pass


class Shown:
    __signature__ = inspect.Signature([inspect.Parameter("z", inspect.Parameter.KEYWORD_ONLY)])


class Error(Exception):
    def __init__(self, code):
        pass


cached = functools.lru_cache(positional)


@pytest.mark.parametrize(
    ("target", "text", "binds"),
    [
        (positional, "(a, /, b, c=1)", True),
        (keywords, "(*args: int, a: str, b=2, **kwargs) -> None", True),
        (coroutine, "(a)", True),
        (lambda *, x=1: x, "(*, x=1)", True),
        (wrapped, "(a, /, b, c=1)", False),
        (cached, "(a, /, b, c=1)", False),
        (functools.partial(positional, 1), "(b, c=1)", False),
        (WithInit, "(a, b=1)", True),
        (WithInit.__init__, "(self, a, b=1)", True),
        (WithNew, "(a)", True),
        (WithBoth, "(other)", False),
        (WithMeta, "(x, y=1)", True),
        (Callable(), "(a, b=1)", False),
        (Shown, "(*, z)", False),
        (Error, "(code)", True),
        (random.randint, "(a, b)", True),
        (object, "()", True),
        (math.isclose, "(a, b, *, rel_tol=1e-09, abs_tol=0.0)", False),
        (hash, "(obj, /)", False),
        (str.join, "(self, iterable, /)", False),
        (staticmethod(positional), "(a, /, b, c=1)", True),
        (collections.namedtuple("N", "x y", defaults=[0]), "(x, y=0)", True),
    ],
)
def test_signature_is_that_of_the_code_or_says_that_it_is_not(
    target: object, text: str, binds: bool
) -> None:
    """`binds` is true only where the shown signature belongs to the Python code that runs."""
    signature = signature_of(target)
    assert signature is not None
    assert (str(signature), signature.binds) == (text, binds)


@pytest.mark.parametrize("target", [math.hypot, dict, Exception, ValueError, 7, "text"])
def test_signature_is_none_where_python_knows_none(target: object) -> None:
    """C code without text signature, and what is not callable, has no signature."""
    assert signature_of(target) is None


def test_signature_of_generated_code_with_impossible_names_is_none() -> None:
    """A parameter whose name no source can hold cannot be shown."""
    code = positional.__code__.replace(co_varnames=(".0", "b", "c"))
    assert signature_of(type(positional)(code, {}, "f")) is None


def test_circle_of_wrapped_functions_ends() -> None:
    """`__wrapped__` that leads back to itself gives no signature, and no endless loop."""

    def around() -> None:
        pass

    around.__wrapped__ = around  # type: ignore[attr-defined]
    assert signature_of(around) is None


class Hostile:
    """Whose every way to be looked at is wrong."""

    def __repr__(self) -> str:
        raise AssertionError("repr was called")

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = 1

    def __repr__(self) -> str:
        raise AssertionError("repr was called")


def test_no_code_of_a_default_runs() -> None:
    """Defaults of user classes are named, not asked."""

    def function(a=Hostile(), b=[Hostile()], c=Colour.RED, d=Hostile):  # noqa: B006, B008
        pass

    signature = signature_of(function)
    assert str(signature) == "(a=<Hostile>, b=[<Hostile>], c=Colour.RED, d=Hostile)"
    assert signature_of(Hostile()) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-0.0, "-0.0"),
        ("a'b", '"a\'b"'),
        ((1,), "(1,)"),
        ((), "()"),
        (2**639, repr(2**639)),
        ("x" * 201, None),
        (b"x" * 201, None),
        pytest.param(10**5000, None, id="huge"),
        ([1], None),
        (tuple(range(100)), None),
        ((1, [2]), None),
        (__file__, None),
        pytest.param(Hostile(), None, id="hostile"),
    ],
)
def test_only_small_constants_have_a_text(value: object, text: str | None) -> None:
    """Scalars and short tuples are shown; long, mutable, and telling values are not."""
    assert constant_text(value) == text


def test_sets_read_the_same_in_every_process() -> None:
    """The text of a set does not depend on hashes."""
    assert default_text({"b", "a", "c"}) == "{'a', 'b', 'c'}"
    assert default_text(frozenset()) == "frozenset()"
    assert default_text(set()) == "set()"


def test_annotations_read_as_source() -> None:
    """Classes by name, text as it is, nothing with an address."""
    assert annotation_text(int) == "int"
    assert annotation_text(re.Match) == "re.Match"
    assert annotation_text(int | None) == "int | None"
    assert annotation_text(list[str]) == "list[str]"
    assert annotation_text("Any thing") == "Any thing"
    assert annotation_text(lambda: 0) == "<function>"
    assert annotation_text(Hostile()) == "<Hostile>"


def test_placeholders_are_shown_as_their_text() -> None:
    """A default of the other side is displayed as it is there, and equals only its like."""
    signature = Signature((Parameter("a", 1, "<object>", "Frame"),), "int")
    back = to_inspect(signature)
    assert str(back) == "(a: Frame = <object>) -> int"
    assert back.parameters["a"].default == Placeholder("<object>")
    assert back.parameters["a"].default != "<object>"
    assert back.parameters["a"].annotation == "Frame"
