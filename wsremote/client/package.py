"""The shallow package of one session: modules, classes and proxies by name and by handle."""

from __future__ import annotations

import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import NotExposed, StaleHandle
from ..shallow.announced import DEFINED
from ..shallow.classes import Classes
from ..shallow.metaclass import ShallowClass
from ..shallow.mirrors import Mirror
from ..shallow.proxies import Proxies
from ..shallow.proxy import label
from ..shallow.source import Functions
from ..tree.introspection import module_dict, namespace_of
from ..tree.nodes import ClassNode, FunctionNode, Node, ReferenceNode
from .loader import ServedLoader
from .modules import ShallowModule, bare_module, late_module, make_module
from .sources import Sources
from .subclassing import Subclassing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..codec.originals import Original
    from ..shallow.caller import ServerCaller
    from ..tree.info import InfoTree

__all__ = ["ShallowPackage"]

M = TypeVar("M")

_MAX_HOPS: Final = 20  # from reference to reference; a longer chain is a circle


class ShallowPackage:
    """What a session's user imports. Never shared between sessions.

    Args:
        caller: The session.
        tree: What its server serves.
    """

    def __init__(self, caller: ServerCaller, tree: InfoTree) -> None:
        self.caller = caller
        self.tree = tree
        self.sources = Sources(caller, tree)
        self.loader = ServedLoader(self)
        self._functions = Functions(caller, self.sources.name_of)
        # Builds classes, and stands in each of them for the session that it belongs to.
        self.classes = Classes(self, self._functions)
        # Defines on the server what is derived here from its classes.
        self.subclassing = Subclassing(self)
        self.classes.subclass = self.subclassing.subclass
        # Packages that hold what is served and are not served themselves.
        self._parents = {
            name[:index]
            for name in tree.packages
            for index, character in enumerate(name)
            if character == "."
        }
        # What is built, by its name on the wire.
        self._modules: dict[str, ShallowModule] = {}
        # Names of modules that came to be on the server after the tree was made.
        # Each with its path, whether it is a package, and its documentation.
        self._late: dict[str, tuple[str, bool, str | None]] = {}
        # Told of each module that is made, while `import` finds them.
        self.publish: Callable[[str, ShallowModule], None] | None = None
        self._classes: dict[str, ShallowClass] = {}
        self._functions_at: dict[str, FunctionType] = {}
        # To send functions by their name.
        self._paths: dict[FunctionType, str] = {}
        # Held while something is built, and while documents are loaded for it.
        self._building = threading.RLock()
        self.proxies = Proxies(caller)

    # ---- names -----------------------------------------------------------------------

    @property
    def roots(self) -> set[str]:
        """Names of the top-level packages, those included that only hold what is served."""
        return {name.partition(".")[0] for name in self.tree.packages}

    def module(self, name: str) -> ShallowModule:
        """The module of a full name, made when it is first asked for.

        Raises:
            KeyError: There is none; the message names a similar one.
        """
        found = self._modules.get(name)
        if found is not None:
            return found
        with self._building:
            if name not in self._modules:
                self._modules[name] = self._module(name)
            found = self._modules[name]
        if self.publish is not None:
            self.publish(name, found)
        return found

    def _module(self, name: str) -> ShallowModule:
        """A module that is not there yet."""
        if name in self.tree:
            node = self.tree[name]
            # Else it is another name of a module, which is one object here too.
            return make_module(node, self) if node.name == name else self.module(node.name)
        if name in self._parents:
            return bare_module(name, self)
        if name in self._late:
            path, is_package, doc = self._late[name]
            return late_module(name, self, is_package, doc) if path == name else self.module(path)
        raise KeyError(f"no module {name!r} is served at {self.caller.url}")

    def submodule(self, name: str) -> ShallowModule | None:
        """The module of a full name; None if none is served under it."""
        return self.module(name) if self.is_served(name) or name in self._parents else None

    def is_served(self, name: str) -> bool:
        """Whether the server serves a module, and does not only hold others in it."""
        return name in self.tree or name in self._late

    def is_late(self, name: str) -> bool:
        """Whether a module came to be on the server after the tree was made."""
        return name in self._late

    def imported(self, name: str) -> ShallowModule | None:
        """The module that `import` is to find; the server is asked for what it could not list.

        Raises:
            ImportError: Its import fails on the server.
        """
        found = self.submodule(name)
        parent, _, short = name.rpartition(".")
        if found is not None or not self.is_served(parent):
            return found
        if parent in self.tree and not self.tree[parent].is_package:
            return None
        try:
            path, is_package, doc = self.caller.browse(parent, "submodule", short)
        except ModuleNotFoundError as error:
            if error.name in (name, None):
                return None
            raise
        except NotExposed as error:
            raise ImportError(str(error), name=name) from error
        if path not in self.tree:
            self._late[path] = (path, is_package, doc)
        self._late[name] = (path, is_package, doc)
        return self.module(name)

    def children(self, name: str) -> Iterable[str]:
        """The names, without dots, of the submodules of a package."""
        served = [child.rpartition(".")[2] for child in self.tree.children(name)]
        parents = [
            parent.rpartition(".")[2]
            for parent in self._parents
            if parent.rpartition(".")[0] == name
        ]
        return dict.fromkeys([*served, *parents])

    def function_at(self, path: str) -> FunctionType:
        """The function `pkg.mod:f`.

        Raises:
            KeyError: The tree has no function of that name.
        """
        return self._functions_at.get(path) or self._made(self._functions_at, path, self._function)

    def class_at(self, path: str) -> ShallowClass:
        """The class `pkg.mod:Outer.Inner`. Imports nothing.

        Raises:
            KeyError: The tree has no class of that name.
        """
        if path.startswith(DEFINED):
            defined: Any = self.subclassing.class_at(path)
            return defined  # type: ignore[no-any-return]
        found = self._classes.get(path)
        # Not by its truth, which its metaclass may have a say in.
        return self._made(self._classes, path, self._class_of_tree) if found is None else found

    def _made(self, table: dict[str, M], path: str, make: Callable[[str], M]) -> M:
        """What stands in a table under a path, made by one thread if it is not there yet."""
        with self._building:
            if path not in table:
                table[path] = make(path)
            return table[path]

    def _function(self, path: str) -> FunctionType:
        """The function of a path of the tree."""
        module, _, name = path.partition(":")
        node = self._member(module, name)
        if not isinstance(node, FunctionNode) or "." in name:
            raise KeyError(f"{path} is no function in the tree of {self.caller.url}")
        made = self._functions.function(node, path, module_dict(self.module(module)))
        self._paths[made] = path
        return made

    def _class_of_tree(self, path: str) -> ShallowClass:
        """The class of a path of the tree."""
        module, _, qualname = path.partition(":")
        node = self._member(module, qualname)
        if not isinstance(node, ClassNode):
            raise KeyError(f"{path} is no class in the tree of {self.caller.url}")
        return self._class(node, module)

    def _class(self, node: ClassNode, module: str) -> ShallowClass:
        """The class of a node of the tree, after its bases."""
        held = self.tree[module].bases

        def resolve(path: str) -> type | None:
            if path in self._classes:
                return self._classes[path]
            if path in held:
                # A base that is not served, or not public: its node comes with the module.
                base = self._classes[path] = self._class(held[path], module)
                return base
            return self._class_or_none(path)

        # Methods of a base that is not served have no module here.
        is_held = node.path in held
        scope = {"__name__": node.module} if is_held else module_dict(self.module(module))
        return self.classes.build(node, scope, resolve)

    def _class_or_none(self, path: str) -> type | None:
        if path.partition(":")[0] not in self.tree:
            return None
        try:
            return self.class_at(path)
        except KeyError:
            return None

    def class_from(
        self, node: ClassNode, resolve: Callable[[str], type], handle: int | None = None
    ) -> type:
        """A class outside the tree, from the node that its first handle brought.

        Args:
            node: The class.
            resolve: The class that was announced under a path; `LookupError` if none was.
            handle: Of the class itself, if it may be used.
        """

        def known(path: str) -> type | None:
            try:
                return resolve(path)
            except LookupError:
                return self._class_or_none(path)

        with self._building:
            is_private = self._is_private(node)
            held = self._classes.get(node.path) if is_private else None
            if held is not None and held._wsremote_node.line == node.line:
                return held
            made = self.classes.build(
                node, {"__name__": node.module}, known, is_foreign=True, handle=handle
            )
            if is_private and held is None:
                self._classes[node.path] = made
            return made

    def _is_private(self, node: ClassNode) -> bool:
        """Whether a class is one that the tree has as a base of others, if it has it at all."""
        module, _, qualname = node.path.partition(":")
        if node.line is None or "<" in qualname or module not in self.tree:
            return False
        try:
            self._member(module, qualname)
        except KeyError:
            return True
        return False

    def named(self, path: str) -> Any:
        """The module, class or function of a name on the wire.

        Raises:
            KeyError: The tree has nothing of that name.
        """
        module, colon, qualname = path.partition(":")
        if not colon:
            if not self.is_served(path):
                # It came to be on the server after the tree was made.
                self._late[path] = (path, True, None)
            return self.module(path)
        node = self._member(module, qualname)
        if isinstance(node, ClassNode):
            return self.class_at(path)
        owner, _, name = qualname.rpartition(".")
        # Not what the module has now: somebody may have set another one there.
        return (
            getattr(self.class_at(f"{module}:{owner}"), name) if owner else self.function_at(path)
        )

    def _member(self, module: str, qualname: str) -> Node:
        """The node of a name inside a module, references not followed."""
        node: Any = self.tree[module] if module in self.tree else None
        for name in qualname.split("."):
            members = getattr(node, "members", {})
            if name not in members:
                raise KeyError(f"{module}:{qualname} is not in the tree of {self.caller.url}")
            node = members[name]
        found: Node = node
        return found

    def referred(self, target: str) -> Any:
        """The object that a reference stands for: the very same as in its home module.

        Raises:
            KeyError: The tree does not have it, or it is data: the server has to be asked.
        """
        for _ in range(_MAX_HOPS):
            module, colon, qualname = target.partition(":")
            node = self._member(module, qualname) if colon else None
            if isinstance(node, ReferenceNode):
                target = node.target
            elif node is None and module not in self.tree:
                break
            elif node is not None and node.kind in ("variable", "property"):
                break
            else:
                return self.named(target)
        raise KeyError(f"{target} is not in the tree of {self.caller.url}")

    def name_of(self, value: object) -> str | None:
        """The name on the wire of a module, class or function of this session; else None."""
        if isinstance(value, FunctionType):
            return self._paths.get(value) or self._path_of_method(value)
        if isinstance(value, ShallowClass):
            path = value._wsremote_path if value._wsremote_classes is self.classes else None
            return (path or None) if type(path) is str else None
        if isinstance(value, ShallowModule) and type(value)._wsremote_home is self:
            return value.__name__
        return None

    def _path_of_method(self, function: FunctionType) -> str | None:
        """The path of a function that is a method of a class of the tree; None for others."""
        if not function.__code__.co_filename.startswith("<wsremote"):
            return None
        module, qualname = function.__module__, function.__qualname__
        owner, _, name = qualname.rpartition(".")
        cls = self._classes.get(f"{module}:{owner}")
        held = None if cls is None else namespace_of(cls).get(name)
        found = held.__func__ if isinstance(held, staticmethod) else held
        return f"{module}:{qualname}" if found is function else None

    # ---- handles ---------------------------------------------------------------------

    def original(self, handle: int) -> Original:
        """What holds an exception of the server. Counts one receipt of it."""
        return self.proxies.original(handle)

    def proxy(self, cls: type, handle: int, content: object = None) -> Any:
        """The one proxy of a handle. Counts one receipt of it.

        Args:
            cls: Its shallow class.
            handle: The server's name of the object.
            content: What it carries, if its class derives from an immutable builtin.
        """
        return self.proxies.proxy(cls, handle, content)

    def handle_of(self, value: object) -> int | None:
        """The handle of a proxy of this session; None for anything that is no proxy.

        Raises:
            StaleHandle: It is a proxy of another session.
        """
        cls: Any = type(value)
        # Of a class with a metaclass of the server, the class of the class is one of ours too.
        if isinstance(cls, ShallowClass) and not isinstance(value, ShallowClass):
            handle: int | None = value._wsremote_handle  # type: ignore[attr-defined]
            if handle is None or cls._wsremote_classes is self.classes:
                return handle
            text, other = label(value), cls._wsremote_classes.caller
        elif isinstance(value, Mirror):
            if value._wsremote_caller is self.caller:
                return value._wsremote_handle
            text, other = f"a {cls.__name__} of the server", value._wsremote_caller
        elif isinstance(value, ShallowClass) and type(value._wsremote_path) is int:
            # A class outside the tree that was handed out.
            if value._wsremote_classes is self.classes:
                return value._wsremote_path
            text, other = f"class {value.__qualname__}", value._wsremote_classes.caller
        else:
            return None
        raise StaleHandle(
            f"{text} belongs to session {other.id} and cannot be used in session "
            f"{self.caller.id} at {self.caller.url}; make the object in this session"
        )
