"""Whose names, classes and modules are served, which of them are hidden, and saying so.

What `policy` decides by. A name that is hidden reads like one that does not exist: what is
suggested in its place is what a client may know of.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, cast

from ..codec.names import library_module_name
from ..errors import NotExposed
from ..shallow.metaclass import ShallowClass
from ..tree.introspection import (
    instance_dict,
    is_class,
    is_function,
    is_module,
    module_dict,
    module_of,
    mro_of,
    namespace_of,
    qualname_of,
)
from ..tree.nearest import nearest
from .definitions import is_defined
from .reach import name_refusal
from .wording import label, no_attribute

if TYPE_CHECKING:
    from ..tree.inventory import Inventory

__all__ = ["Scope", "is_inside", "meant"]


class Scope:
    """What one server serves.

    Args:
        inventory: What is served.
        public_only: Refuse names that start with one underscore.

    Attributes:
        named: Everything that has a path: the frozen table, and unlisted names once found.
    """

    def __init__(self, inventory: Inventory, *, public_only: bool) -> None:
        self.named: dict[str, object] = dict(inventory.objects)
        self._inventory = inventory
        self._public_only = public_only
        self._packages: tuple[str, ...] = tuple(inventory.index["packages"])

    def _no_module(self, path: str, module: str) -> NoReturn:
        """Say what is wrong with a path whose module is not served."""
        reason = self._inventory.failures.get(module)
        if reason is not None:
            raise ImportError(
                f"{module!r} is not served: it failed to import on the server: {reason}",
                name=module,
            )
        package = module.partition(".")[0]
        if not any(is_inside(served, package) for served in self._packages):
            raise NotExposed(
                f"{path!r} is not served: this server serves {', '.join(self._packages)}."
                " Objects of other packages can be used, but not made or looked up by name"
            )
        known = [p for p in list(self.named) if p.startswith(package + ".") and ":" not in p]
        raise ModuleNotFoundError(
            f"served package {package!r} has no module {module!r}"
            + meant(f"{package}.", module.removeprefix(package + "."), known),
            name=module,
        )

    def is_served_class(self, cls: type) -> bool:
        """Whether a class is in the tree, defined in what is served, or derived from such a one.

        Served code makes classes in functions, and in the name of its caller (`namedtuple`).
        """
        if self._inventory.path_of(cls) is not None or is_defined(cls):
            return True
        if issubclass(type(cls), ShallowClass):
            # A client's, which calls itself as it likes.
            return False
        home = module_of(cls) or ""
        if any(is_inside(home, package) for package in self._packages):
            return not self._inventory.is_hidden(home, qualname_of(cls))
        if home and home not in sys.modules:
            # Named after a module that only the client has, so it was made for that.
            return True
        # Bases and metaclasses say whose a class is that was made elsewhere.
        return any(map(self._is_of_package, (*mro_of(cls)[1:], *mro_of(type(cls)))))

    def _is_of_package(self, cls: type) -> bool:
        """Whether a class is served itself, whatever it derives from."""
        home = module_of(cls) or ""
        return self._inventory.path_of(cls) is not None or (
            any(is_inside(home, package) for package in self._packages)
            and not self._inventory.is_hidden(home, qualname_of(cls))
        )

    def _is_hidden_member(self, bases: Iterable[type], name: str) -> bool:
        """Whether one of these classes hides a name of its own and its subclasses' instances.

        Objects of a class that is hidden as a whole are there because served code handed them
        out: they give what they have.
        """
        is_hidden = self._inventory.is_hidden
        for base in bases:
            home, qualname = module_of(base) or "", qualname_of(base)
            if home not in self.named or is_hidden(home, qualname):
                hidden = self._inventory.is_hidden_object(namespace_of(base).get(name))
            else:
                hidden = is_hidden(home, f"{qualname}.{name}")
            if hidden:
                return True
        return False

    def _module_path(self, module: ModuleType) -> str:
        """The path of a served module."""
        path = self._inventory.path_of(module)
        if path is None:
            raise NotExposed(f"{label(module)} is not served")
        return path

    def _is_open_module(self, value: ModuleType) -> bool:
        """Whether a module is served, or travels by name as the client's own."""
        return self._inventory.path_of(value) is not None or library_module_name(value) is not None

    def _no_attribute(self, target: object, name: str) -> AttributeError:
        """What a name that does not exist raises, and one that is hidden."""
        if name.startswith("__"):
            return no_attribute(target, name)
        if is_module(target):
            path, held = self._inventory.path_of(target) or "", module_dict(target)
            return no_attribute(target, name, list(held), lambda near: self._shows(path, near))
        bases = mro_of(target if is_class(target) else type(target))
        names = dict.fromkeys(instance_dict(target) or ())
        for base in bases:
            names.update(dict.fromkeys(namespace_of(base)))

        def is_shown(near: str) -> bool:
            refusal = name_refusal(near, frozenset(), public_only=self._public_only)
            return refusal is None and not self._is_hidden_member(bases, near)

        return no_attribute(target, name, names, is_shown)

    def _shows(self, path: str, name: str) -> bool:
        """Whether a name that a module holds may be mentioned: what is listed, and data."""
        value = module_dict(cast("ModuleType", self.named[path])).get(name)
        return f"{path}:{name}" in self.named or not (
            name.startswith("_")
            or is_class(value)
            or is_function(value)
            or is_module(value)
            or self._inventory.is_hidden(path, name)
            or self._inventory.is_hidden_object(value)
        )


def is_inside(module: str, package: str) -> bool:
    """Whether a module is a package or one of its submodules, at any depth."""
    return module == package or module.startswith(package + ".")


def meant(prefix: str, rest: str, known: Iterable[str]) -> str:
    """The end of a message about a path, if one of the known paths is near."""
    # Without the part that all have in common, which would make all of them look alike.
    near = nearest(rest, [path.removeprefix(prefix) for path in known])
    return f". Did you mean {prefix + near!r}?" if near else ""
