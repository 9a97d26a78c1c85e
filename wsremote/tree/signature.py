"""Signatures: from a callable to text that can travel, and from there to `inspect`."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from .hints import Annotation
from .introspection import (
    annotations_of,
    is_class,
    is_function,
    is_name,
    lookup,
    mro_of,
    namespace_of,
    native_attribute,
)
from .literals import annotation_text, default_text
from .nodes import Parameter, Signature

__all__ = ["Annotation", "Placeholder", "signature_of", "to_inspect"]

_POSITIONAL_ONLY, _POSITIONAL, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
_MAX_HOPS = 100  # of `__wrapped__`; a longer chain is a circle
_NOTHING: Final[dict[str, Any]] = {}
# Most parameters occur many times (`self`, `**kwargs`), and nodes are costly to make.
_parameter = functools.lru_cache(maxsize=16384)(Parameter)
_class_text_signature = type.__dict__["__text_signature__"].__get__


class Placeholder:
    """Stands for a default that exists on the other side only. Shown as its text, never sent."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return type(other) is Placeholder and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def signature_of(target: Any) -> Signature | None:
    """The signature of a function, of a class's constructor, or of a callable object.

    Functions of classes keep their first parameter, bound methods and constructors do
    not. No code of the target runs; `binds` is as `Signature` says.

    Returns:
        None where Python knows no signature, or one that cannot be written down.
    """
    kind = type(target)
    if kind is FunctionType:
        return _of_function(target)
    if kind is MethodType:
        return _without_first(signature_of(target.__func__))
    if kind is staticmethod or kind is classmethod:
        return signature_of(target.__func__)
    if is_class(target):
        return _of_class(target)
    return _of_other(target)


def to_inspect(signature: Signature) -> inspect.Signature:
    """The same as `inspect` has it, defaults being `Placeholder`s and annotations text.

    Raises:
        ValueError: The parameters are in an order that Python does not allow.
    """
    empty = inspect.Parameter.empty
    parameters = [
        inspect.Parameter(
            parameter.name,
            _KINDS[parameter.kind],
            default=empty if parameter.default is None else Placeholder(parameter.default),
            annotation=empty if parameter.annotation is None else Annotation(parameter.annotation),
        )
        for parameter in signature.parameters
    ]
    returns = empty if signature.returns is None else Annotation(signature.returns)
    return inspect.Signature(parameters, return_annotation=returns)


_KINDS = list(inspect._ParameterKind)


def _of_function(target: Any) -> Signature | None:
    """Of a plain function: what it shows, and `binds` if that is what runs."""
    held = target.__dict__
    if not held or ("__wrapped__" not in held and "__signature__" not in held):
        return _from_code(target, target.__code__, True)
    for _ in range(_MAX_HOPS):
        shown = held.get("__signature__")
        if type(shown) is inspect.Signature:
            return _from_inspect(shown)
        if "__wrapped__" not in held:
            return _from_code(target, target.__code__, False)
        target = held["__wrapped__"]
        if type(target) is not FunctionType:
            return _not_binding(signature_of(target))
        held = target.__dict__
    return None


def _from_code(function: Any, code: CodeType, binds: bool) -> Signature | None:
    """By hand from the code object: `inspect.signature` takes ten times as long."""
    names, count = code.co_varnames, code.co_argcount
    defaults: tuple[Any, ...] = function.__defaults__ or ()
    keyword_defaults: dict[str, Any] = function.__kwdefaults__ or _NOTHING
    notes = annotations_of(function)
    first_default = count - len(defaults)
    parameters = []
    for index in range(count):
        name = names[index]
        default = default_text(defaults[index - first_default]) if index >= first_default else None
        kind = _POSITIONAL if index >= code.co_posonlyargcount else _POSITIONAL_ONLY
        parameters.append(_parameter(name, kind, default, _note(notes, name)))
    last = count + code.co_kwonlyargcount
    rest = last
    if code.co_flags & inspect.CO_VARARGS:
        name = names[rest]
        parameters.append(_parameter(name, _VAR_POSITIONAL, None, _note(notes, name)))
        rest += 1
    for name in names[count:last]:
        default = default_text(keyword_defaults[name]) if name in keyword_defaults else None
        parameters.append(_parameter(name, _KEYWORD_ONLY, default, _note(notes, name)))
    if code.co_flags & inspect.CO_VARKEYWORDS:
        name = names[rest]
        parameters.append(_parameter(name, _VAR_KEYWORD, None, _note(notes, name)))
    return _checked(parameters, _note(notes, "return"), binds)


