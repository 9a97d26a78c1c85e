"""What a session sends: numbered messages, buffers in chunks, what its calls print.

Any thread sends. Answers leave from the lane that has them, under `_sending`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec import wire
from ..errors import LimitExceeded
from ..protocol.messages import Changes, ClassInfo, Output, Release, Warned
from ..protocol.sequence import Sequence
from ..protocol.transfers import chunks_of
from .output import WARNING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..codec.values import Buffer
    from ..protocol.messages import Message, Numbered
    from ..transport.connection import SocketConnection
    from .server import Server

__all__ = ["Outbox", "Reply"]

Reply = tuple[Any, ...]
"""The class of an answer, Result or Fault, and its fields after `seq` and `ack`."""

_MOST_RELEASED: Final = 10_000
"""Handles that one message releases."""

_ENVELOPE: Final = 4096
"""Bytes of a message around its payload, at most."""

_MOST_HELD: Final = 2048
"""Bytes of the changes that leave together with another message."""


class Outbox:
    """The sending part of a session.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
    """

    def __init__(self, server: Server, connection: SocketConnection, session_id: str) -> None:
        self.id = session_id
        self.connection = connection

        self._server = server
        # Bytes of a payload that leaves room for the other fields of its message.
        self._largest = server.limits.max_message_size - _ENVELOPE
        self._sequence = Sequence()
        # Orders numbering and writing. Re-entrant only because such a lock can tell a finalizer,
        # which Python may run at any moment, in whose middle it runs.
        self._sending = threading.RLock()
        self._next_transfer = 1
        # What the client has to be told to let go of: `(handle, times received)`. Stand-ins
        # append here when they die, at any moment.
        self.let_go: deque[tuple[int, int]] = deque()
        # Changes of mirrors that leave with the next message: an answer follows them.
        self.held: list[bytes] = []
        # What unsent answers name, by their call: else its release would come before them.
        self.unsent: dict[int, object] = {}

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it, behind the releases that are due.

        Raises:
            ConnectionLost: The session is over.
        """
        connection, sequence = self.connection, self._sequence
        with self._sending:
            before = connection.messages_sent
            seq, ack = sequence.sent + 1, sequence.received
            held = len(self.held)
            if self.let_go or held:
                ahead: list[Message] = []
                if self.let_go:
                    ahead.append(Release(seq, ack, self._take_released()))
                    seq += 1
                for document in self.held[:held]:
                    ahead.append(Changes(seq, ack, document))
                    seq += 1
                sequence.leaving = seq
                data = wire.write_many([*ahead, kind(seq, ack, *fields)])
            else:
                data = wire.write_fields(kind, seq, ack, *fields)
            try:
                connection.send(data)
            finally:
                # Also if an interrupt came when the message was on its way already.
                if connection.messages_sent != before:
                    sequence.sent, sequence.acknowledged = seq, ack
                    del self.held[:held]

    def send_changes(self, document: bytes) -> None:
        """Send what has changed in mirrors before anything else: with the next message, if small.

        Raises:
            ConnectionLost: The session is over.
        """
        with self._sending:
            if sum(map(len, self.held)) + len(document) <= _MOST_HELD:
                self.held.append(document)
            else:
                self.send(Changes, document)

    @property
    def is_sending(self) -> bool:
        """Whether the calling thread is in the middle of a sending."""
        return bool(self._sending._is_owned())  # type: ignore[attr-defined]

    def reply(self, reply: Reply) -> None:
        """Send the answer to a call, once the client has taken what was sent before."""
        self.connection.wait_for_room()
        named = self.unsent.pop(reply[1], None)
        self.send(*reply)
        del named

    def send_released(self) -> None:
        """Tell the client which of its objects are gone here, if no other message does."""
        connection, sequence = self.connection, self._sequence
        with self._sending:
            if self.let_go:
                before = connection.messages_sent
                seq, ack = sequence.sent + 1, sequence.received
                try:
                    connection.send(wire.write(Release(seq, ack, self._take_released())))
                finally:
                    if connection.messages_sent != before:
                        sequence.sent, sequence.acknowledged = seq, ack

    def _take_released(self) -> list[list[int]]:
        """The handles to release, with counts. Requires `_sending`."""
        return [list(self.let_go.popleft()) for _ in range(min(len(self.let_go), _MOST_RELEASED))]

    def send_output(self, call: int, pieces: Iterable[tuple[int, Any]]) -> None:
        """Send what a call has printed, and warned of."""
        for stream, piece in pieces:
            if stream == WARNING:
                self.send(Warned, call, piece)
            else:
                self.send(Output, call, stream, piece)

    def announce_class(
        self, number: int, path: str, node: bytes | None, handle: int | None
    ) -> None:
        """Tell the client the number of a class, before the first handle of it."""
        self.send(ClassInfo, number, path, node, handle)

    def _send_buffers(self, buffers: Iterable[Buffer]) -> list[int]:
        """Send buffers in chunks, ahead of the message that will list them."""
        transfers = []
        for buffer in buffers:
            with self._sending:
                transfer = self._next_transfer
                self._next_transfer += 1
            transfers.append(transfer)
            for chunk in chunks_of(transfer, buffer):
                self.connection.wait_for_room()
                self.connection.send(wire.write(chunk))
        return transfers

    def _send_ack(self, *, idle: bool) -> None:
        ack = self._sequence.ack_due(idle=idle)
        if ack is not None:
            self.connection.send(wire.write(ack))

    def _refuse_size(self, what: str, size: int) -> NoReturn:
        """Say that something is too large for one message.

        Raises:
            LimitExceeded: Always.
        """
        raise LimitExceeded(
            f"{what} has {size} bytes, and the server sends no message above"
            f" {self._server.limits.max_message_size} bytes: ask for less at once, keep it on the"
            " server, or start the server with a higher --max-message-size"
        )
