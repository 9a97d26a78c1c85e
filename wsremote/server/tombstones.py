"""What a server remembers of ended sessions when it is started again: a file, and a journal.

The file is written when the server is shut down. The journal is for one that is killed: a line
when a call begins and one when it has ended, written and not synced. So it knows what had
happened when the process died, and not what a machine had that lost its power.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..protocol.roster import Tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Journal", "load_tombstones", "state_folder", "store_tombstones"]

logger = logging.getLogger("wsremote.server")

_PRIVATE: Final = 0o600
_MOST_JOURNAL: Final = 16 * 1024 * 1024
"""Bytes of a journal after which it is written anew, without what no client asks for any more."""
_KILLED: Final = "the server's process had died"

Unfinished = tuple[str, str, list[int], list[int]]
"""Of a live session: its id, its key id, calls executed and not known, calls begun."""


def state_folder() -> Path:
    """Where servers of this user keep what they remember: WSREMOTE_STATE, else as XDG says."""
    chosen = os.environ.get("WSREMOTE_STATE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "wsremote"


def _path(folder: Path, key_id: str) -> Path:
    """The file of all servers with one token: no other may ask for it."""
    return folder / f"tombstones-{key_id}.json"


def store_tombstones(
    folder: Path, key_id: str, tombstones: Iterable[tuple[str, Tombstone]], now: float
) -> None:
    """Write the tombstones of a server that is shut down.

    Args:
        folder: Where.
        key_id: Of the server's token.
        tombstones: Each with the id of its session.
        now: Seconds, of the clock of the tombstones.
    """
    wall = time.time()
    entries = [
        (session, each.why, each.text, wall - (now - each.at), *_calls(each))
        for session, each in tombstones
    ]
    path = _path(folder, key_id)
    if not entries and not path.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_private(path, json.dumps(entries))
    except OSError as error:
        logger.warning("! what became of the sessions is not remembered: %s", error)


def _calls(each: Tombstone) -> tuple[int | None, list[int] | None, list[int] | None, int]:
    return each.received, each.executed, each.started, each.attach


def load_tombstones(folder: Path, key_id: str, now: float) -> list[tuple[str, Tombstone]]:
    """The tombstones of earlier servers with the same token; none if there is no such file."""
    try:
        entries = json.loads(_path(folder, key_id).read_text())
        wall = time.time()
        return [
            (session, Tombstone(key_id, why, text, now - max(0.0, wall - at), *calls))
            for session, why, text, at, *calls in entries
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        logger.warning("! what became of earlier sessions cannot be read: %s", error)
        return []


def _write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, for this user only."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with open(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


class Journal:
    """Notes which calls have begun and which have ended, as it happens.

    Args:
        path: The file; what is in it is read, and written anew.
        unfinished: Gives the live sessions of this server.
    """

    def __init__(self, path: Path, unfinished: Callable[[], Iterable[Unfinished]]) -> None:
        self._path = path
        self._unfinished = unfinished
        self._writing = threading.Lock()
        self._size = 0
        self._file = -1

    def start(self, now: float) -> list[tuple[str, Tombstone]]:
        """Begin a new journal; gives what the one before says of sessions that had not ended.

        Raises:
            OSError: The file cannot be written.
        """
        found = self._read(now)
        with self._writing:
            self._write_anew()
        return found

    def opened(self, session: str, key_id: str) -> None:
        """A session has begun."""
        self._note(f"o {session} {key_id}\n")

    def begun(self, session: str, call: int) -> None:
        """A call begins to run."""
        self._note(f"b {session} {call}\n")

    def ended(self, session: str, call: int) -> None:
        """A call has run to its end, or to an exception."""
        self._note(f"e {session} {call}\n")

    def closed(self, session: str) -> None:
        """A session has ended, and its client knows or will be told."""
        self._note(f"c {session}\n")

    def stop(self) -> None:
        """The server is shut down: there is nothing to remember."""
        with self._writing:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self._path.unlink(missing_ok=True)

    def _note(self, line: str) -> None:
        with self._writing:
            if self._file < 0:
                return
            try:
                # One system call, behind what is there: a kill leaves whole lines.
                self._size += os.write(self._file, line.encode())
                if self._size > _MOST_JOURNAL:
                    self._write_anew()
            except OSError as error:
                logger.error("! the journal ends here, calls go on: %s", error)
                # A call that is not noted would pass for one that has not begun.
                with contextlib.suppress(OSError):
                    os.truncate(self._path, 0)
                os.close(self._file)
                self._file = -1

    def _write_anew(self) -> None:
        """Write what live sessions may ask for, and nothing else. Requires `_writing`."""
        lines = []
        for session, key_id, executed, started in self._unfinished():
            lines.append(f"o {session} {key_id}\n")
            lines += [f"b {session} {call}\n" for call in (*executed, *started)]
            lines += [f"e {session} {call}\n" for call in executed]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(lines)
        _write_private(self._path, text)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._size = len(text)

    def _read(self, now: float) -> list[tuple[str, Tombstone]]:
        """What the journal of a server that was killed says."""
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            logger.warning("! the journal of an earlier server cannot be read: %s", error)
            return []
        keys: dict[str, str] = {}
        begun: dict[str, dict[int, bool]] = {}
        for line in lines:
            kind, _, rest = line.partition(" ")
            session, _, what = rest.partition(" ")
            if kind == "o":
                keys[session], begun[session] = what, {}
            elif kind == "c":
                keys.pop(session, None)
            elif kind in ("b", "e") and session in keys and what.isdecimal():
                begun[session][int(what)] = kind == "e"
        return [
            (
                session,
                Tombstone(
                    key_id,
                    "killed",
                    _KILLED,
                    now,
                    # Whatever is not among the calls below has not begun, received or not.
                    None,
                    [call for call, has_ended in begun[session].items() if has_ended],
                    [call for call, has_ended in begun[session].items() if not has_ended],
                ),
            )
            for session, key_id in keys.items()
        ]
