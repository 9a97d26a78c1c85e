"""Modules of the server as module objects, and `session.modules`.

Each shallow module has a class of its own, on which the module's variables are
properties. Functions, classes, submodules and what is re-exported are made when they are
first used, and then stay in the module's `__dict__`.
"""

from __future__ import annotations

import dis
import sys
import weakref
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..codec.frames import is_own_frame
from ..codec.hiding import hide_own_frames, hiding
from ..protocol.specials import FORWARDED, LOCAL
from ..shallow.names import INTERNAL, closest, host_of, is_dunder, is_probe
from ..shallow.spoken import is_async, refuse_change
from ..tree.introspection import module_dict
from ..tree.nodes import ClassNode, FunctionNode, ModuleNode, Node, ReferenceNode
from .namespaces import ModuleNamespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .package import ShallowPackage

__all__ = [
    "Modules",
    "ShallowModule",
    "bare_module",
    "late_module",
    "make_module",
    "origin_of",
]

# What the import system and Python itself set on modules.
_MACHINERY: Final = frozenset(
    [
        *("__name__", "__loader__", "__package__", "__spec__", "__path__", "__file__", "__doc__"),
        *("__cached__", "__builtins__", "__warningregistry__", "__class__", "__dict__"),
        *("__annotations__", "__annotate__", "__all__"),
    ]
)
_SET_HERE: Final = _MACHINERY - {"__doc__", "__all__"}
# Names that mean something else where a class has them than where a module has them.
_SPECIALS: Final = FORWARDED | LOCAL | frozenset(dir(ModuleType)) - _MACHINERY
_IMPORT_FROM: Final = dis.opmap["IMPORT_FROM"]


class ShallowModule(ModuleType):
    """A module of the server."""

    MACHINERY: ClassVar[frozenset[str]] = _MACHINERY
    # Set on the class that each module has of its own.
    _wsremote_home: ShallowPackage
    _wsremote_node: ModuleNode
    _wsremote_spec: ModuleSpec
    _wsremote_namespace: Callable[[], ModuleNamespace | None]

    @property
    def __dict__(self) -> ModuleNamespace:  # type: ignore[override]
        """What the server's module holds, as a dict: the same one as long as somebody has it."""
        cls = type(self)
        found = cls._wsremote_namespace()
        if found is None:
            found = ModuleNamespace(self)
            cls._wsremote_namespace = weakref.ref(found)
        return found

    @hiding
    def __getattr__(self, name: str) -> Any:
        cls = type(self)
        # A property's getter has just asked the server, and there is none.
        if is_probe(name) or isinstance(vars(cls).get(name), property):
            raise self._missing(name)
        try:
            return cls._wsremote_home.caller.get(self._wsremote_node.name, name)
        except AttributeError as error:
            hide_own_frames()
            raise self._missing(name) from error

    @hiding
    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SET_HERE:
            super().__setattr__(name, value)
        elif (
            isinstance(value, ShallowModule)
            and value.__name__ == f"{self._wsremote_node.name}.{name}"
        ):
            # The import system binds a submodule in its package: it is a member already, unless
            # the package has something else under that name, as on the server.
            if name not in vars(type(self)) or type(self)._wsremote_home.is_late(value.__name__):
                type.__setattr__(type(self), name, _Member(name, lambda: value))
                module_dict(self).pop(name, None)
        else:
            caller = type(self)._wsremote_home.caller
            if is_async(caller):
                refuse_change(name)
            caller.set(self._wsremote_node.name, name, value)
            self._wsremote_was_set(name, value)

    @hiding
    def __delattr__(self, name: str) -> None:
        if name in _SET_HERE:
            super().__delattr__(name)
            return
        caller = type(self)._wsremote_home.caller
        if is_async(caller):
            refuse_change(name, "delattr")
        caller.delete(self._wsremote_node.name, name)
        self._wsremote_was_deleted(name)

    def _wsremote_was_set(self, name: str, value: Any) -> None:
        """The server's module has another value under a name."""
        cls = type(self)
        home, node = cls._wsremote_home, cls._wsremote_node
        module_dict(self).pop(name, None)
        original = node.members.get(name)
        if original is not None and home.name_of(value) == f"{node.name}:{name}":
            # As it was at first: somebody has taken back what he had put there.
            member = _member(home, node.name, original)
        else:
            # From now on, the server says what it is.
            member = _variable(home, node.name, name, None)
        _put(cls, name, member)

    def _wsremote_was_deleted(self, name: str) -> None:
        """The server's module has the name no more."""
        module_dict(self).pop(name, None)
        if name in vars(type(self)):
            delattr(type(self), name)

    def __dir__(self) -> list[str]:
        cls = type(self)
        node, held = cls._wsremote_node, module_dict(self)
        variables = []
        for name, value in list(vars(cls).items()):
            # Whoever lists a module looks at its functions next, often without running code.
            if type(value) is _Function and name not in held:
                getattr(self, name)
            elif type(value) is property and name != "__dict__":
                variables.append(name)
        children = cls._wsremote_home.children(self._wsremote_node.name)
        return sorted({*held, *node.members, *variables, *children})

    def _wsremote_names(self) -> list[str]:
        """The names that the server's module holds now."""
        home = type(self)._wsremote_home
        name = self._wsremote_node.name
        # A package that is only there for its submodules is none of the server's tree.
        if not home.is_served(name):
            return list(home.children(name))
        names: list[str] = home.caller.browse(name, "names")
        return names

    def _wsremote_value(self, name: str) -> Any:
        """What the server's module holds under a name, past what every object has here."""
        if name in _SPECIALS and name not in module_dict(self):
            return type(self)._wsremote_home.caller.get(self._wsremote_node.name, name)
        if name.startswith(INTERNAL) or name in _MACHINERY:
            raise self._missing(name)
        return getattr(self, name)

    def _missing(self, name: str) -> AttributeError | ImportError:
        """What the lack of a name is: `from pkg import name` says it in other words."""
        text = f"served module {self._wsremote_node.name!r} has no attribute {name!r}"
        hint = "" if name.startswith("_") else closest(name, dir(self))
        if _is_imported_from():
            origin = origin_of(type(self)._wsremote_home, self._wsremote_node.name)
            text = f"cannot import name {name!r} from {self._wsremote_node.name!r} ({origin})"
            return ImportError(
                f"{text}.{hint}" if hint else text, name=self._wsremote_node.name, path=origin
            )
        # Without `obj`: Python would look for the same hint, and print it twice.
        return AttributeError(f"{text}.{hint}" if hint else text, name=name, obj=None)


