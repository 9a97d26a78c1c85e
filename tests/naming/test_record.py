"""What a server says of itself: its URL above all, which is never guessed."""

from __future__ import annotations

import platform

import pytest

import wsremote
from wsremote.naming.record import advertised, record_of
from wsremote.server.config import ServerConfig
from wsremote.server.server import Server

HERE, AWAY = ["ws://127.0.0.1:9999"], ["ws://localhost:9999", "wss://ns.example:9999"]


@pytest.mark.parametrize(
    ("url", "nameservers", "found"),
    [
        ("ws://127.0.0.1:9090", HERE, "ws://127.0.0.1:9090"),
        ("ws://0.0.0.0:9090", HERE, "ws://127.0.0.1:9090"),
        ("wss://[::]:9090", HERE, "wss://[::1]:9090"),
        ("wss://compute.example:9090", AWAY, "wss://compute.example:9090"),
        ("wss://10.0.0.7:9090", HERE, "wss://10.0.0.7:9090"),
    ],
)
def test_where_it_listens_is_where_it_is(url: str, nameservers: list[str], found: str) -> None:
    """If clients of the name server can reach that."""
    assert advertised(url, (), nameservers) == (found,)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9090", "wss://[::]:9090", "wss://0.0.0.0:9090"])
def test_what_leads_nowhere_has_to_be_said(url: str) -> None:
    """On another machine 127.0.0.1 is that machine. The text has what to write."""
    scheme = url.partition(":")[0]
    with pytest.raises(
        ValueError, match=f"wss://ns.example:9999.*--advertise {scheme}://HOST:9090"
    ):
        advertised(url, (), AWAY)


def test_what_was_said_is_taken() -> None:
    """With the port where it listens, unless another is given."""
    given = ["wss://a.example", "wss://b.example:443/risk", "wss://a.example:9090"]
    assert advertised("ws://0.0.0.0:9090", given, AWAY) == (
        "wss://a.example:9090",
        "wss://b.example:443/risk",
    )
    with pytest.raises(ValueError, match=r"--advertise: 'a.example' is not a server's URL"):
        advertised("ws://0.0.0.0:9090", ["a.example"], AWAY)


def test_the_record_describes_the_server() -> None:
    """What it serves, the first package being the service; another id each time."""
    server = Server(["msgpack", "json"], ServerConfig(port=0))
    msgpack_version = record_of(server, "risk", ["msgpack"], urls=["ws://a:1"])["version"]
    record = record_of(
        server, "risk", ["msgpack", "json"], urls=["ws://a:1"], tags=["b", "a"], zone="eu"
    )
    assert record == {
        "name": "risk",
        "id": record["id"],
        "urls": ["ws://a:1"],
        "version": msgpack_version,
        "wsremote": wsremote.__version__,
        "python": platform.python_version(),
        "packages": {"msgpack": msgpack_version, "json": ""},
        "tree": server.inventory.tree.digest,
        "tags": ["a", "b"],
        "zone": "eu",
        "capacity": 64,
    }
    other = record_of(server, "risk", ["json"], urls=["ws://a:1"], version="7", capacity=3)
    assert (other["version"], other["capacity"]) == ("7", 3)
    assert other["id"] != record["id"]
    with pytest.raises(ValueError, match="is no name"):
        record_of(server, "ri sk", ["json"], urls=["ws://a:1"])
