"""From packages to the tree: what is listed, under which names, and described as what."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wsremote.tree.describing import describe_class
from wsremote.tree.inspector import inspect_packages
from wsremote.tree.inventory import Inventory
from wsremote.tree.nodes import (
    ClassNode,
    FunctionNode,
    ModuleNode,
    PropertyNode,
    ReferenceNode,
    VariableNode,
)

MakePackage = Callable[[dict[str, str]], Path]


def cls(sample: Inventory, path: str) -> ClassNode:
    """A class of the sample package."""
    node = sample.tree.find(f"samplepkg.{path}")
    assert isinstance(node, ClassNode)
    return node


def function(sample: Inventory, path: str) -> FunctionNode:
    """A function of the sample package."""
    node = sample.tree.find(f"samplepkg.{path}")
    assert isinstance(node, FunctionNode)
    return node


def kinds(node: ModuleNode | ClassNode) -> dict[str, str]:
    return {name: member.kind for name, member in node.members.items()}


def test_every_module_is_listed_once(sample: Inventory) -> None:
    """Subpackages, private modules and modules beside broken ones; no tests, no program."""
    modules = [name for name, _ in sample.index["modules"]]
    assert modules == sorted(set(modules))
    assert {"samplepkg._impl", "samplepkg.nested.deep.leaf", "samplepkg.faulty.sound"} < {*modules}
    assert not {"samplepkg.__main__", "samplepkg.tests", "samplepkg.tests.check"} & {*modules}
    assert sample.tree["samplepkg.nested.deep"].is_package
    assert not sample.tree["samplepkg.nested.deep.leaf"].is_package


def test_submodules_that_fail_are_reported_with_their_reason(sample: Inventory) -> None:
    """An ImportError, an exit, and no path of this machine in the reason."""
    assert sample.failures == {
        "samplepkg.faulty.broken": ("ImportError: samplepkg needs a library that is not installed"),
        "samplepkg.faulty.exiting": "SystemExit: no such luck",
        "samplepkg.faulty.misspelt": (
            "ImportError: cannot import name 'NO_SUCH_NAME' from 'samplepkg.constants'"
        ),
    }


def test_package_members(sample: Inventory) -> None:
    """Exports, aliases and a dunder variable; what the package only uses is left out."""
    node = sample.tree["samplepkg"]
    assert kinds(node) == {
        "json_module": "variable",
        "constants": "reference",
        "Engine": "reference",
        "_private_helper": "function",
        "build": "reference",
        "Motor": "reference",
        "Account": "reference",
        "ANSWER": "variable",
        "PackageError": "reference",
        "add": "reference",
        "__version__": "variable",
        "plus": "reference",
        "not_exported": "function",
    }
    assert node.exports is not None and "Motor" in node.exports
    assert node.doc is not None and node.doc.startswith("One of every shape")
    assert node.file == "samplepkg/__init__.py"


def test_references_lead_to_the_place_of_definition(sample: Inventory) -> None:
    """Every re-export and alias names one canonical path, and stands for the same object."""
    import samplepkg

    for alias in ("samplepkg:Engine", "samplepkg:Motor", "samplepkg._impl:Engine"):
        assert sample.objects[alias] is samplepkg.Engine
        assert sample.tree.find(alias).name == "Engine"
    assert sample.path_of(samplepkg.Engine) == "samplepkg._impl:Engine"
    assert sample.path_of(samplepkg.add) == "samplepkg.functions:add"
    assert sample.path_of(samplepkg.constants) == "samplepkg.constants"
    assert sample.path_of(samplepkg.Account.Statement) == "samplepkg.classes:Account.Statement"
    assert sample.path_of(samplepkg.Account("me")) is None
    report = cls(sample, "classes:SavingsAccount").members["Report"]
    assert report == ReferenceNode("Report", "samplepkg.classes:Account.Statement")


def test_table_holds_what_the_tree_names_and_no_methods(sample: Inventory) -> None:
    """Modules, functions and classes, nested ones too; each path resolves to its object."""
    for path, value in sample.objects.items():
        module, _, qualname = path.partition(":")
        found: Any = importlib.import_module(module)
        for part in qualname.split(".") if qualname else ():
            found = vars(found)[part]
        assert found is value, path
    assert "samplepkg.classes:Account.Statement.Line" in sample.objects
    assert "samplepkg.classes:Account.deposit" not in sample.objects
    assert "samplepkg._impl:_Base" not in sample.objects
    with pytest.raises(TypeError):
        sample.objects["samplepkg:more"] = print  # type: ignore[index]


def test_variables_have_types_and_small_values(sample: Inventory) -> None:
    """Constants with their text; large, mutable and callable values with their type."""
    members = sample.tree["samplepkg.constants"].members
    shown = {
        name: (node.type, node.value)
        for name, node in members.items()
        if isinstance(node, VariableNode)
    }
    assert shown["ANSWER"] == ("builtins:int", "42")
    assert shown["PAIR"] == ("builtins:tuple", "(1, 'two')")
    assert shown["SURROGATE"] == ("builtins:str", "'\\udc80'")
    for name in ("HUGE", "LONG_TEXT", "MANY", "NAMES", "TABLE", "PRIMES", "HERE", "MONEY"):
        assert shown[name][1] is None, name
    assert shown["MONEY"][0] == "decimal:Decimal"
    assert shown["int_from_binary"] == ("functools:partial", None)
    assert shown["first"] == ("operator:itemgetter", None)
    assert members["add_five"] == VariableNode(
        "add_five", "samplepkg.constants:Adder", None, "Adds five."
    )
    assert isinstance(members["double"], FunctionNode)
    assert list(members)[:3] == ["NOTHING", "YES", "ANSWER"]


def test_functions_say_how_they_run(sample: Inventory) -> None:
    """Signature, flow, doc and place of plain, wrapped and unusual functions."""
    flows = {name: function(sample, f"functions:{name}").flow for name in ("add", "decorated")}
    assert flows == {"add": "", "decorated": ""}
    assert function(sample, "functions:count_to").flow == "generator"
    assert function(sample, "functions:wait_and_add").flow == "async"
    assert function(sample, "functions:count_slowly").flow == "async generator"
    assert str(function(sample, "functions:every_kind").signature) == (
        "(a, b, /, c, d=4, *rest, e, f=6, **options)"
    )
    decorated = function(sample, "functions:decorated")
    assert decorated.signature is not None and not decorated.signature.binds
    assert decorated.doc == "Wrapped by `functools.wraps`."
    cached = function(sample, "functions:cached")
    assert str(cached.signature) == "(n)"
    assert (cached.file, cached.line) == (None, None)


def test_places_are_those_of_inspect(sample: Inventory) -> None:
    """File and line lead to the source, relative to the folder of the package."""
    import samplepkg

    folder = Path(samplepkg.__file__).parents[1]

    def source_line(node: FunctionNode | ClassNode) -> str:
        assert node.file is not None and node.line is not None
        return (folder / node.file).read_text().splitlines()[node.line - 1].strip()

    assert source_line(function(sample, "functions:add")) == "def add(a, b=1):"
    assert source_line(function(sample, "functions:decorated")) == "@logged"
    assert source_line(function(sample, "classes:Account.deposit")).startswith("def deposit")
    for path in ("Account", "SavingsAccount", "Account.Statement", "Account.Statement.Line"):
        node = cls(sample, f"classes:{path}")
        assert source_line(node).startswith(f"class {node.name}")
    assert cls(sample, "values:Triple").file is None


def test_classes_of_one_name_are_told_apart(make_package: MakePackage) -> None:
    """Nested classes of the same name, and text that looks like a class statement."""
    source = '''
        """Text.

            class Second: is only mentioned
        """
        class First:
            class Inner:
                pass

        class Second:
            class Inner:
                pass

        class Inner:
            pass
    '''
    make_package({"alike.py": source})
    tree = inspect_packages(["alike"]).tree
    lines = {}
    for path in ("First", "First.Inner", "Second", "Second.Inner", "Inner"):
        node = tree.find(f"alike:{path}")
        assert isinstance(node, ClassNode)
        lines[path] = node.line
    assert lines == {
        "First": 6,
        "First.Inner": 7,
        "Second": 10,
        "Second.Inner": 11,
        "Inner": 14,
    }


def test_modules_that_no_import_statement_can_name_are_left_out(make_package: MakePackage) -> None:
    """`async.py` and `a-b.py` are no modules for anyone."""
    make_package({"odd/__init__.py": "", "odd/async.py": "", "odd/a-b.py": "", "odd/c.py": ""})
    inventory = inspect_packages(["odd"])
    assert list(inventory.tree) == ["odd", "odd.c"]
    assert inventory.failures == {}


def test_class_members_by_kind(sample: Inventory) -> None:
    """Methods, properties, class attributes, nested classes; nothing private."""
    account = cls(sample, "classes:Account")
    assert kinds(account) == {
        "balance": "property",
        "owner": "property",
        "deposit": "function",
        "chain": "function",
        "open": "function",
        "is_valid": "function",
        "Statement": "class",
        "bank": "variable",
        "limits": "variable",
        "number": "property",
        "opened": "variable",
    }
    bindings = {
        name: node.binding
        for name, node in account.members.items()
        if isinstance(node, FunctionNode)
    }
    assert bindings == {
        "deposit": "method",
        "chain": "method",
        "open": "classmethod",
        "is_valid": "staticmethod",
    }
    assert account.members["balance"] == PropertyNode("balance", "What is there.", "int", False)
    assert account.members["owner"] == PropertyNode("owner", "Who it belongs to.", "str", True)
    assert {"__eq__", "__repr__", "__init__"} <= {*account.specials}
    assert account.unset == ("__hash__",)
    assert str(account.signature) == "(owner, balance=0)"
    assert account.doc is not None and account.doc.startswith("Holds state.")


def test_instance_data_that_the_class_knows_of(sample: Inventory) -> None:
    """Slots, dataclass fields and annotations are properties; frozen ones cannot be set."""
    assert kinds(cls(sample, "classes:Slots")) == {"x": "property", "y": "property"}
    item = cls(sample, "values:Item")
    assert item.members["price"] == PropertyNode("price", None, "float", True, asked=True)
    assert item.members["shop"].kind == "variable"
    assert cls(sample, "values:Point").members["y"] == PropertyNode(
        "y", None, "int", False, asked=True
    )
    assert str(item.signature) == (
        "(name: str, price: float = 0.0, tags: list[str] = <factory>) -> None"
    )
    assert list(cls(sample, "values:Slotted").members) == ["left", "right"]
    assert kinds(cls(sample, "classes:Local")) == {"declared": "property", "with_value": "variable"}
    assert list(cls(sample, "values:Triple").members) == ["c", "b", "a"]
    pair = cls(sample, "values:Pair").members
    assert isinstance(pair["first"], PropertyNode) and not pair["first"].settable


def test_traits_bases_and_metaclass(sample: Inventory) -> None:
    """What kind of class it is, and where it comes from."""
    traits = {
        path: cls(sample, path).traits
        for path in (
            "errors:NotFound",
            "values:Colour",
            "values:Item",
            "values:Pair",
            "classes:Shape",
            "classes:Square",
            "classes:Box",
            "classes:Account",
        )
    }
    assert traits == {
        "errors:NotFound": ("exception",),
        "values:Colour": ("enum",),
        "values:Item": ("dataclass",),
        "values:Pair": ("namedtuple",),
        "classes:Shape": ("abstract", "virtual"),
        "classes:Square": ("virtual",),
        "classes:Box": ("generic",),
        "classes:Account": (),
    }
    error = cls(sample, "errors:NotFound")
    assert error.bases == ("samplepkg.errors:PackageError", "builtins:LookupError")
    assert error.mro == (
        "samplepkg.errors:PackageError",
        "builtins:LookupError",
        "builtins:Exception",
        "builtins:BaseException",
        "builtins:object",
    )
    assert cls(sample, "classes:Registered").metaclass == "samplepkg.classes:Registering"
    assert cls(sample, "classes:Shape").metaclass == "abc:ABCMeta"


def test_enum_members_in_order_with_aliases(sample: Inventory) -> None:
    """The constants come first, with the enumeration as type and their value as text."""
    members = list(cls(sample, "values:Colour").members.values())
    assert members[:3] == [
        VariableNode("RED", "samplepkg.values:Colour", "1"),
        VariableNode("GREEN", "samplepkg.values:Colour", "'green'"),
        VariableNode("CRIMSON", "samplepkg.values:Colour", "1"),
    ]
    assert members[3].name == "shout"


def test_bases_that_no_module_lists_come_with_the_module(sample: Inventory) -> None:
    """A private or foreign base class is described where it is inherited from."""
    bases = sample.tree["samplepkg._impl"].bases
    assert list(bases) == ["samplepkg._impl:_Base"]
    base = bases["samplepkg._impl:_Base"]
    assert "grow" in base.members and "__len__" in base.specials
    assert list(sample.tree["samplepkg.classes"].bases) == ["abc:ABC", "typing:Generic"]
    assert sample.tree["samplepkg.errors"].bases == {}


def test_function_named_as_its_module_stays(sample: Inventory) -> None:
    """Importing all submodules does not overwrite a name that the package has bound."""
    import samplepkg.nested.deep

    assert callable(samplepkg.nested.deep.branch)
    assert sample.tree["samplepkg.nested.deep"].members["branch"].kind == "reference"
    assert sample.tree.find("samplepkg.nested.deep:branch").kind == "function"


def test_submodule_imported_by_us_leaves_the_package_as_it_was(make_package: MakePackage) -> None:
    """A value of the package stays when its submodule of that name is first imported by us."""
    make_package({"shadowing/__init__.py": "mode = 'fast'\n", "shadowing/mode.py": "x = 1\n"})
    inventory = inspect_packages(["shadowing"])
    assert inventory.tree["shadowing"].members["mode"] == VariableNode(
        "mode", "builtins:str", "'fast'"
    )
    assert "shadowing.mode" in inventory.tree


@pytest.mark.parametrize(
    ("name", "close"),
    [("samplepkk", "samplepkg"), ("jsn", "json"), ("samplepkg.clases", "samplepkg.classes")],
)
def test_unknown_package_is_named_with_a_similar_one(
    importable: Path, name: str, close: str
) -> None:
    """The error says what is missing, and what may have been meant."""
    with pytest.raises(ImportError, match=rf"no module named '{name}'.*Did you mean '{close}'"):
        inspect_packages([name])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_package_that_fails_says_why(make_package: MakePackage, source: str, reason: str) -> None:
    """A package that cannot be imported itself is an ImportError with the reason."""
    make_package({"unsound.py": source})
    with pytest.raises(ImportError, match=f"'unsound' fails to import: {reason}"):
        inspect_packages(["unsound"])


def test_single_module(make_package: MakePackage) -> None:
    """One file is a package of one module."""
    make_package({"alone.py": "import os\nVALUE = 1\ndef f(a): pass\n"})
    inventory = inspect_packages(["alone"])
    assert [name for name, _ in inventory.index["modules"]] == ["alone"]
    assert kinds(inventory.tree["alone"]) == {"VALUE": "variable", "f": "function"}
    assert inventory.tree["alone"].file == "alone.py"


def test_namespace_package(make_package: MakePackage) -> None:
    """Folders without `__init__.py` are packages, folders inside them too."""
    make_package(
        {
            "spread/one.py": "A = 1\n",
            "spread/inner/two.py": "B = 2\n",
            "spread/regular/__init__.py": "C = 3\n",
            "spread/data/readme.txt": "no module\n",
        }
    )
    inventory = inspect_packages(["spread"])
    assert list(inventory.tree) == [
        "spread",
        "spread.inner",
        "spread.inner.two",
        "spread.one",
        "spread.regular",
    ]
    assert inventory.tree["spread.inner.two"].file == "spread/inner/two.py"
    assert inventory.tree["spread"].file is None


def test_dotted_name_serves_the_subpackage_only(importable: Path) -> None:
    """`pkg.sub` is served without `pkg`."""
    inventory = inspect_packages(["samplepkg.nested"])
    assert all(name.startswith("samplepkg.nested") for name in inventory.tree)
    assert inventory.tree["samplepkg.nested.deep.leaf"].file == "samplepkg/nested/deep/leaf.py"


def test_c_modules() -> None:
    """Extension and built-in modules have functions, with signatures where C code gives them."""
    inventory = inspect_packages(["math", "_json", "sqlite3"])
    sqrt = inventory.tree.find("math:sqrt")
    assert isinstance(sqrt, FunctionNode)
    assert (str(sqrt.signature), sqrt.file, sqrt.line) == ("(x, /)", None, None)
    assert sqrt.signature is not None and not sqrt.signature.binds
    assert inventory.objects["math:sqrt"] is __import__("math").sqrt
    assert inventory.tree.find("_json:scanstring").kind == "function"
    assert inventory.tree.find("sqlite3:connect").kind == "function"
    assert inventory.tree.find("sqlite3:Connection.cursor").kind == "function"
    with pytest.raises(KeyError):
        inventory.tree.find("sqlite3:namedtuple")


def test_bound_methods_as_functions() -> None:
    """`random.randint` is a function to its users, though it is a method of an instance."""
    inventory = inspect_packages(["random"])
    node = inventory.tree.find("random:randint")
    assert isinstance(node, FunctionNode)
    assert str(node.signature) == "(a, b)"


def test_lazily_exported_names(make_package: MakePackage) -> None:
    """Names that only the module's `__getattr__` gives are listed if `__all__` has them."""
    source = """
        __all__ = ["lazy", "missing", "eager"]

        def eager():
            pass

        def __getattr__(name):
            if name == "lazy":
                from .lazily import lazy
                return lazy
            raise AttributeError(name)
    """
    make_package({"lazypkg/__init__.py": source, "lazypkg/lazily.py": "def lazy(): pass\n"})
    inventory = inspect_packages(["lazypkg"])
    assert kinds(inventory.tree["lazypkg"]) == {"eager": "function", "lazy": "reference"}


