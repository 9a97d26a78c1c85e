"""What instances of shallow classes do: everything but the server's own methods.

These functions stand in the namespace of every shallow class that has no shallow base.
A proxy keeps its handle in its `__dict__`, not in a slot: two served classes that each had
a slot could not be bases of one class. An exception that was rebuilt from a fault is an
instance without handle: it is a plain local object.
"""

from __future__ import annotations

import contextlib
import inspect
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from ..codec.faults import REMOTE_TEXT
from ..codec.hiding import hide_own_frames, hiding
from ..codec.originals import ORIGINAL, Original
from ..errors import WsRemoteError
from ..protocol.messages import Op
from ..protocol.specials import AWAITED
from ..tree.introspection import lookup
from .callables import is_asked_for
from .iterators import quiet_handle
from .looking import is_looked_at, is_signature_asked
from .names import INTERNAL, is_dunder, is_probe
from .overriding import served_base
from .spoken import Spoken, is_async, refuse_change, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from ..protocol.messages import Target
    from ..tree.nodes import PropertyNode
    from .caller import Caller

__all__ = ["HANDLE", "PREVIEW", "Attributes", "handle_of", "label"]

HANDLE: Final = "_wsremote_handle"

PREVIEW: Final = "_wsremote_preview"
"""What a proxy shows of an object whose value has stayed because of its size; else None."""

# Ours in what a copied exception holds.
_COPIED: Final = frozenset([REMOTE_TEXT, ORIGINAL])
# Written by `raise` and by `traceback`, kept by the object that is raised here.
_RAISING: Final = frozenset(
    ["__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"]
)
# `typing` sets it on what a subscripted class makes, and goes without where it cannot.
_REFUSED: Final = frozenset(["__orig_class__", "__class__", "__dict__"])

_MOST_NAMES: Final = 1000
_EXCEPTION_DICT: Final = BaseException.__dict__["__dict__"].__get__


def handle_of(proxy: Any) -> int | None:
    """The handle of an instance of a shallow class; None for a rebuilt exception."""
    handle: int | None = proxy._wsremote_handle
    return handle


def label(proxy: Any) -> str:
    """What names a proxy without asking the server: `<pkg.C #12 at ws://host:9090>`."""
    cls = type(proxy)
    caller: Caller = cls._wsremote_classes.caller
    state = " (session closed)" if caller.closed else ""
    if proxy._wsremote_preview is not None:
        return f"{proxy._wsremote_preview}{state}"
    handle = quiet_handle(proxy)
    return f"<{cls.__module__}.{cls.__qualname__} #{handle} at {caller.url}{state}>"


