"""The numbers of a session's messages, which both sides keep, and what may be sent again.

Pure: messages in and out, no I/O, no clock. Whoever drives a session calls it under
the lock that also orders the writes, so that numbers are given in the order in which
messages leave, and admits what it receives under the right to read.

A message is numbered and kept, then written. It is kept until the other side has
acknowledged it, and written again to the connection that takes the place of a lost one,
if it had not arrived. So the numbers are those of the session, whatever carries it::

    acked <= written <= sent         of this side's messages
    acknowledged <= received         of the other side's

`docs/protocol.md` is the specification.
"""

from __future__ import annotations

from collections import deque
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

    Attributes:
        sent: Highest number given to a message of this side.
        written: Highest number written to the connection of this moment.
        reached: Highest number ever written: what is above has not reached the other side.
        acked: Highest number of this side that the other has acknowledged.
        unacked: WebSocket messages that are not acknowledged, each with the highest
            number in it.
        received: Highest number admitted from the other side.
        acknowledged: Highest number of the other side that a message of this one has
            acknowledged.
    """

    __slots__ = ("acked", "acknowledged", "reached", "received", "sent", "unacked", "written")

    def __init__(self) -> None:
        self.sent = 0
        self.written = 0
        self.reached = 0
        self.acked = 0
        self.unacked: deque[tuple[int, bytes]] = deque()
        self.received = 0
        self.acknowledged = 0

    # ---- sending ---------------------------------------------------------------------

    def keep(self, seq: int, data: bytes) -> None:
        """Number a WebSocket message: `data` holds the messages up to `seq`. Write it next.

        The hot paths do the same by hand.
        """
        # No call from here on: an interrupt finds the message kept and numbered, or neither.
        self.unacked += ((seq, data),)
        self.sent = seq
        self.acknowledged = self.received

    def wrote(self, seq: int) -> None:
        """The messages up to `seq` have been written to the connection."""
        self.written = seq
        self.reached = max(self.reached, seq)

    def unwritten(self) -> list[tuple[int, bytes]]:
        """The messages that the connection of this moment has not been given, in order."""
        found: list[tuple[int, bytes]] = []
        # From the end, where they are; what is acknowledged meanwhile leaves at the beginning.
        for back in range(1, len(self.unacked) + 1):
            try:
                kept = self.unacked[-back]
            except IndexError:
                break
            if kept[0] <= self.written:
                break
            found.append(kept)
        found.reverse()
        return found

    def check_resume(self, received: int) -> None:
        """See whether the session can go on from what the other side says it has.

        Raises:
            RemoteProtocolError: As `resume`.
        """
        if received < self.acked:
            raise RemoteProtocolError(
                f"message {received} is the last received, and {self.acked} was acknowledged"
            )
        if received > self.sent:
            raise RemoteProtocolError(f"message {received} was received, and {self.sent} were sent")

    def resume(self, received: int) -> None:
        """Another connection carries the session from now on.

        Args:
            received: Highest number that the other side says it has received.

        Raises:
            RemoteProtocolError: It cannot have what was never sent, or has lost what it had.
        """
        self.check_resume(received)
        self.acknowledge(received)
        self.reached = max(self.reached, self.written)
        self.written = received
        # The other side is told with the resume itself.
        self.acknowledged = self.received

    # ---- receiving -------------------------------------------------------------------

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

    def acknowledge(self, ack: int) -> None:
        """The other side has everything up to `ack`: it is kept no longer.

        Raises:
            RemoteProtocolError: It cannot have what was never sent.
        """
        if ack > self.sent:
            raise RemoteProtocolError(f"message {ack} is acknowledged, and {self.sent} were sent")
        unacked = self.unacked
        while unacked and unacked[0][0] <= ack:
            unacked.popleft()
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
