"""A name server: lookups, registrations, renewals, watching.

Ten thousand servers are played by raw sessions, which do what a server's registrar does and little
else, so that one process can be all of them: a hundred sessions with a hundred leases each, as if
they stood behind a proxy, and then each lease with a session of its own, as it is in life. They
renew every 5 s, evenly spread, in real time. What counts is the processor time of the name server.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Child, PeerFailed, move

from scenarios import Scenario, Sizes
from scenarios.idle_sessions import RawSession
from scenarios.served import serving, start_server, threads_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenarios import Record

EVERY = 5.0
"""Seconds between two renewals of a lease."""
FEW = 100
"""Sessions that share the leases first."""
SECONDS = 10.0
"""Of renewals, in one measurement."""
TICK = 0.01
"""Seconds between two handfuls of renewals."""
CALLS = 300
"""Lookups, and calls, each time it is their turn."""
TURNS = 5
"""In a round."""
CHANGES = 200
"""That watchers see, each time."""
WATCHERS = (1, 10, 100)
LOAD = '{"sessions": 3, "running": 1, "cpu": 0.25, "memory": 200000000}'


def client(role: str, *arguments: str) -> Callable[..., dict[str, Any]]:
    """Those who look up, those who register, those who watch."""
    return {"asking": asking, "leasing": leasing, "watching": watching}[role](*arguments)


# ---- lookups -------------------------------------------------------------------------------


def asking(names: str, server: str, token: str, server_token: str) -> Callable[..., dict[str, Any]]:
    """Lookups of one name after the other, and calls of a server of the same machine."""
    import wsremote

    resolve = wsremote.connect(names, token=token).modules.nameserver.resolve
    f = wsremote.connect(server, token=server_token).modules.benchserved.f
    number = 0

    def do(what: str, count: int) -> dict[str, Any]:
        nonlocal number
        clock = time.perf_counter_ns
        start = clock()
        if what == "call":
            for _ in range(CALLS):
                f(1, 2)
        else:
            for _ in range(CALLS):
                number = (number + 7919) % count
                found = resolve(f"name-{number}")
                assert len(found) == 1
        return {"each": (clock() - start) / 1000 / CALLS}

    return do


# ---- leases --------------------------------------------------------------------------------


class RawCaller(RawSession):
    """A session that calls functions of the name server, one or several at a time."""

    def __init__(self, url: str, token: str) -> None:
        from wsremote.codec.values import ValueCodec

        super().__init__(url, token)
        self._calls = 0
        self._answers = 0
        self._codec = ValueCodec(None)  # type: ignore[arg-type]  # for plain values only

    def begin(self, function: str, *args: Any) -> None:
        """Send a call, as a registrar does.

        In the form of calls that are bounded in time; it acknowledges the answers before.
        """
        from wsremote.codec import wire
        from wsremote.protocol.messages import Exec, Op

        self._calls += 1
        payload = self._codec.encode_call(args, {}).payload
        target = f"nameserver:{function}"
        numbers = (self._calls, self._answers, self._calls)
        self.send(wire.write(Exec(*numbers, 1, None, Op.CALL, target, None, payload, None)))

    def end(self) -> Any:
        """The answer of the oldest call that has none yet."""
        from wsremote.codec import wire
        from wsremote.protocol.messages import Fault, Result

        while True:
            for message in wire.read(self.receive()):
                if isinstance(message, Result | Fault):
                    self._answers += 1
                    assert isinstance(message, Result), message
                    return self._codec.decode(message.payload, ())


def record_of(number: int, name: str) -> dict[str, Any]:
    """What a server says of itself."""
    return {
        "name": name,
        "id": f"f{number:031x}",
        "urls": [f"wss://host-{number}.example.org:9090"],
        "version": "1.2.3",
        "wsremote": "0.1",
        "python": "3.11.7",
        "packages": {"riskpkg": "1.2.3", "pricing": "4.5"},
        "tree": "9ce2b1739dc2b6faceebc0c90fac69afab4a87dd223d7a4963d8dabcd196fcf2",
        "tags": ["gpu"],
        "zone": "here",
        "capacity": 64,
    }


def leasing(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Registers and renews."""
    _raise_descriptors()
    sessions: list[RawCaller] = []
    fences: list[int] = []

    def session_of(lease: int) -> RawCaller:
        return sessions[lease % len(sessions)]

    def handfuls(count: int) -> Iterator[range]:
        """Leases of different sessions, so that none has two calls at once."""
        size = min(len(sessions), FEW)
        return (range(first, min(first + size, count)) for first in range(0, count, size))

    def open_all(count: int) -> dict[str, Any]:
        start = time.perf_counter()
        while len(sessions) < count:
            sessions.append(RawCaller(url, token))
        return {"rate": count / (time.perf_counter() - start)}

    def register(count: int) -> dict[str, Any]:
        start = time.perf_counter()
        for some in handfuls(count):
            for lease in some:
                session_of(lease).begin("register", record_of(lease, f"name-{lease}"))
            fences.extend(session_of(lease).end()["fence"] for lease in some)
        return {"rate": count / (time.perf_counter() - start)}

    def renew(seconds: float) -> dict[str, Any]:
        """So many seconds long, each lease once in `EVERY`."""
        begun, done = time.perf_counter(), 0
        waiting: list[RawCaller] = []
        while (elapsed := time.perf_counter() - begun) < seconds:
            due = min(int(elapsed * len(fences) / EVERY), done + FEW)
            # Answers of the handful before: nobody waits for his own.
            for session in waiting:
                session.end()
            waiting = []
            for number in range(done, due):
                lease = number % len(fences)
                name, id = f"name-{lease}", f"f{lease:031x}"
                session = session_of(lease)
                session.begin("renew", name, id, fences[lease], LOAD, "ready")
                waiting.append(session)
            done = due
            time.sleep(TICK if due - done < FEW else 0)
        for session in waiting:
            session.end()
        return {"rate": done / (time.perf_counter() - begun)}

    def change(count: int, last: str) -> dict[str, Any]:
        """Publish changes one after the other; gives when that began, of the machine's clock."""
        start = time.monotonic()
        session = sessions[0]
        for number in range(1, count + 1):
            name = last if number == count else f"watched-{number % 50}"
            # The same server registers again and again: each time one change.
            session.begin("register", record_of(10**9 + number % 50, name))
            session.end()
        return {"start": start}

    done: dict[str, Callable[..., dict[str, Any]]] = {
        "open": open_all,
        "register": register,
        "renew": renew,
        "change": change,
    }
    return lambda what, **arguments: done[what](**arguments)


