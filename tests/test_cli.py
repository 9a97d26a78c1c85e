"""The command line, in processes of its own, as a shell runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import ROOT, Serve

from wsremote import connect
from wsremote.version import __version__

PACKAGES = ROOT / "examples" / "packages"


def wsremote(
    *arguments: str, folder: Path | None = None, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `wsremote` and check its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "wsremote", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}:\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def test_version() -> None:
    """`--version` prints the version of the code that runs."""
    assert wsremote("--version").stdout == f"wsremote {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "tree", "call"])
def test_help_names_the_environment_variables(command: str) -> None:
    """Each command explains itself, with the variable of the token."""
    assert "WSREMOTE_TOKEN" in wsremote(command, "--help").stdout


def test_every_option_of_serve_has_an_environment_variable() -> None:
    """A service file can set all flags by name."""
    text = wsremote("serve", "--help").stdout
    flags = set(re.findall(r"^ +--([a-z-]+)", text, re.MULTILINE))
    named = set(re.findall(r"WSREMOTE_[A-Z_]+", text))
    missing = {
        flag for flag in flags if f"WSREMOTE_SERVE_{flag.upper().replace('-', '_')}" not in named
    }
    assert missing == {"token", "nameserver", "nameserver-token"}
    assert len(flags) > 15


# -- serve ---------------------------------------------------------------------------------


def test_the_banner_is_the_tutorial(serve: Serve) -> None:
    """It tells what is served, and lines that work when they are pasted."""
    served = serve("json", str(PACKAGES / "ledger"), token="open sesame")
    banner = "\n".join(served.printed)
    assert banner.startswith(f"wsremote {__version__} serving at {served.url} (pid ")
    assert re.search(r"json: 5 modules, \d+ functions, \d+ classes", banner)
    assert re.search(r"ledger: 6 modules, \d+ functions, \d classes", banner)
    pasted = [line.strip() for line in served.printed if line.startswith("    ")]
    check = [*pasted, "print(json.dumps([1, 2]))", "session.close()"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(check)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[1, 2]\n"


@pytest.mark.parametrize(
    ("arguments", "host"),
    [((), socket.gethostname()), (("--allow-host", "box.example"), "box.example")],
)
def test_the_banner_of_a_server_at_all_addresses_names_one(
    serve: Serve, arguments: tuple[str, ...], host: str
) -> None:
    """Nobody connects to 0.0.0.0; the server takes that name in the `Host` header."""
    served = serve("json", "--host", "0.0.0.0", "--insecure-plaintext", *arguments)
    (line,) = [line for line in served.printed if "wsremote.connect(" in line]
    assert f'"ws://{host.lower()}:{served.port}"' in line
    request = f"GET /healthz HTTP/1.1\r\nHost: {host}:{served.port}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as plug:
        plug.sendall(request.encode())
        assert plug.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(serve: Serve, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM give exit code 0, silently."""
    served = serve("json")
    served.process.send_signal(number)
    assert served.process.wait(10) == 0
    assert served.errors.read_text() == ""


def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    """Who presses Ctrl-C twice does not wait for the clients to be told."""
    served = serve("json")
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        served.process.send_signal(number)
    assert served.process.wait(10) == 128 + signal.SIGTERM
    served.expected_code = 128 + signal.SIGTERM


