"""Name servers as processes: the command, its banner, its signals, its end, and its return."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import NAMESERVER, ROOT, Serve, ServedProcess, expect, run

import wsremote
from wsremote.errors import NameNotFound, NameRefused

from .conftest import LOAD, a_record

PATIENCE = 30.0
REGISTERING = "which registers"

Start = Callable[..., ServedProcess]
Ask = Callable[..., Any]


@pytest.fixture
def nameserver(serve: Serve, tmp_path: Path) -> Start:
    """`nameserver("--flag", ...)` starts one, all with one state; they end with the test."""

    def start(*arguments: str, **settings: Any) -> ServedProcess:
        environment = {
            "XDG_STATE_HOME": str(tmp_path / "state-of-all"),
            "WSREMOTE_NAMESERVER_TOKEN": REGISTERING,
            **settings.pop("environment", {}),
        }
        return serve(*arguments, command=NAMESERVER, environment=environment, **settings)

    return start


@pytest.fixture
def ask() -> Iterator[Ask]:
    """`ask(served, token)` gives its module, over a session of its own."""
    sessions: list[wsremote.Session] = []

    def module(served: ServedProcess, token: str = REGISTERING) -> Any:
        sessions.append(wsremote.connect(served.url, token=token, new=True))
        return sessions[-1].modules.nameserver

    yield module
    for session in sessions:
        session.close()


def command(*arguments: str, code: int, **environment: str) -> str:
    """Run `wsremote nameserver` where it is to fail. Gives what it says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WSREMOTE_")}
    done = subprocess.run(
        [sys.executable, "-m", "wsremote", "nameserver", "--port", "0", *arguments],
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def page(served: ServedProcess, path: str, token: str | None) -> str:
    url = served.url.replace("ws://", "http://") + path
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        text: str = answer.read().decode()
        return text


def waiting(served: ServedProcess) -> int:
    """How many watches wait there."""
    found = re.search(
        r"^wsremote_nameserver_watches_waiting ([0-9]+)",
        page(served, "/metrics", served.token),
        re.M,
    )
    assert found is not None
    return int(found[1])


# ---- the command -------------------------------------------------------------------------


def test_the_banner_has_lines_to_paste(serve: Serve) -> None:
    """Without any token it makes one, for lookups and for servers; both lines work as they are."""
    served = serve(token=None, command=NAMESERVER)
    text = "\n".join(served.printed)
    assert text.startswith(f"wsremote {wsremote.__version__} name server at {served.url} (pid ")
    on_server, *on_client = [line.strip() for line in served.printed if line.startswith("    ")]
    secret, _, command = on_server.partition(" ")
    variable, _, token = secret.partition("=")
    words = command.replace("PKG", "json").replace("NAME", "risk").split()
    assert words[:2] == ["wsremote", "serve"]
    serve(*words[2:], token="of the server", environment={variable: token})
    lines = [line.replace("NAME", "risk") for line in on_client]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, "print(session.modules.json.dumps([1]))"])],
        env={**os.environ, "PYTHONPATH": str(ROOT), "WSREMOTE_TOKEN": "of the server"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[1]\n"


def test_the_banner_at_all_addresses_names_one(nameserver: Start) -> None:
    """In all lines that others are to paste: nobody connects to 0.0.0.0."""
    served = nameserver("--host", "0.0.0.0", "--insecure-plaintext", token=None)
    first, page, *lines = served.printed
    assert f"name server at ws://0.0.0.0:{served.port} " in first
    host = socket.gethostname().lower()
    assert f"http://{host}:{served.port}/" in page
    assert len([line for line in lines if f"ws://{host}:{served.port}" in line]) == 2
    assert "0.0.0.0" not in "".join([page, *lines])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(nameserver: Start, ask: Ask, number: signal.Signals) -> None:
    """Exit code 0, silently, and watches are told that it is over."""
    served = nameserver()
    watch = ask(served).watch()
    next(watch)
    served.process.send_signal(number)
    assert served.process.wait(PATIENCE) == 0
    assert served.errors.read_text() == ""


def test_tokens_that_were_given_are_not_printed(nameserver: Start) -> None:
    """Who has given them knows them; a log of the banner shall not."""
    text = "\n".join(nameserver().printed)
    assert "of the tests" not in text
    assert REGISTERING not in text
    assert "WSREMOTE_NAMESERVER_TOKEN as one that registers" in text


def test_the_token_of_servers_is_not_that_for_lookups(nameserver: Start, ask: Ask) -> None:
    """WSREMOTE_NAMESERVER_TOKEN is no variable of --token: one for lookups is made and printed."""
    served = nameserver(token=None)
    found = re.search(r'nameserver_token="([\w-]{43,})"', "\n".join(served.printed))
    assert found is not None
    ask(served, REGISTERING).register(a_record())
    assert len(ask(served, found[1]).servers()) == 1
    with pytest.raises(NameRefused):
        ask(served, found[1]).register(a_record(number=2))


def test_renewals_need_no_threads(nameserver: Start, ask: Ask) -> None:
    """However many sessions they come from: the poller does them."""
    served = nameserver()
    record = a_record()
    fence = ask(served).register(record)["fence"]
    tasks = Path(f"/proc/{served.process.pid}/task")
    before = len(list(tasks.iterdir()))
    for _ in range(5):
        ask(served).renew(record["name"], record["id"], fence, json.dumps(LOAD))
    assert len(list(tasks.iterdir())) <= before


def test_every_option_has_an_environment_variable() -> None:
    """A service file can set all flags by name."""
    done = subprocess.run(
        [sys.executable, "-m", "nameserver", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    flags = set(re.findall(r"^ +--([a-z-]+)", done.stdout, re.MULTILINE))
    named = set(re.findall(r"WSREMOTE_[A-Z_]+", done.stdout))
    assert {"WSREMOTE_TOKEN", "WSREMOTE_NAMESERVER_TOKEN"} <= named
    missing = {
        flag
        for flag in flags
        if f"WSREMOTE_NAMESERVER_{flag.upper().replace('-', '_')}" not in named
    }
    assert missing == {"nameserver-token"}  # `--token` seems to be there by its name


def test_it_is_a_command_of_wsremote_too(serve: Serve) -> None:
    """`wsremote nameserver` is `python -m nameserver`, with its default port in the help."""
    served = serve(command=(sys.executable, "-m", "wsremote", "nameserver"))
    assert page(served, "/healthz", None) == "ok"
    done = subprocess.run(
        [sys.executable, "-m", "wsremote", "nameserver", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "9999" in done.stdout
    for option in ("--servers-file", "--database", "--store", "--tokens", "--ssl-certfile"):
        assert option in done.stdout


def test_without_a_registering_token_it_says_so(serve: Serve, ask: Ask) -> None:
    """One for lookups alone is let in, and registers nothing."""
    served = serve(command=NAMESERVER)
    assert "no server can register here" in served.errors.read_text()
    with pytest.raises(NameRefused):
        ask(served, served.token).register(a_record())
    assert ask(served, served.token).servers() == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--store", "mysql://:secret@host"], 2, "--store is memory, or a URL"),
        (["--tokens", "/no/such/file"], 2, "does not exist"),
        (["--servers-file", "/no/such/file"], 2, "does not exist"),
        (["--host", "0.0.0.0"], 2, "--insecure-plaintext"),
        (["--nameserver-token", ""], 2, "--nameserver-token is empty"),
        (["--database", "/proc/nothing/here"], 1, "--database"),
        (["--store", "redis://[:"], 1, "redis"),
        (["--max-sessions", "0"], 2, "--max-sessions"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], code: int, message: str) -> None:
    """What is wrong and what to write, with no traceback and no secret."""
    said = command(*arguments, code=code)
    assert message in said
    assert "secret" not in said


def test_a_wrong_file_of_tokens_is_one_plain_line(tmp_path: Path) -> None:
    """Which table; the tokens in it are not shown."""
    path = tmp_path / "tokens.toml"
    path.write_text('[[token]]\ntoken = "secret"\n')
    path.chmod(0o600)
    (line,) = command("--tokens", str(path), code=1).splitlines()
    assert "[[token]] number 1: write names" in line
    assert "secret" not in line


def test_a_wrong_file_of_servers_is_one_plain_line(tmp_path: Path) -> None:
    """With the file's name: there may be several."""
    path = tmp_path / "servers.toml"
    path.write_text("[[server]\n")
    (line,) = command("--servers-file", str(path), code=1).splitlines()
    assert f"{path}: Expected ']]' at the end" in line


def test_a_port_in_use_is_one_plain_line(tmp_path: Path) -> None:
    """As with `wsremote serve`."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = command(
            "--port", str(port), "--nameserver-token", "x", code=1, WSREMOTE_STATE=str(tmp_path)
        )
    assert f"Port {port}" in said


def test_few_descriptors_are_told_and_kept_to(serve: Serve) -> None:
    """The limit is raised as far as it goes; above it connections are refused in words."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shell = f'ulimit -n 300; exec {sys.executable} -m nameserver "$@"'
    served = serve(command=("/bin/sh", "-c", shell, "nameserver"))
    assert "300 descriptors (ulimit -n), which is enough for 100 connections" in (
        served.errors.read_text()
    )
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        assert session.limits["max_connections"] == 100
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)


def test_the_limits_suit_a_name_server(nameserver: Start) -> None:
    """Sessions of thousands of servers; and a client that is gone is soon forgotten."""
    served = nameserver()
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        limits = session.limits
    assert limits["max_sessions"] == limits["max_sessions_per_token"] == 20_000
    assert limits["grace"] <= 60


# ---- servers and clients -----------------------------------------------------------------


def test_a_server_is_found_by_its_name(nameserver: Start, serve: Serve) -> None:
    """`serve --name`, `connect(name)`; stopped, it is gone at once."""
    served = nameserver()
    server = serve(
        "json",
        "--name",
        "risk",
        "--nameserver",
        served.url,
        token="of the server",
        environment={"WSREMOTE_NAMESERVER_TOKEN": REGISTERING},
    )
    settings: Any = {"nameserver": served.url, "nameserver_token": served.token}
    with wsremote.connect("risk", token="of the server", new=True, **settings) as session:
        assert session.url == server.url
        assert session.modules.json.dumps([1]) == "[1]"
    server.stop()
    with pytest.raises(NameNotFound):
        wsremote.connect("risk", token="of the server", new=True, **settings)


def test_tokens_of_a_file_register_their_names(nameserver: Start, ask: Ask, tmp_path: Path) -> None:
    """Beside the one for all names."""
    path = tmp_path / "tokens.toml"
    path.write_text('[[token]]\ntoken = "of the risk team"\nnames = ["risk*"]\n')
    path.chmod(0o600)
    served = nameserver("--tokens", str(path))
    ask(served, "of the risk team").register(a_record("risk-eu"))
    with pytest.raises(NameRefused, match="may register risk\\*"):
        ask(served, "of the risk team").register(a_record("price", 2))
    ask(served).register(a_record("price", 2))


def test_servers_of_a_file_are_found_and_read_again(
    nameserver: Start, ask: Ask, tmp_path: Path
) -> None:
    """A bad line is told with its number and left out; a change is seen without a restart."""
    path = tmp_path / "servers.txt"
    path.write_text("# ours\nrisk, old-box, 9090, 1.0\nnonsense\n")
    served = nameserver("--servers-file", str(path))
    assert "line 3" in served.errors.read_text()
    client = ask(served, served.token)
    assert client.resolve("risk")[0]["urls"] == ["ws://old-box:9090"]
    watch = client.watch()
    next(watch)
    path.write_text("risk, new-box, 9090, 1.1\n")
    changes = {item["kind"]: item["server"] for item in (next(watch), next(watch))}
    assert changes["registered"]["urls"] == ["ws://new-box:9090"]
    assert changes["gone"] is None


def test_killed_and_started_again_it_knows_what_it_must(nameserver: Start, ask: Ask) -> None:
    """Pinned entries are there, leases are not, and fences go on rising."""
    first = nameserver()
    server = ask(first)
    old = server.register(a_record())
    server.pin({"name": "old", "url": "ws://old-box:9090"})
    first.process.kill()
    first.process.wait()
    first.expected_code = -signal.SIGKILL
    second = nameserver(port=first.port)
    server = ask(second)
    assert [each["name"] for each in server.servers()] == ["old"]
    new = server.register(a_record(number=2))
    assert new["fence"] > old["fence"]


# ---- watching ----------------------------------------------------------------------------

WATCH = """
import sys, wsremote
session = wsremote.connect()
watch = session.modules.nameserver.watch()
try:
    for item in watch:
        print(item["kind"], flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(len(session.modules.nameserver.servers()), flush=True)
session.close()
"""


@pytest.fixture
def client(nameserver: Start, tmp_path: Path) -> Iterator[tuple[ServedProcess, Any]]:
    """A name server, and a client process that is given scripts."""
    served = nameserver()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WSREMOTE_URL": served.url,
        "WSREMOTE_TOKEN": served.token,
    }
    with subprocess.Popen(
        [sys.executable, "-c", "import sys\nfor line in sys.stdin: exec(line)"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield served, process
        process.kill()


def until_waiting(served: ServedProcess, number: int) -> None:
    """Return when so many watches wait there."""
    while waiting(served) != number:
        pass


def test_ctrl_c_at_a_client_ends_its_watch_on_the_server(client: Any, ask: Ask) -> None:
    """At once, with nothing having changed; and the session goes on."""
    served, process = client
    run(process, WATCH)
    expect(process, "all")
    until_waiting(served, 1)
    process.send_signal(signal.SIGINT)
    expect(process, "interrupted")
    until_waiting(served, 0)
    expect(process, "0")


def test_a_client_that_is_killed_takes_its_watch_along(nameserver: Start) -> None:
    """When its session is over, which a name server keeps for a moment only."""
    served = nameserver("--grace", "0.2s", "--grace-when-empty", "0.2s")
    script = "\n".join(WATCH.splitlines())
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WSREMOTE_URL": served.url,
            "WSREMOTE_TOKEN": served.token,
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        expect(process, "all")
        until_waiting(served, 1)
        process.kill()
    until_waiting(served, 0)


def test_changes_reach_a_client_of_another_process(client: Any, ask: Ask) -> None:
    """As they happen: each is printed before the next is made."""
    served, process = client
    run(process, WATCH)
    expect(process, "all")
    server = ask(served)
    lease = server.register(a_record())
    expect(process, "registered")
    server.renew("risk", a_record()["id"], lease["fence"], LOAD, "draining")
    expect(process, "changed")
    server.deregister("risk", a_record()["id"], lease["fence"])
    expect(process, "gone")
