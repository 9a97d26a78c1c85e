"""Nodes of functions, classes and variables, made from the objects themselves."""

from __future__ import annotations

import dataclasses
import functools
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from types import (
    ClassMethodDescriptorType,
    FunctionType,
    MappingProxyType,
    MethodDescriptorType,
    MethodType,
)
from typing import Any

from .abstract import registered_with
from .introspection import (
    annotations_of,
    bases_of,
    class_path,
    flow_of,
    instance_dict,
    is_class,
    is_function,
    is_module,
    is_name,
    lookup,
    module_of,
    mro_of,
    name_of,
    namespace_of,
    native_attribute,
    qualname_of,
)
from .literals import annotation_text, constant_text
from .location import SourceMap, folder_of
from .nodes import (
    ClassNode,
    FunctionNode,
    Node,
    PropertyNode,
    ReferenceNode,
    VariableNode,
)
from .own_names import OPERATORS, is_own_data, is_set_on_instances, methods_of, own_names
from .signature import signature_of
from .traits import fields_of, fixed_of, traits_of

__all__ = ["Describer", "describe_class", "nested_classes"]

_NO_PATHS: Mapping[int, str] = MappingProxyType({})
# Classes of a package often have the same attributes, and nodes are costly to make.
_variable = functools.lru_cache(maxsize=16384)(VariableNode)
# Names like special methods that hold data or that every class has.
_NO_SPECIALS = frozenset(
    [
        *("__dict__", "__weakref__", "__module__", "__doc__", "__slots__", "__match_args__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
        *("__signature__", "__text_signature__", "__type_params__", "__static_attributes__"),
    ]
)


# Whose descriptors give themselves, or nothing of use, when they are read from a class.
_QUIET = frozenset(["builtins", "functools", "types", "enum", "collections", "_collections"])


def describe_class(cls: type, paths: Mapping[int, str] = _NO_PATHS) -> ClassNode:
    """The node of any class, also of one that is in no tree, named as it names itself.

    Args:
        cls: The class.
        paths: Names for the other classes that the node mentions, by id; without, their own.
    """
    root = sys.modules.get((module_of(cls) or "").partition(".")[0])
    sources = SourceMap(folder_of(root) if is_module(root) else [])
    return Describer(sources, paths, None).lone_class(cls)


def nested_classes(cls: type) -> Iterator[tuple[str, type]]:
    """The public classes that are defined in a class's body, with their names there."""
    for name, value in namespace_of(cls).items():
        if is_class(value) and name[:1] != "_" and is_name(name) and _is_nested(value, cls, name):
            yield name, value


def _is_nested(value: type, cls: type, name: str) -> bool:
    # By name and module: an attribute that holds some class is not defined there.
    expected = f"{qualname_of(cls)}.{name}"
    return qualname_of(value) == expected and module_of(value) == module_of(cls)


class Describer:
    """Makes nodes.

    Args:
        sources: Finds where things are defined.
        paths: Paths of the classes and functions of the tree, by id.
        is_hidden: Whether a member `(module, qualname, value)` is left out; None for never.
    """

    def __init__(
        self,
        sources: SourceMap,
        paths: Mapping[int, str],
        is_hidden: Callable[[str, str, object], bool] | None,
    ) -> None:
        self.sources = sources
        self._paths = paths
        self._is_hidden = is_hidden
        # Classes outside the tree, by id, and their paths.
        self._foreign: dict[int, tuple[type, str]] = {}
        # Nodes of classes outside the tree, which many modules may inherit from.
        self._lone: dict[int, ClassNode] = {}

    def path_of(self, cls: type) -> str:
        """The class's path in the tree, else as it names itself."""
        path = self._paths.get(id(cls))
        if path is None:
            if id(cls) not in self._foreign:
                self._foreign[id(cls)] = (cls, class_path(cls))
            path = self._foreign[id(cls)][1]
        return path

    def variable(self, name: str, value: object) -> VariableNode:
        """The node of a module variable or a plain class attribute."""
        text = constant_text(value)
        doc = None
        if text is None:
            held = instance_dict(value)
            doc = _text(held.get("__doc__")) if held else None
        return _variable(name, self.path_of(type(value)), text, doc)

    def function(
        self, name: str, value: Any, module: str, qualname: str, binding: str = "function"
    ) -> FunctionNode:
        """The node of a function or method that is found at `module:qualname`."""
        doc = value.__doc__ if type(value) is FunctionType else native_attribute(value, "__doc__")
        file, line = self.sources.of_function(value)
        return FunctionNode(
            name,
            qualname,
            module,
            binding,
            flow_of(value),
            signature_of(value),
            _text(doc),
            file,
            line,
            methods_of(value),
        )

    def lone_class(self, cls: type) -> ClassNode:
        """The node of a class under the name that it gives itself; made once."""
        if id(cls) not in self._lone:
            module, _, qualname = class_path(cls).partition(":")
            self._lone[id(cls)] = self.class_(name_of(cls), cls, module, qualname)
        return self._lone[id(cls)]

    def class_(self, name: str, cls: type, module: str, qualname: str) -> ClassNode:
        """The node of a class that is found at `module:qualname`."""
        mro = mro_of(cls)
        traits = tuple(traits_of(cls))
        members: dict[str, Node] = {}
        specials: list[str] = []
        unset: list[str] = []
        hidden = {id(base): base for base in mro[1:] if self.is_base_hidden(base)}
        for owner in [cls, *hidden.values()]:
            # What comes from a hidden base looks as if it were the class's own.
            self._add_members(owner, module, qualname, traits, members)
            _add_specials(owner, specials, unset)
        file, line = self.sources.of_class(cls)
        return ClassNode(
            name,
            qualname,
            module,
            tuple(dict.fromkeys(map(self.path_of, self._visible_bases(cls)))),
            tuple([self.path_of(base) for base in mro[1:] if id(base) not in hidden]),
            self.path_of(type(cls)),
            traits,
            members,
            tuple(sorted(specials)),
            tuple(sorted(unset)),
            signature_of(cls),
            _text(namespace_of(cls).get("__doc__")),
            file,
            line,
            registered=tuple(registered_with(cls)),
            fixed=fixed_of(cls),
            fields=fields_of(cls),
        )

    def is_base_hidden(self, base: type) -> bool:
        """Whether a class is not to be named, also not as a base."""
        if self._is_hidden is None:
            return False
        module, _, qualname = class_path(base).partition(":")
        return self._is_hidden(module, qualname, base)

    def _visible_bases(self, cls: type) -> Iterator[type]:
        for base in bases_of(cls):
            if self.is_base_hidden(base):
                yield from self._visible_bases(base)
            else:
                yield base

    def _add_members(
        self,
        owner: type,
        module: str,
        qualname: str,
        traits: tuple[str, ...],
        members: dict[str, Node],
    ) -> None:
        """Add what a class's own `__dict__` and annotations hold, unless it is there already.

        Constants of enums, fields and what the class's body defines with `def` come in their
        order. The rest is sorted: packages set attributes in loops over sets, and the order
        must be the same in every process.
        """
        namespace = namespace_of(owner)
        notes = annotations_of(owner)
        constants = namespace.get("_member_map_") if "enum" in traits else None
        if constants:
            path = self.path_of(owner)
            for name, constant in constants.items():
                if name[:1] != "_" and is_name(name):
                    value = constant_text((instance_dict(constant) or {}).get("_value_"))
                    members.setdefault(name, VariableNode(name, path, value))
        for name, asked in own_names(owner):
            members.setdefault(name, PropertyNode(name, settable=True, asked=asked))
        settable = not _is_frozen(namespace)
        fields = set(_fields(namespace, notes))
        for name in notes:
            if name in fields and name not in members:
                # The class may have a default under the name, now or later.
                note = annotation_text(notes[name])
                members[name] = PropertyNode(name, None, note, settable, asked=True)
        body = qualname_of(owner) + "."
        defined: dict[str, Any] = {}
        assigned: dict[str, Any] = {}
        of_classes = any(base is type for base in mro_of(owner))
        for name, value in namespace.items():
            # A property of a metaclass comes before whatever its classes have under the name.
            is_listed = name[:1] != "_" or (of_classes and type(value) is property)
            if not is_listed or name in members or not is_name(name) or name[:2] == "__":
                continue
            if self._is_hidden is None or not self._is_hidden(module, f"{qualname}.{name}", value):
                (defined if _is_defined(value, body + name) else assigned)[name] = value
        first = namespace.get("_fields", ()) if "namedtuple" in traits else ()
        for name in [*filter(assigned.__contains__, first), *sorted(assigned)]:
            defined.setdefault(name, assigned[name])
        for name, value in defined.items():
            members[name] = self._member(
                name, value, owner, module, f"{qualname}.{name}", traits, notes
            )

    def _member(
        self,
        name: str,
        value: Any,
        owner: type,
        module: str,
        qualname: str,
        traits: tuple[str, ...],
        notes: Mapping[str, Any],
    ) -> Node:
        kind = type(value)
        if kind is FunctionType:
            return self.function(name, value, module, qualname, "method")
        if kind is property or issubclass(kind, property):
            return _property(name, value)
        if kind is staticmethod or kind is classmethod:
            if is_set_on_instances(owner, name):
                # Called by its name alone, it would not be the instance's.
                doc = _text(native_attribute(value.__func__, "__doc__"))
                return PropertyNode(name, doc, None, True, asked=True)
            return self.function(name, value.__func__, module, qualname, kind.__name__)
        if kind is MethodDescriptorType:
            return self.function(name, value, module, qualname, "method")
        if kind is ClassMethodDescriptorType:
            return self.function(name, value, module, qualname, "classmethod")
        if kind is functools.cached_property:
            return _property_of(name, value.func, True)
        if kind is functools.partialmethod or kind is functools.singledispatchmethod:
            # Descriptors that make methods; no signature is that of the code that runs.
            doc = _text(native_attribute(value.func, "__doc__"))
            return FunctionNode(name, qualname, module, "method", doc=doc)
        if is_class(value):
            return self._class_member(name, value, owner, module, qualname)
        if is_function(value):
            binds = kind is not MethodType and lookup(kind, "__get__") is not None
            binding = "method" if binds else "staticmethod"
            return self.function(name, value, module, qualname, binding)
        settable = lookup(kind, "__set__") is not None
        if settable or lookup(kind, "__get__") is not None:
            note = annotation_text(notes[name]) if name in notes else None
            doc = _text(native_attribute(value, "__doc__"))
            asked = module_of(kind) not in _QUIET and "namedtuple" not in traits
            return PropertyNode(name, doc, note, settable and "namedtuple" not in traits, asked)
        return self.variable(name, value)

    def _class_member(
        self, name: str, value: type, owner: type, module: str, qualname: str
    ) -> Node:
        path = self._paths.get(id(value))
        if path is not None and path != f"{module}:{qualname}":
            return ReferenceNode(name, path)
        if _is_nested(value, owner, name):
            return self.class_(name, value, module, qualname)
        return self.variable(name, value)


def _property(name: str, value: Any) -> PropertyNode:
    doc = _text(native_attribute(value, "__doc__"))
    getter = value.fget
    found = _property_of(name, getter, value.fset is not None)
    return found if doc is None or doc == found.doc else dataclasses.replace(found, doc=doc)


def _property_of(name: str, getter: Any, settable: bool) -> PropertyNode:
    if type(getter) is not FunctionType:
        return PropertyNode(name, None, None, settable)
    notes = annotations_of(getter)
    type_ = annotation_text(notes["return"]) if "return" in notes else None
    return PropertyNode(name, _text(getter.__doc__), type_, settable)


def _is_defined(value: Any, qualname: str) -> bool:
    """Whether a function or property is the one that the class's body defines by the name."""
    kind = type(value)
    if kind is property:
        value = value.fget
    elif kind is staticmethod or kind is classmethod:
        value = value.__func__
    return type(value) is FunctionType and value.__qualname__ == qualname


def _fields(namespace: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[str]:
    """Names of instance data: annotated without a value, or fields of a dataclass."""
    declared = namespace.get("__dataclass_fields__", ())
    for name, note in notes.items():
        if name[:1] == "_" or not is_name(name) or _is_class_variable(note):
            continue
        if name not in namespace or (name in declared and not _is_descriptor(namespace[name])):
            yield name


def _is_class_variable(note: object) -> bool:
    if type(note) is str:
        return note.removeprefix("typing.").startswith(("ClassVar", "InitVar"))
    return note is typing.ClassVar or typing.get_origin(note) is typing.ClassVar


def _is_descriptor(value: object) -> bool:
    return lookup(type(value), "__get__") is not None


def _is_frozen(namespace: Mapping[str, Any]) -> bool:
    params = namespace.get("__dataclass_params__")
    return params is not None and native_attribute(params, "frozen") is True


def _add_specials(cls: type, specials: list[str], unset: list[str]) -> None:
    for name, value in namespace_of(cls).items():
        if name[:2] != "__" or name[-2:] != "__" or name in _NO_SPECIALS or not is_name(name):
            continue
        if name in specials or name in unset:
            continue
        if (is_own_data(value) or is_class(value)) and name not in OPERATORS:
            # A slot or a property that an operator uses is a special method: `__call__`.
            continue
        if value is None:
            unset.append(name)
        elif callable(value) or _is_descriptor(value):
            specials.append(name)


def _text(value: object) -> str | None:
    return value if type(value) is str else None
