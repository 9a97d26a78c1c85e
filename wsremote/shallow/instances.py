"""What a class has in its namespace for the sake of its instances, besides its own members.

Each class gets it that has no shallow base to inherit it from. Which it is, says the layout
of the instances: exceptions, objects with the content of a builtin, and all others.
"""

from __future__ import annotations

import collections
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from ..codec.carried import blank_of, content_base
from ..codec.contents import kind_of
from ..protocol.specials import FORWARDED
from ..tree.introspection import namespace_of
from ..tree.nodes import FunctionNode
from .copying import copying_namespace
from .enumerations import namespace_of_members
from .foreign import is_stateless
from .metaclass import ShallowClass
from .mirrors import mirror_namespace

if TYPE_CHECKING:
    from .caller import Caller
    from .proxy import Attributes
    from .source import Functions

__all__ = ["Instances"]

# Methods of mutable builtins that make an object of the class of their operand.
_MAKERS: Final[dict[type, tuple[str, ...]]] = {
    set: (
        *("__or__", "__and__", "__xor__", "__sub__", "__ror__", "__rand__", "__rxor__"),
        *("__rsub__", "copy", "union", "intersection", "difference", "symmetric_difference"),
    ),
    collections.deque: ("__add__", "__mul__", "__rmul__", "copy"),
    collections.OrderedDict: ("__or__", "__ror__", "copy"),
    collections.defaultdict: ("__or__", "__ror__", "__repr__", "copy"),
    collections.Counter: ("copy",),
}


class Instances:
    """Makes those namespaces for the classes of one session.

    Args:
        caller: The session.
        functions: Makes methods.
        attributes: Makes what reads and writes attributes.
    """

    def __init__(self, caller: Caller, functions: Functions, attributes: Attributes) -> None:
        self._caller = caller
        self._functions = functions
        self._attributes = attributes
        self._any = {**attributes.namespace(), **copying_namespace(caller)}
        self._object = attributes.object_namespace()
        # By the exception that they are derived from.
        self._exceptions: dict[type, dict[str, Any]] = {}

    def namespace(self, bases: tuple[type, ...]) -> dict[str, Any]:
        """What a class with these bases has from us that its shallow bases do not give it."""
        shallow = [base for base in bases if isinstance(base, ShallowClass)]
        if any(issubclass(base, BaseException) for base in bases):
            if any(issubclass(base, BaseException) for base in shallow):
                return {}
            base = next(base for base in bases if issubclass(base, BaseException))
            return {**self._any, **self._of_exceptions(base)}
        made = {} if shallow else {**self._any, **self._object}
        made = self._without_inherited(made, bases)
        classes = (cls for base in bases for cls in base.__mro__)
        stateless = next(filter(is_stateless, classes), None)
        if stateless is not None:
            made["_wsremote_blank"] = stateless.__new__
        content = next(filter(None, map(_content, bases)), None)
        if content is None:
            return made
        giving: Any = next((base for base in shallow if _content(base) is not None), None)
        if giving is not None:
            # Another shallow base may come before, whose objects have no content.
            return {**made, "_wsremote_blank": giving._wsremote_blank}
        if content_base(content) is not None:
            made["_wsremote_blank"] = blank_of
        elif kind_of(content) is not None:
            made |= self._of_mirrors(content)
        if any(issubclass(base, Enum) for base in bases):
            made |= namespace_of_members()
        return made

    def _without_inherited(self, made: dict[str, Any], bases: tuple[type, ...]) -> dict[str, Any]:
        """What we give, but not where a base that is Python's own has it for its instances."""
        classes = [cls for base in bases for cls in base.__mro__[:-1]]
        for name in ("__repr__", "__hash__"):
            held = [namespace_of(c)[name] for c in classes if name in namespace_of(c)]
            if held and held[0] is not self._object[name]:
                made.pop(name, None)
            elif others := [value for value in held if value is not self._object[name]]:
                # A shallow base that comes before has it from us only.
                made[name] = others[0]
        return made

    def _of_exceptions(self, base: type[BaseException]) -> dict[str, Any]:
        """The same for exceptions."""
        if base not in self._exceptions:
            native = next(cls for cls in base.__mro__ if cls.__module__ == "builtins")
            self._exceptions[base] = self._attributes.exception_namespace(native)
        return self._exceptions[base]

    def _of_mirrors(self, builtin: Any) -> dict[str, Any]:
        """The same for objects with the content of a mutable builtin."""
        made = mirror_namespace(builtin, self._caller)
        # Only of the exact builtin is a copy made here.
        for name in ("__reduce_ex__", "__copy__", "__deepcopy__", "__repr__"):
            made.pop(name, None)
        path = f"{builtin.__module__}:{builtin.__qualname__}"
        scope = {"__name__": builtin.__module__}
        for name in _MAKERS.get(builtin, ()):
            if name in FORWARDED:
                made[name] = self._functions.special(name, path, scope, builtin.__qualname__)
            else:
                qualname = f"{builtin.__qualname__}.{name}"
                node = FunctionNode(name, qualname, builtin.__module__, "method")
                made[name] = self._functions.method(node, path, scope)
        return {**made, "_wsremote_blank": builtin.__new__}


def _content(cls: type) -> Any:
    """What instances of a class have of their own here: a builtin's content, or an Enum's."""
    found = content_base(cls)
    if found is None and (kind := kind_of(cls)) is not None:
        return kind.builtin
    return Enum if found is None and issubclass(cls, Enum) else found
