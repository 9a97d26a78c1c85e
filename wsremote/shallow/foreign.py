"""Classes of this Python that classes of the server derive from.

A base is real here if what Python does with it is right without the server: exceptions,
abstract classes, also those of C code, builtins whose content travels with the handle
(`codec.carried`, `codec.contents`), enumerations, `Generic`. Others are rebuilt as shallow classes.
"""

from __future__ import annotations

import enum
import functools
import sys
import typing
from abc import ABCMeta
from typing import Any, Final

from ..codec.carried import content_base
from ..codec.contents import MUTABLE
from ..codec.names import builtin_name
from ..codec.registry import ROOT_PACKAGES
from ..protocol.specials import FORWARDED
from ..tree.introspection import flags_of, is_class, is_module, module_dict, namespace_of
from ..tree.nodes import ClassNode, FunctionNode, Node
from ..tree.signature import signature_of
from .metaclass import ShallowClass

__all__ = ["forwarded_of", "forwarding_node", "is_stateless", "local_base", "twin_of"]

_OF_MEMBERS: Final = frozenset(["__hash__", "__copy__", "__deepcopy__"])
_HEAP_TYPE, _BASE_TYPE = 1 << 9, 1 << 10  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_BASETYPE
# Modules of Python whose abstract classes hold no state, so that they can be bases here.
_ABSTRACT: Final = frozenset(["abc", "collections", "contextlib", "numbers", "os", "importlib"])


def local_base(path: str) -> type | None:
    """The class of this Python that can be a base as it is.

    Looked up among what is loaded: nothing is imported because a server names it.
    """
    found, module_name = _loaded(path), path.partition(":")[0]
    if found is None:
        return None
    if found is object or issubclass(found, BaseException):
        return found
    if found is typing.Generic or found is content_base(found) or found in MUTABLE:
        return found
    if module_name == "enum" and isinstance(found, enum.EnumMeta):
        return found
    if is_stateless(found):
        return found
    abstract = isinstance(found, ABCMeta) and module_name.partition(".")[0] in _ABSTRACT
    has_no_layout = found.__basicsize__ <= _Bare.__basicsize__ and not found.__itemsize__
    return found if abstract and has_no_layout else None


def is_stateless(cls: type) -> bool:
    """Whether a class of C code is there to be derived from: its objects hold nothing (`tzinfo`).

    C code takes no other objects, such as a stand-in that only has the methods.
    """
    is_bare = cls.__basicsize__ == object.__basicsize__ and not cls.__itemsize__
    in_c = not flags_of(cls) & _HEAP_TYPE and flags_of(cls) & _BASE_TYPE
    return bool(is_bare and in_c and cls is not object and builtin_name(cls) is not None)


def twin_of(path: str) -> type | None:
    """The class of this Python that the other side means, though it can be no base here.

    One of the standard library, or of a package that both sides may have. Objects of it say
    that it is their `__class__`, so that `isinstance` holds.
    """
    found = _loaded(path)
    root = path.partition(":")[0].partition(".")[0]
    if found is None or (root not in sys.stdlib_module_names and root not in ROOT_PACKAGES):
        return None
    # A class is one by its type alone; and who takes a `memoryview` wants the memory.
    return None if found in (object, memoryview) or issubclass(found, type) else found


def _loaded(path: str) -> type | None:
    """The class that a loaded module has under a path."""
    module_name, _, qualname = path.partition(":")
    found: Any = sys.modules.get(module_name)
    for name in qualname.split("."):
        # By hand: a served module that hides the local one answers by messages.
        held = module_dict(found) if is_module(found) else {}
        found = (namespace_of(found) if is_class(found) else held).get(name)
    return found if is_class(found) and not isinstance(found, ShallowClass) else None


def forwarded_of(base: type) -> list[type]:
    """The classes behind a base whose methods the server is to answer."""
    if base is typing.Generic or base is content_base(base) or base in MUTABLE:
        return []
    return [
        cls for cls in base.__mro__ if cls.__module__ != "builtins" and cls is not content_base(cls)
    ]


class _Bare:
    """An instance with `__dict__` and `__weakref__`, nothing else."""


@functools.lru_cache(maxsize=256)
def forwarding_node(foreign: type) -> ClassNode:
    """What to forward of a class of this Python: its public methods and its special ones."""
    members: dict[str, Node] = {}
    defined = vars(foreign)
    # Members of enumerations are hashed by their name, and copied as what they are: themselves.
    names = FORWARDED - _OF_MEMBERS if issubclass(foreign, enum.Enum) else FORWARDED
    for name, value in defined.items():
        if not name.startswith("_") and callable(value) and not is_class(value):
            members[name] = FunctionNode(
                name,
                f"{foreign.__qualname__}.{name}",
                foreign.__module__,
                "method",
                signature=signature_of(value),
                doc=getattr(value, "__doc__", None),
            )
    return ClassNode(
        foreign.__name__,
        foreign.__qualname__,
        foreign.__module__,
        members=members,
        specials=tuple([n for n in defined if n in names and defined[n] is not None]),
        unset=tuple([n for n in defined if n in FORWARDED and defined[n] is None]),
    )
