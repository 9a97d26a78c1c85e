"""Files of pinned entries."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from nameserver.pinned import PinnedFile, pinned_record

LINES = """\
# the old ones
risk, host-a, 9090
risk,host-b,9091,1.2   # newer

prices , ::1 , 80
prices, [fe80::1], 81, 2.0
"""

TABLES = """
[[server]]
name = "risk"
url = "wss://host-a/risk"
version = "1.2"
tags = ["gpu"]
zone = "eu"
capacity = 7

[[server]]
name = "prices"
urls = ["ws://a:1", "ws://b:2"]
"""


def said(path: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of a file, without its folder."""
    return [text.replace(f"{path.parent}/", "") for text in caplog.messages]


def test_a_line_is_a_server(tmp_path: Path) -> None:
    """Spaces, comments and empty lines do not count."""
    path = tmp_path / "servers.txt"
    path.write_text(LINES)
    found = [(each.name, each.urls, each.version) for each in PinnedFile(path).load()]
    assert found == [
        ("risk", ("ws://host-a:9090",), ""),
        ("risk", ("ws://host-b:9091",), "1.2"),
        ("prices", ("ws://[::1]:80",), ""),
        ("prices", ("ws://[fe80::1]:81",), "2.0"),
    ]


def test_line_ends_and_marks_of_other_systems(tmp_path: Path) -> None:
    """As Notepad writes it."""
    path = tmp_path / "servers.txt"
    path.write_bytes(b"\xef\xbb\xbfrisk, a, 1\r\nprices, b, 2\r\n")
    assert [each.name for each in PinnedFile(path).load()] == ["risk", "prices"]


def test_a_table_is_a_server(tmp_path: Path) -> None:
    """With what a line has no room for."""
    path = tmp_path / "servers.toml"
    path.write_text(TABLES)
    risk, prices = PinnedFile(path).load()
    assert (risk.name, risk.urls, risk.version) == ("risk", ("wss://host-a:9090/risk",), "1.2")
    assert (risk.tags, risk.zone, risk.capacity) == (("gpu",), "eu", 7)
    assert (prices.urls, prices.capacity) == (("ws://a:1", "ws://b:2"), 64)


def test_a_bad_line_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With its number and what is wrong; all others count."""
    path = tmp_path / "servers.txt"
    bad = [
        "risk host 9090",
        "risk, host",
        "risk, , 9090",
        "risk, host, 0",
        "risk, host, http",
        "risk, host, 9090, 1.0, more",
        "ri$k, host, 9090",
        "risk, ws://host, 9090",
        "risk, 0.0.0.0, 9090",
        "risk, ho st, 9090",
        "risk, host, 9090, \x1b",
        "good, host, 9090",
    ]
    path.write_text("good, host, 9090\n" + "\n".join(bad) + "\nlast, host, 9090")
    assert [each.name for each in PinnedFile(path).load()] == ["good", "last"]
    logged = said(path, caplog)
    assert len(logged) == len(bad)
    for number, text in enumerate(logged, 2):
        assert text.startswith(f"! servers.txt, line {number} is left out: ")
    for text, part in zip(
        logged,
        [
            "write name, host, port",
            "write name, host, port",
            "write name, host, port",
            "'0' is not a port, 1 to 65535",
            "'http' is not a port",
            "write name, host, port",
            "'ri$k' is no name",
            "not a host.*",
            "leads to none",
            "not ws://HOST:PORT",
            "cannot be printed",
            "good at ws://host:9090 is there already",
        ],
        strict=True,
    ):
        assert part.rstrip(".*") in text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_a_bad_table_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With its place; TOML has no line numbers."""
    path = tmp_path / "servers.toml"
    path.write_text(
        TABLES
        + '[[server]]\nname = "x"\n'
        + '[[server]]\nname = "x"\nurl = 5\n'
        + '[[server]]\nname = "x"\nurl = "ws://a:1"\ncolour = "blue"\n'
        + '[[server]]\nname = "x"\nurl = "ws://a:1"\ntags = "gpu"\n'
    )
    assert [each.name for each in PinnedFile(path).load()] == ["risk", "prices"]
    parts = [
        "give either url, a text, or urls, a list",
        "urls[0]: a text is expected, not 5",
        "'colour': not one of capacity, name, tags, url, urls, version, zone",
        "tags: a list is expected",
    ]
    for number, (text, part) in enumerate(zip(said(path, caplog), parts, strict=True), 3):
        assert text.startswith(f"! servers.toml, [[server]] {number} (x) is left out: ")
        assert part in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[[server]\n", ".*line 1"),
        ("\n[server]\nname = 'x'\n", r"line 2: write \[\[server\]\], with two brackets"),
        (
            "# servers\n\n[[servers]]\nname = 'x'\n",
            r"line 3: only \[\[server\]\] .*, not 'servers'",
        ),
        ("'\\u001b' = 1", r".*not '\\"),
        ('"\\u001b" = 1', r"only .*, not '\?'"),
        ("a = " + "[" * 100_000, "it is nested"),
    ],
)
def test_what_is_no_such_file_is_said(tmp_path: Path, content: str, problem: str) -> None:
    """With its name, of which there may be several. At the start of the name server it ends it."""
    path = tmp_path / "servers.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {problem}"):
        PinnedFile(path).load()


