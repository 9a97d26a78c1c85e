"""What no client reaches, whatever is served: names and types that open the process.

One attribute too many is enough: `gen.gi_frame.f_builtins["eval"]` runs anything. So names
are refused on every type, and the types that lead there give no attributes at all. Looking
at a class here is static: it runs no descriptor, no `__getattr__` and no metaclass of the user.
"""

from __future__ import annotations

import asyncio
import builtins
import functools
import string
import sys
import types
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from ..protocol.reserved import is_reserved
from ..protocol.specials import ATTRIBUTES, FLOW
from ..shallow.metaclass import ShallowClass
from ..tree.introspection import (
    is_class,
    is_module,
    module_dict,
    module_of,
    mro_of,
    namespace_of,
)

__all__ = [
    "CALL_ONLY",
    "INERT",
    "MISSING",
    "OPEN",
    "OPEN_DUNDERS",
    "SETTABLE_DUNDERS",
    "TypeRule",
    "home_of",
    "is_bound",
    "is_dunder",
    "is_module_data",
    "is_secret",
    "name_refusal",
    "rule_of",
    "static_value",
]

MISSING: Final = object()
"""What `static_value` gives for a name that is not there."""

# Frames, code and namespaces by the names that lead to them from generators, coroutines,
# functions (Cython's too), tracebacks and classes.
_CLOSED_NAMES: Final = frozenset(
    [
        *("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_await", "cr_origin"),
        *("ag_frame", "ag_code", "ag_await", "tb_frame", "tb_next", "tb_lasti", "tb_lineno"),
        *("f_back", "f_builtins", "f_code", "f_globals", "f_locals", "f_trace", "f_lasti"),
        *("co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars"),
        *("co_filename", "co_positions", "co_lines", "co_linetable", "co_exceptiontable"),
        *("func_code", "func_globals", "func_closure", "func_dict", "func_defaults"),
        *("mro", "im_func", "im_self", "im_class"),
    ]
)

OPEN_DUNDERS: Final = frozenset(
    [
        *("__name__", "__qualname__", "__module__", "__doc__", "__version__", "__author__"),
        *("__notes__", "__cause__", "__context__", "__suppress_context__"),
        *("__members__", "__match_args__", "__slots__"),
    ]
)
"""The names with two underscores that can be read by name, on any object."""

SETTABLE_DUNDERS: Final = frozenset(
    [
        *("__name__", "__qualname__", "__doc__", "__version__"),
        *("__notes__", "__cause__", "__context__", "__suppress_context__"),
    ]
)
"""Those of them that can be set and deleted."""

# A module's own names with two underscores are data of its author (`__license__`), but for these.
_MODULE_MACHINERY: Final = frozenset(
    [
        *("__file__", "__cached__", "__path__", "__loader__", "__spec__", "__builtins__"),
        *("__getattr__", "__dir__", "__dict__", "__class__", "__import__", "__build_class__"),
        *("__annotations__", "__annotate__", "__warningregistry__", "__package__"),
    ]
)

_FUNCTION_NAMES: Final = ATTRIBUTES | {FLOW, "__dict__", "__dir__"}
_OF_LOOPS: Final = frozenset(
    [
        *("create_future", "create_task", "call_soon", "call_later", "call_at"),
        *("call_soon_threadsafe", "time", "is_running", "is_closed", "get_debug", "set_debug"),
    ]
)
_OF_GENERATORS: Final = frozenset(["close", "__name__", "__qualname__", "__dir__"])


class TypeRule(NamedTuple):
    """What handles of a type give.

    Attributes:
        names: The only attributes that are open; None for all that the name rule allows.
        own_data: With `names`, whether what the package has set on the object is open too
            (`f.calls = 0`).
        specials: The only special methods that are open; None for all.
    """

    names: frozenset[str] | None = None
    own_data: bool = False
    specials: frozenset[str] | None = None


OPEN: Final = TypeRule()
"""Any ordinary object."""

INERT: Final = TypeRule(
    names=frozenset(),
    specials=frozenset(["__eq__", "__ne__", "__hash__", "__repr__", "__str__", "__bool__"]),
)
"""What a client may hold, compare and pass on, and nothing else."""

_CALLABLE_INERT: Final = TypeRule(
    names=frozenset(), specials=(INERT.specials or frozenset()) | {"__call__"}
)

CALL_ONLY: Final = TypeRule(names=_FUNCTION_NAMES, own_data=True)
"""Functions: to be called."""

_LRU_CACHE: Final = type(functools.lru_cache(lambda: None))

