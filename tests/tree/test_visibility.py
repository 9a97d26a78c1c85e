"""What is hidden is hidden everywhere: EXCLUDED lists, hide and expose patterns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wsremote.tree.inspector import inspect_packages
from wsremote.tree.inventory import Inventory
from wsremote.tree.nodes import ClassNode

MakePackage = Callable[[dict[str, str]], Path]


def members(inventory: Inventory, module: str) -> list[str]:
    return list(inventory.tree[module].members)


def test_excluded_names_are_absent(sample: Inventory) -> None:
    """The lists hide names and themselves; neighbours, also equal ones, stay."""
    assert members(sample, "samplepkg.hidden") == [
        "SHOWN_LIMIT",
        "keep",
        "Vault",
        "secret_instance",
    ]
    text = json.dumps(sample.tree.to_json())
    for secret in ("of the hidden module", "destroy()", "EXCLUDED_", "obliterate", '"Hidden"'):
        assert secret not in text


def test_hidden_objects_are_hidden_under_every_name(sample: Inventory) -> None:
    """Re-exports, renamed imports, aliases, and the same mutable variable elsewhere."""
    import samplepkg.hidden
    import samplepkg.uses_hidden

    assert members(sample, "samplepkg.uses_hidden") == ["keep"]
    hidden = [samplepkg.hidden.destroy, samplepkg.hidden.Hidden, samplepkg.hidden.SECRETS]
    for value in hidden:
        assert not any(value is found for found in sample.objects.values())
        assert sample.is_hidden_object(value)
        assert sample.path_of(value) is None
    for name in ("ALIAS", "LIMIT", "PASSWORD", "Renamed", "wreck"):
        assert sample.is_hidden("samplepkg.uses_hidden", name), name
    for name in ("destroy", "obliterate", "Hidden", "Hidden.inherited", "EXCLUDED_CLASSES"):
        assert sample.is_hidden("samplepkg.hidden", name), name


def test_what_is_not_hidden_is_not(sample: Inventory) -> None:
    """Listed names, private names and unknown ones are not hidden."""
    import samplepkg.hidden

    assert not sample.is_hidden("samplepkg.hidden", "keep")
    assert not sample.is_hidden("samplepkg.hidden", "SHOWN_LIMIT")
    assert not sample.is_hidden("samplepkg.classes", "Account._secret")
    assert not sample.is_hidden("samplepkg.hidden")
    for value in (samplepkg.hidden.keep, samplepkg.hidden.Vault, 1, "text", print, None):
        assert not sample.is_hidden_object(value)


def test_methods_can_be_hidden(sample: Inventory) -> None:
    """`Class.method` in a list hides the method; those of a hidden base are inherited."""
    import samplepkg.hidden

    vault = sample.tree.find("samplepkg.hidden:Vault")
    assert isinstance(vault, ClassNode)
    assert list(vault.members) == ["open", "inherited"]
    assert sample.is_hidden("samplepkg.hidden", "Vault.burn")
    assert sample.is_hidden_object(samplepkg.hidden.Vault.burn)
    assert not sample.is_hidden_object(samplepkg.hidden.Hidden.inherited)


def test_hidden_base_is_not_named(sample: Inventory) -> None:
    """A class shows what it has from a hidden base as its own, and the base's bases."""
    vault = sample.tree.find("samplepkg.hidden:Vault")
    assert isinstance(vault, ClassNode)
    assert vault.bases == vault.mro == ("builtins:object",)
    assert "__len__" in vault.specials


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("samplepkg.nested", ["samplepkg.nested", "samplepkg.nested.deep.leaf"]),
        ("samplepkg.nested.*", ["samplepkg.nested.deep", "samplepkg.nested.deep.leaf"]),
        ("*.faulty", ["samplepkg.faulty", "samplepkg.faulty.sound"]),
    ],
)
def test_hidden_modules_are_gone_with_what_is_below(
    importable: Path, pattern: str, gone: list[str]
) -> None:
    """Modules that match a pattern, and their submodules, are not imported and not served."""
    inventory = inspect_packages(["samplepkg"], hide=[pattern])
    for module in gone:
        assert module not in inventory.tree
        assert module not in inventory.objects
        assert inventory.is_hidden(module)
        assert inventory.is_hidden(module, "anything")
    assert "samplepkg.functions" in inventory.tree


