"""The names with two underscores, in one table: who answers for each, and how.

`docs/semantics.md` prints this table. Python looks special methods up on the class, so the
class that stands for one of the other side has a method for each name that the original
defines somewhere in its MRO, except where only `object` defines it: it inherits that as well.

===========  ==============================================================================
FORWARDED    `Op.SPECIAL`, one message each: what syntax and functions of Python ask for.
             `protocol.operators` says how each one runs
by name      `Op.METHOD`, one message each: every other name of a class's own (`__init__` on
             the class path, `__getstate__`, `__array__`, `__html__`, ...)
ATTRIBUTES   data of functions and of what behaves like one (`__name__`, `__wrapped__`):
             read and set on the other side, one message each
LOCAL        answered by the class itself, whose docstrings say how; some ask the other side
NEVER        not there: what would run at any moment, lead into the interpreter, or carry a
             pointer to memory of the other process
===========  ==============================================================================
"""

from __future__ import annotations

from typing import Final

__all__ = ["ATTRIBUTES", "AWAITED", "FLOW", "FORWARDED", "LOCAL", "NEVER", "goes_by_name"]

FLOW: Final = "__wsremote_flow__"
"""Name of the attribute of a function that says how a call of it goes on, as a tree's node does."""

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
        *("__repr__", "__str__", "__format__", "__bytes__", "__fspath__", "__sizeof__"),
        *("__call__", "__copy__", "__deepcopy__"),
        *("__get__", "__set__", "__delete__", "__set_name__"),
    ]
)
"""Sent to the other side as `Op.SPECIAL`, one message each."""

AWAITED: Final = frozenset(["__anext__", "__aenter__", "__aexit__", "__await__"])
"""Those of them whose outcome is awaited on the other side."""

ATTRIBUTES: Final = frozenset(
    [
        *("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__", "__signature__"),
        *("__annotations__", "__defaults__", "__kwdefaults__", "__self__", "__func__"),
        "__isabstractmethod__",
    ]
)
"""What functions have, and objects that are called like functions may have."""

LOCAL: Final = frozenset(
    [
        *("__new__", "__class__", "__dict__", "__doc__", "__module__", "__weakref__", "__slots__"),
        *("__getattr__", "__setattr__", "__delattr__", "__dir__", "__signature__"),
        *("__subclasshook__", "__init_subclass__", "__class_getitem__", "__reduce_ex__"),
        "__match_args__",
        *("__instancecheck__", "__subclasscheck__", "__prepare__", "__abstractmethods__"),
        *("__annotations__", "__parameters__", "__orig_bases__", "__type_params__"),
    ]
)
"""Answered by the class that stands for the other side's; its docstrings say how."""

NEVER: Final = frozenset(
    [
        *("__del__", "__getattribute__", "__subclasses__", "__mro__", "__bases__", "__base__"),
        *("__globals__", "__code__", "__closure__", "__builtins__", "__loader__", "__spec__"),
        *("__buffer__", "__release_buffer__", "__array_interface__", "__array_struct__"),
        *("__cuda_array_interface__", "__dlpack__", "__dlpack_device__"),
        *("__arrow_c_array__", "__arrow_c_schema__", "__arrow_c_stream__"),
        *("__thisclass__", "__self_class__", "__text_signature__", "__objclass__"),
    ]
)
"""Not there on the class that stands for the other side's, and refused by the server."""


def goes_by_name(name: str) -> bool:
    """Whether a special method that a class defines is called by its name, `Op.METHOD`."""
    return name not in FORWARDED and name not in LOCAL and name not in NEVER
