"""Methods of the client's classes on which something is set: by a decorator, say.

A stand-in's methods are functions of the server's making, which have none of it. So these are
asked for, and the server has the client's own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from ..tree.introspection import class_path, instance_dict, namespace_of
from ..tree.nodes import FunctionNode, VariableNode

if TYPE_CHECKING:
    from ..tree.nodes import ClassNode

__all__ = ["with_marked_methods"]

# What a function has in its `__dict__` that its node tells, or its stand-in is asked for.
_TOLD: Final = frozenset(["__wrapped__", "__isabstractmethod__", "__signature__"])


def with_marked_methods(cls: type, node: ClassNode) -> ClassNode:
    """The node of a class, in which marked methods are what is read when it is needed."""
    marked = {
        name: VariableNode(name, class_path(type(namespace_of(cls).get(name))))
        for name, member in node.members.items()
        if isinstance(member, FunctionNode)
        and not name.startswith("__")
        and (instance_dict(namespace_of(cls).get(name)) or {}).keys() - _TOLD
    }
    if not marked:
        return node
    return dataclasses.replace(node, members={**node.members, **marked})
