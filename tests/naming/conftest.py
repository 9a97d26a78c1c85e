"""What the tests of names share: name servers that say what they are told.

One is only an object, the other a real server.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import ServedProcess, start_server

from wsremote.errors import ConnectionFailed, LeaseLost
from wsremote.naming.nameservers import NameServers

NAMESERVERS = NameServers(("ws://a:9999", "ws://b:9999"), "secret")
RECORD = {"name": "risk", "id": "0" * 31 + "1", "urls": ["ws://here:9090"]}


class Registry:
    """As much of a name server as registrars, look-ups and watches use.

    Attributes:
        down: URLs at which nobody answers.
        raising: What the next calls raise, by function; once each.
        calls: `(url, function, arguments)` of all calls.
        leases: The fence of each `(url, id)`.
        answers: What other functions give, by name.
        open: Sessions that are not closed.
        opened: All that ever were.
        refuses: What is raised in place of a session; `refusing` has it by URL.
        timeouts: Seconds for each attempt to open a session.
        lost: Whether the next look at a session finds its connection lost.
        lease: What a registration gives in place of a lease.
        streams: What the next watches tell.
        answering: Cleared, renewals wait until it is set.
    """

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.raising: dict[str, list[Exception]] = {}
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        self.leases: dict[tuple[str, str], int] = {}
        self.answers: dict[str, Callable[..., Any]] = {}
        self.open = self.opened = 0
        self.refuses: Exception | None = None
        self.refusing: dict[str, Exception] = {}
        self.timeouts: list[float] = []
        self.lost = False
        self.lease: Any = None
        self.streams: list[list[Any]] = []
        self.answering = threading.Event()
        self.answering.set()

    def reach(self, url: str, token: str, *, ssl_context: None, timeout: float) -> Reached:
        """Of the room's `reach`."""
        assert token == "secret"
        self.timeouts.append(timeout)
        if url in self.refusing:
            raise self.refusing[url]
        if self.refuses is not None:
            raise self.refuses
        if url in self.down:
            raise ConnectionFailed(f"nobody at {url}")
        self.open += 1
        self.opened += 1
        return Reached(self, url)

    def functions(self, url: str) -> list[str]:
        """What was called at a URL."""
        return [function for where, function, _ in self.calls if where == url]


class Reached:
    """A session with it."""

    def __init__(self, registry: Registry, url: str) -> None:
        self.registry = registry
        self.url = url

    @property
    def connected(self) -> bool:
        """Not with one that is down."""
        lost, self.registry.lost = self.registry.lost, False
        return self.url not in self.registry.down and not lost

    def call(self, function: str, *args: Any, timeout: float) -> Any:
        """Of `asking.NameServer`."""
        registry, url = self.registry, self.url
        registry.calls.append((url, function, args))
        if url in registry.down:
            raise ConnectionFailed(f"{url} does not answer")
        if registry.raising.get(function):
            raise registry.raising[function].pop(0)
        return getattr(self, function, registry.answers.get(function))(*args)

    def register(self, record: dict[str, Any]) -> Any:
        """A lease."""
        fence = len(self.registry.calls)
        self.registry.leases[self.url, record["id"]] = fence
        lease = self.registry.lease
        if lease is not None:
            return lease
        return {"fence": fence, "ttl": 15.0, "every": 5.0, "revision": 1}

    def renew(self, name: str, server: str, fence: int, load: str, state: str) -> None:
        """Only of a lease that there is."""
        if not self.registry.answering.is_set():
            self.registry.answering.wait(20)
            raise ConnectionFailed(f"{self.url} was left")
        known = self.registry.leases.get((self.url, server))
        if known is None:
            raise LeaseLost("never heard of it", "unknown")
        if known != fence:
            raise LeaseLost("it has another lease", "replaced")

    def deregister(self, name: str, server: str, fence: int) -> None:
        """The lease is over."""
        del self.registry.leases[self.url, server]

    def watch(self, since: int | None, prefix: str, *, patience: float) -> Any:
        """The next stream of items; an exception among them is raised."""
        self.registry.calls.append((self.url, "watch", (since, prefix)))
        items = self.registry.streams.pop(0)
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """One less is open."""
        self.registry.open -= 1

    def abandon(self) -> None:
        """Whoever waits for an answer has one."""
        self.registry.down.add(self.url)
        self.registry.answering.set()

    def __enter__(self) -> Reached:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def registry() -> Registry:
    """A name server, at any URL."""
    return Registry()


@pytest.fixture(autouse=True)
def nothing_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name servers are asked in the order in which they are given."""
    monkeypatch.setattr("wsremote.naming.nameservers._last_good", {})


SOURCE = """
import json, os, time
from pathlib import Path

import wsremote.errors

def resolve(name, version=None, tags=(), zone="", n=3):
    answer = json.loads(Path(os.environ["ANSWER"]).read_text())
    if isinstance(answer, str):
        return eval(answer)
    return answer

servers = resolve

def doubt():
    return None

def find(name, url):
    for server in resolve(name):
        if url in server["urls"]:
            return server
    raise wsremote.errors.NameNotFound("it is not there")

def told():
    # The answer that is written while this waits.
    go = Path(os.environ["ANSWER"] + ".go")
    asked = Path(os.environ["ANSWER"] + ".asked")
    asked.touch()
    while not go.exists():
        time.sleep(0.005)
    return json.loads(go.read_text())

def fail(error):
    raise error

class Slow:
    # Whoever looks at it calls this code, which takes its time.
    __len__ = __iter__ = __str__ = __hash__ = __bool__ = lambda self: time.sleep(40)
    __eq__ = __getitem__ = __contains__ = lambda self, other: time.sleep(40)

class SlowDict(dict):
    def get(self, key, default=None):
        time.sleep(40)

class SlowList(list):
    def __iter__(self):
        time.sleep(40)

class Text(str):
    def isprintable(self):
        return True
    def __str__(self):
        return "\\x1b[31mtext\\n"

RISK = {"name": "risk", "id": "1", "urls": ["ws://127.0.0.1:1"]}

class Strange(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")
"""

Say = Callable[..., None]


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A name server: a package of the right name, whose answers a file holds."""
    folder = tmp_path_factory.mktemp("liar")
    (folder / "nameserver").mkdir()
    (folder / "nameserver" / "__init__.py").write_text(SOURCE)
    answer = folder / "answer.json"
    answer.write_text("[]")
    served = start_server(
        str(folder / "nameserver"), folder=folder, environment={"ANSWER": str(answer)}
    )
    yield served
    served.stop()


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """The server that is looked for."""
    served = start_server("json", folder=tmp_path_factory.mktemp("right"))
    yield served
    served.stop()


@pytest.fixture
def say(lying: ServedProcess) -> Say:
    """`say("ws://…", …)`: the name leads there; a dict is a record, a text of another kind code.

    Pinned: servers that have not registered do not say what they are called.
    """

    def write(*urls: Any) -> None:
        answer: Any = [
            url
            if isinstance(url, dict)
            else {"name": "risk", "id": str(number), "urls": [url], "state": "pinned"}
            for number, url in enumerate(urls)
        ]
        if len(urls) == 1 and isinstance(urls[0], str) and not re.match(r"\w+://", urls[0]):
            answer = urls[0]
        (lying.errors.parent / "answer.json").write_text(json.dumps(answer))

    return write
