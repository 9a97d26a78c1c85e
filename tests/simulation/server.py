"""A server of the simulation: receives connections, keeps sessions, ends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsremote.codec import wire
from wsremote.errors import LimitExceeded, RemoteProtocolError
from wsremote.protocol.liveness import Advice, Liveness
from wsremote.protocol.messages import (
    SHUTDOWN,
    Bye,
    Gone,
    Open,
    Ping,
    Refused,
    Replaced,
    Resume,
    Resumed,
    Welcome,
)
from wsremote.protocol.opening import ServerOpening
from wsremote.protocol.proof import NONCE_SIZE, Credential, resumed_proof
from wsremote.protocol.roster import Roster, Seat, StaleAttempt, Tombstone

from .clock import SECOND
from .hosted import Hosted
from .network import Line

__all__ = ["TOKEN", "SimServer"]

TOKEN: Final = "of the simulation"
_CREDENTIAL: Final = Credential.from_token(TOKEN)
_HANDSHAKE: Final = 5 * SECOND


class SimServer:
    """One server process.

    Args:
        world: The run.
        tombstones: What a process before has left, if it had the time to.
    """

    asleep = False

    def __init__(self, world: Any, tombstones: dict[str, Tombstone] | None = None) -> None:
        self.world = world
        self.clock = world.clock
        self.random = world.random
        self.epoch = self.random.randbytes(16)
        self.dead = False
        self.roster = Roster(
            max_sessions=64, max_sessions_per_token=world.settings.sessions_per_token
        )
        for session, tombstone in (tombstones or {}).items():
            self.roster.bury(session, tombstone)
        self.sessions: dict[str, Hosted] = {}
        # Connections: those that have proved nothing yet, and those that carry a session.
        self.receptions: dict[Line, ServerOpening] = {}
        self.carried: dict[Line, Hosted] = {}

    # ---- connections -----------------------------------------------------------------

    def accept(self, line: Line) -> None:
        """A new connection."""
        self.receptions[line] = ServerOpening(
            _CREDENTIAL, nonce=self.random.randbytes(NONCE_SIZE), epoch=self.epoch
        )
        self.clock.after(_HANDSHAKE, self._turn_away, line)

    def _turn_away(self, line: Line) -> None:
        if self.receptions.pop(line, None) is not None:
            line.close()

    def on_messages(self, line: Line) -> None:
        """Of an opening, or of a session."""
        if self.dead:
            return
        while line.inbox and line in self.receptions:
            for message in wire.read(line.inbox.popleft()):
                try:
                    answer = self.receptions[line].receive(message)
                except RemoteProtocolError as error:
                    self.world.oracles.violated(f"opening: {error}")
                    return
                if isinstance(answer, Open):
                    self._open(line, answer)
                elif isinstance(answer, Resume):
                    self._resume(line, answer)
                else:
                    self._say(line, answer, last=isinstance(answer, Refused))
        if line in self.carried:
            self.carried[line].read(line)

    def on_lost(self, line: Line) -> None:
        """A connection is lost; its session is kept for a time of grace."""
        self.receptions.pop(line, None)
        hosted = self.carried.pop(line, None)
        if hosted is not None and hosted.line is line and not self.dead:
            hosted.detach()
            self.roster.detached(hosted.seat, self.clock.seconds, self.world.settings.grace)
            self.clock.after(int(self.world.settings.grace * SECOND) + 1, self._expire)

    def _say(self, line: Line, message: Any, *, last: bool) -> None:
        if line.open:
            line.send(wire.write(message))
        if last:
            self.receptions.pop(line, None)
            line.close()

    # ---- sessions --------------------------------------------------------------------

    def _open(self, line: Line, message: Open) -> None:
        key_id = self.receptions[line].key_id
        try:
            seat = self.roster.opened(message, key_id)
            if seat is None:
                evictable = self.roster.evictable(key_id)
                if evictable is not None:
                    self.end(evictable.id, "evicted")
                seat = self._add(message, key_id)
        except StaleAttempt:
            self._turn_away(line)
            return
        except LimitExceeded as error:
            self._say(line, Refused("limit", str(error)), last=True)
            return
        welcome = Welcome(seat.id, seat.secret, "", None, {}, {})
        self._attach(line, seat, welcome, message.client, 0, [])

    def _add(self, message: Open, key_id: str) -> Seat:
        if any(hosted.seat.nonce == message.open_nonce for hosted in self.sessions.values()):
            self.world.oracles.violated("S8 one opening has made two sessions")
        session = self.random.randbytes(16).hex()
        seat = self.roster.add(session, self.random.randbytes(32), message, key_id)
        self.sessions[session] = Hosted(self.world, self, seat, message.client)
        self.world.count("sessions")
        return seat

    def _resume(self, line: Line, message: Resume) -> None:
        opening = self.receptions[line]
        try:
            seat = self.roster.resume(message, opening.said, opening.key_id, self.clock.seconds)
        except StaleAttempt as error:
            # Its own client waits for it no longer: who hears of it has been robbed.
            self.world.count("late attempts fenced")
            self._say(line, Refused("taken", str(error)), last=True)
            return
        if isinstance(seat, Gone):
            self._say(line, seat, last=True)
            return
        hosted = self.sessions[seat.id]
        self.world.count("resumes")
        away = int(self.roster.attached(seat, self.clock.seconds) * 1000)
        progress = hosted.transfers.progress()
        received = hosted.sequence.received
        proof = resumed_proof(seat.secret, opening.said, received, progress)
        answer = Resumed(proof, received, progress, away)
        self._attach(line, seat, answer, message.client, message.received, message.transfers)

    def _attach(
        self,
        line: Line,
        seat: Seat,
        answer: Welcome | Resumed,
        client: dict[str, Any],
        received: int,
        transfers: list[list[int]],
    ) -> None:
        """Have a connection carry a session from now on, in place of the one before."""
        hosted = self.sessions[seat.id]
        old = hosted.line
        if old is not None:
            del self.carried[old]
            if old.open:
                old.send(wire.write(Replaced(client)))
                old.close()
        del self.receptions[line]
        self.carried[line] = hosted
        self.roster.attached(seat, self.clock.seconds)
        self._say(line, answer, last=False)
        hosted.serve(client)
        try:
            hosted.attach(line, received, transfers)
        except RemoteProtocolError as error:
            # Who has taken a session over may have an old picture of it, and nobody else.
            if not client["thief"]:
                self.world.oracles.violated(f"{hosted.name}: {error}")
            hosted.line = line
            hosted.break_off(line)
            return
        self._look(line, Liveness(self.clock.seconds, self.clock.seconds))

    def _look(self, line: Line, liveness: Liveness) -> None:
        """Every second: see that the client is there."""
        hosted = self.carried.get(line)
        if hosted is None or self.dead or not line.open:
            return
        now = self.clock.seconds
        advice = liveness.look(now, now, line.activity, waiting=bool(hosted.waiting))
        if advice is Advice.ASK:
            hosted.send_unnumbered(Ping(0, hosted.sequence.received))
        elif advice is Advice.GIVE_UP:
            self.world.count("silent clients given up")
            hosted.break_off(line)
        self.clock.after(SECOND, self._look, line, liveness)

    def _expire(self) -> None:
        if not self.dead:
            for seat in self.roster.expired(self.clock.seconds):
                self.end(seat.id, "expired")

    def end(self, session: str, why: str | None) -> None:
        """A session is over; why if its client does not know."""
        hosted = self.sessions.pop(session)
        tombstone = None
        if why is not None:
            self.world.count(why)
            tombstone = hosted.tombstone(why, self.clock.seconds)
        line = hosted.line
        if line is not None and why in ("expired", "evicted"):
            self.world.oracles.violated(f"S8 {hosted.name} has {why} while it had a connection")
        hosted.end()
        self.roster.end(session, tombstone)
        if line is not None:
            self.carried.pop(line, None)
            line.close()

    def stop(self, *, cleanly: bool, cut: Callable[[Line], None]) -> dict[str, Tombstone]:
        """The process ends. Gives the tombstones that it has written."""
        written = {}
        for session, hosted in self.sessions.items():
            if cleanly:
                written[session] = hosted.tombstone("shutdown", self.clock.seconds)
                if self.random.random() < 0.5:
                    hosted.send_unnumbered(Bye(SHUTDOWN))
            hosted.end()
        if cleanly:
            written.update(self.roster.tombstones)
        self.dead = True
        for line in [*self.receptions, *self.carried]:
            cut(line)
        return written