def test_object_whose_home_is_not_listed_is_described_where_it_is(
    make_package: MakePackage,
) -> None:
    """Private names behind public ones, factories' products and foreign exports."""
    source = """
        from collections import OrderedDict, deque

        __all__ = ["deque", "public", "made", "Product"]

        def _private(a): pass

        public = _private

        def factory():
            def product(b): pass
            class Product:
                class Part: pass
            return product, Product

        made, Product = factory()
    """
    make_package({"inplace.py": source})
    inventory = inspect_packages(["inplace"])
    assert kinds(inventory.tree["inplace"]) == {
        "deque": "class",
        "public": "function",
        "factory": "function",
        "made": "function",
        "Product": "class",
    }
    product = inventory.tree.find("inplace:Product")
    assert isinstance(product, ClassNode) and product.path == "inplace:Product"
    part = inventory.tree.find("inplace:Product.Part")
    assert isinstance(part, ClassNode) and part.path == "inplace:Product.Part"
    assert inventory.path_of(inventory.objects["inplace:Product.Part"]) == "inplace:Product.Part"


def test_no_code_of_the_package_runs_while_it_is_described(make_package: MakePackage) -> None:
    """Values, class attributes and classes may be anything: they are looked at, not used."""
    source = """
        class Trap:
            def __getattribute__(self, name): raise AssertionError(name)
            def __repr__(self): raise AssertionError("repr")
            def __bool__(self): raise AssertionError("bool")
            def __eq__(self, other): raise AssertionError("eq")
            def __call__(self): raise AssertionError("call")
            @property
            def __class__(self): raise AssertionError("class")
            __hash__ = None

        class Meta(type):
            def __getattribute__(cls, name): raise AssertionError(name)
            def __repr__(cls): raise AssertionError("repr")
            def __hash__(cls): raise AssertionError("hash")
            def __eq__(cls, other): raise AssertionError("eq")
            def mro(cls): return type.mro(cls)

        class Trapped(metaclass=Meta):
            trap = Trap()
            @property
            def prop(self): raise AssertionError("property")

        trap = Trap()
        trapped = object.__new__(Trapped)
        table = {"trap": trap}
        def f(a=trap, b=Trapped, c=trapped): pass
    """
    make_package({"trapped.py": source})
    inventory = inspect_packages(["trapped"])
    assert kinds(inventory.tree["trapped"]) == {
        "Trap": "class",
        "Meta": "class",
        "Trapped": "class",
        "trap": "variable",
        "trapped": "variable",
        "table": "variable",
        "f": "function",
    }
    assert str(inventory.tree.find("trapped:f")) == "f(a=<Trap>, b=Trapped, c=<Trapped>)"