def _is_imported_from() -> bool:
    """Whether a statement `from module import name` asks, which drops an AttributeError's text."""
    frame = sys._getframe(1)
    while frame is not None and is_own_frame(frame):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or frame.f_lasti < 0:
        return False
    return frame.f_code.co_code[frame.f_lasti] == _IMPORT_FROM


class _Member:
    """Stands in a module's class for what is made when it is first used.

    Has no `__set__`, so that what is made then comes first, from the module's `__dict__`.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        made = module_dict(module)[self._name] = self._make()
        return made


class _Function(_Member):
    """The same for a function, which those find as well who run no code when they look."""

    __slots__ = ()

    def __get__(self, module: Any, owner: type) -> Any:
        made = super().__get__(module, owner)
        if made is not self and owner.__dict__.get(self._name) is self:
            type.__setattr__(owner, self._name, made)
        return made


class _Reference(_Member):
    """The same for what is defined elsewhere; the server is asked where the tree has it not."""

    __slots__ = ()

    @hiding
    def __get__(self, module: Any, owner: type) -> Any:
        try:
            return super().__get__(module, owner)
        except KeyError:
            return type(module)._wsremote_home.caller.get(module.__name__, self._name)


def origin_of(home: ShallowPackage, name: str) -> str:
    """Where a module is from: `wsremote://host:9090/pkg.mod`."""
    return f"wsremote://{host_of(home.caller.url)}/{name}"


def make_module(node: ModuleNode, home: ShallowPackage) -> ShallowModule:
    """The shallow module of a node."""
    name = node.name
    children = list(home.children(name))
    namespace: dict[str, Any] = {
        child: _Member(child, _submodule(home, f"{name}.{child}")) for child in children
    }
    specials = []
    for key, node_of_it in node.members.items():
        if key.startswith(INTERNAL) or key in _MACHINERY:
            continue
        if key in _SPECIALS:
            specials.append(key)
        else:
            namespace[key] = _member(home, name, node_of_it)
    made = _bare(name, node, home, namespace, bool(node.is_package or children))
    for key in specials:
        _put(type(made), key, _member(home, name, node.members[key]))
    scope = module_dict(made)
    scope["__doc__"] = node.doc
    if node.exports is not None:
        scope["__all__"] = list(node.exports)
    return made


def late_module(
    name: str, home: ShallowPackage, is_package: bool, doc: str | None
) -> ShallowModule:
    """A module that the tree does not list, since the server could not know of it at its start."""
    made = _bare(name, ModuleNode(name, is_package, doc=doc), home, {}, is_package)
    module_dict(made)["__doc__"] = doc
    return made


def bare_module(name: str, home: ShallowPackage) -> ShallowModule:
    """The package that holds a served subpackage and is not served itself."""
    children = list(home.children(name))
    namespace = {child: _Member(child, _submodule(home, f"{name}.{child}")) for child in children}
    return _bare(name, ModuleNode(name, is_package=True), home, namespace, True)


def _bare(
    name: str, node: ModuleNode, home: ShallowPackage, namespace: dict[str, Any], is_package: bool
) -> ShallowModule:
    # Else notebooks show this file and this class as if they were the module's.
    origin = origin_of(home, name)
    spec = ModuleSpec(name, home.loader, origin=origin, is_package=is_package)
    namespace["__module__"] = name
    namespace["__doc__"] = None
    namespace["_wsremote_home"] = home
    namespace["_wsremote_node"] = node
    namespace["_wsremote_spec"] = spec
    namespace["_wsremote_namespace"] = staticmethod(lambda: None)
    cls = type("module", (ShallowModule,), namespace)
    made: ShallowModule = cls(name)
    scope = module_dict(made)
    scope["__spec__"], scope["__loader__"] = spec, home.loader
    scope["__package__"] = name if is_package else name.rpartition(".")[0]
    if node.file is not None:
        scope["__file__"] = home.sources.name_of(node.file)
    if is_package:
        scope["__path__"] = spec.submodule_search_locations = [origin]
    return made


def _member(home: ShallowPackage, module: str, node: Node) -> Any:
    """What stands in a module's class for a member that the tree lists."""
    name = node.name
    if isinstance(node, ReferenceNode):
        return _Reference(name, _referred(home, node.target))
    if isinstance(node, ClassNode):
        return _Member(name, _class(home, f"{module}:{name}"))
    if isinstance(node, FunctionNode):
        return _Function(name, _function(home, f"{module}:{name}"))
    return _variable(home, module, name, node.doc)


