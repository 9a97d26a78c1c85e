"""The sessions that a server has, whether each has a connection, and what became of the others.

Pure: ids, secrets and `now` are arguments. The server calls it from one thread.

A session is *attached* while a connection carries it, else *detached*, and kept for a time
of grace. One that ends leaves a tombstone, by which a client that comes back is told what
became of it and of its calls.

Nothing that happens to one session looks at all of them: there may be ten thousand, which
lose their connections in one moment and come back in the next.
"""

from __future__ import annotations

import heapq
import hmac
import itertools
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..errors import LimitExceeded
from .messages import Gone
from .proof import resume_proof

if TYPE_CHECKING:
    from .messages import Open, Resume

__all__ = ["Roster", "Seat", "StaleAttempt", "Tombstone"]

_MOST_TOMBSTONES: Final = 10_000
_TOMBSTONE_AGE: Final = 7 * 86400.0
"""Seconds that a tombstone is kept: longer than the longest time of grace."""

_SPARE: Final = 100
"""Entries of sessions that have ended which are let be."""

_UNKNOWN: Final = Gone("unknown", "the server does not know this session", None, None, None)


class StaleAttempt(Exception):
    """A later attempt of the client to attach has arrived before this one."""


@dataclass(slots=True)
class Seat:
    """One session of the roster.

    Attributes:
        id: 32 hexadecimal digits; may be logged.
        secret: What a resume must prove.
        key_id: Of the token that it was opened with.
        nonce: Of its opening: the same opening again is the same session.
        attach: Number of the client's attempt that has its connection.
        detached: Since when it has no connection, seconds; None while it has one.
        expires: When it is to end, seconds; None while it is attached.
        due: When it is looked at next whether it is to end; None if it is not.
    """

    id: str
    secret: bytes = field(repr=False)
    key_id: str
    nonce: bytes = field(repr=False)
    attach: int
    detached: float | None = None
    expires: float | None = None
    due: float | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a session that has ended.

    Attributes:
        key_id: Of its token.
        why: One of the words of `docs/protocol.md`: `expired`, `evicted`, `killed`, `shutdown`,
            `ended`.
        text: The same for the user.
        at: When it ended, seconds.
        received: Highest `seq` of the client that was admitted.
        executed: Calls that have run and whose answers the client has not acknowledged.
        started: Calls that had begun and had not ended.
        attach: Number of the attempt that had its connection last; `Roster.end` sees to it.
    """

    key_id: str
    why: str
    text: str
    at: float
    received: int | None
    executed: list[int] | None
    started: list[int] | None
    attach: int = 0


class Roster:
    """All sessions of one server process.

    Args:
        max_sessions: Sessions at once, attached or not.
        max_sessions_per_token: Those of one token.
    """

    def __init__(self, *, max_sessions: int, max_sessions_per_token: int) -> None:
        self._max_sessions = max_sessions
        self._max_per_token = max_sessions_per_token
        self._seats: dict[str, Seat] = {}
        # Those without a connection by their token, the one that has had none for longest first;
        # and how many each token has in all.
        self._detached: dict[str, dict[str, Seat]] = {}
        self._counts: Counter[str] = Counter()
        # By when they are to be looked at: `(due, a number, seat)`. One that has been attached
        # since is there still.
        self._due: list[tuple[float, int, Seat]] = []
        self._numbers = itertools.count()
        self._by_nonce: dict[tuple[str, bytes], Seat] = {}
        self.tombstones: OrderedDict[str, Tombstone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def attached_count(self) -> int:
        """How many sessions have a connection."""
        return len(self._seats) - sum(map(len, self._detached.values()))

    def opened(self, message: Open, key_id: str) -> Seat | None:
        """The session that this very opening has made before; its welcome was lost.

        Raises:
            StaleAttempt: A later attempt has come first.
        """
        seat = self._by_nonce.get((key_id, message.open_nonce))
        if seat is not None:
            self._attach(seat, message.attach)
        return seat

    def evictable(self, key_id: str) -> Seat | None:
        """The session to end before one more of this token can be made; None if there is room.

        It is the one that has been detached longest: kernels that were killed leave such.

        Raises:
            LimitExceeded: There is no room, and every session in the way has a connection.
        """
        mine, full = self._counts[key_id], len(self._seats) >= self._max_sessions
        if not full and mine < self._max_per_token:
            return None
        if detached := self._detached.get(key_id):
            return next(iter(detached.values()))
        if full:
            raise LimitExceeded(
                f"the server has {len(self._seats)} sessions, as many as it takes: close one, or"
                f" start it with a higher --max-sessions ({self._max_sessions} now)"
            )
        raise LimitExceeded(
            f"{mine} sessions are open with this token, as many as may be: close one, or start"
            f" the server with a higher --max-sessions-per-token ({self._max_per_token} now)"
        )

    def add(self, session: str, secret: bytes, message: Open, key_id: str) -> Seat:
        """A new session, attached."""
        seat = Seat(session, secret, key_id, message.open_nonce, message.attach)
        self._seats[session] = seat
        self._counts[key_id] += 1
        self._by_nonce[key_id, message.open_nonce] = seat
        return seat

    def resume(self, message: Resume, said: bytes, key_id: str, now: float) -> Seat | Gone:
        """The session that a client comes back to, attached from now on; or what became of it.

        Args:
            message: From a client that has proved its token.
            said: The transcript of its opening.
            key_id: Of that token.
            now: Seconds, of any clock that does not go backwards.

        Raises:
            StaleAttempt: A later attempt has come first.
        """
        seat = self._seats.get(message.session)
        if seat is None or seat.key_id != key_id:
            return self._gone(message, key_id)
        proof = resume_proof(
            seat.secret, said, message.session, message.attach, message.received, message.transfers
        )
        if not hmac.compare_digest(proof, message.secret_proof):
            # Said as if it had never been: who has no secret learns nothing.
            return _UNKNOWN
        self._attach(seat, message.attach)
        return seat

    def _attach(self, seat: Seat, attach: int) -> None:
        if attach <= seat.attach:
            raise StaleAttempt(f"attempt {attach} came after attempt {seat.attach}")
        seat.attach = attach
        seat.expires = None

    def attached(self, seat: Seat, now: float) -> float:
        """A connection carries the session again. Gives the seconds that none did."""
        since, seat.detached, seat.expires = seat.detached, None, None
        self._forget_detached(seat)
        return 0.0 if since is None else max(0.0, now - since)

    def detached(self, seat: Seat, now: float, grace: float) -> None:
        """The connection of a session is lost; it is kept for `grace` seconds."""
        seat.detached, seat.expires = now, now + grace
        self._forget_detached(seat)
        self._detached.setdefault(seat.key_id, {})[seat.id] = seat
        # A line that comes and goes leaves one entry, not one for each time.
        if seat.due is None or seat.expires < seat.due:
            self._look_at(seat, seat.expires)

    def _look_at(self, seat: Seat, due: float) -> None:
        seat.due = due
        heapq.heappush(self._due, (due, next(self._numbers), seat))

    def _forget_detached(self, seat: Seat) -> None:
        detached = self._detached.get(seat.key_id, {})
        if detached.pop(seat.id, None) is not None and not detached:
            del self._detached[seat.key_id]

    @property
    def next_due(self) -> float | None:
        """When `expired` may have something next; None if nothing is detached."""
        return self._due[0][0] if self._due else None

    def expired(self, now: float, most: int = 1000) -> list[Seat]:
        """Sessions whose time of grace is over, each once. `next_due` says if there are more."""
        found: list[Seat] = []
        while self._due and self._due[0][0] <= now and len(found) < most:
            due, _, seat = heapq.heappop(self._due)
            if due != seat.due:
                continue  # there was an earlier one of this seat
            seat.due = None
            if seat.expires is not None and seat.expires <= now:
                found.append(seat)
            elif seat.expires is not None:
                self._look_at(seat, seat.expires)
        return found

    def end(self, session: str, tombstone: Tombstone | None) -> None:
        """A session is over. No tombstone if its client has ended it, and so knows."""
        seat = self._seats.pop(session, None)
        if seat is None:
            return
        self._by_nonce.pop((seat.key_id, seat.nonce), None)
        self._forget_detached(seat)
        seat.expires = seat.due = None
        if len(self._due) > 2 * len(self._seats) + _SPARE:
            # Most are of sessions that have ended, and may be due in a day only.
            self._due = [each for each in self._due if each[0] == each[2].due]
            heapq.heapify(self._due)
        self._counts[seat.key_id] -= 1
        if not self._counts[seat.key_id]:
            del self._counts[seat.key_id]
        if tombstone is not None:
            self.bury(session, replace(tombstone, attach=seat.attach))

    def bury(self, session: str, tombstone: Tombstone) -> None:
        """Keep a tombstone, and the latest 10,000 of the last seven days."""
        self.tombstones[session] = tombstone
        while self.tombstones and (
            len(self.tombstones) > _MOST_TOMBSTONES
            or next(iter(self.tombstones.values())).at < tombstone.at - _TOMBSTONE_AGE
        ):
            self.tombstones.popitem(last=False)

    def tombstones_of(self, key_id: str) -> list[tuple[str, Tombstone]]:
        """Those of one token's sessions, each with the session's id; the oldest first."""
        return [each for each in self.tombstones.items() if each[1].key_id == key_id]

    def _gone(self, message: Resume, key_id: str) -> Gone:
        tombstone = self.tombstones.get(message.session)
        if tombstone is None or tombstone.key_id != key_id:
            return _UNKNOWN
        executed, started = tombstone.executed, tombstone.started
        if message.attach <= tombstone.attach:
            # Another client had the session last: the answers that it has acknowledged are not
            # among the executed, and this one has not seen them.
            executed = started = None
        return Gone(tombstone.why, tombstone.text, tombstone.received, executed, started)
