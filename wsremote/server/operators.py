"""How each special method runs on the server.

With the operator or function of Python that would call it, not with the method alone:

==========================  ===================================================================
name on the wire            what runs
==========================  ===================================================================
`__add__`, `__lt__`, ...    the whole binary operator, `a + b`: both operands are here, so the
                            reflected method, the priority of subclasses and the final TypeError
                            are Python's own. NotImplemented never travels.
`__radd__`, ...             the same with the operands in their own order, `b + a`
`__iadd__`, ...             the in-place operator, `a += b`; it falls back to `a + b` as at home
`__pow__`, `__rpow__`       `pow(a, b)` and, with three arguments, `pow(a, b, modulus)`
`__len__`, `__iter__`, ...  `len(a)`, `iter(a)`, `next(a)`, `hash(a)`, `bool(a)`, `str(a)`, ...
`__getitem__`, ...          `a[key]`, `a[key] = value`, `del a[key]`, `x in a`
`__call__`                  `a(*args, **kwargs)`
`__exit__`                  the method with the exception's class, the exception, its traceback;
                            the exception alone travels, or None
`__copy__`, `__deepcopy__`  `copy.copy(a)`, `copy.deepcopy(a)`; the caller's memo stays there
`__anext__`, `__aenter__`,  awaited here; the answer is what came of it
`__aexit__`, `__await__`
the others                  the method of the type, called with the object
==========================  ===================================================================

Methods are looked up on the type, as Python does; what an instance holds under such a name
is not used.
"""

from __future__ import annotations

import copy
import math
import operator
import os
from collections.abc import Callable
from typing import Any, Final

__all__ = ["SPECIALS"]

Operation = Callable[..., Any]

# fmt: off
_BINARY: Final[dict[str, Operation]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "matmul": operator.matmul,
    "truediv": operator.truediv, "floordiv": operator.floordiv, "mod": operator.mod,
    "divmod": divmod, "pow": pow, "lshift": operator.lshift, "rshift": operator.rshift,
    "and": operator.and_, "xor": operator.xor, "or": operator.or_,
}
_IN_PLACE: Final[dict[str, Operation]] = {
    "add": operator.iadd, "sub": operator.isub, "mul": operator.imul, "matmul": operator.imatmul,
    "truediv": operator.itruediv, "floordiv": operator.ifloordiv, "mod": operator.imod,
    "pow": operator.ipow, "lshift": operator.ilshift, "rshift": operator.irshift,
    "and": operator.iand, "xor": operator.ixor, "or": operator.ior,
}
_PLAIN: Final[dict[str, Operation]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert,
    "lt": operator.lt, "le": operator.le, "eq": operator.eq, "ne": operator.ne,
    "gt": operator.gt, "ge": operator.ge, "hash": hash,
    "bool": operator.truth, "int": int, "float": float, "complex": complex,
    "index": operator.index, "round": round, "trunc": math.trunc, "floor": math.floor,
    "ceil": math.ceil,
    "len": len, "length_hint": operator.length_hint, "contains": operator.contains,
    "getitem": operator.getitem, "setitem": operator.setitem, "delitem": operator.delitem,
    "iter": iter, "next": next, "reversed": reversed, "aiter": aiter,
    "repr": repr, "str": str, "format": format, "fspath": os.fspath,
    "call": operator.call, "copy": copy.copy,
}
# fmt: on


def _reflected(operation: Operation) -> Operation:
    """The operation with its first two operands exchanged."""

    def reflected(target: Any, other: Any, /, *rest: Any) -> Any:
        return operation(other, target, *rest)

    return reflected


def _of_type(name: str) -> Operation:
    """The type's own method of that name."""

    def special(target: Any, /, *args: Any) -> Any:
        return getattr(type(target), name)(target, *args)

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


def _deepcopy(target: Any, memo: Any = None, /) -> Any:
    """Without the caller's memo: it speaks of ids on the other side."""
    return copy.deepcopy(target)


SPECIALS: Final[dict[str, Operation]] = {
    **{f"__{name}__": operation for name, operation in _PLAIN.items()},
    **{f"__{name}__": operation for name, operation in _BINARY.items()},
    **{f"__r{name}__": _reflected(operation) for name, operation in _BINARY.items()},
    **{f"__i{name}__": operation for name, operation in _IN_PLACE.items()},
    **{name: _of_type(name) for name in ("__missing__", "__enter__", "__bytes__")},
    **{name: _awaited(_of_type(name)) for name in ("__anext__", "__aenter__")},
    "__exit__": _exiting("__exit__"),
    "__aexit__": _awaited(_exiting("__aexit__")),
    "__await__": _awaited(_itself),
    "__deepcopy__": _deepcopy,
}
"""What runs for each name of `protocol.specials.FORWARDED`, called with the target first."""
