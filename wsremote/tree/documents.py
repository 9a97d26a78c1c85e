"""Nodes as JSON documents and back.

A document is the canonical form of a module or class: compact JSON in ASCII, members in
the order of their definition, fields that have their default left out. Left out as well
is what the surroundings say:

* a member's name is its key in `members`;
* `module` is the enclosing node's, and `qualname` the enclosing one and the name;
* `file` is the enclosing node's, unless the member says otherwise (null for none).

A document from the wire is checked whole before a node is made of it: the client builds
real functions and classes from these names.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..errors import RemoteProtocolError
from .introspection import is_name
from .nodes import (
    OBJECT,
    ClassNode,
    FieldNode,
    FunctionNode,
    ModuleNode,
    Node,
    Parameter,
    PropertyNode,
    ReferenceNode,
    Signature,
    VariableNode,
)

__all__ = ["class_from", "document_of", "module_from"]

Data = dict[str, Any]
N = TypeVar("N", ModuleNode, ClassNode)
_OBJECT_ONLY = (OBJECT,)
_BINDINGS = frozenset(["function", "method", "classmethod", "staticmethod"])
_FLOWS = frozenset(["", "async", "generator", "async generator"])
# Documents come by the thousand: the encoder is made once, `json.dumps` makes one a call.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_parameter = functools.lru_cache(maxsize=16384)(Parameter)


def document_of(node: ModuleNode | ClassNode) -> bytes:
    """The canonical document of a module, or of a class that stands for itself."""
    data = _write_module(node) if isinstance(node, ModuleNode) else _write_class(node, "", "", None)
    return _encode(data).encode("ascii")


def module_from(document: bytes) -> ModuleNode:
    """The module that a document describes.

    Raises:
        RemoteProtocolError: It is no such document; the message says where it is wrong.
    """
    return _read(_read_module, document)


def class_from(document: bytes) -> ClassNode:
    """The class that a document describes.

    Raises:
        RemoteProtocolError: It is no such document; the message says where it is wrong.
    """
    return _read(_read_lone_class, document)


def _write_module(node: ModuleNode) -> Data:
    data: Data = {"kind": "module", "name": node.name}
    if node.is_package:
        data["package"] = True
    if node.exports is not None:
        data["exports"] = node.exports
    if node.doc is not None:
        data["doc"] = node.doc
    if node.file is not None:
        data["file"] = node.file
    data["members"] = {
        name: _write_member(member, node.name, "", node.file)
        for name, member in node.members.items()
    }
    if node.bases:
        data["bases"] = {
            path: _write_class(base, "", "", None) for path, base in node.bases.items()
        }
    return data


def _write_member(node: Node, module: str, qualname: str, file: str | None) -> Data:
    if type(node) is FunctionNode:
        return _write_function(node, module, qualname, file)
    if type(node) is ClassNode:
        return _write_class(node, module, qualname, file)
    data: Data = {"kind": node.kind}
    if type(node) is ReferenceNode:
        data["target"] = node.target
        return data
    assert isinstance(node, VariableNode | PropertyNode)
    if node.type is not None:
        data["type"] = node.type
    if type(node) is VariableNode and node.value is not None:
        data["value"] = node.value
    if type(node) is PropertyNode and node.settable:
        data["settable"] = True
    if type(node) is PropertyNode and node.asked:
        data["asked"] = True
    if node.doc is not None:
        data["doc"] = node.doc
    return data


def _write_function(node: FunctionNode, module: str, qualname: str, file: str | None) -> Data:
    data: Data = {"kind": "function"}
    if node.binding != "function":
        data["binding"] = node.binding
    if node.flow:
        data["flow"] = node.flow
    if node.signature is not None:
        data["signature"] = _write_signature(node.signature)
    if node.methods:
        data["methods"] = list(node.methods)
    _write_place(data, node, module, qualname, file)
    return data


def _write_place(
    data: Data, node: FunctionNode | ClassNode, module: str, qualname: str, file: str | None
) -> None:
    """The fields that a function and a class share."""
    if node.module != module:
        data["module"] = node.module
    if node.qualname != qualname + node.name:
        data["qualname"] = node.qualname
    if node.doc is not None:
        data["doc"] = node.doc
    if node.file != file:
        data["file"] = node.file
    if node.line is not None:
        data["line"] = node.line


def _write_signature(signature: Signature) -> Data:
    data: Data = {}
    if signature.parameters:
        data["parameters"] = [_write_parameter(parameter) for parameter in signature.parameters]
    if signature.returns is not None:
        data["returns"] = signature.returns
    if not signature.binds:
        data["binds"] = False
    return data


@functools.lru_cache(maxsize=16384)
def _write_parameter(parameter: Parameter) -> Data:
    data: Data = {"name": parameter.name}
    if parameter.kind != 1:
        data["kind"] = parameter.kind
    if parameter.default is not None:
        data["default"] = parameter.default
    if parameter.annotation is not None:
        data["annotation"] = parameter.annotation
    return data


def _write_class(node: ClassNode, module: str, qualname: str, file: str | None) -> Data:
    data: Data = {"kind": "class", "name": node.name}
    if node.bases != _OBJECT_ONLY:
        data["bases"] = node.bases
    if node.mro != _OBJECT_ONLY:
        data["mro"] = node.mro
    if node.metaclass != "builtins:type":
        data["metaclass"] = node.metaclass
    for key, names in (
        ("traits", node.traits),
        ("specials", node.specials),
        ("unset", node.unset),
        ("registered", node.registered),
    ):
        if names:
            data[key] = names
    if node.fixed:
        data["fixed"] = dict(node.fixed)
    if node.fields:
        data["fields"] = [[f.name, f.type, f.factory, *f.flags] for f in node.fields]
    if node.signature is not None:
        data["signature"] = _write_signature(node.signature)
    _write_place(data, node, module, qualname, file)
    if node.members:
        inner = f"{node.qualname}."
        data["members"] = {
            name: _write_member(member, node.module, inner, node.file)
            for name, member in node.members.items()
        }
    return data


def _fail(what: str) -> NoReturn:
    raise RemoteProtocolError(
        f"malformed tree document: {what}. The server is broken or of another version; "
        "if the document comes from the cache on this machine, clear the cache"
    )


def _read(read: Callable[[Data], N], document: bytes) -> N:
    try:
        return read(_data(json.loads(document), "document"))
    except (ValueError, RecursionError) as error:
        _fail(f"no JSON, or nested too deep ({error})")


def _data(value: object, where: str) -> Data:
    if type(value) is not dict:
        _fail(f"{where!r} is {type(value).__name__} where an object belongs")
    return value


def _text(data: Data, key: str) -> str:
    value = data.get(key)
    if type(value) is not str:
        _fail(f"{key!r} is {type(value).__name__} where text belongs")
    return value


def _optional(data: Data, key: str, default: str | None = None) -> str | None:
    value = data.get(key, default)
    if value is not None and type(value) is not str:
        _fail(f"{key!r} is {type(value).__name__} where text belongs")
    return value


def _flag(data: Data, key: str, default: bool) -> bool:
    value = data.get(key, default)
    if type(value) is not bool:
        _fail(f"{key!r} is {type(value).__name__} where true or false belongs")
    return value


def _line(data: Data) -> int | None:
    value = data.get("line")
    if value is not None and type(value) is not int:
        _fail(f"'line' is {type(value).__name__} where a number belongs")
    return value


def _texts(data: Data, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return default
    if type(value) is not list or not all(type(item) is str for item in value):
        _fail(f"{key!r} is no list of texts")
    return tuple(value)


def _paths(data: Data, key: str) -> tuple[str, ...]:
    paths = _texts(data, key, _OBJECT_ONLY)
    for path in paths:
        if ":" not in path:
            _fail(f"{path!r} in {key!r} is no 'module:qualname'")
    return paths


def _mapping(data: Data, key: str) -> Data:
    return _data(data.get(key, {}), key)


def _read_module(data: Data) -> ModuleNode:
    if data.get("kind") != "module":
        _fail(f"kind {data.get('kind')!r} where a module belongs")
    name = _text(data, "name")
    file = _optional(data, "file")
    members = {
        key: _read_member(key, value, name, "", file) for key, value in _members(data, "members")
    }
    bases = {
        path: _read_lone_class(_data(value, path))
        for path, value in _mapping(data, "bases").items()
    }
    exports = None if data.get("exports") is None else _texts(data, "exports")
    package = _flag(data, "package", False)
    return ModuleNode(name, package, exports, members, bases, _optional(data, "doc"), file)


def _read_lone_class(data: Data) -> ClassNode:
    return _read_class(data, "", "", None)


def _members(data: Data, key: str) -> list[tuple[str, Data]]:
    members = _mapping(data, key)
    for name in members:
        if not is_name(name):
            _fail(f"{name!r} is no name of a member")
    return [(name, _data(value, name)) for name, value in members.items()]


def _read_member(name: str, data: Data, module: str, qualname: str, file: str | None) -> Node:
    kind = data.get("kind")
    if kind == "function":
        return _read_function(name, data, module, qualname, file)
    if kind == "class":
        node = _read_class(data, module, qualname, file)
        return node if node.name == name else _fail(f"{name!r} holds a class {node.name!r}")
    if kind == "variable":
        value, doc = _optional(data, "value"), _optional(data, "doc")
        return VariableNode(name, _text(data, "type"), value, doc)
    if kind == "reference":
        return ReferenceNode(name, _text(data, "target"))
    if kind == "property":
        doc, type_ = _optional(data, "doc"), _optional(data, "type")
        return PropertyNode(
            name, doc, type_, _flag(data, "settable", False), _flag(data, "asked", False)
        )
    _fail(f"{name!r} is of the unknown kind {kind!r}")


def _read_function(
    name: str, data: Data, module: str, qualname: str, file: str | None
) -> FunctionNode:
    binding, flow = data.get("binding", "function"), data.get("flow", "")
    if type(binding) is not str or binding not in _BINDINGS:
        _fail(f"{name!r} has the unknown binding {binding!r}")
    if type(flow) is not str or flow not in _FLOWS:
        _fail(f"{name!r} has the unknown flow {flow!r}")
    return FunctionNode(
        name,
        _text(data, "qualname") if "qualname" in data else qualname + name,
        _text(data, "module") if "module" in data else module,
        binding,
        flow,
        _read_signature(data),
        _optional(data, "doc"),
        _optional(data, "file", file),
        _line(data),
        _texts(data, "methods"),
    )


def _read_class(data: Data, module: str, qualname: str, file: str | None) -> ClassNode:
    if data.get("kind") != "class":
        _fail(f"kind {data.get('kind')!r} where a class belongs")
    name = _text(data, "name")
    qualname = _text(data, "qualname") if "qualname" in data else qualname + name
    module = _text(data, "module") if "module" in data else module
    file = _optional(data, "file", file)
    inner = f"{qualname}."
    return ClassNode(
        name,
        qualname,
        module,
        _paths(data, "bases"),
        _paths(data, "mro"),
        _text(data, "metaclass") if "metaclass" in data else "builtins:type",
        _texts(data, "traits"),
        {
            key: _read_member(key, value, module, inner, file)
            for key, value in _members(data, "members")
        },
        _specials(data, "specials"),
        _specials(data, "unset"),
        _read_signature(data),
        _optional(data, "doc"),
        file,
        _line(data),
        _texts(data, "registered"),
        {key: _texts(_mapping(data, "fixed"), key) for key in _mapping(data, "fixed")},
        _fields(data),
    )


def _fields(data: Data) -> tuple[FieldNode, ...]:
    items = data.get("fields", [])
    if type(items) is not list:
        _fail("'fields' is no list")
    return tuple(map(_field, items))


def _field(item: object) -> FieldNode:
    if type(item) is not list or len(item) < 3:
        _fail("a field is a list of its name, its type, its factory and what it does")
    name, type_, factory, *flags = item
    if type(name) is not str or not all(type(flag) is str for flag in flags):
        _fail("the name of a field and what it does are texts")
    if not {type(type_), type(factory)} <= {str, type(None)}:
        _fail(f"the type of field {name!r} and its factory are texts")
    return FieldNode(name, type_, tuple(flags), factory)


def _specials(data: Data, key: str) -> tuple[str, ...]:
    names = _texts(data, key)
    for name in names:
        if not (is_name(name) and name.startswith("__") and name.endswith("__")):
            _fail(f"{name!r} in {key!r} is no special method")
    return names


def _read_signature(data: Data) -> Signature | None:
    if data.get("signature") is None:
        return None
    signature = _data(data["signature"], "signature")
    items = signature.get("parameters", [])
    if type(items) is not list:
        _fail("'parameters' is no list")
    parameters = tuple(_read_parameter(_data(item, "parameter")) for item in items)
    _check_order(parameters)
    returns = _optional(signature, "returns")
    return Signature(parameters, returns, _flag(signature, "binds", True))


def _read_parameter(data: Data) -> Parameter:
    name, kind = data.get("name"), data.get("kind", 1)
    if type(name) is not str or not is_name(name):
        _fail(f"{name!r} is no name of a parameter")
    if type(kind) is not int or not 0 <= kind <= 4:
        _fail(f"parameter {name!r} is of the unknown kind {kind!r}")
    return _parameter(name, kind, _optional(data, "default"), _optional(data, "annotation"))


def _check_order(parameters: tuple[Parameter, ...]) -> None:
    """What `inspect.Signature` asks of a signature: the client makes one of it."""
    kind, optional = 0, False
    for parameter in parameters:
        if parameter.kind < kind or (parameter.kind == kind and kind in (2, 4)):
            _fail(f"parameter {parameter.name!r} is out of order")
        kind = parameter.kind
        if kind in (2, 4) and parameter.default is not None:
            _fail(f"parameter {parameter.name!r} cannot have a default")
        if kind < 2:
            if optional and parameter.default is None:
                _fail(f"parameter {parameter.name!r} needs a default")
            optional = parameter.default is not None
    if len({parameter.name for parameter in parameters}) < len(parameters):
        _fail("two parameters of one name")
