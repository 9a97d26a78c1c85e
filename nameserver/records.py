"""What servers say of themselves, and what the name server knows of them.

A record comes from the wire, from a file or from Redis, and is shown in pages, terminals and
logs: each field is checked by itself, and no text in it has a character that is not printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from wsremote.errors import ConnectionFailed
from wsremote.printable import kind_of
from wsremote.transport.url import parse_url

__all__ = [
    "MOST_RECORD",
    "NAME",
    "PINNED_ID",
    "STATES",
    "Change",
    "Entry",
    "Kind",
    "Lease",
    "Load",
    "Record",
    "State",
    "check_name",
    "normal_url",
]

State = Literal["ready", "draining", "suspect", "pinned"]
"""`ready`: takes sessions. `draining`: takes no new ones. `suspect`: many servers fell silent at
once, this one too; asked after all others. `pinned`: from a file or `pin`, nothing is heard of
it."""

STATES: Final[frozenset[State]] = frozenset(("ready", "draining"))
"""What a server may say of itself when it renews."""

Kind = Literal["registered", "changed", "gone"]

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A name, all of it."""

MOST_RECORD: Final = 16 * 1024
"""Bytes of all texts of a record together."""

PINNED_ID: Final = "00000000"
"""How ids of pinned entries begin, so that no server can register with one of them."""

_ID: Final = re.compile(r"[0-9a-f]{32}")
_URL: Final = re.compile(r"wss?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~%/-]*)?")
"""What cannot end a text in a shell, a page or a program: URLs are there to be copied."""
_NOWHERE: Final = ("://0.0.0.0:", "://[::]:")
_MOST_URLS: Final = 8
_MOST_PACKAGES: Final = 500
_MOST_TAGS: Final = 32
_MOST_TEXT: Final = 200
"""Characters of any one text."""
_MOST_SESSIONS: Final = 2**31
"""Clients leave out a record with more, and so with any other field that they think impossible."""
_MOST_BYTES: Final = 2**53
"""Above it, JSON readers of other languages round."""


def check_name(name: object) -> str:
    """The name, if it can be one of a service.

    Raises:
        ValueError: It cannot; the text says what a name is.
    """
    if type(name) is str and NAME.fullmatch(name):
        return name
    raise ValueError(
        f"name: {_shown(name)} is no name of a service. Write 1 to 100 of A-Z a-z 0-9 . _ -,"
        " the first a letter or a digit."
    )


def normal_url(value: object, field: str = "url") -> str:
    """A server's URL in its normal form, so that two of one server are equal.

    Raises:
        ValueError: It is none, or leads nowhere; the text begins with `field`.
    """
    text = _checked(value, field)
    try:
        url = str(parse_url(text))
    except ConnectionFailed as error:
        raise ValueError(f"{field}: {error}") from None
    if not text.lower().startswith(("ws://", "wss://")) or not _URL.fullmatch(url):
        raise ValueError(f"{field}: {_shown(text)} is not ws://HOST:PORT or wss://HOST:PORT")
    _checked(url, field)  # Quoted, it may be many times as long.
    if any(nowhere in url for nowhere in _NOWHERE):
        raise ValueError(
            f"{field}: {url} means every address of a machine and leads to none. Say with"
            " --advertise where clients reach the server."
        )
    return url


