"""Real classes for the classes of the server, through one metaclass.

A shallow class has the bases and the MRO of its original as far as they exist here. Its
methods are real functions (`source`), known data of its instances real properties
(`proxy`), class attributes are read on the server each time.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from abc import ABCMeta
from collections.abc import Callable, Iterator
from types import FunctionType, GenericAlias, MethodType
from typing import TYPE_CHECKING, Any, Final

from wsremote.client.names import INTERNAL, is_dunder, is_probe
from wsremote.client.proxy import Attributes
from wsremote.protocol.specials import FORWARDED
from wsremote.tree.introspection import is_class
from wsremote.tree.nodes import (
    OBJECT,
    ClassNode,
    FunctionNode,
    Node,
    PropertyNode,
    ReferenceNode,
    VariableNode,
)
from wsremote.tree.signature import signature_of, to_inspect

if TYPE_CHECKING:
    from wsremote.client.caller import Home
    from wsremote.client.source import Functions

__all__ = ["ClassVariable", "Classes", "Lazy", "ShallowClass", "ShallowEnum"]

Resolve = Callable[[str], type | None]

# What Python itself sets on classes.
_MACHINERY: Final = frozenset(["__abstractmethods__", "_abc_impl", "__parameters__"])
# Class variables that C code of Python reads when it looks at a class.
_UNLISTED: Final = frozenset(["__slots__", "__dict__", "__weakref__", "__doc__", "__module__"])

# Modules of Python whose abstract classes hold no state, so that they can be bases here.
_ABSTRACT: Final = frozenset(["abc", "collections", "contextlib", "numbers", "os", "importlib"])


class ShallowClass(ABCMeta):
    """The class of shallow classes. What their class attributes are, the server says."""

    # Has no file: notebooks would show ours as that of each class.
    __module__ = "builtins"

    # What each class has, by the names that `names.INTERNAL` starts.
    _wsremote_classes: Classes
    _wsremote_path: str
    _wsremote_node: ClassNode
    _wsremote_construct: Callable[..., Any]
    _wsremote_blank: Callable[[type], Any]

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any
    ) -> Any:
        served = next(base for base in bases if isinstance(base, ShallowClass))
        raise TypeError(
            f"subclassing served classes is not supported yet: {name} derives from "
            f"{served._wsremote_path}, a class of the server at "
            f"{served._wsremote_classes.caller.url}; use an object of it instead of inheriting"
        )

    def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
        return cls._wsremote_construct(cls, *args, **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature | None:
        node = cls._wsremote_node
        return None if node.signature is None else to_inspect(node.signature)

    def __getattr__(cls, name: str) -> Any:
        # A name that is there and comes here: the server has been asked for it, and had none.
        # `help` sorts attributes by `_fields`.
        if (
            is_probe(name)
            or any(name in base.__dict__ for base in cls.__mro__)
            or (name == "_fields" and "namedtuple" not in cls._wsremote_node.traits)
        ):
            raise AttributeError(
                f"type object {cls.__name__!r} has no attribute {name!r}", name=name, obj=cls
            )
        return cls._wsremote_classes.caller.get(cls._wsremote_path, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name in _MACHINERY:
            type.__setattr__(cls, name, value)
            return
        classes = cls._wsremote_classes
        classes.caller.set(cls._wsremote_path, name, value)
        classes.renew(cls, name)

    def __delattr__(cls, name: str) -> None:
        cls._wsremote_classes.caller.delete(cls._wsremote_path, name)
        if name in cls.__dict__:
            type.__delattr__(cls, name)

    def __dir__(cls) -> list[str]:
        return [name for name in type.__dir__(cls) if not name.startswith((INTERNAL, "_abc_"))]


class ShallowEnum(ShallowClass):
    """The class of shallow enumerations, which are containers of their members."""

    __module__ = "builtins"

    def _ask(cls, name: str, *args: Any) -> Any:
        return cls._wsremote_classes.caller.special(cls._wsremote_path, name, args)

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._ask("__iter__"))

    def __reversed__(cls) -> Iterator[Any]:
        return iter(cls._ask("__reversed__"))

    def __len__(cls) -> int:
        length: int = cls._ask("__len__")
        return length

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, name: str) -> Any:
        return cls._ask("__getitem__", name)

    def __contains__(cls, value: object) -> bool:
        return bool(cls._ask("__contains__", value))

    @property
    def __members__(cls) -> Any:
        return cls._wsremote_classes.caller.get(cls._wsremote_path, "__members__")


class ClassVariable(property):
    """A class attribute that is data: a property for instances, and read from the class too.

    A subclass of `property`, since notebooks read any other descriptor when they look at it.
    """

    def __init__(
        self,
        name: str,
        fget: Callable[[Any], Any],
        fset: Callable[[Any, Any], None],
        fdel: Callable[[Any], None],
        doc: str | None,
    ) -> None:
        super().__init__(fget, fset, fdel, doc)
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None or not isinstance(owner, ShallowClass):
            return super().__get__(instance, owner)
        return owner._wsremote_classes.caller.get(owner._wsremote_path, self._name)


class Lazy:
    """Stands in a class for what is made when it is first used: a nested class, an alias."""

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, instance: Any, owner: type) -> Any:
        made = self._make()
        for home in owner.__mro__:
            if home.__dict__.get(self._name) is self:
                type.__setattr__(home, self._name, made)
        if instance is not None and isinstance(made, FunctionType):
            return MethodType(made, instance)
        return made


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

    def build(self, node: ClassNode, scope: dict[str, Any], resolve: Resolve) -> ShallowClass:
        """The class of a node.

        Args:
            scope: `__globals__` of its methods.
            resolve: Gives the shallow class of a path, or None.
        """
        bases, foreign = self._bases(node, resolve)
        namespace: dict[str, Any] = {
            "__module__": node.module,
            "__qualname__": node.qualname,
            "__doc__": node.doc,
            "_wsremote_classes": self,
            "_wsremote_path": node.path,
            "_wsremote_node": node,
            "_wsremote_construct": self._functions.constructor(node, scope),
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
            found = _local_base(path)
            if found is None:
                shallow = resolve(path)
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
            nearest = (_local_base(path) for path in node.mro if path.startswith("builtins:"))
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
            return self._functions.method(member, owner.path, scope)
        if isinstance(member, PropertyNode):
            return self._attributes.known(member)
        if isinstance(member, ClassNode):
            return Lazy(name, functools.partial(self._home.class_at, f"{owner.path}.{name}"))
        if not isinstance(member, ReferenceNode):
            raise AssertionError(f"{owner.path}.{name} is a {member.kind}")
        return Lazy(name, functools.partial(self._home.referred, owner.path, name, member.target))

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
        if name in ("__exit__", "__aexit__", "__deepcopy__"):
            return self._attributes.without_last(name)
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
            node = _node_of(foreign)
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


def _local_base(path: str) -> type | None:
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
def _node_of(foreign: type) -> ClassNode:
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
