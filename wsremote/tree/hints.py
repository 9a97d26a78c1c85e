"""Annotations of the other side: shown as text, and what they mean where that can be told.

`typing.get_type_hints`, and whoever else wants the types, compiles and runs an annotation that
is text. Text of a server is never run: an `Annotation` is no text. It is parsed, and what
stands in it is looked up: names of the module it is from, of `typing` and of Python.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import contextlib
import operator
import sys
import typing
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from .introspection import is_class, is_module

__all__ = ["Annotation"]

_LIBRARY: Final = (typing, collections.abc)
_MODULES: Final = {"typing": typing, "collections": collections, "abc": collections.abc}
_LONGEST: Final = 2000  # characters of an annotation that is looked at
_MISSING: Final = object()

# What `typing` evaluates by asking it. From Python 3.14 on it asks only those of its own.
_Base: Any = typing.ForwardRef if sys.version_info < (3, 14) else object
_KEYWORDS: Final[dict[str, Any]] = {"_root": True} if sys.version_info < (3, 14) else {}


class Annotation(_Base, **_KEYWORDS):  # type: ignore[misc]
    """An annotation, shown as the source has it. Equal to its text.

    Args:
        text: The text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Annotation):
            return bool(other._text == self._text)
        return other == self._text if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> Any:
        return Annotation, (self._text,)

    def _evaluate(self, globalns: Any = None, localns: Any = None, *_: Any, **__: Any) -> Any:
        """What it means; called by `typing`.

        Raises:
            NameError: It cannot be told here.
        """
        return _Lookup(self._text, globalns or {}, localns or {}).value()

    evaluate = _evaluate


class _Lookup:
    """Finds what one annotation means."""

    def __init__(self, text: str, scope: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self._text = text
        self._scopes = [local, scope]
        self._module = _module_of(scope) or _module_of(local)

    def value(self) -> Any:
        """The type that the annotation stands for."""
        if len(self._text) > _LONGEST:
            raise self._unknown(f"{self._text[:60]}...")
        try:
            return self._of(ast.parse(self._text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._unknown(self._text) from error

    def _of(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.Attribute):
            return self._attribute(self._of(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            generic = self._of(node.value)
            return operator.getitem(generic, self._inside(node.slice, generic is typing.Literal))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return operator.or_(self._of(node.left), self._of(node.right))
        if isinstance(node, ast.List):
            return [self._of(each) for each in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -ast.literal_eval(node.operand)
        raise self._unknown(ast.unparse(node))

    def _inside(self, node: ast.AST, is_literal: bool) -> Any:
        """What stands in brackets. In those of `Literal`, text is text, and else a type."""
        if isinstance(node, ast.Tuple):
            return tuple([self._inside(each, is_literal) for each in node.elts])
        if isinstance(node, ast.Constant) and (is_literal or node.value is None):
            return node.value
        return self._of(node)

    def _constant(self, value: object) -> Any:
        if isinstance(value, str):
            return _Lookup(value, *reversed(self._scopes)).value()
        return type(None) if value is None else value

    def _named(self, name: str) -> Any:
        for scope in self._scopes:
            found = dict.get(scope, name, _MISSING) if isinstance(scope, dict) else _MISSING
            if found is not _MISSING:
                return found
        if self._module is not None and not name.startswith("__"):
            # Not there, or not served: it may still be a name that everybody knows.
            with contextlib.suppress(AttributeError, ImportError, PermissionError):
                return getattr(self._module, name)
        return self._known(name)

    def _known(self, name: str) -> Any:
        """A class of Python, a name of `typing`, or a module of these."""
        found = vars(builtins).get(name)
        if is_class(found):
            return found
        for module in _LIBRARY:
            if name in module.__all__:
                return getattr(module, name)
        if name in _MODULES:
            return _MODULES[name]
        if self._module is not None and name == self._module.__name__.partition(".")[0]:
            # Of an annotation that is no text, the tree has the whole path of a class.
            loader = self._module.__spec__.loader
            return loader.create_module(ModuleSpec(name, loader))
        raise self._unknown(name)

    def _attribute(self, owner: Any, name: str) -> Any:
        """An attribute of a class, or of a module that is one of types or of the other side."""
        if name.startswith("__") or not (is_class(owner) or is_module(owner)):
            raise self._unknown(name)
        if type(owner) is ModuleType and (owner not in _MODULES.values() or name[:1] == "_"):
            raise self._unknown(name)
        found = getattr(owner, name, _MISSING)
        is_foreign = type(found) is ModuleType and found not in _MODULES.values()
        if found is _MISSING or is_foreign:
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> NameError:
        return NameError(f"name {name!r} of the annotation {self._text!r} is not known here")


def _module_of(scope: Mapping[str, Any]) -> Any:
    """The module object whose namespace a function has, through its loader."""
    # That of a class has a `get` of its own: it is what its module's `__dict__` gives.
    spec = scope.get("__spec__") if isinstance(scope, dict) else None
    loader = getattr(spec, "loader", None)
    return None if loader is None else loader.create_module(spec)
