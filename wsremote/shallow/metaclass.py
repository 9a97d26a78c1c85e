"""The class of shallow classes, and what stands in their namespaces.

Class attributes are the server's: reading one from the class or from an instance is one
message, setting one as well. What the tree lists and is no data (methods, nested classes,
aliases) is made here, at its first use.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any, Final

from ..codec.names import builtin_name
from ..tree.signature import to_inspect
from .names import INTERNAL, is_probe

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Iterator

    from ..tree.nodes import ClassNode
    from .classes import Classes

__all__ = ["ClassVariable", "Lazy", "LazyMethod", "LazyReference", "ShallowClass", "ShallowEnum"]

# What Python itself sets on classes.
_MACHINERY: Final = frozenset(["__abstractmethods__", "_abc_impl", "__parameters__"])


class ShallowClass(ABCMeta):
    """The class of shallow classes. What their class attributes are, the server says."""

    # Has no file: notebooks would show ours as that of each class.
    __module__ = "builtins"

    # What each class has, by the names that `names.INTERNAL` starts.
    _wsremote_classes: Classes
    _wsremote_path: str
    _wsremote_node: ClassNode
    _wsremote_construct: Callable[..., Any]
    _wsremote_blank: Callable[[type], Any]

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any
    ) -> Any:
        served = next(base for base in bases if isinstance(base, ShallowClass))
        raise TypeError(
            f"subclassing served classes is not supported yet: {name} derives from "
            f"{served._wsremote_path}, a class of the server at "
            f"{served._wsremote_classes.caller.url}; use an object of it instead of inheriting"
        )

    def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
        return cls._wsremote_construct(cls, *args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or _stands_for(cls, type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or _stands_for(cls, subclass)

    @property
    def __signature__(cls) -> inspect.Signature | None:
        node = cls._wsremote_node
        return None if node.signature is None else to_inspect(node.signature)

    def __getattr__(cls, name: str) -> Any:
        # A name that is there and comes here: the server has been asked for it, and had none.
        # `help` sorts attributes by `_fields`.
        if (
            is_probe(name)
            or any(name in base.__dict__ for base in cls.__mro__)
            or (name == "_fields" and "namedtuple" not in cls._wsremote_node.traits)
        ):
            raise AttributeError(
                f"type object {cls.__name__!r} has no attribute {name!r}", name=name, obj=cls
            )
        return cls._wsremote_classes.caller.get(cls._wsremote_path, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name in _MACHINERY:
            type.__setattr__(cls, name, value)
            return
        classes = cls._wsremote_classes
        classes.caller.set(cls._wsremote_path, name, value)
        classes.renew(cls, name)

    def __delattr__(cls, name: str) -> None:
        cls._wsremote_classes.caller.delete(cls._wsremote_path, name)
        if name in cls.__dict__:
            type.__delattr__(cls, name)

    def register(cls, *args: Any, **kwargs: Any) -> Any:
        """What the server's class has under this name, which here all classes have."""
        result = cls._wsremote_classes.caller.call_method(
            cls._wsremote_path, "register", args, kwargs or None
        )
        if "abstract" in cls._wsremote_node.traits and args and isinstance(args[0], type):
            ABCMeta.register(cls, args[0])
        return result

    def __dir__(cls) -> list[str]:
        for base in cls.__mro__:
            for value in list(vars(base).values()):
                # Whoever lists a class looks at its methods next, often without running code.
                if type(value) is LazyMethod:
                    value.__get__(None, base)
        return [name for name in type.__dir__(cls) if not name.startswith((INTERNAL, "_abc_"))]


def _stands_for(cls: ShallowClass, kind: type) -> bool:
    """Whether instances of `cls` arrive here as values, and so as instances of `kind`."""
    return any(
        base.__name__ == cls.__name__
        and base.__module__ == cls.__module__
        and not isinstance(base, ShallowClass)
        and builtin_name(base) is not None
        for base in kind.__mro__
    )


class ShallowEnum(ShallowClass):
    """The class of shallow enumerations, which are containers of their members."""

    __module__ = "builtins"

    def _ask(cls, name: str, *args: Any) -> Any:
        return cls._wsremote_classes.caller.special(cls._wsremote_path, name, args)

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._ask("__iter__"))

    def __reversed__(cls) -> Iterator[Any]:
        return iter(cls._ask("__reversed__"))

    def __len__(cls) -> int:
        length: int = cls._ask("__len__")
        return length

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, name: str) -> Any:
        return cls._ask("__getitem__", name)

    def __contains__(cls, value: object) -> bool:
        return bool(cls._ask("__contains__", value))

    @property
    def __members__(cls) -> Any:
        return cls._wsremote_classes.caller.get(cls._wsremote_path, "__members__")


class ClassVariable(property):
    """A class attribute that is data: a property for instances, and read from the class too.

    A subclass of `property`, since notebooks read any other descriptor when they look at it.
    """

    def __init__(
        self,
        name: str,
        fget: Callable[[Any], Any],
        fset: Callable[[Any, Any], None],
        fdel: Callable[[Any], None],
        doc: str | None,
    ) -> None:
        super().__init__(fget, fset, fdel, doc)
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None or not isinstance(owner, ShallowClass):
            return super().__get__(instance, owner)
        return owner._wsremote_classes.caller.get(owner._wsremote_path, self._name)


class Lazy:
    """Stands in a class for what is made when it is first used: a nested class, an alias."""

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, instance: Any, owner: type) -> Any:
        made = self._make()
        for home in owner.__mro__:
            if home.__dict__.get(self._name) is self:
                type.__setattr__(home, self._name, made)
        bind = getattr(type(made), "__get__", None)
        return made if bind is None else bind(made, instance, owner)


class LazyMethod(Lazy):
    """The same for a method: programs use few of those that a class has."""

    __slots__ = ()


class LazyReference(Lazy):
    """The same for an alias; the server is asked where the tree has not what it stands for."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: Any) -> Any:
        try:
            return super().__get__(instance, owner)
        except KeyError:
            target = owner._wsremote_path if instance is None else instance._wsremote_handle
            return owner._wsremote_classes.caller.get(target, self._name)