@dataclass(frozen=True, slots=True)
class Record:
    """What a server says of itself when it registers.

    Attributes:
        name: Of the service.
        id: Of the server: 32 hexadecimal digits, other ones each time it is started.
        urls: Where it is, `ws://` or `wss://`, in the order to try; 1 to 8.
        version: Of the service; empty if it is not known.
        wsremote: Version of wsremote that it runs.
        python: Version of its Python.
        packages: What it serves: import names and their versions, empty if not known.
        tree: Digest of its info tree.
        tags: What it is marked with.
        zone: Where it stands, for clients that want one near; empty if nobody said.
        capacity: Sessions that it takes.
    """

    name: str
    id: str
    urls: tuple[str, ...]
    version: str
    wsremote: str
    python: str
    packages: dict[str, str]
    tree: str
    tags: tuple[str, ...]
    zone: str
    capacity: int

    @classmethod
    def from_wire(cls, value: object, *, pinned: bool = False) -> Record:
        """Read what another process has sent. Fields that are not known are left out.

        Args:
            value: Anything.
            pinned: Whether it is the record of a pinned entry, and not of a server.

        Raises:
            ValueError: A field is missing or wrong; the text names it.
        """
        fields = _mapping(value, "record")
        name = check_name(fields.get("name"))
        server = _text(fields, "id")
        if not _ID.fullmatch(server):
            raise ValueError(f"id: {_shown(server)} is not 32 hexadecimal digits, in lower case")
        if server.startswith(PINNED_ID) != pinned:
            raise ValueError(f"id: {PINNED_ID}... are the ids of pinned entries, and only theirs")
        record = cls(
            name,
            server,
            _urls(fields),
            _text(fields, "version"),
            _text(fields, "wsremote"),
            _text(fields, "python"),
            _packages(fields),
            _text(fields, "tree"),
            _texts(fields, "tags", _MOST_TAGS),
            _text(fields, "zone"),
            _whole(fields, "capacity", _MOST_SESSIONS, least=1),
        )
        size = record.size
        if size > MOST_RECORD:
            raise ValueError(f"record: {size} bytes of text, {MOST_RECORD} are the most")
        return record

    @property
    def size(self) -> int:
        """Bytes of all its texts together."""
        texts = [self.name, self.version, self.wsremote, self.python, self.tree, self.zone]
        texts += [*self.urls, *self.tags, *self.packages, *self.packages.values()]
        return sum(len(text.encode()) for text in texts)

    def to_wire(self) -> dict[str, Any]:
        """Lists, dicts, texts and numbers: what `from_wire` reads."""
        return {
            "name": self.name,
            "id": self.id,
            "urls": list(self.urls),
            "version": self.version,
            "wsremote": self.wsremote,
            "python": self.python,
            "packages": dict(self.packages),
            "tree": self.tree,
            "tags": list(self.tags),
            "zone": self.zone,
            "capacity": self.capacity,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a server is.

    Attributes:
        sessions: That it has, attached or not.
        running: Calls that run.
        cpu: Share of the machine's cores in use, 0 to 1.
        memory: Bytes resident of its processes.
    """

    sessions: int
    running: int
    cpu: float
    memory: int

    @classmethod
    def from_wire(cls, value: object) -> Load:
        """Read what another process has sent.

        Raises:
            ValueError: A field is missing or wrong; the text names it.
        """
        fields = _mapping(value, "load")
        cpu: Any = fields.get("cpu")
        # False for not a number as well.
        if type(cpu) not in (int, float) or not 0 <= cpu <= 1:
            raise ValueError(f"cpu: {_shown(cpu)} is not a number from 0 to 1")
        return cls(
            _whole(fields, "sessions", _MOST_SESSIONS),
            _whole(fields, "running", _MOST_SESSIONS),
            float(cpu),
            _whole(fields, "memory", _MOST_BYTES),
        )

    def to_wire(self) -> dict[str, Any]:
        """What `from_wire` reads."""
        return {
            "sessions": self.sessions,
            "running": self.running,
            "cpu": self.cpu,
            "memory": self.memory,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """What the name server knows of a server. All times are seconds since the epoch, of the
    name server's clock, and for display only: when a lease is over is decided by another.

    Attributes:
        record: What the server has said.
        state: What is to be made of it.
        fence: Of its lease; of a pinned entry, the revision that it came with.
        owner: Key id of the token that it was registered with; empty for a pinned one.
        registered_at: When.
        renewed_at: When it was heard of last.
        expires_at: When its lease ends if it is not renewed; None for a pinned one.
        load: As it was last said; None before the first time, and for a pinned one.
        revision: Of the registry, when this entry was published last.
    """

    record: Record
    state: State
    fence: int
    owner: str
    registered_at: float
    renewed_at: float
    expires_at: float | None
    load: Load | None
    revision: int

    @property
    def key(self) -> tuple[str, str]:
        """Name and id, by which it is known."""
        return self.record.name, self.record.id

    def to_wire(self, now: float) -> dict[str, Any]:
        """What clients see: the record and its state, and not who registered it.

        Args:
            now: Seconds since the epoch.

        Returns:
            The record's fields, `state`, `revision`, `load`, `age`: seconds since it was
            registered, and `heard`: seconds since it was heard of, None for a pinned entry.
        """
        return {
            **self.record.to_wire(),
            "state": self.state,
            "revision": self.revision,
            "load": None if self.load is None else self.load.to_wire(),
            # A clock that was set back makes nobody younger than nothing.
            "age": max(0.0, now - self.registered_at),
            "heard": None if self.expires_at is None else max(0.0, now - self.renewed_at),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One published change of the registry. Loads and renewals are none.

    Attributes:
        revision: Of the registry after it.
        kind: `registered`, `changed` (anything but the load) or `gone`.
        name: Of the service.
        id: Of the server.
        entry: As it is after the change; None if it is gone.
    """

    revision: int
    kind: Kind
    name: str
    id: str
    entry: Entry | None

    def to_wire(self, now: float) -> dict[str, Any]:
        """What `watch` gives; `now` in seconds since the epoch."""
        return {
            "kind": self.kind,
            "revision": self.revision,
            "name": self.name,
            "id": self.id,
            "server": None if self.entry is None else self.entry.to_wire(now),
        }


@dataclass(frozen=True, slots=True)
class Lease:
    """A server's right to stand under its name.

    Attributes:
        fence: Its number, above that of every lease before it: what comes with a lower one is
            of a lease that is over.
        ttl: Seconds that it lasts without a renewal.
        every: Seconds after which it should be renewed.
    """

    fence: int
    ttl: float
    every: float


# ---- fields --------------------------------------------------------------------------------


def _shown(value: object) -> str:
    """A value that is refused, short enough for a message."""
    # Not the repr of a dict of megabytes.
    if isinstance(value, str | bytes | bytearray):
        return repr(value[:60])
    return repr(value) if isinstance(value, int | float | None) else kind_of(value)


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    # A plain dict and nothing like one: reading a proxy of the client's dict would call back.
    if type(value) is not dict:
        raise ValueError(f"{what}: a dict is expected, not {_shown(value)}")
    return value


def _text(fields: Mapping[str, Any], field: str) -> str:
    return _checked(fields.get(field), field)


def _checked(text: object, field: str) -> str:
    if type(text) is not str:
        raise ValueError(f"{field}: a text is expected, not {_shown(text)}")
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{field}: {len(text)} characters, {_MOST_TEXT} are the most")
    if not text.isprintable():
        raise ValueError(f"{field}: {_shown(text)} has characters that cannot be printed")
    return text


def _whole(fields: Mapping[str, Any], field: str, most: int, *, least: int = 0) -> int:
    number = fields.get(field)
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"{field}: {_shown(number)} is not a whole number from {least} to {most}")
    return number


def _texts(
    fields: Mapping[str, Any],
    field: str,
    most: int,
    check: Callable[[object, str], str] = _checked,
) -> tuple[str, ...]:
    values: Any = fields.get(field)
    if type(values) not in (list, tuple):
        raise ValueError(f"{field}: a list is expected, not {_shown(values)}")
    if len(values) > most:
        raise ValueError(f"{field}: {len(values)} of them, {most} are the most")
    texts = (check(value, f"{field}[{place}]") for place, value in enumerate(values))
    return tuple(dict.fromkeys(texts))


def _urls(fields: Mapping[str, Any]) -> tuple[str, ...]:
    urls = _texts(fields, "urls", _MOST_URLS, normal_url)
    if not urls:
        raise ValueError("urls: one is needed at least")
    return urls


def _packages(fields: Mapping[str, Any]) -> dict[str, str]:
    packages = _mapping(fields.get("packages"), "packages")
    if len(packages) > _MOST_PACKAGES:
        raise ValueError(f"packages: {len(packages)} of them, {_MOST_PACKAGES} are the most")
    return {
        _checked(name, "packages"): _checked(version, f"packages[{_shown(name)}]")
        for name, version in packages.items()
    }
