"""The info tree: navigation, references, printing, and the index from the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsremote.errors import RemoteProtocolError
from wsremote.tree.documents import document_of
from wsremote.tree.info import InfoTree
from wsremote.tree.inventory import Inventory
from wsremote.tree.nodes import (
    ClassNode,
    FunctionNode,
    ModuleNode,
    Node,
    ReferenceNode,
    digest_of,
)


def tree_of(*modules: ModuleNode, failures: dict[str, str] | None = None) -> InfoTree:
    """A tree of modules made by hand."""
    documents = {digest_of(document_of(node)): document_of(node) for node in modules}
    index = {
        "packages": sorted({node.name.partition(".")[0] for node in modules}),
        "modules": [[node.name, digest_of(document_of(node))] for node in modules],
        "failures": failures or {},
    }
    return InfoTree(index, documents.__getitem__)


def module(name: str, *members: Node) -> ModuleNode:
    return ModuleNode(name, members={node.name: node for node in members})


def test_modules_are_loaded_when_asked_for_and_once(sample: Inventory) -> None:
    """Looking at one module fetches one document."""
    loaded: list[str] = []

    def load(digest: str) -> bytes:
        loaded.append(digest)
        return sample.documents[digest]

    tree = InfoTree(sample.index, load)
    str(tree)
    assert "samplepkg.state" in tree and len(tree) == len(sample.index["modules"])
    assert tree.children("samplepkg.nested") == ["samplepkg.nested.deep"]
    assert loaded == []
    assert tree["samplepkg.state"] is tree["samplepkg.state"]
    assert len(loaded) == 1


def test_digest_names_the_tree(sample: Inventory) -> None:
    """Equal indexes have equal digests; a change anywhere is another digest."""
    plain = json.loads(json.dumps(sample.index))
    again = InfoTree(plain, sample.documents.__getitem__)
    assert again.digest == sample.tree.digest and again == sample.tree
    plain["failures"]["samplepkg.more"] = "ImportError"
    assert InfoTree(plain, sample.documents.__getitem__) != sample.tree


def test_find_follows_references() -> None:
    """Chains of aliases, aliases of classes on the way to a member, and of modules."""
    method = FunctionNode("m", "C.m", "p.deep", "method")
    tree = tree_of(
        module("p", ReferenceNode("D", "p.mid:E"), ReferenceNode("sub", "p.deep")),
        module("p.deep", ClassNode("C", "C", "p.deep", members={"m": method})),
        module("p.mid", ReferenceNode("E", "p.deep:C")),
    )
    assert tree.find("p:D").name == "C"
    assert tree.find("p:D.m") == method
    assert tree.find("p:sub") is tree["p.deep"]
    assert tree.find("p:sub.C.m") == method
    assert tree.find("p") is tree["p"]


def test_references_in_a_circle_are_refused() -> None:
    """A hostile tree does not hang the client."""
    tree = tree_of(module("p", ReferenceNode("a", "p:b"), ReferenceNode("b", "p:a")))
    with pytest.raises(RemoteProtocolError, match="circle"):
        tree.find("p:a")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("samplepkg.stat", "did you mean samplepkg.state"),
        ("samplepkg.classes:Acount", "did you mean Account"),
        ("samplepkg.classes:Account.depost", "did you mean deposit"),
        ("samplepkg:Motor.rum", "did you mean run"),
        ("samplepkg.constants:ANSWER.x", "no x of"),
        ("samplepkg.faulty.broken", "failed on the server with ImportError: samplepkg needs"),
    ],
)
def test_missing_names_are_a_key_error_with_a_hint(
    sample: Inventory, path: str, message: str
) -> None:
    """The error names what is missing and something similar."""
    with pytest.raises(KeyError, match=message):
        sample.tree.find(path)


def test_attributes_navigate(sample: Inventory) -> None:
    """`tree.pkg.mod.name` finds what Python would, and Tab lists it."""
    tree = sample.tree
    assert "samplepkg" in dir(tree)
    assert {"classes", "nested", "Motor"} <= {*dir(tree.samplepkg)}
    assert str(tree.samplepkg.classes) == str(tree["samplepkg.classes"])
    account = tree.samplepkg.classes.Account
    assert isinstance(account, ClassNode)
    with pytest.raises(AttributeError, match="did you mean samplepkg"):
        tree.samplepkk
    with pytest.raises(AttributeError, match="did you mean classes"):
        tree.samplepkg.clases


def test_printing(sample: Inventory) -> None:
    """The tree draws packages and modules; a module lists its members."""
    drawing = str(sample.tree)
    assert drawing.startswith(f"samplepkg ({len(sample.tree) - 1} modules)\n├── _impl\n")
    assert "│   └── deep (2 modules)\n" in drawing
    assert "not served:\n    samplepkg.faulty.broken: ImportError" in drawing
    assert repr(sample.tree) == f"<InfoTree of samplepkg: {len(sample.tree)} modules>"
    text = str(sample.tree["samplepkg.classes"])
    assert "    class SavingsAccount(samplepkg.classes:Account)\n" in text
    assert "        deposit(self, amount: int = 1, *, note: str | None = None) -> int\n" in text
    assert "    ANSWER: int = 42\n" in str(sample.tree["samplepkg.constants"])
    assert "    async wait_and_add(a, b)\n" in str(sample.tree["samplepkg.functions"])
    assert "    Motor -> samplepkg._impl:Engine\n" in str(sample.tree["samplepkg"])


def test_json_is_the_whole_tree(sample: Inventory) -> None:
    """Plain data, with every document as an object."""
    data = json.loads(json.dumps(sample.tree.to_json()))
    assert data["packages"] == ["samplepkg"]
    assert list(data["modules"]) == list(sample.tree)
    assert data["modules"]["samplepkg.state"]["members"]["COUNT"] == {
        "kind": "variable",
        "type": "builtins:int",
        "value": "0",
    }
    assert data["failures"] == sample.failures


def test_document_of_another_digest_is_refused(sample: Inventory) -> None:
    """A cache or a server that answers with something else is found out."""
    digest = dict(sample.index["modules"])["samplepkg.state"]
    tree = InfoTree(sample.index, lambda _: sample.documents[digest])
    assert tree["samplepkg.state"].name == "samplepkg.state"
    with pytest.raises(RemoteProtocolError, match="not the one that its digest names"):
        tree["samplepkg.classes"]


def test_document_of_another_module_is_refused() -> None:
    """A document must describe the module that the index says."""
    document = document_of(ModuleNode("other"))
    index = {"packages": ["p"], "modules": [["p", digest_of(document)]], "failures": {}}
    with pytest.raises(RemoteProtocolError, match="describes 'other'"):
        InfoTree(index, {digest_of(document): document}.__getitem__)["p"]


@pytest.mark.parametrize(
    "change",
    [
        {"packages": None},
        {"packages": "pkg"},
        {"packages": [1]},
        {"packages": ["a b"]},
        {"packages": [""]},
        {"modules": {}},
        {"modules": [["p"]]},
        {"modules": [["p", "no digest"]]},
        {"modules": [["p", "A" * 64]]},
        {"modules": [["import", "0" * 64]]},
        {"modules": [["../p", "0" * 64]]},
        {"failures": []},
        {"failures": {"p": 1}},
    ],
)
def test_malformed_index_is_refused(change: dict[str, Any]) -> None:
    """Names must be names, digests digests."""
    index: dict[str, Any] = {"packages": ["p"], "modules": [["p", "0" * 64]], "failures": {}}
    assert list(InfoTree(index, lambda _: b"")) == ["p"]
    with pytest.raises(RemoteProtocolError, match="malformed index"):
        InfoTree({**index, **change}, lambda _: b"")
