"""Classes that a client derives from served ones: real classes, whose methods call back.

The client sends the body as entries, with a node of each function (`client.class_bodies`);
the class is made by `types.new_class`, so through the real metaclass and with all of its hooks.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..codec.frames import CALLER
from ..codec.markers import Ref
from ..errors import RemoteProtocolError
from ..protocol.messages import Op
from ..protocol.specials import FORWARDED
from ..shallow.source import Functions
from ..tree.documents import class_from
from ..tree.introspection import is_class, mro_of, namespace_of
from ..tree.nodes import ClassNode, FunctionNode
from .class_parts import descriptor, exiting, finalizer
from .reach import MISSING, static_value

if TYPE_CHECKING:
    from ..protocol.messages import Target
    from ..shallow.caller import AwaitedCaller, Caller
    from .calling_back import CallingBack
    from .dispatch import Dispatcher
    from .policy import Policy

__all__ = ["MARK", "Definition", "Definitions", "called_back", "is_defined"]

MARK: Final = "__wsremote_definition__"
"""Name in the namespace of a class that a client has defined; its value is a `Definition`."""

_MOST_CLASSES: Final = 100_000
"""Classes that a client may define."""

_NO_REFERENCE: Final = "a function of a class has a node, a name, what to call, a flag and data"


class Definition:
    """Which class of which client a class is.

    Attributes:
        session: Whose client has defined it.
        path: What it is called on the wire.
    """

    __slots__ = ("path", "session")

    def __init__(self, session: CallingBack, path: str) -> None:
        self.session = session
        self.path = path


def called_back(function: FunctionType) -> Any:
    """The client's function that a function of a defined class calls; None for all others."""
    found = function.__dict__.get(MARK)
    return found[1] if type(found) is tuple and found[0] is function.__code__ else None


def is_defined(cls: type) -> bool:
    """Whether a class is one that a client has defined, itself and not a base of it."""
    return type(namespace_of(cls).get(MARK)) is Definition


