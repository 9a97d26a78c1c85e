"""What instances of shallow classes do: everything but the server's own methods.

These functions stand in the namespace of every shallow class that has no shallow base.
A proxy keeps its handle in its `__dict__`, not in a slot: two served classes that each had
a slot could not be bases of one class. An exception that was rebuilt from a fault is an
instance without handle: it is a plain local object.
"""

from __future__ import annotations

import inspect
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from ..codec.faults import REMOTE_TEXT
from ..errors import WsRemoteError
from .names import INTERNAL, is_dunder, is_probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..tree.nodes import PropertyNode
    from .caller import Caller

__all__ = ["HANDLE", "Attributes", "handle_of", "label"]

HANDLE: Final = "_wsremote_handle"

# Written by `raise` and by `traceback`, kept by the object that is raised here.
_RAISING: Final = frozenset(
    ["__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"]
)
# `typing` sets it on what a subscripted class makes, and goes without where it cannot.
_REFUSED: Final = frozenset(["__orig_class__", "__class__", "__dict__"])


def handle_of(proxy: Any) -> int | None:
    """The handle of an instance of a shallow class; None for a rebuilt exception."""
    handle: int | None = proxy._wsremote_handle
    return handle


def label(proxy: Any) -> str:
    """What names a proxy without asking the server: `<pkg.C #12 at ws://host:9090>`."""
    cls = type(proxy)
    caller: Caller = cls._wsremote_classes.caller
    state = " (session closed)" if caller.closed else ""
    return f"<{cls.__module__}.{cls.__qualname__} #{handle_of(proxy)} at {caller.url}{state}>"


class Attributes:
    """Makes what reads and writes attributes of the instances of one session."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        # A getter's AttributeError makes Python ask `__getattr__`, which must not ask again.
        # By thread and name; one is taken out right after it came in.
        self._missing: dict[tuple[int, str], tuple[Any, AttributeError]] = {}
        self._readers: dict[str, Callable[[Any], Any]] = {}

    def namespace(self) -> dict[str, Any]:
        """What each instance has, whatever its class."""
        caller, missing = self._caller, self._missing
        get, set_, delete = caller.get, caller.set, caller.delete

        def __getattr__(self: Any, name: str) -> Any:
            handle = self._wsremote_handle
            if handle is None or is_probe(name):
                raise _no_attribute(self, name)
            if missing:
                failed = missing.pop((get_ident(), name), None)
                if failed is not None and failed[0] is self:
                    raise failed[1]
            try:
                return get(handle, name)
            except AttributeError as error:
                _name(error, self, name)
                raise

        def __setattr__(self: Any, name: str, value: Any) -> None:
            handle = self._wsremote_handle
            if handle is None or name in _RAISING:
                object.__setattr__(self, name, value)
            elif name in _REFUSED:
                raise AttributeError(f"{name} of {label(self)} cannot be set: the server has it")
            else:
                set_(handle, name, value)

        def __delattr__(self: Any, name: str) -> None:
            handle = self._wsremote_handle
            if handle is None or name in _RAISING:
                object.__delattr__(self, name)
            else:
                delete(handle, name)

        def __dir__(self: Any) -> list[str]:
            own = [name for name in self.__dict__ if name != REMOTE_TEXT]
            names = dict.fromkeys([*dir(type(self)), *own])
            return [name for name in names if not name.startswith(INTERNAL)]

        def __reduce_ex__(self: Any, protocol: Any) -> Any:
            if self._wsremote_handle is None:
                return object.__reduce_ex__(self, protocol)
            raise TypeError(
                f"{label(self)} is an object of the server and can be neither pickled nor "
                "copied here; send it to a function of the server, or fetch what you need of it"
            )

        made = [__getattr__, __setattr__, __delattr__, __dir__, __reduce_ex__]
        return {HANDLE: None, **{function.__name__: function for function in made}}

    def object_namespace(self) -> dict[str, Any]:
        """What instances have besides if they are no exceptions."""
        call_method = self._caller.call_method

        def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:
            return call_method(cls._wsremote_path, "__new__", (cls, *args), kwargs or None)

        return {"__new__": __new__, "__repr__": label, "_wsremote_blank": object.__new__}

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

    def shown(self, name: str, owner: str | None, native: Callable[[Any], str]) -> Any:
        """`__str__` or `__repr__`: forwarded, and never failing because of the session.

        Args:
            name: Which of the two.
            owner: Path of the class that defines it; None if C code of Python's own does.
            native: What an exception without handle uses where the server does not answer.
        """
        special, call_method = self._caller.special, self._caller.call_method

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
        return show

    def exiting(self, name: str) -> Any:
        """`__exit__`: the exception alone is sent, which has its class and traceback with it."""
        special = self._caller.special

        def forward(
            self: Any,
            kind: type[BaseException] | None = None,
            error: BaseException | None = None,
            traceback: TracebackType | None = None,
        ) -> Any:
            return special(handle_of(self) or 0, name, (error,))

        forward.__name__ = forward.__qualname__ = name
        return forward

    def deep_copying(self) -> Any:
        """`__deepcopy__` without the memo, which speaks of objects here."""
        special, name = self._caller.special, "__deepcopy__"

        def forward(self: Any, memo: Any = None) -> Any:
            return special(handle_of(self) or 0, name, ({},))

        forward.__name__ = forward.__qualname__ = name
        return forward

    def known(self, node: PropertyNode) -> property:
        """Known instance data: a real property, which notebooks show without reading it."""
        name = node.name
        return property(
            self.reader(name),
            self.writer(name) if node.settable else None,
            self.remover(name) if node.settable else None,
            node.doc,
        )

    def reader(self, name: str) -> Callable[[Any], Any]:
        """The getter of a property: one message."""
        found = self._readers.get(name)
        if found is not None:
            return found
        get, missing = self._caller.get, self._missing

        def read(self: Any) -> Any:
            handle = self._wsremote_handle
            if handle is None:
                return _local(self, name)
            try:
                return get(handle, name)
            except AttributeError as error:
                _name(error, self, name)
                missing[get_ident(), name] = (self, error)
                raise

        _hide_source(read)
        self._readers[name] = read
        return read

    def writer(self, name: str) -> Callable[[Any, Any], None]:
        """The setter of a property. A proxy's own `__setattr__` comes before it."""

        def write(self: Any, value: Any) -> None:
            if self._wsremote_handle is None:
                self.__dict__[name] = value
            else:
                setattr(self, name, value)

        _hide_source(write)
        return write

    def remover(self, name: str) -> Callable[[Any], None]:
        """The deleter of a property."""

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

        def read(self: Any) -> Any:
            handle = self._wsremote_handle
            return descriptor.__get__(self) if handle is None else get(handle, name)

        def write(self: Any, value: Any) -> None:
            descriptor.__set__(self, value)

        return property(read, write, None, descriptor.__doc__)


def _hide_source(function: Any) -> None:
    """Let `??` show no code of ours as if it were the server's property."""
    function.__code__ = function.__code__.replace(co_filename="<wsremote>")


def _local(instance: Any, name: str) -> Any:
    """Data of an instance without handle."""
    try:
        return instance.__dict__[name]
    except KeyError:
        raise _no_attribute(instance, name) from None


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
