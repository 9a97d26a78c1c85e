"""The nodes of the info tree: data only.

A node is what the server says about one element of a package. A module's node
travels as one JSON document and is named by the document's SHA-256, so that a
client that has a document never fetches it again.

Classes and functions are named `pkg.mod:Outer.inner` everywhere: in the tree, in
exec messages and on the command line. A name without a colon is a module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

__all__ = [
    "ClassNode",
    "FunctionNode",
    "ModuleNode",
    "Node",
    "Parameter",
    "PropertyNode",
    "ReferenceNode",
    "Signature",
    "VariableNode",
    "digest_of",
]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a signature.

    Attributes:
        name: A Python identifier.
        kind: `inspect.Parameter.kind` as an integer, 0 (positional only) to 4 (`**kwargs`).
        default: The default as text, for display; None if the parameter has none.
        annotation: The annotation as text; None if there is none.
    """

    name: str
    kind: int
    default: str | None = None
    annotation: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a function, of a method (with `self` or `cls`), or of a class (without).

    Attributes:
        parameters: In order.
        returns: The return annotation as text; None if there is none.
        binds: Whether this is the signature of the code that runs, so that a client may bind
            arguments by it. False for wrapped functions and callable objects, whose shown
            signature may refuse what their code accepts.
    """

    parameters: tuple[Parameter, ...] = ()
    returns: str | None = None
    binds: bool = True


@dataclass(frozen=True, slots=True)
class VariableNode:
    """A module variable or a class attribute that is data.

    Attributes:
        type: Class of the value, as `module:qualname`.
        value: The value as text for display, where it is a small constant; else None.
            A read is always a message: this text may be old.
        doc: Documentation of the value's own, not of its class; else None.
    """

    name: str
    type: str
    value: str | None = None
    doc: str | None = None
    kind: ClassVar[str] = "variable"


@dataclass(frozen=True, slots=True)
class FunctionNode:
    """A function, or a method of a class.

    Attributes:
        binding: "function", "method", "classmethod" or "staticmethod".
        flow: "" for a plain function, "async", "generator" or "async generator".
        signature: None where Python itself knows none (C code without text signature).
        file: Source file as the server's `inspect.getsourcefile` gives it, relative to the
            folder that holds the top-level package; None for C code.
        line: First line of the source, from 1; None with `file`.
    """

    name: str
    qualname: str
    module: str
    binding: str = "function"
    flow: str = ""
    signature: Signature | None = None
    doc: str | None = None
    file: str | None = None
    line: int | None = None
    kind: ClassVar[str] = "function"


@dataclass(frozen=True, slots=True)
class PropertyNode:
    """A property or another data descriptor of a class: known instance data.

    Attributes:
        type: The annotation of its getter as text; None if there is none.
        settable: Whether the descriptor has a setter.
    """

    name: str
    doc: str | None = None
    type: str | None = None
    settable: bool = False
    kind: ClassVar[str] = "property"


@dataclass(frozen=True, slots=True)
class ReferenceNode:
    """A name that stands for something defined elsewhere: a re-export or an alias.

    Attributes:
        target: `pkg.mod:qualname`, or `pkg.mod` for a module.
    """

    name: str
    target: str
    kind: ClassVar[str] = "reference"


@dataclass(frozen=True, slots=True)
class ClassNode:
    """A class.

    Attributes:
        bases: Direct bases as `module:qualname`, in order.
        mro: The whole method resolution order after the class itself, same form.
        metaclass: As `module:qualname`.
        traits: Of "exception", "enum", "dataclass", "abstract", "generic", "namedtuple".
        members: What the class's own `__dict__` defines, by name. Data attributes of its
            instances that the class knows of (slots, dataclass fields, annotations) are
            `PropertyNode`.
        specials: Names of the special methods the class's own `__dict__` defines.
        unset: Special methods the class's own `__dict__` sets to None (`__hash__ = None`).
        signature: Of the constructor, without `self`; None where Python knows none.
    """

    name: str
    qualname: str
    module: str
    bases: tuple[str, ...] = ("builtins:object",)
    mro: tuple[str, ...] = ("builtins:object",)
    metaclass: str = "builtins:type"
    traits: tuple[str, ...] = ()
    members: Mapping[str, Node] = field(default=_NOTHING)
    specials: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    signature: Signature | None = None
    doc: str | None = None
    file: str | None = None
    line: int | None = None
    kind: ClassVar[str] = "class"

    @property
    def path(self) -> str:
        """`module:qualname`, the name of the class on the wire."""
        return f"{self.module}:{self.qualname}"


@dataclass(frozen=True, slots=True)
class ModuleNode:
    """A module or a package.

    Attributes:
        is_package: Whether it has submodules of its own (`__path__`).
        exports: The module's `__all__`; None if it has none.
        members: Public names in order of definition. Submodules are not members unless the
            module binds them itself.
        file: Source file, relative to the folder that holds the top-level package.
    """

    name: str
    is_package: bool = False
    exports: tuple[str, ...] | None = None
    members: Mapping[str, Node] = field(default=_NOTHING)
    doc: str | None = None
    file: str | None = None
    kind: ClassVar[str] = "module"


Node = VariableNode | FunctionNode | PropertyNode | ReferenceNode | ClassNode


def digest_of(document: bytes) -> str:
    """The name of a module's JSON document: SHA-256 (FIPS 180-4) in hexadecimal."""
    return hashlib.sha256(document).hexdigest()
