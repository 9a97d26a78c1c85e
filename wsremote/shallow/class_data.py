"""Data of classes that Python reads from the class itself: fields, type parameters, `_fields`."""

from __future__ import annotations

import dataclasses
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from ..codec.names import builtin_named
from ..tree.signature import Annotation, Placeholder

if TYPE_CHECKING:
    from ..tree.nodes import ClassNode, FieldNode

__all__ = ["field_reader", "fields_of", "generic_of", "switches_of", "type_parameters"]

_KEPT: Final = ("init", "repr", "compare", "kw_only")


class _Field(dataclasses.Field):  # type: ignore[type-arg]
    """A field whose default is the server's: the class attribute has it."""

    __slots__ = ("_owner",)

    def __init__(self, node: FieldNode, owner: Any) -> None:
        flags = set(node.flags)
        hash_: bool | None = "hash" in flags if flags & {"hash", "no hash"} else None
        init, repr_, compare, kw_only = (name in flags for name in _KEPT)
        factory: Any = dataclasses.MISSING if node.factory is None else _factory(node.factory)
        super().__init__(
            Placeholder("...") if "default" in flags else dataclasses.MISSING,
            factory,
            init,
            repr_,
            hash_,
            compare,
            {},
            kw_only,
        )
        self.name = node.name
        self.type = Annotation(node.type or "object")
        kind = "_FIELD_CLASSVAR" if "class" in flags else "_FIELD_INITVAR"
        self._field_type = getattr(
            dataclasses, "_FIELD" if flags.isdisjoint(("class", "initial")) else kind
        )
        self._owner = owner

    @property
    def default(self) -> Any:
        """The value that the class has under the field's name, at one message."""
        held = _DEFAULT.__get__(self)
        return getattr(self._owner, self.name) if type(held) is Placeholder else held

    @default.setter
    def default(self, value: Any) -> None:
        _DEFAULT.__set__(self, value)


_DEFAULT: Final[Any] = vars(dataclasses.Field)["default"]


def _factory(path: str) -> Any:
    """A default factory: the builtin itself, or what shows that there is one."""
    try:
        found = builtin_named(path)
    except LookupError:
        found = None
    return found if callable(found) and path != "builtins:object" else Placeholder(path)


def fields_of(node: ClassNode, owner: Any) -> dict[str, Any]:
    """`__dataclass_fields__` of a class."""
    return {field.name: _Field(field, owner) for field in node.fields}


def switches_of(node: ClassNode) -> Any:
    """`__dataclass_params__` of a class."""
    names = ("init", "repr", "eq", "order", "unsafe_hash", "frozen", "match_args", "kw_only")
    on = node.fixed["__dataclass_params__"]
    return SimpleNamespace(**{n: n in on for n in (*names, "slots", "weakref_slot")})


def type_parameters(node: ClassNode) -> tuple[Any, ...]:
    """The type parameters of a generic class."""
    made: list[Any] = []
    for name in node.fixed.get("__parameters__", ()):
        kind: Any = typing.TypeVar
        if name.startswith("*"):
            kind = typing.ParamSpec if name.startswith("**") else typing.TypeVarTuple
        made.append(kind(name.lstrip("*")))
    return tuple(made)


def generic_of(parameters: tuple[Any, ...]) -> Any:
    """`Generic[T, *Ts]`."""
    generic: Any = typing.Generic
    unpacked: Any = typing.Unpack
    return generic[
        tuple([unpacked[p] if isinstance(p, typing.TypeVarTuple) else p for p in parameters])
    ]


def field_reader(index: int, doc: str | None) -> property:
    """A field of a named tuple: read from the content."""

    def read(self: Any) -> Any:
        return tuple.__getitem__(self, index)

    return property(read, None, None, doc)
