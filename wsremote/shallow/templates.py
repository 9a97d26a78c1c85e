"""Templates of functions: one code object for each shape of a signature.

A shape is how many parameters of which kind a function has, and which of them have a
default. Parameters are called `a0`, `a1`… here; `source` gives copies of the code objects their
names. Compiled is nothing but the text that this file makes.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Final, Literal

from ..codec.frames import one_line
from ..tree.signature import Placeholder

if TYPE_CHECKING:
    from types import CodeType

__all__ = ["WITH_FIRST", "Role", "given", "template"]

Role = Literal[
    "function", "method", "classmethod", "staticmethod", "constructor", "special", "call"
]
Shape = tuple[tuple[int, bool], ...]

_POSITIONAL_ONLY, _POSITIONAL, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)

# A method that is called on the class it is found in, for an object of the server. Otherwise
# (`Base.m(derived)`, `super().m()`, an exception that was rebuilt here) the server is told
# the class as well.
_OWN: Final = '_getattr(_type(a0), "<name>", None) is _me and a0._wsremote_handle is not None'
_BODIES: Final[dict[Role, str]] = {
    "function": '_call("<path>", {args})',
    "method": f'_method(a0._wsremote_handle, "<name>", {{args}}) if {_OWN}'
    ' else _method("<path>", "<name>", {with_first})',
    # A class that is derived here may override it, and use it with `super()`.
    "classmethod": '_method(a0._wsremote_path, "<name>", {args})'
    " if a0._wsremote_defined is None"
    ' else _inherited(1, "<path>", "<name>", a0, {args})',
    "staticmethod": '_method("<path>", "<name>", {args})',
    "constructor": "_call(a0._wsremote_path, {args})",
    "special": f'_special(a0._wsremote_handle, "<name>", a1) if {_OWN}'
    ' else _method("<path>", "<name>", (a0, *a1), None)',
    "call": f"_call(a0._wsremote_handle, {{args}}) if {_OWN}"
    ' else _method("<path>", "<name>", {with_first})',
}
WITH_FIRST: Final = frozenset(["method", "classmethod", "constructor", "special", "call"])


@functools.cache
def template(role: Role, shape: Shape) -> CodeType:
    """The code object of a role and a shape; parameters are called `a0`, `a1`…"""
    names = [f"a{index}" for index in range(len(shape))]
    arguments = list(zip(names, shape, strict=True))
    body = _BODIES[role].format(
        args=_sent(arguments[1:] if role in WITH_FIRST else arguments),
        with_first=_sent(arguments),
    )
    free = "_call, _method, _special, _inherited, _given, _getattr, _type, _hide, _me"
    text = (
        f"def make({free}):\n"
        f" def f({_listed(arguments)}):\n"
        f"  try: return {body}\n"
        "  except BaseException:\n"
        "   _hide(); raise\n"
        " return f"
    )
    scope: dict[str, Any] = {}
    exec(compile(text, "<wsremote>", "exec"), scope)
    code: CodeType = scope["make"](*itertools.repeat(None, 9)).__code__
    # All on the line that the server's function begins with.
    return code.replace(co_linetable=one_line(len(code.co_code) // 2, 0))


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
        taken = f"{_tuple(required)}, {_tuple(optional)}, {names}"
        more_taken = f", {rest[0] if rest else '()'}, {{{keywords}}}" if rest or keywords else ""
        return f"*_given({taken}{more_taken})"
    if rest and not required:
        positional = rest[0]
    else:
        positional = _tuple(required + [f"*{n}" for n in rest])
    if more and not only:
        return f"{positional}, {more[0]} or None"
    return f"{positional}, {f'{{{keywords}}}' if keywords else 'None'}"


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


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
    if count + 1 < len(optional):
        for index in range(count + 1, len(optional)):
            if type(optional[index]) is not Placeholder:
                keywords = keywords or {}
                keywords[names[index]] = optional[index]
    return required + optional[:count] if count else required, keywords or None