@pytest.mark.parametrize("name", ["", "servers.txt"])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    """A folder, and what is not there: in plain words, with the name."""
    path = tmp_path / name
    with pytest.raises(OSError) as caught:
        PinnedFile(path).load()
    assert str(caught.value) in (f"{path}: Is a directory", f"{path}: No such file or directory")


def test_a_byte_that_is_no_text_concerns_its_line_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An editor that writes Latin-1; in a comment it harms nobody."""
    path = tmp_path / "servers.txt"
    path.write_bytes(b"risk, a, 1 # caf\xe9\ncaf\xe9, a, 2\nprices, b, 2, \xff\xfe\ncurves, c, 3\n")
    assert [each.name for each in PinnedFile(path).load()] == ["risk", "curves"]
    assert said(path, caplog) == [
        "! servers.txt, line 2 is left out: it is no UTF-8",
        "! servers.txt, line 3 is left out: it is no UTF-8",
    ]


def test_a_byte_that_is_no_text_concerns_its_table_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same in TOML; nor does a name in a file move the cursor of who reads the log."""
    path = tmp_path / "servers.toml"
    path.write_bytes(
        b"# caf\xe9\n"
        + TABLES.encode()
        + b'[[server]]\nname = "x"\nurl = "ws://a:1"\nzone = "caf\xe9"\n'
        + b'[[server]]\nname = "\\u001b[2J"\nurl = "ws://a:1"\n'
    )
    assert [each.name for each in PinnedFile(path).load()] == ["risk", "prices"]
    first, second = said(path, caplog)
    assert first.startswith("! servers.toml, [[server]] 3 (x) is left out: zone: ")
    assert second.startswith("! servers.toml, [[server]] 4 (?[2J) is left out: name: ")
    assert "\x1b" not in caplog.text


# ---- when it changes -------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one server."""
    path = tmp_path / "servers.txt"
    path.write_text("risk, a, 1\n")
    return path


def names(file: PinnedFile) -> list[str] | None:
    """What a look at the file gives."""
    found = file.changed()
    return None if found is None else [each.name for each in found]


def test_a_file_is_read_again_when_it_changes(path: Path) -> None:
    """And not otherwise."""
    file = PinnedFile(path)
    file.load()
    assert names(file) is None
    path.write_text("risk, a, 1\nprices, b, 2\n")
    assert names(file) == ["risk", "prices"]
    assert names(file) is None


def test_a_file_that_is_replaced_is_read_again(path: Path) -> None:
    """With the same size, and the time of the old one, as `mv` and `rsync -t` do it."""
    file = PinnedFile(path)
    file.load()
    beside = path.with_name("new")
    beside.write_text("curv, a, 1\n")
    times = path.stat()
    os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    beside.replace(path)
    assert names(file) == ["curv"]


def test_a_file_that_is_gone_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and read again when it is back."""
    file = PinnedFile(path)
    file.load()
    content = path.read_text()
    path.unlink()
    assert [names(file) for _ in range(3)] == [None] * 3
    assert said(path, caplog) == [
        "! servers.txt: No such file or directory; its entries stay as they were"
    ]
    path.write_text(content)
    assert names(file) == ["risk"]


def test_a_file_that_becomes_unreadable_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody is editing it: it is said once for each writing."""
    path = tmp_path / "servers.toml"
    path.write_text(TABLES)
    file = PinnedFile(path)
    file.load()
    for number, text in enumerate(("[[server]\n", "a = " + "[" * 100_000), 1):
        path.write_text(text)
        assert [names(file) for _ in range(3)] == [None] * 3
        assert len(caplog.messages) == number
    assert "entries stay as they were" in caplog.text
    path.write_text(TABLES)
    assert names(file) == ["risk", "prices"]


# ---- records of pinned entries ---------------------------------------------------------


def test_the_id_follows_from_name_and_urls() -> None:
    """So an entry is the same one after a restart, and however its URL is written."""
    one = pinned_record({"name": "risk", "url": "ws://a"})
    assert one == pinned_record({"name": "risk", "urls": ["WS://A:9090/"]})
    assert one.id == pinned_record({"name": "risk", "url": "ws://a", "version": "2"}).id
    others = [{"name": "prices", "url": "ws://a"}, {"name": "risk", "url": "ws://b"}]
    assert one.id not in [pinned_record(fields).id for fields in others]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([], "a dict is expected, not a list"),
        ({"name": "risk"}, "either url"),
        ({"name": "risk", "url": "ws://a", "urls": ["ws://a"]}, "either url"),
        ({"url": "ws://a"}, "name: None is no name"),
        ({"name": "risk", "url": "ws://a", "id": "1" * 32}, "'id': not one of"),
        ({"name": "risk", "url": "ws://a", "packages": {}}, "'packages': not one of"),
        ({"name": "risk", "url": "ws://a", 5: 6}, "5: not one of"),
        ({"name": "risk", "urls": "ws://a"}, "urls: a list is expected"),
        ({"name": "risk", "url": "ws://a", "capacity": 0}, "capacity"),
    ],
)
def test_wrong_fields_are_named(fields: Any, text: str) -> None:
    """They come from files and from the wire."""
    with pytest.raises(ValueError, match=text):
        pinned_record(fields)
