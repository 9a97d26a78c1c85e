"""The floor: pickle over a blocking socket, written by hand for this one use."""

from __future__ import annotations

import itertools
import pickle
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import benchserved
from workloads import generator, streams
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peers import Operations, Ready

HEAD = struct.Struct("!IB")  # bytes of the pickle, number of buffers behind it
SIZE = struct.Struct("!Q")
WINDOW = 128
"""Calls that leave together."""


def send(sock: socket.socket, value: Any) -> None:
    """One message: head, sizes of the buffers, pickle; then the buffers as they are."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, 5, buffer_callback=buffers.append)
    raws = [buffer.raw() for buffer in buffers]
    sizes = b"".join([SIZE.pack(len(raw)) for raw in raws])
    sock.sendall(HEAD.pack(len(data), len(raws)) + sizes + data)
    for raw in raws:
        sock.sendall(raw)


def receive(sock: socket.socket) -> Any:
    """One message. In ping-pong nothing is ever behind it."""
    data = sock.recv(65536)
    if not data:
        raise EOFError
    size, count = HEAD.unpack_from(data)
    start = HEAD.size + SIZE.size * count
    while len(data) < start + size:
        data += sock.recv(65536)
    if not count:
        return pickle.loads(data[start:])
    buffers = []
    rest = memoryview(data)[start + size :]
    for number in range(count):
        (length,) = SIZE.unpack_from(data, HEAD.size + SIZE.size * number)
        buffer = memoryview(bytearray(length))
        filled = min(len(rest), length)
        buffer[:filled] = rest[:filled]
        rest = rest[filled:]
        while filled < length:
            filled += sock.recv_into(buffer[filled:])
        buffers.append(buffer)
    return pickle.loads(memoryview(data)[start : start + size], buffers=buffers)


class Pieces:
    """Small messages of which many may be under way; those at hand leave and come together."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""

    def send(self, values: Iterable[Any]) -> None:
        """Some messages."""
        pickles = [pickle.dumps(value, 5) for value in values]
        self._sock.sendall(b"".join([HEAD.pack(len(data), 0) + data for data in pickles]))

    def receive(self) -> list[Any]:
        """Those that have come; at least one, none at the end."""
        values: list[Any] = []
        while not values:
            more = self._sock.recv(65536)
            if not more:
                break
            data, start = self._rest + more, 0
            while len(data) >= start + HEAD.size:
                end = start + HEAD.size + HEAD.unpack_from(data, start)[0]
                if len(data) < end:
                    break
                values.append(pickle.loads(memoryview(data)[start + HEAD.size : end]))
                start = end
            self._rest = data[start:]
        return values


def stream(sock: socket.socket) -> None:
    """Serve one client whose calls do not wait for each other."""
    pieces = Pieces(sock)
    while requests := pieces.receive():
        if requests[0][0] == "count":
            numbers = benchserved.count(requests[0][1])
            while window := list(itertools.islice(numbers, WINDOW)):
                pieces.send(window)
        else:
            pieces.send([benchserved.f(*arguments) for _, arguments in requests])


def talk(sock: socket.socket) -> None:
    """Serve one client."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    functions = {name: getattr(benchserved, name) for name in ("f", "last", "numbers")}
    objects = [benchserved.Counter()]
    try:
        while True:
            what, target, arguments = receive(sock)
            if what == "stream":
                stream(sock)
                break
            if what == "call":
                value = functions[target](*arguments)
            elif what == "get":
                value = getattr(objects[target], arguments)
            else:
                value = getattr(objects[target], what)(*arguments)
            send(sock, value)
            value = None  # else the next one is made beside it
    except (EOFError, ConnectionError):
        pass
    sock.close()


def serve(ready: Ready) -> None:
    """A thread a client."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready(str(listener.getsockname()[1]))
    while True:
        threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()


def connect(address: str) -> Operations:
    """All of it on one socket, but for a second one where calls do not wait for each other."""
    sock, other = (socket.create_connection(("127.0.0.1", int(address))) for _ in range(2))
    for each in (sock, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    send(other, ("stream", None, None))
    pieces = Pieces(other)

    def batch() -> list[int]:
        """Two windows are under way, so that neither side waits for the other."""
        results: list[int] = []
        waiting: deque[int] = deque()
        for start in range(0, streams.COUNT, WINDOW):
            window = range(start, min(start + WINDOW, streams.COUNT))
            pieces.send([("call", (i, 2)) for i in window])
            waiting.append(window.stop)
            if len(waiting) > 1:
                take(results, waiting.popleft())
        take(results, streams.COUNT)
        return results

    def take(results: list[int], stop: int) -> None:
        while len(results) < stop:
            results += pieces.receive()

    def count() -> list[int]:
        pieces.send([("count", generator.COUNT)])
        results: list[int] = []
        take(results, generator.COUNT)
        return results

    def ask(message: Any) -> Any:
        send(sock, message)
        return receive(sock)

    return {
        "call": lambda: ask(("call", "f", (1, 2))),
        "method": lambda: ask(("add", 0, (1, 2))),
        "attribute": lambda: ask(("get", 0, "value")),
        "batch": batch,
        "generator": count,
        "array up": lambda: ask(("call", "last", (array_of(COUNT),))),
        "array down": lambda: ask(("call", "numbers", (COUNT,))),
    }
