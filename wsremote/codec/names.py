"""Functions, classes and modules that travel by name: frozen tables, the same on both sides.

What a client may name here runs on the server with arguments that served code chooses,
so the table holds what computes and nothing else. Never in it: what runs text (`eval`,
`exec`, `compile`), opens or imports (`open`, `__import__`), reaches attributes by name
(`getattr`, `setattr`, `delattr`, `attrgetter`, `methodcaller`), shows the inside (`vars`,
`globals`, `locals`, `dir`, `id`), waits for a human (`input`, `breakpoint`), makes
classes of text (`type`, `dataclass`) or evaluates annotations (`singledispatch`). Those are
lent like any other callable.

Modules go by name from the server to the client only, where served code re-exports them
(`pkg.itertools`): those that compute and keep no state of their own, which are the same
everywhere. A module that works on its machine (`os`, `sys`) or that has a state (`random`,
`decimal`) is never taken for the client's own.
"""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import math
import operator
import pathlib
import sys
import types
import uuid
import zoneinfo
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from .. import errors
from .registry import ROOT_PACKAGES

__all__ = [
    "builtin_name",
    "builtin_named",
    "library_module",
    "library_module_name",
    "root_package",
]

_FUNCTIONS: Final = (
    "abs", "all", "any", "ascii", "bin", "callable", "chr", "divmod", "format", "hash", "hex",
    "isinstance", "issubclass", "iter", "len", "max", "min", "next", "oct", "ord", "pow", "repr",
    "round", "sorted", "sum",
)  # fmt: skip

_CLASSES: Final = (
    "bool", "bytearray", "bytes", "classmethod", "complex", "dict", "enumerate", "filter",
    "float", "frozenset", "int", "list", "map", "memoryview", "object", "property", "range",
    "reversed", "set", "slice", "staticmethod", "str", "super", "tuple", "zip",
)  # fmt: skip

_OPERATORS_LEFT_OUT: Final = frozenset(["attrgetter", "call", "methodcaller"])

_LIBRARY: Final = (
    (types, "NoneType"), (types, "EllipsisType"), (types, "NotImplementedType"),
    (array, "array"), (collections, "deque"), (decimal, "Decimal"), (fractions, "Fraction"),
    (datetime, "date"), (datetime, "datetime"), (datetime, "time"), (datetime, "timedelta"),
    (datetime, "timezone"), (datetime, "tzinfo"), (uuid, "UUID"), (zoneinfo, "ZoneInfo"),
    (pathlib, "Path"), (pathlib, "PurePath"), (pathlib, "PurePosixPath"),
    (pathlib, "PureWindowsPath"),
)  # fmt: skip

# Of modules that are loaded when first asked for. All names that Python 3.11 has.
_COMPUTING: Final[dict[str, str]] = {
    "abc": "ABC ABCMeta abstractmethod",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "cmath": (
        "acos acosh asin asinh atan atanh cos cosh exp isclose isfinite isinf isnan log log10"
        " phase polar rect sin sinh sqrt tan tanh"
    ),
    "collections": (
        "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict namedtuple"
    ),
    "collections.abc": (
        "AsyncGenerator AsyncIterable AsyncIterator Awaitable Callable Collection Container"
        " Coroutine Generator Hashable ItemsView Iterable Iterator KeysView Mapping MappingView"
        " MutableMapping MutableSequence MutableSet Reversible Sequence Set Sized ValuesView"
    ),
    "contextlib": (
        "AbstractAsyncContextManager AbstractContextManager AsyncExitStack ContextDecorator"
        " ExitStack aclosing asynccontextmanager closing contextmanager nullcontext suppress"
    ),
    "copy": "copy deepcopy",
    "dataclasses": "asdict astuple fields is_dataclass replace",
    "enum": "Enum EnumMeta Flag IntEnum IntFlag StrEnum auto unique",
    "functools": (
        "cache cached_property cmp_to_key lru_cache partial partialmethod reduce"
        " total_ordering update_wrapper wraps"
    ),
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "itertools": (
        "accumulate chain combinations combinations_with_replacement compress count cycle"
        " dropwhile filterfalse groupby islice pairwise permutations product repeat starmap"
        " takewhile tee zip_longest"
    ),
    "json": "JSONDecoder JSONEncoder dumps loads",
    "numbers": "Complex Integral Number Rational Real",
    "re": "Match Pattern compile escape findall finditer fullmatch match search split sub subn",
    "textwrap": "dedent fill indent shorten wrap",
    "types": (
        "AsyncGeneratorType BuiltinFunctionType CoroutineType FunctionType GeneratorType"
        " GenericAlias MappingProxyType MethodType ModuleType SimpleNamespace UnionType"
    ),
    "typing": (
        "Any AnyStr Callable ClassVar Collection Dict Final FrozenSet Generator Generic Hashable"
        " Iterable Iterator List Literal Mapping MutableMapping MutableSequence MutableSet"
        " NamedTuple NoReturn Optional Protocol Sequence Set Sized SupportsFloat SupportsIndex"
        " SupportsInt Tuple Type TypeVar Union cast"
    ),
}