class Attributes:
    """Makes what reads and writes attributes of the instances of one session."""

    def __init__(self, caller: Caller, is_probe: Callable[[str], bool] = is_probe) -> None:
        self._caller = caller
        self._is_probe = is_probe
        # A getter's AttributeError makes Python ask `__getattr__`, which must not ask again.
        # By thread and name; one is taken out right after it came in.
        self._missing: dict[tuple[int, str], tuple[Any, AttributeError]] = {}
        self._readers: dict[str, Callable[[Any], Any]] = {}
        # Names that are no more mere probes: somebody has set them here.
        self._self_made: set[str] = set()

    def namespace(self) -> dict[str, Any]:
        """What each instance has, whatever its class."""
        caller, missing, is_probe = self._caller, self._missing, self._is_probe
        awaits = is_async(caller)
        self_made = self._self_made
        get, set_, delete = caller.get, caller.set, caller.delete
        call_method, inherited = caller.call_method, caller.inherited

        def __getattr__(self: Any, name: str) -> Any:
            handle = self._wsremote_handle
            if missing:
                failed = missing.pop((get_ident(), name), None)
                if failed is not None and failed[0] is self:
                    raise failed[1]
            is_asked = not is_probe(name) or name in self_made or is_asked_for(self, name)
            if handle is None or not is_asked:
                raise _no_attribute(self, name)
            try:
                if type(self).__getattr__ is not __getattr__:
                    # Its own is called by the server, if that finds nothing.
                    return call_method(served_base(self), "__getattr__", (self, name), None)
                return get(handle, name)
            except BaseException as error:
                hide_own_frames()
                if isinstance(error, AttributeError):
                    _name(error, self, name)
                raise

        @hiding
        def __setattr__(self: Any, name: str, value: Any) -> None:
            handle = self._wsremote_handle
            if handle is None or name in _RAISING:
                object.__setattr__(self, name, value)
            elif name in _REFUSED:
                raise AttributeError(f"{name} of {label(self)} cannot be set: the server has it")
            elif awaits:
                refuse_change(name)
            elif type(self).__setattr__ is not own[0]:
                inherited(Op.SET, served_base(self), name, self, (value,))
            else:
                set_(handle, name, value)
                definition = type(self)._wsremote_defined
                if definition is not None:
                    definition.instance_set(self, name)
                if is_probe(name) and len(self_made) < _MOST_NAMES:
                    self_made.add(name)

        @hiding
        def __delattr__(self: Any, name: str) -> None:
            handle = self._wsremote_handle
            if handle is None or name in _RAISING:
                object.__delattr__(self, name)
            elif awaits:
                refuse_change(name, "delattr")
            elif type(self).__delattr__ is not own[1]:
                inherited(Op.DELETE, served_base(self), name, self)
            else:
                delete(handle, name)

        def __dir__(self: Any) -> list[str]:
            handle = self._wsremote_handle
            names: Iterable[str] = dir(type(self))
            if handle is None:
                names = [*names, *(name for name in self.__dict__ if name not in _COPIED)]
            elif not (caller.closed or is_looked_at() or awaits):
                # With what the object has got at run time.
                with contextlib.suppress(WsRemoteError):
                    names = call_method(handle, "__dir__", (), None)
            return [name for name in dict.fromkeys(names) if not name.startswith(INTERNAL)]

        def own_data(self: Any) -> Any:
            """What the object holds itself, whose changes count."""
            handle = self._wsremote_handle
            if handle is None:
                return _EXCEPTION_DICT(self) if isinstance(self, BaseException) else {}
            return {} if is_looked_at() else get(handle, "__dict__")

        own: tuple[Any, Any] = __setattr__, __delattr__
        made = [__getattr__, __setattr__, __delattr__, __dir__]
        named = {function.__name__: function for function in made}
        return {HANDLE: None, PREVIEW: None, "__dict__": property(own_data), **named}

    def object_namespace(self) -> dict[str, Any]:
        """What instances have besides if they are no exceptions."""
        call_method, inherited = self._caller.call_method, self._caller.inherited

        @hiding
        def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:
            # Called by that of a class that is derived here: with its first served base.
            return call_method(served_base(cls), "__new__", (cls, *args), kwargs or None)

        def __hash__(self: Any) -> int:
            own: Any = type(self).__hash__
            if own is __hash__ or self._wsremote_handle is None:
                return object.__hash__(self)
            # `super().__hash__()` of a class that is derived here: proxies come and go.
            found: int = inherited(Op.METHOD, served_base(self), "__hash__", self)
            return found

        return {
            "__new__": __new__,
            "__hash__": __hash__,
            "__repr__": label,
            "_wsremote_blank": object.__new__,
        }

    def was_set(self, name: str) -> None:
        """Somebody has set an attribute of an instance in another way than by a statement."""
        if self._is_probe(name) and len(self._self_made) < _MOST_NAMES:
            self._self_made.add(name)

    def exception_namespace(self, base: type[BaseException]) -> dict[str, Any]:
        """What instances have besides if they are exceptions, derived from the builtin `base`.

        With a handle the server is asked; without, the object has it all itself.
        """
        blank = _blank_group if issubclass(base, BaseExceptionGroup) else base.__new__
        made: dict[str, Any] = {
            "__new__": base.__new__,
            "_wsremote_blank": blank,
        }
        made |= {
            name: self._of_exception(name, descriptor)
            for cls in reversed(base.__mro__)
            for name, descriptor in vars(cls).items()
            if inspect.isdatadescriptor(descriptor) and not is_dunder(name)
        }
        for name in ("__str__", "__repr__"):
            made[name] = self.shown(name, None, getattr(base, name))
        return made

    def shown(self, name: str, owner: Target | None, native: Callable[[Any], str]) -> Any:
        """`__str__` or `__repr__`: forwarded, and never failing because of the session.

        Args:
            name: Which of the two.
            owner: The class that defines it; None if C code of Python's own does.
            native: What an exception without handle uses where the server does not answer.
        """
        special, call_method = self._caller.special, self._caller.call_method

        @hiding
        def show(self: Any) -> str:
            handle = self._wsremote_handle
            if handle is None and name == "__str__" and REMOTE_TEXT in self.__dict__:
                return str(self.__dict__[REMOTE_TEXT])
            try:
                if handle is not None and getattr(type(self), name, None) is show:
                    text: str = special(handle, name, ())
                elif owner is not None:
                    text = call_method(owner, name, (self,), None)
                else:
                    text = native(self) if handle is None else special(handle, name, ())
            except WsRemoteError:
                return native(self) if handle is None else label(self)
            return text

        show.__name__ = name
        show.__qualname__ = name
        if not is_async(self._caller):
            return show

        def show_here(self: Any) -> str:
            handle = self._wsremote_handle
            if handle is None:
                return str(self.__dict__.get(REMOTE_TEXT, native(self)))
            return label(self)

        if name == "__str__" and native is object.__str__:
            return spoken(self._caller, name, show)
        return Spoken(show, show_here)

    def exiting(self, name: str, owner: Target) -> Any:
        """`__exit__`: the exception alone is sent, which has its class and traceback with it."""
        caller = self._caller.awaited if name in AWAITED else self._caller
        special, inherited = caller.special, caller.inherited

        @hiding
        def forward(
            self: Any,
            kind: type[BaseException] | None = None,
            error: BaseException | None = None,
            traceback: TracebackType | None = None,
        ) -> Any:
            if getattr(type(self), name, None) is not forward:
                return inherited(Op.METHOD, owner, name, self, (error,))
            return special(handle_of(self) or 0, name, (error,))

        forward.__name__ = forward.__qualname__ = name
        return spoken(caller, name, forward)

    def own_reader(self, name: str) -> Callable[[Any], Any]:
        """Reads a name with two underscores of an instance; no message for who merely looks."""
        read = self.reader(name)

        @hiding
        def own(self: Any) -> Any:
            is_followed = name == "__wrapped__" and is_signature_asked()
            if self._wsremote_handle is None or is_followed:
                raise _no_attribute(self, name)
            if is_looked_at():
                if name == "__name__":
                    return type(self).__name__
                raise _no_attribute(self, name)
            return read(self)

        _hide_source(own)
        return own

    def known(self, node: PropertyNode, owner: Target) -> property:
        """Known instance data: a real property, which notebooks show without reading it.

        Args:
            node: Of the property.
            owner: The class that defines it.
        """
        name, inherited = node.name, self._caller.inherited
        read_own = self.reader(name)
        write_own, remove_own = self.writer(name), self.remover(name)

        # Of an object whose class has another property under the name: `super().x`,
        # `Base.x.fget(derived)`. Asked by its name alone, the server would run that one.
        # Not by `getattr`: the metaclass may have a property of the same name.
        @hiding
        def read(self: Any) -> Any:
            if lookup(type(self), name) is made or self._wsremote_handle is None:
                return read_own(self)
            return inherited(Op.GET, owner, name, self)

        @hiding
        def write(self: Any, value: Any) -> None:
            if lookup(type(self), name) is made or self._wsremote_handle is None:
                write_own(self, value)
            else:
                inherited(Op.SET, owner, name, self, (value,))

        @hiding
        def remove(self: Any) -> None:
            if lookup(type(self), name) is made or self._wsremote_handle is None:
                remove_own(self)
            else:
                inherited(Op.DELETE, owner, name, self)

        settable = node.settable
        made = property(read, write if settable else None, remove if settable else None, node.doc)
        for function in (read, write, remove):
            _hide_source(function)
        return made

    def reader(self, name: str) -> Callable[[Any], Any]:
        """The getter of a property: one message."""
        found = self._readers.get(name)
        if found is not None:
            return found
        get, missing = self._caller.get, self._missing

        def read(self: Any) -> Any:
            handle = self._wsremote_handle
            if handle is None:
                if name in self.__dict__:
                    return self.__dict__[name]
                original = self.__dict__.get(ORIGINAL)
                if type(original) is not Original:
                    raise _no_attribute(self, name)
                # Computed by its class, which the server has.
                handle = original.handle
            try:
                return get(handle, name)
            except BaseException as error:
                hide_own_frames()
                if isinstance(error, AttributeError):
                    _name(error, self, name)
                    missing[get_ident(), name] = (self, error)
                raise

        _hide_source(read)
        self._readers[name] = read
        return read

    def writer(self, name: str) -> Callable[[Any, Any], None]:
        """The setter of a property. A proxy's own `__setattr__` comes before it."""

        @hiding
        def write(self: Any, value: Any) -> None:
            if self._wsremote_handle is None:
                self.__dict__[name] = value
            else:
                setattr(self, name, value)

        _hide_source(write)
        return write

    def remover(self, name: str) -> Callable[[Any], None]:
        """The deleter of a property."""

        @hiding
        def remove(self: Any) -> None:
            if self._wsremote_handle is None:
                self.__dict__.pop(name, None)
            else:
                delattr(self, name)

        _hide_source(remove)
        return remove

    def _of_exception(self, name: str, descriptor: Any) -> property:
        """A field of a builtin exception (`args`, `errno`)."""
        get = self._caller.get

        @hiding
        def read(self: Any) -> Any:
            handle = self._wsremote_handle
            return descriptor.__get__(self) if handle is None else get(handle, name)

        def write(self: Any, value: Any) -> None:
            descriptor.__set__(self, value)

        return property(read, write, None, descriptor.__doc__)


def _hide_source(function: Any) -> None:
    """Let `??` show no code of ours as if it were the server's property."""
    function.__code__ = function.__code__.replace(co_filename="<wsremote>")


def _blank_group(cls: type[BaseExceptionGroup[Any]]) -> BaseExceptionGroup[Any]:
    """A group has to have something in it; its fields are read from the server."""
    return BaseExceptionGroup.__new__(cls, "on the server", [Exception("on the server")])


def _no_attribute(instance: Any, name: str) -> AttributeError:
    text = f"{type(instance).__name__!r} object has no attribute {name!r}"
    return AttributeError(text, name=name, obj=instance)


def _name(error: AttributeError, instance: Any, name: str) -> None:
    """Tell Python which attribute of what is missing, so that it finds the one that was meant."""
    if error.obj is None and error.name in (None, name):
        error.name, error.obj = name, instance
