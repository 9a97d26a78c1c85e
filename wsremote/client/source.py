"""Real functions with true signatures, without compiling a word that a server sent.

What is compiled is one template for each *shape* of a signature: how many parameters of
which kind, which of them with a default, all under names of our own. The names, paths and
line numbers of the server become data of a copy of the template's code object
(`CodeType.replace`, 1.3 µs); 179 shapes make all 11,453 functions of sympy. Compiling the
source of each module instead would cost more even where the result is read from disk, and
would need a cache of code that has to be trusted.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal

from wsremote.client.names import host_of
from wsremote.tree.introspection import is_name
from wsremote.tree.nodes import ClassNode, FunctionNode, Parameter, Signature
from wsremote.tree.signature import Annotation, Placeholder, to_inspect

if TYPE_CHECKING:
    from wsremote.client.caller import Caller

__all__ = ["Functions", "given"]

Role = Literal[
    "function", "method", "classmethod", "staticmethod", "constructor", "special", "call"
]
Shape = tuple[tuple[int, bool], ...]

_POSITIONAL_ONLY, _POSITIONAL, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
_ANYTHING: Final = (Parameter("args", _VAR_POSITIONAL), Parameter("kwargs", _VAR_KEYWORD))
_SELF: Final = Parameter("self", _POSITIONAL_ONLY)
_CLS: Final = Parameter("cls", _POSITIONAL_ONLY)

# A method that is called on the class it is found in, for an object of the server. Otherwise
# (`Base.m(derived)`, `super().m()`, an exception that was rebuilt here) the server is told
# the class as well.
_OWN: Final = '_getattr(_type(a0), "<name>", None) is _me and a0._wsremote_handle is not None'
_BODIES: Final[dict[Role, str]] = {
    "function": '_call("<path>", {args})',
    "method": f'_method(a0._wsremote_handle, "<name>", {{args}}) if {_OWN}'
    ' else _method("<path>", "<name>", {with_first})',
    "classmethod": '_method(a0._wsremote_path, "<name>", {args})',
    "staticmethod": '_method("<path>", "<name>", {args})',
    "constructor": "_call(a0._wsremote_path, {args})",
    "special": f'_special(a0._wsremote_handle, "<name>", a1) if {_OWN}'
    ' else _method("<path>", "<name>", (a0, *a1), None)',
    "call": f"_call(a0._wsremote_handle, {{args}}) if {_OWN}"
    ' else _method("<path>", "<name>", {with_first})',
}
_WITH_FIRST: Final = frozenset(["method", "classmethod", "constructor", "special", "call"])

_placeholder = functools.lru_cache(maxsize=16384)(Placeholder)
_annotation = functools.lru_cache(maxsize=16384)(Annotation)


def given(
    required: tuple[Any, ...],
    optional: tuple[Any, ...],
    names: tuple[str, ...],
    rest: tuple[Any, ...] = (),
    keywords: dict[str, Any] | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
    """The arguments as they are sent: without those that nobody gave.

    Args:
        required: Positional arguments without default.
        optional: Positional arguments with default, a `Placeholder` where not given.
        names: Names of `optional`.
        rest: What `*args` took.
        keywords: Keyword-only arguments and what `**kwargs` took.
    """
    if keywords:
        keywords = {key: value for key, value in keywords.items() if type(value) is not Placeholder}
    count = 0
    for value in optional:
        if type(value) is Placeholder:
            break
        count += 1
    else:
        return required + optional + rest, keywords or None
    for index in range(count + 1, len(optional)):
        if type(optional[index]) is not Placeholder:
            keywords = {} if keywords is None else keywords
            keywords[names[index]] = optional[index]
    return required + optional[:count], keywords or None


class Functions:
    """Makes the functions of one session."""

    def __init__(self, caller: Caller) -> None:
        values = {
            "_call": caller.call,
            "_method": caller.call_method,
            "_special": caller.special,
            "_given": given,
            "_getattr": getattr,
            "_type": type,
        }
        # What the bodies refer to. Not globals: these are the module's own, as at home.
        self._cells = {name: CellType(value) for name, value in values.items()}
        self._host = host_of(caller.url)

    def function(self, node: FunctionNode, path: str, scope: dict[str, Any]) -> FunctionType:
        """A function of a module; `scope` becomes its `__globals__`."""
        return self._from_node("function", node, path, scope)

    def method(
        self, node: FunctionNode, owner: str, scope: dict[str, Any]
    ) -> FunctionType | classmethod[Any, Any, Any] | staticmethod[Any, Any]:
        """What the class `owner` (a path) has in its namespace for a node."""
        if node.binding == "classmethod":
            return classmethod(self._from_node("classmethod", node, owner, scope))
        if node.binding == "staticmethod":
            return staticmethod(self._from_node("staticmethod", node, owner, scope))
        return self._from_node("method", node, owner, scope)

    def call(self, node: FunctionNode, owner: str, scope: dict[str, Any]) -> FunctionType:
        """`__call__` of the class `owner`."""
        return self._from_node("call", node, owner, scope)

    def special(self, name: str, owner: str, scope: dict[str, Any]) -> FunctionType:
        """A special method of the class `owner` that is forwarded as such."""
        parameters = (_SELF, _ANYTHING[0])
        return self._make("special", parameters, name, owner, scope, f"{_last(owner)}.{name}")

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
        self, role: Role, node: FunctionNode, path: str, scope: dict[str, Any]
    ) -> FunctionType:
        """The function of a node, with its documentation and its place on the server."""
        signature = node.signature
        parameters = None if signature is None else _bindable(role, signature)
        made = self._make(
            role,
            parameters or ((_SELF, *_ANYTHING) if role in _WITH_FIRST else _ANYTHING),
            node.name,
            path,
            scope,
            node.qualname,
            f"<wsremote {self._host}>/{node.file or node.module}",
            node.line or 1,
        )
        made.__doc__ = node.doc
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

    def _make(
        self,
        role: Role,
        parameters: tuple[Parameter, ...],
        name: str,
        path: str,
        scope: dict[str, Any],
        qualname: str,
        file: str = "<wsremote>",
        line: int = 1,
    ) -> FunctionType:
        template = _template(role, tuple([(p.kind, p.default is not None) for p in parameters]))
        words = {"<name>": name, "<path>": path}
        for index, parameter in enumerate(parameters):
            words[f"a{index}"] = words[f"<a{index}>"] = parameter.name
        code = template.replace(
            co_varnames=tuple([words[own] for own in template.co_varnames]),
            co_consts=_filled(template.co_consts, words),
            co_name=name,
            co_qualname=qualname,
            co_filename=file,
            co_firstlineno=line,
        )
        me = CellType()
        cells = [me if free == "_me" else self._cells[free] for free in code.co_freevars]
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
    if role in _WITH_FIRST and (
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


@functools.cache
def _template(role: Role, shape: Shape) -> CodeType:
    """The code object of a role and a shape; parameters are called `a0`, `a1`…"""
    names = [f"a{index}" for index in range(len(shape))]
    arguments = list(zip(names, shape, strict=True))
    body = _BODIES[role].format(
        args=_sent(arguments[1:] if role in _WITH_FIRST else arguments),
        with_first=_sent(arguments),
    )
    free = "_call, _method, _special, _given, _getattr, _type, _me"
    text = f"def make({free}):\n def f({_listed(arguments)}): return {body}\n return f"
    scope: dict[str, Any] = {}
    exec(compile(text, "<wsremote>", "exec"), scope)
    code: CodeType = scope["make"](*itertools.repeat(None, 7)).__code__
    return code


def _listed(arguments: list[tuple[str, tuple[int, bool]]]) -> str:
    """The parameter list of a template, from `(name, (kind, has a default))` each."""
    listed: list[str] = []
    kinds = [kind for _, (kind, _) in arguments]
    for index, (name, (kind, has_default)) in enumerate(arguments):
        if kind == _KEYWORD_ONLY and _VAR_POSITIONAL not in kinds and "*" not in listed:
            listed.append("*")
        stars = {_VAR_POSITIONAL: "*", _VAR_KEYWORD: "**"}.get(kind, "")
        listed.append(f"{stars}{name}{'=None' if has_default else ''}")
        if kind == _POSITIONAL_ONLY and _POSITIONAL_ONLY not in kinds[index + 1 :]:
            listed.append("/")
    return ", ".join(listed)


def _sent(arguments: list[tuple[str, tuple[int, bool]]]) -> str:
    """The text `args, kwargs` that sends these arguments."""
    required = [n for n, (kind, default) in arguments if kind <= _POSITIONAL and not default]
    optional = [n for n, (kind, default) in arguments if kind <= _POSITIONAL and default]
    rest = [n for n, (kind, _) in arguments if kind == _VAR_POSITIONAL]
    only = [n for n, (kind, _) in arguments if kind == _KEYWORD_ONLY]
    more = [n for n, (kind, _) in arguments if kind == _VAR_KEYWORD]
    keywords = ", ".join([f'"<{n}>": {n}' for n in only] + [f"**{n}" for n in more])
    if optional or any(default for _, (kind, default) in arguments if kind == _KEYWORD_ONLY):
        names = _tuple([f'"<{n}>"' for n in optional])
        taken = f"{_tuple(required)}, {_tuple(optional)}, {names}, {rest[0] if rest else '()'}"
        return f"*_given({taken}, {{{keywords}}})"
    if rest and not required:
        positional = rest[0]
    else:
        positional = _tuple(required + [f"*{n}" for n in rest])
    if more and not only:
        return f"{positional}, {more[0]} or None"
    return f"{positional}, {f'{{{keywords}}}' if keywords else 'None'}"


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _filled(constants: tuple[Any, ...], words: dict[str, str]) -> tuple[Any, ...]:
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


def _last(path: str) -> str:
    """`Outer.C` of `pkg.mod:Outer.C`."""
    return path.partition(":")[2]
