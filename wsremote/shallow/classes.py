"""Real classes for the classes of the server.

A shallow class has the bases and the MRO of its original as far as they exist here. Its
methods are real functions (`source`), known data of its instances real properties
(`proxy`), and class attributes are read on the server each time (`metaclass`).
"""

from __future__ import annotations

import builtins
import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final

from ..protocol.specials import FORWARDED
from ..tree.introspection import is_class
from ..tree.nodes import (
    OBJECT,
    ClassNode,
    FunctionNode,
    Node,
    PropertyNode,
    ReferenceNode,
    VariableNode,
)
from .foreign import forwarding_node, local_base
from .metaclass import (
    ClassVariable,
    Lazy,
    LazyMethod,
    LazyReference,
    ShallowClass,
    ShallowEnum,
)
from .names import INTERNAL, is_dunder
from .proxy import Attributes

if TYPE_CHECKING:
    from .caller import Home
    from .source import Functions

__all__ = ["Classes"]

Resolve = Callable[[str], type | None]

# Class variables that C code of Python reads when it looks at a class.
_UNLISTED: Final = frozenset(["__slots__", "__dict__", "__weakref__", "__doc__", "__module__"])


# Of callable instances. Else `inspect` compares them with `type`, and their class may define that.
_CALL_SIGNATURE: Final = property(lambda self: inspect.signature(self.__call__))


