"""Who registered what, and what was refused: collected in memory, written once a second.

A thousand registrations a second are more than a disk writes one by one. A crash loses the last
second.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from .database import Database, Event

__all__ = ["Audit"]

logger = logging.getLogger("wsremote.nameserver")

_MOST_WAITING: Final = 20_000
"""Events that wait to be written: a disk that is full must not fill the memory."""

_MOST_TEXT: Final = 500


class Audit:
    """Events on their way into the database.

    Args:
        database: Where they are written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Event] = deque()
        # How many found no room since the last writing.
        self._left_out = 0
        # What is wrong with the database, in a line.
        self.trouble: str | None = None

    def note(self, event: Event) -> None:
        """Have an event written; any thread."""
        if len(self._waiting) >= _MOST_WAITING:
            self._left_out += 1
            return
        # Names that were refused are any text, and SQLite takes no lone surrogates.
        texts = (
            text[:_MOST_TEXT].encode("utf-8", "backslashreplace").decode() for text in event[1:]
        )
        self._waiting.append(Event(event.at, *texts))

    def write(self) -> None:
        """Write what waits; one thread at a time. What cannot be written waits on."""
        events = [self._waiting.popleft() for _ in range(len(self._waiting))]
        left_out, self._left_out = self._left_out, 0
        if left_out:
            logger.error("! the audit has no room for %d events", left_out)
        if not events:
            return
        try:
            self._database.note(events)
        except OSError as error:
            self._waiting.extendleft(reversed(events))
            if self.trouble is None:
                logger.error("! the audit waits: %s", error)
            self.trouble = str(error)
        else:
            self.trouble = None
