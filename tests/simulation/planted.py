"""Bugs that must not go unnoticed: each turns the simulation red within so many seeds.

A bug is a patch of the product's cores, or of what the drivers do with them. Two guards that
hide each other's absence are taken away together: a number that came before is dropped by who
receives it, and is not sent again by who is told that it was received.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from wsremote.codec import wire
from wsremote.protocol.liveness import Advice, Backoff, Liveness
from wsremote.protocol.loss import Loss, classify
from wsremote.protocol.messages import NUMBERED, Exec, Fault, Gone, Output, Pong, Release, Result
from wsremote.protocol.roster import Roster
from wsremote.protocol.sequence import Sequence
from wsremote.protocol.transfers import Transfers, chunks_of

from . import hosted as hosted_module
from . import link as link_module
from .client import SimClient
from .clock import MS
from .end import End, Interrupted
from .hosted import Hosted
from .link import Link
from .running import numbers
from .server import SimServer

__all__ = ["MASKED", "RESEND", "TABLE", "Bug"]


@dataclass(frozen=True)
class Bug:
    """One bug, or several that show together only.

    Attributes:
        name: What is wrong.
        patches: What to put in whose place.
        seeds: Within how many it must be noticed.
        oracles: Those that may notice it; any if there is none.
        chosen: Settings and faults under which it would be noticed late otherwise.
    """

    name: str
    patches: tuple[tuple[Any, str, Any], ...]
    seeds: int
    oracles: tuple[str, ...] = ()
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def plant(self) -> Iterator[None]:
        """A context in which it is there."""
        with contextlib.ExitStack() as stack:
            for owner, name, new in self.patches:
                stack.enter_context(mock.patch.object(owner, name, new))
            yield


# ---- admission and resending -----------------------------------------------------------


def _receive_again(self: End, message: Any) -> None:
    """Admit whatever comes, also what has come before."""
    if self.over:
        return
    handler = self.handlers[type(message)]
    if type(message) in NUMBERED:
        self.sequence.is_next(message)
        handler(message)
        self.sequence.received = max(self.sequence.received, message[0])
    else:
        handler(message)


def _resume_all(self: Sequence, received: int) -> None:
    """Send again everything that is kept."""
    self.check_resume(received)
    self.reached = max(self.reached, self.written)
    self.written = self.acked
    self.acknowledged = self.received


def _answer_again(self: Link, message: Any) -> None:
    """The same on the client."""
    if self.interrupts and type(message) in NUMBERED and self.random.random() < 0.002:
        raise Interrupted
    _receive_again(self, message)


def _release_again(self: End, message: Any) -> None:
    """Releases are done without regard to their numbers."""
    if type(message) is Release and not self.over and message[0] <= self.sequence.received:
        self.handlers[Release](message)
    else:
        _receive(self, message)


def _count_early(self: Link, message: Any) -> None:
    """A number counts when its message comes, not when it is handled."""
    if type(message) in NUMBERED:
        if not self.sequence.is_next(message):
            return
        self.sequence.received += 1
        if self.interrupts and self.random.random() < 0.02:
            raise Interrupted
    elif self.over:
        return
    self.handlers[type(message)](message)


def _attach_and_note(self: Any, line: Any, received: int, transfers: list[list[int]]) -> None:
    self.told = received
    _attach(self, line, received, transfers)


def _resend_buffers_unreceived(self: Any) -> None:
    """Of buffers, send again only what is lacked: they have no numbers by which to drop them."""
    needed = [each for seq, transfers in self.needed if seq > self.told for each in transfers]
    self._replay = self._rest(needed) if needed else None
    self._pump_soon()
    self.write()


_receive = End.receive

_DEDUP = (End, "receive", _receive_again)
_DEDUP_OF_SERVER = (Hosted, "receive", _receive_again)
_DEDUP_OF_CLIENT = (Link, "receive", _answer_again)
RESEND = (
    (Sequence, "resume", _resume_all),
    (End, "attach", _attach_and_note),
    (End, "resend", _resend_buffers_unreceived),
)

# ---- what is kept ----------------------------------------------------------------------


def _drop_detached(kind: type) -> Callable[..., int]:
    """Answers, or output, that nobody is there for are dropped."""

    def send_one(self: End, cls: Any, *fields: Any) -> int:
        if cls is kind and isinstance(self, Hosted) and (self.line is None or not self.line.open):
            return self.sequence.sent
        return _send_one(self, cls, *fields)

    return send_one


def _forget_written(self: End) -> None:
    _write(self)
    while self.sequence.unacked and self.sequence.unacked[0][0] <= self.sequence.written:
        self.sequence.unacked.popleft()


def _keep_for_ever(self: Sequence, ack: int) -> None:
    self.acked = max(self.acked, ack)


def _number_first(self: End, kind: Any, *fields: Any) -> int:
    """Give the number, then encode: what cannot be encoded burns it."""
    self.sequence.sent += 1
    seq = self.sequence.sent
    self.keep(seq, wire.write_fields(kind, seq, self.sequence.received, *fields))
    return seq


def _drop_unencodable_releases(self: End, kind: Any, *fields: Any) -> int:
    """Take the releases that are due before it is known whether their message can be written."""
    if self.released:
        handles, self.released = self.released, []
        return self._send_batch((Release, (handles,)), (kind, fields))
    return self._send_one(kind, *fields)


def _number_a_batch_once(self: End, *messages: Any) -> int:
    seq, ack = self.sequence.sent + 1, self.sequence.received
    batch = [kind(seq, ack, *fields) for kind, fields in messages]
    self.keep(seq, wire.write_many(batch))
    return seq


_send_one = End._send_one
_write = End.write
_ack_due = Sequence.ack_due


def _pong_without_ack(self: End, message: Any) -> None:
    self.send_unnumbered(Pong(message.token, 0))


def _acknowledge_never_alone(self: Sequence, *, idle: bool) -> Any:
    return _ack_due(self, idle=False)


# ---- buffers ---------------------------------------------------------------------------


def _rest_shifted(self: End, transfers: Any) -> Any:
    for transfer in transfers:
        start = self._there.get(transfer, 0)
        yield from chunks_of(transfer, self.outgoing[transfer], start + 64 if start else 0)


def _messages_first(self: End) -> None:
    """Send messages again, then the buffers that they need."""
    self.write()
    kept = [transfer for _, transfers in self.needed for transfer in transfers]
    self._replay = self._rest(kept) if kept else None
    self._pump_soon()


def _no_buffers_again(self: End) -> None:
    self.write()
    self._pump_soon()


def _give_up_silently(self: End, transfer: int) -> None:
    del self.outgoing[transfer]


def _forget_withdrawal_in_a_cut(
    self: End, line: Any, received: int, transfers: list[list[int]]
) -> None:
    """Take no notice of buffers that the other side has and nobody needs."""
    with mock.patch.object(End, "send_unnumbered", lambda self, message: None):
        _attach(self, line, received, transfers)


_attach = End.attach


def _progress_of_all(self: Transfers) -> list[list[int]]:
    return [[transfer, len(buffer)] for transfer, (buffer, _) in self._buffers.items()]


# ---- sessions --------------------------------------------------------------------------


def _attach_anyway(self: Roster, seat: Any, attach: int) -> None:
    seat.attach = max(seat.attach, attach)
    seat.expires = None


def _attach_and_expire(self: Roster, seat: Any, attach: int) -> None:
    _attach_seat(self, seat, attach)
    seat.expires = seat.detached and seat.detached + 1.5


def _attached_and_expires(self: Roster, seat: Any, now: float) -> float:
    return 0.0


_attach_seat = Roster._attach


def _evict_anything(self: Roster, key_id: str) -> Any:
    mine = [seat for seat in self._seats.values() if seat.key_id == key_id]
    return mine[0] if len(mine) >= self._max_per_token else None


def _never_expires(self: Roster, seat: Any, now: float, grace: float) -> None:
    seat.detached = now


def _say_more_than_it_has(self: SimClient) -> Any:
    purpose = _purpose(self)
    return purpose._replace(received=purpose.received + 1) if self.link is not None else purpose


_purpose = SimClient._purpose


def _attach_beside(self: SimServer, line: Any, seat: Any, *rest: Any) -> None:
    """The connection before is neither closed nor forgotten."""
    hosted = self.sessions[seat.id]
    old, hosted.line = hosted.line, None
    _attach_server(self, line, seat, *rest)
    if old is not None:
        self.carried[old] = hosted


def _read_any(self: Hosted, line: Any) -> None:
    """What comes over any connection is handled."""
    current, self.line = self.line, line
    _read(self, line)
    if self.line is line:
        self.line = current


def _read_on(self: Link, line: Any) -> None:
    """What came over a connection that is lost is handled after the server was told."""
    current, self.line = self.line, line
    _read_link(self, line)
    if self.line is line:
        self.line = current


_read_link = Link.read
_attach_server = SimServer._attach
_read = Hosted.read


# ---- loss ------------------------------------------------------------------------------


def _classify_unknown_gone(calls: Any, reached: int, gone: Gone | None) -> Loss:
    """Nothing that the server does not list has run."""
    gone = gone or Gone("", "", None, [], [])
    return classify(calls, reached, gone._replace(executed=gone.executed or []))


def _classify_executed(calls: Any, reached: int, gone: Gone | None) -> Loss:
    """What ran is taken for queued."""
    if gone is not None and gone.executed is not None:
        gone = gone._replace(executed=[])
    return classify(calls, reached, gone)


def _classify_acknowledged(calls: Any, reached: int, gone: Gone | None) -> Loss:
    """What was acknowledged is taken for what was not written."""
    return classify({call: seq or reached + 1 for call, seq in calls.items()}, reached, gone)


def _classify_received(calls: Any, reached: int, gone: Gone | None) -> Loss:
    """What was written and not acknowledged is taken for lost on the way."""
    if gone is None or gone.received is None:
        reached = min([seq for seq in calls.values() if seq], default=1) - 1
    return classify(calls, reached, gone)


def _classify_started(calls: Any, reached: int, gone: Gone | None) -> Loss:
    loss = classify(calls, reached, gone)
    started = (gone.started if gone is not None else None) or []
    unknown = [call for call in loss.unknown if call not in started]
    return Loss(
        loss.not_executed + [c for c in loss.unknown if c in started], loss.executed, unknown
    )


def _wrote_without_reaching(self: Sequence, seq: int) -> None:
    self.written = seq


def _end_and_go_on(self: Hosted) -> None:
    """A session that has ended runs what is queued."""
    self.line = None


def _tombstone_of_answers(self: Hosted, why: str, at: float) -> Any:
    """What has ended is said to be what was answered: a result whose buffers leave is neither."""
    found = _tombstone(self, why, at)
    answered = [call for call in found.executed if self.ended[call] is not None]
    return replace(found, executed=answered)


_tombstone = Hosted.tombstone


def _written_here(self: Link) -> int:
    """What an earlier connection has carried is taken for unsent."""
    return self.sequence.written if self.line is not None else 0


def _gone_without_attach(self: Roster, session: str, tombstone: Any) -> None:
    _bury(self, session, replace(tombstone, attach=0))


_bury = Roster.bury


# ---- liveness --------------------------------------------------------------------------


def _never_give_up(self: Liveness, now: float, boot: float, activity: int, *, waiting: bool) -> Any:
    advice = _look(self, now, boot, activity, waiting=waiting)
    return Advice.NOTHING if advice is Advice.GIVE_UP else advice


_look = Liveness.look


def _seven_attempts(self: Backoff, elapsed: float, random: float) -> float:
    return _delay(self, elapsed, random) if self._attempts < 7 else 1e7


_delay = Backoff.delay


# ---- calls -----------------------------------------------------------------------------


def _cancel_says_executed(self: Hosted, kind: Any, *fields: Any) -> int:
    if kind is Fault:
        fields = (fields[0], True, *fields[2:])
    return _send(self, kind, *fields)


_send = End.send


def _answer_first(self: Hosted, kind: Any, *fields: Any) -> int:
    """The output of a call waits for a tick."""
    if kind is Output:
        self.clock.after(50_000_000, lambda: self.over or _send(self, kind, *fields))
        return self.sequence.sent
    return _send(self, kind, *fields)


def _release_wholly(self: Hosted, message: Release) -> None:
    """A release is taken for the last one, whatever it counts."""
    counted = [[handle, self.lent.get(handle, 1)] for handle, _ in message.handles]
    _on_release(self, message._replace(handles=counted))


_on_release = Hosted.on_release


def _run_at_once(self: Hosted, message: Exec) -> None:
    """Calls of a lane run beside each other."""
    _on_exec(self, message)
    queue = self.lanes.get(message.lane)
    while queue:
        self.start(queue.popleft())


_on_exec = Hosted.on_exec


def _start_next_whatever(self: Hosted, lane: int) -> None:
    """Begin calls, however many answers are kept."""
    with mock.patch.object(hosted_module, "_SOFT_LIMIT", 1000):
        _start_next(self, lane)


_start_next = Hosted.start_next


def _rewind(self: Hosted) -> None:
    """What was open over a connection begins again over the next."""
    for handle in self.iterators:
        self.iterators[handle] = numbers(0)
        self.streams.forget(handle)
    _detach(self)


_detach = Hosted.detach

TABLE: tuple[Bug, ...] = (
    Bug("both admit twice, and resend everything", (_DEDUP, *RESEND), 40, ("S1", "S2", "S6")),
    Bug(
        "the server admits twice, and all is resent",
        (_DEDUP_OF_SERVER, *RESEND),
        100,
        ("S1", "S10"),
    ),
    Bug(
        "the client admits twice, and all is resent", (_DEDUP_OF_CLIENT, *RESEND), 40, ("S1", "S6")
    ),
    Bug(
        "the client reads on after it has told",
        ((Link, "read", _read_on),),
        400,
        (),
        {"lag": 50 * MS, "late_cut": 200, "chunk": 20 * MS},
    ),
    Bug(
        "old connections are heard",
        ((SimServer, "_attach", _attach_beside), (Hosted, "read", _read_any)),
        400,
    ),
    Bug(
        "old connections are heard, and the server admits twice",
        (
            _DEDUP_OF_SERVER,
            (SimServer, "_attach", _attach_beside),
            (Hosted, "read", _read_any),
        ),
        200,
        ("S1", "S2", "S10"),
        {"late_cut": 200},
    ),
    Bug("releases are done twice", ((End, "receive", _release_again), *RESEND), 200, ("S10",)),
    Bug("no fence", ((Roster, "_attach", _attach_anyway),), 200, ("S7",), {"slow_attempt": 500}),
    Bug("opening not idempotent", ((Roster, "opened", lambda *arguments: None),), 400, ("S8",)),
    Bug("results dropped while detached", ((End, "_send_one", _drop_detached(Result)),), 40),
    Bug(
        "output dropped while detached", ((End, "_send_one", _drop_detached(Output)),), 400, ("S6",)
    ),
    Bug("acknowledged before it is handled", ((Link, "receive", _count_early),), 60),
    Bug("forgotten at the first write", ((End, "write", _forget_written),), 40),
    Bug("kept for ever", ((Sequence, "acknowledge", _keep_for_ever),), 20, ("S8", "S9")),
    Bug(
        "neither idle nor asked acknowledges",
        ((Sequence, "ack_due", _acknowledge_never_alone), (End, "_on_ping", _pong_without_ack)),
        100,
        ("S8",),
    ),
    Bug(
        "begins calls without bound",
        ((Hosted, "start_next", _start_next_whatever),),
        200,
        ("S9",),
        {"burst": 30, "half_open": 150},
    ),
    Bug("numbered before it is encoded", ((End, "_send_one", _number_first),), 40),
    Bug("a batch has one number", ((End, "_send_batch", _number_a_batch_once),), 40),
    Bug("releases lost", ((End, "send", _drop_unencodable_releases),), 200, ("S8",)),
    Bug("chunks resumed behind a gap", ((End, "_rest", _rest_shifted),), 400),
    Bug("claims to have whole buffers", ((Transfers, "progress", _progress_of_all),), 400),
    Bug("messages before their buffers", ((End, "resend", _messages_first),), 400),
    Bug("buffers are not sent again", ((End, "resend", _no_buffers_again),), 400),
    Bug("withdrawn silently", ((End, "give_up", _give_up_silently),), 400, ("S8",)),
    Bug(
        "a withdrawal is lost in a cut",
        ((End, "attach", _forget_withdrawal_in_a_cut),),
        400,
        ("S8",),
        {"cut": 200, "chunk": 100 * MS, "rate": 10.0},
    ),
    Bug("evicts what has a connection", ((Roster, "evictable", _evict_anything),), 100, ("S8",)),
    Bug(
        "expires what has come back",
        ((Roster, "_attach", _attach_and_expire), (Roster, "attached", _attached_and_expires)),
        200,
        ("S8",),
    ),
    Bug("never expires", ((Roster, "detached", _never_expires),), 40, ("S5", "S8")),
    Bug("claims to have one more", ((SimClient, "_purpose", _say_more_than_it_has),), 40),
    Bug(
        "unlisted is not executed",
        ((link_module, "classify", _classify_unknown_gone),),
        200,
        ("S4",),
    ),
    Bug("executed is not executed", ((link_module, "classify", _classify_executed),), 200, ("S4",)),
    Bug(
        "admitted is not written",
        ((link_module, "classify", _classify_acknowledged),),
        200,
        ("S4",),
    ),
    Bug("written is not admitted", ((link_module, "classify", _classify_received),), 400, ("S4",)),
    Bug("started is queued", ((link_module, "classify", _classify_started),), 400, ("S4",)),
    Bug("reached is forgotten", ((Sequence, "wrote", _wrote_without_reaching),), 400, ("S4",)),
    Bug("runs on behind its end", ((Hosted, "end", _end_and_go_on),), 200),
    Bug(
        "an answer under way is none",
        ((Hosted, "tombstone", _tombstone_of_answers),),
        400,
        ("S4",),
        {"half_open": 150, "chunk": 100 * MS, "grace": 1.5},
    ),
    Bug(
        "robbed, and told the thief's",
        ((Roster, "bury", _gone_without_attach),),
        400,
        ("S4",),
        {"theft": 60, "half_open": 150, "grace": 1.5},
    ),
    Bug("unsends what was carried", ((Link, "carried", lambda self: 0),), 200, ("S2", "S4")),
    Bug("unsends by this connection", ((Link, "carried", _written_here),), 400, ("S2", "S4")),
    Bug("never gives up", ((Liveness, "look", _never_give_up),), 100, ("S5", "S8")),
    Bug("goodbye is not heard", ((Hosted, "on_bye", lambda self, message: None),), 40, ("S8",)),
    Bug("stops trying", ((Backoff, "delay", _seven_attempts),), 200, ("S5",)),
    Bug("queued and cancelled has run", ((Hosted, "send", _cancel_says_executed),), 100, ("S2",)),
    Bug("the answer before the output", ((Hosted, "send", _answer_first),), 20, ("S6",)),
    Bug("a release is the last", ((Hosted, "on_release", _release_wholly),), 40, ("S10",)),
    Bug("an iterator begins again", ((Hosted, "detach", _rewind),), 60, ("S3",)),
    Bug("a lane runs side by side", ((Hosted, "on_exec", _run_at_once),), 100, ("S3",)),
)
"""Each is noticed."""

MASKED: tuple[Bug, ...] = (
    # Without interrupts: a batch that was handled by half is read again, and has no other guard.
    Bug("admits twice", (_DEDUP,), 60, (), {"interrupts": False}),
    Bug("resends every message", RESEND, 60),
)
"""Each is not: the other guard does its work. Together they are the first of the table."""
