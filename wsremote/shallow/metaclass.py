"""The class of shallow classes, and what stands in their namespaces.

Class attributes are the server's: reading one from the class or from an instance is one
message, setting one as well. What the tree lists and is no data (methods, nested classes,
aliases) is made here, at its first use.
"""

from __future__ import annotations

import functools
import sys
import types
from abc import ABCMeta
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..codec.hiding import hide_own_frames, hiding
from ..codec.names import builtin_name
from ..errors import EncodeError
from ..protocol.messages import Op
from ..tree.introspection import lookup, namespace_of
from ..tree.signature import to_inspect
from .looking import is_looked_at
from .names import INTERNAL
from .overriding import QUIET, Quiet, overridden
from .spoken import is_async, refuse_change

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable

    from ..protocol.messages import Target
    from ..tree.nodes import ClassNode
    from .classes import Classes

__all__ = [
    "AskedMethod",
    "ClassVariable",
    "Lazy",
    "LazyMethod",
    "LazyOfClass",
    "LazyReference",
    "ShallowClass",
    "mark_abstract",
    "put",
    "was_deleted",
]

# What Python itself sets on classes.
_MACHINERY: Final = frozenset(["__abstractmethods__", "_abc_impl", "__parameters__"])


class Subclassed(Protocol):
    """Who defines on the other side the classes that are derived here from its classes."""

    def signature(self, cls: Any) -> inspect.Signature | None:
        """Of the constructor."""

    def assign(self, cls: Any, name: str, value: Any) -> None:
        """`cls.name = value`."""

    def remove(self, cls: Any, name: str) -> None:
        """`del cls.name`."""

    def instance_set(self, instance: Any, name: str) -> None:
        """An instance has got an attribute of its own."""


