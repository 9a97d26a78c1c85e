"""Functions of the other side, and objects that are called like functions.

Functions of the tree are real functions (`source`). Others, such as the closure that a
decorator gave, are instances of a shallow class: called, named, documented, bound and
wrapped like a function, each at one message. They say that their `__class__` is the
function's, so that `inspect` takes them for one.
"""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any, Final

from ..protocol.specials import ATTRIBUTES, FLOW
from ..tree.nodes import PropertyNode
from .looking import is_inspected, is_looked_at, is_signature_asked
from .source import code_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Target
    from ..tree.nodes import ClassNode
    from .caller import Caller

__all__ = [
    "OWN_SIGNATURE",
    "doc_of",
    "is_asked_for",
    "module_of",
    "namespace_of_functions",
    "shows_own_signature",
]

# Classes of functions, by their path, and how their instances bind: as a method, or not at all.
_CLASSES: Final[dict[str, type]] = {
    "builtins:function": types.FunctionType,
    "builtins:builtin_function_or_method": types.BuiltinFunctionType,
    "builtins:method": types.MethodType,
}

_ANYTHING: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


class _Text(str):
    """`__module__` of a class, of which an instance may have one of its own."""

    __slots__ = ("_ask",)
    _ask: Callable[[Any], Any]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return str(self) if instance is None else self._ask(instance)


class _Doc:
    """The same for `__doc__`."""

    __slots__ = ("_ask", "_ask_class")

    def __init__(self, ask_class: Callable[[], Any], ask: Callable[[Any], Any]) -> None:
        self._ask_class = ask_class
        self._ask = ask

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self._ask_class() if instance is None else self._ask(instance)


def is_asked_for(proxy: Any, name: str) -> bool:
    """Whether the other side is asked for such an attribute of an object that can be called."""
    if name not in ATTRIBUTES or not callable(proxy) or is_looked_at():
        return False
    if "function" in type(proxy)._wsremote_node.traits:
        return name != "__wrapped__" or not is_signature_asked()
    return not is_inspected()


def doc_of(caller: Caller, node: ClassNode, path: Target) -> Any:
    """`__doc__` of a class and its instances."""
    own = node.members.get("__doc__")
    ask = _asking(caller, "__doc__", node, node.doc)
    if isinstance(own, PropertyNode) and own.asked:

        def ask_class() -> Any:
            return node.doc if caller.closed or is_looked_at() else caller.get(path, "__doc__")

        return _Doc(ask_class, ask)
    return _Doc(lambda: node.doc, ask)


def module_of(caller: Caller, node: ClassNode) -> str:
    """`__module__` of a class whose instances are called, and of those."""
    made = _Text(node.module)
    made._ask = _asking(caller, "__module__", node, node.module)
    return made


def _asking(caller: Caller, name: str, node: ClassNode, default: Any) -> Callable[[Any], Any]:
    """What reads `__doc__` or `__module__` of an instance; of one who merely looks, its class's."""
    known = name in node.members

    def ask(self: Any) -> Any:
        handle = self._wsremote_handle
        if handle is None or caller.closed or is_looked_at() or (not known and is_inspected()):
            return default
        return caller.get(handle, name)

    return ask


def namespace_of_functions(node: ClassNode) -> dict[str, Any]:
    """What a class of functions has besides."""
    made: dict[str, Any] = {"__signature__": OWN_SIGNATURE}
    kind = _CLASSES.get(node.path)
    if kind is not None:
        made["__class__"] = property(lambda self: kind)
    if node.path == "builtins:function":
        made["__code__"] = property(_code)
    if "__get__" in node.specials:
        made["__get__"] = _itself if kind is types.MethodType else _bound
    return made


def shows_own_signature(node: ClassNode) -> bool:
    """Whether instances may have a signature that is not that of their `__call__`."""
    return "__signature__" in node.members or "__wrapped__" in node.members


def _bound(self: Any, instance: Any, owner: type | None = None) -> Any:
    """As an attribute of a class, it is a method."""
    return self if instance is None else types.MethodType(self, instance)


def _itself(self: Any, instance: Any, owner: type | None = None) -> Any:
    """It is bound already."""
    return self


def _signature(self: Any) -> inspect.Signature:
    """The true one, defaults included; of one who completes names, that anything goes."""
    if is_looked_at():
        return _ANYTHING
    cls: Any = type(self)
    found: inspect.Signature = cls._wsremote_classes.caller.get(
        self._wsremote_handle, "__signature__"
    )
    return found


OWN_SIGNATURE: Final = property(_signature)
"""`__signature__` of instances: one message."""


def _code(self: Any) -> types.CodeType:
    """Names and numbers of its parameters, for who reads them there; no code of the server's."""
    if is_looked_at():
        return code_of(_ANYTHING, type(self).__name__, "")
    cls: Any = type(self)
    flow = cls._wsremote_classes.caller.get(self._wsremote_handle, FLOW)
    return code_of(self.__signature__, self.__name__, flow)
