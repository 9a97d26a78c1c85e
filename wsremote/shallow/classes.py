"""Real classes for the classes of the server.

A shallow class has the bases and the MRO of its original as far as they exist here. Its
methods are real functions (`source`), known data of its instances real properties
(`proxy`), and class attributes are read on the server each time (`metaclass`).
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias, MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.carried import content_base
from ..codec.records import OWN_CLASS
from ..protocol.specials import FORWARDED, goes_by_name
from ..tree.abstract import register
from ..tree.introspection import is_class, is_name, namespace_of
from ..tree.nodes import (
    OBJECT,
    ClassNode,
    FunctionNode,
    Node,
    PropertyNode,
    ReferenceNode,
    VariableNode,
)
from ..tree.signature import Annotation
from .callables import (
    OWN_SIGNATURE,
    doc_of,
    module_of,
    namespace_of_functions,
    shows_own_signature,
)
from .class_data import field_reader, fields_of, generic_of, switches_of, type_parameters
from .coroutines import asynchronous, is_coroutine_class, namespace_of_awaitables
from .enumerations import Member
from .foreign import forwarded_of, forwarding_node, local_base, twin_of
from .instances import Instances
from .iterators import namespace_of_iterators, stepping
from .metaclass import (
    AskedMethod,
    ClassVariable,
    Lazy,
    LazyMethod,
    LazyOfClass,
    LazyReference,
    ShallowClass,
    mark_abstract,
    put,
)
from .metaclasses import METACLASSES, by_identity, is_metaclass, made_by, namespace_of_metaclass
from .names import INTERNAL, is_dunder, is_probe
from .overriding import class_or_object, subclass_hook
from .proxy import Attributes
from .spoken import namespace_of_async

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from .caller import Home
    from .source import Functions

__all__ = ["Classes"]

Resolve = Callable[[str], type | None]

# Class variables that C code of Python reads when it looks at a class.
_UNLISTED: Final = frozenset(["__slots__", "__dict__", "__weakref__", "__doc__", "__module__"])


# Of callable instances. Else `inspect` compares them with `type`, and their class may define that.
_CALL_SIGNATURE: Final = property(lambda self: inspect.signature(self.__call__))


# Own names that are no properties: they are descriptors, or Python takes them for the class's.
_OTHERWISE: Final = frozenset(["__doc__", "__module__", "__qualname__", "__signature__"])


class Classes:
    """Builds the shallow classes of one session.

    Args:
        home: What they belong to.
        functions: Makes their methods.
        is_probe: Whether to refuse an unlisted attribute without asking the other side.
    """

    def __init__(
        self, home: Home, functions: Functions, is_probe: Callable[[str], bool] = is_probe
    ) -> None:
        self.caller = home.caller
        self.is_probe = is_probe
        # Whether the other side is asked for all that describes a class or what is called: a
        # client's classes change while served code decorates them.
        self.asks_always = False
        # Of classes whose metaclass is `type`. One that shadows what `type` has (`__dict__`) is
        # read by completers as code to run: not for the client's.
        self.usual_metaclass = ShallowClass
        # Defines a class that is derived here; a session's client sets what does it.
        self.subclass: Callable[..., Any] = _refuse_deriving
        self._home = home
        self._functions = functions
        self.attributes = Attributes(home.caller, is_probe)
        self._instances = Instances(home.caller, functions, self.attributes)

    def build(
        self,
        node: ClassNode,
        scope: dict[str, Any],
        resolve: Resolve,
        *,
        is_foreign: bool = False,
        handle: int | None = None,
    ) -> ShallowClass:
        """The class of a node.

        Args:
            node: The class.
            scope: `__globals__` of its methods.
            resolve: Gives the shallow class of a path, or None.
            is_foreign: Whether it is outside the tree, so that it may exist here as well.
            handle: Of the class itself, if it is outside the tree and may be used.
        """
        path: Target = node.path if handle is None else handle
        bases, foreign = self._bases(node, resolve)
        known_here = is_foreign or node.module.partition(".")[0] in sys.stdlib_module_names
        local = local_base(node.path) if known_here else None
        if local is not None and not issubclass(local, BaseException):
            if content_base(local) is local:
                # Of the exact builtin a handle has come, without content: it could not travel.
                bases, foreign = (object,), []
            local = None
        if local is not None:
            # So that `except json.JSONDecodeError` catches what the server raises.
            served = [] if is_foreign else [b for b in bases if isinstance(b, ShallowClass)]
            bases = (*served, local)
        if is_metaclass(node):
            return self._build_metaclass(node, bases, path, scope, resolve)
        namespace: dict[str, Any] = {
            "__module__": node.module,
            "__qualname__": node.qualname,
            "__doc__": doc_of(self.caller, node, path),
            "_wsremote_classes": self,
            # By which nobody asks the other side before the class is there: Python looks at it.
            "_wsremote_path": node.path,
            "_wsremote_node": node,
            OWN_CLASS: local if is_foreign else None,
            "_wsremote_construct": LazyMethod(
                "_wsremote_construct", functools.partial(self._constructor, node, scope)
            ),
        }
        bases = self._generic(node, bases, namespace)
        namespace |= self._instances.namespace(bases)
        namespace |= self._fixed(node)
        later: dict[str, VariableNode] = {}
        for name, member in node.members.items():
            if name.startswith(INTERNAL) or (is_dunder(name) and member.kind != "variable"):
                continue
            if isinstance(member, VariableNode):
                later[name] = member
            else:
                namespace[name] = self._member(name, member, node, path, scope)
        for name in node.specials:
            if name in ("__copy__", "__deepcopy__"):
                continue  # all objects have one of ours
            if name in FORWARDED:
                namespace[name] = self._special(name, node, path, scope)
            elif name == "__init_subclass__":
                namespace[name] = subclass_hook(self.caller, path)
            elif goes_by_name(name):
                method = FunctionNode(name, f"{node.qualname}.{name}", node.module, "method")
                namespace[name] = self._member(name, method, node, path, scope)
        if "__call__" in namespace or _gives_call(bases):
            namespace["__module__"] = module_of(self.caller, node)
        if "__call__" in namespace:
            own = self.asks_always or shows_own_signature(node)
            namespace["__signature__"] = OWN_SIGNATURE if own else _CALL_SIGNATURE
        twin = twin_of(node.path) if is_foreign and local is None else None
        if twin is not None:
            namespace["__class__"] = property(lambda self: twin)
        if "function" in node.traits:
            namespace |= namespace_of_functions(node)
        if "__next__" in node.specials:
            namespace |= namespace_of_iterators(self.caller, node.path)
        namespace |= namespace_of_awaitables(node, self.caller, path)
        namespace |= namespace_of_async(node, self.caller, namespace, bases)
        namespace |= self._own_names(node)
        namespace |= {n: None for n in node.unset if n in FORWARDED or goes_by_name(n)}
        metaclass = self._metaclass(node, resolve)
        # What its metaclass has a property for can be put into a class only as it is made.
        for name in _names_of((metaclass, *map(type, bases))).intersection(later):
            namespace[name] = self._listed(name, later.pop(name), node)
        made = _create(metaclass, node.name, bases, namespace)
        type.__setattr__(made, "_wsremote_path", path)
        # Not before: `ABCMeta` reads attributes of the class that it makes, and `__slots__`.
        undefined = frozenset(node.fixed.get("__abstractmethods__", ()))
        type.__setattr__(made, "__abstractmethods__", undefined)
        for name in undefined.intersection(namespace):
            mark_abstract(made, name)
        if "__slots__" in node.fixed:
            type.__setattr__(made, "__slots__", node.fixed["__slots__"])
        for name, variable in later.items():
            if name not in _UNLISTED:
                type.__setattr__(made, name, self._listed(name, variable, node))
        for cls in foreign:
            self._forward(made, cls)
        for abstract in node.registered:
            register(made, abstract)
        if is_coroutine_class(node):
            self.caller.coroutine_classes.add(made)
        return made

    def renew(self, cls: ShallowClass, name: str) -> None:
        """From now on, read on the server what has just been set there."""
        if name in FORWARDED:
            made = self._functions.special(
                name, cls._wsremote_path, {"__name__": cls.__module__}, cls.__qualname__
            )
            type.__setattr__(cls, name, made)
        elif name in ("__init__", "__new__"):
            node = dataclasses.replace(cls._wsremote_node, signature=None)
            made = self._functions.constructor(node, {"__name__": cls.__module__})
            type.__setattr__(cls, "_wsremote_construct", made)
        elif not is_dunder(name):
            put(cls, name, self.variable(name, None))

    def _constructor(self, node: ClassNode, scope: dict[str, Any]) -> Any:
        """Calls the class; arguments are checked here only where the signature stays true."""
        if self.asks_always:
            node = dataclasses.replace(node, signature=None)
        return self._functions.constructor(node, scope)

    def _build_metaclass(
        self,
        node: ClassNode,
        bases: tuple[type, ...],
        path: Target,
        scope: dict[str, Any],
        resolve: Resolve,
    ) -> ShallowClass:
        """The class of a node whose instances are classes."""
        namespace = {
            "__module__": node.module,
            "__qualname__": node.qualname,
            "__doc__": node.doc,
            "_wsremote_classes": self,
            "_wsremote_path": path,
            "_wsremote_node": node,
            "_wsremote_construct": class_or_object,
            **namespace_of_metaclass(node, self._functions, self.caller, path, scope),
        }
        usual = self.usual_metaclass
        kept = [usual if b is ShallowClass else b for b in bases if issubclass(b, ShallowClass)]
        return _create(
            self._metaclass(node, resolve), node.name, by_identity(kept) or (usual,), namespace
        )

    def _metaclass(self, node: ClassNode, resolve: Resolve) -> type[ShallowClass]:
        """What stands for the metaclass of a class."""
        found = METACLASSES.get(node.metaclass)
        made = resolve(node.metaclass) if found is None else found
        if not is_class(made) or not issubclass(made, ShallowClass) or made is ShallowClass:
            return self.usual_metaclass
        return made

    def _generic(
        self, node: ClassNode, bases: tuple[type, ...], namespace: dict[str, Any]
    ) -> tuple[type, ...]:
        """Let a class be subscripted: gives its bases, adds to its namespace."""
        parameters = type_parameters(node)
        if typing.Generic in bases:
            if parameters:
                namespace["__orig_bases__"] = (generic_of(parameters),)
                return bases
            bases = tuple([base for base in bases if base is not typing.Generic]) or (object,)
        inherits = any(issubclass(base, typing.Generic) for base in bases)
        if inherits and parameters:
            namespace["__orig_bases__"] = (generic_of(parameters),)
        elif not inherits and ("generic" in node.traits or "alias" in node.traits):
            namespace["__class_getitem__"] = classmethod(GenericAlias)
        elif "__class_getitem__" in node.specials:
            namespace["__class_getitem__"] = classmethod(_subscripted)
        return bases

    def _fixed(self, node: ClassNode) -> dict[str, Any]:
        """What Python reads from the class itself."""
        made: dict[str, Any] = {}
        if "__match_args__" in node.fixed:
            made["__match_args__"] = node.fixed["__match_args__"]
        if "_fields" in node.fixed and "namedtuple" in node.traits:
            made["_fields"] = node.fixed["_fields"]
        if "__annotations__" in node.fixed:
            notes = [note.partition(": ") for note in node.fixed["__annotations__"]]
            made["__annotations__"] = {name: Annotation(text) for name, _, text in notes}
        if node.fields:
            made["__dataclass_fields__"] = LazyOfClass("__dataclass_fields__", fields_of)
            made["__dataclass_params__"] = switches_of(node)
        return made

    def _bases(self, node: ClassNode, resolve: Resolve) -> tuple[tuple[type, ...], list[type]]:
        """The bases that exist here, and classes of this Python whose methods are forwarded."""
        bases: list[type] = []
        foreign: list[type] = []
        for path in node.bases:
            found = METACLASSES.get(path) or local_base(path)
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
                foreign += forwarded_of(found)
        if "exception" in node.traits and not any(issubclass(b, BaseException) for b in bases):
            nearest = (local_base(path) for path in node.mro if path.startswith("builtins:"))
            bases.append(next((cls for cls in nearest if cls is not None), Exception))
        return by_identity(bases) or (object,), foreign

    def _member(
        self, name: str, member: Node, owner: ClassNode, path: Target, scope: dict[str, Any]
    ) -> Any:
        """What stands in the class's namespace for a member that is no class variable."""
        if isinstance(member, FunctionNode):
            member = asynchronous(owner, member)
            method = functools.partial(self._functions.method, member, path, scope)
            return (AskedMethod if self.asks_always else LazyMethod)(name, method)
        if isinstance(member, PropertyNode):
            index = owner.fixed.get("_fields", ()).index
            if "namedtuple" in owner.traits and name in owner.fixed.get("_fields", ()):
                return field_reader(index(name), member.doc)
            if member.asked:
                return self._descriptor(member)
            return self.attributes.known(member, path)
        if isinstance(member, ClassNode):
            if path != owner.path:
                return LazyReference(name, functools.partial(self._home.referred, member.path))
            return Lazy(name, functools.partial(self._home.class_at, f"{owner.path}.{name}"))
        if not isinstance(member, ReferenceNode):
            raise AssertionError(f"{owner.path}.{name} is a {member.kind}")
        return LazyReference(name, functools.partial(self._home.referred, member.target))

    def _own_names(self, node: ClassNode) -> dict[str, Any]:
        """Names with two underscores that are data of the instances."""
        made: dict[str, Any] = {}
        for name, member in node.members.items():
            if is_dunder(name) and name not in _OTHERWISE and isinstance(member, PropertyNode):
                read = self.attributes.own_reader(name)
                change = self.attributes.writer(name), self.attributes.remover(name)
                if member.asked:
                    made[name] = ClassVariable(name, read, *change, None)
                else:
                    made[name] = property(read, *change)
        return made

    def _special(self, name: str, node: ClassNode, path: Target, scope: dict[str, Any]) -> Any:
        """The forwarding special method of a class that defines it."""
        if name in ("__repr__", "__str__"):
            native = getattr(BaseException if "exception" in node.traits else object, name)
            return self.attributes.shown(name, path, native)
        if name == "__call__":
            member = node.members.get(name)
            if not isinstance(member, FunctionNode):
                member = FunctionNode(name, f"{node.qualname}.{name}", node.module)
            return self._functions.call(member, path, scope)
        if name in ("__exit__", "__aexit__"):
            return self.attributes.exiting(name, path)
        if name == "__next__":
            return stepping(self.caller, path, f"{node.qualname}.{name}")
        return self._functions.special(name, path, scope, node.qualname)

    def namespace(self, bases: tuple[type, ...]) -> dict[str, Any]:
        """What a class has from us that these bases do not give it."""
        return self._instances.namespace(bases)

    def tell_private(
        self,
        cls: ShallowClass,
        names: Iterable[tuple[str, str]],
        nodes: Mapping[str, FunctionNode] = MappingProxyType({}),
    ) -> None:
        """Give a class what it has under names that no tree lists: derived classes use them.

        Args:
            cls: Of the other side, or derived here.
            names: Each with what is there: a property, a variable, or a kind of method.
            nodes: Of those methods whose signatures are known.
        """
        path, scope = cls._wsremote_path, {"__name__": cls.__module__}
        for name, kind in names:
            # What the metaclass has (`_member_names_`) is not to be hidden.
            if name in namespace_of(cls) or not is_name(name) or name in _names_of([type(cls)]):
                continue
            made: Any = None
            if name in FORWARDED:
                if kind != "unset":
                    made = self._functions.special(name, path, scope, cls.__qualname__)
            elif name.startswith("__") and not goes_by_name(name):
                continue
            elif kind == "property":
                made = self.attributes.known(PropertyNode(name, None, None, True), path)
            elif kind not in ("method", "function", "staticmethod", "classmethod"):
                made = self.variable(name, None)
            else:
                binding = "method" if kind == "function" else kind
                node = nodes.get(name) or FunctionNode(name, f"{cls.__qualname__}.{name}", "")
                node = dataclasses.replace(node, name=name, module=cls.__module__, binding=binding)
                made = self._functions.method(node, path, scope)
            type.__setattr__(cls, name, made)

    def variable(
        self, name: str, doc: str | None, kind: type[ClassVariable] = ClassVariable
    ) -> ClassVariable:
        """What reads data of a class on the other side."""
        attributes = self.attributes
        return kind(
            name, attributes.reader(name), attributes.writer(name), attributes.remover(name), doc
        )

    def _listed(self, name: str, node: VariableNode, owner: ClassNode) -> ClassVariable:
        """What reads data that a class's node lists."""
        is_member = "enum" in owner.traits and node.type == owner.path
        return self.variable(name, node.doc, Member if is_member else ClassVariable)

    def _descriptor(self, node: PropertyNode) -> ClassVariable:
        """A descriptor of the package's own making, which answers for the class too."""
        name, attributes = node.name, self.attributes
        writer = attributes.writer(name) if node.settable else None
        return ClassVariable(name, attributes.reader(name), writer, None, node.doc)

    def _forward(self, made: ShallowClass, foreign: type) -> None:
        """Let the server answer what Python would find in a class of this Python's own.

        The mixin methods of `collections.abc` would send a message for each item they use.
        """
        node = forwarding_node(foreign)
        scope = {"__name__": foreign.__module__}
        # `super().get(...)` of a derived class looks it up in the class that is served.
        path = made._wsremote_path
        forwarders = {
            **{n: self._member(n, m, node, path, scope) for n, m in node.members.items()},
            **{n: self._special(n, node, path, scope) for n in node.specials},
            **dict.fromkeys(node.unset),
        }
        for name, member in forwarders.items():
            owner = next((cls for cls in made.__mro__ if name in namespace_of(cls)), object)
            if owner is object or not isinstance(owner, ShallowClass):
                type.__setattr__(made, name, member)


