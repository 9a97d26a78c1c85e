"""What ten thousand idle sessions cost the server in memory, and the one that calls in time.

The sessions are opened by clients that do nothing but that: they prove the token, keep the
socket, and ping as often as a client of wsremote does. What is counted is the server's anonymous
memory, without what the kernel keeps for a socket.
"""

from __future__ import annotations

import resource
import secrets
import socket
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from processes import Child, move

from scenarios import Scenario, Sizes
from scenarios.served import memory_of, serving, threads_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Record

OPENERS = 2
WARM_UP = 100
"""Sessions that are there before the first look at the memory."""
KEEPALIVE = 15.0
"""Seconds between two pings of a session, a client's own interval."""
CALLS = 500
"""Of the session that calls, in one measurement."""
SETTLING = 45.0
"""Seconds at most until the threads of the first calls have ended, which wait 30 s for more."""


def client(role: str, *arguments: str) -> Callable[..., dict[str, Any]]:
    """An opener of sessions, or the client that calls."""
    return (opener if role == "opener" else caller)(*arguments)


def caller(*servers: str) -> Callable[..., dict[str, Any]]:
    """A session with each server; measures calls of one of them."""
    import wsremote

    functions = [
        wsremote.connect(url, token=token).modules.benchserved.f
        for url, token in (server.split() for server in servers)
    ]

    def do(which: int) -> dict[str, Any]:
        f, clock, taken = functions[which], time.perf_counter_ns, []
        assert f(1, 2) == 3
        for _ in range(CALLS):
            start = clock()
            f(1, 2)
            taken.append(clock() - start)
        return {"median": statistics.median(taken) / 1000}

    return do


class RawSession:
    """An open session: a socket, and nothing else of a client."""

    tree = ""

    def __init__(self, url: str, token: str) -> None:
        from wsremote.codec import wire
        from wsremote.protocol.messages import Welcome
        from wsremote.protocol.opening import ClientOpening, Opening
        from wsremote.transport.opening import open_connection

        pipe, _, self._rest = open_connection(url, timeout=30)
        self._pipe, self.socket = pipe, pipe.socket
        purpose = Opening(secrets.token_bytes(16), 1, RawSession.tree, {}, {})
        opening = ClientOpening(token, nonce=secrets.token_bytes(32), purpose=purpose)
        self.send(wire.write(opening.start()))
        while True:
            (message,) = wire.read(self.receive())
            answer = opening.receive(message)
            if isinstance(answer, Welcome):
                RawSession.tree = answer.tree  # as a client has it in its cache
                break
            self.send(wire.write(answer))

    def send(self, message: bytes) -> None:
        """One message, masked with zeros."""
        size = len(message)
        assert size < 65536
        head = bytes([0x82, 0x80 | size]) if size < 126 else b"\x82\xfe" + size.to_bytes(2)
        self.socket.sendall(head + bytes(4) + message)

    def receive(self) -> bytes:
        """The next message."""
        while True:
            data = self._rest
            if len(data) > 1:
                start, size = 2, data[1]
                if size == 126:
                    start, size = 4, int.from_bytes(data[2:4])
                elif size == 127:
                    start, size = 10, int.from_bytes(data[2:10])
                if len(data) >= start + size:
                    self._rest = data[start + size :]
                    return data[start : start + size]
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(f"the server closed the connection: {data!r:.100}")
            self._rest = data + more


