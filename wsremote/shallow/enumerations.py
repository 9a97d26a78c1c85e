"""Shallow enumerations: real `Enum` classes, whose members are the server's.

The members of an enumeration never change, so they are asked for once, all together, and
kept as long as the class.
"""

from __future__ import annotations

from enum import EnumMeta, Flag
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..tree.introspection import namespace_of
from .metaclass import ClassVariable, ShallowClass
from .spoken import is_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Member", "ShallowEnum", "namespace_of_members"]

_MEMBERS = "_wsremote_members"
_CANONICAL = "_wsremote_canonical"


class ShallowEnum(ShallowClass, EnumMeta):
    """The class of shallow enumerations, which are containers of their members."""

    __module__ = "builtins"

    def _ask(cls, name: str, *args: Any) -> Any:
        return cls._wsremote_classes.caller.special(cls._wsremote_path, name, args)

    def _refuse_unawaited(cls) -> None:
        """In a session whose calls are awaited, nothing is asked for that nobody can await."""
        if is_async(cls._wsremote_classes.caller):
            raise TypeError(
                f"the members of {cls.__qualname__} are the server's: write"
                f" `await {cls.__qualname__}.NAME`, or `await {cls.__qualname__}.__members__`"
            )

    def _once(cls, key: str, read: Callable[[], Any]) -> Any:
        """What does not change any more once there are members."""
        found = namespace_of(cls).get(key)
        if found is None:
            found = read()
            if found:
                type.__setattr__(cls, key, found)
        return found

    def _canonical(cls) -> tuple[Any, ...]:
        """The members that iteration gives: without aliases, and without combined flags."""
        cls._refuse_unawaited()
        if any(base is Flag for base in cls.__mro__):
            canonical: tuple[Any, ...] = cls._once(_CANONICAL, lambda: tuple(cls._ask("__iter__")))
            return canonical
        return tuple({id(member): member for member in cls.__members__.values()}.values())

    @property
    def __members__(cls) -> Mapping[str, Any]:  # type: ignore[override]
        caller, path = cls._wsremote_classes.caller, cls._wsremote_path

        if is_async(caller):
            # To be awaited, as every attribute.
            members: Mapping[str, Any] = caller.get(path, "__members__")
            return members

        def read() -> Any:
            # The copy is nobody else's and so comes whole; the original is the class's own.
            return caller.get(path, "__members__").copy()

        return MappingProxyType(cls._once(_MEMBERS, read))

    # What `EnumMeta` and others read; `Enum` itself has them too, empty.
    @property
    def _member_map_(cls) -> dict[str, Any]:  # type: ignore[override]
        return dict(cls.__members__)

    @property
    def _member_names_(cls) -> list[str]:  # type: ignore[override]
        return [member._name_ for member in cls._canonical()]

    @property
    def _value2member_map_(cls) -> Any:  # type: ignore[override]
        return cls._wsremote_classes.caller.get(cls._wsremote_path, "_value2member_map_")

    def __iter__(cls) -> Iterator[Any]:
        members: Iterator[Any] = iter(cls._canonical())
        return members

    def __reversed__(cls) -> Iterator[Any]:
        members: Iterator[Any] = reversed(cls._canonical())
        return members

    def __len__(cls) -> int:
        return len(cls._canonical())

    def __bool__(cls) -> Literal[True]:
        return True

    def __getitem__(cls, name: str) -> Any:
        if is_async(cls._wsremote_classes.caller):
            return cls._ask("__getitem__", name)
        known = cls.__members__
        return known[name] if type(name) is str and name in known else cls._ask("__getitem__", name)

    def __contains__(cls, value: object) -> bool:
        cls._refuse_unawaited()
        if any(value is member for member in cls.__members__.values()):
            return True
        return bool(cls._ask("__contains__", value))


class Member(ClassVariable):
    """A member as an attribute of its class."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if (
            instance is None
            and isinstance(owner, ShallowEnum)
            and not is_async(owner._wsremote_classes.caller)
        ):
            found = owner.__members__.get(self._name)
            if found is not None:
                return found
        return super().__get__(instance, owner)


class _Once:
    """Data of a member that does not change: asked for once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        caller = owner._wsremote_classes.caller
        value = caller.get(instance._wsremote_handle, self._name)
        if is_async(caller):
            return value
        # A plain member's value may be anything: mutable, it is the server's own all the same.
        object.__setattr__(instance, self._name, value)
        return value


def namespace_of_members() -> dict[str, Any]:
    """What the members of an enumeration have besides."""
    return {"_name_": _Once("_name_"), "_value_": _Once("_value_")}
