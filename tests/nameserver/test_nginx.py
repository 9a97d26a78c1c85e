"""The configuration of docs/nginx.conf: nginx in front of two name servers and of a server."""

from __future__ import annotations

import contextlib
import html
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import trustme
from cluster import LOOKS_UP, REGISTERS, eventually
from harness import NAMESERVER, ROOT, ServedProcess, start_server
from redis_server import free_port, redis_running
from system_packages import find

import wsremote

HOST = "localhost"
CONFIGURATION = ROOT / "docs" / "nginx.conf"


class Behind:
    """All that runs, and how clients reach it.

    Attributes:
        url: Of the name servers, behind nginx.
        nameservers: The two processes.
        server: The one that has registered.
        ssl: What clients trust.
    """

    def __init__(
        self,
        port: int,
        nameservers: list[ServedProcess],
        server: ServedProcess,
        trusted: ssl.SSLContext,
    ) -> None:
        self.port = port
        self.url = f"wss://{HOST}:{port}"
        self.nameservers = nameservers
        self.server = server
        self.ssl = trusted

    def connect(self, name: str) -> wsremote.Session:
        """A session of its own."""
        return wsremote.connect(
            name,
            nameserver=None if "://" in name else self.url,
            token=LOOKS_UP,
            ssl_context=self.ssl,
            new=True,
        )


def adapted(folder: Path, port: int, nameservers: list[int], server: int) -> str:
    """The text of the page, with the ports, the name and the files of the test."""
    text = CONFIGURATION.read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("names.example.org.pem", str(folder / "chain.pem")),
        ("names.example.org.key", str(folder / "key.pem")),
        ("/etc/ssl/", ""),
        ("names.example.org", HOST),
        ("127.0.0.1:9999", f"127.0.0.1:{nameservers[0]}"),
        ("127.0.0.1:9998", f"127.0.0.1:{nameservers[1]}"),
        ("127.0.0.1:9090", f"127.0.0.1:{server}"),
    ):
        assert old in text, f"{CONFIGURATION} has no {old!r}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(folder: Path, site: str) -> Iterator[None]:
    """nginx with a site, in a folder of its own."""
    program = find("nginx")
    if program is None:
        pytest.fail("nginx is not installed: apt-get install nginx-light")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = (
        f"daemon off; pid {folder}/pid; error_log {folder}/errors warn;\n"
        f"worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {temporary} {site} }}\n"
    )
    file = folder / "nginx.conf"
    file.write_text(main)
    process = subprocess.Popen(
        [program, "-e", str(folder / "errors"), "-p", str(folder), "-c", str(file)]
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """nginx and the processes behind it; the server registers through nginx."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(tmp_path / "chain.pem", append=number > 0)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    port, at = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_running(tmp_path))

        def start(name: str, *arguments: str, **settings: object) -> ServedProcess:
            (tmp_path / name).mkdir()
            served = start_server(
                *arguments,
                "--allow-host",
                HOST,
                folder=tmp_path / name,
                token=LOOKS_UP,
                **settings,  # type: ignore[arg-type]
            )
            stack.callback(served.stop)
            return served

        nameservers = [
            start(name, "--store", redis.url, command=NAMESERVER, environment=REGISTERS)
            for name in ("names-1", "names-2")
        ]
        site = adapted(tmp_path, port, [each.port for each in nameservers], at)
        stack.enter_context(nginx(tmp_path, site))
        url = f"wss://{HOST}:{port}"
        server = start(
            "server",
            *("statistics", "--name", "risk", "--nameserver", url, "--advertise", f"{url}/risk"),
            port=at,
            environment={**REGISTERS, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
        )
        yield Behind(port, nameservers, server, trusted)


def test_a_server_is_found_and_reached_behind_nginx(behind: Behind) -> None:
    """By its name, through TLS; what it sends is more than nginx holds."""
    eventually(lambda: found(behind), lambda: "not found")
    with behind.connect("risk") as session:
        assert session.url == f"{behind.url}/risk"
        assert session.modules.statistics.mean([1, 2, 6]) == 3
        assert session.modules.statistics.multimode("a" * 3_000_000) == ["a"]
        assert len(session.modules.statistics.NormalDist(5, 2).samples(300_000)) == 300_000
    with behind.connect(f"{behind.url}/risk") as session:
        assert session.modules.statistics.mean([1, 2, 6]) == 3


def found(behind: Behind) -> bool:
    """Whether the server has registered."""
    infos = wsremote.servers(nameserver=behind.url, token=LOOKS_UP, ssl_context=behind.ssl)
    return [each.name for each in infos] == ["risk"]


def test_a_name_server_behind_nginx_is_killed(behind: Behind) -> None:
    """nginx leads all clients to the other one."""
    eventually(lambda: found(behind), lambda: "not found")
    for killed in behind.nameservers[:1]:
        killed.expected_code = -signal.SIGKILL
        killed.process.kill()
        killed.process.wait()
    for _ in range(5):
        with behind.connect("risk") as session:
            assert session.modules.statistics.mean([1, 2, 6]) == 3


def test_a_session_behind_nginx_outlives_its_connection(behind: Behind) -> None:
    """It goes on where it was: all connections of a server lead to that server."""
    with behind.connect(f"{behind.url}/risk") as session:
        normal = session.modules.statistics.NormalDist(5, 2)
        session._driver.connection.abort("cut by the test")
        assert normal.mean == 5


def test_pages_are_served_through_nginx(behind: Behind) -> None:
    """The health of the name servers, and that of the server."""
    for path in ("/healthz", "/risk/healthz"):
        with urlopen(f"https://{HOST}:{behind.port}{path}", context=behind.ssl) as answer:
            assert answer.read() == b"ok"
    eventually(lambda: found(behind), lambda: "not found")
    # Its lines to paste lead here, also if the port is another than that of https.
    page = Request(
        f"https://{HOST}:{behind.port}/", headers={"Authorization": f"Bearer {LOOKS_UP}"}
    )
    with urlopen(page, context=behind.ssl) as answer:
        assert f'nameserver="{behind.url}"' in html.unescape(answer.read().decode())