def test_ctrl_c_ends_an_import_that_takes_for_ever(tmp_path: Path) -> None:
    """Before it listens the server is interrupted like any program: exit code 130."""
    (tmp_path / "slow.py").write_text("import time\nprint('importing')\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-m", "wsremote", "serve", "./slow.py", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors


def test_a_signal_ends_a_first_registration_that_hangs(tmp_path: Path) -> None:
    """Its name servers take connections and say nothing: five seconds each are not waited for."""
    with contextlib.ExitStack() as stack:
        hanging = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        urls = ",".join(f"ws://127.0.0.1:{each.getsockname()[1]}" for each in hanging)
        ready = tmp_path / "ready"
        process = stack.enter_context(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "wsremote", "serve", "json", "--port", "0"),
                    *("--name", "risk", "--nameserver", urls, "--ready-file", str(ready)),
                ],
                env={**os.environ, "PYTHONPATH": str(ROOT), "WSREMOTE_TOKEN": "of the tests"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        hanging[0].settimeout(20)
        stack.enter_context(hanging[0].accept()[0])
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
        took = time.monotonic() - began
    assert (process.returncode, output, errors) == (0, "", "")
    assert not ready.exists()
    # A first attempt at one name server is given 5 s.
    assert took < 4


def test_a_token_is_made_when_none_is_given(serve: Serve) -> None:
    """Each start without a token has its own, which only the banner tells."""
    tokens = set()
    for _ in range(2):
        served = serve("json", token=None)
        found = re.search(r'token="([\w-]{43,})"', "\n".join(served.printed))
        assert found
        tokens.add(found[1])
    assert len(tokens) == 2


def test_flags_come_from_the_environment(serve: Serve, tmp_path: Path) -> None:
    """A packages file and a hidden name, both named by environment variables."""
    (tmp_path / "packages.txt").write_text("json  # of the standard library\nstatistics\n")
    served = serve(
        environment={
            "WSREMOTE_SERVE_PACKAGES": str(tmp_path / "packages.txt"),
            "WSREMOTE_SERVE_HIDE": "json:dumps json:load",
        }
    )
    tree = json.loads(wsremote("tree", served.url, "--json", WSREMOTE_TOKEN=served.token).stdout)
    assert {"json", "statistics"} <= set(tree["modules"])
    members = tree["modules"]["json"]["members"]
    assert "loads" in members
    assert not {"dumps", "load"} & set(members)


def test_the_bounds_of_the_flags_are_those_that_a_client_is_told(serve: Serve) -> None:
    """Each bound of `serve` is in `session.limits`, in bytes and seconds."""
    flags = {
        "--max-sessions": ("7", 7),
        "--max-sessions-per-token": ("5", 5),
        "--max-connections": ("11", 11),
        "--max-unauthenticated": ("19", 19),
        "--handshake-timeout": ("8s", 8),
        "--max-handles": ("13", 13),
        "--max-calls": ("17", 17),
        "--max-message-size": ("2M", 2 * 1024**2),
        "--max-transfer-size": ("1G", 1024**3),
        "--max-unacknowledged": ("3M", 3 * 1024**2),
        "--max-detached-output": ("4K", 4 * 1024),
        "--grace": ("1.5h", 5400),
        "--grace-when-empty": ("90", 90),
        "--idle-timeout": ("2d", 2 * 86400),
    }
    served = serve("json", *(each for flag, (text, _) in flags.items() for each in (flag, text)))
    with connect(served.url, token=served.token, new=True) as session:
        told = session.limits
    assert told == {flag[2:].replace("-", "_"): value for flag, (_, value) in flags.items()}


def test_a_submodule_that_fails_is_reported_and_the_rest_served(
    serve: Serve, tmp_path: Path
) -> None:
    """One line on stderr says which module and why."""
    package = tmp_path / "lib" / "orchard"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("TREES = 3\n")
    (package / "apples.py").write_text("def count(): return 7\n")
    (package / "pears.py").write_text("import no_such_package_at_all\n")
    served = serve(str(package))
    (line,) = served.errors.read_text().splitlines()
    assert "orchard.pears" in line
    assert "no_such_package_at_all" in line
    done = wsremote("call", served.url, "orchard.apples:count", WSREMOTE_TOKEN=served.token)
    assert done.stdout == "7\n"


@pytest.mark.parametrize("watching", [(), ("--watch",)])
def test_a_list_of_servers_needs_a_name_server(watching: tuple[str, ...]) -> None:
    """Which is given as an option, not in Python."""
    done = wsremote("ls", *watching, code=1)
    assert "give --nameserver ws://HOST:9999, or set WSREMOTE_NAMESERVER" in done.stderr
    done = wsremote("ls", *watching, "--nameserver", "ws://a", code=1)
    assert "give --nameserver-token or --token, or set" in done.stderr
    done = wsremote("ls", *watching, "ws://a:9999", code=1)
    assert "is a URL, and no name: give it as --nameserver" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to serve"),
        (["json", "--port", "70000"], "--port"),
        (
            ["json", "--name", "risk"],
            "with a name server: give --nameserver ws://HOST:9999, or set WSREMOTE_NAMESERVER",
        ),
        (
            ["json", "--name", "risk", "--nameserver", "ws://a"],
            "wants a token: give --nameserver-token or --token, or set WSREMOTE_NAMESERVER_TOKEN",
        ),
        (["json", "--host", "0.0.0.0"], "--insecure-plaintext"),
        (["json", "--max-message-size", "many"], "64M"),
        (["json", "--grace", "soon"], "24h"),
        (["json", "--grace", "0"], "grace must be above zero"),
        (["json", "--idle-timeout", "10w"], "10m"),
        (["json", "--ssl-certfile", "/no/such/file"], "does not exist"),
        (["json", "--prot", "1"], "--port"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str) -> None:
    """Exit code 2 and what to write instead, before anything is imported or opened."""
    assert message in wsremote("serve", *arguments, code=2).stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("statistcs", "Did you mean 'statistics'?"),
        ("./nowhere", "no file or folder"),
        ("./broken.py", "broken.*: .*out of order"),
    ],
)
def test_what_cannot_be_served_is_one_plain_line(tmp_path: Path, word: str, message: str) -> None:
    """Exit code 1, and the reason in one line."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('out of order')\n")
    (line,) = wsremote("serve", word, "--port", "0", folder=tmp_path, code=1).stderr.splitlines()
    assert re.search(message, line)


def test_a_port_in_use_is_one_plain_line() -> None:
    """The message names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = wsremote("serve", "json", "--port", str(port), code=1).stderr.splitlines()
    assert f"Port {port}" in line
    assert "--port 0" in line