# ---- watching ------------------------------------------------------------------------------


def watching(url: str, token: str) -> Callable[..., dict[str, Any]]:
    """Watchers, each with a session and a thread of its own."""
    import wsremote

    seen = threading.Condition()
    counts: dict[str, int] = {}
    watchers = 0

    def watch() -> None:
        session = wsremote.connect(url, token=token, new=True)
        for item in session.modules.nameserver.watch(None, "watched-"):
            if item["kind"] == "all":
                names = [server["name"] for server in item["servers"]] + ["begun"]
            else:
                names = [item["name"]]
            with seen:
                for name in names:
                    if not name[-1].isdigit():
                        counts[name] = counts.get(name, 0) + 1
                        seen.notify_all()

    def do(watching: int = 0, name: str = "") -> dict[str, Any]:
        nonlocal watchers
        while watchers < watching:
            watchers += 1
            threading.Thread(target=watch, daemon=True).start()
        with seen:
            everybody = seen.wait_for(lambda: counts.get(name or "begun", 0) >= watchers, 50)
        assert everybody, f"{counts.get(name or 'begun', 0)} of {watchers} have seen {name}"
        return {"end": time.monotonic()}

    return do


# ---- measuring -----------------------------------------------------------------------------


def measure(sizes: Sizes, record: Record) -> None:
    """With the store in memory; with Redis too, where there is one."""
    _raise_descriptors()
    token = secrets.token_urlsafe()
    count = sizes.names
    with naming(token) as (pid, url), contextlib.ExitStack() as stack:
        server = stack.enter_context(serving())
        arguments = ("client", __name__)
        leases = stack.enter_context(Child(*arguments, "leasing", url, token))
        move(pid, sizes.cores[:1])
        move(leases.pid, sizes.cores[1:])
        leases.ask(what="open", count=FEW)
        record("registrations", leases.ask(what="register", count=count)["rate"])
        _lookups(sizes, record, pid, server.pid, (url, server.url, token, server.token))
        move(pid, sizes.cores[:1])
        _renewals(sizes, record, pid, leases, "few")
        watchers = stack.enter_context(Child(*arguments, "watching", url, token))
        move(watchers.pid, sizes.cores[1:])
        for number in WATCHERS:
            watchers.ask(watching=number)
            for turn in range(sizes.rounds):
                last = f"watched-{number}-{turn}-last"
                start = leases.ask(what="change", count=CHANGES, last=last)["start"]
                taken = watchers.ask(name=last)["end"] - start
                record(f"changes, {number} watching", CHANGES / taken)
    with naming(token) as (pid, url), Child("client", __name__, "leasing", url, token) as leases:
        move(pid, sizes.cores[:1])
        move(leases.pid, sizes.cores[1:])
        record("opening sessions", leases.ask(what="open", count=count)["rate"])
        leases.ask(what="register", count=count)
        _renewals(sizes, record, pid, leases, "many")
        record("threads, many", threads_of(pid))
    with redis() as store, naming(token, "--store", store) as (pid, url):
        with Child("client", __name__, "leasing", url, token) as leases:
            move(pid, sizes.cores[:1])
            move(leases.pid, sizes.cores[1:])
            leases.ask(what="open", count=FEW)
            record("registrations, Redis", leases.ask(what="register", count=count)["rate"])
            _renewals(sizes, record, pid, leases, "few, Redis")


