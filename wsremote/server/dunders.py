"""Names with two underscores that clients reach by name, within the policy.

Most of what has such a name goes by operators (`protocol.specials`). What served classes
define beside those is called by name, and so is what Python itself calls on a base class:
`Base.__init__(obj)`, `super().__setattr__(...)`. A few of these take the name of another
attribute, or give all of them; those run behind a function that asks the policy first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import NotExposed
from ..protocol.specials import ATTRIBUTES, FLOW, FORWARDED, NEVER
from ..tree.introspection import flow_of, instance_dict, is_class, mro_of, name_of, namespace_of
from .wording import label, no_attribute

if TYPE_CHECKING:
    from .policy import Policy

__all__ = ["GUARDED", "guarded", "is_open", "settable"]

GUARDED: Final = frozenset(
    [
        *("__getattr__", "__setattr__", "__delattr__", "__new__"),
        *("__dir__", "__dict__", "__signature__", FLOW),
    ]
)
"""Names that give what `guarded` makes, never what the object has under them."""

# Of numpy, asked of any object that is given to it.
_PROTOCOLS: Final = frozenset(
    [
        *("__array__", "__array_ufunc__", "__array_function__", "__array_wrap__"),
        *("__array_priority__", "__array_prepare__", "__array_finalize__"),
    ]
)
_ANSWERED: Final = frozenset(["__dict__", FLOW])
# What a served class may have from a class of Python's own, which is called on the class path.
_INHERITED: Final = frozenset(
    [
        *("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__set_name__"),
        *("__getattr__", "__setattr__", "__delattr__", "__dir__"),
        *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"),
        *("__getnewargs__", "__getnewargs_ex__"),
    ]
)
# Python's own, whoever defines them.
_CLOSED: Final = NEVER | frozenset(
    ["__class__", "__weakref__", "__subclasshook__", "__prepare__", "__instancecheck__"]
)
_SETTABLE: Final = ATTRIBUTES - {"__self__", "__func__"}


def is_open(bases: Iterable[type], name: str, is_served: Callable[[type], bool]) -> bool:
    """Whether objects of a class with these bases, or the class itself, give such a name.

    Args:
        bases: The class's resolution order.
        name: A name with two underscores on both sides.
        is_served: Whether a class is in the tree, or defined in what is served.
    """
    if name in _CLOSED:
        return False
    if name in ATTRIBUTES or name in FORWARDED or name in _PROTOCOLS or name in _ANSWERED:
        return True
    for index, base in enumerate(bases):
        if index == 0 and not is_served(base) and name != "__dir__":
            return False
        if name in namespace_of(base):
            return name in _INHERITED or is_served(base)
    return False


def settable(target: object) -> frozenset[str]:
    """The names with two underscores that may be set and deleted on an object."""
    return _SETTABLE | FORWARDED | _INHERITED if is_class(target) else _SETTABLE


def guarded(policy: Policy, target: Any, name: str) -> Any:
    """What a client gets for one of `GUARDED`.

    Raises:
        AttributeError: The object has nothing of the name.
    """
    if name == "__dict__":
        return _own_data(policy, target)
    if name == "__signature__":
        return _signature(target)
    if name == FLOW:
        return flow_of(target)
    if name == "__new__":
        return _new(target)
    if name == "__dir__":
        return lambda *args: policy.names_of(args[0] if args else target)
    return _attribute_access(policy, target, name)


def _attribute_access(policy: Policy, target: Any, name: str) -> Any:
    """`__getattr__` and its like, of an object or, given the object, of a class."""
    method = getattr(target, name)

    def access(*args: Any) -> Any:
        on, rest = (args[0], args[1:]) if is_class(target) and args else (target, args)
        if not rest or type(rest[0]) is not str:
            raise TypeError(f"{name} of {label(on)} takes the name of an attribute")
        if name == "__getattr__":
            return policy.checked(on, rest[0], method(*args))
        policy.admit_change(on, rest[0])
        return method(*args)

    return access


def _new(target: Any) -> Any:
    """`__new__`, for the class itself and classes that derive from it alone."""
    if not is_class(target):
        raise no_attribute(target, "__new__")
    make = target.__new__

    def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_class(kind) or target not in mro_of(kind):
            shown = name_of(kind) if is_class(kind) else label(kind)
            raise TypeError(
                f"{name_of(target)}.__new__({shown}): {shown} is not a subtype of {name_of(target)}"
            )
        return make(kind, *args, **kwargs)

    return new


def _own_data(policy: Policy, target: Any) -> Mapping[str, Any]:
    """The `__dict__` of an object, whose changes count; a view, if not all of it is served."""
    if is_class(target):
        raise NotExposed(f"{label(target)}: '__dict__' is not served, its attributes are")
    held = instance_dict(target)
    if held is None:
        raise no_attribute(target, "__dict__")
    given = {name: value for name, value in held.items() if policy.gives(target, name, value)}
    if len(given) == len(held) and policy.may_change:
        return held
    return MappingProxyType(given)


def _signature(target: Any) -> inspect.Signature:
    """What `inspect` finds for a function or an object that is called like one."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        raise no_attribute(target, "__signature__") from None
