"""RPyC 6: a service, with functions and netrefs kept in variables as its users do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import benchserved
import rpyc
from rpyc.core.stream import SocketStream
from rpyc.utils.classic import obtain
from rpyc.utils.factory import connect_stream
from rpyc.utils.server import ThreadedServer
from workloads import generator, streams
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready

CONFIG = {"allow_public_attrs": True, "allow_pickle": True, "sync_request_timeout": 120}


class Service(rpyc.Service):
    """What is exposed."""

    exposed_f = staticmethod(benchserved.f)
    exposed_count = staticmethod(benchserved.count)
    exposed_numbers = staticmethod(benchserved.numbers)
    exposed_Counter = benchserved.Counter

    def exposed_last(self, array: Any) -> float:
        """The array comes as a netref; its content is fetched in one piece."""
        return benchserved.last(obtain(array))


class Server(ThreadedServer):
    """RPyC's server leaves Nagle's algorithm on; with it every figure is worse."""

    def _accept_method(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._accept_method(sock)


def serve(ready: Ready) -> None:
    """A thread a client."""
    server = Server(Service, hostname="127.0.0.1", port=0, protocol_config=CONFIG)
    ready(str(server.port))
    server.start()


def connect(address: str) -> Operations:
    """The functions are fetched once: `conn.root.f` is a round trip of its own."""
    stream = SocketStream.connect("127.0.0.1", int(address), nodelay=True)
    root = connect_stream(stream, config=CONFIG).root
    f, last, numbers, counter = root.f, root.last, root.numbers, root.Counter()
    count, soon = root.count, rpyc.async_(f)

    def batch() -> list[int]:
        results: list[int] = []
        for window in streams.windows():
            answers = [soon(i, 2) for i in window]
            results += [answer.value for answer in answers]
        return results

    return {
        "call": lambda: f(1, 2),
        "method": lambda: counter.add(1, 2),
        "attribute": lambda: counter.value,
        "batch": batch,
        "generator": lambda: list(count(generator.COUNT)),
        "array up": lambda: last(array_of(COUNT)),
        "array down": lambda: obtain(numbers(COUNT)),
    }
