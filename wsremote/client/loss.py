"""What a session's end means for what it had: the exception that says so.

Each unfinished call is said to be not executed, executed with its result lost, or unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..codec import wire
from ..errors import SessionLost
from ..protocol.batches import calls_of
from ..protocol.loss import UNSENT, classify
from ..protocol.messages import SHUTDOWN, Gone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .driver import Driver

__all__ = ["call_name", "ended", "expired", "left", "lost_by", "refused"]

_MOST_NAMED: Final = 10
"""Calls and objects that the text names; the attributes have all."""


def lost_by(link: Driver, gone: Gone, *, restarted: bool) -> SessionLost:
    """What the uses of a session raise that the server says is gone.

    Args:
        link: The session's.
        gone: The server's answer to the resume.
        restarted: Whether another process answered than the one that had the session.
    """
    known = gone.received is not None or gone.executed is not None
    if restarted and gone.why == "unknown":
        return _lost(link, "restart", "the server was restarted", None)
    return _lost(link, gone.why, gone.text, gone if known else None)


def expired(link: Driver) -> SessionLost:
    """What they raise if the server was out of reach for longer than it keeps the session."""
    return _lost(
        link, "expired", "the server was out of reach for longer than it keeps a session", None
    )


def left(link: Driver) -> SessionLost:
    """What they raise if the server has ended, and has said nothing."""
    text = "nothing listens any more where the server was, and no name server has heard of it since"
    return _lost(link, "ended", text, None)


def ended(link: Driver, text: str) -> SessionLost:
    """What they raise if the server has ended the session."""
    return _lost(link, "shutdown" if text == SHUTDOWN else "ended", text, None)


def refused(link: Driver, text: str) -> SessionLost:
    """What they raise if the server does not let the client resume."""
    return _lost(link, "refused", text, None)


def _lost(link: Driver, reason: str, text: str, gone: Gone | None) -> SessionLost:
    found = link.unfinished()
    whats = {call: each.what_of(call) for call, each in found.items()}
    waiting = {call: what for call, what in whats.items() if what is not None}
    numbers: dict[int, int | None] = dict.fromkeys(waiting)
    numbers.update(dict.fromkeys(link._unnumbered & waiting.keys(), UNSENT))
    for batcher in link.batchers:
        numbers.update(dict.fromkeys(waiting.keys() & batcher.unsent(), UNSENT))
    for seq, data in list(link._sequence.unacked):
        for message in wire.read(data):
            for call in calls_of(message):
                if call in numbers:
                    numbers[call] = seq
    reached = max(link._sequence.reached, link._sequence.written)
    loss = classify(numbers, reached, gone)

    def names(calls: Iterable[int]) -> tuple[str, ...]:
        return tuple(call_name(*waiting[call]) for call in calls)

    handles = link.held()
    sorted_out = [
        f"{len(calls)} {what}: {', '.join(names(calls)[:_MOST_NAMED])}"
        for what, calls in (
            ("not executed", loss.not_executed),
            ("executed, result lost", loss.executed),
            ("unknown", loss.unknown),
        )
        if calls
    ]
    calls = f" Unfinished calls: {'; '.join(sorted_out)}." if sorted_out else ""
    shown = ", ".join(handles[:_MOST_NAMED]) + (", …" if len(handles) > _MOST_NAMED else "")
    objects = f" Lost objects: {shown}." if handles else ""
    return SessionLost(
        f"the session {link.id[:8]} at {link.url} is lost: {text}.{calls}{objects}"
        " wsremote.connect(...) opens a new one",
        reason,
        handles=handles,
        not_executed=names(loss.not_executed),
        executed=names(loss.executed),
        unknown=names(loss.unknown),
    )


def call_name(target: str | int, name: str | None) -> str:
    """A call, for the user."""
    where = target if isinstance(target, str) else f"object #{target}"
    if isinstance(target, int) and target < 0:
        where = f"what call {-target} of a pipeline gave"
    return where if name is None else f"{where}.{name}"
