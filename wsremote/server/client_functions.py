"""Functions of a client: to be called, wrapped and shown like functions of this process.

Calling one is one message. Its name, signature and data are asked for when somebody looks.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from ..codec.hiding import hide_own_frames, hiding
from ..errors import StaleHandle, WsRemoteError
from ..protocol.specials import FLOW
from ..shallow.source import code_of

if TYPE_CHECKING:
    import inspect

    from .client_caller import ClientCaller

__all__ = ["ClientFunction", "function_class"]

# What no client gives away.
_CLOSED: Final = frozenset(["__globals__", "__closure__", "__builtins__"])


# Clients whose functions have been pickled here, by their session.
_CALLERS: WeakValueDictionary[str, ClientCaller] = WeakValueDictionary()


class _Home:
    """By the module of this class the policy knows the server's own objects."""

    __slots__ = ()


class ClientFunction(_Home):
    """A function of C code, or another that binds to no instance.

    Args:
        caller: The client.
        handle: Its number for the function.
    """

    __slots__ = ("__weakref__", "_caller", "_handle")

    def __init__(self, caller: ClientCaller, handle: int) -> None:
        object.__setattr__(self, "_caller", caller)
        object.__setattr__(self, "_handle", handle)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it there. Raises what it raises, as if the caller had run it."""
        try:
            return self._caller.call(self._handle, args, kwargs)
        except BaseException:
            hide_own_frames()
            raise

    def __del__(self) -> None:
        self._caller.died(self, self._handle)

    @property
    def __signature__(self) -> inspect.Signature:
        found: inspect.Signature = self._caller.get(self._handle, "__signature__")
        return found

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return _Data(self, self._caller.get(self._handle, "__dict__"))

    def __getattr__(self, name: str) -> Any:
        if name in _CLOSED:
            raise AttributeError(f"{name} of a function of the client stays there", name=name)
        return self._caller.get(self._handle, name)

    @hiding
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            self.__dict__.update(value)
        else:
            self._caller.set(self._handle, name, value)

    def __delattr__(self, name: str) -> None:
        self._caller.delete(self._handle, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(FunctionType), *self.__dict__} - _CLOSED)

    def __repr__(self) -> str:
        try:
            shown: str = self._caller.special(self._handle, "__repr__", ())
        except WsRemoteError:
            return f"<function #{self._handle} of {self._caller.url}>"
        return shown

    def __copy__(self) -> ClientFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ClientFunction:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # By reference, as at home: for the session, and no longer.
        _CALLERS[self._caller.id] = self._caller
        self._caller.pickled[self._handle] = self
        return _pickled, (self._caller.id, self._handle)


class ClientPythonFunction(ClientFunction):
    """A function that was defined with `def`: as an attribute of a class, it is a method."""

    __slots__ = ()

    __class__ = property(lambda self: FunctionType)

    @property
    def __code__(self) -> CodeType:
        """Names and numbers of its parameters, for who reads them there."""
        return code_of(self.__signature__, self.__name__, self._caller.get(self._handle, FLOW))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)


class ClientMethod(ClientFunction):
    """A bound method, of which each reading of the attribute makes another that is equal."""

    __slots__ = ()

    def __eq__(self, other: object) -> Any:
        if isinstance(other, ClientMethod) and other._caller is self._caller:
            return self is other or self._caller.special(self._handle, "__eq__", (other,))
        return NotImplemented

    def __hash__(self) -> int:
        found: int = self._caller.special(self._handle, "__hash__", ())
        return found


for _class in (ClientFunction, ClientPythonFunction, ClientMethod):
    # Not in their bodies, where Python would put those of the class.
    for _name in ("__module__", "__doc__"):
        setattr(_class, _name, property(operator.methodcaller("__getattr__", _name)))


def _pickled(session: str, handle: int) -> Any:
    """The function that a pickle of the server refers to.

    Raises:
        StaleHandle: Its session is over.
    """
    caller = _CALLERS.get(session)
    if caller is None or caller.closed:
        raise StaleHandle(f"the pickle refers to a function of session {session}, which is over")
    return caller.pickled[handle]


class _Data(dict[str, Any]):
    """What is set on a function, as it was a moment ago; writes reach the function."""

    def __init__(self, function: ClientFunction, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self._function = function

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self._function, name)
        super().__delitem__(name)

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set several."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value


_CLASSES: Final[dict[str, type[ClientFunction]]] = {
    "builtins:builtin_function_or_method": ClientMethod,
    "builtins:method": ClientMethod,
    "builtins:method-wrapper": ClientMethod,
    "builtins:method_descriptor": ClientFunction,
    "builtins:classmethod_descriptor": ClientFunction,
    "builtins:wrapper_descriptor": ClientFunction,
    "functools:_lru_cache_wrapper": ClientFunction,
}


def function_class(path: str | None) -> type[ClientFunction] | None:
    """The class of stand-ins for callables of a class of the client; None if they are objects.

    Args:
        path: The class there; None for plain functions.
    """
    return ClientPythonFunction if path is None else _CLASSES.get(path)
