"""What a name server says of a server, checked field by field: it is from the wire.

Types are compared, not asked with `isinstance`: what a name server gives in place of a dict may
be a proxy, and each look at that a call of a stranger that takes as long as it likes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ConnectionFailed
from ..printable import kind_of
from ..transport.url import parse_url
from .names import name_problem

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServerInfo", "ServerList", "ServerLoad"]

_LONGEST: Final = 256
"""Characters of a text; a URL may have eight times as many."""
_MOST: Final = 64
"""Tags of a server."""
_MOST_PACKAGES: Final = 1000
_MOST_URLS: Final = 8
_MOST_SESSIONS: Final = 2**31
_STATES: Final = frozenset({"ready", "draining", "suspect", "pinned"})


class ServerLoad(NamedTuple):
    """What a server had to do when it was last heard.

    Attributes:
        sessions: That it has, with a connection or without.
        running: Calls that run.
        cpu: Share of the machine's cores that it uses, 0 to 1.
        memory: Bytes resident.
    """

    sessions: int
    running: int
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server, as a name server knows it.

    Attributes:
        name: Under which it is found.
        id: Of this run of the server, 32 hexadecimal digits; others for what is pinned.
        urls: Where it is, the best first.
        state: `ready`; `draining` if it takes no new clients; `suspect` if it has not been heard
            for too long, and so have most; `pinned` if it is in a list and was never heard.
        version: Of the service; "" if unknown.
        wsremote: Its version of wsremote; "" if unknown.
        python: Its version of Python; "" if unknown.
        packages: What it serves: pairs of a name and a version, "" where there is none.
        tree: Digest of its info tree; "" if unknown.
        tags: What it was given.
        zone: Where it says to be; "" if nowhere.
        capacity: Sessions that it takes; 0 if unknown.
        load: What it had to do when it was last heard; None if it has not said.
        age: Seconds since it was registered.
        heard: Seconds since it was last heard; None for what is pinned.
        revision: Of the registry, when this was so.
    """

    name: str
    id: str
    urls: tuple[str, ...]
    state: str = "ready"
    version: str = ""
    wsremote: str = ""
    python: str = ""
    packages: tuple[tuple[str, str], ...] = ()
    tree: str = ""
    tags: tuple[str, ...] = ()
    zone: str = ""
    capacity: int = 0
    load: ServerLoad | None = None
    age: float = 0.0
    heard: float | None = None
    revision: int = 0

    @classmethod
    def from_wire(cls, value: object) -> ServerInfo:
        """Read what `to_wire` of an entry gives.

        Raises:
            ValueError: It is none; the text names the field.
        """
        if type(value) is not dict:
            raise ValueError(f"it is {kind_of(value)}, not a dict")
        fields: dict[str, Any] = {}
        for field, (read, is_needed) in _FIELDS.items():
            if is_needed or field in value:
                try:
                    fields[field] = read(value.get(field))
                except (ValueError, TypeError, OverflowError) as error:
                    raise ValueError(f"{field}: {error}") from None
        return cls(**fields)

    def is_like(self, other: ServerInfo) -> bool:
        """Whether nothing has changed that is published: loads and times are not."""
        now = {"load": None, "age": 0.0, "heard": None, "revision": 0}
        return dataclasses.replace(self, **now) == dataclasses.replace(other, **now)  # type: ignore[arg-type]

    def to_wire(self) -> dict[str, Any]:
        """The same as plain data, for JSON too."""
        return {
            "name": self.name,
            "id": self.id,
            "urls": list(self.urls),
            "state": self.state,
            "version": self.version,
            "wsremote": self.wsremote,
            "python": self.python,
            "packages": dict(self.packages),
            "tree": self.tree,
            "tags": list(self.tags),
            "zone": self.zone,
            "capacity": self.capacity,
            "load": None if self.load is None else self.load._asdict(),
            "age": self.age,
            "heard": self.heard,
            "revision": self.revision,
        }


class ServerList(list[ServerInfo]):
    """Servers that a name server knows.

    Attributes:
        doubt: Why servers that run may be missing, in words; "" if none are.
        left_out: Records that could not be read, of which the log has what is wrong.
    """

    doubt = ""
    left_out = 0


def _text(value: object, longest: int = _LONGEST) -> str:
    # It may be shown on a terminal.
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise ValueError(f"it is no printable text of at most {longest} characters")
    return value


def _name(value: object) -> str:
    name = _text(value)
    problem = name_problem(name)
    if problem is not None:
        raise ValueError(problem)
    return name


def _list(value: object, most: int) -> list[Any]:
    if type(value) not in (list, tuple) or len(value) > most:  # type: ignore[arg-type]
        raise ValueError(f"it is no list of at most {most}")
    return list(value)  # type: ignore[call-overload, no-any-return]


def _urls(value: object) -> tuple[str, ...]:
    urls = _list(value, _MOST_URLS)
    if not urls:
        raise ValueError("there is none")
    try:
        return tuple(str(parse_url(_text(each, 8 * _LONGEST))) for each in urls)
    except ConnectionFailed as error:
        raise ValueError(str(error)) from None


def _tags(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value, _MOST))


def _packages(value: object) -> tuple[tuple[str, str], ...]:
    if type(value) is not dict or len(value) > _MOST_PACKAGES:
        raise ValueError(f"it is no dict of at most {_MOST_PACKAGES}")
    return tuple((_text(name), _text(version)) for name, version in value.items())


def _state(value: object) -> str:
    state = _text(value)
    if state not in _STATES:
        raise ValueError(f"it is none of {', '.join(sorted(_STATES))}")
    return state


def _count(value: object, most: int = _MOST_SESSIONS) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"it is no number from 0 to {most}")
    return value


def _number(value: object, most: float = math.inf) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most or math.isinf(value):  # type: ignore[operator, arg-type]
        raise ValueError("it is no sensible number")
    return float(value)  # type: ignore[arg-type]


def _load(value: object) -> ServerLoad | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise ValueError("it is no dict")
    return ServerLoad(
        _count(value.get("sessions")),
        _count(value.get("running")),
        _number(value.get("cpu"), 1.0),
        _count(value.get("memory"), 2**63),
    )


# Each with whether it must be there. What else is there is of a later version.
_FIELDS: Final[dict[str, tuple[Callable[[object], Any], bool]]] = {
    "name": (_name, True),
    "id": (_text, True),
    "urls": (_urls, True),
    "state": (_state, False),
    "version": (_text, False),
    "wsremote": (_text, False),
    "python": (_text, False),
    "packages": (_packages, False),
    "tree": (_text, False),
    "tags": (_tags, False),
    "zone": (_text, False),
    "capacity": (_count, False),
    "load": (_load, False),
    "age": (_number, False),
    "heard": (lambda value: None if value is None else _number(value), False),
    "revision": (lambda value: _count(value, 2**63), False),
}
