"""The pages of a name server: read as a program does, and in a browser."""

from __future__ import annotations

import html
import json
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import system_packages

from nameserver import page

from .conftest import ALL, LOAD, LOOKING, RISK, Ask, InProcess, a_record

PATIENCE = 30.0
SLY = '<script>document.title = "taken"</script>'
SLYER = '"><img src=x onerror=alert(1)>'


def get(
    running: InProcess, path: str = "/", token: str | None = LOOKING, **headers: str
) -> tuple[int, Message, str]:
    """Status, headers and text of a page."""
    url = running.url.replace("ws://", "http://") + path
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=PATIENCE
        ) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


class Reader(HTMLParser):
    """What is in a page: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of the library."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Of the library."""
        self.text.append(data)


@pytest.fixture
def registered(ask: Ask) -> str:
    """Two servers, one of them sly. Gives the id of the first."""
    server = ask(RISK)
    record = a_record(tags=["gpu"], zone="north", packages={"riskpkg": "1.2", "numpy": "2.1"})
    lease = server.register(record)
    server.renew("risk", record["id"], lease["fence"], {**LOAD, "memory": 300 * 1024**2})
    server.register(
        a_record(
            "risk-sly",
            2,
            tags=[SLY],
            zone=SLYER,
            version=SLY,
            packages={SLYER: SLY},
            python=SLY,
            wsremote=SLYER,
        )
    )
    return str(record["id"])


def test_the_page_shows_what_there_is(running: InProcess, ask: Ask, registered: str) -> None:
    """Names, servers, packages, versions, load, times, and the line to paste."""
    ask(RISK).drain("risk", registered)
    status, headers, text = get(running)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    shown = " ".join(Reader(text).text)
    for part in (
        "2 servers under 2 names (1 draining, 1 ready)",
        f"revision {running.store.view.revision}",
        f'session = wsremote.connect("risk", nameserver="{running.url}")',
        "ws://10.0.0.1:1", "gpu, zone north", "draining", "1.2", "Python 3.11", "riskpkg 1.2",
        "numpy 2.1", "1 of 10", "50%", "300 MiB", "0 s",
    ):  # fmt: skip
        assert part in shown


