"""Setting and deleting attributes on the server, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..shallow.metaclass import ShallowClass, was_deleted
from ..shallow.mirrors import Mirror
from .modules import ShallowModule

if TYPE_CHECKING:
    from ..protocol.messages import Target

__all__ = ["delete_attribute", "set_attribute"]


async def set_attribute(target: Any, name: str, value: Any) -> None:
    """`target.name = value`, of a remote object, a served class or a module.

    Raises:
        TypeError: It is none of these.
    """
    caller, path = _remote(target)
    await caller.set(path, name, value)
    if isinstance(target, ShallowModule):
        target._wsremote_was_set(name, value)
    elif isinstance(target, ShallowClass):
        target._wsremote_classes.renew(target, name)
    elif not isinstance(target, Mirror):
        type(target)._wsremote_classes.attributes.was_set(name)


async def delete_attribute(target: Any, name: str) -> None:
    """`del target.name`, of a remote object, a served class or a module.

    Raises:
        TypeError: It is none of these.
    """
    caller, path = _remote(target)
    await caller.delete(path, name)
    if isinstance(target, ShallowModule):
        target._wsremote_was_deleted(name)
    elif isinstance(target, ShallowClass):
        was_deleted(target, name)


def _remote(target: Any) -> tuple[Any, Target]:
    """The session of what is remote, and its name on the wire."""
    cls: Any = type(target)
    if isinstance(target, ShallowModule):
        return cls._wsremote_home.caller, cls._wsremote_node.name
    if isinstance(target, ShallowClass):
        return target._wsremote_classes.caller, target._wsremote_path
    if isinstance(cls, ShallowClass) and target._wsremote_handle is not None:
        return cls._wsremote_classes.caller, target._wsremote_handle
    if isinstance(target, Mirror):
        return target._wsremote_caller, target._wsremote_handle
    raise TypeError(f"a {cls.__qualname__} is none of the server's objects: set it by a statement")
