"""Names with two underscores that Python itself gives a meaning.

All others (`__attrs_attrs__`, `__my_data__`) are ordinary attributes, named so by a package:
they are read, set and called as `my_data` would be. The reserved ones are open or closed
one by one, since some of them lead into the interpreter.
"""

from __future__ import annotations

import abc
import builtins
import functools
import types
import weakref
from typing import Final

from .specials import ATTRIBUTES, FLOW, FORWARDED, LOCAL, NEVER

__all__ = ["is_reserved"]

# What no type of this Python has in its namespace, or not in each version of it.
_OTHERS: Final = (
    # Of modules and of the import system.
    *("__file__", "__cached__", "__path__", "__loader__", "__spec__", "__package__", "__all__"),
    *("__builtins__", "__import__", "__build_class__", "__main__", "__debug__"),
    "__warningregistry__",
    # Of classes.
    *("__annotate__", "__annotate_func__", "__annotations_cache__", "__static_attributes__"),
    *("__firstlineno__", "__classcell__", "__classdict__", "__classdictcell__", "__metaclass__"),
    *("__mro_entries__", "__type_params__", "__text_signature__", "__conditional_annotations__"),
    *("__dataclass_fields__", "__dataclass_params__", "__post_init__", "__members__"),
    *("__no_type_check__", "__final__", "__override__", "__orig_class__", "__total__"),
    *("__required_keys__", "__optional_keys__", "__protocol_attrs__", "__bound__"),
    *("__constraints__", "__covariant__", "__contravariant__", "__supertype__", "__metadata__"),
    # Of pickling.
    *("__getinitargs__", "__getnewargs__", "__getnewargs_ex__", "__getstate__", "__setstate__"),
    *("__reduce__", "__reduce_ex__"),
    # Of exceptions and frames.
    *("__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"),
    *("__tracebackhide__", "__pytest_wrapped__"),
)

_RESERVED: Final = (
    frozenset(
        name
        for module in (abc, builtins, functools, types, weakref)
        for kind in vars(module).values()
        if isinstance(kind, type)
        for name in kind.__dict__
        if name.startswith("__") and name.endswith("__")
    )
    | frozenset(_OTHERS)
    | {*ATTRIBUTES, *FORWARDED, *LOCAL, *NEVER, FLOW}
)

# Of numpy and of what exchanges memory: asked of any object, and made for C code.
_PROTOCOLS: Final = ("__array_", "__arrow_", "__cuda_", "__dlpack")


def is_reserved(name: str) -> bool:
    """Whether a name with two underscores on both sides is one of Python's own."""
    return name in _RESERVED or name == "__array__" or name.startswith(_PROTOCOLS)
