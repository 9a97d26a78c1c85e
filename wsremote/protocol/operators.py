"""How each special method that the other side asks for runs.

==========================  ===================================================================
name on the wire            what runs
==========================  ===================================================================
`__add__`, `__radd__`,      the method of the type. NotImplemented travels, and Python goes on
`__iadd__`, `__lt__`, ...   where the operator stands: with the reflected method of the other
                            operand, whichever side that is on, or its own TypeError. So each
                            method runs once, in the order of home.
`__add__`, `__mul__` of C   the whole operator, `a + b`: these have no reflected form, and raise
sequences                   before the other operand is asked
`add`, `radd`, `iadd`,      the whole operator, `a + b`, `b + a`, `a += b`, `a < b`: for pipelines
`lt`, ...
`__len__`, `__iter__`, ...  `len(a)`, `iter(a)`, `next(a)`, `hash(a)`, `bool(a)`, `str(a)`, ...
`__getitem__`, ...          `a[key]`, `a[key] = value`, `del a[key]`, `x in a`
`__call__`                  `a(*args, **kwargs)`
`__exit__`                  the method with the exception's class, the exception, its traceback;
                            the exception alone travels, or None
`__copy__`, `__deepcopy__`  `copy.copy(a)`, `copy.deepcopy(a)`; what belongs to one deep copy of
                            the caller shares a `Memo` here
`__anext__`, `__aenter__`,  a coroutine, to be awaited here: `AWAIT` asks for that
`__aexit__`, `__await__`
`__instancecheck__`,        `isinstance(x, C)`, `issubclass(D, C)`, with the class as the target
`__subclasscheck__`
the others                  the method of the type, called with the object
==========================  ===================================================================

Methods are looked up on the type, as Python does; what an instance holds under such a name
is not used.
"""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable, Iterable
from types import WrapperDescriptorType
from typing import Any, Final

__all__ = ["SPECIALS", "WHOLE", "Memo"]

Operation = Callable[..., Any]

_BINARY: Final = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow",
    "lshift", "rshift", "and", "xor", "or",
)  # fmt: skip
_METHODS: Final = (
    "missing", "length_hint", "enter", "fspath", "bytes", "sizeof",
    "get", "set", "delete", "set_name",
)  # fmt: skip
_COMPARING: Final = ("lt", "le", "eq", "ne", "gt", "ge")
# What C code may define as concatenation and repetition of a sequence.
_SEQUENTIAL: Final[dict[str, Operation]] = {
    "__add__": operator.add,
    "__mul__": operator.mul,
    "__rmul__": lambda target, other: operator.mul(other, target),
}

# fmt: off
_PLAIN: Final[dict[str, Operation]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert,
    "hash": hash,
    "bool": operator.truth, "int": int, "float": float, "complex": complex,
    "index": operator.index, "round": round, "trunc": math.trunc, "floor": math.floor,
    "ceil": math.ceil,
    "len": len, "contains": operator.contains,
    "getitem": operator.getitem, "setitem": operator.setitem, "delitem": operator.delitem,
    "iter": iter, "next": next, "reversed": reversed, "aiter": aiter,
    "repr": repr, "str": str, "format": format,
    "call": operator.call, "copy": copy.copy,
}
# fmt: on


def _of_type(name: str) -> Operation:
    """The type's own method of that name."""

    def special(target: Any, /, *args: Any) -> Any:
        return getattr(type(target), name)(target, *args)

    return special


def _sequential(name: str) -> Operation:
    """The type's own method; the operator where that is concatenation in C."""
    operation, method = _SEQUENTIAL[name], _of_type(name)

    def special(target: Any, other: Any, /) -> Any:
        in_c = type(getattr(type(target), name, None)) is WrapperDescriptorType
        return (operation if in_c else method)(target, other)

    return special


def _exiting(name: str) -> Operation:
    """The type's own `__exit__` or `__aexit__`, given the exception that leaves the block."""

    def leave(target: Any, error: BaseException | None = None, /) -> Any:
        method = getattr(type(target), name)
        if error is None:
            return method(target, None, None, None)
        return method(target, type(error), error, error.__traceback__)

    return leave


def _awaited(operation: Operation) -> Operation:
    """A coroutine function that awaits what the operation gives."""

    async def awaited(target: Any, /, *args: Any) -> Any:
        return await operation(target, *args)

    return awaited


def _itself(target: Any, /) -> Any:
    return target


class Memo:
    """What one deep copy of the caller has copied here so far: it holds several of our objects."""

    __slots__ = ("copies",)

    def __init__(self) -> None:
        self.copies: dict[int, Any] = {}


def _deepcopy(target: Any, memo: Memo | None = None, /) -> Any:
    """The copy; with the memo of the caller's deep copy from then on, if that is its first."""
    if type(memo) is Memo:
        return copy.deepcopy(target, memo.copies)
    made = Memo()
    return copy.deepcopy(target, made.copies), made


def _is_instance(cls: Any, value: Any, /) -> bool:
    """Whether the class takes an object for its instance, by whatever it knows and runs."""
    return isinstance(value, cls)


def _is_subclass(cls: Any, subclass: Any, /) -> bool:
    """The same for a class."""
    return issubclass(subclass, cls)


def _dunders(prefix: str, names: Iterable[str]) -> list[str]:
    return [f"__{prefix}{name}__" for name in names]


def _reflected(operation: Operation) -> Operation:
    """The operator with the target on its right side."""
    return lambda target, other, /: operation(other, target)


WHOLE: Final[dict[str, Operation]] = {
    **{
        name: getattr(operator, f"__{name}__")
        for name in (*_BINARY, *_COMPARING)
        if name != "divmod"
    },
    **{f"i{name}": getattr(operator, f"__i{name}__") for name in _BINARY if name != "divmod"},
    **{
        f"r{name}": _reflected(getattr(operator, f"__{name}__"))
        for name in _BINARY
        if name != "divmod"
    },
    "divmod": divmod,
    "rdivmod": _reflected(divmod),
}
"""Operators as a whole, with the reflected methods of the other operand, by their methods' names
without underscores: a pipeline does not see the result that would tell it to go on with those."""

SPECIALS: Final[dict[str, Operation]] = {
    **{f"__{name}__": operation for name, operation in _PLAIN.items()},
    "__instancecheck__": _is_instance,
    "__subclasscheck__": _is_subclass,
    **{name: _of_type(name) for prefix in ("", "r") for name in _dunders(prefix, _BINARY)},
    # There is no __idivmod__.
    **{name: _of_type(name) for name in _dunders("i", _BINARY) if name != "__idivmod__"},
    **{name: _of_type(name) for name in _dunders("", _COMPARING)},
    **{name: _sequential(name) for name in _SEQUENTIAL},
    **{name: _of_type(name) for name in _dunders("", _METHODS)},
    **{name: _awaited(_of_type(name)) for name in ("__anext__", "__aenter__")},
    "__exit__": _exiting("__exit__"),
    "__aexit__": _awaited(_exiting("__aexit__")),
    "__await__": _awaited(_itself),
    "__deepcopy__": _deepcopy,
    "__reduce_ex__": lambda target, protocol: pickle.dumps(target, protocol),
    **WHOLE,
}
"""What runs for each name of `protocol.specials.FORWARDED`, called with the target first.

And for `__reduce_ex__`: the pickle of an object of this side.
"""
