"""The numbers of a session's messages, which both sides keep.

Pure: messages in and out, no I/O, no clock. Whoever drives a session calls it under
the lock that also orders the writes, so that numbers are given in the order in which
messages leave, and admits what it receives under the right to read.

`docs/protocol.md` is the specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import RemoteProtocolError
from .messages import Ack

if TYPE_CHECKING:
    from .messages import Numbered

__all__ = ["Sequence"]

_ACK_AFTER: Final = 32
"""Messages received before an acknowledgement goes out on its own (Ray's figure, too)."""


class Sequence:
    """The numbers of one session, of both directions.

    Every message that changes the session's state has a number, from 1, without
    gaps. Receiving is where duplicates end: a number that has been received is dropped,
    the next is admitted, any other is a violation.
    """

    __slots__ = ("acked", "acknowledged", "leaving", "received", "sent")

    def __init__(self) -> None:
        # Highest number given to a message of this side.
        self.sent = 0
        # Highest number admitted from the other side.
        self.received = 0
        # Highest number of this side in a write of more than two messages.
        self.leaving = 0
        # Highest number of this side that the other has acknowledged.
        self.acked = 0
        # Highest number of the other side that a message of this side has acknowledged.
        self.acknowledged = 0

    def number(self) -> tuple[int, int]:
        """`seq` and `ack` of the next message. Say `left()` when it has left."""
        return self.sent + 1, self.received

    def left(self) -> None:
        """The message that was numbered has left: its number is used up."""
        self.sent += 1
        self.acknowledged = self.received

    def is_next(self, message: Numbered) -> bool:
        """Whether a numbered message is new: False for one that has come before.

        Add one to `received` when it is handled; until then, it is new again.

        Raises:
            RemoteProtocolError: A number is missing before this one, or it acknowledges
                what was never sent.
        """
        if message[1] > self.acked:
            self.acknowledge(message[1])
        if message[0] == self.received + 1:
            return True
        if message[0] <= self.received:
            return False
        raise RemoteProtocolError(f"message {message[0]} came after message {self.received}")

    def admit(self, message: Numbered) -> bool:
        """Whether a numbered message is new; it then counts as handled.

        Raises:
            RemoteProtocolError: As `is_next`.
        """
        if message[1] > self.acked:
            self.acknowledge(message[1])
        if message[0] == self.received + 1:
            self.received += 1
            return True
        return self.is_next(message)

    def acknowledge(self, ack: int) -> None:
        """The other side has everything up to `ack`.

        Raises:
            RemoteProtocolError: It cannot have what was never sent.
        """
        # A message, and a release in front of it, may have arrived before their sender notes it.
        if ack > self.sent + 2 and ack > self.leaving:
            raise RemoteProtocolError(f"message {ack} is acknowledged, and {self.sent} were sent")
        self.acked = max(self.acked, ack)

    def ack_due(self, *, idle: bool) -> Ack | None:
        """An acknowledgement to send on its own, if it is time for one.

        Args:
            idle: Whether nothing has carried one for a while (100 ms).
        """
        unacknowledged = self.received - self.acknowledged
        if unacknowledged >= _ACK_AFTER or (idle and unacknowledged):
            self.acknowledged = self.received
            return Ack(self.received)
        return None
