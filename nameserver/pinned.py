"""Pinned entries: servers that do not register, in a file or given to `pin`.

`servers.txt` has a server in each line, `name, host, port[, version]`; a file that ends in
`.toml` has tables `[[server]]` with `name` and `url` or `urls`, and perhaps `version`,
`tags`, `zone` and `capacity`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsremote.printable import kind_of, printable

from .records import PINNED_ID, Record, check_name

__all__ = ["PinnedFile", "pinned_record"]

logger = logging.getLogger("wsremote.nameserver")

_FIELDS: Final = {"name", "url", "urls", "version", "tags", "zone", "capacity"}
_UNKNOWN: Final = {"wsremote": "", "python": "", "packages": {}, "tree": ""}
_CAPACITY: Final = 64
"""Sessions that a server takes of which nobody has said how many: `wsremote serve`'s own bound."""

_Line = tuple[str, dict[str, Any] | ValueError]
"""Where a server is in a file; and its fields, or what is wrong there."""


def pinned_record(fields: object) -> Record:
    """The record of a pinned entry, whose id follows from its name and URLs.

    Args:
        fields: `name`, and `url` or `urls`; perhaps `version`, `tags`, `zone`, `capacity`.

    Raises:
        ValueError: A field is missing, wrong or not known; the text names it.
    """
    if type(fields) is not dict:
        raise ValueError(f"a dict is expected, not {kind_of(fields)}")
    unknown = [repr(field)[:60] for field in fields if field not in _FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0]}: not one of {', '.join(sorted(_FIELDS))}")
    if ("url" in fields) == ("urls" in fields):
        raise ValueError("url: give either url, a text, or urls, a list")
    check_name(fields.get("name"))
    record = Record.from_wire(
        {
            "version": "",
            "tags": [],
            "zone": "",
            "capacity": _CAPACITY,
            **fields,
            "urls": fields["urls"] if "urls" in fields else [fields["url"]],
            "id": PINNED_ID + "0" * 24,
            **_UNKNOWN,
        },
        pinned=True,
    )
    # By the URLs in their normal form: writing one otherwise makes no other server.
    said = "\n".join((record.name, *record.urls))
    digest = hashlib.sha256(said.encode()).hexdigest()
    return Record.from_wire({**record.to_wire(), "id": PINNED_ID + digest[:24]}, pinned=True)


class PinnedFile:
    """A file of pinned entries, read again when it changes.

    Args:
        path: Of the file; TOML if it ends in `.toml`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: Callable[[str], Iterator[_Line]]
        self._read = _tables if path.suffix.lower() == ".toml" else _lines
        # Of the file as it was last looked at: None before the first time.
        self._seen: tuple[int, int, int] | str | None = None

    def load(self) -> list[Record]:
        """Read it now. What is wrong with a line is logged, and the line left out.

        Raises:
            OSError: It cannot be read; the text has its name.
            ValueError: It is no TOML; so has this text.
        """
        try:
            return self._load()
        except OSError as error:
            raise type(error)(f"{self.path}: {_reason(error)}") from None
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def _load(self) -> list[Record]:
        with open(self.path, "rb") as file:
            seen = _signature(os.fstat(file.fileno()))
            data = file.read()
        records = self._records(data)
        self._seen = seen
        return records

    def changed(self) -> list[Record] | None:
        """The records, if the file is another than it was; None if it is not, or unreadable.

        Then what it held before goes on. It is logged once.
        """
        try:
            seen = _signature(os.stat(self.path))
            if seen == self._seen:
                return None
            records = self._load()
        except (OSError, ValueError) as error:
            text = _reason(error)
            if self._seen != text:
                logger.error("! %s: %s; its entries stay as they were", self.path, text)
            # Not looked at as long as it is as bad as now.
            self._seen = text if isinstance(error, OSError) else seen
            return None
        logger.info("= %s: %d pinned entries", self.path, len(records))
        return records

    def _records(self, data: bytes) -> list[Record]:
        found: dict[str, Record] = {}
        # A byte that is no UTF-8 concerns its own server only, in which it cannot be printed.
        for where, fields in self._read(data.decode("utf-8-sig", "surrogateescape")):
            try:
                if isinstance(fields, ValueError):
                    raise fields
                record = pinned_record(fields)
                if record.id in found:
                    raise ValueError(f"{record.name} at {record.urls[0]} is there already")
            except ValueError as error:
                logger.error("! %s, %s is left out: %s", self.path, where, error)
            else:
                found[record.id] = record
        return list(found.values())


def _reason(error: OSError | ValueError) -> str:
    """What is wrong with a file, without its name."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ino, status.st_size


def _lines(text: str) -> Iterator[_Line]:
    """Servers of a `servers.txt`."""
    for number, line in enumerate(text.split("\n"), 1):
        content = line.partition("#")[0].strip()
        if content:
            where = f"line {number}"
            try:
                yield where, _fields(content)
            except ValueError as error:
                yield where, error


def _fields(line: str) -> dict[str, Any]:
    if any("\udc80" <= char <= "\udcff" for char in line):
        raise ValueError("it is no UTF-8")
    parts = [part.strip() for part in line.split(",")]
    if len(parts) not in (3, 4) or not all(parts[:3]):
        raise ValueError("write name, host, port[, version]")
    name, host, port, *version = parts
    if "/" in host or "@" in host:
        raise ValueError(f"{host!r} is not a host. URLs, for TLS too, can be given in a .toml file")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is not a port, 1 to 65535")
    bracketed = f"[{host.strip('[]')}]" if ":" in host else host
    return {
        "name": name,
        "url": f"ws://{bracketed}:{port}",
        "version": version[0] if version else "",
    }


def _place_of(key: str, text: str) -> str:
    """Where a key is in TOML, as far as that can be told: `line 7: `, or nothing."""
    begin = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}\b""")
    for number, line in enumerate(text.split("\n"), 1):
        if begin.match(line):
            return f"line {number}: "
    return ""


def _tables(text: str) -> Iterator[_Line]:
    """Servers of a TOML file."""
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    servers = content.pop("server", [])
    if content:
        key = next(iter(content))
        what = printable(key, 100)
        raise ValueError(f"{_place_of(key, text)}only [[server]] may be there, not {what!r}")
    if not isinstance(servers, list):
        raise ValueError(f"{_place_of('server', text)}write [[server]], with two brackets")
    for number, fields in enumerate(servers, 1):
        name = fields.get("name") if isinstance(fields, Mapping) else None
        yield f"[[server]] {number} ({printable(str(name), 100)})", fields
