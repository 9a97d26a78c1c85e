"""Classes of this Python that classes of the server derive from."""

from __future__ import annotations

import functools
import sys
from abc import ABCMeta
from typing import Any, Final

from ..protocol.specials import FORWARDED
from ..tree.introspection import is_class
from ..tree.nodes import ClassNode, FunctionNode, Node
from ..tree.signature import signature_of
from .metaclass import ShallowClass

__all__ = ["forwarding_node", "local_base"]

# Modules of Python whose abstract classes hold no state, so that they can be bases here.
_ABSTRACT: Final = frozenset(["abc", "collections", "contextlib", "numbers", "os", "importlib"])


def local_base(path: str) -> type | None:
    """The class of this Python that can be a base as it is: exceptions and abstract classes.

    Looked up among what is loaded: nothing is imported because a server names it.
    """
    module_name, _, qualname = path.partition(":")
    found: Any = sys.modules.get(module_name)
    for name in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    if not is_class(found) or isinstance(found, ShallowClass):
        return None
    if found is object or issubclass(found, BaseException):
        return found
    abstract = isinstance(found, ABCMeta) and module_name.partition(".")[0] in _ABSTRACT
    has_no_layout = found.__basicsize__ <= _Bare.__basicsize__ and not found.__itemsize__
    return found if abstract and has_no_layout else None


class _Bare:
    """An instance with `__dict__` and `__weakref__`, nothing else."""


@functools.lru_cache(maxsize=256)
def forwarding_node(foreign: type) -> ClassNode:
    """What to forward of a class of this Python: its public methods and its special ones."""
    members: dict[str, Node] = {}
    defined = vars(foreign)
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
        specials=tuple([n for n in defined if n in FORWARDED and defined[n] is not None]),
        unset=tuple([n for n in defined if n in FORWARDED and defined[n] is None]),
    )
