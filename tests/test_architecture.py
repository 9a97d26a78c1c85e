"""The floors of docs/design.md, held by reading the imports of every file."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("wsremote", "nameserver")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
FLOORS = {
    **dict.fromkeys(["errors", "printable", "version"], 0),
    **dict.fromkeys(["protocol", "tree", "transport"], 1),
    **dict.fromkeys(["codec", "streaming"], 2),
    **dict.fromkeys(["shallow", "channel"], 3),
    **dict.fromkeys(["client", "server"], 4),
    **dict.fromkeys(["", "__main__", "api", "banner", "cli", "naming"], 5),
}
CONFINED = {
    "websockets": ["wsremote.transport"],
    "msgpack": ["wsremote.codec"],
    "cloudpickle": ["wsremote.codec.pickling"],
    "packaging": ["wsremote.naming.versions"],
    "click": ["wsremote.cli", "nameserver.cli"],
    "IPython": ["wsremote.client.notebook"],
    "prometheus_client": ["nameserver.metrics"],
    "redis": ["nameserver.redis_link"],
}
ONLY_INSIDE_FUNCTIONS = {"IPython", "numpy", "pandas", "prometheus_client", "redis"}
STANDARD_LIBRARY = sys.stdlib_module_names | {"annotationlib"}  # of Python 3.14
PURE_PROTOCOL = {"asyncio", "os", "random", "secrets", "select", "socket", "threading", "time"}
DRAWERS = {"common", "helper", "helpers", "misc", "shared", "tools", "util", "utils"}


def imports(module: str, *, skip: type[ast.AST] | None = None) -> Iterator[str]:
    """The dotted names that a module imports, without those inside nodes of type `skip`."""
    pending: list[ast.AST] = [ast.parse(FILES[module].read_text())]
    home = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), home)
            members = [f"{name}.{alias.name}" for alias in node.names]
            yield from (member if member in FILES else name for member in members)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += [] if skip is ast.If else [*node.body, *node.orelse]
        elif not (skip is ast.FunctionDef and isinstance(node, ast.FunctionDef | ast.Lambda)):
            pending += ast.iter_child_nodes(node)


def place(module: str) -> tuple[int, str]:
    """Floor and room of a module; a file of the top folder is a room of its own."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0] if package == "wsremote" else package
    return (6, room) if package == "nameserver" else (FLOORS[room], room)


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("module", FILES)
def test_imports_go_strictly_down(module: str) -> None:
    """A module imports from lower floors, its own room, or (top floor) a neighbour file."""
    floor, room = place(module)
    for name in (name for name in imports(module) if name.partition(".")[0] in FILES):
        other_floor, other_room = place(name)
        allowed = other_floor < floor or other_room == room or other_floor == floor == 5
        assert allowed, f"{module} (floor {floor}) imports {name} (floor {other_floor})"


@pytest.mark.parametrize("module", FILES)
def test_nobody_draws_from_the_generator_of_users(module: str) -> None:
    """Who has seeded `random` gets the same numbers, whatever our threads do beside."""
    nodes = list(ast.walk(ast.parse(FILES[module].read_text())))
    if not any(isinstance(node, ast.Import) and node.names[0].name == "random" for node in nodes):
        return
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "random":
            assert node.attr in {"Random", "SystemRandom"}, f"{module}: random.{node.attr}"


def test_there_are_no_import_cycles() -> None:
    """What must be imported first can be put in an order (annotations do not count)."""
    graph = {
        module: {name for name in imports(module, skip=ast.If) if name in FILES} for module in FILES
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", FILES)
def test_third_party_packages_are_confined(module: str) -> None:
    """Each dependency is imported in one room; heavy optional ones inside functions only."""
    for name in imports(module):
        root = name.partition(".")[0]
        if root in CONFINED:
            assert any(inside(module, room) for room in CONFINED[root]), f"{module} imports {root}"
        known = root in STANDARD_LIBRARY or root in FILES or root in CONFINED
        assert known or root in ONLY_INSIDE_FUNCTIONS, f"{module} imports {root}: no dependency"
    eager = {name.partition(".")[0] for name in imports(module, skip=ast.FunctionDef)}
    assert not eager & ONLY_INSIDE_FUNCTIONS, module


@pytest.mark.parametrize("module", FILES)
def test_rooms_keep_their_manners(module: str) -> None:
    """No clock or socket in protocol, asyncio where bytes move, no drawers, no long files."""
    names = {name.partition(".")[0] for name in imports(module)}
    if inside(module, "wsremote.protocol"):
        assert not names & PURE_PROTOCOL, module
    in_redis_loop = module.startswith("nameserver.redis_")
    if place(module)[1] not in {"transport", "client", "server"} and not in_redis_loop:
        assert "asyncio" not in names, module
    assert not DRAWERS & set(module.split(".")), f"{module}: name it after what it is"
    assert len(FILES[module].read_text().splitlines()) <= 600, f"{module}: split it"
