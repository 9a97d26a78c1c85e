"""What a session lets go of: told to the server ahead of the next call, in one message with it."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..channel.channel import Channel
from ..codec import wire
from ..errors import ConnectionLost
from ..protocol.messages import Release

if TYPE_CHECKING:
    from ..protocol.transfers import Transfers
    from ..transport.connection import SocketConnection

__all__ = ["Releasing", "paired"]

_MOST_RELEASED: Final = 1000
"""Handles that one message releases: the server sees to them in one go, in 5 ms."""

_MOST_TAKEN: Final = 10_000
"""The same where those of results of pipelines go as one."""


class Releasing(Channel):
    """The part of a session that tells the server what it has let go of.

    Args:
        connection: The first; open.
        transfers: What arrives.
    """

    def __init__(self, connection: SocketConnection, transfers: Transfers) -> None:
        super().__init__(connection, transfers)
        # Handles that this side has let go of. Weak reference callbacks append here.
        # A number: that of a call whose result is kept on the server, negated.
        self._released: deque[tuple[int, int] | int] = deque()
        # The next of them, as they leave.
        self._due: list[tuple[int, int] | int] = []

    def _pairs_due(self) -> tuple[list[list[int]], list[Any]]:
        """The next releases, as a message lists them, and the rest. Requires `_sending`."""
        if not self._due:
            count = min(len(self._released), _MOST_TAKEN)
            # One C call: an interrupt finds each of them in one of the two.
            self._due.extend(map(deque.popleft, itertools.repeat(self._released, count)))
        return paired(self._due)

    def _send_releases(self) -> None:
        """The releases that are due. Requires `_sending`."""
        while self._released or self._due:
            self._release_ahead(self._sequence.sent + 1, b"", *self._pairs_due())

    def _release_ahead(
        self, seq: int, data: bytes, pairs: list[list[int]], rest: list[Any]
    ) -> None:
        """Send releases, and a message behind them if there is one, as one WebSocket message.

        Requires `_sending`.

        Args:
            seq: Of the last of them.
            data: The other message.
            pairs: What is released.
            rest: What is due after that.

        Raises:
            ConnectionLost: The session is over.
        """
        if self.closed_because is not None:
            raise ConnectionLost(1000, self.closed_because)
        sequence = self._sequence
        ack = sequence.received
        if data:
            data = wire.joined(wire.write_fields(Release, seq - 1, ack, pairs), data)
        else:
            data = wire.write_fields(Release, seq, ack, pairs)
        # As Channel does it. No call from here to the next comment.
        sequence.unacked += ((seq, data),)
        sequence.sent, sequence.acknowledged = seq, ack
        self._due = rest
        # Kept: whoever sends next writes it, if an interrupt comes now.
        self._write()


def paired(items: list[tuple[int, int] | int]) -> tuple[list[list[int]], list[Any]]:
    """As many as one message releases, as that lists them; and the rest."""
    pairs: list[list[int]] = []
    at = 0
    while at < len(items) and len(pairs) < _MOST_RELEASED:
        item = items[at]
        if isinstance(item, tuple):
            at += 1
            pairs.append(list(item))
            continue
        # Results of calls that follow each other go as one: upwards, or downwards.
        count, step = 1, 1 if items[at + 1 : at + 2] == [item + 1] else -1
        # Many at a time: 0.05 µs each.
        for stride in (256, 16, 1):
            while items[at + count : at + count + stride] == list(
                range(item + count * step, item + (count + stride) * step, step)
            ):
                count += stride
        at += count
        pairs.append([item, -step * count])
    return pairs, items[at:]
