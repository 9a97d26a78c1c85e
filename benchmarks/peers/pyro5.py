"""Pyro5, for both of its serializers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import benchserved
import numpy as np
import Pyro5.api
from workloads import generator, streams
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers import Operations, Ready

Pyro5.api.config.SOCK_NODELAY = True


@Pyro5.api.expose
class Functions:
    """Pyro serves objects only, and arrays as bytes only."""

    def f(self, a: int, b: int) -> int:
        return benchserved.f(a, b)

    def count(self, stop: int) -> Iterator[int]:
        return benchserved.count(stop)

    def last(self, data: Any) -> float:
        return benchserved.last(np.frombuffer(data))

    def numbers(self, count: int) -> bytes:
        return benchserved.numbers(count).tobytes()


@Pyro5.api.expose
class Counter:
    """A counter whose attribute is a property, which is what Pyro exposes."""

    def __init__(self) -> None:
        self._counter = benchserved.Counter()

    @property
    def value(self) -> int:
        return self._counter.value

    def add(self, a: int, b: int) -> int:
        return self._counter.add(a, b)


def serve(ready: Ready) -> None:
    """A daemon with both objects."""
    daemon = Pyro5.api.Daemon("127.0.0.1", 0)
    ready(f"{daemon.register(Functions())} {daemon.register(Counter())}")
    daemon.requestLoop()


def connect(address: str, serializer: str) -> Operations:
    """A proxy of each."""
    Pyro5.api.config.SERIALIZER = serializer
    functions, counter = map(Pyro5.api.Proxy, address.split())

    def batch() -> list[int]:
        calls = Pyro5.api.BatchProxy(functions)
        for i in range(streams.COUNT):
            calls.f(i, 2)
        return list(calls())

    operations = {
        "call": lambda: functions.f(1, 2),
        "method": lambda: counter.add(1, 2),
        "attribute": lambda: counter.value,
        "batch": batch,
        "generator": lambda: list(functions.count(generator.COUNT)),
    }
    if serializer == "msgpack":  # serpent would write the bytes as base64
        operations["array up"] = lambda: functions.last(array_of(COUNT).tobytes())
        operations["array down"] = lambda: np.frombuffer(functions.numbers(COUNT))
    return operations
