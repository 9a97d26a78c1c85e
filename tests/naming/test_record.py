"""What a server says of itself: its URL above all, which is never guessed."""

from __future__ import annotations

import platform

import pytest

import wsremote
from wsremote.naming.identity import Identity
from wsremote.naming.record import advertised, record_of, version_of
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
    identity = Identity.new("risk", "1.2", ["b", "a"])
    record = record_of(server, identity, ["msgpack", "json"], urls=["ws://a:1"], zone="eu")
    assert record == {
        "name": "risk",
        "id": identity.id,
        "urls": ["ws://a:1"],
        "version": "1.2",
        "wsremote": wsremote.__version__,
        "python": platform.python_version(),
        "packages": {"msgpack": version_of("msgpack"), "json": ""},
        "tree": server.inventory.tree.digest,
        "tags": ["a", "b"],
        "zone": "eu",
        "capacity": 32,
    }
    other = record_of(server, identity, ["json"], urls=["ws://a:1"], capacity=3)
    assert other["capacity"] == 3


@pytest.mark.parametrize(("further", "capacity"), [((), 32), (("b",), 64), (("b", "c"), 64)])
def test_the_capacity_is_what_the_bounds_let_in(further: tuple[str, ...], capacity: int) -> None:
    """With one token, the sessions of a token; never more than the server has."""
    server = Server(["json"], ServerConfig(port=0, token="a", further_tokens=further))
    record = record_of(server, Identity.new("risk", "", ()), ["json"], urls=["ws://a:1"])
    assert record["capacity"] == capacity
