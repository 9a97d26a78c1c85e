"""The peers: how each serves `benchserved`, and how its client uses it.

A peer is a module with two functions:

* `serve(ready)` runs in the server's process, calls `ready(address)` once it listens,
  and does not return.
* `connect(address)` runs in the client's process and gives the operations it can do, by
  the name of the workload: functions without arguments that return what the user gets.

It may have a third: `connect_async(address)` is awaited in an event loop of the client's
process, and gives operations that are coroutine functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["PEERS", "Operations", "PeerInfo", "Ready"]

Ready = Callable[[str], None]
Operations = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class PeerInfo:
    """One row of the tables."""

    key: str
    title: str
    module: str
    distributions: tuple[str, ...] = ()


PEERS = (
    PeerInfo("bare", "bare socket + pickle", "peers.bare_socket"),
    PeerInfo("managers", "multiprocessing.managers", "peers.managers"),
    PeerInfo("rpyc", "RPyC", "peers.rpyc_service", ("rpyc",)),
    PeerInfo("pyro-serpent", "Pyro5, serpent", "peers.pyro5_serpent", ("Pyro5", "serpent")),
    PeerInfo("pyro-msgpack", "Pyro5, msgpack", "peers.pyro5_msgpack", ("Pyro5", "msgpack")),
    PeerInfo("websockets", "websockets + msgpack", "peers.plain_websockets", ("websockets",)),
    PeerInfo("wsremote", "wsremote", "peers.wsremote_server", ("wsremote",)),
)
