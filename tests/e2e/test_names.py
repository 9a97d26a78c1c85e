"""Servers found by their names: name servers, servers and clients in processes of their own."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from harness import ROOT
from named import LOOKS_UP, NS_ENVIRONMENT, REGISTERS, Names, kill

import wsremote
from wsremote.errors import ConnectionFailed, NameNotFound, SessionLost
from wsremote.naming.asking import NameServer
from wsremote.naming.nameservers import NameServers
from wsremote.naming.registering import Registering
from wsremote.server.config import ServerConfig
from wsremote.server.server import Server


def command(*arguments: str, code: int = 0, **environment: str) -> str:
    """What `wsremote` prints; on stderr if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "wsremote", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


# ---- registering -------------------------------------------------------------------------


def test_a_server_is_found_by_its_name(here: Names) -> None:
    """As soon as its banner is there; with what it says of itself."""
    served = here.server("risk", "--tag", "gpu", "--zone", "eu", "--service-version", "1.4.2")
    session = here.connect("risk")
    assert session.url == served.url
    assert session.modules.json.dumps([1]) == "[1]"
    (info,) = here.listed("ri")
    assert (info.name, info.urls, info.state) == ("risk", (served.url,), "ready")
    assert (info.version, info.tags, info.zone) == ("1.4.2", ("gpu",), "eu")
    assert info.packages == (("json", ""),)
    assert info.tree == session.tree.digest
    assert info.wsremote == wsremote.__version__
    assert info.capacity == 32
    assert info.load is not None and info.load.memory > 10**6
    assert served.printed[0].startswith(
        f"wsremote {wsremote.__version__} serving at {served.url} as"
    )
    assert f'wsremote.connect("risk", nameserver="{here.url}", token=' in "\n".join(served.printed)


def test_a_name_is_given_back_before_sessions_end(here: Names) -> None:
    """A client that hears of the end looks the name up anew: it is not sent back."""
    served = here.server("risk")
    session = here.connect("risk")
    started = session.modules.json.JSONEncoder()
    served.process.terminate()
    with pytest.raises(SessionLost):
        while True:
            started.encode(1)
    assert here.listed() == []
    with pytest.raises(NameNotFound, match="risk"):
        here.connect("risk")
    assert served.process.wait(20) == 0


@pytest.mark.parametrize(
    ("token", "reason"), [(LOOKS_UP, "for lookups"), ("of nobody", "token"), ("", "token")]
)
def test_who_may_not_register_is_told_at_the_start(here: Names, token: str, reason: str) -> None:
    """One line, exit code 1, and nothing is served. Without a token of its own it is --token."""
    environment = {"WSREMOTE_TOKEN": "of the server", "WSREMOTE_NAMESERVER": here.url}
    if token:
        environment["WSREMOTE_NAMESERVER_TOKEN"] = token
    line = command("serve", "json", "--port", "0", "--name", "risk", code=1, **environment)
    assert reason in line
    assert len(line.splitlines()) == 1
    assert here.listed() == []