def _refuse_deriving(*_: Any) -> NoReturn:
    """What stands for classes of a client is not derived from.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        "served code cannot derive a class from one of the client: derive it on the client"
    )


def _gives_call(bases: tuple[type, ...]) -> bool:
    """Whether instances of what derives from these can be called."""
    return any("__call__" in namespace_of(cls) for base in bases for cls in base.__mro__)


def _names_of(metaclasses: Iterable[type]) -> frozenset[str]:
    """The names that metaclasses have data of their classes under."""
    return frozenset(
        name
        for metaclass in metaclasses
        for cls in metaclass.__mro__
        for name, value in namespace_of(cls).items()
        if isinstance(value, property) and not name.startswith("__")
    )


def _create(
    metaclass: type[ShallowClass], name: str, bases: tuple[type, ...], namespace: dict[str, Any]
) -> ShallowClass:
    """The class itself, past the metaclass's own `__new__`, which refuses client subclasses."""
    try:
        return made_by(metaclass, name, bases, namespace)
    except TypeError:
        # Bases that cannot be combined here, since one of them is a stand-in or missing.
        kept = tuple([base for base in bases if isinstance(base, ShallowClass)])
        if len(kept) == len(bases) or not kept:
            raise
        return made_by(metaclass, name, kept, namespace)


def _subscripted(cls: Any, item: Any, /) -> Any:
    """`C[item]`, by what the class itself makes of it."""
    return cls._wsremote_classes.caller.special(cls._wsremote_path, "__getitem__", (item,))