class ShallowClass(ABCMeta):
    """The class of shallow classes. What their class attributes are, the server says."""

    # Has no file: notebooks would show ours as that of each class.
    __module__ = "builtins"

    if TYPE_CHECKING:
        # Not in its `__annotations__`: a class that has none of its own would show those.
        # What each class has, by the names that `names.INTERNAL` starts.
        _wsremote_classes: Classes
        # Its name on the wire: a path of the tree, or the handle of a class outside it.
        _wsremote_path: Target
        _wsremote_node: ClassNode
        _wsremote_construct: Callable[..., Any]
        _wsremote_blank: Callable[[type], Any]
        _wsremote_defined: Subclassed | None

    # What has defined a class that is derived here; None for the other side's own.
    _wsremote_defined = None

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any
    ) -> Any:
        is_type = "_wsremote_path" not in namespace_of(mcls)
        if is_type and not any(isinstance(base, ShallowClass) for base in bases):
            # It stands for `type` here: `type(cls)(name, (object,), namespace)`.
            return types.new_class(name, bases, keywords, lambda made: made.update(namespace))
        # The metaclass itself, where it is the server's and no base is.
        served: Any = next((base for base in bases if isinstance(base, ShallowClass)), mcls)
        return served._wsremote_classes.subclass(mcls, name, bases, namespace, keywords)

    def mro(cls) -> list[type]:
        order = type.mro(cls)
        if QUIET in namespace_of(cls):
            order.insert(1, Quiet)
        return order

    def __init__(cls, *_: Any, **keywords: Any) -> None:
        """The other side has initialized its class; ours has nothing more to be told."""

    def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return cls._wsremote_construct(cls, *args, **kwargs)
        except BaseException:
            hide_own_frames()
            raise

    @hiding
    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance) or _stands_for(cls, type(instance)):
            return True
        traits = cls._wsremote_node.traits
        if "judging" in traits:
            return _asked(cls, "__instancecheck__", instance)
        return "virtual" in traits and _counts(cls, type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        if type.__subclasscheck__(cls, subclass) or _stands_for(cls, subclass):
            return True
        asking = sys._getframe(1).f_code
        if asking in _OF_ABC or (asking is _OF_DISPATCH and cls._wsremote_classes.caller.closed):
            # An abstract class of this Python goes through all that derive from it, and so does
            # `functools.singledispatch`, which must not end at a session that is over.
            return isinstance(subclass, type) and ABCMeta.__subclasscheck__(cls, subclass)
        traits = cls._wsremote_node.traits
        if "judging" in traits:
            return _asked(cls, "__subclasscheck__", subclass)
        return "virtual" in traits and _counts(cls, subclass)

    @property
    def __signature__(cls) -> inspect.Signature | None:
        if cls._wsremote_defined is not None:
            return cls._wsremote_defined.signature(cls)
        if cls._wsremote_classes.asks_always:
            found: inspect.Signature = cls._wsremote_classes.caller.get(
                cls._wsremote_path, "__signature__"
            )
            return found
        node = cls._wsremote_node
        return None if node.signature is None else to_inspect(node.signature)

    @hiding
    def __getattr__(cls, name: str) -> Any:
        # A name that is there and comes here: the server has been asked for it, and had none.
        # `help` sorts attributes by `_fields`.
        if (
            cls._wsremote_path == ""
            or cls._wsremote_classes.is_probe(name)
            or any(name in namespace_of(base) for base in cls.__mro__)
            or (name == "_fields" and "namedtuple" not in cls._wsremote_node.traits)
        ):
            raise AttributeError(
                f"type object {cls.__name__!r} has no attribute {name!r}", name=name, obj=cls
            )
        return cls._wsremote_classes.caller.get(cls._wsremote_path, name)

    @hiding
    def __setattr__(cls, name: str, value: Any) -> None:
        if name in _MACHINERY:
            type.__setattr__(cls, name, value)
            return
        if "_wsremote_defined" in namespace_of(cls) and cls._wsremote_defined is not None:
            cls._wsremote_defined.assign(cls, name, value)
            return
        classes = cls._wsremote_classes
        if is_async(classes.caller):
            refuse_change(name)
        classes.caller.set(cls._wsremote_path, name, value)
        classes.renew(cls, name)

    @hiding
    def __delattr__(cls, name: str) -> None:
        if "_wsremote_defined" in namespace_of(cls) and cls._wsremote_defined is not None:
            cls._wsremote_defined.remove(cls, name)
            return
        if is_async(cls._wsremote_classes.caller):
            refuse_change(name, "delattr")
        cls._wsremote_classes.caller.delete(cls._wsremote_path, name)
        was_deleted(cls, name)

    @hiding
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
            for value in list(namespace_of(base).values()):
                # Whoever lists a class looks at its methods next, often without running code.
                if type(value) is LazyMethod:
                    value.__get__(None, base)
        return [name for name in type.__dir__(cls) if not name.startswith((INTERNAL, "_abc_"))]


_OF_ABC: Final = frozenset(
    [
        ABCMeta.__instancecheck__.__code__,
        ABCMeta.__subclasscheck__.__code__,
    ]
)


_OF_DISPATCH: Final = functools._compose_mro.__code__  # type: ignore[attr-defined]


def was_deleted(cls: ShallowClass, name: str) -> None:
    """The other side's class has no such attribute any more."""
    # What reads it there finds from now on that it is gone, and still writes there.
    if name in namespace_of(cls) and not isinstance(namespace_of(cls)[name], ClassVariable):
        type.__delattr__(cls, name)


def _counts(cls: ShallowClass, subclass: type) -> bool:
    """Whether an abstract class takes one for a subclass that does not derive from it."""
    return ABCMeta.__subclasscheck__(cls, subclass) or _asked(cls, "__subclasscheck__", subclass)


def _asked(cls: ShallowClass, name: str, value: Any) -> bool:
    """What the other side says: it knows who is registered there, and has the hooks."""
    caller = cls._wsremote_classes.caller
    if is_async(caller):
        raise TypeError(
            f"whether it is an instance of {cls.__qualname__}, or a subclass, only the server can"
            " say: have a function of the server ask it"
        )
    try:
        return bool(caller.special(cls._wsremote_path, name, (value,)))
    except EncodeError:
        return False  # of a class that it cannot be told of, it knows nothing


def _stands_for(cls: ShallowClass, kind: type) -> bool:
    """Whether instances of `cls` arrive here as values, and so as instances of `kind`."""
    return any(
        base.__name__ == cls.__name__
        and base.__module__ == cls.__module__
        and not isinstance(base, ShallowClass)
        and builtin_name(base) is not None
        for base in kind.__mro__
    )


class ClassVariable(property):
    """A class attribute that is data: a property for instances, and read from the class too.

    A subclass of `property`, since notebooks read any other descriptor when they look at it.
    """

    def __init__(
        self,
        name: str,
        fget: Callable[[Any], Any],
        fset: Callable[[Any, Any], None] | None,
        fdel: Callable[[Any], None] | None,
        doc: str | None,
    ) -> None:
        super().__init__(fget, fset, fdel, doc)
        self._name = name

    @hiding
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        cls = type(instance) if owner is None else owner
        if isinstance(cls, ShallowClass) and cls._wsremote_defined is not None:
            holder = overridden(self, self._name, cls)
            if holder is not None:
                subject = cls if instance is None else instance
                caller = cls._wsremote_classes.caller
                return caller.inherited(Op.GET, holder._wsremote_path, self._name, subject)
        if instance is not None or not isinstance(owner, ShallowClass):
            return super().__get__(instance, owner)
        if is_looked_at():
            return self  # `help` reads each three times, and shows what is known of it
        return owner._wsremote_classes.caller.get(owner._wsremote_path, self._name)


class Lazy:
    """Stands in a class for what is made when it is first used: a nested class, an alias."""

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make

    @hiding
    def __get__(self, instance: Any, owner: type) -> Any:
        made = self._make()
        for home in owner.__mro__:
            if namespace_of(home).get(self._name) is self:
                put(home, self._name, made)
        bind = getattr(type(made), "__get__", None)
        return made if bind is None else bind(made, instance, owner)


class LazyMethod(Lazy):
    """The same for a method: programs use few of those that a class has."""

    __slots__ = ()


class AskedMethod(Lazy):
    """A method that is the other side's own function when it is read from the class.

    Served code that reads one keeps it, and sets another in its place on the class.
    """

    __slots__ = ("__isabstractmethod__", "_made")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        super().__init__(name, make)
        self.__isabstractmethod__ = False
        self._made: Any = None

    @property
    def made(self) -> Any:
        """What calls it by its name."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @hiding
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None and type(owner._wsremote_path) is int:
            return owner._wsremote_classes.caller.get(owner._wsremote_path, self._name)
        return self.made.__get__(instance, owner)


class LazyOfClass(Lazy):
    """The same for data that the class's node has, such as the fields of a dataclass."""

    __slots__ = ()

    def __init__(self, name: str, make: Callable[[ClassNode, Any], Any]) -> None:
        super().__init__(name, lambda: None)
        self._make = make  # type: ignore[assignment]

    def __get__(self, instance: Any, owner: Any) -> Any:
        home = next(c for c in owner.__mro__ if namespace_of(c).get(self._name) is self)
        made = self._make(home._wsremote_node, home)  # type: ignore[call-arg]
        type.__setattr__(home, self._name, made)
        return made


def put(cls: type, name: str, value: Any) -> None:
    """Set what stands in a class; not where its metaclass has a property, which would be set."""
    if not isinstance(lookup(type(cls), name), property):
        type.__setattr__(cls, name, value)


def mark_abstract(cls: ShallowClass, name: str) -> None:
    """Let `ABCMeta` see that a subclass still has to define a method or property."""
    member = namespace_of(cls)[name]
    if type(member) is LazyMethod:
        member.__get__(None, cls)
        member = namespace_of(cls)[name]
    target: Any = None
    if type(member) is AskedMethod:
        target = member
    elif type(member) is property and isinstance(read := member.fget, FunctionType):
        # Getters are shared by all classes.
        target = FunctionType(read.__code__, read.__globals__, name, None, read.__closure__)
        copied = property(target, member.fset, member.fdel, member.__doc__)
        type.__setattr__(cls, name, copied)
    elif isinstance(member, classmethod | staticmethod):
        target = member.__func__
    elif isinstance(member, FunctionType):
        target = member
    if target is not None:
        target.__isabstractmethod__ = True


class LazyReference(Lazy):
    """The same for an alias; the server is asked where the tree has not what it stands for."""

    __slots__ = ()

    @hiding
    def __get__(self, instance: Any, owner: Any) -> Any:
        try:
            return super().__get__(instance, owner)
        except KeyError:
            target = owner._wsremote_path if instance is None else instance._wsremote_handle
            return owner._wsremote_classes.caller.get(target, self._name)
