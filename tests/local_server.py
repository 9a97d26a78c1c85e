"""A server in the process of the test, which can look into both ends."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from wsremote.client.opening import open_session
from wsremote.client.opening import poller as client_poller
from wsremote.codec import wire
from wsremote.codec.values import ValueCodec
from wsremote.errors import ConnectionLost
from wsremote.protocol.messages import Exec, Fault, Message, Op, Ping, Pong, Result
from wsremote.server.config import Limits, ServerConfig
from wsremote.server.server import Server
from wsremote.transport.poller import Poller

TOKEN = "of the tests"
PATIENCE = 20.0
BRIEF = Limits(grace=0.05, grace_when_empty=0.05)
"""Bounds under which a session without a connection is over in a moment."""

SOURCE = """
import contextvars, itertools, queue, sys, threading

started = queue.SimpleQueue()
finished = queue.SimpleQueue()
doors = {}
local = threading.local()
variable = contextvars.ContextVar("variable", default=0)
numbers = itertools.count(1)

def add(a, b):
    return a + b

def door(name):
    return doors.setdefault(name, threading.Event())

def wait(name):
    "Runs until the door is open or it is interrupted."
    started.put(name)
    try:
        while not door(name).wait(0.005):
            pass
    finally:
        finished.put(name)
    return name

def repeat(size):
    return "x" * size

def count_to(size):
    return list(range(size))

def size_behind(name, value):
    "The size of a value, when a door is open."
    while not door(name).wait(0.005):
        pass
    return len(value)

def print_and_wait(name):
    sys.stdout.write("printed")
    return wait(name)

def fail(text):
    raise ValueError(text)

def extend(items):
    items.append(len(items))
    return len(items)

def block(size):
    return bytes(size)

def call(function, *args):
    return function(*args)

def call_twice(function):
    try:
        function()
    except Exception as error:
        started.put(repr(error))
    return function()

def finalized():
    "What a finalizer has put there before."
    return started.get_nowait()

def count_on_thread():
    local.count = getattr(local, "count", 0) + 1
    variable.set(variable.get() + 1)
    return local.count, variable.get(), threading.get_ident()

def talk(writers, lines):
    def write(name):
        for number in range(lines):
            sys.stdout.write(f"{name} {number}\\n")
    threads = [threading.Thread(target=write, args=[name]) for name in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def print_much(characters):
    for _ in range(characters // 1000):
        sys.stdout.write("x" * 1000)
    return characters

def call_and_clean_up(function):
    try:
        function()
    finally:
        finished.put(function())

kept = {}

def keep(name, function):
    kept[name] = function

def call_kept(name):
    return kept[name]()

def call_in_thread(function):
    threads.append(threading.Thread(target=lambda: finished.put(attempt(function)), daemon=True))
    threads[-1].start()

threads = []

def attempt(function):
    try:
        return function()
    except BaseException as error:
        return type(error).__name__

class Counter:
    def __init__(self):
        self.count = 0
    def step(self):
        self.count += 1
        return self.count
    def __add__(self, other):
        return self.count + other

class Slow:
    "Its finalizer is slow."
    def __del__(self):
        started.put("finalizer")
        door("finalizer").wait()
        finished.put(threading.current_thread().name)
"""

_names = (f"stressed{number}" for number in itertools.count())


class Local:
    """A server, and the module that it serves, both in this process."""

    def __init__(self, server: Server, module: ModuleType) -> None:
        self.server = server
        self.module: Any = module
        self.name = module.__name__
        self.url = server.url

    def settle(self, sessions: int = 0) -> None:
        """Wait until the server has no more than so many sessions, and all is freed."""
        while len(self.server._sessions) > sessions:
            barrier(self.server.poller)
        barrier(self.server.poller)
        barrier(client_poller())

    def threads(self) -> list[threading.Thread]:
        """The threads of lanes and of ended sessions."""
        kinds = ("wsremote-lane-", "wsremote-end-")
        return [thread for thread in threading.enumerate() if thread.name.startswith(kinds)]


def barrier(poller: Poller) -> None:
    """Return when a poller has done what it had to do."""
    passed = threading.Event()
    poller.call_at(0.0, passed.set)
    assert passed.wait(PATIENCE)


@contextlib.contextmanager
def serving(
    folder: Path,
    limits: Limits = BRIEF,
    source: str = SOURCE,
    at_once: Mapping[str, Callable[..., object]] = MappingProxyType({}),
    **settings: Any,
) -> Iterator[Local]:
    """Serve a module, under a name of its own; a session that loses its connection ends soon.

    Args:
        folder: For the module.
        limits: The server's bounds.
        source: Of the module.
        at_once: By names in the module, as `Server` has it by paths.
        settings: Of the server's configuration.
    """
    name = next(_names)
    (folder / f"{name}.py").write_text(source)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    server = Server(
        [name],
        ServerConfig(port=0, token=TOKEN, limits=limits, **settings),
        at_once={f"{name}:{function}": instead for function, instead in at_once.items()},
    )
    server.start()
    try:
        yield Local(server, sys.modules[name])
    finally:
        for door in sys.modules[name].doors.values():
            door.set()
        server.close()
        sys.path.remove(str(folder))
        del sys.modules[name]


class RawClient:
    """Speaks the protocol message by message, and reads only when told to."""

    def __init__(self, local: Local) -> None:
        opened = open_session(local.url, TOKEN, "", ssl_context=None, timeout=PATIENCE)
        self.connection, self.welcome = opened.connection, opened.answer
        self.poller = Poller("raw client")
        self.connection.poller = self.poller
        self.name = local.name
        self.sent = 0
        self.received = 0
        self.codec = ValueCodec(None)  # type: ignore[arg-type]  # for plain values only
        self._inbox: list[Message] = []

    def send(self, message: Any) -> None:
        """Send a message that is not numbered."""
        self.connection.send(wire.write(message))

    def send_numbered(self, kind: Any, *fields: Any) -> None:
        """Send a numbered message."""
        self.sent += 1
        self.send(kind(self.sent, self.received, *fields))

    def call(
        self, call: int, function: str, *args: Any, lane: int = 1, parent: int | None = None
    ) -> None:
        """Call a served function; its answer is to be received."""
        payload = self.codec.encode_call(args, {}).payload
        target = f"{self.name}:{function}"
        self.send_numbered(Exec, call, lane, parent, int(Op.CALL), target, None, payload, None)

    def receive(self) -> Message:
        """The next message."""
        while not self._inbox:
            inbox = self.connection.receive(PATIENCE)
            while inbox:
                self._inbox.extend(wire.read(inbox.popleft()))
        message = self._inbox.pop(0)
        if isinstance(message, tuple) and message._fields[0] == "seq":
            self.received = message[0]
        elif isinstance(message, Ping):
            self.send(Pong(message.token, self.received))
        return message

    def answer(self) -> tuple[int, Any]:
        """The next answer, as the call and its value; "fault" for an exception."""
        while not isinstance(message := self.receive(), (Result, Fault)):
            continue
        if isinstance(message, Fault):
            return message.call, "fault"
        return message.call, self.codec.decode(message.payload, ())

    def expect_end(self) -> ConnectionLost:
        """Read until the server closes the connection; gives with what code and text."""
        try:
            while True:
                self.receive()
        except ConnectionLost as error:
            return error

    def close(self) -> None:
        """Free the socket."""
        self.connection.abort("the test is done")
        self.connection.free()
