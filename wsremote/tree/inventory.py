"""What a server serves, frozen: the documents of the tree and the objects they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from .info import InfoTree

if TYPE_CHECKING:
    from .visibility import Visibility

__all__ = ["Inventory"]


class Inventory:
    """The result of `inspect_packages`.

    Attributes:
        index: Plain data: `packages`, `modules` as `[name, digest]` and `failures`.
        documents: The documents of the modules, by digest.
        objects: Every module by its name, and every function and class that the tree names
            by `module:qualname`, under all the names it has there. Methods are found
            through their class.
        failures: Submodules that could not be imported, with the reason.
        tree: The info tree, as a client has it.
        folders: Those that hold the packages.
    """

    def __init__(
        self,
        index: dict[str, Any],
        documents: Mapping[str, bytes],
        objects: Mapping[str, object],
        paths: Mapping[int, str],
        visibility: Visibility,
        folders: Sequence[str] = (),
    ) -> None:
        self.index = index
        self.documents: Mapping[str, bytes] = MappingProxyType(dict(documents))
        self.objects: Mapping[str, object] = MappingProxyType(dict(objects))
        self.failures: Mapping[str, str] = MappingProxyType(index["failures"])
        self.tree = InfoTree(index, self.documents.__getitem__)
        # Canonical path by id. The ids stay taken, since `objects` holds the objects.
        self._paths = dict(paths)
        # Modules that came later, which keeps their ids taken.
        self._late: dict[str, ModuleType] = {}
        self._visibility = visibility
        self.folders = tuple(folders)

    def path_of(self, value: object) -> str | None:
        """The canonical path of a served module, class or function; None for all else."""
        return self._paths.get(id(value))

    def is_hidden(self, module: str, qualname: str = "") -> bool:
        """Whether a name must not be reached, listed or not; without `qualname`, a module."""
        return self._visibility.is_hidden(module, qualname)

    def is_importable(self, module: str) -> bool:
        """Whether a submodule that was not imported at the start may be imported later."""
        return self._visibility.is_importable(module) and not self._visibility.is_hidden(module)

    def is_whole(self, module: str) -> bool:
        """Whether nothing of a module is hidden, so that its source may be shown."""
        return self._visibility.is_whole(module)

    def add_module(self, name: str, module: ModuleType) -> None:
        """Serve a module that was imported later. It is not in the tree."""
        if self._paths.setdefault(id(module), name) == name:
            self._late[name] = module

    def is_hidden_object(self, value: object) -> bool:
        """Whether a value is hidden, under whatever name it is found."""
        return id(value) not in self._paths and self._visibility.is_hidden_object(value)

    def __repr__(self) -> str:
        packages = ", ".join(self.index["packages"])
        return f"<Inventory of {packages}: {len(self.index['modules'])} modules>"
