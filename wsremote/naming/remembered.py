"""What name servers have answered, kept on disk for the time when none does.

One file for each question, written whole or not at all, for this user only. What is in it is
checked as if it had come from the wire: who writes there can send a client to a wrong place,
where nobody proves the token. A folder that cannot be used costs a line in the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ..client.cache import default_folder
from .information import ServerInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .names import Wanted

__all__ = ["Answer", "Remembered"]

logger = logging.getLogger("wsremote.naming")

_FOLDER: Final = "names-1"
_PRIVATE: Final = 0o600
_MOST: Final = 256
"""Answers that are kept; then the oldest go."""
_LARGEST: Final = 256 * 1024
"""Bytes of one; eight servers of 16 KiB have half of it."""


class Answer(NamedTuple):
    """What was answered once.

    Attributes:
        servers: In the order in which they were to be tried.
        age: Seconds since.
    """

    servers: list[ServerInfo]
    age: float


class Remembered:
    """The answers of all name servers. Never raises: without a usable folder it is empty.

    Args:
        folder: Of the cache; None for none.
        wall: The clock, seconds since the epoch.
    """

    def __init__(self, folder: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._folder = None if folder is None else folder / _FOLDER
        self._wall = wall

    @classmethod
    def default(cls) -> Remembered:
        """Those in the user's cache folder."""
        return cls(default_folder())

    def recall(self, nameservers: Sequence[str], wanted: Wanted) -> Answer | None:
        """What one of these name servers has answered last to this question."""
        if self._folder is None:
            return None
        path = self._path(self._folder, nameservers, wanted)
        try:
            with path.open("rb") as file:
                _check_owner(os.fstat(file.fileno()).st_uid)
                data = file.read(_LARGEST + 1)
            found = json.loads(data)
            servers = [ServerInfo.from_wire(each) for each in found["servers"]]
            if not servers or any(each.name != wanted.name for each in servers):
                raise ValueError("it is of another name")
            return Answer(servers, max(0.0, self._wall() - float(found["at"])))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            logger.warning("! %s is not used: %s", path, error)
            return None

    def remember(
        self, nameservers: Sequence[str], wanted: Wanted, servers: Sequence[ServerInfo]
    ) -> None:
        """Keep an answer in place of the one before."""
        if self._folder is None or not servers:
            return
        found = {"at": self._wall(), "servers": [each.to_wire() for each in servers]}
        data = json.dumps(found).encode("ascii")
        try:
            if len(data) <= _LARGEST:
                self._write(self._folder, self._path(self._folder, nameservers, wanted), data)
        except OSError as error:
            logger.info("! where %s is cannot be remembered: %s", wanted.name, error)

    def _write(self, folder: Path, path: Path, data: bytes) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder.stat().st_uid)
        # A name of its own: other threads and processes write at the same time.
        beside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        self._trim(folder)

    def _trim(self, folder: Path) -> None:
        """Take away what is too much, the oldest first."""
        files = list(folder.iterdir())
        if len(files) <= _MOST:
            return
        ages = []
        for path in files:
            with contextlib.suppress(OSError):  # another process does the same
                ages.append((path.stat().st_mtime, path))
        for _, path in sorted(ages)[: len(ages) - _MOST]:
            with contextlib.suppress(OSError):
                path.unlink()

    @staticmethod
    def _path(folder: Path, nameservers: Sequence[str], wanted: Wanted) -> Path:
        question = json.dumps([sorted(nameservers), *wanted])
        return folder / f"{hashlib.sha256(question.encode()).hexdigest()}.json"


def _check_owner(user: int) -> None:
    if sys.platform != "win32" and user != os.getuid():
        raise PermissionError(f"it belongs to user {user}")