# The first that fits counts.
_RULES: Final[tuple[tuple[tuple[type, ...], TypeRule], ...]] = (
    ((types.ModuleType, types.FrameType, types.CodeType, types.TracebackType), INERT),
    (
        (_LRU_CACHE,),
        TypeRule(_FUNCTION_NAMES | {"cache_info", "cache_clear", "cache_parameters"}, True),
    ),
    (
        (
            *(types.FunctionType, types.BuiltinFunctionType, types.MethodType),
            *(types.MethodWrapperType, types.WrapperDescriptorType),
            *(types.MethodDescriptorType, types.ClassMethodDescriptorType),
            *(classmethod, staticmethod),
        ),
        CALL_ONLY,
    ),
    (
        (functools.partial, functools.partialmethod),
        TypeRule(_FUNCTION_NAMES | {"func", "args", "keywords"}, True),
    ),
    # Others of their methods start processes and open files and sockets.
    ((asyncio.AbstractEventLoop,), TypeRule(_OF_LOOPS)),
    (
        (types.GeneratorType, types.CoroutineType),
        TypeRule(_OF_GENERATORS | {"send", "throw"}),
    ),
    (
        (types.AsyncGeneratorType,),
        TypeRule(_OF_GENERATORS | {"asend", "athrow", "aclose"}),
    ),
)

# `str.format` walks attributes by a text that a client may choose: "{0.__init__.__globals__}".
_SECRETS: Final = frozenset(
    id(member)
    for owner, names in (
        (str, ("format", "format_map")),
        (string.Formatter, vars(string.Formatter)),
    )
    for name, member in vars(owner).items()
    if name in names and not name.startswith("__")
)


def is_dunder(name: str) -> bool:
    """Whether a name has two underscores on both sides."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def is_module_data(name: str) -> bool:
    """Whether a name with two underscores is one that the author of a module put there."""
    return is_dunder(name) and name not in _MODULE_MACHINERY


def name_refusal(name: str, dunders: frozenset[str], *, public_only: bool) -> str | None:
    """Why a name is never served, as the end of a sentence that starts with it; None if it may be.

    Args:
        name: What the client asks for.
        dunders: The names with two underscores that are open.
        public_only: Whether one leading underscore closes a name.
    """
    if name.startswith("_"):
        if name in dunders:
            return None
        if is_dunder(name) and is_reserved(name):
            return "is never served: special methods go by operators, the rest stays on the server"
        if public_only and not is_dunder(name):
            return "starts with an underscore, and this server was started with --public-only"
    elif name in _CLOSED_NAMES:
        return "is never served: it leads into the interpreter of the server"
    return None if name.isidentifier() else "is no Python identifier"


def rule_of(cls: type) -> TypeRule:
    """The rule for objects of a class. Classes themselves and served modules have their own."""
    bases = mro_of(cls)
    # By id: comparing classes would run the code of their metaclass.
    identities = set(map(id, bases))
    for closed, rule in _RULES:
        if not identities.isdisjoint(map(id, closed)):
            return rule
    homes = [module for module in map(module_of, bases) if type(module) is str]
    # Pointers: an index or an attribute of these is a look into raw memory.
    if "_ctypes" in homes or "ctypes" in homes:
        return _CALLABLE_INERT
    # What stands for an object of a client, and the class of that itself.
    if any(issubclass(type(base), ShallowClass) or base is ShallowClass for base in bases):
        return _CALLABLE_INERT
    # The server's own objects, of which served code sees the functions that clients have lent:
    # another session's function leads to that session, and to the token.
    if any(f"{home}.".startswith(f"{__package__}.") for home in homes):
        return _CALLABLE_INERT
    return OPEN


def static_value(classes: Iterable[type], name: str) -> Any:
    """What the first of some classes that defines `name` has under it, else `MISSING`."""
    for base in classes:
        value = namespace_of(base).get(name, MISSING)
        if value is not MISSING:
            return value
    return MISSING


def is_secret(value: object) -> bool:
    """Whether a function is never handed out or called by name.

    These are the functions of `builtins` (`getattr`, kept as a class attribute) and those that
    format by a text: they reach whatever their arguments reach.
    """
    if type(value) is types.BuiltinFunctionType:
        owner = value.__self__
        is_format = type(owner) is str and value.__name__ in ("format", "format_map")
        return is_format or owner is builtins
    return id(value) in _SECRETS


def is_bound(value: Any) -> bool:
    """Whether a function is a method bound to an object, and none that its home module has."""
    kinds = types.MethodType, types.BuiltinFunctionType
    if type(value) not in kinds or type(value.__name__) is not str:
        return False
    owner = value.__self__
    if owner is None or is_module(owner) or is_class(owner) or is_secret(value):
        return False
    home = sys.modules.get(home_of(value))
    return not is_module(home) or module_dict(home).get(value.__name__) is not value


def home_of(value: Any) -> str:
    """The module that a function or class comes from; of C code that does not say, its type's."""
    owner = value.__self__ if type(value) is types.BuiltinFunctionType else value
    home = module_of(value) or module_of(owner if is_class(owner) else type(owner))
    return home or "an unknown module"
