"""The examples, over the wire, print what they print in one process without wsremote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import NAMESERVER, ROOT, Serve, ServedProcess, bare_client, start_server

Client = tuple[list[str], dict[str, str]]
EXAMPLES = ROOT / "examples"
PACKAGES = EXAMPLES / "packages"
SERVED = (
    *("pandas", "sympy", "networkx", "json", "statistics", "decimal"),
    *(str(PACKAGES / "garden"), str(PACKAGES / "ledger")),
)
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "run.py")


@pytest.fixture(scope="module")
def nameserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """The name server, with the token of all."""
    folder = tmp_path_factory.mktemp("nameserver")
    token = {"WSREMOTE_NAMESERVER_TOKEN": "of the tests"}
    server = start_server(folder=folder, environment=token, command=NAMESERVER)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, nameserver: ServedProcess
) -> Iterator[ServedProcess]:
    """One server for all examples; it has a name."""
    named = ("--name", "garden", "--tag", "example", "--nameserver", nameserver.url)
    server = start_server(*SERVED, *named, folder=tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A Python where neither the served packages nor what they need can be imported."""
    return bare_client(tmp_path_factory.mktemp("client"))


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    """What a script prints, in a process of its own."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    assert done.stderr == ""
    return done.stdout


def run_remotely(
    script: Path, client: Client, served: ServedProcess, folder: Path, nameserver: str = ""
) -> str:
    """What a script prints that reaches its packages through a server."""
    command, environment = client
    there = {"WSREMOTE_URL": served.url, "WSREMOTE_TOKEN": served.token}
    if nameserver:
        there["WSREMOTE_NAMESERVER"] = nameserver
    cache = {"WSREMOTE_CACHE": str(folder / "cache")}
    return run([*command, str(script)], {**environment, **there, **cache}, folder)


@pytest.mark.parametrize("package", ["pandas", "numpy", "sympy", "networkx", "garden"])
def test_the_client_really_has_none_of_the_packages(client: Client, package: str) -> None:
    """The Python that runs the examples cannot import what they use."""
    command, environment = client
    done = subprocess.run(
        [*command, "-c", f"import wsremote, {package}"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert f"No module named '{package}'" in done.stderr


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "hidden.py"])
def test_an_example_prints_over_the_wire_what_it_prints_locally(
    script: str, served: ServedProcess, nameserver: ServedProcess, client: Client, tmp_path: Path
) -> None:
    """The same script, once against a server and once in one process: the same output."""
    remote = run_remotely(EXAMPLES / script, client, served, tmp_path, nameserver.url)
    stand_in = ROOT / "tests" / "in_process"
    local = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [stand_in, PACKAGES])),
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-W", "error", str(EXAMPLES / script)]
    assert remote == run(command, local, tmp_path)


def test_hidden_names_are_not_served(served: ServedProcess, client: Client, tmp_path: Path) -> None:
    """What the sample packages exclude, the client does not see."""
    printed = run_remotely(EXAMPLES / "hidden.py", client, served, tmp_path)
    assert [line.split()[-1] for line in printed.splitlines()] == ["hidden"] * 4


def test_the_readme_tells_the_truth(serve: Serve, client: Client, tmp_path: Path) -> None:
    """Its client lines, with `import pandas`, print what it says they print."""
    readme = (ROOT / "README.md").read_text()
    code, output = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", readme, re.DOTALL).groups()
    served = serve("pandas")
    (url,) = re.findall(r'"(ws://[^"]+)", token', code)
    script = tmp_path / "readme.py"
    script.write_text(code.replace(url, served.url).replace("Qk3…", served.token))
    assert run_remotely(script, client, served, tmp_path) == output


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_is_short_and_imports_what_is_here(script: str) -> None:
    """Below 40 lines, and no import of what only the server has."""
    lines = (EXAMPLES / script).read_text().splitlines()
    assert len(lines) < 40
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {"wsremote", "decimal"}
