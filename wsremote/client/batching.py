"""Calls that nobody waits for yet leave in batches: several in one message."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost
from ..protocol.messages import NUMBERS, Batch

if TYPE_CHECKING:
    from .driver import Driver

__all__ = ["AT_ONCE", "Batcher"]

AT_ONCE: Final = 128
"""Calls of one message."""

_MOST_BYTES: Final = 256 * 1024
"""Bytes of a message of several calls, about."""

_BATCH: Final = NUMBERS[Batch]


class Batcher:
    """Calls of one lane that are to be sent, in order.

    Args:
        driver: Of the session.
        lane: Its number.
        parent: The callback that they are nested in.

    Attributes:
        lane: Its number.
        parent: The callback that they are nested in.
        sent: The highest call that has left, or is about to.
        waiting: How many calls have not left.
    """

    def __init__(self, driver: Driver, lane: int, parent: int | None) -> None:
        self._driver = driver
        self.lane = lane
        self.parent = parent
        self.sent = 0
        self.waiting = 0
        # Calls as `Batch` lists them, and how many of them have left. One attribute: an interrupt
        # finds a batch kept and counted here, or neither.
        self._state: tuple[list[list[Any]], int] = ([], 0)

    def add(self, entry: list[Any]) -> None:
        """Add a call, as `Batch` lists it. Requires the driver's `_sending` if others add, too."""
        self._state[0].append(entry)
        self.waiting += 1

    def add_many(self, entry: list[Any]) -> None:
        """Add a run of calls, in the same way."""
        self._state[0].append(entry)
        self.waiting += _count(entry)

    def unsent(self) -> list[int]:
        """The calls that have not left."""
        entries, first = self._state
        return [entry[0] + more for entry in entries[first:] for more in range(_count(entry))]

    def drop(self, call: int | None = None) -> list[int]:
        """Have one call not sent, or all of those that have not left; gives their numbers."""
        with self._driver._sending:
            entries, first = self._state
            if call is None:
                unsent = self.unsent()
                self._state, self.waiting = ([], 0), 0
                return unsent
            # They are in order.
            at = bisect_right(entries, call, lo=first, key=itemgetter(0)) - 1
            if at < first or call >= entries[at][0] + _count(entries[at]):
                return []
            rest = _without(entries[at], call)
            # No call from here on: an interrupt finds both done, or none.
            entries[at : at + 1] = rest
            self.waiting -= 1
            return [call]

    def send(self, most: int, at_once: int = AT_ONCE) -> int:
        """Send a batch of `most` calls at most; gives the number of its last call, 0 if none.

        It has `at_once` at most as well, if these are not all of one run.

        Raises:
            ConnectionLost: The session is over.
        """
        driver = self._driver
        sequence = driver._sequence
        with driver._sending:
            entries, first = self._state
            batch, calls = entries[first : first + most], 0
            for at, entry in enumerate(batch):
                if calls + _count(entry) > (min(most, at_once) if at else most):
                    del batch[at:]
                    break
                calls += _count(entry)
            if not batch:
                return 0
            if driver.closed_because is not None:
                raise ConnectionLost(1000, driver.closed_because)
            if driver._released:
                driver._send_releases()
            # Before it is written: what is let go of from here on is told after it.
            self.sent = batch[-1][0] + _count(batch[-1]) - 1
            seq, ack = sequence.sent + 1, sequence.received
            data = self._packed(seq, ack, batch)
            while len(data) > _MOST_BYTES and len(batch) > 1:
                del batch[len(batch) // 2 :]
                data = self._packed(seq, ack, batch)
            last, first = batch[-1][0], first + len(batch)
            waiting = self.waiting - sum(map(_count, batch))
            state: tuple[list[list[Any]], int] = (entries, first)
            if first == len(entries):
                state = ([], 0)
            # As Channel does it. No call from here to the next comment.
            sequence.unacked += ((seq, data),)
            sequence.sent, sequence.acknowledged = seq, ack
            self._state, self.waiting = state, waiting
            # Kept: whoever sends next writes it, if an interrupt comes now.
            driver._write()
            return int(last)

    def _packed(self, seq: int, ack: int, batch: list[list[Any]]) -> bytes:
        """The message of a batch."""
        message = (_BATCH, seq, ack, self.lane, self.parent)
        try:
            data: bytes = wire.pack((*message, batch))
        except OverflowError:
            # An integer of more than 64 bits: its call is written as a payload.
            encode = self._driver.codec.encode_call
            data = wire.pack(
                (
                    *message,
                    [
                        [call + at, op, target, name, encode(args, {}).payload]
                        if type(args) is tuple
                        else [call + at, op, target, name, args]
                        for call, op, target, name, arguments in batch
                        for at, args in enumerate(
                            arguments if type(arguments) is list else (arguments,)
                        )
                    ],
                )
            )
        return data


def _count(entry: list[Any]) -> int:
    """How many calls an item of a batch is."""
    arguments = entry[4]
    # A run has a list, of tuples; one call has a tuple.
    return len(arguments) if type(arguments) is list else 1


def _without(entry: list[Any], call: int) -> list[list[Any]]:
    """What is left of an item of a batch without one of its calls."""
    if _count(entry) == 1:
        return []
    number, *what, runs = entry
    at = call - number
    return [
        [number + start, *what, part]
        for start, part in ((0, runs[:at]), (at + 1, runs[at + 1 :]))
        if part
    ]
