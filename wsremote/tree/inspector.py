"""From the names of packages to what is served of them.

Three steps: import everything (`walk`), settle under which names things are listed and
which of these is the canonical one (`_Listing`), describe each module (`describing`).
"""

from __future__ import annotations
import __future__

import builtins
import gc
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from .describing import Describer, nested_classes
from .documents import document_of
from .introspection import (
    class_path,
    is_class,
    is_function,
    is_module,
    is_name,
    module_dict,
    module_of,
    mro_of,
    name_of,
    native_attribute,
    qualname_of,
)
from .inventory import Inventory
from .location import SourceMap, folder_of
from .nodes import ClassNode, ModuleNode, Node, ReferenceNode, digest_of
from .traits import metaclasses_of
from .visibility import EXCLUDED, Visibility
from .walk import import_packages

__all__ = ["inspect_packages"]

# What Python itself puts into every module.
_MACHINERY = frozenset(
    [
        *("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__path__", "__file__"),
        *("__cached__", "__builtins__", "__annotations__", "__annotate__", "__annotate_func__"),
        *("__all__", "__getattr__", "__dir__", "__warningregistry__", "__debug__"),
        *("__conditional_annotations__", "__annotations_cache__"),
    ]
)
_TYPING = vars(typing)
_MISSING = object()


def inspect_packages(
    names: Sequence[str], *, expose: Sequence[str] = (), hide: Sequence[str] = ()
) -> Inventory:
    """Import packages with all their submodules, and describe what they offer.

    Left out are modules called `__main__`, and packages and modules called `tests`, `test` or
    `conftest` unless an `expose` pattern says that name: they are many and slow to import.

    Args:
        names: Packages or modules, as in an import statement.
        expose: If given, only modules and top-level names that match one of these `fnmatch`
            patterns are served: `pkg.mod`, `pkg.mod:f`.
        hide: What matches one of these is not served, under none of its names.

    Raises:
        ImportError: One of `names` cannot be imported. (A submodule that cannot be is one of
            the inventory's `failures`.)
        TypeError: A module's EXCLUDED list holds something else than names.
    """
    names = list(dict.fromkeys(names))
    visibility = Visibility(expose, hide)
    modules, failures = import_packages(names, visibility.is_walked)
    with _without_collections():
        return _inspect(names, modules, failures, visibility)


def _inspect(
    names: list[str],
    modules: dict[str, ModuleType],
    failures: dict[str, str],
    visibility: Visibility,
) -> Inventory:
    visibility.hide_excluded(modules)
    listing = _Listing(names, modules, visibility)
    is_hidden = visibility.is_member_hidden if visibility.hides else None
    folders = [folder for name in names for folder in folder_of(_top_level(name))]
    describer = Describer(SourceMap(folders), listing.paths, is_hidden)
    documents: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for name in listing.served:
        if listing.canonical(name) == name:
            document = document_of(_describe_module(name, listing, describer))
            digest = digests[name] = digest_of(document)
            documents[digest] = document
    # A second name of a module has the document of the first.
    entries = [[name, digests[listing.canonical(name)]] for name in listing.served]
    index = {"packages": names, "modules": entries, "failures": failures}
    return Inventory(index, documents, listing.objects, listing.paths, visibility, folders)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage collection while many nodes are made: it takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _describe_module(name: str, listing: _Listing, describer: Describer) -> ModuleNode:
    """What the module defines in order, then what it imports sorted.

    Packages import in loops over sets, too: the order must be the same in every process.
    """
    held = module_dict(listing.modules[name])
    doc = held.get("__doc__")
    references: dict[str, Node] = {}
    members: dict[str, Node] = {}
    bases: dict[str, ClassNode] = {}
    for member, value in listing.members[name].items():
        path = listing.paths.get(id(value))
        if path is not None and path != f"{name}:{member}":
            references[member] = ReferenceNode(member, path)
        elif path is not None and is_class(value):
            members[member] = describer.class_(member, value, name, member)
            _add_bases(value, listing.paths, describer, bases)
        elif path is not None:
            members[member] = describer.function(member, value, name, member)
        else:
            members[member] = describer.variable(member, value)
    return ModuleNode(
        name,
        "__path__" in held,
        listing.exports(name),
        members | dict(sorted(references.items())),
        bases,
        doc if type(doc) is str else None,
        describer.sources.of_module(listing.modules[name]),
    )


