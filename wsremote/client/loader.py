"""The loader of served modules: gives their source and the files of their packages."""

from __future__ import annotations

import io
from importlib.abc import Loader
from importlib.resources.abc import Traversable, TraversableResources
from typing import TYPE_CHECKING, Any

from ..tree.introspection import module_dict
from .modules import ShallowModule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from .package import ShallowPackage

__all__ = ["ServedLoader"]


class ServedLoader(Loader):
    """What `__loader__` of each module of a session is.

    Args:
        shallow: The shallow package of the session.
    """

    def __init__(self, shallow: ShallowPackage) -> None:
        self._shallow = shallow

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The shallow module, which is the same one for `import` and for `session.modules`.

        Raises:
            ImportError: Its import failed on the server.
        """
        shallow = self._shallow
        reason = shallow.tree.failures.get(spec.name)
        if reason is not None:
            raise ImportError(
                f"{spec.name} could not be imported on the server {shallow.caller.url}: {reason}",
                name=spec.name,
            )
        return shallow.module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: a shallow module is complete when it is made.

        So `importlib.reload` gives the same module again and runs nothing on the server, whose
        module other sessions use as well.
        """
        if isinstance(module, ShallowModule):
            # It may have been imported by another of its names.
            module.__spec__ = type(module)._wsremote_spec

    def is_package(self, fullname: str) -> bool:
        """Whether a module has submodules."""
        return "__path__" in module_dict(self._shallow.module(fullname))

    def get_source(self, fullname: str) -> str | None:
        """The source of a module, from the server; None for one that has none.

        Raises:
            ImportError: It cannot be had.
        """
        node = self._shallow.tree[fullname] if fullname in self._shallow.tree else None
        if node is None or node.file is None:
            return None
        return self._shallow.sources.text(node.file)

    def get_data(self, path: str) -> bytes:
        """The content of a file inside a served package (`pkgutil.get_data`).

        Raises:
            OSError: There is none.
        """
        inner = self._shallow.sources.inside(path.replace("\\", "/"))
        parts = (inner or "").split("/")
        package = parts[0]
        if inner is None or len(parts) < 2 or package not in self._shallow.tree:
            raise FileNotFoundError(f"{path} is no file of a package that is served")
        data: bytes = self._shallow.caller.browse(package, "read", *parts[1:])
        return data

    def get_resource_reader(self, fullname: str) -> TraversableResources | None:
        """What `importlib.resources` reads a package's files with."""
        return _Resources(ServedPath(self._shallow, fullname, ()))


class _Resources(TraversableResources):
    """The files of one package."""

    def __init__(self, root: ServedPath) -> None:
        self._root = root

    def files(self) -> Traversable:
        return self._root


class ServedPath(Traversable):
    """A file or folder inside a served package. One message for each look at it.

    Args:
        shallow: The shallow package of the session.
        package: The package's name.
        parts: The way from its folder.
    """

    def __init__(self, shallow: ShallowPackage, package: str, parts: tuple[str, ...]) -> None:
        self._shallow = shallow
        self._package = package
        self._parts = parts

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._parts[-1] if self._parts else self._package.rpartition(".")[2]

    def _listed(self) -> Any:
        """`[name, is folder]` each; None for a file, False for nothing."""
        return self._shallow.caller.browse(self._package, "list", *self._parts)

    def iterdir(self) -> Iterator[ServedPath]:
        """What is in this folder.

        Raises:
            OSError: It is no folder.
        """
        listed = self._listed()
        if not isinstance(listed, list):
            kind = NotADirectoryError if listed is None else FileNotFoundError
            raise kind(f"{self} is no folder of the server")
        return (self.joinpath(name) for name, _ in listed)

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return isinstance(self._listed(), list)

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._listed() is None

    def exists(self) -> bool:
        """Whether it is there."""
        return self._listed() is not False

    def joinpath(self, *descendants: Any) -> ServedPath:
        """What is below it."""
        parts = [part for name in descendants for part in str(name).split("/") if part != "."]
        return ServedPath(self._shallow, self._package, (*self._parts, *filter(None, parts)))

    def __truediv__(self, child: Any) -> ServedPath:
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        """Its content.

        Raises:
            OSError: It is no file.
        """
        data: bytes = self._shallow.caller.browse(self._package, "read", *self._parts)
        return data

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Its content as text."""
        with self.open("r", encoding=encoding, errors=errors) as opened:
            text: str = opened.read()
        return text

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        """Its content as a file that can be read.

        Raises:
            OSError: It is no file, or `mode` would write.
        """
        if mode not in ("r", "rb", "rt"):
            raise PermissionError(f"{self} can only be read, and not be opened with {mode!r}")
        data = io.BytesIO(self.read_bytes())
        return data if mode == "rb" else io.TextIOWrapper(data, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return type(other) is ServedPath and (
            (other._shallow, other._package, other._parts)
            == (self._shallow, self._package, self._parts)
        )

    def __hash__(self) -> int:
        return hash((self._package, self._parts))

    def __str__(self) -> str:
        return "/".join([f"wsremote:{self._package}", *self._parts])

    def __repr__(self) -> str:
        return f"<{self}>"
