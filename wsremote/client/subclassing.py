"""Classes that are derived here from served ones.

One message has the server make a real class of the same body through the real metaclass.
The class here is Python's own: its methods run where they are called, `super()` leads to
the server, and instances are handles, whose class it is.
"""

from __future__ import annotations

import inspect
import itertools
import threading
from types import FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..codec.names import builtin_name
from ..errors import EncodeError
from ..shallow.announced import DEFINED
from ..shallow.metaclass import ShallowClass
from ..shallow.metaclasses import made_by
from ..shallow.overriding import yield_to_overrides
from ..tree.documents import document_of
from ..tree.introspection import mro_of, namespace_of
from ..tree.signature import to_inspect
from .class_bodies import REMOTE, Body, OwnMethod, is_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .package import ShallowPackage

__all__ = ["Subclassing"]

# What the namespaces of classes that are written in C hold.
_OF_C: Final = (MethodDescriptorType, WrapperDescriptorType)


class Subclassing:
    """Defines the classes that one client derives from served ones.

    Args:
        package: The shallow package of the session.
    """

    def __init__(self, package: ShallowPackage) -> None:
        self._package = package
        self._numbers = itertools.count(1)
        # All classes that the server has by a number: derived ones, and their local bases.
        self._defined: dict[int, type] = {}
        self._number_of: dict[int, int] = {}
        self._defining = threading.RLock()

    # ---- defining --------------------------------------------------------------------

    def subclass(
        self,
        metaclass: type[ShallowClass],
        name: str,
        bases: tuple[type, ...],
        namespace: Mapping[str, Any],
        keywords: dict[str, Any],
    ) -> ShallowClass:
        """The class of a `class` statement whose bases include a class of the server."""
        for base in bases:
            if isinstance(base, ShallowClass) and base._wsremote_classes is not self._classes:
                raise TypeError(
                    f"{name} cannot derive from classes of two sessions: {base.__qualname__} is one"
                    f" of session {base._wsremote_classes.caller.id}"
                )
        body = Body(self._package, namespace)
        # For `ship`: names that the class here does not keep.
        hidden = {name: namespace[name] for name in REMOTE if name in namespace}
        module = namespace.get("__module__", "__main__")
        qualname = namespace.get("__qualname__", name)
        body.local |= {
            "__module__": module,
            "__qualname__": qualname,
            "_wsremote_path": "",
            "_wsremote_construct": _construct,
            "_wsremote_defined": self,
            "_wsremote_hidden": hidden,
        }
        if isinstance(metaclass, ShallowClass):
            keywords = {**keywords, "metaclass": metaclass}
        node = body.document_node(name, qualname, namespace.get("__doc__"))
        if not any(isinstance(base, ShallowClass) for base in bases):
            own = {"_wsremote_classes": self._classes, "_wsremote_node": node}
            body.local = {**self._classes.namespace(bases), **own, **body.local}
        made = made_by(metaclass, name, bases, body.local)
        type.__setattr__(made, "__abstractmethods__", frozenset())
        if "__slots__" in namespace:
            type.__setattr__(made, "__slots__", namespace["__slots__"])
        self._shadow(made, body)
        yield_to_overrides(self._package.caller, made)
        number = self._numbered(made)
        sent_bases = self._sent_bases(bases, namespace.get("__orig_bases__"))
        definition = (number, document_of(node), sent_bases, tuple(body.entries))
        try:
            told = self._package.caller.define("", None, definition, keywords)
        except BaseException:
            self._forget(made)
            raise
        for path, names in told:
            self._classes.tell_private(self._package.class_at(path), names)
        return made

    def assign(self, cls: ShallowClass, name: str, value: Any) -> None:
        """`cls.name = value` for a class that was defined here."""
        body = Body(self._package, {"__module__": cls.__module__, name: value})
        if body.entries:
            self._send(cls, name, body)
        if name in body.local:
            type.__setattr__(cls, name, body.local[name])
        elif name == "__slots__":
            type.__setattr__(cls, name, value)

    def remove(self, cls: ShallowClass, name: str) -> None:
        """`del cls.name` for a class that was defined here."""
        if name in cls.__dict__:
            type.__delattr__(cls, name)
        self._package.caller.define(cls._wsremote_path, name, ((),), {})

    def _send(self, cls: ShallowClass, name: str, body: Body) -> None:
        """Have the server's class changed as a body says."""
        node = body.document_node(cls.__name__, cls.__qualname__, None)
        arguments = (document_of(node), *body.entries)
        self._package.caller.define(cls._wsremote_path, name, arguments, {})

    def ship(self, cls: ShallowClass) -> None:
        """Send the code of a class's methods: from now on they run on the server."""
        own = {**vars(cls), **cls.__dict__["_wsremote_hidden"]}
        code = {name: value for name, value in own.items() if is_code(name, value)}
        body = Body(self._package, {"__module__": cls.__module__, **code}, shipped=True)
        shown = self.signature(cls)
        self._send(cls, "*", body)
        type.__setattr__(cls, "_wsremote_signature", shown)
        for name in code:
            if name in cls.__dict__:
                type.__delattr__(cls, name)
        kinds = [(entry[0], entry[1]) for entry in body.entries]
        self._classes.tell_private(cls, kinds, body.nodes)

    def instance_set(self, instance: Any, name: str) -> None:
        """An attribute was set on an instance: a function of its class no more says what it is."""
        for cls in mro_of(type(instance)):
            found = namespace_of(cls).get(name)
            if found is not None:
                is_local = "_wsremote_defined" in namespace_of(cls) or type(cls) is type
                if type(found) is FunctionType and is_local:
                    made = Body(self._package, {}).own_data(name, found, OwnMethod)
                    type.__setattr__(type(instance), name, made)
                return

    def signature(self, cls: Any) -> inspect.Signature | None:
        """Of the constructor of a class that derives from one that was defined here."""
        for base in cls.__mro__:
            if "_wsremote_signature" in namespace_of(base):
                return base._wsremote_signature  # type: ignore[no-any-return]
            node = namespace_of(base).get("_wsremote_node")
            if node is not None:
                return None if node.signature is None else to_inspect(node.signature)
            for name in ("__init__", "__new__"):
                found = namespace_of(base).get(name)
                if isinstance(found, staticmethod):
                    found = found.__func__
                if type(found) is FunctionType:
                    return _without_first(found)
        return None

    @property
    def _classes(self) -> Any:
        return self._package.classes

    def _numbered(self, cls: type) -> int:
        """The number of a class; a new one if it has none."""
        with self._defining:
            number = self._number_of.get(id(cls))
            if number is None:
                number = next(self._numbers)
                # In this order: the class is kept as long as its id is used.
                self._defined[number] = cls
                self._number_of[id(cls)] = number
            return number

    def _forget(self, cls: type) -> None:
        """A class that the server did not make."""
        with self._defining:
            self._defined.pop(self._number_of.pop(id(cls)), None)

    def _shadow(self, made: ShallowClass, body: Body) -> None:
        """For data of local bases: instances on the server may have their own under the name."""
        seen = set(namespace_of(made))
        for cls in mro_of(made)[1:]:
            is_plain = not isinstance(cls, ShallowClass) and not _is_shared(cls)
            for name, value in namespace_of(cls).items():
                if name in seen:
                    continue
                seen.add(name)
                if is_plain and not name.startswith("__") and body.is_data(name, value):
                    type.__setattr__(made, name, body.own_data(name, value))

    # ---- bases -----------------------------------------------------------------------

    def _sent_bases(self, bases: tuple[type, ...], written: object) -> tuple[Any, ...]:
        """The bases as they are sent; those that were subscripted with their arguments."""
        if type(written) is tuple and len(written) == len(bases):
            return tuple(
                self._subscripted(base, each) for base, each in zip(bases, written, strict=True)
            )
        return tuple(self._base(base) for base in bases)

    def _subscripted(self, base: type, written: Any) -> Any:
        """A base that the `class` statement has with arguments: `Base[int]`."""
        arguments = getattr(written, "__args__", None)
        if written is base or type(arguments) is not tuple:
            return self._base(base)
        return ("of", self._base(base), tuple(self._argument(each) for each in arguments))

    def _argument(self, argument: Any) -> Any:
        """An argument of a subscripted base; as text where it is nothing that has a name."""
        if isinstance(argument, TypeVar):
            return ("variable", argument.__name__)
        if isinstance(argument, type) and (
            builtin_name(argument) is not None or self._package.name_of(argument) is not None
        ):
            return argument
        return str(argument)

    def _base(self, cls: type) -> Any:
        """A base: the server's own, one of Python's, or a class of the client with its body."""
        if isinstance(cls, ShallowClass) or _is_shared(cls):
            return cls
        number = self._number_of.get(id(cls))
        if number is not None:
            return number
        if any(type(value) in _OF_C for value in namespace_of(cls).values()):
            raise EncodeError(
                f"{cls.__module__}.{cls.__qualname__} cannot be a base beside a class of the"
                " server: it is written in C and not one of those that both sides have. Hold an"
                " object of it instead of inheriting"
            )
        body = Body(self._package, namespace_of(cls))
        node = body.document_node(cls.__name__, cls.__qualname__, cls.__doc__)
        bases = self._sent_bases(cls.__bases__, namespace_of(cls).get("__orig_bases__"))
        return (self._numbered(cls), document_of(node), bases, tuple(body.entries))

    # ---- names on the wire -----------------------------------------------------------

    def class_at(self, path: str) -> type:
        """The class of a path that starts with `DEFINED`.

        Raises:
            LookupError: No class of this client has it.
        """
        return self._defined[int(path.removeprefix(DEFINED))]

    def announced(self, path: str, handle: int | None) -> None:
        """The server says under which handle it has a class that is defined here."""
        cls = self.class_at(path)
        if isinstance(cls, ShallowClass):
            type.__setattr__(cls, "_wsremote_path", handle)


def _construct(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Make an instance on the server, whose class knows which `__init__` is called back."""
    return cls._wsremote_classes.caller.call(cls._wsremote_path, args, kwargs or None)


def _without_first(function: FunctionType) -> inspect.Signature:
    """The signature of a constructor as its callers see it."""
    shown = inspect.signature(function)
    return shown.replace(parameters=list(shown.parameters.values())[1:])


def _is_shared(cls: type) -> bool:
    """Whether both sides have a class, under its name."""
    return builtin_name(cls) is not None