def test_module_that_replaces_itself_is_a_failure(make_package: MakePackage) -> None:
    """An object in `sys.modules` that is no module is reported, not served."""
    source = "import sys\nsys.modules[__name__] = object()\n"
    make_package({"replaced/__init__.py": "", "replaced/odd.py": source})
    inventory = inspect_packages(["replaced"])
    assert list(inventory.tree) == ["replaced"]
    assert "no module" in inventory.failures["replaced.odd"]


def test_warnings_of_submodules_are_not_shown(
    make_package: MakePackage, recwarn: pytest.WarningsRecorder
) -> None:
    """A deprecated submodule that nobody asked for does not fill the server's screen."""
    source = "from warnings import *\nsimplefilter('always')\nwarn('old', stacklevel=1)\n"
    make_package({"aged/__init__.py": "", "aged/old.py": source})
    assert list(inspect_packages(["aged"]).tree) == ["aged", "aged.old"]
    assert len(recwarn) == 0


SCRIPT = """
import json, sys
from wsremote.tree.inspector import inspect_packages
inventory = inspect_packages(sys.argv[1:])
print(json.dumps([inventory.tree.digest, inventory.index, inventory.tree.to_json()]))
"""


def test_digests_are_the_same_in_every_process(importable: Path) -> None:
    """Hash seeds and the working folder change nothing; no path of this machine is told."""
    root = importable.parent
    outputs = []
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join([str(root), str(importable)]),
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "samplepkg", "ast", "json", "collections"],
            env=environment,
            cwd=importable if seed == "1" else root,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    _, _, tree = json.loads(outputs[0])
    assert str(importable) not in outputs[0]
    assert os.path.dirname(os.__file__) not in outputs[0]
    assert tree["modules"]["json.decoder"]["file"] == "json/decoder.py"


