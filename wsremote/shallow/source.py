"""Real functions with true signatures, without compiling a word that a server sent.

What is compiled is one template for each *shape* of a signature: how many parameters of
which kind, which of them with a default, all under names of our own. The names, paths and
line numbers of the server become data of a copy of the template's code object
(`CodeType.replace`, 1.3 µs). 290 templates make all 11,900 functions and methods of sympy, so
no code of a package has to be compiled, kept on disk, or trusted when it is read from there.
"""

from __future__ import annotations

import functools
import inspect
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames
from ..protocol.specials import AWAITED
from ..tree.introspection import is_name
from ..tree.nodes import ClassNode, FunctionNode, Parameter, Signature
from ..tree.signature import Annotation, Placeholder, to_inspect
from .names import host_of
from .spoken import spoken
from .templates import WITH_FIRST, Role, given, template

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Target
    from .caller import Caller

__all__ = ["Functions", "code_of"]

_POSITIONAL_ONLY, _POSITIONAL, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
_ANYTHING: Final = (Parameter("args", _VAR_POSITIONAL), Parameter("kwargs", _VAR_KEYWORD))
_SELF: Final = Parameter("self", _POSITIONAL_ONLY)
_CLS: Final = Parameter("cls", _POSITIONAL_ONLY)

# What `inspect` goes by. To run, a generator or coroutine needs more than the flag.
_FLAGS: Final = {
    "async": inspect.CO_COROUTINE,
    "generator": inspect.CO_GENERATOR,
    "async generator": inspect.CO_ASYNC_GENERATOR,
}

_placeholder = functools.lru_cache(maxsize=16384)(Placeholder)
_annotation = functools.lru_cache(maxsize=16384)(Annotation)


class Functions:
    """Makes the functions of one session.

    Args:
        caller: The session.
        name_of: Gives the name here of a source file of the other side, where there is one.
    """

    def __init__(self, caller: Caller, name_of: Callable[[str], str] | None = None) -> None:
        values = {
            "_call": caller.call,
            "_method": caller.call_method,
            "_special": caller.special,
            "_inherited": caller.inherited,
            "_given": given,
            "_getattr": getattr,
            "_type": type,
            "_hide": hide_own_frames,
        }
        self._caller = caller
        # What the bodies refer to. Not globals: these are the module's own, as at home.
        self._cells = {name: CellType(value) for name, value in values.items()}
        # The same for what gives an awaitable.
        awaited = caller.awaited
        ways = (awaited.call, awaited.call_method, awaited.special, awaited.inherited)
        of_ways = zip(("_call", "_method", "_special", "_inherited"), ways, strict=True)
        self._async_cells = {**self._cells, **{name: CellType(way) for name, way in of_ways}}
        self._host = host_of(caller.url)
        self._name_of = name_of

    def function(self, node: FunctionNode, path: Target, scope: dict[str, Any]) -> FunctionType:
        """A function of a module; `scope` becomes its `__globals__`."""
        return self._from_node("function", node, path, scope)

    def method(
        self, node: FunctionNode, owner: Target, scope: dict[str, Any]
    ) -> FunctionType | classmethod[Any, Any, Any] | staticmethod[Any, Any]:
        """What the class `owner` has in its namespace for a node."""
        if node.binding == "classmethod":
            return classmethod(self._from_node("classmethod", node, owner, scope))
        if node.binding == "staticmethod":
            return staticmethod(self._from_node("staticmethod", node, owner, scope))
        return self._from_node("method", node, owner, scope)

    def of_classes(
        self, node: FunctionNode, owner: Target, scope: dict[str, Any]
    ) -> FunctionType | classmethod[Any, Any, Any] | staticmethod[Any, Any]:
        """The same for a metaclass, whose methods are those of classes."""
        if node.binding != "method":
            return self.method(node, owner, scope)
        return self._from_node("classmethod", node, owner, scope)

    def call(self, node: FunctionNode, owner: Target, scope: dict[str, Any]) -> FunctionType:
        """`__call__` of the class `owner`."""
        return self._from_node("call", node, owner, scope)

    def special(self, name: str, owner: Target, scope: dict[str, Any], qualname: str) -> Any:
        """A special method of the class `owner`, of that qualified name, forwarded as such."""
        parameters = (_SELF, _ANYTHING[0])
        flow = "async" if name in AWAITED else ""
        made = self._make(
            "special", parameters, name, owner, scope, f"{qualname}.{name}", flow=flow
        )
        return spoken(self._caller, name, made)

    def constructor(self, node: ClassNode, scope: dict[str, Any]) -> FunctionType:
        """Calls the class that is its first argument; binds as the class's `__init__` does."""
        signature = node.signature
        binds = signature is not None and signature.binds and _in_order(signature.parameters)
        parameters = signature.parameters if signature is not None and binds else _ANYTHING
        first = _SELF if all(p.name != "self" for p in parameters) else _CLS
        # Wrong arguments are reported under this name, as at home.
        qualname = f"{node.qualname}.__init__"
        return self._make(
            "constructor", (first, *parameters), "__init__", node.path, scope, qualname
        )

    def _from_node(
        self, role: Role, node: FunctionNode, path: Target, scope: dict[str, Any]
    ) -> FunctionType:
        """The function of a node, with its documentation and its place on the server."""
        signature = node.signature
        parameters = None if signature is None else _bindable(role, signature)
        made = self._make(
            role,
            parameters or ((_SELF, *_ANYTHING) if role in WITH_FIRST else _ANYTHING),
            node.name,
            path,
            scope,
            node.qualname,
            self._file(node),
            node.line or 1,
            node.flow,
        )
        made.__doc__ = node.doc
        if node.methods and type(path) is str:
            self._give_methods(made, node, path if role == "function" else f"{path}.{node.name}")
        if signature is None:
            return made
        if parameters is None:
            made.__signature__ = _Shown.of(signature)  # type: ignore[attr-defined]
            return made
        notes = {p.name: _annotation(p.annotation) for p in parameters if p.annotation is not None}
        if signature.returns is not None:
            notes["return"] = _annotation(signature.returns)
        made.__annotations__ = notes
        return made

    def _give_methods(self, made: FunctionType, node: FunctionNode, path: str) -> None:
        """What can be called on the other side's function, on the one that stands for it."""
        for name in node.methods:
            if is_name(name) and name[:1] != "_":
                made.__dict__[name] = self._make(
                    "staticmethod",
                    _ANYTHING,
                    name,
                    path,
                    made.__globals__,
                    f"{node.qualname}.{name}",
                )

    def _file(self, node: FunctionNode) -> str:
        """The name here of the file that a function is in."""
        if node.file is not None and self._name_of is not None:
            return self._name_of(node.file)
        return f"<wsremote {self._host}>/{node.file or node.module}"

    def _make(
        self,
        role: Role,
        parameters: tuple[Parameter, ...],
        name: str,
        path: Target,
        scope: dict[str, Any],
        qualname: str,
        file: str = "<wsremote>",
        line: int = 1,
        flow: str = "",
    ) -> FunctionType:
        bare = template(role, tuple([(p.kind, p.default is not None) for p in parameters]))
        words: dict[str, Any] = {"<name>": name, "<path>": path}
        for index, parameter in enumerate(parameters):
            words[f"a{index}"] = words[f"<a{index}>"] = parameter.name
        code = bare.replace(
            co_varnames=tuple([words[own] for own in bare.co_varnames]),
            co_consts=_filled(bare.co_consts, words),
            co_name=name,
            co_qualname=qualname,
            co_filename=file,
            co_firstlineno=line,
            co_flags=bare.co_flags | _FLAGS.get(flow, 0),
        )
        me, ours = CellType(), self._async_cells if flow == "async" else self._cells
        cells = [me if free == "_me" else ours[free] for free in code.co_freevars]
        made = FunctionType(code, scope, name, None, tuple(cells))
        me.cell_contents = made
        defaults = [
            _placeholder(p.default)
            for p in parameters
            if p.default is not None and p.kind <= _POSITIONAL
        ]
        if defaults:
            made.__defaults__ = tuple(defaults)
        keyword_defaults = {
            p.name: _placeholder(p.default)
            for p in parameters
            if p.default is not None and p.kind == _KEYWORD_ONLY
        }
        if keyword_defaults:
            made.__kwdefaults__ = keyword_defaults
        return made