class Classes:
    """Builds the shallow classes of one session."""

    def __init__(self, home: Home, functions: Functions) -> None:
        self.caller = home.caller
        self._home = home
        self._functions = functions
        self._attributes = Attributes(home.caller)
        # What shallow classes without shallow bases have in their namespace.
        self._instance = self._attributes.namespace()
        self._object = self._attributes.object_namespace()
        # The same of exceptions, by the exception that they are derived from.
        self._exceptions: dict[type, dict[str, Any]] = {}
        # What is forwarded of classes of this Python.
        self._forwarders: dict[type, dict[str, Any]] = {}

    def build(
        self,
        node: ClassNode,
        scope: dict[str, Any],
        resolve: Resolve,
        *,
        is_foreign: bool = False,
    ) -> ShallowClass:
        """The class of a node.

        Args:
            node: The class.
            scope: `__globals__` of its methods.
            resolve: Gives the shallow class of a path, or None.
            is_foreign: Whether it is outside the tree, so that it may exist here as well.
        """
        bases, foreign = self._bases(node, resolve)
        local = local_base(node.path) if is_foreign else None
        if local is not None and issubclass(local, BaseException):
            # So that `except json.JSONDecodeError` catches what the server raises.
            bases = (local,)
        namespace: dict[str, Any] = {
            "__module__": node.module,
            "__qualname__": node.qualname,
            "__doc__": node.doc,
            "_wsremote_classes": self,
            "_wsremote_path": node.path,
            "_wsremote_node": node,
            "_wsremote_construct": LazyMethod(
                "_wsremote_construct", functools.partial(self._functions.constructor, node, scope)
            ),
        }
        namespace |= self._inherited(bases)
        if "generic" in node.traits:
            namespace["__class_getitem__"] = classmethod(GenericAlias)
        later: dict[str, VariableNode] = {}
        for name, member in node.members.items():
            if name.startswith(INTERNAL) or (is_dunder(name) and member.kind != "variable"):
                continue
            if isinstance(member, VariableNode):
                later[name] = member
            else:
                namespace[name] = self._member(name, member, node, scope)
        for name in node.specials:
            if name in FORWARDED:
                namespace[name] = self._special(name, node, scope)
        if "__call__" in namespace:
            namespace["__signature__"] = _CALL_SIGNATURE
        namespace |= {name: None for name in node.unset if name in FORWARDED}
        enum = "enum" in node.traits or any(isinstance(base, ShallowEnum) for base in bases)
        made = _create(ShallowEnum if enum else ShallowClass, node.name, bases, namespace)
        # Whether the original can be instantiated is the server's to say.
        type.__setattr__(made, "__abstractmethods__", frozenset())
        # Not before: `ABCMeta` reads attributes of the class that it makes.
        for name, variable in later.items():
            if name not in _UNLISTED:
                type.__setattr__(made, name, self._variable(name, variable.doc))
        for cls in foreign:
            self._forward(made, cls)
        return made

    def renew(self, cls: ShallowClass, name: str) -> None:
        """From now on, read on the server what has just been set there."""
        if name in FORWARDED:
            made = self._functions.special(name, cls._wsremote_path, {"__name__": cls.__module__})
            type.__setattr__(cls, name, made)
        elif not is_dunder(name):
            type.__setattr__(cls, name, self._variable(name, None))

    def _bases(self, node: ClassNode, resolve: Resolve) -> tuple[tuple[type, ...], list[type]]:
        """The bases that exist here, and classes of this Python whose methods are forwarded.

        A builtin with content of its own (`dict`, `str`) is not inherited from.
        """
        bases: list[type] = []
        foreign: list[type] = []
        for path in node.bases:
            found = local_base(path)
            served = path.partition(":")[0] in self._home.tree
            if found is None or (served and issubclass(found, BaseException)):
                # A served exception derives from the served one, though it may exist here too.
                shallow = resolve(path) or found
                if shallow is not None:
                    bases.append(shallow)
                elif path.startswith("builtins:") and path != OBJECT:
                    skipped = getattr(builtins, path.partition(":")[2], None)
                    if is_class(skipped):
                        foreign.append(skipped)
            else:
                bases.append(found)
                foreign += [cls for cls in found.__mro__ if cls.__module__ != "builtins"]
        if "exception" in node.traits and not any(issubclass(b, BaseException) for b in bases):
            nearest = (local_base(path) for path in node.mro if path.startswith("builtins:"))
            bases.append(next((cls for cls in nearest if cls is not None), Exception))
        return tuple(dict.fromkeys(bases)) or (object,), foreign

    def _inherited(self, bases: tuple[type, ...]) -> dict[str, Any]:
        """What a class has from us that its shallow bases do not give it."""
        if any(issubclass(base, BaseException) for base in bases):
            if any(
                isinstance(base, ShallowClass) and issubclass(base, BaseException) for base in bases
            ):
                return {}
            base = next(base for base in bases if issubclass(base, BaseException))
            if base not in self._exceptions:
                native = next(cls for cls in base.__mro__ if cls.__module__ == "builtins")
                self._exceptions[base] = self._attributes.exception_namespace(native)
            return {**self._instance, **self._exceptions[base]}
        if any(isinstance(base, ShallowClass) for base in bases):
            return {}
        return {**self._instance, **self._object}

    def _member(self, name: str, member: Node, owner: ClassNode, scope: dict[str, Any]) -> Any:
        """What stands in the class's namespace for a member that is no class variable."""
        if isinstance(member, FunctionNode):
            method = functools.partial(self._functions.method, member, owner.path, scope)
            return LazyMethod(name, method)
        if isinstance(member, PropertyNode):
            return self._attributes.known(member)
        if isinstance(member, ClassNode):
            return Lazy(name, functools.partial(self._home.class_at, f"{owner.path}.{name}"))
        if not isinstance(member, ReferenceNode):
            raise AssertionError(f"{owner.path}.{name} is a {member.kind}")
        return LazyReference(name, functools.partial(self._home.referred, member.target))

    def _special(self, name: str, node: ClassNode, scope: dict[str, Any]) -> Any:
        """The forwarding special method of a class that defines it."""
        if name in ("__repr__", "__str__"):
            native = getattr(BaseException if "exception" in node.traits else object, name)
            return self._attributes.shown(name, node.path, native)
        if name == "__call__":
            member = node.members.get(name)
            if not isinstance(member, FunctionNode):
                member = FunctionNode(name, f"{node.qualname}.{name}", node.module)
            return self._functions.call(member, node.path, scope)
        if name in ("__exit__", "__aexit__"):
            return self._attributes.exiting(name)
        if name == "__deepcopy__":
            return self._attributes.deep_copying()
        return self._functions.special(name, node.path, scope)

    def _variable(self, name: str, doc: str | None) -> ClassVariable:
        attributes = self._attributes
        return ClassVariable(
            name, attributes.reader(name), attributes.writer(name), attributes.remover(name), doc
        )

    def _forward(self, made: ShallowClass, foreign: type) -> None:
        """Let the server answer what Python would find in a class of this Python's own.

        The mixin methods of `collections.abc` would send a message for each item they use.
        """
        if foreign not in self._forwarders:
            node = forwarding_node(foreign)
            scope = {"__name__": foreign.__module__}
            self._forwarders[foreign] = {
                **{n: self._member(n, m, node, scope) for n, m in node.members.items()},
                **{n: self._special(n, node, scope) for n in node.specials},
                **dict.fromkeys(node.unset),
            }
        for name, member in self._forwarders[foreign].items():
            owner = next((cls for cls in made.__mro__ if name in cls.__dict__), object)
            if owner is object or not isinstance(owner, ShallowClass):
                type.__setattr__(made, name, member)


def _create(
    metaclass: type[ShallowClass], name: str, bases: tuple[type, ...], namespace: dict[str, Any]
) -> ShallowClass:
    """The class itself, past the metaclass's own `__new__`, which refuses client subclasses."""
    try:
        return ABCMeta.__new__(metaclass, name, bases, namespace)
    except TypeError:
        # Bases that cannot be combined here, since one of them is a stand-in or missing.
        kept = tuple([base for base in bases if isinstance(base, ShallowClass)])
        if kept == bases or not kept:
            raise
        return ABCMeta.__new__(metaclass, name, kept, namespace)
