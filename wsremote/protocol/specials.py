"""The special methods, in one table: forwarded to the server, or answered here.

`docs/semantics.md` prints this table. Python looks special methods up on the
class, so the shallow class of a served class has a forwarding method for each
name of `FORWARDED` that the server's class defines somewhere in its MRO, except
where only `object` defines it: the shallow class inherits that as well.

Names that stand in none of the sets are never forwarded: `__del__`, `__getattribute__`,
`__init_subclass__`, the pickle protocol (a handle has its own), and protocols
that carry pointers (`__array_interface__`, the buffer protocol).
"""

from __future__ import annotations

from typing import Final

__all__ = ["FORWARDED", "LOCAL"]

_BINARY: Final = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow",
    "lshift", "rshift", "and", "xor", "or",
)  # fmt: skip

FORWARDED: Final = frozenset(
    [
        *(f"__{prefix}{name}__" for name in _BINARY for prefix in ("", "r")),
        # There is no __idivmod__.
        *(f"__i{name}__" for name in _BINARY if name != "divmod"),
        *("__neg__", "__pos__", "__abs__", "__invert__"),
        *("__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__", "__hash__"),
        *("__bool__", "__int__", "__float__", "__complex__", "__index__"),
        *("__round__", "__trunc__", "__floor__", "__ceil__"),
        *("__len__", "__length_hint__", "__contains__", "__missing__"),
        *("__getitem__", "__setitem__", "__delitem__"),
        *("__iter__", "__next__", "__reversed__"),
        *("__aiter__", "__anext__", "__await__"),
        *("__enter__", "__exit__", "__aenter__", "__aexit__"),
        *("__repr__", "__str__", "__format__", "__bytes__", "__fspath__"),
        *("__call__", "__copy__", "__deepcopy__"),
    ]
)
"""Sent to the server as `Op.SPECIAL`, one message each."""

LOCAL: Final = frozenset(
    [
        *("__init__", "__new__", "__class__", "__dict__", "__doc__", "__module__"),
        *("__getattr__", "__setattr__", "__delattr__", "__dir__", "__sizeof__"),
        *("__init_subclass__", "__subclasshook__", "__class_getitem__"),
        *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"),
    ]
)
"""Answered by the shallow class itself; its docstrings say how."""