def test_a_name_that_others_hold_cannot_be_taken(names: Names, tmp_path: Path) -> None:
    """Nor one that the token is not for; who holds it may add servers."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        '[[token]]\ntoken = "theirs"\nnames = ["risk", "risk-*"]\n'
        '[[token]]\ntoken = "ours"\nnames = ["r*"]\n'
    )
    tokens.chmod(0o600)
    names.nameserver("--tokens", str(tokens))
    held = names.server("risk", "--nameserver-token", "theirs")
    serve = ("serve", "json", "--port", "0", "--nameserver", names.url, "--token", LOOKS_UP)
    assert "taken" in command(*serve, "--name", "risk", "--nameserver-token", "ours", code=1)
    refused = command(*serve, "--name", "other", "--nameserver-token", "ours", code=1)
    assert "'other'" in refused
    second = names.server("risk", "--nameserver-token", "theirs")
    assert {names.found("risk") for _ in range(20)} == {held.url, second.url}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--name", "risk"], "WSREMOTE_NAMESERVER"),
        (["--name", "ri sk", "--nameserver", "ws://a"], "is no name"),
        (["--name", "ws://a", "--nameserver", "ws://a"], "is a URL, and no name"),
        (["--name", "risk", "--nameserver", "ns:9999"], "is not the URL of a name server"),
        (["--tag", "gpu"], "--tag needs --name"),
        (["--nameserver", "ws://a"], "--nameserver needs --name"),
        (["--name", "risk", "--nameserver", "ws://a", "--capacity", "0"], "--capacity"),
    ],
)
def test_flags_that_make_no_sense(arguments: list[str], text: str) -> None:
    """Wrong usage: exit code 2, before anything is imported."""
    assert text in command("serve", "json", *arguments, "--token", "t", code=2)


def test_a_name_needs_a_token_that_the_name_server_knows() -> None:
    """One that is made at the start is known to nobody."""
    text = command("serve", "json", "--name", "risk", "--nameserver", "ws://a", code=2)
    assert "WSREMOTE_NAMESERVER_TOKEN" in text


def test_an_address_is_never_guessed() -> None:
    """127.0.0.1 would lead clients of another machine's name server to themselves."""
    line = command(
        *("serve", "json", "--port", "0", "--name", "risk", "--token", "t"),
        *("--nameserver", "ws://192.0.2.1:9999"),
        code=1,
    )
    assert "Give --advertise ws://HOST:" in line
    assert len(line.splitlines()) == 1


def test_what_is_advertised_is_where_clients_go(here: Names) -> None:
    """The port is the server's own if none is given."""
    served = here.server("risk", "--advertise", "ws://localhost")
    assert here.found("risk") == f"ws://localhost:{served.port}"


def test_a_name_server_in_the_environment_is_for_clients_too(here: Names) -> None:
    """Without --name nothing is registered, and nothing is wrong."""
    environment = {"WSREMOTE_NAMESERVER": here.url, "WSREMOTE_NAMESERVER_TOKEN": REGISTERS}
    here.start("json", environment=environment)
    assert here.listed() == []


# ---- choosing ----------------------------------------------------------------------------


def test_versions_and_tags_choose(here: Names) -> None:
    """And a zone is preferred."""
    old = here.server("risk", "--service-version", "1.2", "--tag", "gpu", "--zone", "eu")
    new = here.server("risk", "--service-version", "2.0", "--tag", "gpu", "--tag", "big")
    for _ in range(3):
        assert here.found("risk", version="~=1.1") == old.url
        assert here.found("risk", tags=["big", "gpu"]) == new.url
        assert here.found("risk", zone="eu") == old.url
    with pytest.raises(NameNotFound, match=r"1\.2"):
        here.found("risk", version=">=3")
    with pytest.raises(NameNotFound, match="'one' is no version specifier"):
        here.found("risk", version="one")
    assert {here.found("risk") for _ in range(20)} == {old.url, new.url}


def test_a_name_that_is_near_is_told(here: Names) -> None:
    """Who mistypes reads what was meant."""
    here.server("risk")
    with pytest.raises(NameNotFound, match="risk"):
        here.found("rsik")


def test_a_server_that_drains_gets_nobody_at_once(here: Names) -> None:
    """Its renewals do not change that; it is still listed."""
    first, second = here.server("risk"), here.server("risk")
    ids = {each.urls[0]: each.id for each in here.listed()}
    with wsremote.connect(here.url, token=REGISTERS, new=True) as operator:
        operator.modules.nameserver.drain("risk", ids[first.url])
        assert {here.found("risk") for _ in range(8)} == {second.url}
        states = {each.urls[0]: each.state for each in here.listed()}
        assert states == {first.url: "draining", second.url: "ready"}
        operator.modules.nameserver.drain("risk", ids[second.url])
        with pytest.raises(NameNotFound, match="drain"):
            here.found("risk")


