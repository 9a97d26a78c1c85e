"""The sending half of a session, over one connection after the other.

Theory of operation
-------------------

A message is numbered and kept, then written, under one lock; so the order of the numbers is
that of the wire. If the connection is lost, sending goes on: what is kept leaves with the
next connection, which begins behind what the other side says that it has received.

Buffers go ahead of the message that needs them, in chunks, without numbers. The thread that
sends them waits while there is no connection, and goes on where the other side has them.
Those of messages that are kept are sent again, before these, by who attaches the connection.

Interrupts land in calls. So there is none between the operator that keeps a message and the
statement that numbers it; one that was numbered and not written leaves before the next.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.messages import Cancel, Exec, Ping, Result
from ..protocol.pace import Pace
from ..protocol.sequence import Sequence
from ..protocol.transfers import REFUSED, refusal, spans_of, withdrawal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..codec.values import Buffer
    from ..protocol.messages import Chunk, Message, Numbered, Pong
    from ..protocol.transfers import Landing, Transfers
    from ..transport.connection import SocketConnection

__all__ = ["Channel", "NotTaken", "TooLate", "transfers_of"]

logger = logging.getLogger("wsremote.channel")

_PATIENCE: Final = 1.0
"""Seconds of one wait for a connection; who needs longer waits again."""

_GLANCE: Final = 0.02
"""Seconds after which who waits for the other side sees to it that somebody reads."""


def transfers_of(kind: type[Numbered], fields: tuple[Any, ...]) -> list[int] | None:
    """The buffers that a message lists, of its fields after `seq` and `ack`."""
    found: list[int] | None = fields[-1] if kind is Exec or kind is Result else None
    return found


class TooLate(Exception):
    """What was to be sent has not left in time, and does not leave any more."""


class NotTaken(LimitExceeded):
    """The other side has refused a buffer: too large for its bounds, or for its memory."""


class Channel:
    """Sends the messages of one side of a session.

    Args:
        connection: The first; open.

    Attributes:
        connection: The one of this moment, or the last one.
        closed_because: Why the session is over; None while it is not.
    """

    def __init__(self, connection: SocketConnection, transfers: Transfers) -> None:
        self.connection = connection
        connection.landing = self._landing
        # What arrives.
        self._transfers = transfers
        self.closed_because: str | None = None
        self._sequence = Sequence()
        # Orders numbering and writing. Re-entrant only because such a lock can tell a finalizer,
        # which Python may run at any moment, in whose middle it runs.
        self._sending = threading.RLock()
        # A locked lock of each thread that waits for another connection. No Condition: an
        # interrupt inside its own Python code would leave it locked, for who attaches.
        self._awaiting: list[threading.Lock] = []
        # Whether buffers are being sent again, which go before the messages that need them.
        self._replaying = False
        self._transfer_numbers = itertools.count(1)
        # Buffers that may have to be sent again, by their transfer; the connection that has
        # carried all of it; and the transfers of messages, by their number.
        self._outgoing: dict[int, memoryview] = {}
        self._carried_by: dict[int, SocketConnection] = {}
        self._needed: list[tuple[int, list[int]]] = []
        # Calls and answers that wait for their buffers, and so have no number.
        self._unnumbered: set[int] = set()
        # Those that the other side has refused over the connection of this moment.
        self._not_taken: set[int] = set()
        # How much of them may be on its way, and the threads that send some now.
        self._pace = Pace()
        self._carrying: dict[object, None] = {}
        # Bytes of each transfer that the other side had when it attached last.
        self._there: dict[int, int] = {}

    @property
    def is_sending(self) -> bool:
        """Whether the calling thread is in the middle of a sending."""
        return bool(self._sending._is_owned())  # type: ignore[attr-defined]

    # ---- messages --------------------------------------------------------------------

    def _send_fields(self, kind: type[Numbered], *fields: Any) -> None:
        """Number one message, keep it and write it. Requires `_sending`."""
        sequence = self._sequence
        seq, ack = sequence.sent + 1, sequence.received
        self._send_kept(seq, wire.write_fields(kind, seq, ack, *fields))

    def _send_kept(self, seq: int, data: bytes) -> None:
        """Keep a WebSocket message that holds the messages up to `seq`, and write it.

        Requires `_sending`.

        Raises:
            ConnectionLost: The session is over.
        """
        if self.closed_because is not None:
            raise ConnectionLost(1000, self.closed_because)
        self._sequence.keep(seq, data)
        self._write()

    def _withdraw(self, call: int) -> bool:
        """Have a call of this side not sent, if no connection has carried it. Whether that was so.

        Its number is used up: a message takes its place that means nothing for such a call.
        """
        sequence = self._sequence
        with self._sending:
            # From the end: what is acknowledged meanwhile leaves at the beginning.
            for back in range(1, len(sequence.unacked) + 1):
                try:
                    seq, data = sequence.unacked[-back]
                except IndexError:
                    break
                if seq <= max(sequence.reached, sequence.written):
                    break
                # Releases may be ahead of it.
                *ahead, message = wire.read(data)
                if isinstance(message, Exec) and message.call == call:
                    instead = wire.write_many([*ahead, Cancel(seq, message.ack, call)])
                    sequence.unacked[-back] = seq, instead
                    for needed in list(self._needed):
                        if needed[0] == seq:
                            self._needed.remove(needed)
                            self._withdraw_buffers(needed[1])
                    return True
        return False

    def _keeps(self, call: int) -> bool:
        """Whether a call of this side is among the messages that are kept."""
        return any(
            isinstance(message, Exec) and message.call == call
            for _, data in reversed(list(self._sequence.unacked))
            for message in wire.read(data)
        )

    def _write(self) -> None:
        """Write what is kept and was not written. Requires `_sending`."""
        if self._replaying:
            return
        connection, sequence = self.connection, self._sequence
        try:
            for seq, data in sequence.unwritten():
                before = connection.messages_sent
                try:
                    connection.send(data)
                finally:
                    # Also if an interrupt came when the message was on its way already.
                    if connection.messages_sent != before:
                        sequence.wrote(seq)
        except ConnectionLost as error:
            logger.debug("! kept for the next connection: %s", error)

    def _send_unnumbered(self, message: Message) -> None:
        """Send a message of this connection only.

        Raises:
            ConnectionLost: It is lost.
        """
        with self._sending:
            self.connection.send(wire.write(message))

    def _send_ack(self, *, idle: bool) -> None:
        """Send an acknowledgement on its own, if it is time for one.

        Raises:
            ConnectionLost: There is no connection.
        """
        with self._sending:
            ack = self._sequence.ack_due(idle=idle)
            if ack is not None:
                self.connection.send(wire.write(ack))

    # ---- buffers ---------------------------------------------------------------------

    def _send_buffers(
        self, buffers: Iterable[Buffer], transfers: list[int] | None = None
    ) -> list[int]:
        """Send buffers in chunks, ahead of the message that will list them.

        Args:
            buffers: To be sent.
            transfers: Gets their numbers as they leave, for a caller that an interrupt may hit
                between this and the message: such buffers are to be withdrawn.
        """
        if self._needed:
            self._forget_acknowledged()
        if transfers is None:
            transfers = []
        try:
            for buffer in buffers:
                transfer = next(self._transfer_numbers)
                transfers.append(transfer)
                self._outgoing[transfer] = memoryview(buffer).cast("B")
                self._send_transfer(transfer)
        except BaseException:
            self._withdraw_buffers(transfers)
            raise
        return transfers

    def _send_needed(self, kind: type[Numbered], transfers: list[int], *fields: Any) -> None:
        """Send a message behind its buffers, on the connection that has carried those.

        Raises:
            ConnectionLost: The session is over.
        """
        self._unnumbered.add(fields[0])
        try:
            while not self._send_behind(kind, transfers, *fields):
                for transfer in transfers:
                    if self._carried_by.get(transfer) is not self.connection:
                        self._send_transfer(transfer)
        except BaseException:
            if not any(needed is transfers for _, needed in list(self._needed)):
                self._withdraw_buffers(transfers)
            raise
        finally:
            self._unnumbered.discard(fields[0])

    def _send_behind(self, kind: type[Numbered], transfers: list[int], *fields: Any) -> bool:
        """Send a message if this connection has carried its buffers. Whether it has."""
        with self._sending:
            connection, seq = self.connection, self._sequence.sent + 1
            if any(self._carried_by.get(transfer) is not connection for transfer in transfers):
                return False
            self._needed.append((seq, transfers))
            self._unnumbered.discard(fields[0])
            try:
                self._send_fields(kind, *fields)
            finally:
                if self._sequence.sent < seq:
                    self._needed.remove((seq, transfers))
            return True

    def _withdraw_buffers(self, transfers: list[int]) -> None:
        """No message will need these buffers: neither side keeps them."""
        for transfer in transfers:
            self._carried_by.pop(transfer, None)
            self._not_taken.discard(transfer)
            if self._outgoing.pop(transfer, None) is not None:
                with contextlib.suppress(ConnectionLost):  # told with the next connection
                    self._send_unnumbered(withdrawal(transfer))

    def _send_transfer(self, transfer: int) -> None:
        """Send one buffer, over as many connections as it takes.

        Raises:
            ConnectionLost: The session is over.
        """
        start: int | None = 0 if transfer not in self._carried_by else self._there.get(transfer, 0)
        while start is not None:
            connection = self.connection
            if self._send_chunks(transfer, start, connection):
                return
            self._wait_for_another(connection)
            start = self._there.get(transfer, 0)

    def _send_chunks(self, transfer: int, start: int, connection: SocketConnection) -> bool:
        """Send the rest of a buffer over one connection. False if that is lost meanwhile."""
        with self._sending:
            # Of one moment: the answers on a connection go to the pace that was made with it.
            if connection is not self.connection:
                return False
            view, pace = self._outgoing.get(transfer), self._pace
        if view is None:
            return True  # it was withdrawn while it waited to be sent again
        total = len(view)
        me = object()
        self._carrying[me] = None
        try:
            self._ask_pace(connection, pace.begins(total - start, time.monotonic()))
            spans = spans_of(total, start)
            for first in spans:
                if pace.is_full:
                    self._wait_for_pace(connection, pace, transfer)
                if transfer in self._not_taken:
                    raise NotTaken(self._not_taken_text(total))
                # Behind all that is small. With no lock held: the poller wants one as well.
                connection.wait_for_silence()
                with self._sending:
                    if connection is not self.connection:
                        return False
                    more = pace.at_once - 1 if connection.gathers else 0
                    some = [first, *itertools.islice(spans, more)]
                    connection.send_large(
                        *(
                            (wire.chunk_head(transfer, total, offset, size), view[offset:][:size])
                            for offset, size in some
                        )
                    )
                    sent = sum(size for _, size in some)
                    self._ask_pace(connection, pace.sent(sent, time.monotonic()))
                self._has_sent(sent)
        except ConnectionLost:
            if self.closed_because is not None:
                raise
            return False
        finally:
            self._carrying.pop(me, None)
            connection.stir()
        self._carried_by[transfer] = connection
        return True

    def _has_sent(self, size: int) -> None:
        """The calling thread has sent so many bytes of a buffer; no lock is held."""

    def _not_taken_text(self, size: int) -> str:
        """What to say of a buffer that the other side does not take."""
        return f"the other side does not take a buffer of {size} bytes"

    def _on_chunk(self, message: Chunk, *_: object) -> None:
        """A piece of a buffer has come; or a word on one, of theirs or ours."""
        if message.total == REFUSED:
            if message.transfer in self._outgoing:
                self._not_taken.add(message.transfer)
                self._wake_all()
            return
        try:
            self._transfers.receive(message)
        except LimitExceeded as error:
            logger.warning("! a buffer is refused: %s", error)
            self._send_unnumbered(refusal(message.transfer))

    def _ask_pace(self, connection: SocketConnection, token: int | None) -> None:
        """Ask how far the other side has come, if it is time to."""
        if token is not None:
            with self._sending:
                connection.send(wire.write(Ping(token, self._sequence.received)))

    def _wait_for_pace(self, connection: SocketConnection, pace: Pace, transfer: int) -> None:
        """Wait until the other side has taken enough of what is on its way.

        Raises:
            ConnectionLost: The session is over.
            TooLate: The calling thread no longer wants what it sends.
        """

        def is_out() -> bool:
            if transfer in self._not_taken or connection is not self.connection:
                return False
            return pace.is_full and connection.closed is None

        deadline = self._deadline()
        while is_out():
            if self.closed_because is not None:
                raise ConnectionLost(1000, self.closed_because)
            if time.monotonic() > deadline:
                raise TooLate
            # Else it may be a tick before somebody reads the answer.
            connection.be_read()
            self._sleep_while(is_out, _GLANCE)

    def _on_pong(self, message: Pong, *_: object) -> None:
        self._sequence.acknowledge(message.ack)
        if message.token:
            self._pace.answered(message.token, time.monotonic())
            self._wake_all()

    def _landing(self, head: bytes, size: int) -> Landing | None:
        """Where a large message goes that begins to arrive: the data of a chunk, to its buffer."""
        found = wire.read_chunk_head(head, size)
        return None if found is None else self._transfers.landing(*found)

    def _wait_for_another(self, connection: SocketConnection) -> None:
        """Wait until another connection carries the session.

        Raises:
            ConnectionLost: The session is over.
            TooLate: The calling thread no longer wants what it sends.
        """
        self._wait_while(lambda: self.connection is connection)

    def _wait_while(self, is_out: Callable[[], bool]) -> None:
        """Wait for what another connection brings: as `_wait_for_another`."""
        deadline = self._deadline()
        while is_out():
            if self.closed_because is not None:
                raise ConnectionLost(1000, self.closed_because)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TooLate
            self._say_waiting()
            self._sleep_while(is_out, min(_PATIENCE, remaining))

    def _sleep_while(self, is_out: Callable[[], bool], seconds: float) -> None:
        """Wait once for `_wake_all()`, if there is something to wait for."""
        lock = threading.Lock()
        lock.acquire()
        self._awaiting.append(lock)
        try:
            if is_out() and self.closed_because is None:
                lock.acquire(timeout=seconds)
        finally:
            with contextlib.suppress(ValueError):  # it was woken
                self._awaiting.remove(lock)

    def _wake_all(self) -> None:
        """Something has changed for the threads that wait for a connection."""
        with contextlib.suppress(IndexError):
            while True:
                self._awaiting.pop(0).release()

    def _say_waiting(self) -> None:
        """The calling thread waits for a connection: its user may be told."""

    def _deadline(self) -> float:
        """Until when the calling thread wants what it sends to leave, monotonic seconds."""
        return math.inf

    @property
    def keeps_acknowledged(self) -> bool:
        """Whether there are buffers to forget."""
        acked = self._sequence.acked
        return any(seq <= acked for seq, _ in list(self._needed)[:1])

    def _kept_size(self) -> int:
        """Bytes that may have to be sent again."""
        if self._needed:
            self._forget_acknowledged()
        messages = sum(len(data) for _, data in list(self._sequence.unacked))
        return messages + sum(view.nbytes for view in list(self._outgoing.values()))

    def _own_buffers(self) -> None:
        """Copy the buffers that may have to be sent again: who sent them may change them now."""
        for transfer, view in list(self._outgoing.items()):
            if not view.readonly:
                self._outgoing[transfer] = memoryview(bytes(view))
        self.connection.own_backlog()

    def _forget_acknowledged(self) -> None:
        """Keep the buffers no longer whose messages have arrived."""
        acked = self._sequence.acked
        # Left in place until their buffers are forgotten: an interrupt may come in between.
        for needed in list(self._needed):
            seq, transfers = needed
            if seq > acked:
                return
            for transfer in transfers:
                self._outgoing.pop(transfer, None)
                self._carried_by.pop(transfer, None)
                self._not_taken.discard(transfer)
            with contextlib.suppress(ValueError):  # another thread has done so
                self._needed.remove(needed)

    # ---- another connection ----------------------------------------------------------

    @property
    def sends_large(self) -> bool:
        """Whether threads are sending buffers: then somebody is to read, or they wait."""
        return bool(self._carrying)

    @property
    def has_buffers(self) -> bool:
        """Whether buffers must be sent again, which may take a while."""
        return bool(self._needed)

    def _attach(
        self, connection: SocketConnection, received: int, transfers: list[list[int]]
    ) -> None:
        """Have another connection carry the session. Call `_replay()` next.

        Args:
            connection: Open. Nobody reads it or writes to it yet.
            received: Highest number that the other side has.
            transfers: Bytes of the buffers that the other side has, `[transfer, bytes]`.

        Raises:
            RemoteProtocolError: The other side does not have what it had.
        """
        try:
            there = {int(transfer): int(size) for transfer, size in transfers}
        except (TypeError, ValueError):
            raise RemoteProtocolError("a resume lists transfers with their bytes") from None
        with self._sending:
            self._sequence.resume(received)
            self._there = there
            self._forget_acknowledged()
            self._replaying = True
            self.connection = connection
            self._pace = Pace()
            self._not_taken.clear()
            self._transfers.forget_refusals()
            connection.landing = self._landing
            with contextlib.suppress(ConnectionLost):  # lost again: the next one begins anew
                for transfer in there.keys() - self._outgoing.keys():
                    connection.send(wire.write(withdrawal(transfer)))
                self._ask_again()
        self._wake_all()

    def _ask_again(self) -> None:
        """Send again what has no number. Requires `_sending`.

        Raises:
            ConnectionLost: This connection is lost as well.
        """

    def _replay(self, connection: SocketConnection) -> None:
        """Send again what the other side lacks: buffers, then the messages in order.

        Args:
            connection: The one that was attached; perhaps it is lost already.
        """
        for _, transfers in list(self._needed):
            for transfer in transfers:
                if self._carried_by.get(transfer) is connection:
                    # Its message was made meanwhile. The server's poller, which is to send nothing
                    # large, comes here if there was none before.
                    continue
                try:
                    if not self._send_chunks(transfer, self._there.get(transfer, 0), connection):
                        return  # lost again: the next one begins anew
                except NotTaken:
                    # The message that lists it comes all the same, and is answered with an error.
                    self._carried_by[transfer] = connection
        with self._sending:
            if connection is self.connection:
                self._replaying = False
                self._write()