def _put(cls: type[ShallowModule], name: str, member: Any) -> None:
    """Let a module have a member.

    Python looks special methods up on the class: a module that has a function `__eq__`, as
    `operator` has, must not be compared by it.
    """
    if name not in _SPECIALS:
        type.__setattr__(cls, name, member)
        return
    apart = vars(cls).get("_wsremote_apart")
    if apart is None:
        apart = {}
        type.__setattr__(cls, "_wsremote_apart", apart)
        type.__setattr__(cls, "__getattribute__", _apart_first)
    apart[name] = member


def _apart_first(self: ShallowModule, name: str) -> Any:
    """`__getattribute__` of a module with members that are named as special methods are."""
    if name in _SPECIALS:
        cls = type(self)
        member = vars(cls)["_wsremote_apart"].get(name)
        if member is not None:
            return member.__get__(self, cls)
    return ModuleType.__getattribute__(self, name)


def _variable(home: ShallowPackage, module: str, name: str, doc: str | None) -> property:
    """A module variable: one message each to read, set and delete it."""
    caller = home.caller

    @hiding
    def read(_: ShallowModule) -> Any:
        return caller.get(module, name)

    def write(self: ShallowModule, value: Any) -> None:
        setattr(self, name, value)

    def remove(self: ShallowModule) -> None:
        delattr(self, name)

    return property(read, write, remove, doc)


def _function(home: ShallowPackage, path: str) -> Callable[[], Any]:
    return lambda: home.function_at(path)


def _class(home: ShallowPackage, path: str) -> Callable[[], Any]:
    return lambda: home.class_at(path)


def _referred(home: ShallowPackage, target: str) -> Callable[[], Any]:
    return lambda: home.referred(target)


def _submodule(home: ShallowPackage, name: str) -> Callable[[], Any]:
    return lambda: home.submodule(name)


class Modules:
    """`session.modules`: what is served, without the import hook.

    `session.modules.pkg.mod` and `session.modules["pkg.mod"]` are the module objects that
    `import` gives after `session.install()`.
    """

    def __init__(self, home: ShallowPackage) -> None:
        self._home = home
        self._roots = sorted(home.roots)

    def __getattr__(self, name: str) -> ModuleType:
        if name in self.__dict__.get("_roots", ()):
            return self[name]
        text = f"no package {name!r} is served at {self._home.caller.url}"
        if is_dunder(name) or is_probe(name):
            raise AttributeError(text, name=name, obj=None)
        raise AttributeError(f"{text}.{closest(name, self._roots)}", name=name, obj=None)

    def __getitem__(self, name: str) -> ModuleType:
        found = self._home.submodule(name)
        if found is None:
            hint = closest(name, self._home.tree)
            raise KeyError(f"no module {name!r} is served at {self._home.caller.url}.{hint}")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._roots or name in self._home.tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._home.tree)

    def __len__(self) -> int:
        return len(self._home.tree)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._roots]

    def __repr__(self) -> str:
        return f"<served modules of {', '.join(self._roots)} at {self._home.caller.url}>"
