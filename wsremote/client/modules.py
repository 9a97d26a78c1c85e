"""Modules of the server as module objects, and `session.modules`.

Each shallow module has a class of its own, on which the module's variables are
properties. Functions, classes, submodules and what is re-exported are made when they are
first used, and then stay in the module's `__dict__`.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..shallow.names import INTERNAL, closest, host_of, is_dunder, is_probe
from ..tree.nodes import ClassNode, FunctionNode, ModuleNode, ReferenceNode, VariableNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..shallow.caller import Home

__all__ = ["Modules", "ShallowModule", "bare_module", "make_module", "origin_of"]

# What the import system and Python itself set on modules.
_MACHINERY: Final = frozenset(
    [
        *("__name__", "__loader__", "__package__", "__spec__", "__path__", "__file__"),
        *("__cached__", "__builtins__", "__warningregistry__", "__class__", "__dict__"),
        *("__annotations__", "__annotate__"),
    ]
)


class ShallowModule(ModuleType):
    """A module of the server."""

    # Set on the class that each module has of its own.
    _wsremote_home: Home
    _wsremote_node: ModuleNode

    def __getattr__(self, name: str) -> Any:
        cls = type(self)
        # A property's getter has just asked the server, and there is none.
        if is_probe(name) or isinstance(vars(cls).get(name), property):
            raise self._missing(name)
        try:
            return cls._wsremote_home.caller.get(self.__name__, name)
        except AttributeError as error:
            raise self._missing(name) from error

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MACHINERY:
            super().__setattr__(name, value)
        elif isinstance(value, ShallowModule) and value.__name__ == f"{self.__name__}.{name}":
            # The import system binds a submodule in its package: it is a member already, unless
            # the package has something else under that name, as on the server.
            return
        else:
            cls = type(self)
            cls._wsremote_home.caller.set(self.__name__, name, value)
            # From now on, the server says what it is.
            setattr(cls, name, _variable(cls._wsremote_home, self.__name__, name, None))
            self.__dict__.pop(name, None)

    def __delattr__(self, name: str) -> None:
        if name in _MACHINERY:
            super().__delattr__(name)
            return
        cls = type(self)
        cls._wsremote_home.caller.delete(self.__name__, name)
        self.__dict__.pop(name, None)
        if name in vars(cls):
            delattr(cls, name)

    def __dir__(self) -> list[str]:
        cls = type(self)
        node = cls._wsremote_node
        for name, value in vars(cls).items():
            # Whoever lists a module looks at its functions next, often without running code.
            if type(value) is _Function and name not in self.__dict__:
                getattr(self, name)
        known = {*self.__dict__, *node.members, *cls._wsremote_home.children(self.__name__)}
        return sorted(known)

    def _missing(self, name: str) -> AttributeError:
        text = f"served module {self.__name__!r} has no attribute {name!r}"
        hint = "" if name.startswith("_") else closest(name, dir(self))
        # Without `obj`: Python would look for the same hint, and print it twice.
        return AttributeError(f"{text}.{hint}" if hint else text, name=name, obj=None)


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
        made = module.__dict__[self._name] = self._make()
        return made


class _Function(_Member):
    """The same for a function."""

    __slots__ = ()


class _Reference(_Member):
    """The same for what is defined elsewhere; the server is asked where the tree has it not."""

    __slots__ = ()

    def __get__(self, module: Any, owner: type) -> Any:
        try:
            return super().__get__(module, owner)
        except KeyError:
            return type(module)._wsremote_home.caller.get(module.__name__, self._name)


def origin_of(home: Home, name: str) -> str:
    """Where a module is from: `wsremote://host:9090/pkg.mod`."""
    return f"wsremote://{host_of(home.caller.url)}/{name}"


def make_module(node: ModuleNode, home: Home) -> ShallowModule:
    """The shallow module of a node."""
    name = node.name
    children = list(home.children(name))
    namespace: dict[str, Any] = {
        child: _Member(child, _submodule(home, f"{name}.{child}")) for child in children
    }
    for key, member in node.members.items():
        if key.startswith(INTERNAL) or key in _MACHINERY or key in ("__all__", "__doc__"):
            continue
        if isinstance(member, ReferenceNode):
            namespace[key] = _Reference(key, _referred(home, member.target))
        elif isinstance(member, ClassNode):
            namespace[key] = _Member(key, _class(home, f"{name}:{key}"))
        elif isinstance(member, FunctionNode):
            namespace[key] = _Function(key, _function(home, f"{name}:{key}"))
        elif isinstance(member, VariableNode):
            namespace[key] = _variable(home, name, key, member.doc)
    made = _bare(name, node, home, namespace, bool(node.is_package or children))
    scope = made.__dict__
    scope["__doc__"] = node.doc
    # `import *` looks here; without a list of its own it would see what is in `__dict__` only.
    scope["__all__"] = (
        _public(node.members, children) if node.exports is None else list(node.exports)
    )
    return made


def bare_module(name: str, home: Home) -> ShallowModule:
    """The package that holds a served subpackage and is not served itself."""
    children = list(home.children(name))
    namespace = {child: _Member(child, _submodule(home, f"{name}.{child}")) for child in children}
    node = ModuleNode(name, is_package=True)
    return _bare(name, node, home, namespace, True)


def _bare(
    name: str, node: ModuleNode, home: Home, namespace: dict[str, Any], is_package: bool
) -> ShallowModule:
    # Else notebooks show this file and this class as if they were the module's.
    namespace["__module__"] = name
    namespace["__doc__"] = None
    namespace["_wsremote_home"] = home
    namespace["_wsremote_node"] = node
    cls = type("module", (ShallowModule,), namespace)
    made: ShallowModule = cls(name)
    origin = origin_of(home, name)
    spec = ModuleSpec(name, None, origin=origin, is_package=is_package)
    scope = made.__dict__
    scope["__spec__"] = spec
    scope["__package__"] = name if is_package else name.rpartition(".")[0]
    if is_package:
        scope["__path__"] = spec.submodule_search_locations = [origin]
    return made


def _public(members: Iterable[str], children: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys([*members, *children]) if not name.startswith("_")]


def _variable(home: Home, module: str, name: str, doc: str | None) -> property:
    """A module variable: one message each to read, set and delete it."""
    caller = home.caller

    def read(_: ShallowModule) -> Any:
        return caller.get(module, name)

    def write(self: ShallowModule, value: Any) -> None:
        setattr(self, name, value)

    def remove(self: ShallowModule) -> None:
        delattr(self, name)

    return property(read, write, remove, doc)


def _function(home: Home, path: str) -> Callable[[], Any]:
    return lambda: home.function_at(path)


def _class(home: Home, path: str) -> Callable[[], Any]:
    return lambda: home.class_at(path)


def _referred(home: Home, target: str) -> Callable[[], Any]:
    return lambda: home.referred(target)


def _submodule(home: Home, name: str) -> Callable[[], Any]:
    return lambda: home.submodule(name)


class Modules:
    """`session.modules`: what is served, without the import hook.

    `session.modules.pkg.mod` and `session.modules["pkg.mod"]` are the module objects that
    `import` gives after `session.install()`.
    """

    def __init__(self, home: Home) -> None:
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