def _add_bases(
    cls: type, paths: Mapping[int, str], describer: Describer, bases: dict[str, ClassNode]
) -> None:
    """Add the classes that a class inherits from and that are not in the tree."""
    for base in (*mro_of(cls)[1:], *metaclasses_of(cls)):
        if id(base) not in paths and module_of(base) != "builtins":
            if not describer.is_base_hidden(base):
                bases.setdefault(class_path(base), describer.lone_class(base))
    for _, inner in nested_classes(cls):
        _add_bases(inner, paths, describer, bases)


def _top_level(name: str) -> ModuleType:
    return sys.modules[name.partition(".")[0]]


def _exports(held: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The module's `__all__`, if it is what Python asks for."""
    found: object = held.get("__all__")
    if not isinstance(found, list | tuple) or not all(type(name) is str for name in found):
        return None
    return tuple(found)


class _Listing:
    """Which names each module lists, and the one path of each class and function.

    Attributes:
        modules: All modules that were imported, by name.
        served: Names of the modules that are in the tree.
        members: What each module lists, by name, in order of definition.
        objects: The table of `Inventory.objects`.
        paths: Canonical path of each object of the table, by id.
    """

    def __init__(
        self, packages: Sequence[str], modules: Mapping[str, ModuleType], visibility: Visibility
    ) -> None:
        self.modules = modules
        self._visibility = visibility
        self._packages = packages
        # Whether classes and functions of a module are listed where others import them.
        self._own: dict[str, bool] = {}
        # Where classes and functions are found, by id, as module and name.
        self._places: dict[int, list[tuple[str, str]]] = {}
        self._canonical = _canonical_names(modules)
        self.members = {
            name: dict(self._list(name)) if self._canonical[name] == name else {}
            for name in modules
        }
        self.served = self._serve()
        self.objects: dict[str, object] = {}
        self.paths: dict[int, str] = {}
        self._settle_modules()
        self._settle_names()

    def canonical(self, module: str) -> str:
        """The name under which a module is described: the same for all that it has."""
        return self._canonical[module]

    def exports(self, module: str) -> tuple[str, ...] | None:
        """The module's `__all__` without the names that are hidden.

        Sorted: some packages make it of a set, whose order is another one in every process.
        """
        found = _exports(module_dict(self.modules[module]))
        if found is None or not self._visibility.restricts:
            return found and tuple(sorted(found))
        return tuple(sorted(n for n in found if not self._visibility.is_hidden(module, n)))

    def _list(self, module: str) -> Iterator[tuple[str, Any]]:
        """The names that a module lists, with their values."""
        found = self.modules[module]
        held = module_dict(found)
        exports = frozenset(_exports(held) or ())
        for name, value in list(held.items()):
            if name[:1] == "_" and name not in exports and not _is_data_name(name):
                continue
            if self._belongs(module, name, value, name in exports):
                if self._is_visible(module, name, value):
                    yield name, value
        # Packages that load lazily have a `__getattr__` for what they export.
        for name in sorted(exports.difference(held)) if "__getattr__" in held else ():
            try:
                value = getattr(found, name)
            except Exception:  # the package's code; a name that it cannot give is not listed
                continue
            if self._belongs(module, name, value, True) and self._is_visible(module, name, value):
                yield name, value

    def _is_visible(self, module: str, name: str, value: object) -> bool:
        if not is_name(name) or name in EXCLUDED:
            return False
        if not self._visibility.restricts:
            return True
        hidden = self._visibility.is_hidden(module, name)
        return not hidden and not self._visibility.is_hidden_value(name, value)

    def _belongs(self, module: str, name: str, value: object, exported: bool) -> bool:
        """Whether a name is the package's, not just used by it. Notes classes and functions."""
        if type(value) is FunctionType or is_class(value) or is_function(value):
            home = module_of(value)
            if is_class(value) and _is_builtin(value) and module != "builtins":
                # Known by its own name everywhere: an alias (`numpy.error`) is a variable.
                return exported
            if exported or home is None or home == module or self._is_own(home):
                self._places.setdefault(id(value), []).append((module, name))
                return True
            return False
        if exported:
            return True
        if is_module(value):
            own = str(module_dict(value).get("__name__"))
            # A submodule is found through the tree, without a reference in its package.
            return self.modules.get(own) is value and own != f"{module}.{name}"
        if _TYPING.get(name, _MISSING) is value and module != "typing":
            return False
        return type(value) is not __future__._Feature or module == "__future__"

    def _is_own(self, home: str) -> bool:
        if home not in self._own:
            root = home.partition(".")[0]
            # `_sqlite3` is where `sqlite3` keeps what it defines in C.
            self._own[home] = any(
                home == package or home.startswith(package + ".") or root == "_" + package
                for package in self._packages
            )
        return self._own[home]

    def _serve(self) -> list[str]:
        """The modules in the tree: with `expose`, those that have something to show."""
        served = set(self._packages)
        for name in self.modules:
            if self.members[name] or self._visibility.is_exposed(name):
                while name in self.modules:
                    served.add(name)
                    name = name.rpartition(".")[0]
        return [name for name in self.modules if self._canonical[name] in served]

    def _settle_modules(self) -> None:
        for name in self.served:
            module = self.modules[name]
            self.objects[name] = module
            self.paths[id(module)] = self._canonical[name]

    def _settle_names(self) -> None:
        """Give each listed class and function its path: where it is defined, if that is listed."""
        for key, places in self._places.items():
            places = [place for place in places if place[1] in self.members[place[0]]]
            if not places:
                continue
            value = self.members[places[0][0]][places[0][1]]
            self.objects.update((f"{module}:{name}", value) for module, name in places)
            module, name = _canonical(value, places)
            self.paths[key] = f"{module}:{name}"
            if is_class(value):
                self._settle_nested(f"{module}:{name}", value)

    def _settle_nested(self, path: str, cls: type) -> None:
        """Nested classes live in their class, also if a module has another name for them."""
        module, _, qualname = path.partition(":")
        for name, inner in nested_classes(cls):
            if not self._visibility.is_member_hidden(module, f"{qualname}.{name}", inner):
                self.paths[id(inner)] = f"{path}.{name}"
                self.objects[f"{path}.{name}"] = inner
                self._settle_nested(f"{path}.{name}", inner)


def _canonical_names(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """The name of each module by all names that it has: the one it says, else the first."""
    first: dict[int, str] = {}
    for name, module in modules.items():
        if id(module) not in first or module_dict(module).get("__name__") == name:
            first[id(module)] = name
    return {name: first[id(module)] for name, module in modules.items()}


def _is_builtin(cls: type) -> bool:
    """Whether a class is one of Python's own, and does not just say so."""
    return module_of(cls) == "builtins" and vars(builtins).get(name_of(cls)) is cls


def _is_data_name(name: str) -> bool:
    """Whether a name is like `__version__`: not private, and not Python's own."""
    return name[:2] == "__" and name[-2:] == "__" and name not in _MACHINERY


def _canonical(value: object, candidates: list[tuple[str, str]]) -> tuple[str, str]:
    """The place where a value says that it is defined; else the most public one."""
    home = module_of(value)
    qualname = qualname_of(value) if is_class(value) else native_attribute(value, "__qualname__")
    if (home, qualname) in candidates:
        return next(place for place in candidates if place == (home, qualname))

    def rank(place: tuple[str, str]) -> tuple[bool, bool, int]:
        module, _ = place
        return module != home, "._" in module, module.count(".")

    return min(candidates, key=rank)
