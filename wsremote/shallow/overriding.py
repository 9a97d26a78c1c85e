"""What happens where a class that is derived here overrides what a shallow class has.

`super().name` finds the shallow class's property or class method with an object whose own
class has another one under the name. Asked by the name, the server would run that again;
so it is told from which class on to look (`Op.INHERITED`).
"""

from __future__ import annotations

import functools
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from ..protocol.messages import Op
from ..tree.introspection import mro_of, namespace_of
from . import mirrors

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller

__all__ = [
    "QUIET",
    "Quiet",
    "class_or_object",
    "made_quietly",
    "overridden",
    "served_base",
    "subclass_hook",
    "yield_to_overrides",
]


QUIET: Final = "_wsremote_quiet"
"""Stands in the namespace of a class while it is made without the hooks of its bases."""


def served_base(subject: Any) -> Any:
    """The wire's name of the first class in the order that is the other side's own.

    Args:
        subject: A shallow class, or an instance of one.
    """
    cls = subject if isinstance(subject, type) else type(subject)
    for base in mro_of(cls):
        namespace = namespace_of(base)
        if "_wsremote_path" in namespace and "_wsremote_defined" not in namespace:
            return namespace["_wsremote_path"]
    raise AssertionError(f"{cls.__qualname__} has no served base")


def overridden(member: object, name: str, cls: Any) -> Any:
    """The shallow class that holds a member which a class derived from it here overrides.

    None if `member` is what objects of `cls` have under the name.
    """
    first = None
    for owner in mro_of(cls):
        held = namespace_of(owner).get(name)
        if held is member:
            return first and owner
        if held is not None:
            first = owner
    return None


def yield_to_overrides(caller: Caller, made: Any) -> None:
    """Let writers of mirrors see that a class which derives from theirs overrides them.

    Args:
        caller: The session.
        made: The class that was derived here.
    """
    overriding: set[str] = set()
    for cls in mro_of(made):
        namespace = namespace_of(cls)
        if "_wsremote_path" not in namespace or "_wsremote_defined" in namespace:
            overriding.update(namespace)
            continue
        for name in overriding.intersection(namespace):
            held = namespace[name]
            if type(held) is FunctionType and held.__module__ == mirrors.__name__:
                type.__setattr__(cls, name, _yielding(caller, cls, name, held))


def _yielding(caller: Caller, owner: Any, name: str, write: FunctionType) -> Any:
    """A writer for the objects whose class has no other one under the name."""

    @functools.wraps(write)
    def yielding(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if getattr(type(self), name, None) is yielding:
            return write(self, *args, **kwargs)
        return caller.inherited(Op.METHOD, owner._wsremote_path, name, self, args, kwargs or None)

    yielding.__module__ = __name__
    return yielding


def subclass_hook(caller: Caller, path: Any) -> classmethod[Any, Any, Any]:
    """`__init_subclass__` of a shallow class, for `super()` in that of a derived class."""

    def __init_subclass__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return caller.inherited(Op.METHOD, path, "__init_subclass__", cls, args, kwargs)

    return classmethod(__init_subclass__)


def class_or_object(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Calls a served metaclass: with a name, bases and a body, the class is made here too."""
    if len(args) == 3 and type(args[1]) is tuple and isinstance(args[2], dict):
        return type.__call__(cls, *args, **kwargs)
    return cls._wsremote_classes.caller.call(cls._wsremote_path, args, kwargs or None)


class Quiet:
    """Comes first in the order of a class while it is made: its hooks run on the other side."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for base in mro_of(cls):
            hook = namespace_of(base).get("__init_subclass__")
            is_ours = "_wsremote_path" in namespace_of(base)
            if hook is not None and not is_ours and base.__module__ in ("typing", "enum"):
                # These are about the class here: its type parameters.
                hook.__get__(None, cls)()
                return


def made_quietly(
    make: Callable[..., Any],
    metaclass: type[type],
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
) -> Any:
    """A class, made without the hooks of its bases.

    Args:
        make: `__new__` of a metaclass.
        metaclass: What it makes.
        name: Of the class.
        bases: Of the class.
        namespace: Of the class.
    """
    if not any("__init_subclass__" in namespace_of(c) for b in bases for c in mro_of(b)[:-1]):
        return make(metaclass, name, bases, namespace)
    # The metaclass finds the name, and puts `Quiet` into the order.
    made = make(metaclass, name, bases, {**namespace, QUIET: True})
    type.__delattr__(made, QUIET)
    type.__setattr__(made, "__bases__", bases)
    return made