def test_hidden_module_hides_its_classes_where_they_are_imported_to(importable: Path) -> None:
    """A re-export does not open what `--hide` has closed."""
    inventory = inspect_packages(["samplepkg"], hide=["samplepkg._impl"])
    names = members(inventory, "samplepkg")
    assert not {"Engine", "Motor", "build", "_private_helper"} & {*names}
    assert inventory.is_hidden("samplepkg", "Motor")


def test_hide_pattern_of_one_name_hides_the_object(importable: Path) -> None:
    """Hiding a re-export by its name hides the function at home, too."""
    inventory = inspect_packages(["samplepkg"], hide=["samplepkg:plus"])
    assert "samplepkg.functions:add" not in inventory.objects
    assert inventory.is_hidden("samplepkg.functions", "add")


def test_wildcards_hide_a_modules_own_names(importable: Path) -> None:
    """`pkg.mod:*` leaves what the module has imported where it is defined."""
    inventory = inspect_packages(["samplepkg"], hide=["samplepkg.functions:*"])
    assert members(inventory, "samplepkg.functions") == []
    assert "samplepkg.values:Colour" in inventory.objects
    assert "samplepkg:add" not in inventory.objects


def test_patterns_of_members(importable: Path) -> None:
    """A pattern may name methods, whatever class they are in."""
    inventory = inspect_packages(["samplepkg"], hide=["*:*.deposit"])
    account = inventory.tree.find("samplepkg.classes:Account")
    assert isinstance(account, ClassNode)
    assert "deposit" not in account.members and "chain" in account.members
    assert inventory.is_hidden("samplepkg.classes", "SavingsAccount.deposit")


def test_expose_lists_only_what_matches(importable: Path) -> None:
    """One module and one name: nothing else is listed, and all else is refused."""
    inventory = inspect_packages(
        ["samplepkg"], expose=["samplepkg.state", "samplepkg.functions:add*"]
    )
    assert list(inventory.tree) == ["samplepkg", "samplepkg.functions", "samplepkg.state"]
    assert members(inventory, "samplepkg.functions") == ["add"]
    assert members(inventory, "samplepkg") == []
    assert "Recorder" in members(inventory, "samplepkg.state")
    assert inventory.is_hidden("samplepkg.functions", "echo")
    assert not inventory.is_hidden("samplepkg.functions", "add")
    assert not inventory.is_hidden("samplepkg.state", "Recorder.record")


def test_exposed_reexport_is_described_where_it_is(importable: Path) -> None:
    """A class whose home is not exposed has its exposed name as path."""
    inventory = inspect_packages(["samplepkg"], expose=["samplepkg:Engine"])
    node = inventory.tree.find("samplepkg:Engine")
    assert isinstance(node, ClassNode) and node.path == "samplepkg:Engine"
    assert inventory.path_of(inventory.objects["samplepkg:Engine"]) == "samplepkg:Engine"


def test_tests_are_served_when_they_are_named(importable: Path) -> None:
    """Only a pattern that says `tests` brings the tests of a package."""
    assert "samplepkg.tests" not in inspect_packages(["samplepkg"], expose=["*"]).tree
    inventory = inspect_packages(["samplepkg"], expose=["samplepkg.tests*"])
    assert members(inventory, "samplepkg.tests.check") == ["SEEN"]


def test_excluded_list_with_anything_else_is_an_error(make_package: MakePackage) -> None:
    """A list that would hide nothing by mistake does not pass silently."""
    make_package({"mistaken.py": "EXCLUDED_FUNCTIONS = 'secret'\ndef secret(): pass\n"})
    with pytest.raises(TypeError, match="mistaken: EXCLUDED_FUNCTIONS must be a list of names"):
        inspect_packages(["mistaken"])


def test_excluded_name_that_does_not_exist_is_warned_about(make_package: MakePackage) -> None:
    """A misspelt name in a list is told."""
    make_package({"misspelt.py": "EXCLUDED_FUNCTIONS = ['secert']\ndef secret(): pass\n"})
    with pytest.warns(UserWarning, match="'secert', which the module does not define"):
        inspect_packages(["misspelt"])
