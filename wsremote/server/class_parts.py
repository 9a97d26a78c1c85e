"""What stands in classes that clients have defined, and is no plain function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..errors import ConnectionLost

__all__ = ["descriptor", "exiting", "finalizer"]


def exiting(called: Callable[..., Any], name: str) -> Any:
    """`__exit__` of the client: the exception alone travels, its class and traceback with it."""

    def leave(self: Any, kind: Any, error: Any, traceback: Any) -> Any:
        return called(self, error)

    leave.__name__ = leave.__qualname__ = name
    return leave


def finalizer(called: Callable[..., Any]) -> Any:
    """`__del__` of the client, which runs in a thread of its own: this one may hold any lock."""

    def run(self: Any) -> None:
        try:
            called(self)
        except (ConnectionLost, RuntimeError):
            # The session is over, and what the object was to the client with it.
            return

    def __del__(self: Any) -> None:
        threading.Thread(target=run, args=[self], name="wsremote-finalizer", daemon=True).start()

    return __del__


class _ClientDescriptor:
    """Stands for a descriptor of the client that cannot be set."""

    get: Any = None
    set: Any = None
    delete: Any = None
    __isabstractmethod__: bool = False

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if self.get is None else self.get(instance, owner)


class _ClientDataDescriptor(_ClientDescriptor):
    """The same for one that can."""

    def __set__(self, instance: Any, value: Any) -> None:
        if self.set is None:
            raise AttributeError("the attribute cannot be set")
        self.set(instance, value)

    def __delete__(self, instance: Any) -> None:
        if self.delete is None:
            raise AttributeError("the attribute cannot be deleted")
        self.delete(instance)


def descriptor(get: Any, set_: Any, delete: Any, *, abstract: bool) -> _ClientDescriptor:
    """What stands for a descriptor of the client, given what its methods call there."""
    is_data = set_ is not None or delete is not None
    made = _ClientDataDescriptor() if is_data else _ClientDescriptor()
    made.get, made.set, made.delete = get, set_, delete
    made.__isabstractmethod__ = abstract
    return made
