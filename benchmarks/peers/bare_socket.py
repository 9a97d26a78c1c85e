"""The floor: pickle over a blocking socket, written by hand for this one use."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import benchserved
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready

HEAD = struct.Struct("!IB")  # bytes of the pickle, number of buffers behind it
SIZE = struct.Struct("!Q")


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


def talk(sock: socket.socket) -> None:
    """Serve one client."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    functions = {name: getattr(benchserved, name) for name in ("f", "last", "numbers")}
    objects = [benchserved.Counter()]
    try:
        while True:
            what, target, arguments = receive(sock)
            if what == "call":
                value = functions[target](*arguments)
            elif what == "get":
                value = getattr(objects[target], arguments)
            else:
                value = getattr(objects[target], what)(*arguments)
            send(sock, value)
    except (EOFError, ConnectionError):
        sock.close()


def serve(ready: Ready) -> None:
    """A thread a client."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready(str(listener.getsockname()[1]))
    while True:
        threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()


def connect(address: str) -> Operations:
    """All of it on one socket."""
    sock = socket.create_connection(("127.0.0.1", int(address)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(message: Any) -> Any:
        send(sock, message)
        return receive(sock)

    return {
        "call": lambda: ask(("call", "f", (1, 2))),
        "method": lambda: ask(("add", 0, (1, 2))),
        "attribute": lambda: ask(("get", 0, "value")),
        "array up": lambda: ask(("call", "last", (array_of(COUNT),))),
        "array down": lambda: ask(("call", "numbers", (COUNT,))),
    }
