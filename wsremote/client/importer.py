"""Importing served packages by their own names: a finder in `sys.meta_path`."""

from __future__ import annotations

import logging
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from ..codec.installed import installed_packages
from ..codec.registry import ALWAYS_VALUES
from ..errors import ShadowedPackage
from .modules import ShallowModule, origin_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import ModuleType

    from .package import ShallowPackage

__all__ = ["Finder"]

logger = logging.getLogger("wsremote.client")


class Finder(MetaPathFinder, Loader):
    """Finds and loads the modules of one session. As a context manager, uninstalls itself.

    Args:
        shallow: The shallow package of the session.
    """

    def __init__(self, shallow: ShallowPackage) -> None:
        self._shallow = shallow
        # Modules of local packages that are hidden while this is installed.
        self._hidden: dict[str, ModuleType] = {}

    @property
    def installed(self) -> bool:
        """Whether `import` asks this finder."""
        return self in sys.meta_path

    def install(self, *, override: Collection[str] = ()) -> list[str]:
        """Let `import` find the served packages.

        Args:
            override: Packages that are installed here too and are to be hidden by the
                served ones until `uninstall`.

        Returns:
            The packages that were an older session's and are now this one's.

        Raises:
            ShadowedPackage: A package of the same name is installed here, and not overridden,
                or cannot be.
        """
        roots = self._shallow.roots
        for root in sorted(roots):
            if root not in override:
                self._refuse_local(root)
            elif root in ALWAYS_VALUES and root in installed_packages():
                raise ShadowedPackage(
                    f"package {root!r} cannot be hidden: its arrays come here as values, and are "
                    f"built with the {root} that is installed here. Take the served one from "
                    f"session.modules.{root}",
                    name=root,
                )
        rebound: set[str] = set()
        for name, module in list(sys.modules.items()):
            root = name.partition(".")[0]
            if root not in roots or self._is_ours(module):
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
        return sorted(rebound)

    def _refuse_local(self, root: str) -> None:
        """Raise if a package of this name is installed here."""
        present = sys.modules.get(root)
        if present is not None:
            where = getattr(present, "__file__", None) or "built in"
            local = not isinstance(present, ShallowModule)
        else:
            spec = _local_spec(root)
            local = spec is not None
            where = spec.origin if spec is not None and spec.origin else "a namespace package"
        if local:
            raise ShadowedPackage(
                f"package {root!r} is served by {self._shallow.caller.url} and installed here "
                f"as well ({where}). To use the served one by its own name, hide the local one: "
                f"install(override=[{root!r}]). To use both, take the served one from "
                f"session.modules.{root}",
                name=root,
            )

    def uninstall(self) -> None:
        """Take the served packages back out of `import`, and show what was hidden."""
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
        """The spec of a served module, or of one that failed to import on the server."""
        shallow = self._shallow
        if fullname.partition(".")[0] not in shallow.roots:
            return None
        if fullname in shallow.tree.failures:
            return ModuleSpec(fullname, self, origin=origin_of(shallow, fullname))
        found = shallow.submodule(fullname)
        if found is None:
            return None
        spec = ModuleSpec(fullname, self, origin=origin_of(shallow, fullname))
        spec.submodule_search_locations = found.__dict__.get("__path__")
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The shallow module, which is the same one for `import` and for `session.modules`."""
        reason = self._shallow.tree.failures.get(spec.name)
        if reason is not None:
            raise ImportError(
                f"{spec.name} could not be imported on the server "
                f"{self._shallow.caller.url}: {reason}",
                name=spec.name,
            )
        return self._shallow.module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: a shallow module is complete when it is made."""


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
