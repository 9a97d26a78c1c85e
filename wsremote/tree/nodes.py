"""The nodes of the info tree: data only.

A node is what the server says about one element of a package. A module's node
travels as one JSON document and is named by the document's SHA-256, so that a
client that has a document never fetches it again.

Classes and functions are named `pkg.mod:Outer.inner` everywhere: in the tree, in
exec messages and on the command line. A name without a colon is a module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final

__all__ = [
    "OBJECT",
    "ClassNode",
    "FieldNode",
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

OBJECT: Final = "builtins:object"
_TITLES: Final = {
    "variable": "variables",
    "function": "functions",
    "class": "classes",
    "reference": "references",
}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    """The empty mapping, shared by all nodes that have no members."""
    return _NOTHING


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

    def __str__(self) -> str:
        stars = {2: "*", 4: "**"}.get(self.kind, "")
        note = "" if self.annotation is None else f": {self.annotation}"
        equals = " = " if note else "="
        default = "" if self.default is None else f"{equals}{self.default}"
        return f"{stars}{self.name}{note}{default}"


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

    def __str__(self) -> str:
        """As Python shows it: `(a, /, b: int = 1, *, c=None) -> str`."""
        shown: list[str] = []
        kinds = [parameter.kind for parameter in self.parameters]
        for index, parameter in enumerate(self.parameters):
            if parameter.kind == 3 and 2 not in kinds and 3 not in kinds[:index]:
                shown.append("*")
            shown.append(str(parameter))
            if parameter.kind == 0 and 0 not in kinds[index + 1 :]:
                shown.append("/")
        returns = "" if self.returns is None else f" -> {self.returns}"
        return f"({', '.join(shown)}){returns}"


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

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {self.value}"
        return f"{self.name}: {self.type.removeprefix('builtins:')}{value}"


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
        methods: What can be called on the function itself: `cache_clear`, `register`, `reduce`.
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
    methods: tuple[str, ...] = ()
    kind: ClassVar[str] = "function"

    def __str__(self) -> str:
        words = [self.binding if self.binding.endswith("method") else "", self.flow]
        words = [word for word in words if word not in ("", "method")]
        signature = "(...)" if self.signature is None else self.signature
        return " ".join([*words, f"{self.name}{signature}"])


@dataclass(frozen=True, slots=True)
class PropertyNode:
    """A property or another data descriptor of a class: known instance data.

    Attributes:
        type: The annotation of its getter as text; None if there is none.
        settable: Whether the descriptor has a setter.
        asked: Whether it answers for the class too: a descriptor of the package's own making.
    """

    name: str
    doc: str | None = None
    type: str | None = None
    settable: bool = False
    asked: bool = False
    kind: ClassVar[str] = "property"

    def __str__(self) -> str:
        note = "" if self.type is None else f": {self.type}"
        return f"property {self.name}{note}"


@dataclass(frozen=True, slots=True)
class ReferenceNode:
    """A name that stands for something defined elsewhere: a re-export or an alias.

    Attributes:
        target: `pkg.mod:qualname`, or `pkg.mod` for a module.
    """

    name: str
    target: str
    kind: ClassVar[str] = "reference"

    def __str__(self) -> str:
        return f"{self.name} -> {self.target}"


@dataclass(frozen=True, slots=True)
class FieldNode:
    """A field of a dataclass.

    Attributes:
        type: Its annotation as text; None if there is none that can be shown.
        flags: Of "init", "repr", "compare", "hash", "no hash", "kw_only", "default" (its class
            attribute has it), "class" and "initial" (no real field: ClassVar and InitVar).
        factory: The default factory as `module:qualname`; None if there is none.
    """

    name: str
    type: str | None = None
    flags: tuple[str, ...] = ()
    factory: str | None = None


@dataclass(frozen=True, slots=True)
class ClassNode:
    """A class.

    Attributes:
        bases: Direct bases as `module:qualname`, in order.
        mro: The whole method resolution order after the class itself, same form.
        metaclass: As `module:qualname`.
        traits: Of "exception", "enum", "dataclass", "abstract", "generic", "namedtuple", "alias"
            (`C[int]` is a `types.GenericAlias`), "virtual" (`issubclass` may know more than the
            MRO says) and "judging" (`isinstance` runs code of the package's).
        members: What the class's own `__dict__` defines, by name. Data attributes of its
            instances that the class knows of (slots, dataclass fields, annotations) are
            `PropertyNode`.
        specials: Names of the special methods the class's own `__dict__` defines.
        unset: Special methods the class's own `__dict__` sets to None (`__hash__ = None`).
        signature: Of the constructor, without `self`; None where Python knows none.
        registered: Abstract classes of the standard library that its instances are registered
            with (`Mapping.register`), beside those of its MRO.
        fixed: Tuples of names that Python reads from the class itself: `__match_args__`,
            `__slots__`, `__abstractmethods__`, `_fields`, `__parameters__` (`T`, `*Ts`, `**P`), and
            which arguments of `@dataclass` were true as `__dataclass_params__`; and as
            `__annotations__` the class's own, as `name: text`.
        fields: Those of a dataclass, the inherited ones too.
    """

    name: str
    qualname: str
    module: str
    bases: tuple[str, ...] = (OBJECT,)
    mro: tuple[str, ...] = (OBJECT,)
    metaclass: str = "builtins:type"
    traits: tuple[str, ...] = ()
    members: Mapping[str, Node] = field(default_factory=_nothing)
    specials: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    signature: Signature | None = None
    doc: str | None = None
    file: str | None = None
    line: int | None = None
    registered: tuple[str, ...] = ()
    fixed: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    fields: tuple[FieldNode, ...] = ()
    kind: ClassVar[str] = "class"

    @property
    def path(self) -> str:
        """`module:qualname`, the name of the class on the wire."""
        return f"{self.module}:{self.qualname}"

    def __repr__(self) -> str:
        return f"<ClassNode {self.path}>"

    def __str__(self) -> str:
        """The class with its members, one a line."""
        bases = [base.removeprefix("builtins:") for base in self.bases if base != OBJECT]
        head = f"class {self.name}({', '.join(bases)})" if bases else f"class {self.name}"
        return "\n".join([head, *_indented(self.members.values())])


@dataclass(frozen=True, slots=True)
class ModuleNode:
    """A module or a package.

    Attributes:
        is_package: Whether it has submodules of its own (`__path__`).
        exports: The module's `__all__`, sorted; None if it has none.
        members: Public names: what is defined here in order of definition, then references
            sorted. Submodules are not members unless the module binds them itself.
        bases: Classes that the classes of this module inherit from and that are no members
            of any module of the tree, by path; without those of `builtins`.
        file: Source file, relative to the folder that holds the top-level package.
    """

    name: str
    is_package: bool = False
    exports: tuple[str, ...] | None = None
    members: Mapping[str, Node] = field(default_factory=_nothing)
    bases: Mapping[str, ClassNode] = field(default_factory=_nothing)
    doc: str | None = None
    file: str | None = None
    kind: ClassVar[str] = "module"

    def __repr__(self) -> str:
        return f"<ModuleNode {self.name}>"

    def __str__(self) -> str:
        """The module with its members by kind, one a line."""
        lines = [f"{'package' if self.is_package else 'module'} {self.name}"]
        for kind, title in _TITLES.items():
            chosen = [node for node in self.members.values() if node.kind == kind]
            if chosen:
                lines += ["", title, *_indented(chosen)]
        return "\n".join(lines)


Node = VariableNode | FunctionNode | PropertyNode | ReferenceNode | ClassNode


def _indented(nodes: Iterable[Node]) -> list[str]:
    """The nodes as lines, four spaces in."""
    return [f"    {line}" for node in nodes for line in str(node).splitlines()]


def digest_of(document: bytes) -> str:
    """The name of a module's JSON document: SHA-256 (FIPS 180-4) in hexadecimal."""
    return hashlib.sha256(document).hexdigest()