_MODULES: Final = frozenset(
    [
        *("abc", "base64", "binascii", "bisect", "builtins", "cmath", "collections"),
        *("collections.abc", "colorsys", "contextlib", "copy", "dataclasses", "datetime"),
        *("difflib", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "html"),
        *("inspect", "itertools", "json", "keyword", "math", "numbers", "operator", "re"),
        *("statistics", "string", "struct", "textwrap", "types", "typing", "unicodedata"),
    ]
)

# Classes that are passed as arguments (`dtype=np.float32`); resolved when first met, since
# their packages may be missing. The names come from here, never from the wire.
_OF_PACKAGES: Final = frozenset(
    [
        *(f"numpy:{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *("numpy:float16", "numpy:float32", "numpy:float64", "numpy:longdouble"),
        *("numpy:complex64", "numpy:complex128", "numpy:clongdouble"),
        *("numpy:bool", "numpy:bool_", "numpy:str_", "numpy:bytes_", "numpy:void", "numpy:object_"),
        *("numpy:longlong", "numpy:ulonglong", "numpy:datetime64", "numpy:timedelta64"),
        *("numpy:generic", "numpy:number", "numpy:integer", "numpy:floating", "numpy:ndarray"),
        *("pandas:DataFrame", "pandas:Series", "pandas:Index", "pandas:Timestamp"),
        *("pandas:Timedelta", "pandas:Categorical"),
    ]
)

# Classes of numpy's functions, and those of them that touch files.
_NUMPY_FUNCTIONS: Final = frozenset(["ufunc", "_ArrayFunctionDispatcher"])
_NUMPY_FILES: Final = frozenset(
    [
        *("save", "savez", "savez_compressed", "savetxt", "load", "loadtxt", "genfromtxt"),
        *("fromfile", "fromregex", "memmap", "frombuffer"),
    ]
)


def _entries() -> Iterator[tuple[str, object]]:
    """The table, built from what this Python has."""
    for name in (*_FUNCTIONS, *_CLASSES):
        yield f"builtins:{name}", getattr(builtins, name)
    for value in vars(builtins).values():
        if isinstance(value, type) and issubclass(value, BaseException):
            yield f"builtins:{value.__name__}", value
    for name in operator.__all__:
        if name not in _OPERATORS_LEFT_OUT:
            yield f"operator:{name}", getattr(operator, name)
    for name, value in vars(math).items():
        if callable(value) and not name.startswith("_"):
            yield f"math:{name}", value
    for module, name in _LIBRARY:
        yield f"{module.__name__}:{name}", getattr(module, name)
    for module_name, listed in _COMPUTING.items():
        computing = importlib.import_module(module_name)
        for name in listed.split():
            yield f"{module_name}:{name}", getattr(computing, name)
    for name in errors.__all__:
        yield f"wsremote.errors:{name}", getattr(errors, name)


_OBJECTS: Final[dict[str, object]] = dict(_entries())
# The objects of the table live for ever, so their ids are theirs alone.
_NAMES: Final[dict[int, str]] = {id(value): name for name, value in _OBJECTS.items()}


def builtin_name(value: object) -> str | None:
    """The name of `value` in the table; None if it is not in it."""
    name = _NAMES.get(id(value))
    if name is not None:
        return name
    if not isinstance(value, type):
        return _name_in_numpy(value)
    root = root_package(value)
    name = f"{root}:{value.__name__}"
    if name in _OF_PACKAGES and getattr(sys.modules.get(root), value.__name__, None) is value:
        return name
    return None


def _name_in_numpy(value: object) -> str | None:
    """The name of a function of numpy that computes; None for all else.

    `__array_ufunc__` and `__array_function__` compare the functions that they are given.
    """
    kind = type(value)
    if kind.__module__ != "numpy" or kind.__name__ not in _NUMPY_FUNCTIONS:
        return None
    name = getattr(value, "__name__", None)
    found = vars(sys.modules["numpy"]).get(name) if type(name) is str else None
    return f"numpy:{name}" if found is value and name not in _NUMPY_FILES else None


def library_module_name(value: object) -> str | None:
    """The name of a module that the other side has as well; None if it is not such a one.

    These are the modules of `_MODULES`, and the packages of the data type registry: whether
    the other side has those, it has said.
    """
    name = vars(value).get("__name__")
    if (name in _MODULES or name in ROOT_PACKAGES) and sys.modules.get(name) is value:
        return str(name)
    return None


def library_module(name: object) -> ModuleType:
    """The module of this side that `library_module_name` names.

    Raises:
        LookupError: It is none of those, or not installed here.
    """
    if name not in _MODULES and name not in ROOT_PACKAGES:
        raise LookupError(f"{name!r} is no module that goes by name")
    try:
        return importlib.import_module(str(name))
    except ImportError as error:
        raise LookupError(f"{name} is not installed here") from error


def root_package(cls: type) -> str:
    """The top-level package that defines a class; "" if the class does not say."""
    module = cls.__module__
    return module.partition(".")[0] if isinstance(module, str) else ""


def builtin_named(name: str) -> object:
    """What stands in the table under `name`.

    Raises:
        LookupError: Nothing, or its package is not installed here.
    """
    if name in _OF_PACKAGES:
        root, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(root), attribute)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"{name} is not installed here") from error
    if type(name) is str and name.startswith("numpy:") and "numpy" in sys.modules:
        found = vars(sys.modules["numpy"]).get(name.removeprefix("numpy:"))
        if found is not None and _name_in_numpy(found) == name:
            return found
    return _OBJECTS[name]
