"""What a session sends: numbered messages, buffers in chunks, what its calls print.

Any thread sends. Answers leave from the lane that has them, under `_sending`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..channel.channel import Channel, transfers_of
from ..codec import wire
from ..errors import LimitExceeded
from ..protocol.messages import Changes, ClassInfo, Output, Release, Result, Warned
from ..protocol.transfers import Transfers
from .output import WARNING
from .printed import PrintedApart

if TYPE_CHECKING:
    from collections.abc import Iterable

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


class Outbox(Channel):
    """The sending part of a session.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
    """

    id: str
    is_attached: bool
    _server: Server

    def __init__(self, server: Server, connection: SocketConnection, session_id: str) -> None:
        super().__init__(connection, Transfers(server.limits.max_transfer_size))
        self.id = session_id
        # Whether a connection carries the session now.
        self.is_attached = True

        self._server = server
        self.journal = server.journal
        # Bytes of a payload that leaves room for the other fields of its message.
        self._largest = server.limits.max_message_size - _ENVELOPE
        # Bytes of the buffers of one message that may be sent.
        self.largest_sent = server.limits.max_transfer_size
        # What the client has to be told to let go of: `(handle, times received)`. Stand-ins
        # append here when they die, at any moment.
        self.let_go: list[tuple[int, int]] = []
        # Changes of mirrors that leave with the next message: an answer follows them.
        self.held: list[bytes] = []
        # What unsent answers name, by their call: else its release would come before them.
        self.unsent: dict[int, object] = {}
        # Calls whose answers leave now: they count no longer for who makes the next.
        self.answering: set[int] = set()
        # What calls have printed since there is no connection.
        self._printed = PrintedApart(server.limits.max_detached_output)

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it, behind the releases that are due.

        While there is no connection, it waits for the next one.

        Raises:
            ConnectionLost: The session is over.
        """
        if transfers := transfers_of(kind, fields):
            self._send_needed(kind, transfers, *fields)
            return
        sequence = self._sequence
        with self._sending:
            if self._printed:
                self._send_printed()
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
                data = wire.write_many([*ahead, kind(seq, ack, *fields)])
            else:
                data = wire.write_fields(kind, seq, ack, *fields)
            self._send_kept(seq, data)
            del self.held[:held]

    def _send_printed(self) -> None:
        """Send what was printed while there was no connection. Requires `_sending`."""
        for call, stream, piece in self._printed.take():
            if stream == WARNING:
                self._send_fields(Warned, call, piece)
            else:
                self._send_fields(Output, call, stream, piece)

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

    def reply(self, reply: Reply) -> None:
        """Send the answer to a call, once the client has taken what was sent before."""
        if self.journal is not None and (reply[0] is Result or reply[2]):
            self.journal.ended(self.id, reply[1])
        named = self.unsent.pop(reply[1], None)
        self.answering.add(reply[1])
        self.send_in_turn(*reply)
        del named

    def send_in_turn(self, kind: type[Numbered], *fields: Any) -> None:
        """The same as `send`, once the client has taken what was sent before.

        Of many threads that wait for that, one has its turn: else each would add its own message to
        what waits, as large as it is.

        Raises:
            ConnectionLost: The session is over.
        """
        while True:
            connection = self.connection
            # With no lock held: the poller, which makes the room, wants one as well.
            connection.wait_for_room()
            with self._sending:
                if connection.has_room or self._server.poller.is_current:
                    if transfers_of(kind, fields) is None:
                        self.send(kind, *fields)
                        return
                    break
        self.send(kind, *fields)

    def send_released(self) -> None:
        """Tell the client which of its objects are gone here, if no other message does."""
        with self._sending:
            if self.let_go:
                self._send_fields(Release, self._take_released())

    def _take_released(self) -> list[list[int]]:
        """The handles to release, with counts. Requires `_sending`."""
        # More may be appended in between, behind what is taken.
        taken = self.let_go[:_MOST_RELEASED]
        del self.let_go[: len(taken)]
        return [list(released) for released in taken]

    def send_output(self, call: int, pieces: Iterable[tuple[int, Any]]) -> None:
        """Send what a call has printed, and warned of."""
        for stream, piece in pieces:
            if not self.is_attached:
                with self._sending:
                    self._printed.add(call, stream, piece)
            elif stream == WARNING:
                self.send(Warned, call, piece)
            else:
                self.send(Output, call, stream, piece)

    def announce_class(
        self, number: int, path: str, node: bytes | None, handle: int | None
    ) -> None:
        """Tell the client the number of a class, before the first handle of it."""
        self.send(ClassInfo, number, path, node, handle)

    def _not_taken_text(self, size: int) -> str:
        return (
            f"the client does not take a buffer of {size} bytes: it has no memory for it, or a"
            " bound (connect(max_transfer_size=…)). Ask for less at once, or keep it on the server"
            " (connect(max_result=…))"
        )

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
