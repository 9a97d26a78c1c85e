"""Two sides of a session wired to each other in memory, with real tables of handles."""

from __future__ import annotations

import collections
import gc
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from wsremote.codec.faults import decode_fault, encode_fault
from wsremote.codec.originals import Original
from wsremote.codec.values import ValueCodec
from wsremote.codec.writeback import (
    Snapshot,
    apply_changes,
    containers_of,
)
from wsremote.errors import EncodeError, NotExposed, StaleHandle


class Proxy:
    """Stands for an object of the other side."""

    def __init__(self, handle: int, cls: type, content: Any) -> None:
        self.handle = handle
        self.cls = cls
        self.content = content


@dataclass
class Side:
    """One side: an `Exchange` whose tables a test can look into."""

    name: str
    keeps_owned: bool = False
    lends_anything: bool = True
    pickle_in: bool = True
    pickle_out: bool = True
    receiver_has: dict[str, str] = field(default_factory=dict)
    served: dict[str, object] = field(default_factory=dict)
    # Handle -> object and sendings that were not released; handles by the id of the object.
    table: dict[int, object] = field(default_factory=dict)
    sent: collections.Counter[int] = field(default_factory=collections.Counter)
    handles: dict[int, int] = field(default_factory=dict)
    classes: dict[int, type] = field(default_factory=dict)
    # What this side holds of the other, as long as it holds it.
    proxies: dict[int, Proxy] = field(default_factory=dict)
    originals: dict[int, Original] = field(default_factory=dict)
    other: Side = field(init=False)

    def lend(self, value: object) -> tuple[int, int]:
        if not self.lends_anything and not callable(value):
            raise EncodeError(f"a {type(value).__name__} cannot travel; use wsremote.ref()")
        handle = self.handles.get(id(value))
        if handle is None:
            handle = self.handles[id(value)] = len(self.handles) + 1
            self.table[handle] = value
        self.sent[handle] += 1
        return handle, self.class_number(type(value))

    def lend_class(self, cls: type) -> tuple[int, int]:
        handle, _ = self.lend(cls)
        self.sent[handle] -= 1
        return self.class_number(cls), handle

    def borrow_class(self, number: int, handle: int) -> type:
        return self.class_numbered(number)

    def unlend(self, handle: int) -> None:
        self.sent[handle] -= 1

    def borrowed(self, value: object) -> int | None:
        return value.handle if isinstance(value, Proxy) else None

    def borrow(self, handle: int, number: int) -> object:
        return self.mirror(handle, number, None, 0)

    def carry(self, handle: int, number: int, content: object) -> object:
        return self.mirror(handle, number, content, 0)

    def is_watched(self, value: object) -> bool:
        return False

    def lend_mirrored(self, value: object, content: Any) -> tuple[int, int, int]:
        return *self.lend(value), 0

    def mirror(self, handle: int, number: int, content: Any, version: int) -> object:
        cls = self.class_numbered(number)
        proxy = self.proxies.setdefault(handle, Proxy(handle, cls, content))
        self.other.sent[handle] -= 1
        proxy.content = content if content is not None else proxy.content
        return proxy

    @property
    def peer(self) -> str:
        return "gpu-1" if not self.keeps_owned else "the client"

    def lend_original(self, error: BaseException) -> int:
        handle = self.handles.get(id(error))
        if handle is None:
            handle = self.handles[id(error)] = len(self.handles) + 1
            self.table[handle] = error
        self.sent[handle] += 1
        return handle

    def borrow_original(self, handle: int) -> Original:
        self.other.sent[handle] -= 1
        return self.originals.setdefault(handle, Original(handle))

    def lent(self, handle: int) -> object:
        if handle not in self.table:
            raise StaleHandle(f"handle {handle} is released")
        return self.table[handle]

    def name_of(self, value: object) -> str | None:
        return next((name for name, each in self.served.items() if each is value), None)

    def named(self, path: str) -> object:
        if path not in self.served:
            raise NotExposed(f"{path} is not served")
        return self.served[path]

    def class_number(self, cls: type) -> int:
        number = next((number for number, each in self.classes.items() if each is cls), None)
        if number is None:
            number = len(self.classes) + 1
            self.classes[number] = cls
        return number

    def class_numbered(self, number: int) -> type:
        return self.other.classes[number]


@dataclass
class Pair:
    """A client and a server, and values that go from one to the other."""

    client: Side
    server: Side

    def __post_init__(self) -> None:
        self.client.other, self.server.other = self.server, self.client
        self.client_codec, self.server_codec = ValueCodec(self.client), ValueCodec(self.server)

    def there(self, value: Any) -> Any:
        """`value` as one argument of a call, as the server sees it."""
        arguments = self.server_codec.decode_call(*self.client_codec.encode_call((value,), {}))
        assert arguments.kwargs == {}
        return arguments.args[0]

    def back(self, *holder: Any) -> Any:
        """A result of the server, as the client sees it. Nothing else may refer to it."""
        held = list(holder)
        del holder
        return self.client_codec.decode(*self.server_codec.encode_result(held))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A whole call, as the sessions make it."""
        containers = containers_of(args, kwargs)
        request = self.client_codec.encode_call(args, kwargs)
        arguments = self.server_codec.decode_call(*request)
        copies = containers_of(*arguments)
        snapshot = Snapshot(copies)
        fault = None
        holder: list[Any] = []
        try:
            holder.append(function(*arguments.args, **arguments.kwargs))
        except BaseException as error:
            fault = encode_fault(error, self.server_codec)
        changes = snapshot.changes(self.server_codec)
        del arguments, snapshot
        if changes is not None:
            apply_changes(containers, changes, self.client_codec)
        if fault is not None:
            raise decode_fault(fault, self.client_codec, host="gpu-1")
        response = self.server_codec.encode_result(holder, copies)
        return self.client_codec.decode(*response, containers)

    def raised(self, error: BaseException) -> BaseException:
        """An exception of the server, as the client sees it."""
        return decode_fault(encode_fault(error, self.server_codec), self.client_codec, host="gpu-1")


def make_pair(**packages: str) -> Pair:
    """Two sides that both have `packages`, and that trust each other."""
    client = Side("client", lends_anything=False, receiver_has=dict(packages))
    server = Side("server", keeps_owned=True, receiver_has=dict(packages))
    return Pair(client, server)


@pytest.fixture(scope="session")
def new_pair() -> Callable[..., Pair]:
    """`new_pair(numpy="2.1")`: two sides for one example of a property."""
    return make_pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two sides with the data packages that are installed; nothing may be left in transit."""
    found = {name: importlib.import_module(name).__version__ for name in ("numpy", "pandas")}
    pair = make_pair(**found)
    yield pair
    gc.collect()
    for side in (pair.client, pair.server):
        assert not any(side.sent.values()), f"{side.name}: sent and not received, or the reverse"