def code_of(signature: inspect.Signature, name: str, flow: str) -> CodeType:
    """Code that says what its parameters are, and does nothing that anybody could call.

    Args:
        signature: Of a function.
        name: Of the function.
        flow: How a call of it goes on: the `flow` of a `FunctionNode`.
    """
    parameters = list(signature.parameters.values())
    shape = tuple([(int(p.kind), p.default is not p.empty) for p in parameters])
    bare = template("function", shape)
    words = {f"a{index}": parameter.name for index, parameter in enumerate(parameters)}
    return bare.replace(
        co_varnames=tuple([words.get(own, own) for own in bare.co_varnames]),
        co_name=name,
        co_flags=bare.co_flags | _FLAGS.get(flow, 0),
    )


class _Shown(inspect.Signature):
    """The signature that `inspect` shows, made from its node when somebody looks."""

    __slots__ = ("_node",)
    _node: Signature

    @classmethod
    def of(cls, node: Signature) -> _Shown:
        made = cls.__new__(cls)
        made._node = node
        return made

    def __getattr__(self, name: str) -> Any:
        if name not in ("_parameters", "_return_annotation"):
            raise AttributeError(name)
        made = to_inspect(self._node)
        self._parameters = made.parameters
        self._return_annotation = made.return_annotation
        return getattr(self, name)


def _bindable(role: Role, signature: Signature) -> tuple[Parameter, ...] | None:
    """The parameters, if Python may bind arguments by them before anything is sent."""
    parameters = signature.parameters
    if not signature.binds or not _in_order(parameters):
        return None
    if role in WITH_FIRST and (
        not parameters or parameters[0].kind > _POSITIONAL or parameters[0].default is not None
    ):
        return None
    return parameters


def _in_order(parameters: tuple[Parameter, ...]) -> bool:
    """Whether Python would accept this list of parameters: the server may be hostile."""
    names = [parameter.name for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if kinds != sorted(kinds) or len(set(names)) < len(names):
        return False
    if kinds.count(_VAR_POSITIONAL) > 1 or kinds.count(_VAR_KEYWORD) > 1:
        return False
    if any(not is_name(name) for name in names):
        return False
    required = [p.default is None for p in parameters if p.kind <= _POSITIONAL]
    return required == sorted(required, reverse=True)


def _filled(constants: tuple[Any, ...], words: dict[str, Any]) -> tuple[Any, ...]:
    """The constants of a template with its `<…>` words replaced, in nested tuples too."""
    return tuple(
        [
            words.get(constant, constant)
            if type(constant) is str
            else _filled(constant, words)
            if type(constant) is tuple
            else constant
            for constant in constants
        ]
    )
