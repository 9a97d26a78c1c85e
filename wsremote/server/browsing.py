"""What a client may ask of a served module beside its attributes (`Op.BROWSE`).

The names that it has, a submodule that nobody has imported yet, the source of its package,
and the files that are in it. All of that is of served packages only, and what is hidden is
hidden here too: a module that hides one of its names does not show its source.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import tokenize
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import LimitExceeded, NotExposed, RemoteProtocolError
from ..tree.introspection import is_module, is_name, module_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from ..tree.inventory import Inventory
    from .policy import Policy

__all__ = ["Browsing"]

_CODE: Final = (".py", ".pyc", ".pyo", ".pyd", ".so", ".pth")
"""Ends of file names that are code, which is shown as source or not at all."""

_SEPARATORS: Final = frozenset("/\\\0:")

_LARGEST: Final = 1024 * 1024 * 1024
"""Bytes of a file that is read at once."""


class Browsing:
    """Answers such questions. One for a server; any thread may ask.

    Args:
        policy: What clients reach.
        inventory: What is served.
        no_source: Show no source text.
    """

    def __init__(self, policy: Policy, inventory: Inventory, *, no_source: bool) -> None:
        self._policy = policy
        self._inventory = inventory
        self._no_source = no_source
        # The module of each source file of the tree, by the file's name there.
        self._files: dict[str, str] | None = None

    def browse(self, module: object, what: str, args: tuple[Any, ...]) -> Any:
        """The answer.

        Args:
            module: A served module.
            what: "names", "submodule", "source", "list", "read" or "metadata".
            args: Text, as each of them says.

        Raises:
            NotExposed: It is not served.
            ImportError: The submodule does not exist, or its import fails.
            OSError: There is no such source or file.
            RemoteProtocolError: The question makes no sense.
        """
        path = self._inventory.path_of(module) if is_module(module) else None
        if path is None or not is_module(module):
            raise NotExposed("only modules that are served can be asked for what they hold")
        if not all(type(arg) is str for arg in args):
            raise RemoteProtocolError("what is asked of a module is said in text")
        if what == "names" and not args:
            return list(self._names(module))
        if what == "submodule" and len(args) == 1:
            return self._import(path, module, args[0])
        if what == "source" and len(args) == 1:
            return self._source(args[0])
        if what == "metadata" and not args:
            return self._metadata(path)
        if what == "list":
            return self._list(path, module, args)
        if what == "read" and args:
            return self._read(path, module, args)
        raise RemoteProtocolError(f"nobody can ask a module for {what!r} of {len(args)} parts")

    # ---- names -----------------------------------------------------------------------

    def _names(self, module: ModuleType) -> Iterator[str]:
        """The names that the module holds now and that the policy gives."""
        for name in list(module_dict(module)):
            if type(name) is str and is_name(name):
                try:
                    self._policy.get(module, name)
                except (NotExposed, AttributeError):
                    continue
                yield name

    def _import(self, path: str, module: ModuleType, name: str) -> list[Any]:
        """Import a submodule, as the server did at its start with all that it could list.

        Packages may have importers of their own, whose modules nobody can list.

        Returns:
            Its path, whether it is a package, and its documentation.
        """
        full = f"{path}.{name}"
        found = self._policy.named.get(full)
        if found is None:
            found = self._policy.named[full] = self._imported(full, path, module, name)
        held = module_dict(cast("ModuleType", found))
        doc = held.get("__doc__")
        text = doc if type(doc) is str else None
        return [self._inventory.path_of(found) or full, "__path__" in held, text]

    def _imported(self, full: str, path: str, module: ModuleType, name: str) -> ModuleType:
        """A submodule that nobody has asked for before."""
        if not is_name(name) or "__path__" not in module_dict(module):
            raise ModuleNotFoundError(f"{path!r} has no module {name!r}", name=full)
        reason = self._inventory.failures.get(full)
        if reason is not None:
            raise ImportError(f"{full} failed to import on the server: {reason}", name=full)
        if not self._inventory.is_importable(full):
            raise ModuleNotFoundError(f"No module named {full!r}", name=full)
        if sys.modules.get(path) is not module:
            # A client in this very process may have put its own there.
            raise ModuleNotFoundError(f"No module named {full!r}", name=full)
        found = importlib.import_module(full)
        own = module_dict(found).get("__name__") if is_module(found) else None
        if str(own).partition(".")[0] != path.partition(".")[0]:
            raise NotExposed(f"{full} is not served, because it is a module of another package")
        self._inventory.add_module(full, found)
        return found

    # ---- source ----------------------------------------------------------------------

    def _source(self, file: str) -> str:
        """The text of a source file, named as the tree names it."""
        if self._no_source:
            raise NotExposed("the source is not served: this server was started with --no-source")
        name = self._module_of(file)
        if name is None:
            raise FileNotFoundError(f"{file!r} is no source file of a module that is served")
        if not self._inventory.is_whole(name):
            raise NotExposed(f"the source of {name} is not served, because it hides some names")
        for folder in self._inventory.folders:
            place = os.path.join(folder, *file.split("/"))
            if os.path.isfile(place):
                with tokenize.open(place) as opened:
                    return opened.read()
        raise FileNotFoundError(f"there is no {file} on the server any more")

    def _module_of(self, file: str) -> str | None:
        """The module of a source file; None if there is none in the tree."""
        if self._files is None:
            tree = self._inventory.tree
            self._files = {node.file: name for name, node in tree.items() if node.file is not None}
        return self._files.get(file)

    # ---- files -----------------------------------------------------------------------

    def _list(self, path: str, module: ModuleType, parts: tuple[str, ...]) -> Any:
        """What is in a folder of a package: `[name, whether it is a folder]` each.

        None if the parts lead to a file, False if they lead nowhere.
        """
        places = [place for place in self._places(path, module, parts) if os.path.exists(place)]
        if not places:
            return False
        if not os.path.isdir(places[0]):
            return None
        found: dict[str, bool] = {}
        for place in filter(os.path.isdir, places):
            for name in os.listdir(place):
                inner = next(self._places(path, module, (*parts, name)), None)
                if inner is not None:
                    found.setdefault(name, os.path.isdir(inner))
        return [[name, is_folder] for name, is_folder in sorted(found.items())]

    def _read(self, path: str, module: ModuleType, parts: tuple[str, ...]) -> bytes:
        """The content of a file of a package."""
        for place in self._places(path, module, parts):
            if os.path.isfile(place):
                if place.endswith(".py"):
                    return self._source(_in_tree(path, parts)).encode()
                size = os.path.getsize(place)
                if size > _LARGEST:
                    raise LimitExceeded(
                        f"{'/'.join(parts)} of {path} has {size} bytes, and at most {_LARGEST} are"
                        " read: let a function of the server read what you need of it"
                    )
                with open(place, "rb") as opened:
                    return opened.read()
        raise FileNotFoundError(f"package {path!r} has no file {'/'.join(parts)!r}")

    def _places(self, path: str, module: ModuleType, parts: tuple[str, ...]) -> Iterator[str]:
        """Where a file of a package may be: inside its folders, links followed."""
        folders = module_dict(module).get("__path__")
        if folders is None:
            raise NotADirectoryError(f"{path!r} is a module, and only packages hold files")
        if not self._is_shown(path, parts, True):
            return
        for folder in folders:
            root = os.path.realpath(folder)
            place = os.path.realpath(os.path.join(root, *parts))
            if place == root or place.startswith(os.path.join(root, "")):
                if self._is_shown(path, parts, os.path.isdir(place)):
                    yield place

    def _is_shown(self, path: str, parts: tuple[str, ...], is_folder: bool) -> bool:
        """Whether a file or folder of a package may be known: no code but what `_source` shows."""
        inner = path
        for part in parts:
            if part[:1] in ("", ".") or part == "__pycache__" or set(part) & _SEPARATORS:
                return False
            inner = f"{inner}.{part.partition('.')[0]}"
            if self._inventory.is_hidden(inner):
                return False
        if is_folder or not parts or not parts[-1].endswith(_CODE):
            return True
        name = self._module_of(_in_tree(path, parts))
        return name is not None and not self._no_source and self._inventory.is_whole(name)

    def _metadata(self, path: str) -> dict[str, str]:
        """The metadata texts of the distribution that a top-level package is from."""
        found = importlib.metadata.packages_distributions().get(path.partition(".")[0], [])
        if not found:
            raise FileNotFoundError(f"{path} is of no installed distribution")
        held = importlib.metadata.distribution(found[0])
        texts = {name: held.read_text(name) for name in ("METADATA", "entry_points.txt")}
        return {name: text for name, text in texts.items() if text is not None}


def _in_tree(path: str, parts: tuple[str, ...]) -> str:
    """The name that the tree has for a source file of a package."""
    return "/".join([*path.split("."), *parts])
