"""The `websockets` library as its tutorial has it: sync client, asyncio server, msgpack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import benchserved
import msgpack
import numpy as np
import websockets.asyncio.server
import websockets.sync.client
from workloads import streams
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready


async def talk(connection: websockets.asyncio.server.ServerConnection) -> None:
    """Serve one client."""
    counter = benchserved.Counter()
    functions = {
        "f": benchserved.f,
        "last": lambda data: benchserved.last(np.frombuffer(data)),
        "numbers": lambda count: benchserved.numbers(count).tobytes(),
    }
    async for message in connection:
        what, arguments = msgpack.unpackb(message)
        if what in functions:
            value: Any = functions[what](*arguments)
        elif what == "get":
            value = getattr(counter, arguments)
        else:
            value = getattr(counter, what)(*arguments)
        await connection.send(msgpack.packb(value))


async def run(ready: Ready) -> None:
    async with websockets.asyncio.server.serve(
        talk, "127.0.0.1", 0, compression=None, max_size=None
    ) as server:
        ready(str(next(iter(server.sockets)).getsockname()[1]))
        await server.serve_forever()


def serve(ready: Ready) -> None:
    """One event loop."""
    asyncio.run(run(ready))


def connect(address: str) -> Operations:
    """All of it on one connection."""
    connection = websockets.sync.client.connect(
        f"ws://127.0.0.1:{address}", compression=None, max_size=None, proxy=None
    )

    def ask(what: str, arguments: Any) -> Any:
        connection.send(msgpack.packb((what, arguments)))
        return msgpack.unpackb(connection.recv())

    def batch() -> list[int]:
        results: list[int] = []
        for window in streams.windows():
            for i in window:
                connection.send(msgpack.packb(("f", (i, 2))))
            results += [msgpack.unpackb(connection.recv()) for _ in window]
        return results

    return {
        "call": lambda: ask("f", (1, 2)),
        "method": lambda: ask("add", (1, 2)),
        "attribute": lambda: ask("get", "value"),
        "batch": batch,
        "array up": lambda: ask("last", (array_of(COUNT).tobytes(),)),
        "array down": lambda: np.frombuffer(ask("numbers", (COUNT,))),
    }