def test_a_server_of_a_program_drains_and_goes_on(here: Names) -> None:
    """New clients go elsewhere, those who are there stay."""
    server = Server(["json"], ServerConfig(port=0, token=LOOKS_UP))
    registering = Registering("risk", NameServers((here.url,), REGISTERS))
    identity = registering.identify(server, ["json"])
    with pytest.raises(ValueError, match="one server has one name, and this one is 'risk' already"):
        Registering("other", NameServers((here.url,), REGISTERS)).identify(server, ["json"])
    assert server.said["named"] == identity.told()["named"]
    server.start()
    registrar = registering.registrar(server, identity, ["json"])
    try:
        registrar.start()
        session = here.connect("risk")
        assert session.url == server.url
        registrar.drain()
        while here.listed()[0].state != "draining":
            pass
        with pytest.raises(NameNotFound, match="drain"):
            here.connect("risk")
        assert session.modules.json.dumps(1) == "1"
        registrar.drain(False)
        while here.listed()[0].state != "ready":
            pass
        assert here.found("risk") == server.url
        session.close()
    finally:
        registrar.stop()
        server.close()
    assert here.listed() == []


# ---- kills -------------------------------------------------------------------------------


def test_of_three_servers_one_is_killed(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    """Who is sent there goes on to the next; it is forgotten when its lease ends."""
    names.nameserver("--lease", "6s")
    served = [names.server("risk") for _ in range(3)]
    changes = names.watch()
    assert {next(changes)[2] for _ in range(3)} == {each.url for each in served}
    session = names.connect("risk")
    victim = served[0]
    kill(victim)
    living = {each.url for each in served[1:]}
    # Those that have been there less often come first: one of these is sent to it.
    while "cannot be used" not in caplog.text:
        assert names.found("risk") in living
    assert f"risk: {victim.url} cannot be used: Nothing listens" in caplog.text
    assert next(changes) == ("gone", "risk", victim.url)
    changes.close()
    caplog.clear()
    assert {names.found("risk") for _ in range(8)} == living
    assert "cannot be used" not in caplog.text
    if session.url in living:
        assert session.modules.json.dumps(1) == "1"


def test_a_server_that_is_started_again_takes_its_place_at_once(names: Names) -> None:
    """The one that was killed is not given to anybody any more."""
    names.nameserver()
    first = names.server("risk")
    kill(first)
    second = names.server("risk", port=first.port)
    (info,) = names.listed()
    assert info.urls == (second.url,) == (first.url,)
    assert names.found("risk") == second.url


def test_two_servers_with_one_url(names: Names) -> None:
    """The later one has it; the other says so, once, and serves on."""
    names.nameserver("--lease", "3s")
    first = names.server("risk", "--advertise", "ws://localhost:1")
    second = names.server("risk", "--advertise", "ws://localhost:1")
    assert [each.urls for each in names.listed()] == [("ws://localhost:1",)]
    log = first.errors
    while "another server has been registered in the place of this one" not in log.read_text():
        assert first.process.poll() is None
    with wsremote.connect(first.url, token=LOOKS_UP, new=True) as session:
        assert session.modules.json.dumps(1) == "1"
    first.stop()
    assert len(names.listed()) == 1
    assert "another server" not in second.errors.read_text()


def test_a_name_server_that_is_started_again_hears_of_all(names: Names) -> None:
    """Within a lease, without anybody doing anything."""
    nameserver = names.nameserver()
    served = names.server("risk")
    kill(nameserver)
    names.nameservers.clear()
    names.nameserver(port=nameserver.port)
    assert next(names.watch()) == ("registered", "risk", served.url)
    assert names.found("risk") == served.url


def test_a_name_server_that_comes_later(names: Names) -> None:
    """A server starts without it, says so once, and is found when it is there."""
    nameserver = names.nameserver()
    nameserver.stop()
    served = names.server("risk")
    assert "risk is not registered, and tries again all the time" in served.errors.read_text()
    names.nameservers.clear()
    names.nameserver(port=nameserver.port)
    assert next(names.watch()) == ("registered", "risk", served.url)
    served.stop()
    assert served.errors.read_text().count("tries again all the time") == 1
    assert "risk is registered now" in served.errors.read_text()


def test_a_name_server_that_is_killed_stops_nobody(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has been there before goes to where it was; who has not is told what is wrong."""
    nameserver = names.nameserver()
    served = names.server("risk")
    session = names.connect("risk")
    kill(nameserver)
    assert names.found("risk") == served.url
    (warning,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert served.url in warning.getMessage()
    assert nameserver.url in warning.getMessage()
    assert session.modules.json.dumps(1) == "1"
    with pytest.raises(
        ConnectionFailed, match=f"where other is.*{nameserver.url}.*'wsremote nameserver'"
    ):
        names.found("other")
    with pytest.raises(ConnectionFailed, match=nameserver.url):
        names.listed()


def test_of_two_name_servers_one_is_killed(names: Names) -> None:
    """Clients and servers go on to the other, even if the two share nothing."""
    first, second = names.nameserver(), names.nameserver()
    served = names.server("risk")
    kill(first)
    names.nameservers = [second]
    assert next(names.watch()) == ("registered", "risk", served.url)
    names.nameservers = [first, second]
    assert names.found("risk", tags=()) == served.url
    assert [each.urls for each in names.listed()] == [(served.url,)]


def test_a_watch_ends_with_its_name_server(
    names: Names, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, so that the next one is asked; nobody is told of a wait that there is not."""
    nameserver = names.nameserver()
    with NameServer(nameserver.url, LOOKS_UP, ssl_context=None, timeout=10.0) as asked:
        changes = asked.watch(None, "", patience=600.0)
        assert next(changes)["kind"] == "all"
        kill(nameserver)
        with pytest.raises(ConnectionFailed, match=f"{nameserver.url} was lost"):
            next(changes)
        assert not asked.connected
    assert capsys.readouterr().err == ""


def test_a_server_ends_although_its_name_server_hangs(names: Names) -> None:
    """The name cannot be given back; the sessions end all the same."""
    nameserver = names.nameserver()
    served = names.server("risk")
    nameserver.process.send_signal(signal.SIGSTOP)
    # All of its threads have stopped then: one could answer still.
    os.waitid(os.P_PID, nameserver.process.pid, os.WSTOPPED)
    try:
        served.stop()
    finally:
        nameserver.process.send_signal(signal.SIGCONT)
    assert "could not be deregistered" in served.errors.read_text()


def test_the_banner_says_that_the_name_server_has_another_token(names: Names) -> None:
    """Its lines work when that is set; the one that it has itself is for servers that register."""
    names.nameserver()
    banner = "\n".join(names.server("risk").printed)
    assert "with WSREMOTE_NAMESERVER_TOKEN set to one that the name server lets in:" in banner
    assert REGISTERS not in banner
    same = names.start("json", "--name", "other", "--nameserver", names.url, token=REGISTERS)
    assert "WSREMOTE_NAMESERVER_TOKEN" not in "\n".join(same.printed)


# ---- listing -----------------------------------------------------------------------------


def test_ls_lists(here: Names) -> None:
    """A table, or JSON."""
    environment = {"WSREMOTE_NAMESERVER": here.url, "WSREMOTE_TOKEN": LOOKS_UP}
    assert command("ls", **environment) == "No server has a name.\n"
    first, other = here.server("risk", "--service-version", "1.2"), here.server("other")
    titles, above, below = command("ls", **environment).splitlines()
    assert titles.split() == ("NAME VERSION STATE SESSIONS CPU MEMORY AGE HEARD URL".split())
    assert above.split()[:4] == ["other", "-", "ready", "0/32"]
    assert above.split()[-1] == other.url
    assert below.split()[:4] == ["risk", "1.2", "ready", "0/32"]
    (found,) = json.loads(command("ls", "--json", "ri", **environment))
    assert found["urls"] == [first.url]
    assert found["load"]["sessions"] == 0
    assert command("ls", "x", **environment) == "No server has a name that begins with x.\n"


def test_ls_says_that_its_list_may_not_be_whole(names: Names) -> None:
    """On stderr, so that what reads the table or the JSON reads what it did."""
    nameserver = names.nameserver()
    for more, output in ([], "No server has a name.\n"), (["--json"], "[]\n"):
        done = subprocess.run(
            [sys.executable, "-m", "wsremote", "ls", *more, "--nameserver", nameserver.url],
            env={**os.environ, "PYTHONPATH": str(ROOT), "WSREMOTE_TOKEN": LOOKS_UP},
            capture_output=True,
            text=True,
            timeout=40,
            check=True,
        )
        assert done.stdout == output
        assert re.fullmatch(r"! the list .* not be whole: this name .* 15 s\n", done.stderr)


def test_ls_of_nothing(here: Names) -> None:
    """One line and exit code 1, with what to do."""
    assert "WSREMOTE_NAMESERVER" in command("ls", "--token", "t", code=1)
    assert "is a URL" in command("ls", here.url, "--token", LOOKS_UP, code=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    for more in ([], ["--watch"]):
        line = command("ls", *more, "--nameserver", url, "--token", "t", code=1)
        assert f"Nothing listens at {url}" in line and "wsremote nameserver" in line


def test_ls_watches(here: Names) -> None:
    """A line for each change as it comes, until Ctrl-C."""
    environment = {"WSREMOTE_NAMESERVER": here.url, "WSREMOTE_TOKEN": LOOKS_UP}
    first = here.server("risk")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "wsremote", "ls", "--watch"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        read: Callable[[], str] = watching.stdout.readline
        read()
        assert read().split()[-1] == first.url
        second = here.server("risk")
        assert read().split()[1:] == ["+", "risk", "ready", second.url]
        first.stop()
        assert read().split()[1:] == ["-", "risk", "ready", first.url]
        watching.send_signal(signal.SIGINT)
        out, errors = watching.communicate(timeout=20)
    # The name server has perhaps been started just now, and is not yet certain.
    said = [line for line in errors.splitlines() if "the list of servers" not in line]
    assert (out, said, watching.returncode) == ("", [""], 130)


def test_a_name_can_be_written_where_a_url_is_asked_for(here: Names) -> None:
    """The other commands connect by name, too."""
    environment = {"WSREMOTE_NAMESERVER": here.url, "WSREMOTE_TOKEN": LOOKS_UP}
    here.server("risk")
    assert command("call", "risk", "json:dumps", "[1, 2]", **environment) == "'[1, 2]'\n"
    given = ["--nameserver", here.url, "--token", LOOKS_UP]
    assert command("tree", "risk", *given).startswith("json")


# ---- TLS ---------------------------------------------------------------------------------


def test_everything_over_tls(names: Names, tmp_path: Path) -> None:
    """A server trusts the name server's authority by SSL_CERT_FILE, a client by its context."""
    authority, pem, ca = trustme.CA(), tmp_path / "both.pem", tmp_path / "ca.pem"
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(ca))
    nameserver = names.nameserver("--ssl-certfile", str(pem))
    assert nameserver.url.startswith("wss://")
    environment = {
        **NS_ENVIRONMENT,
        "WSREMOTE_NAMESERVER": names.url,
        "SSL_CERT_FILE": str(ca),
    }
    served = names.start(
        *("json", "--name", "risk", "--ssl-certfile", str(pem)),
        environment=environment,
        token=LOOKS_UP,
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    session = names.connect("risk", ssl_context=context)
    assert session.url == served.url and served.url.startswith("wss://")
    assert session.modules.json.dumps([1]) == "[1]"
    with pytest.raises(ConnectionFailed, match=r"the name server.*certificate"):
        names.connect("risk", tags=["asked by nobody before"])
