"""Importing served packages by their own names: a finder in `sys.meta_path`."""

from __future__ import annotations

import logging
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, Any

from ..codec.installed import installed_packages
from ..codec.registry import ALWAYS_VALUES, DATA_PACKAGES
from ..errors import ShadowedPackage
from .modules import ShallowModule, origin_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import ModuleType

    from .package import ShallowPackage

__all__ = ["Finder"]

logger = logging.getLogger("wsremote.client")


class Finder(MetaPathFinder):
    """Finds the modules of one session. As a context manager, uninstalls itself.

    Args:
        shallow: The shallow package of the session.
    """

    def __init__(self, shallow: ShallowPackage) -> None:
        self._shallow = shallow
        # Top-level packages that it finds.
        self._roots: set[str] = set()
        # Modules of local packages that are hidden while this is installed.
        self._hidden: dict[str, ModuleType] = {}

    @property
    def installed(self) -> bool:
        """Whether `import` asks this finder."""
        return self in sys.meta_path

    def install(self, *, override: Collection[str] = ()) -> list[str]:
        """Let `import` find the served packages.

        Data packages (numpy, pandas, pyarrow) that are installed here stay as they are, unless
        they are overridden: their objects travel as values.

        Args:
            override: Packages that are installed here too and are to be hidden by the
                served ones until `uninstall`.

        Returns:
            The packages that were an older session's and are now this one's.

        Raises:
            ShadowedPackage: Packages of the same names are installed here, and not overridden,
                or cannot be. The message names all of them.
        """
        roots = set(self._shallow.roots)
        local = {root: where for root in sorted(roots) if (where := _local_place(root))}
        kept = {root for root in local if root in DATA_PACKAGES and root not in override}
        _refuse(
            [(root, where) for root, where in local.items() if root not in {*override, *kept}],
            [root for root in override if root in ALWAYS_VALUES and root in installed_packages()],
            self._shallow.caller.url,
        )
        if kept:
            logger.warning(
                "= %s: installed here as well, and import finds those that are installed here;"
                " the served ones are in session.modules",
                ", ".join(sorted(kept)),
            )
        self._roots = roots - kept
        rebound: set[str] = set()
        for name, module in list(sys.modules.items()):
            root = name.partition(".")[0]
            if root not in self._roots or self._is_ours(module):
                continue
            del sys.modules[name]
            if isinstance(module, ShallowModule):
                rebound.add(root)
            else:
                self._hidden[name] = module
        if rebound:
            logger.info(
                "= %s of an older session now come from %s; modules imported before stay with "
                "the older session",
                ", ".join(sorted(rebound)),
                self._shallow.caller.url,
            )
        if not self.installed:
            sys.meta_path.insert(0, self)
        self._shallow.publish = self._publish
        return sorted(rebound)

    def _publish(self, name: str, module: ShallowModule) -> None:
        """A module has been made: `sys.modules` has it, as if its package had imported it.

        Classes say which module they are from, and Python looks there: `pickle`, `typing`,
        `dataclasses`, `inspect`.
        """
        if name.partition(".")[0] in self._roots:
            parent = name.rpartition(".")[0]
            if parent and parent not in sys.modules:
                self._shallow.submodule(parent)
            sys.modules.setdefault(name, module)

    def uninstall(self) -> None:
        """Take the served packages back out of `import`, and show what was hidden."""
        self._shallow.publish = None
        if self.installed:
            sys.meta_path.remove(self)
        for name, module in list(sys.modules.items()):
            if self._is_ours(module):
                del sys.modules[name]
        for name, module in self._hidden.items():
            sys.modules.setdefault(name, module)
        self._hidden.clear()

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def _is_ours(self, module: object) -> bool:
        return isinstance(module, ShallowModule) and type(module)._wsremote_home is self._shallow

    # ---- what the import system calls ------------------------------------------------

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a served module, or of one that failed to import on the server.

        Raises:
            ImportError: The server could not list the module before, and cannot import it now.
        """
        shallow = self._shallow
        if fullname.partition(".")[0] not in self._roots:
            return None
        if fullname in shallow.tree.failures:
            return ModuleSpec(fullname, shallow.loader, origin=origin_of(shallow, fullname))
        found = shallow.imported(fullname)
        if found is None:
            return None
        own = type(found)._wsremote_spec
        if own.name == fullname:
            return own
        spec = ModuleSpec(fullname, shallow.loader, origin=own.origin)
        spec.submodule_search_locations = own.submodule_search_locations
        return spec

    def find_distributions(self, context: Any = None) -> Iterator[Distribution]:
        """What `importlib.metadata` has of a served package: its version, its entry points."""
        wanted = _normalized(getattr(context, "name", None) or "")
        for name in self._shallow.tree.packages:
            root = name.partition(".")[0]
            if _normalized(root) == wanted and root in self._roots:
                try:
                    yield _ServedDistribution(self._shallow.caller.browse(name, "metadata"))
                except OSError as error:
                    logger.debug("! no metadata of %s: %s", name, error)


class _ServedDistribution(Distribution):
    """The metadata of a package that is installed on the server."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def read_text(self, filename: Any) -> str | None:
        return self._texts.get(str(filename))

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path} is on the server; importlib.resources reads it")


def _normalized(name: str) -> str:
    """The name of a distribution, as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _local_place(root: str) -> str:
    """Where a package of this name is installed here; "" if it is not."""
    present = sys.modules.get(root)
    if present is not None:
        place = getattr(present, "__file__", None) or "built in"
        return "" if isinstance(present, ShallowModule) else place
    spec = _local_spec(root)
    return "" if spec is None else spec.origin or "a namespace package"


def _refuse(conflicts: list[tuple[str, str]], fixed: list[str], url: str) -> None:
    """Raise if there are packages that are installed here, and are not or cannot be hidden."""
    texts = []
    if len(conflicts) == 1:
        (root, where) = conflicts[0]
        texts.append(
            f"package {root!r} is served by {url} and installed here as well ({where}). To use the"
            f" served one by its own name, hide the local one: install(override=[{root!r}]). To"
            f" use both, take the served one from session.modules.{root}"
        )
    elif conflicts:
        names = [root for root, _ in conflicts]
        places = ", ".join(f"{root!r} ({where})" for root, where in conflicts)
        texts.append(
            f"packages are served by {url} and installed here as well: {places}. To use the served"
            f" ones by their own names, hide the local ones: install(override={names}). To use"
            f" both, take the served ones from session.modules"
        )
    texts += [
        f"package {root!r} cannot be hidden: its arrays come here as values, and are built with"
        f" the {root} that is installed here. Take the served one from session.modules.{root}"
        for root in fixed
    ]
    if texts:
        raise ShadowedPackage("; ".join(texts), name=(*(r for r, _ in conflicts), *fixed)[0])


def _local_spec(root: str) -> ModuleSpec | None:
    """What the other finders have under a name."""
    for finder in sys.meta_path:
        if isinstance(finder, Finder):
            continue
        find: Any = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(root, None)
        if spec is not None:
            return spec
    return None