def _note(notes: Any, name: str) -> str | None:
    return annotation_text(notes[name]) if notes and name in notes else None


def _checked(parameters: list[Parameter], returns: str | None, binds: bool) -> Signature | None:
    """None if a name is none: generated code may call its arguments `.0` or `from`."""
    for parameter in parameters:
        if not is_name(parameter.name):
            return None
    return Signature(tuple(parameters), returns, binds)


def _from_inspect(shown: inspect.Signature) -> Signature | None:
    empty = inspect.Parameter.empty
    parameters = [
        _parameter(
            parameter.name,
            int(parameter.kind),
            None if parameter.default is empty else default_text(parameter.default),
            None if parameter.annotation is empty else annotation_text(parameter.annotation),
        )
        for parameter in shown.parameters.values()
    ]
    returns = shown.return_annotation
    return _checked(parameters, None if returns is empty else annotation_text(returns), False)


def _without_first(signature: Signature | None) -> Signature | None:
    """As a bound method has it; `*args` takes the bound argument without going away."""
    if signature is None or not signature.parameters:
        return signature
    if signature.parameters[0].kind >= _VAR_POSITIONAL:
        return signature
    return Signature(signature.parameters[1:], signature.returns, signature.binds)


def _not_binding(signature: Signature | None) -> Signature | None:
    if signature is None or not signature.binds:
        return signature
    return Signature(signature.parameters, signature.returns, False)


def _of_class(cls: type) -> Signature | None:
    """Of the constructor: `__signature__`, the metaclass, then what comes first in the MRO."""
    shown = lookup(cls, "__signature__")
    if type(shown) is inspect.Signature:
        return _from_inspect(shown)
    call = lookup(type(cls), "__call__")
    if call is not type.__dict__["__call__"]:
        return _without_first(signature_of(call)) if type(call) is FunctionType else None
    new, init = lookup(cls, "__new__"), lookup(cls, "__init__")
    python_new = _is_python(new)
    for base in mro_of(cls):
        namespace = namespace_of(base)
        if python_new and "__new__" in namespace:
            return _without_first(signature_of(new))
        if "__init__" in namespace and _is_python(init):
            signature = _without_first(signature_of(init))
            # A `__new__` of a base runs first and may make something that is never initialized.
            return _not_binding(signature) if python_new else signature
    if new is object.__new__ or new is object.__dict__["__new__"]:
        return Signature() if init is object.__init__ else _from_text_signature(cls)
    return _from_text_signature(cls)


def _is_python(constructor: object) -> bool:
    """Whether a `__new__` or `__init__` is code of a package, not of C."""
    if type(constructor) is staticmethod or type(constructor) is classmethod:
        constructor = constructor.__func__
    return type(constructor) is FunctionType


def _from_text_signature(cls: type) -> Signature | None:
    """Of a class written in C."""
    for base in mro_of(cls)[:-1]:
        if _class_text_signature(base):
            return _asked(base)
    return None


def _of_other(target: object) -> Signature | None:
    """Of C functions and callable objects: never the signature of Python code that runs."""
    if issubclass(type(target), functools.partial):
        return _asked(target)
    call = lookup(type(target), "__call__")
    if type(call) is FunctionType:
        return _not_binding(_without_first(_of_function(call)))
    if not is_function(target):
        return None
    wrapped = native_attribute(target, "__wrapped__")
    if type(wrapped) is FunctionType:
        return _not_binding(_of_function(wrapped))
    code = native_attribute(target, "__code__")
    if type(code) is CodeType:
        return _from_code(target, code, False)
    return _asked(target)


def _asked(target: Any) -> Signature | None:
    """What `inspect` finds, which parses text signatures."""
    try:
        return _from_inspect(inspect.signature(target))
    except Exception:  # no signature, or a text signature that does not parse
        return None