# -- tree and call -------------------------------------------------------------------------


def test_tree_prints_and_gives_json(serve: Serve) -> None:
    """All of it, one module, and both as JSON."""
    served = serve(str(PACKAGES / "garden"))

    def tree(*arguments: str) -> str:
        return wsremote("tree", served.url, *arguments, WSREMOTE_TOKEN=served.token).stdout

    assert "garden.beds.bed" in tree() or "bed" in tree()
    module = tree("garden.plants.plant")
    assert "Vegetable" in module
    assert "grow" in module
    assert "Weed" not in module
    everything = json.loads(tree("--json"))
    assert everything["packages"] == ["garden"]
    assert everything["modules"]["garden.beds.bed"] == json.loads(tree("garden.beds.bed", "--json"))


def test_call_prints_the_repr_of_the_result(serve: Serve) -> None:
    """Python literals, plain strings, negative numbers and keywords; then what is printed."""
    served = serve("json", "statistics", "decimal", str(PACKAGES / "garden"))

    def call(*arguments: str) -> str:
        return wsremote("call", served.url, *arguments, WSREMOTE_TOKEN=served.token).stdout

    assert call("json:dumps", "{'a': (1, None)}", "indent=None") == "'{\"a\": [1, null]}'\n"
    assert call("statistics:mean", "[-1, -2, -6]") == "-3\n"
    assert call("garden:describe", "Kew", "season=summer", "open=-1") == (
        "'Kew in summer, open: -1'\n"
    )
    assert call("garden.plants.plant:Plant.seedling", "oak") == "Plant('oak', age=7)\n"
    assert call("decimal:Decimal", "-1.50") == "Decimal('-1.5')\n"


def test_failures_of_a_call_are_one_plain_line(serve: Serve) -> None:
    """Exit code 1: what the function raised, or what was misspelt."""
    served = serve("statistics", str(PACKAGES / "garden"))

    def error(*arguments: str, code: int = 1) -> str:
        token = served.token
        return wsremote("call", served.url, *arguments, code=code, WSREMOTE_TOKEN=token).stderr

    assert "ValueError: no season 'monsoon'" in error("garden:describe", "Kew", "season=monsoon")
    assert "TypeError: " in error("garden:describe")
    assert "Did you mean" in error("garden:descripe", "Kew")
    assert "planted is data" in error("garden.beds.bed:planted")
    assert "MODULE:NAME" in error("garden.describe", code=2)


def test_a_wrong_token_and_no_server_are_plain_lines(serve: Serve) -> None:
    """Exit code 1, and what to look at."""
    served = serve("json")
    wrong = wsremote("tree", served.url, "--token", "guess", code=1).stderr
    assert "token" in wrong
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    nobody = wsremote("tree", url, "--token", "guess", code=1).stderr
    assert url in nobody
    assert "wsremote serve" in nobody


def test_the_operator_page_names_every_option_of_serve() -> None:
    """docs/operations.md is complete."""
    flags = re.findall(r"^ +(--[a-z-]+)", wsremote("serve", "--help").stdout, re.MULTILINE)
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [flag for flag in flags if f"`{flag}" not in page] == []
