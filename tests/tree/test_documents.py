"""Nodes to documents and back; malformed documents are refused."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.errors import RemoteProtocolError
from wsremote.tree.describing import describe_class
from wsremote.tree.documents import class_from, document_of, module_from
from wsremote.tree.inventory import Inventory
from wsremote.tree.nodes import (
    ClassNode,
    FunctionNode,
    ModuleNode,
    Parameter,
    PropertyNode,
    ReferenceNode,
    Signature,
    VariableNode,
)

FULL = ModuleNode(
    "pkg.mod",
    True,
    ("f", "C"),
    {
        "V": VariableNode("V", "builtins:str", "'\udc80'", "text"),
        "f": FunctionNode(
            "f",
            "f",
            "pkg.mod",
            "function",
            "async generator",
            Signature((Parameter("a", 0, "1", "int"), Parameter("k", 4)), "str", False),
            "Doc \N{SNOWMAN}",
            "pkg/mod.py",
            3,
        ),
        "g": FunctionNode("g", "other", "elsewhere", file=None),
        "r": ReferenceNode("r", "pkg:f"),
        "C": ClassNode(
            "C",
            "C",
            "pkg.mod",
            ("pkg:B",),
            ("pkg:B", "builtins:object"),
            "abc:ABCMeta",
            ("abstract",),
            {
                "p": PropertyNode("p", "doc", "int", True),
                "m": FunctionNode("m", "C.m", "pkg.mod", "method", file="pkg/mod.py", line=9),
                "Inner": ClassNode("Inner", "C.Inner", "pkg.mod", file=None),
            },
            ("__len__",),
            ("__hash__",),
            Signature(),
            "A class",
            "pkg/mod.py",
            7,
        ),
    },
    {"pkg.mod:_B": ClassNode("_B", "_B", "pkg.mod", file="pkg/mod.py", line=1)},
    "Module doc",
    "pkg/mod.py",
)


def test_module_survives_the_document() -> None:
    """Every field of every node comes back, lone surrogates too."""
    document = document_of(FULL)
    assert module_from(document) == FULL
    assert document_of(module_from(document)) == document


def test_all_modules_of_a_package_survive(sample: Inventory) -> None:
    """What the inspector makes, the client reads as it was."""
    for document in sample.documents.values():
        assert document_of(module_from(document)) == document


@pytest.mark.parametrize("cls", [re.Match, sqlite3.Connection, ValueError, type, property, dict])
def test_class_outside_the_tree_survives(cls: type) -> None:
    """A class of any package can be described and read back."""
    node = describe_class(cls)
    assert class_from(document_of(node)) == node
    assert node.path == f"{cls.__module__}:{cls.__qualname__}"


def test_document_says_nothing_twice() -> None:
    """Defaults, and what the surroundings say, are left out."""
    function = FunctionNode("f", "f", "m", signature=Signature((Parameter("a", 1),)), file="m.py")
    data = json.loads(document_of(ModuleNode("m", members={"f": function}, file="m.py")))
    assert data == {
        "kind": "module",
        "name": "m",
        "file": "m.py",
        "members": {"f": {"kind": "function", "signature": {"parameters": [{"name": "a"}]}}},
    }


def changed(change: dict[str, Any]) -> bytes:
    """The document of a small module with a function, changed."""
    data: dict[str, Any] = {"kind": "module", "name": "m", "members": {"f": {"kind": "function"}}}
    data.update(change)
    return json.dumps(data).encode()


def with_parameters(*parameters: object) -> dict[str, Any]:
    """A change to `changed`: the parameters of its function."""
    signature = {"parameters": list(parameters)}
    return {"members": {"f": {"kind": "function", "signature": signature}}}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "class"},
        {"name": None},
        {"name": 3},
        {"doc": ["x"]},
        {"exports": "abc"},
        {"exports": [1]},
        {"package": 1},
        {"members": []},
        {"members": {"f": None}},
        {"members": {"f": {}}},
        {"members": {"f": {"kind": "spell"}}},
        {"members": {"import": {"kind": "function"}}},
        {"members": {"__debug__": {"kind": "function"}}},
        {"members": {"a b": {"kind": "function"}}},
        {"members": {"f(): pass\nimport os": {"kind": "function"}}},
        {"members": {"\ufb01x": {"kind": "function"}}},
        {"members": {"f": {"kind": "function", "flow": "sideways"}}},
        {"members": {"f": {"kind": "function", "binding": []}}},
        {"members": {"f": {"kind": "function", "line": "1"}}},
        {"members": {"f": {"kind": "function", "signature": []}}},
        {"members": {"f": {"kind": "function", "signature": {"parameters": 1}}}},
        {"members": {"f": {"kind": "function", "signature": {"binds": 0}}}},
        {"members": {"v": {"kind": "variable"}}},
        {"members": {"r": {"kind": "reference", "target": 1}}},
        {"members": {"p": {"kind": "property", "settable": "yes"}}},
        {"members": {"C": {"kind": "class", "name": "D"}}},
        {"members": {"C": {"kind": "class", "name": "C", "bases": ["object"]}}},
        {"members": {"C": {"kind": "class", "name": "C", "specials": ["run"]}}},
        {"members": {"C": {"kind": "class", "name": "C", "unset": ["__a b__"]}}},
        {"bases": {"m:B": {"kind": "function"}}},
        with_parameters({"name": "lambda"}),
        with_parameters({"name": "a=print()"}),
        with_parameters({"name": 1}),
        with_parameters({"name": "a", "kind": 5}),
        with_parameters({"name": "a", "kind": True}),
        with_parameters({"name": "a", "kind": 3}, {"name": "b", "kind": 0}),
        with_parameters({"name": "a", "kind": 2}, {"name": "b", "kind": 2}),
        with_parameters({"name": "a", "kind": 2, "default": "1"}),
        with_parameters({"name": "a", "default": "1"}, {"name": "b"}),
        with_parameters({"name": "a"}, {"name": "a"}),
        with_parameters({"name": "a", "annotation": 1}),
    ],
)
def test_malformed_documents_are_refused(change: dict[str, Any]) -> None:
    """No node is made of a document with a field or name that cannot be."""
    assert module_from(changed({})).name == "m"
    with pytest.raises(RemoteProtocolError, match="malformed tree document"):
        module_from(changed(change))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"kind":"class","name":"C","members":{"C":' * 5000 + b"{}" + b"}}" * 5000,
    ],
)
def test_garbage_is_refused(document: bytes) -> None:
    """Truncated, deep, or other JSON is a protocol error and nothing else."""
    for read in (module_from, class_from):
        with pytest.raises(RemoteProtocolError):
            read(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "members", "signature", "parameters", "bases", "f"]),
            inner,
            max_size=5,
        )
    ),
)


@given(json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    """There is no third way out."""
    document = json.dumps(value).encode()
    for read in (module_from, class_from):
        try:
            node = read(document)
        except RemoteProtocolError:
            continue
        assert isinstance(node, ModuleNode | ClassNode)