def opener(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Opens sessions, has each make a call, pings for all of them."""
    from wsremote.codec import wire
    from wsremote.protocol.messages import Exec, Op, Ping, Result

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sessions: list[RawSession] = []
    using = threading.Lock()
    payload = bytes([0x93, 1, 2, 0xC0])  # [1, 2, nil]
    call = wire.write(Exec(1, 0, 1, 1, None, Op.CALL, "benchserved:f", None, payload, None))
    acked = {0: wire.write(Ping(1, 0)), 1: wire.write(Ping(1, 1))}
    received = 0

    def keep_alive() -> None:
        number = 0
        while True:
            time.sleep(KEEPALIVE / max(1000, len(sessions)))
            with using:
                if sessions:
                    number = (number + 1) % len(sessions)
                    session = sessions[number]
                    try:
                        session.socket.recv(65536, socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        pass
                    session.send(acked[received])

    threading.Thread(target=keep_alive, daemon=True).start()

    def do(what: str, count: int = 0) -> dict[str, Any]:
        nonlocal received
        if what == "open":
            for _ in range(count):
                session = RawSession(url, token)
                with using:
                    sessions.append(session)
        elif what == "call":
            with using:
                for session in sessions:
                    session.send(call)
                    while True:
                        (message,) = wire.read(session.receive())
                        if isinstance(message, Result):
                            break
                    # As a client does, acknowledged with the next ping.
                    assert message.payload == b"\x03", message
                received = 1
        return {"sessions": len(sessions)}

    return do


def measure(sizes: Sizes, record: Record) -> None:
    """Once: the sessions are opened, looked at, used, looked at."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sizes.sessions + WARM_UP + 500
    if most < needed:
        raise RuntimeError(f"{sizes.sessions} sessions need `ulimit -Hn` {needed}, it is {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        _measure(sizes, record)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def _measure(sizes: Sizes, record: Record) -> None:
    room = str(sizes.sessions + WARM_UP + 100)
    options = ["--max-sessions", room, "--max-sessions-per-token", room, "--max-connections", room]
    with (
        serving("benchserved", *options) as busy,
        serving("benchserved", *options) as alone,
        Child(
            "client", __name__, "caller", f"{busy.url} {busy.token}", f"{alone.url} {alone.token}"
        ) as calling,
        Child("client", __name__, "opener", busy.url, busy.token) as first,
        Child("client", __name__, "opener", busy.url, busy.token) as second,
    ):
        for pid in (busy.pid, alone.pid, calling.pid):
            move(pid, sizes.cores[:1])
        for pid in (first.pid, second.pid):
            move(pid, sizes.cores[1:])
        openers = (first, second)
        both(openers, what="open", count=WARM_UP // OPENERS)
        calling.ask(which=0)
        before = memory_of(busy.pid, "RssAnon")
        start = time.perf_counter()
        both(openers, what="open", count=sizes.sessions // OPENERS)
        record("opening one", 1e6 * (time.perf_counter() - start) / sizes.sessions)
        grown = memory_of(busy.pid, "RssAnon") - before
        record("before a call", grown / 1000 / sizes.sessions)
        record("threads before", threads_of(busy.pid))
        for _ in range(max(5, sizes.rounds)):
            times = [calling.ask(which=which)["median"] for which in (0, 1)]
            record("call beside them", times[0])
            record("call alone", times[1])
        both(openers, what="call")
        grown = memory_of(busy.pid, "RssAnon") - before
        record("after a call", grown / 1000 / (sizes.sessions + WARM_UP))
        record("threads then", threads_of(busy.pid))
        deadline = time.monotonic() + SETTLING
        while threads_of(busy.pid) > 50 and time.monotonic() < deadline:
            time.sleep(0.2)
        grown = memory_of(busy.pid, "RssAnon") - before
        record("30 s later", grown / 1000 / (sizes.sessions + WARM_UP))
        record("threads later", threads_of(busy.pid))


def both(openers: tuple[Child, ...], **request: Any) -> None:
    """Have them do it at once."""
    for each in openers:
        each.request(**request)
    for each in openers:
        each.answer()


SCENARIO = Scenario(
    "idle",
    "{sessions:,} idle sessions",
    {
        "before a call": "KB",
        "after a call": "KB",
        "30 s later": "KB",
        "call beside them": "µs",
        "call alone": "µs",
        "opening one": "µs",
        "threads before": "",
        "threads then": "",
        "threads later": "",
    },
    measure,
)
