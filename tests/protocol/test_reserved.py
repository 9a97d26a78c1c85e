"""Which names with two underscores are Python's own."""

from __future__ import annotations

import sys
import types

import pytest

from wsremote.protocol.reserved import is_reserved


@pytest.mark.parametrize(
    "kind", [type, object, types.FunctionType, types.GeneratorType, types.ModuleType, super]
)
def test_all_that_pythons_types_define_is_reserved(kind: type) -> None:
    """Whatever the version: one name too few could lead into the interpreter."""
    names = [name for name in vars(kind) if name.startswith("__") and name.endswith("__")]
    assert names
    assert [name for name in names if not is_reserved(name)] == []


def test_names_of_modules_and_of_memory_are_reserved() -> None:
    """Those that are in no namespace of a type."""
    names = [name for name in vars(sys) if name.startswith("__") and name.endswith("__")]
    # What `sys` keeps its first streams and hooks under are data of that module.
    assert {n for n in names if not is_reserved(n)} <= {
        *("__stdin__", "__stdout__", "__stderr__", "__displayhook__", "__excepthook__"),
        *("__interactivehook__", "__unraisablehook__", "__breakpointhook__"),
    }
    assert all(map(is_reserved, ["__builtins__", "__array_interface__", "__arrow_c_stream__"]))


@pytest.mark.parametrize("name", ["__attrs_attrs__", "__my_data__", "__version__"])
def test_names_of_packages_are_not(name: str) -> None:
    """They are attributes as all others."""
    assert not is_reserved(name)