def test_attributes_set_in_a_loop_over_a_set_have_an_order(make_package: MakePackage) -> None:
    """Class attributes whose order differs from process to process are sorted."""
    source = """
        class C:
            def z(self): pass
            def a(self): pass

        for name in {"red", "green", "blue", "yellow"}:
            setattr(C, name, True)
    """
    make_package({"looped.py": source})
    node = inspect_packages(["looped"]).tree.find("looped:C")
    assert isinstance(node, ClassNode)
    assert list(node.members) == ["z", "a", "blue", "green", "red", "yellow"]


def test_class_outside_any_tree() -> None:
    """`describe_class` works for C classes, and leaves files of other folders out."""
    import re
    import sqlite3

    node = describe_class(re.Match)
    assert node.path == "re:Match"
    assert node.members["group"].kind == "function"
    assert node.members["string"].kind == "property"
    assert "__getitem__" in node.specials
    assert describe_class(sqlite3.Connection).members["Error"].kind == "property"
    assert describe_class(subprocess.Popen).file == "subprocess.py"


def test_a_builtin_class_under_another_name_is_a_variable(make_package: MakePackage) -> None:
    """Nothing is described as derived from the alias, and the class keeps its own name."""
    source = """
        __all__ = ["error", "Trouble"]
        error = Exception

        class Trouble(error): pass
    """
    make_package({"aliased.py": source})
    inventory = inspect_packages(["aliased"])
    assert isinstance(inventory.tree.find("aliased:error"), VariableNode)
    assert inventory.path_of(Exception) is None
    trouble = inventory.tree.find("aliased:Trouble")
    assert isinstance(trouble, ClassNode)
    assert trouble.bases == ("builtins:Exception",)
