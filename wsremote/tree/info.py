"""The info tree: what a server serves, as a client sees it."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import RemoteProtocolError
from .documents import module_from
from .introspection import is_name
from .nearest import nearest
from .nodes import ClassNode, ModuleNode, Node, ReferenceNode, digest_of

__all__ = ["InfoTree", "ModuleView"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_HOPS = 20  # of references; a longer chain is a circle


class InfoTree(Mapping[str, ModuleNode]):
    """Packages, their modules, and what these hold. Modules are loaded when they are asked for.

    `tree["pkg.mod"]` is a module's node, `tree.find("pkg.mod:C.m")` any other node, and
    `tree.pkg.mod.C` finds them the way Python names them, for the Tab key.

    Args:
        index: `packages`, `modules` as `[name, digest]`, and `failures` with their reasons.
        load: Gives the document of a digest.

    Raises:
        RemoteProtocolError: The index is malformed.
    """

    def __init__(self, index: Mapping[str, Any], load: Callable[[str], bytes]) -> None:
        packages, modules, failures = _checked(index)
        # Names of the packages and modules that are served, as they were asked for.
        self.packages = packages
        # Submodules that could not be imported on the server, with the reason.
        self.failures = failures
        # Digest of each module's document, by name.
        self._digests = modules
        self._load = load
        # Nodes that were asked for, by module name.
        self._nodes: dict[str, ModuleNode] = {}
        self._index = index

    @functools.cached_property
    def digest(self) -> str:
        """Names the whole tree: equal digests, equal trees. SHA-256 in hexadecimal."""
        return hashlib.sha256(_canonical(self._index)).hexdigest()

    @functools.cached_property
    def _children(self) -> dict[str, list[str]]:
        """Names of submodules by the name of the module above them."""
        children: dict[str, list[str]] = {}
        for name in self._digests:
            children.setdefault(name.rpartition(".")[0], []).append(name)
        return children

    def __getitem__(self, module: str) -> ModuleNode:
        """The node of a module.

        Raises:
            KeyError: There is no such module; the message names a similar one.
            RemoteProtocolError: Its document is malformed, or another one.
        """
        if module not in self._nodes:
            node = module_from(self._document(module))
            # A second name of a module has the document of the first.
            if self._digests.get(node.name) != self._digests[module]:
                raise RemoteProtocolError(f"the document of {module!r} describes {node.name!r}")
            self._nodes[module] = node
        return self._nodes[module]

    def _document(self, module: str) -> bytes:
        if module not in self._digests:
            hint = _hint(module, self._digests)
            reason = self.failures.get(module)
            hint = f": its import failed on the server with {reason}" if reason else hint
            raise KeyError(f"no module {module} in the tree{hint}")
        digest = self._digests[module]
        document = self._load(digest)
        if digest_of(document) != digest:
            raise RemoteProtocolError(
                f"the document of {module!r} is not the one that its digest names: "
                "clear the cache if it comes from there"
            )
        return document

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, module: object) -> bool:
        return module in self._digests

    def find(self, path: str) -> ModuleNode | Node:
        """The node of `pkg.mod`, `pkg.mod:name` or `pkg.mod:Class.member`.

        References are followed to what they stand for.

        Raises:
            KeyError: There is nothing of that name; the message names something similar.
            RemoteProtocolError: References go in a circle.
        """
        for _ in range(_MAX_HOPS):
            module, colon, qualname = path.partition(":")
            node: ModuleNode | Node = self[module]
            rest = qualname.split(".") if colon else []
            while rest and not isinstance(node, ReferenceNode):
                node = _member(node, rest.pop(0), path)
            if not isinstance(node, ReferenceNode):
                return node
            path = ".".join([node.target, *rest]) if ":" in node.target else node.target
            if rest and ":" not in path:
                path = f"{path}:{'.'.join(rest)}"
        raise RemoteProtocolError(f"the references of {path} go in a circle")

    def children(self, module: str) -> list[str]:
        """Names of the direct submodules of a package, as `pkg.mod`."""
        return list(self._children.get(module, ()))

    def to_json(self) -> dict[str, Any]:
        """The whole tree as plain data, with the document of each module by its name."""
        return {
            "packages": list(self.packages),
            "modules": {name: json.loads(self._document(name)) for name in self},
            "failures": dict(self.failures),
        }

    def __getattr__(self, name: str) -> ModuleView:
        if name in self._roots():
            return ModuleView(self, name)
        raise AttributeError(f"no package {name} in the tree{_hint(name, self._roots())}")

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._roots()]

    def _roots(self) -> list[str]:
        # Asked for during construction and by copy, when nothing is there yet.
        digests = self.__dict__.get("_digests", {})
        return list(dict.fromkeys(name.partition(".")[0] for name in digests))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InfoTree) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<InfoTree of {', '.join(self.packages)}: {len(self)} modules>"

    def __str__(self) -> str:
        """A drawing: packages with their modules, what failed, and nothing loaded for it."""
        lines: list[str] = []
        for root in self._roots():
            lines += [_count(root, len(self._below(root))), *self._draw(root, "")]
        if self.failures:
            lines += ["", "not served:"]
            lines += [f"    {name}: {reason}" for name, reason in self.failures.items()]
        return "\n".join(lines)

    def _draw(self, module: str, indent: str) -> Iterator[str]:
        children = self.children(module)
        for child in children:
            last = child is children[-1]
            name = child.rpartition(".")[2]
            yield f"{indent}{'└── ' if last else '├── '}{_count(name, len(self._below(child)))}"
            yield from self._draw(child, indent + ("    " if last else "│   "))

    def _below(self, module: str) -> list[str]:
        return [name for name in self._digests if name.startswith(module + ".")]


class ModuleView:
    """A module of the tree whose submodules and members are attributes. Prints as its node."""

    __slots__ = ("_name", "_tree")

    def __init__(self, tree: InfoTree, name: str) -> None:
        self._tree = tree
        self._name = name

    def __getattr__(self, name: str) -> ModuleView | ModuleNode | Node:
        child = f"{self._name}.{name}"
        if name[:2] != "__":
            if self._tree.children(child) or child in self._tree:
                return ModuleView(self._tree, child)
            if self._name in self._tree and name in self._tree[self._name].members:
                return self._tree.find(f"{self._name}:{name}")
        raise AttributeError(f"{self._name} has no {name} in the tree{_hint(name, dir(self))}")

    def __dir__(self) -> Iterable[str]:
        members = self._tree[self._name].members if self._name in self._tree else ()
        children = [name.rpartition(".")[2] for name in self._tree.children(self._name)]
        return [*children, *members]

    def __repr__(self) -> str:
        return f"<ModuleView {self._name}>"

    def __str__(self) -> str:
        return str(self._tree[self._name])


def _member(node: ModuleNode | Node, name: str, path: str) -> Node:
    members = node.members if isinstance(node, ModuleNode | ClassNode) else {}
    if name not in members:
        raise KeyError(f"no {name} of {path} in the tree{_hint(name, members)}")
    return members[name]


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def _count(name: str, below: int) -> str:
    return f"{name} ({below} modules)" if below else name


def _canonical(index: Mapping[str, Any]) -> bytes:
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode("ascii")


def _checked(index: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    """The parts of an index; it comes from the wire."""
    packages, modules, failures = map(index.get, ("packages", "modules", "failures"))
    if not isinstance(packages, list | tuple) or not _are_module_names(packages):
        raise RemoteProtocolError("malformed index of the tree: 'packages' are no module names")
    if not isinstance(modules, list | tuple) or not _are_entries(modules):
        raise RemoteProtocolError("malformed index of the tree: 'modules' are no names and digests")
    if not isinstance(failures, dict) or not all(
        type(text) is str for pair in failures.items() for text in pair
    ):
        raise RemoteProtocolError("malformed index of the tree: 'failures' are no texts")
    return tuple(packages), dict(modules), dict(failures)


def _are_module_names(names: Sequence[object]) -> bool:
    # Each different part of the names once: this is on the way of every connect.
    parts: set[str] = set()
    for name in names:
        if type(name) is not str:
            return False
        parts.update(name.split("."))
    return all(map(is_name, parts))


def _are_entries(entries: Sequence[object]) -> bool:
    if not all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):
        return False
    names, digests = zip(*entries, strict=True) if entries else ((), ())
    return _are_module_names(names) and all(
        type(digest) is str and _DIGEST.fullmatch(digest) for digest in digests
    )
