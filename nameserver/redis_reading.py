"""What comes out of Redis, read as what comes from the wire is: nothing in it is believed.

Whoever may write into that Redis may invent servers, and nothing more than that.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple, cast

from .database import Event
from .records import Change, Entry, Kind, Load, Record, State, check_name
from .store import SUSPECT_FOR

__all__ = [
    "Clock",
    "as_json",
    "key_of",
    "load_text",
    "read_audit",
    "read_change",
    "read_entry",
    "read_gone",
    "read_key",
    "read_load",
]

_MOST_JSON: Final = 200_000
"""Bytes of a record as JSON: 16 KiB of text, with each character escaped, and what is between."""

_KEY: Final = re.compile(r"([^/]{1,100})/([0-9a-f]{32})")
_ENTRY: Final = re.compile(
    r"(\d{1,16}) (\d{1,16}) (ready|draining|suspect|pinned) ([!-~]{1,200}) (\d{1,16})"
    r" (ready|draining)"
)
_NUMBER: Final = re.compile(r"\d{1,16}")
_KINDS: Final = ("registered", "changed", "gone")


class Clock(NamedTuple):
    """How times in Redis become those of this machine, which are for display.

    Attributes:
        ahead: Seconds that this machine's clock is ahead of that of Redis.
        ttl: Seconds that a lease lasts.
    """

    ahead: float
    ttl: float

    def local(self, milliseconds: float) -> float:
        """Seconds since the epoch, here."""
        return milliseconds / 1000 + self.ahead


def key_of(name: str, id: str) -> str:
    """What a server is called in Redis."""
    return f"{name}/{id}"


def as_json(value: dict[str, Any]) -> str:
    """One line of ASCII."""
    return json.dumps(value, separators=(",", ":"))


def load_text(load: Load) -> str:
    """A load as JSON: a list, for there are ten thousand of them every few seconds."""
    return f"[{load.sessions},{load.running},{load.cpu!r},{load.memory}]"


def read_key(key: bytes) -> tuple[str, str]:
    """Name and id.

    Raises:
        ValueError: It is no key.
    """
    found = _KEY.fullmatch(key.decode("ascii", "replace"))
    if found is None:
        raise ValueError("it is not called NAME/ID")
    return check_name(found[1]), found[2]


def read_load(text: bytes | None) -> Load | None:
    """A load; None for none, and for one that is not right."""
    if text is None or len(text) > 1000:
        return None
    try:
        sessions, running, cpu, memory = json.loads(text)
        return Load.from_wire(
            {"sessions": sessions, "running": running, "cpu": cpu, "memory": memory}
        )
    except (ValueError, TypeError, RecursionError):
        return None


def read_entry(
    key: bytes,
    entry: bytes,
    expiry: bytes,
    record: bytes,
    load: Load | None,
    known: Entry | None,
    clock: Clock,
) -> Entry:
    """Put together what Redis has of a server.

    Args:
        key: Its key.
        entry: Of the hash `entries`.
        expiry: When it ends; `inf` for never.
        record: JSON.
        load: What it said of itself.
        known: What was known of it before.
        clock: For the times.

    Raises:
        ValueError: Something is wrong; the text says what.
    """
    name, id = read_key(key)
    found = _ENTRY.fullmatch(entry.decode("ascii", "replace"))
    if found is None:
        raise ValueError("its state cannot be read")
    said = _read_record(record, found[3] == "pinned", known)
    if (said.name, said.id) != (name, id):
        raise ValueError("its record is that of another server")
    fence, revision, registered = int(found[1]), int(found[2]), int(found[5])
    state = cast("State", found[3])
    owner = "" if found[4] == "-" else found[4]
    registered_at = clock.local(registered)
    ends = float(expiry)
    renewed_at, expires_at = registered_at, None
    if state != "pinned":
        if not math.isfinite(ends):
            raise ValueError("its lease does not end")
        expires_at = clock.local(ends)
        # A suspect lease has another end than a ttl after its last renewal.
        lasts = SUSPECT_FOR + clock.ttl if state == "suspect" else clock.ttl
        renewed_at = max(registered_at, expires_at - lasts)
        if known is not None and known.fence == fence:
            renewed_at = max(renewed_at, known.renewed_at)
    return Entry(said, state, fence, owner, registered_at, renewed_at, expires_at, load, revision)


def _read_record(text: bytes, pinned: bool, known: Entry | None) -> Record:
    if len(text) > _MOST_JSON:
        raise ValueError(f"its record has {len(text)} bytes")
    # Reading all anew finds nearly all as it was: a tenth of the time.
    if (
        known is not None
        and (known.state == "pinned") == pinned
        and text == as_json(known.record.to_wire()).encode()
    ):
        return known.record
    try:
        return Record.from_wire(json.loads(text), pinned=pinned)
    except RecursionError:
        raise ValueError("its record is nested too deeply") from None


def read_audit(lines: list[bytes]) -> list[Event]:
    """The events that can be read."""
    found = []
    for line in lines:
        parts = line.decode("utf-8", "replace").split(" ", 4)
        if len(parts) == 5 and _NUMBER.fullmatch(parts[0]):
            at, event, key, owner, detail = parts
            name, _, id = key.partition("/")
            found.append(Event(int(at) / 1000, event, name, id, owner, detail))
    return found


def read_change(data: bytes) -> tuple[int, int, Kind, bytes, bytes, bytes, bytes]:
    """A published change: revision, the one before it, kind, key, entry, expiry, record.

    Raises:
        ValueError: It is none.
    """
    parts = data.split(b"\n", 6)
    if len(parts) != 7:
        raise ValueError("it has not seven lines")
    revision, previous, kind = (part.decode("ascii", "replace") for part in parts[:3])
    if not (_NUMBER.fullmatch(revision) and _NUMBER.fullmatch(previous)) or kind not in _KINDS:
        raise ValueError("it has no revision or kind")
    read_key(parts[3])
    return int(revision), int(previous), cast("Kind", kind), parts[3], parts[4], parts[5], parts[6]


def read_gone(revision: int, key: bytes) -> Change:
    """A server that is no longer there."""
    name, id = read_key(key)
    return Change(revision, "gone", name, id, None)