def test_what_servers_say_is_text_only(running: InProcess, registered: str) -> None:
    """No tag, no attribute and no link comes from them, in whatever field they put it."""
    _, _, text = get(running)
    reader = Reader(text)
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "img", "iframe", "object", "link", "svg"}
    names = {name for _, attributes in reader.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style")]
    assert SLY in "".join(reader.text)
    assert SLYER in "".join(reader.text)


def test_the_filter_is_text_only(running: InProcess, registered: str) -> None:
    """What is asked for comes back as what it is."""
    _, _, text = get(running, "/?prefix=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    reader = Reader(text)
    assert "script" not in {tag for tag, _ in reader.tags}
    (box,) = (attributes for tag, attributes in reader.tags if tag == "input")
    assert box["value"] == '"><script>alert(1)</script>'
    assert "No name begins with" in text


def test_the_browser_may_load_nothing_else(running: InProcess) -> None:
    """A policy without exceptions but the one style that is in the page."""
    _, headers, text = get(running)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for word in ("script-src", "unsafe", "*", "http:", "https:"):
        assert word not in policy
    assert "form-action 'self'" in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"(?:src|href)=\"(?!/)", text)


def test_a_filter_shows_some_names(running: InProcess, registered: str) -> None:
    """By their first letters, on the page and as JSON."""
    _, _, text = get(running, "/?prefix=risk-")
    assert "risk-sly</h2>" in text
    assert "risk</h2>" not in text
    assert '<meta http-equiv="refresh" content="5;url=/?prefix=risk-">' in text
    _, _, content = get(running, "/servers.json?prefix=risk-")
    assert [each["name"] for each in json.loads(content)["servers"]] == ["risk-sly"]


def test_an_empty_page_says_how_to_register(running: InProcess) -> None:
    """With a line to paste on a server."""
    _, _, text = get(running)
    line = f"wsremote serve PKG --name NAME --nameserver {running.url}"
    assert html.escape(line) in text


def test_a_page_has_its_bound(
    running: InProcess, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten thousand servers it shows some, and says so."""
    monkeypatch.setattr(page, "MOST_SHOWN", 3)
    for number in range(1, 6):
        ask(ALL).register(a_record("price", number))
    _, _, text = get(running)
    assert text.count("ws://10.0.0.1:") == 3
    assert "2 more servers: ask for names" in text


def test_behind_a_proxy_with_tls_the_lines_say_so(running: InProcess, registered: str) -> None:
    """The reader's own way to the name server is the one to paste."""
    _, _, text = get(running, **{"X-Forwarded-Proto": "https"})
    assert html.escape(f'nameserver="{running.url.replace("ws:", "wss:")}"') in text
    # Without a port it is that of the browser, and not a name server's.
    for proto, url in [("https", "wss://localhost:443"), ("http", "ws://localhost:80")]:
        _, _, text = get(running, **{"X-Forwarded-Proto": proto, "Host": "localhost"})
        assert html.escape(f'nameserver="{url}"') in text


def test_servers_as_json(running: InProcess, registered: str) -> None:
    """The same as `servers()`, with the revision."""
    status, headers, text = get(running, "/servers.json")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    content = json.loads(text)
    assert content["revision"] == running.store.view.revision
    assert [each["name"] for each in content["servers"]] == ["risk", "risk-sly"]
    assert content["servers"][1]["tags"] == [SLY]
    assert "owner" not in content["servers"][0]


def test_metrics(running: InProcess, ask: Ask, registered: str) -> None:
    """By name and state, with loads and what was asked for, as Prometheus reads them."""
    ask(LOOKING).resolve("risk")
    status, headers, text = get(running, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    for line in (
        'wsremote_nameserver_servers{name="risk",state="ready"} 1.0',
        'wsremote_nameserver_sessions{name="risk"} 1.0',
        'wsremote_nameserver_capacity{name="risk-sly"} 10.0',
        'wsremote_nameserver_requests_total{function="resolve"} 1.0',
        'wsremote_nameserver_requests_total{function="register"} 2.0',
        "wsremote_nameserver_refusals_total 0.0",
        "wsremote_nameserver_healthy 1.0",
    ):
        assert line in text.splitlines()


def test_metrics_without_their_package_say_what_is_missing(
    running: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """501, and what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, _, text = get(running, "/metrics")
    assert status == 501
    assert "pip install 'wsremote[metrics]'" in text


@pytest.mark.parametrize("path", ["/", "/servers.json", "/metrics"])
@pytest.mark.parametrize("token", [None, "guess"])
def test_each_page_takes_a_token(running: InProcess, path: str, token: str | None) -> None:
    """None of them is for everybody; a browser is told to ask its user."""
    status, headers, text = get(running, path, token)
    assert status == 401
    assert any(each.startswith("Basic ") for each in headers.get_all("WWW-Authenticate", []))
    assert "risk" not in text


def test_the_health_is_that_of_the_store(running: InProcess) -> None:
    """To everybody, and why if it is not well."""
    assert get(running, "/healthz", None)[::2] == (200, "ok")
    running.store.close()
    status, _, text = get(running, "/healthz", None)
    assert status == 503
    assert text.count("\n") == 1
    assert "503" not in text


def test_an_unhealthy_store_is_on_the_page(
    running: InProcess, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was known before."""
    monkeypatch.setattr(running.store, "healthy", lambda: "Redis <is> away")
    _, _, text = get(running)
    assert "Redis &lt;is&gt; away" in text
    assert "ws://10.0.0.1:1" in text


# ---- in a browser ------------------------------------------------------------------------


@pytest.fixture
def chromium(tmp_path: Path) -> Any:
    """`chromium(url, *flags)`: what a headless Chromium prints, and what it complains of."""
    program = system_packages.find("chromium")
    assert program is not None, (
        "Chromium is not here, in which the page is tested. Type: apt-get install chromium, or run"
        " tests/run.py as root, which does it."
    )

    def browse(url: str, *flags: str) -> tuple[str, str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--enable-logging=stderr",
                f"--user-data-dir={home}",
                *flags,
                url,
            ],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        return done.stdout, done.stderr

    return browse


def in_browser(running: InProcess, path: str = "/") -> str:
    """The URL with the token in it, as a user would type it when asked."""
    token = urllib.request.quote(LOOKING)
    return running.url.replace("ws://", f"http://anybody:{token}@") + path


def test_a_browser_shows_the_page(running: InProcess, registered: str, chromium: Any) -> None:
    """It is asked for the token, lets the style in, runs nothing, and shows the servers."""
    dom, complaints = chromium(in_browser(running), "--dump-dom")
    reader = Reader(dom)
    shown = " ".join(reader.text)
    assert f'session = wsremote.connect("risk", nameserver="{running.url}")' in shown
    assert "2 servers under 2 names" in shown
    assert "300 MiB" in shown
    assert "<title>2 servers" in dom
    assert SLY in "".join(reader.text)
    assert not {tag for tag, _ in reader.tags} & {"script", "img"}
    # "Refused to apply inline style because it violates ..."
    assert "Content Security Policy" not in complaints, complaints


def test_a_browser_paints_the_page(
    running: InProcess, registered: str, chromium: Any, tmp_path: Path
) -> None:
    """With its style: the states have their colours, so that one bad server is seen."""
    picture = tmp_path / "page.png"
    chromium(in_browser(running), f"--screenshot={picture}", "--window-size=1200,700")
    width, height, colours = painted(picture.read_bytes())
    assert (width, height) == (1200, 700)
    ready = (0x19, 0x7A, 0x3D)
    assert sum(count for colour, count in colours.items() if colour == ready) > 20


def painted(png: bytes) -> tuple[int, int, dict[tuple[int, ...], int]]:
    """Width, height and colours of a PNG without interlacing."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, header = 8, b"", b""
    while place < len(png):
        size, kind = struct.unpack(">I4s", png[place : place + 8])
        chunk = png[place + 8 : place + 8 + size]
        header = chunk if kind == b"IHDR" else header
        data += chunk if kind == b"IDAT" else b""
        place += 12 + size
    width, height, depth, colour_type = struct.unpack(">IIBB", header[:10])
    assert depth == 8
    channels = {2: 3, 6: 4}[colour_type]
    raw, line = zlib.decompress(data), width * channels
    before, colours = bytearray(line), dict[tuple[int, ...], int]()
    for row in range(height):
        start = row * (line + 1)
        before = unfiltered(
            raw[start], bytearray(raw[start + 1 : start + 1 + line]), before, channels
        )
        for at in range(0, line, channels):
            colour = tuple(before[at : at + 3])
            colours[colour] = colours.get(colour, 0) + 1
    return width, height, colours


def unfiltered(kind: int, row: bytearray, above: bytearray, channels: int) -> bytearray:
    """A row of a PNG as it was before it was filtered."""
    for at in range(len(row)):
        left = row[at - channels] if at >= channels else 0
        up, corner = above[at], above[at - channels] if at >= channels else 0
        if kind == 4:
            guess = left + up - corner
            distances = [abs(guess - left), abs(guess - up), abs(guess - corner)]
            best = (left, up, corner)[distances.index(min(distances))]
        else:
            best = (0, left, up, (left + up) // 2)[kind]
        row[at] = (row[at] + best) & 0xFF
    return row