def _lookups(
    sizes: Sizes, record: Record, names: int, server: int, addresses: tuple[str, str, str, str]
) -> None:
    url, server_url, token, server_token = addresses
    with Child("client", __name__, "asking", url, server_url, token, server_token) as asking:
        for pid in (names, server, asking.pid):
            move(pid, sizes.cores[:1])
        for _ in range(sizes.rounds * TURNS):
            for what in ("call", "lookup"):
                record(what, asking.ask(what=what, count=sizes.names)["each"])


def _renewals(sizes: Sizes, record: Record, pid: int, leases: Child, name: str) -> None:
    for _ in range(min(3, sizes.rounds)):
        before, start = processor_time(pid), time.perf_counter()
        rate = leases.ask(what="renew", seconds=SECONDS)["rate"]
        share = (processor_time(pid) - before) / (time.perf_counter() - start)
        wanted = sizes.names / EVERY
        if rate < 0.8 * wanted:
            raise PeerFailed(f"{name}: {rate:.0f} renewals a second, not {wanted:.0f}")
        record(f"renewals, {name}", 100 * share * wanted / rate)


@contextlib.contextmanager
def naming(token: str, *options: str) -> Iterator[tuple[int, str]]:
    """A name server: its process and URL. One token does it all."""
    room = ("--max-unauthenticated", "2000", "--lease", "60s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = ("--nameserver-token", token, "--database", str(folder / "names.sqlite"))
        process, url = start_server("nameserver", folder, token, *own, *room, *options)
        try:
            yield process.pid, url
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis that keeps nothing.

    Raises:
        RuntimeError: There is none here.
    """
    import subprocess

    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        plug = os.path.join(folder, "redis.socket")
        options = ("--port", "0", "--unixsocket", plug, "--save", "", "--appendonly", "no")
        process = subprocess.Popen([program, *options, "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(plug):
                if process.poll() is not None:
                    raise RuntimeError("redis-server ended")
                time.sleep(0.01)
            yield f"unix://{plug}"
        finally:
            process.kill()
            process.wait()


def processor_time(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _raise_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


SCENARIO = Scenario(
    "names",
    "A name server with {names:,} servers",
    {
        "lookup": "µs",
        "call": "µs",
        "registrations": "/s",
        "renewals, few": "% of a core",
        "renewals, many": "% of a core",
        **{f"changes, {number} watching": "/s" for number in WATCHERS},
        "opening sessions": "/s",
        "threads, many": "",
        "registrations, Redis": "/s",
        "renewals, few, Redis": "% of a core",
    },
    measure,
)
