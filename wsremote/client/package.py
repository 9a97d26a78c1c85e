"""The shallow package of one session: modules, classes and proxies by name and by handle."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..errors import StaleHandle
from ..shallow.classes import Classes
from ..shallow.metaclass import ShallowClass
from ..shallow.proxy import HANDLE, label
from ..shallow.source import Functions
from ..tree.nodes import ClassNode, FunctionNode, Node, ReferenceNode
from .copies import OwnedCopy, copied, copy_class, refresh
from .modules import ShallowModule, bare_module, make_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..shallow.caller import Caller
    from ..tree.info import InfoTree

__all__ = ["ShallowPackage"]

_MAX_HOPS: Final = 20  # from reference to reference; a longer chain is a circle


class _Receipt(weakref.ref[Any]):
    """Watches the proxy of a handle, and knows how often the handle was received for it."""

    __slots__ = ("count", "handle")

    def __init__(self, proxy: object, _died: Callable[[_Receipt], None]) -> None:
        super().__init__(proxy, _died)  # type: ignore[call-arg]
        self.handle = 0
        self.count = 0


class ShallowPackage:
    """What a session's user imports. Never shared between sessions.

    Args:
        caller: The session.
        tree: What its server serves.
    """

    def __init__(self, caller: Caller, tree: InfoTree) -> None:
        self.caller = caller
        self.tree = tree
        self._functions = Functions(caller)
        # Builds classes, and stands in each of them for the session that it belongs to.
        self.classes = Classes(self, self._functions)
        # Packages that hold what is served and are not served themselves.
        self._parents = {
            name[:index]
            for name in tree.packages
            for index, character in enumerate(name)
            if character == "."
        }
        # What is built, by its name on the wire.
        self._modules: dict[str, ShallowModule] = {}
        self._classes: dict[str, ShallowClass] = {}
        self._functions_at: dict[str, FunctionType] = {}
        # To send functions by their name.
        self._paths: dict[FunctionType, str] = {}
        # Held while something is built, and while documents are loaded for it.
        self._building = threading.RLock()
        # The proxies that are alive, by handle; those that died stay until the next receipt.
        self._receipts: dict[int, _Receipt] = {}
        self._dead: deque[_Receipt] = deque()
        # Held for moments. Reentrant, since garbage may be collected inside, running anything.
        self._receiving = threading.RLock()

    # ---- names -----------------------------------------------------------------------

    @property
    def roots(self) -> set[str]:
        """Names of the top-level packages, those included that only hold what is served."""
        return {name.partition(".")[0] for name in self.tree.packages}

    def module(self, name: str) -> ModuleType:
        """The module of a full name, made when it is first asked for.

        Raises:
            KeyError: There is none; the message names a similar one.
        """
        found = self._modules.get(name)
        if found is not None:
            return found
        with self._building:
            if name not in self._modules:
                is_bare = name in self._parents and name not in self.tree
                made = bare_module(name, self) if is_bare else make_module(self.tree[name], self)
                self._modules[name] = made
            return self._modules[name]

    def submodule(self, name: str) -> ModuleType | None:
        """The module of a full name; None if none is served under it."""
        return self.module(name) if name in self.tree or name in self._parents else None

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
        found = self._functions_at.get(path)
        if found is not None:
            return found
        with self._building:
            if path not in self._functions_at:
                module, _, name = path.partition(":")
                node = self._member(module, name)
                if not isinstance(node, FunctionNode) or "." in name:
                    raise KeyError(f"{path} is no function in the tree of {self.caller.url}")
                made = self._functions.function(node, path, self.module(module).__dict__)
                self._functions_at[path] = made
                self._paths[made] = path
            return self._functions_at[path]

    def class_at(self, path: str) -> ShallowClass:
        """The class `pkg.mod:Outer.Inner`. Imports nothing.

        Raises:
            KeyError: The tree has no class of that name.
        """
        found = self._classes.get(path)
        if found is not None:
            return found
        with self._building:
            if path not in self._classes:
                module, _, qualname = path.partition(":")
                node = self._member(module, qualname)
                if not isinstance(node, ClassNode):
                    raise KeyError(f"{path} is no class in the tree of {self.caller.url}")
                self._classes[path] = self._class(node, module)
            return self._classes[path]

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
        scope = {"__name__": node.module} if node.path in held else self.module(module).__dict__
        return self.classes.build(node, scope, resolve)

    def _class_or_none(self, path: str) -> type | None:
        if path.partition(":")[0] not in self.tree:
            return None
        try:
            return self.class_at(path)
        except KeyError:
            return None

    def class_from(self, node: ClassNode, resolve: Callable[[str], type]) -> type:
        """A class outside the tree, from the node that its first handle brought.

        Args:
            node: The class.
            resolve: The class that was announced under a path; `LookupError` if none was.
        """

        def known(path: str) -> type | None:
            try:
                return resolve(path)
            except LookupError:
                return self._class_or_none(path)

        with self._building:
            return self.classes.build(node, {"__name__": node.module}, known, is_foreign=True)

    def named(self, path: str) -> Any:
        """The module, class or function of a name on the wire.

        Raises:
            KeyError: The tree has nothing of that name.
        """
        module, colon, qualname = path.partition(":")
        if not colon:
            return self.module(module)
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
            return self._paths.get(value)
        if isinstance(value, ShallowClass):
            return value._wsremote_path if value._wsremote_classes is self.classes else None
        if isinstance(value, ShallowModule) and type(value)._wsremote_home is self:
            return value.__name__
        return None

    # ---- handles ---------------------------------------------------------------------

    def proxy(self, cls: type, handle: int) -> Any:
        """The one proxy of a handle. Counts one receipt of it.

        Args:
            cls: Its shallow class.
            handle: The server's name of the object.
        """
        with self._receiving:
            known = self._received(handle)
        if known is not None:
            return known
        made = cls._wsremote_blank(cls)  # type: ignore[attr-defined]
        object.__setattr__(made, HANDLE, handle)
        return self._kept(made, handle)

    def copy_of(self, content: Any, handle: int) -> Any:
        """What a container that the server owns holds now: the one read-only copy of it here.

        Args:
            content: Decoded, of a builtin container class.
            handle: The server's name of the container. Counts one receipt.
        """
        with self._receiving:
            known = self._received(handle)
            if isinstance(known, OwnedCopy):
                refresh(known, content)
        if known is not None:
            return known
        cls = copy_class(type(content))
        if cls is None:
            # Such as an array, which says itself that it cannot be written.
            self.caller.release(handle, 1)
            return content
        made = copied(cls, content)
        made._wsremote_handle, made._wsremote_home = handle, self
        return self._kept(made, handle)

    def _kept(self, made: Any, handle: int) -> Any:
        """The proxy of a handle from now on: this one, or one that came in between."""
        receipt = _Receipt(made, self._died)
        receipt.handle = handle
        with self._receiving:
            # Another thread may have received it meanwhile; ours then dies with count 0.
            known = self._received(handle)
            if known is not None:
                return known
            receipt.count = 1
            self._receipts[handle] = receipt
        return made

    def _received(self, handle: int) -> Any:
        """The living proxy of a handle, with one receipt more; None if there is none."""
        while self._dead:
            died = self._dead.popleft()
            if self._receipts.get(died.handle) is died:
                del self._receipts[died.handle]
        receipt = self._receipts.get(handle)
        proxy = None if receipt is None else receipt()
        if receipt is not None and proxy is not None:
            # The proxy is held here: it cannot die before it is counted.
            receipt.count += 1
        return proxy

    def _died(self, receipt: _Receipt) -> None:
        """A proxy is gone. Runs anywhere: takes no lock and only appends.

        If its handle has been received again meanwhile, that is another receipt with a count
        of its own, and the server subtracts this one's.
        """
        if receipt.count:
            self._dead.append(receipt)
            self.caller.release(receipt.handle, receipt.count)

    def handle_of(self, value: object) -> int | None:
        """The handle of a proxy of this session; None for anything that is no proxy.

        Raises:
            StaleHandle: It is a proxy of another session.
        """
        cls: Any = type(value)
        if isinstance(cls, ShallowClass):
            handle: int | None = value._wsremote_handle  # type: ignore[attr-defined]
            if handle is None or cls._wsremote_classes is self.classes:
                return handle
            text, other = label(value), cls._wsremote_classes.caller
        elif isinstance(value, OwnedCopy):
            if value._wsremote_home is self:
                return value._wsremote_handle
            text, other = f"a {cls.__name__} of the server", value._wsremote_home.caller
        else:
            return None
        raise StaleHandle(
            f"{text} belongs to session {other.id} and cannot be used in session "
            f"{self.caller.id} at {self.caller.url}; make the object in this session"
        )
