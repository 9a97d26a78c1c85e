"""Metaclasses of the server, as real metaclasses: `len(C)`, `C[...]`, `C == D`.

What a metaclass defines is what its classes do. Each is asked of the server, with the class
as its target.
"""

from __future__ import annotations

import functools
from abc import ABCMeta
from enum import EnumMeta
from typing import TYPE_CHECKING, Any, Final

from ..errors import WsRemoteError
from ..protocol.specials import FORWARDED
from ..tree.nodes import FunctionNode, PropertyNode
from .enumerations import ShallowEnum
from .looking import is_looked_at
from .metaclass import LazyMethod, ShallowClass
from .names import INTERNAL, is_dunder
from .overriding import made_quietly
from .spoken import Spoken, is_async, refuse_change, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..protocol.messages import Target
    from ..tree.nodes import ClassNode
    from .caller import Caller
    from .source import Functions

__all__ = ["METACLASSES", "by_identity", "is_metaclass", "made_by", "namespace_of_metaclass"]

METACLASSES: Final[dict[str, type[ShallowClass]]] = {
    "builtins:type": ShallowClass,
    "abc:ABCMeta": ShallowClass,
    "enum:EnumMeta": ShallowEnum,
    "enum:EnumType": ShallowEnum,
}
"""What stands for the metaclasses of Python itself."""

# `C()` is a call on the server anyway; who is an instance, `ShallowClass` asks it.
_NOT_FORWARDED: Final = frozenset(["__call__", "__get__", "__set__", "__delete__", "__set_name__"])


# What every class has from `object` anyway.
_OF_ALL: Final = frozenset(["__eq__", "__ne__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__"])


def is_metaclass(node: ClassNode) -> bool:
    """Whether instances of a class are classes."""
    return "builtins:type" in node.mro


def namespace_of_metaclass(
    node: ClassNode,
    functions: Functions,
    caller: Caller,
    path: Target,
    scope: dict[str, Any],
) -> dict[str, Any]:
    """What classes of a metaclass have from it."""
    made: dict[str, Any] = {}
    for name, member in node.members.items():
        if name.startswith(INTERNAL) or is_dunder(name):
            continue
        if isinstance(member, FunctionNode):
            made[name] = LazyMethod(
                name, functools.partial(functions.of_classes, member, path, scope)
            )
        elif isinstance(member, PropertyNode):
            made[name] = _property(caller, member)
    for name in node.specials:
        if name in FORWARDED and name not in _NOT_FORWARDED:
            made[name] = _special(caller, name)
    return made | {name: None for name in node.unset if name in FORWARDED}


def _special(caller: Caller, name: str) -> Any:
    """A special method of a metaclass."""

    def forward(cls: Any, *args: Any) -> Any:
        # Documentation tools compare and sort classes all the time.
        if name in _OF_ALL and is_looked_at():
            return vars(object)[name](cls, *args)
        return caller.special(cls._wsremote_path, name, args)

    def show(cls: Any) -> str:
        try:
            if is_looked_at():
                return type.__repr__(cls)
            text: str = caller.special(cls._wsremote_path, name, ())
        except WsRemoteError:
            # Tracebacks and debuggers show classes when the session is over, too.
            return type.__repr__(cls)
        return text

    if name in ("__repr__", "__str__"):
        show.__name__ = show.__qualname__ = name
        return Spoken(show, type.__repr__) if is_async(caller) else show
    forward.__name__ = forward.__qualname__ = name
    return spoken(caller, name, forward)


def _property(caller: Caller, node: PropertyNode) -> property:
    """A property of classes. Setting and deleting goes through the metaclass's own methods."""
    name = node.name

    def read(cls: Any) -> Any:
        return caller.get(cls._wsremote_path, name)

    def write(cls: Any, value: Any) -> None:
        if is_async(caller):
            refuse_change(name)
        caller.set(cls._wsremote_path, name, value)

    return property(read, write if node.settable else None, None, node.doc)


def made_by(
    metaclass: type[ShallowClass],
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
) -> ShallowClass:
    """The class itself, past the metaclass's own `__new__`, which is for client subclasses.

    Raises:
        TypeError: The bases cannot be combined here.
    """
    for base in bases:
        if issubclass(type(base), metaclass):
            metaclass = type(base)  # type: ignore[assignment]
    make = type.__new__ if issubclass(metaclass, EnumMeta) else ABCMeta.__new__
    # The hooks (`__init_subclass__`) have run on the server, or will.
    made: ShallowClass = made_quietly(make, metaclass, name, bases, namespace)
    return made


def by_identity(classes: Iterable[type]) -> tuple[type, ...]:
    """The classes without repetitions: their metaclass may say that two are equal."""
    return tuple({id(cls): cls for cls in classes}.values())