class Definitions:
    """The classes that one client has defined.

    Args:
        session: Whose client.
        policy: What may be reached.
        dispatcher: Runs what is called.
    """

    def __init__(self, session: CallingBack, policy: Policy, dispatcher: Dispatcher) -> None:
        self._session = session
        self._policy = policy
        self._dispatcher = dispatcher
        caller = session.lending.stand_ins.caller
        self._functions = Functions(caller)
        # Of exceptions: as arguments these are copies, and a method wants the object.
        self._of_exceptions = Functions(_ByHandle(caller))
        # Local bases of the client's classes, by the client's number.
        self._made: dict[int, type] = {}
        self._variables: dict[str, Any] = {}
        # Served classes whose private names the client knows.
        self._told: set[type] = set()

    def path_of(self, cls: type) -> str | None:
        """The path of a class that this client has defined; None for all others."""
        found = namespace_of(cls).get(MARK)
        return found.path if type(found) is Definition and found.session is self._session else None

    def execute(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """`Op.DEFINE` or `Op.INHERITED`.

        Raises:
            NotExposed: The policy refuses it.
            RemoteProtocolError: The message makes no sense.
            BaseException: Whatever served code raises.
        """
        if op == Op.DEFINE and target == "":
            if len(args) != 4:
                raise RemoteProtocolError("a class is a number, a document, bases and entries")
            number, document, bases, entries = args
            return self._define(number, document, bases, entries, kwargs)
        found = (
            self._policy.resolve(target)
            if type(target) is str
            else self._session.lending.lent(target)  # type: ignore[arg-type]
        )
        if not is_class(found) or name is None:
            raise RemoteProtocolError(f"op {op} needs a class and a name")
        if op == Op.DEFINE:
            return self._change(found, name, args)
        return self._inherited(found, name, args, kwargs)

    # ---- defining --------------------------------------------------------------------

    def _define(
        self,
        number: int,
        document: bytes,
        bases: tuple[Any, ...],
        entries: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> list[tuple[str, list[tuple[str, str]]]]:
        """Make a class; what the client has to know of its bases."""
        made = self._make(number, document, bases, entries, keywords)
        # The client knows its number and handle before the answer.
        self._session.lending.class_number(made)
        sent = {_name_of(entry) for entry in entries}
        return [*self._private_names(made), *self._added_names(made, sent)]

    def _make(
        self,
        number: int,
        document: bytes,
        bases: tuple[Any, ...],
        entries: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> type:
        """The class of a definition."""
        if type(entries) is not tuple or type(bases) is not tuple or type(document) is not bytes:
            raise RemoteProtocolError("a class has a document, bases and entries")
        if type(number) is not int or len(self._made) >= _MOST_CLASSES:
            raise RemoteProtocolError(f"a client defines {_MOST_CLASSES} classes at most")
        made_bases = self._bases(bases)
        node = _described(document, made_bases)
        scope = {"__name__": node.module}

        def fill(namespace: dict[str, Any]) -> None:
            namespace["__module__"] = node.module
            namespace["__qualname__"] = node.qualname
            if node.doc is not None:
                namespace["__doc__"] = node.doc
            namespace[MARK] = Definition(self._session, f":{number}")
            for entry in entries:
                name = _name_of(entry)
                namespace[name] = self._value(entry, node, scope)

        made = types.new_class(node.name, made_bases, keywords, fill)
        if is_class(made):
            self._made[number] = made
        return made

    def _bases(self, sent: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self._base(each) for each in sent)

    def _base(self, sent: Any) -> Any:
        """A base: a class, the number of one that the client has defined, or its definition."""
        if is_class(sent):
            return sent
        if type(sent) is int and sent in self._made:
            return self._made[sent]
        if type(sent) is not tuple or not sent:
            raise RemoteProtocolError("a base is a class, a number, or the body of a class")
        if sent[0] == "of" and len(sent) == 3:
            _, base, arguments = sent
            return self._base(base)[tuple(self._argument(each) for each in arguments)]
        if len(sent) != 4:
            raise RemoteProtocolError("a base with a body is a definition")
        number, document, bases, entries = sent
        return self._make(number, document, bases, entries, {})

    def _argument(self, sent: Any) -> Any:
        """An argument of a subscripted base."""
        if type(sent) is tuple and len(sent) == 2 and type(sent[1]) is str:
            return self._variables.setdefault(sent[1], TypeVar(sent[1]))
        return sent

    def _value(self, entry: Any, node: ClassNode, scope: dict[str, Any]) -> Any:
        """What stands in the namespace for an entry."""
        try:
            return self._made_of(entry, node, scope)
        except (IndexError, TypeError, ValueError) as error:
            raise RemoteProtocolError(f"an entry of a class is malformed: {error}") from error

    def _made_of(self, entry: Any, node: ClassNode, scope: dict[str, Any]) -> Any:
        """The same, of an entry that is as it should be."""
        name, kind, *rest = entry

        def function(reference: Any) -> Any:
            return self._function(reference, node, scope)

        if kind == "value":
            return rest[0]
        if kind == "function":
            return function(rest[0])
        if kind == "staticmethod":
            return staticmethod(function(rest[0]))
        if kind == "classmethod":
            return classmethod(function(rest[0]))
        if kind == "property":
            parts = [None if part is None else function(part) for part in rest[:3]]
            return property(parts[0], parts[1], parts[2], rest[3])
        if kind == "cached":
            return functools.cached_property(function(rest[0]))
        if kind == "auto":
            return enum.auto()
        if kind == "exit":
            return exiting(function(rest[0]), name)
        if kind == "finalizer":
            return finalizer(function(rest[0]))
        if kind == "descriptor":
            get, set_, delete, abstract = rest
            return descriptor(get, set_, delete, abstract=abstract is True)
        raise RemoteProtocolError(f"an entry of a class is of the unknown kind {kind!r}")

    def _function(self, reference: Any, node: ClassNode, scope: dict[str, Any]) -> Any:
        """A function that calls back, with the signature of the client's."""
        if type(reference) is not tuple or len(reference) != 5:
            raise RemoteProtocolError(_NO_REFERENCE)
        key, name, called, abstract, held = reference
        handle = self._session.lending.borrowed(called)
        if handle is None:
            # One of the server's own comes home.
            return called
        described = node.members.get(key)
        if not isinstance(described, FunctionNode) or type(name) is not str:
            raise RemoteProtocolError(_NO_REFERENCE)
        if not isinstance(held, dict):
            raise RemoteProtocolError(_NO_REFERENCE)
        functions = self._of_exceptions if "exception" in node.traits else self._functions
        made = functions.function(dataclasses.replace(described, name=name), handle, scope)
        # The client's own frame is in the traceback; this one would show the same again.
        made.__code__ = made.__code__.replace(co_filename=CALLER)
        # Keeps the client's function alive. With the code, since `wraps` copies what is in here.
        made.__dict__.update(held)
        made.__dict__[MARK] = (made.__code__, called)
        if abstract is True:
            made.__isabstractmethod__ = True  # type: ignore[attr-defined]
        return made

    def _change(self, cls: type, name: str, args: tuple[Any, ...]) -> None:
        """Set or delete one name of a class that this client has defined."""
        if self.path_of(cls) is None:
            raise RemoteProtocolError(f"{cls.__qualname__} is no class that this client defines")
        if args == ((),):
            delattr(cls, name)
            return
        document, *entries = args
        node = _described(document, (cls,))
        for entry in entries:
            setattr(cls, _name_of(entry), self._value(entry, node, {"__name__": node.module}))

    def _private_names(self, made: type) -> Any:
        """The names with one underscore of its served bases: no tree lists them.

        Code of a derived class uses them on `super()`, which looks at classes alone.
        """
        for cls in mro_of(made):
            path = self._session.lending.name_of(cls)
            if path is None or cls in self._told:
                continue
            self._told.add(cls)
            names = [
                (name, _kind_of(value))
                for name, value in namespace_of(cls).items()
                if name.startswith("_")
                and not name.startswith("__")
                and self._policy.may_inherit(cls, name)
            ]
            if names:
                yield path, names

    def _added_names(self, made: type, sent: set[str]) -> Any:
        """What hooks of its bases have put into a class: its special methods count here."""
        path = self.path_of(made)
        names = [
            (name, "unset" if value is None and name in FORWARDED else _kind_of(value))
            for name, value in namespace_of(made).items()
            if name not in sent and (name in FORWARDED or not name.startswith("__"))
        ]
        if path is not None and names:
            yield path, names

    # ---- super() ---------------------------------------------------------------------

    def _inherited(
        self, start: type, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What `super(...)` finds, from `start` on in the order of the subject's class."""
        if len(args) < 2 or type(args[0]) is not int:
            raise RemoteProtocolError("super() needs what to do and with what")
        op, subject, *rest = args
        owner = subject if is_class(subject) and start in mro_of(subject) else type(subject)
        order = mro_of(owner)
        if start not in order:
            raise TypeError(f"{owner.__qualname__} does not derive from {start.__qualname__}")
        classes = order[order.index(start) :]
        if op in (Op.SET, Op.DELETE):
            return self._change_inherited(op, subject, name, classes, rest)
        self._policy.check_inherited(start, name)
        found = static_value(classes, name)
        if found is MISSING:
            raise AttributeError(
                f"'super' object has no attribute {name!r}", name=name, obj=subject
            )
        bind = getattr(type(found), "__get__", None)
        value = found if bind is None else bind(found, None if owner is subject else subject, owner)
        if op == Op.GET:
            return self._policy.given(start, name, value)
        if name in ("__exit__", "__aexit__") and len(rest) == 1:
            error = rest[0]
            rest = [None, None, None] if error is None else [type(error), error, None]
        return self._dispatcher.call(value, tuple(rest), kwargs)

    def _change_inherited(
        self, op: int, subject: Any, name: str, classes: tuple[type, ...], rest: list[Any]
    ) -> None:
        """Set or delete an attribute as the classes from one of the order on do."""
        self._policy.admit_change(subject, name)
        word = "__set__" if op == Op.SET else "__delete__"
        found = static_value(classes, name)
        method = None if found is MISSING else getattr(type(found), word, None)
        if method is not None:
            method(found, subject, *rest)
        else:
            word = "__setattr__" if op == Op.SET else "__delattr__"
            static_value(classes, word)(subject, name, *rest)


def _described(document: bytes, bases: tuple[Any, ...]) -> ClassNode:
    """The node of a class with these bases."""
    node = class_from(document)
    if any(is_class(base) and BaseException in mro_of(base) for base in bases):
        node = dataclasses.replace(node, traits=("exception",))
    return node


class _ByHandle:
    """Calls methods of exceptions.

    Args:
        caller: Of the client.
    """

    def __init__(self, caller: Caller | AwaitedCaller) -> None:
        self._caller: Any = caller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caller, name)

    @property
    def awaited(self) -> _ByHandle:
        """The same for async methods."""
        return _ByHandle(self._caller.awaited)

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`method(self, ...)`, where `self` is an exception."""
        if args and isinstance(args[0], BaseException):
            args = (Ref(args[0]), *args[1:])
        return self._caller.call(target, args, kwargs)


def _name_of(entry: Any) -> str:
    """The name of an entry."""
    if type(entry) is not tuple or len(entry) < 2 or type(entry[0]) is not str:
        raise RemoteProtocolError("an entry of a class is a name, a kind, and what belongs to it")
    if entry[0] in (MARK, "__class__", "__bases__", "__dict__", "__mro__"):
        raise RemoteProtocolError(f"{entry[0]} is no name for an entry")
    return entry[0]


def _kind_of(value: object) -> str:
    """What a member of a class is, for the side that makes something that stands for it."""
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__
    if isinstance(value, FunctionType):
        return "method"
    return "property" if hasattr(type(value), "__set__") else "variable"
