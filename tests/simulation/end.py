"""What both sides of a session do to send and receive, over one connection after the other.

The same order of things as in the product's `channel.Channel`, with steps in place of
threads: encode, number and keep, write; buffers first; what is kept is written again.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from wsremote.codec import wire
from wsremote.errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from wsremote.protocol.messages import (
    NUMBERED,
    Ack,
    Chunk,
    Message,
    Numbered,
    Ping,
    Pong,
    Release,
)
from wsremote.protocol.sequence import Sequence
from wsremote.protocol.transfers import chunks_of, withdrawal

from .clock import MS
from .network import Line
from .oracles import Oracles
from .refusing import MOST, Refusing, is_refusal

__all__ = ["End", "Interrupted", "Parcel", "checksum"]


class Interrupted(Exception):
    """Ctrl-C between two bytecodes."""


class Parcel:
    """A message whose buffers go ahead of it."""

    def __init__(
        self,
        kind: type[Numbered],
        fields: tuple[Any, ...],
        buffers: dict[int, bytes],
        sent: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.buffers = buffers
        self.sent = sent
        self.chunks: Iterator[Chunk] = iter(())
        self.begun = False


class End:
    """One side of a session.

    Args:
        world: The run, with its clock, its random numbers and its oracles.
        name: For the oracles' texts.
    """

    most_kept: int
    """WebSocket messages that this side may keep for the other."""

    def __init__(self, world: Any, name: str) -> None:
        self.clock = world.clock
        self.random = world.random
        self.oracles: Oracles = world.oracles
        self.name = name
        self.sequence = Sequence()
        self.transfers = Refusing(MOST)
        # The connection of this moment; None while there is none.
        self.line: Line | None = None
        self.over = False
        # Handles to let go of, which leave with the next message.
        self.released: list[list[int]] = []
        # As in the channel: buffers that may have to be sent again, and who needs them.
        self.outgoing: dict[int, bytes] = {}
        self.needed: deque[tuple[int, list[int]]] = deque()
        self.parcels: list[Parcel] = []
        self._chunk_takes: int = world.settings.chunk
        self._last_transfer = 0
        self._there: dict[int, int] = {}
        # Buffers that the other side does not take, over the connection of this moment.
        self._refused: set[int] = set()
        # Chunks of kept messages that go before these; None if there are none.
        self._replay: Iterator[Chunk] | None = None
        self._pumping = self._ticking = False
        self.handlers: dict[type[Message], Callable[[Any], None]] = {
            Chunk: self._on_chunk,
            Ack: self._on_ack,
            Ping: self._on_ping,
            Pong: self._on_ack,
        }

    # ---- sending ---------------------------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> int:
        """Number a message and send it, behind the releases that are due. Gives the number."""
        if self.released:
            if self.random.random() < 0.5:
                seq = self._send_batch((Release, (self.released,)), (kind, fields))
                self.released = []
                return seq
            self._send_released()
        return self._send_one(kind, *fields)

    def _send_released(self) -> None:
        handles, self.released = self.released, []
        self._send_one(Release, handles)

    def _send_one(self, kind: type[Numbered], *fields: Any) -> int:
        sequence = self.sequence
        seq = sequence.sent + 1
        data = wire.write_fields(kind, seq, sequence.received, *fields)
        self.keep(seq, data)
        return seq

    def send_small(self, number: int, *fields: Any) -> int:
        """Send the short form of a message. Gives the number of the message."""
        if self.released:
            self._send_released()
        sequence = self.sequence
        seq = sequence.sent + 1
        self.keep(seq, wire.pack((number, seq, sequence.received, *fields)))
        return seq

    def _send_batch(self, *messages: tuple[type[Numbered], tuple[Any, ...]]) -> int:
        """Several messages in one of the WebSocket."""
        sequence = self.sequence
        seq, ack = sequence.sent, sequence.received
        batch = []
        for kind, fields in messages:
            seq += 1
            batch.append(kind(seq, ack, *fields))
        self.keep(seq, wire.write_many(batch))
        return seq

    def keep(self, seq: int, data: bytes) -> None:
        """Keep a message, then write it."""
        self.sequence.keep(seq, data)
        self.oracles.kept(self.name, len(self.sequence.unacked), self.most_kept)
        self.write()

    def write(self) -> None:
        """Write what is kept and was not written."""
        line = self.line
        if line is None or self._replay is not None:
            return
        try:
            for seq, data in self.sequence.unwritten():
                line.send(data)
                self.sequence.wrote(seq)
        except ConnectionLost:
            pass  # kept for the next connection

    def send_unnumbered(self, message: Message) -> None:
        """Send a message of this connection only."""
        if self.line is not None and self.line.open:
            self.line.send(wire.write(message))

    def acknowledge(self, *, idle: bool) -> None:
        """Send an acknowledgement on its own, if it is time for one."""
        if self.line is not None and self.line.open and (ack := self.sequence.ack_due(idle=idle)):
            self.line.send(wire.write(ack))

    def tick(self) -> None:
        """Send what nothing has carried: releases and acknowledgements."""
        if not self._ticking:
            self._ticking = True
            self.clock.after(100 * MS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        if self.over:
            return
        if self.released:
            self._send_released()
        self.acknowledge(idle=True)

    # ---- buffers ---------------------------------------------------------------------

    def post(
        self,
        kind: type[Numbered],
        *fields: Any,
        buffers: list[bytes],
        sent: Callable[[], None],
    ) -> Parcel:
        """Send buffers in chunks, then the message, which lists them in its last field."""
        numbered = {}
        for buffer in buffers:
            self._last_transfer += 1
            numbered[self._last_transfer] = buffer
        self.outgoing.update(numbered)
        parcel = Parcel(kind, fields, numbered, sent)
        parcel.chunks = self._rest(numbered)
        self.parcels.append(parcel)
        self._pump_soon()
        return parcel

    def withdraw(self, parcel: Parcel) -> None:
        """Give up a message whose buffers are on their way."""
        self.parcels.remove(parcel)
        for transfer in parcel.buffers:
            self.give_up(transfer)

    def not_taken(self, parcel: Parcel) -> None:
        """The other side refuses a buffer of a message that has not left."""

    def give_up(self, transfer: int) -> None:
        """No message will list this buffer: neither side keeps it."""
        del self.outgoing[transfer]
        self._refused.discard(transfer)
        self.send_unnumbered(withdrawal(transfer))

    def _rest(self, transfers: dict[int, bytes] | list[int]) -> Iterator[Chunk]:
        """The chunks of some buffers that the other side lacks."""
        for transfer in transfers:
            if transfer in self.outgoing:
                start = self._there.get(transfer, 0)
                for chunk in chunks_of(transfer, self.outgoing[transfer], start):
                    if transfer not in self.outgoing or transfer in self._refused:
                        break  # given up meanwhile: what follows would have no beginning
                    yield chunk

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.clock.after(int(self.random.random() * self._chunk_takes), self._pump)

    def _pump(self) -> None:
        """Send one chunk: of what is sent again, else of any parcel."""
        self._pumping = False
        line = self.line
        if self.over or line is None or not line.open:
            return
        if self._replay is not None:
            chunk = next(self._replay, None)
            if chunk is not None:
                line.send(wire.write(chunk))
            else:
                self._replay = None
                self.write()
        elif self.parcels:
            parcel = self.random.choice(self.parcels)
            chunk = next(parcel.chunks, None)
            if chunk is not None:
                line.send(wire.write(chunk))
            else:
                self.parcels.remove(parcel)
                self._send_needed(parcel)
        if self._replay is not None or self.parcels:
            self._pump_soon()

    def _send_needed(self, parcel: Parcel) -> None:
        """Its buffers are sent: number the message that needs them."""
        transfers = list(parcel.buffers)
        self.needed.append((self.sequence.sent + 1, transfers))
        self._send_one(parcel.kind, *parcel.fields, transfers)
        parcel.sent()

    def _forget_acknowledged(self) -> None:
        while self.needed and self.needed[0][0] <= self.sequence.acked:
            for transfer in self.needed.popleft()[1]:
                del self.outgoing[transfer]

    # ---- receiving -------------------------------------------------------------------

    def read(self, line: Line) -> None:
        """Handle what has come; a message leaves the inbox when it is handled."""
        while line.inbox and line is self.line and not self.over:
            try:
                for message in wire.read(line.inbox[0]):
                    self.receive(message)
            except Interrupted:
                if self.random.random() < 0.5:
                    self.clock.after(MS, self.read, line)
                else:
                    self.break_off(line)
                return
            except (RemoteProtocolError, LimitExceeded) as error:
                self.oracles.violated(f"{self.name}: {error}")
                return
            if line.inbox:
                line.inbox.popleft()
        self._forget_acknowledged()
        if not self.over:
            self.acknowledge(idle=False)
            self.tick()

    def receive(self, message: Message) -> None:
        """One message. Its number counts when it is handled; until then it is new again."""
        if self.over:
            return
        handler = self.handlers[type(message)]
        if type(message) not in NUMBERED:
            handler(message)
        elif self.sequence.is_next(message):  # type: ignore[arg-type]
            handler(message)
            self.sequence.received += 1

    def break_off(self, line: Line) -> None:
        """Break a connection on purpose."""
        line.close()
        line.owner.on_lost(line)

    def _on_chunk(self, message: Chunk) -> None:
        if is_refusal(message):
            if message.transfer in self.outgoing:
                self._refused.add(message.transfer)
            for parcel in list(self.parcels):
                if message.transfer in parcel.buffers:
                    self.not_taken(parcel)
        elif (answer := self.transfers.take(message)) is not None:
            self.send_unnumbered(answer)

    def _on_ack(self, message: Ack | Pong) -> None:
        self.sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping) -> None:
        self.sequence.acknowledge(message.ack)
        self.send_unnumbered(Pong(message.token, self.sequence.received))

    # ---- one connection after the other ----------------------------------------------

    def attach(self, line: Line, received: int, transfers: list[list[int]]) -> None:
        """Go on over another connection.

        Raises:
            RemoteProtocolError: The other side does not have what it had.
        """
        self.sequence.resume(received)
        self._forget_acknowledged()
        self._refused.clear()
        self.transfers.begin_again()
        self._there = dict(transfers)  # type: ignore[arg-type]
        self.line = line
        for transfer in self._there:
            if transfer not in self.outgoing:
                self.send_unnumbered(withdrawal(transfer))
        for parcel in self.parcels:
            parcel.chunks = self._rest(parcel.buffers)
        self.resend()
        self.tick()

    def resend(self) -> None:
        """Send again what the other side lacks: buffers, then messages."""
        kept = [transfer for _, transfers in self.needed for transfer in transfers]
        self._replay = self._rest(kept) if kept else None
        self._pump_soon()
        self.write()

    def detach(self) -> None:
        """There is no connection."""
        self.line = None

    def end(self) -> None:
        """The session is over."""
        self.over = True
        self.line = None

    def leftovers(self) -> str:
        """What is kept, though all has been said and heard."""
        kept = {
            "unacked": len(self.sequence.unacked),
            "transfers": len(self.transfers),
            "refused": self.transfers.refused,
            "outgoing": len(self.outgoing),
            "needed": len(self.needed),
            "parcels": len(self.parcels),
        }
        return ", ".join(f"{count} {what}" for what, count in kept.items() if count)


def checksum(buffers: list[bytearray] | list[bytes]) -> int:
    """What is said of buffers to prove that they came as they were."""
    return zlib.crc32(b"|".join(bytes(buffer) for buffer in buffers))
