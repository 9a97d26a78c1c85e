"""`multiprocessing.managers`: the fastest peer, and in everybody's standard library."""

from __future__ import annotations

from multiprocessing.managers import BaseManager, IteratorProxy, NamespaceProxy
from typing import TYPE_CHECKING, Any

import benchserved
from workloads import generator
from workloads.arrays import COUNT, array_of

if TYPE_CHECKING:
    from peers import Operations, Ready

AUTHKEY = b"benchmark"


class Functions:
    """Managers serve objects only."""

    f = staticmethod(benchserved.f)
    last = staticmethod(benchserved.last)
    numbers = staticmethod(benchserved.numbers)


class CounterProxy(NamespaceProxy):
    """Attributes and the method of a counter."""

    _exposed_ = ("__getattribute__", "add")

    def add(self, a: int, b: int) -> Any:
        return self._callmethod("add", (a, b))


class Manager(BaseManager):
    """Both sides."""


Manager.register("Functions", Functions)
Manager.register("Counter", benchserved.Counter, CounterProxy)
Manager.register("count", benchserved.count, IteratorProxy)


def serve(ready: Ready) -> None:
    """The manager's own server, in this process."""
    server = Manager(("127.0.0.1", 0), AUTHKEY).get_server()
    ready(str(server.address[1]))
    server.serve_forever()


def connect(address: str) -> Operations:
    """Proxies of a `Functions` and a `Counter`."""
    manager = Manager(("127.0.0.1", int(address)), AUTHKEY)
    manager.connect()
    functions: Any = manager.Functions()  # type: ignore[attr-defined]
    counter: Any = manager.Counter()  # type: ignore[attr-defined]
    return {
        "call": lambda: functions.f(1, 2),
        "method": lambda: counter.add(1, 2),
        "attribute": lambda: counter.value,
        "generator": lambda: list(manager.count(generator.COUNT)),  # type: ignore[attr-defined]
        "array up": lambda: functions.last(array_of(COUNT)),
        "array down": lambda: functions.numbers(COUNT),
    }
